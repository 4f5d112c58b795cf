"""Kinds of conversion: a value of an event to an element of FHIR R4, or None where there is none.

Nothing is guessed: a code no map knows is kept beside its v2 system, and told as an issue.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from fifhir.fhir.vocabulary import IDENTIFIER_SYSTEMS, MAPS, SYSTEMS, UCUM, V2_CODES, Code

Json: TypeAlias = dict[str, Any]
Report: TypeAlias = Callable[[str, str], None]
"""Told of a code that is not mapped: the map's name and where; never the value."""

UCUM_SYSTEM = "http://unitsofmeasure.org"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_RANGE = re.compile(r"\s*([+-]?\d+\.?\d*)\s*-\s*([+-]?\d+\.?\d*)\s*")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_OID_LEAST = 5  # the last dot of a real one is no earlier: 1.2.3 is somebody's version or chapter
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_UNLISTED: dict[str, Code] = {}
_LANGUAGES = {"ENG": "en", "SPA": "es", "FRE": "fr", "GER": "de"}
_BOUNDS = {"<", "<=", ">=", ">"}


def text(value: Any) -> str | None:
    """A string that is not empty."""
    return value.strip() or None if isinstance(value, str) else None


def date(value: Any) -> str | None:
    """The day, month or year of an event's time, as FHIR `date`."""
    found = _DATE.match(value) if isinstance(value, str) else None
    return found[0] if found else None


def when(value: Any) -> str | None:
    """FHIR `dateTime`: with seconds and a zone where there is a time, else the date alone."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]}{found[2] or ':00'}{found[3]}" if found else date(value)


def instant(value: Any) -> str | None:
    """FHIR `instant`: only what is known to the second."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]}{found[2]}{found[3]}" if found and found[2] else None


def integer(value: Any) -> int | None:
    """A whole number above zero."""
    digits = isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 9
    return int(value) if digits and int(value) > 0 else None


def whole(value: Any) -> int | None:
    """A number of an event that is whole and above zero."""
    return int(value) if isinstance(value, int | float) and value == int(value) > 0 else None


def number(value: str) -> float | int | None:
    """A decimal as JSON has it."""
    if not _NUMBER.fullmatch(value) or len(value) > 30:
        return None
    return int(value) if value.isdecimal() and value == str(int(value)) else float(value)


def uri(name: Any) -> str | None:
    """A name of a system as a URI: an OID and a URI as such, another name under urn:id."""
    if not isinstance(name, str) or not name:
        return None
    if _OID.fullmatch(name) and name.rindex(".") >= _OID_LEAST:
        return f"urn:oid:{name}"
    return name if _URI.fullmatch(name) else f"urn:id:{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"


def coding(code: Code) -> Json:
    """One coding."""
    found = {"system": code.system, "code": code.code}
    return found | {"display": code.display} if code.display else found


def mapped(name: str, value: Any, report: Report) -> Code | None:
    """What a map has for a code; told if it does not know it. Some v2 codes it knows have none."""
    if not isinstance(value, str) or not value:
        return None
    found = MAPS.get(name, _UNLISTED).get(value)
    if found is None:
        if name in MAPS:
            report(name, "no code of FHIR for it")
        return None
    return found if found.code else None


def concept(name: str, value: Any, report: Report) -> Json | None:
    """The code of FHIR and the v2 code it was made of."""
    code, given = mapped(name, value, report), text(value)
    if given is None:
        return None
    codings = [coding(code)] if code else []
    system = SYSTEMS.get(name)
    if system and is_listed(system, given) and (code is None or code.system != system):
        codings.append({"system": system, "code": given})
    if not codings and name not in MAPS:
        report(name, "not a code of its table")
    return {"coding": codings} if codings else {"text": given}


def is_listed(system: str, code: str) -> bool:
    """Whether a table of HL7 has a code; of a table that senders fill any code may be."""
    codes = V2_CODES.get(system)
    if codes is None:
        return " ".join(code.split()) == code  # FHIR `code`: only single spaces inside
    return code in codes


def codeable(value: Any) -> Json | None:
    """An event's CodeableConcept."""
    if not isinstance(value, dict):
        return None
    codings = [
        {
            key: found
            for key, found in (
                ("system", uri(each.get("system"))),
                ("code", " ".join((each.get("code") or "").split())),
                ("display", text(each.get("display"))),
            )
            if found
        }
        for each in value.get("coding") or ()
        if each.get("code") or each.get("display")
    ]
    found: Json = {"coding": codings} if codings else {}
    if said := text(value.get("text")):
        found["text"] = said
    return found or None


