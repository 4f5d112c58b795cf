"""Kinds of conversion: a value of an event to an element of FHIR R4, or None where there is none.

Nothing is guessed: a code no map knows is kept beside its v2 system, and told as an issue. Each is
given the value and the maker of the bundle, to which it may report.
"""

import base64
import html
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from fifhir.fhir import vocabulary
from fifhir.fhir.maker import Maker
from fifhir.fhir.vocabulary import (
    CONCEPTS,
    IDENTIFIER_SYSTEMS,
    MAPS,
    SYSTEMS,
    UCUM,
    Code,
    Json,
    is_listed,
    uri,
)

UCUM_SYSTEM = "http://unitsofmeasure.org"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
ABSENT_REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_CLOCK = re.compile(r"([01]\d|2[0-3]):?([0-5]\d)(?::?([0-5]\d))?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_RANGE = re.compile(r"\s*([+-]?\d+\.?\d*)\s*-\s*([+-]?\d+\.?\d*)\s*")
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_NO_CODES: dict[str, Code] = {}
_NO_CONCEPTS: dict[str, Json] = {}
_LANGUAGES = {"ENG": "en", "SPA": "es", "FRE": "fr", "GER": "de"}
_SAID = {"Y": True, "N": False}


def text(value: Any, _: Maker) -> str | None:
    """A string that is not empty."""
    return value.strip() or None if isinstance(value, str) else None


def texts(value: Any, _: Maker) -> list[str] | None:
    """A string that is not empty, as the only one of a list."""
    said = value.strip() if isinstance(value, str) else ""
    return [said] if said else None


def yes(value: Any, _: Maker) -> bool | None:
    """Y or N (HL70136)."""
    return _SAID.get(value) if isinstance(value, str) else None


def date(value: Any, _: Maker) -> str | None:
    """The day, month or year of an event's time, as FHIR `date`."""
    found = _DATE.match(value) if isinstance(value, str) else None
    return found[0] if found else None


def when(value: Any, maker: Maker) -> str | None:
    """FHIR `dateTime`: with seconds and a zone where there is a time, else the date alone."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return date(value, maker)
    return str(value) if found[2] else f"{found[1]}:00{found[3]}"


def clock(value: Any, maker: Maker) -> str | None:
    """FHIR `dateTime`, only where there is a time of day."""
    return when(value, maker) if isinstance(value, str) and len(value) > len("2026-01-01") else None


def times(value: Any, _: Maker) -> list[str] | None:
    """Times of day, repeated, as FHIR `time`."""
    parts = value.split("~") if isinstance(value, str) else ()
    found = [match for part in parts if (match := _CLOCK.match(part.strip()))]
    return [f"{each[1]}:{each[2]}:{each[3] or '00'}" for each in found] or None


def instant(value: Any, _: Maker) -> str | None:
    """FHIR `instant`: only what is known to the second."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return value if found and found[2] else None


def positive(value: Any, _: Maker) -> int | None:
    """A whole number above zero."""
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 9:
        value = int(value)
    is_whole = (
        isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    )
    return int(value) if is_whole and value > 0 else None


def decimal(value: Any, _: Maker) -> float | int | None:
    """A number as JSON has it."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or len(value) > 30:
        return None
    return int(value) if value.isdecimal() and value == str(int(value)) else float(value)


def count(value: Any, maker: Maker) -> int | None:
    """A whole number, or zero."""
    return 0 if value in (0, "0") else positive(value, maker)


def days(value: Any, maker: Maker) -> Json | None:
    """A number of days as Duration."""
    found = decimal(value, maker)
    unit = {"unit": "days", "system": UCUM_SYSTEM, "code": "d"}
    return None if found is None else {"value": found, **unit}


def mapped(name: str, value: Any, maker: Maker) -> Code | None:
    """What a map has for a code; told if it does not know it. Some v2 codes it knows have none."""
    if not isinstance(value, str) or not value:
        return None
    codes = MAPS.get(name, _NO_CODES)
    found = codes.get(value)
    if found is None:
        if codes:
            maker.report(name, "no code of FHIR for it")
        return None
    return found if found.code else None


def concept(name: str, value: Any, maker: Maker) -> Json | None:
    """The code of FHIR and the v2 code it was made of."""
    if not isinstance(value, str):
        return None
    made = CONCEPTS.get(name, _NO_CONCEPTS).get(value)
    if made is not None:
        return made
    if not (given := value.strip()):
        return None
    made = vocabulary.concept(name, given, None)
    if name in MAPS:
        maker.report(name, "no code of FHIR for it")
    elif "text" in made:
        maker.report(name, "not a code of its table")
    return made


def codeable(value: Any, _: Maker) -> Json | None:
    """An event's CodeableConcept."""
    if not isinstance(value, dict):
        return None
    found: Json = {}
    if given := value.get("coding"):
        made = [coding for each in given if (coding := _coding(each))]
        if made:
            found["coding"] = made
    said = value.get("text")
    if isinstance(said, str) and (said := said.strip()):
        found["text"] = said
    return found or None


def _coding(given: Json) -> Json:
    code, display, system = given.get("code"), given.get("display"), given.get("system")
    found: Json = {}
    if not (code or display):
        return found
    if code:
        code = code if " " not in code else " ".join(code.split())
    if system and is_listed(name := uri(system), code or ""):
        found["system"] = name  # a table of HL7 that lacks the code is not what it is from
    if code:
        found["code"] = code
    if isinstance(display, str) and (display := display.strip()):
        found["display"] = display
    return found


def first_coding(value: Any, maker: Maker) -> Json | None:
    """The first coding of an event's CodeableConcept."""
    found = (codeable(value, maker) or {}).get("coding")
    first: Json | None = found[0] if found else None
    return first


def spoken(value: Any, _: Maker) -> Json | None:
    """A text in place of something that has parts (Address, CodeableConcept)."""
    return {"text": said} if isinstance(value, str) and (said := value.strip()) else None


def translated(name: str, value: Any, maker: Maker) -> Json | None:
    """An event's CodeableConcept, before it the code of FHIR that a map has for its first code."""
    found = codeable(value, maker)
    if not found or "coding" not in found:
        return found
    own = found["coding"][0]
    if "code" not in own or own.get("system", SYSTEMS.get(name)) != SYSTEMS.get(name):
        return found
    if name in SYSTEMS and "system" not in own and is_listed(SYSTEMS[name], own["code"]):
        own["system"] = SYSTEMS[name]
    code = mapped(name, own["code"], maker)
    if code and code.system != own.get("system"):
        first = vocabulary.concept(name, own["code"], code)["coding"][0]
        return {**found, "coding": [first, *found["coding"]]}
    return found


def identifier_system(identifier: Json, _: Maker) -> str | None:
    """Who assigned it, as a URI: the authority's own, that of the kind of number, or its name."""
    if given := identifier.get("system"):
        return uri(given)
    kind = identifier.get("type")
    if kind in IDENTIFIER_SYSTEMS and (kind != "NPI" or is_npi(str(identifier.get("value")))):
        return IDENTIFIER_SYSTEMS[kind]
    assigner = identifier.get("assigner")
    return uri(assigner) if assigner else None


def numbered(kind: str, value: Any, _: Maker) -> list[Json] | None:
    """A number of a kind (HL70203) as an Identifier: what stands first in its field."""
    if not isinstance(value, str) or not (number := value.partition("^")[0].strip()):
        return None
    found: Json = {"type": CONCEPTS["identifier_type"][kind]} if kind else {}
    if kind in IDENTIFIER_SYSTEMS:
        found["system"] = IDENTIFIER_SYSTEMS[kind]
    return [found | {"value": number}]


def telecom_system(contact: Json, maker: Maker) -> str | None:
    """What a ContactPoint is for: XTN.3 says so, else what is in it."""
    if contact.get("email"):
        return "email"
    found = mapped("telecom_system", contact.get("type"), maker)
    return found.code if found else "phone"


def language(value: Any, _: Maker) -> list[Json] | None:
    """PID-15 as a BCP 47 tag where it is one."""
    if not isinstance(value, str) or not (given := value.strip()):
        return None
    return [{"language": _language(given)}]


@lru_cache(maxsize=256)
def _language(given: str) -> Json:
    first, dash, rest = given.partition("-")
    tag = f"{_LANGUAGES.get(first.upper(), first.lower())}{dash}{rest}"
    if _TAG.fullmatch(tag):
        return {"coding": [{"system": "urn:ietf:bcp:47", "code": tag}]}
    return {"text": given}


def flags(name: str, value: Any, maker: Maker) -> list[Json] | None:
    """Every repetition of a coded field."""
    if not isinstance(value, str):
        return None
    parts = value.split("~") if "~" in value else (value,)
    found = [concept(name, part.partition("^")[0], maker) for part in parts]
    return [each for each in found if each] or None


def notes(value: Any, _: Maker) -> list[Json] | None:
    """Annotations: of comments, or of one text."""
    lines = (value,) if isinstance(value, str) else value or ()
    said = [line.strip() for line in lines if isinstance(line, str)]
    return [{"text": line} for line in said if line] or None


def coded_notes(value: Any, maker: Maker) -> list[Json] | None:
    """Coded values as Annotations: their text, or their codes."""
    made = [said for each in value or () if (said := codeable(each, maker))]
    texts = [each.get("text") or _worded(each["coding"][0]) for each in made]
    return [{"text": text} for text in texts] or None


def _worded(coding: Json) -> str:
    return str(coding.get("display") or coding.get("code"))


def narrative(value: Any, _: Maker) -> Json | None:
    """A text of the source as the resource's own (DomainResource.text)."""
    lines = (value,) if isinstance(value, str) else value or ()
    said = [html.escape(line.strip()) for line in lines if isinstance(line, str) and line.strip()]
    if not said:
        return None
    body = "".join(f"<p>{line}</p>" for line in said)
    return {
        "status": "additional",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>',
    }


def encoded(value: str) -> str:
    """FHIR `base64Binary` of a text."""
    return base64.b64encode(value.encode()).decode()


def quantity(value: Any, unit: Any, maker: Maker) -> Json | None:
    """A number with its unit; a code of UCUM only where the unit is one."""
    found = decimal(value, maker)
    if found is None:
        return None
    quantity: Json = {"value": found}
    if isinstance(unit, dict):
        unit = unit.get("text") or (unit.get("coding") or [{}])[0].get("code")
    if isinstance(unit, str) and (unit := unit.strip()):
        quantity["unit"] = unit
        if unit in UCUM:
            quantity["system"] = UCUM_SYSTEM
            quantity["code"] = unit
    return quantity


def reference_range(value: Any, unit: Any, maker: Maker) -> list[Json] | None:
    """OBX-7: its text, and low and high where it is two numbers."""
    if not isinstance(value, str) or not (given := value.strip()):
        return None
    found: Json = {"text": given}
    if bounds := _RANGE.fullmatch(given):
        low, high = quantity(bounds[1], unit, maker), quantity(bounds[2], unit, maker)
        if low and high and low["value"] <= high["value"]:
            found["low"], found["high"] = low, high
    return [found]


def is_npi(number: str) -> bool:
    """Whether it can be a National Provider Identifier: ten digits, the last checks the others.

    45 CFR 162.406: Luhn's check (ISO/IEC 7812) over the number with 80840 before it.
    """
    if len(number) != 10 or not (number.isascii() and number.isdecimal()):
        return False
    doubled = sum(2 * int(digit) - 9 * (digit > "4") for digit in number[-2::-2])
    return (24 + doubled + sum(map(int, number[-1::-2]))) % 10 == 0


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


def absent_concept(reason: str) -> Json:
    """Why there is no value, as a CodeableConcept."""
    return {"coding": [{"system": ABSENT_REASONS, "code": reason}]}