def identifier_system(identifier: Json) -> str | None:
    """Who assigned it, as a URI: the authority's own, that of the kind of number, or its name."""
    if given := uri(identifier.get("system")):
        return given
    kind = identifier.get("type") or ""
    false = kind == "NPI" and not is_npi(str(identifier.get("value")))
    known = None if false else IDENTIFIER_SYSTEMS.get(kind)
    return known or uri(identifier.get("assigner"))


def is_npi(number: str) -> bool:
    """Whether it can be a National Provider Identifier: ten digits, the last checks the others.

    45 CFR 162.406: Luhn's check (ISO/IEC 7812) over the number with 80840 before it.
    """
    if len(number) != 10 or not (number.isascii() and number.isdecimal()):
        return False
    doubled = sum(2 * int(digit) - 9 * (digit > "4") for digit in number[-2::-2])
    return (24 + doubled + sum(map(int, number[-1::-2]))) % 10 == 0


def telecom_system(contact: Json, report: Report) -> str | None:
    """What a ContactPoint is for: XTN.3 says so, else what is in it."""
    if contact.get("email"):
        return "email"
    found = mapped("telecom_system", contact.get("type"), report)
    return found.code if found else "phone"


def language(value: Any) -> list[Json] | None:
    """PID-15 as a BCP 47 tag where it is one."""
    if not (given := text(value)):
        return None
    first, dash, rest = given.partition("-")
    tag = f"{_LANGUAGES.get(first.upper(), first.lower())}{dash}{rest}"
    if _TAG.fullmatch(tag):
        return [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": tag}]}}]
    return [{"language": {"text": given}}]


def flags(name: str, value: Any, report: Report) -> list[Json] | None:
    """Every repetition of a coded field."""
    parts = value.split("~") if isinstance(value, str) else ()
    found = [concept(name, part.partition("^")[0], report) for part in parts]
    return [each for each in found if each] or None


def notes(value: Any) -> list[Json] | None:
    """Annotations."""
    lines = [text(each) for each in value or ()]
    return [{"text": line} for line in lines if line] or None


def quantity(value: str, unit: Any) -> Json | None:
    """A number with its unit; a code of UCUM only where the unit is one."""
    found = number(value)
    if found is None:
        return None
    quantity: Json = {"value": found}
    if unit := text(unit):
        quantity["unit"] = unit
        if unit in UCUM:
            quantity |= {"system": UCUM_SYSTEM, "code": unit}
    return quantity


def structured_number(value: str, unit: Any) -> Json | None:
    """SN (HL7 2.A.69): comparator^number^separator^number, as Quantity, Ratio or Range."""
    sign, first, between, second = (*(part.strip() for part in value.split("^", 3)), "", "", "")[:4]
    low, high = quantity(first, unit), quantity(second, unit)
    if low and not between and not second:
        sign = "" if sign == "=" else sign
        if sign and sign not in _BOUNDS:
            return None
        return {"valueQuantity": ({"comparator": sign} if sign else {}) | low}
    if low and high and between == "-":
        return {"valueRange": {"low": low, "high": high}}
    if low and high and between in {"/", ":"}:
        return {"valueRatio": {"numerator": low, "denominator": high}}
    return None


def reference_range(value: Any, unit: Any) -> list[Json] | None:
    """OBX-7: its text, and low and high where it is two numbers."""
    if not (given := text(value)):
        return None
    found: Json = {"text": given}
    if bounds := _RANGE.fullmatch(given):
        low, high = quantity(bounds[1], unit), quantity(bounds[2], unit)
        if low and high and low["value"] <= high["value"]:
            found |= {"low": low, "high": high}
    return [found]


def in_order(start: str, end: str) -> bool:
    """Whether a period ends no earlier than it starts, as far as both are known (per-1)."""
    if "T" in start and "T" in end:
        return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
    known = min(len(start), len(end), 10)
    return start[:known] <= end[:known]


def is_day(value: str) -> bool:
    """Whether the calendar has a date, where it is known to the day."""
    try:
        return len(value) < 10 or bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def absent(reason: str) -> Json:
    """The extension that says why an element has no value."""
    return {"extension": [{"url": ABSENT, "valueCode": reason}]}
