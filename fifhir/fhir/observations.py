"""What was observed: Observation, its value by what OBX-2 claims, and documents among results."""

import re

from fifhir import dtm
from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import resource
from fifhir.fhir.vocabulary import CORE, Json

_CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
_CODED = frozenset({"CE", "CWE", "CNE", "CF", "IS", "ID"})
_MOMENTS = frozenset({"DT", "TS", "DTM"})
_DOCUMENTS = frozenset({"ED", "RP"})
_BOUNDS = frozenset({"<", "<=", ">=", ">"})
_BOUND = re.compile(r"(<=?|>=?)\s*(\d+(?:\.\d+)?)")
_TIME_OF_DAY = re.compile(r"(\d\d):?(\d\d)(?::?(\d\d))?")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_URL = re.compile(r"https?://\S+")
_NOT_ASKED = "N"  # OBX-11, HL70085
_CATEGORY = {
    code: {"coding": [{"system": _CATEGORIES, "code": code}]}
    for code in ("laboratory", "imaging", "vital-signs", "exam")
}
_PROFILES = {"laboratory": f"{CORE}observation-lab", "vital-signs": f"{CORE}vital-signs"}


def laboratory(given: Json, maker: Maker) -> Json:
    """US Core Laboratory Result Observation: one OBX of a laboratory's order."""
    return _observation(given, "laboratory", maker)


def imaging(given: Json, maker: Maker) -> Json:
    """Observation: one OBX of a radiology's order."""
    return _observation(given, "imaging", maker)


def exam(given: Json, maker: Maker) -> Json:
    """Observation: one OBX that stands beside a patient, a visit or an order."""
    return _observation(given, "exam", maker)


def vital_sign(given: Json, maker: Maker) -> Json:
    """US Core Vital Signs: one OBX with a code that LOINC has for a vital sign."""
    made = _observation(given, "vital-signs", maker)
    if "effectiveDateTime" not in made:
        made["_effectiveDateTime"] = datatypes.absent("unknown")
    return made


def _observation(given: Json, category: str, maker: Maker) -> Json:
    made = resource("Observation", given, maker)
    if profile := _PROFILES.get(category):
        made["meta"] = {"profile": [profile]}
    made["category"] = [_CATEGORY[category]]
    result = given.get("result") or {}
    if kind := datatypes.text(result.get("observation_type"), maker):
        made["category"] = [_CATEGORY[category], {"coding": [{"system": _TYPES, "code": kind}]}]
    if "status" not in made:
        made["status"] = "unknown"
    if "code" not in made:
        made["code"] = datatypes.absent("unknown")
    _performed(made, result, maker)
    if found := _value(result, maker):
        made.update(found)
    else:
        made["dataAbsentReason"] = _absent(result)
    unit = result.get("unit_code") or result.get("unit")
    if ranges := datatypes.reference_range(result.get("reference_range"), unit, maker):
        made["referenceRange"] = ranges
    return made


_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0936"


def _performed(made: Json, result: Json, maker: Maker) -> None:
    """Who did it (OBX-16, in the row), where (OBX-23, OBX-24) or at whose order (OBX-25)."""
    place = result.get("performing_organization")
    if place and (address := result.get("performing_address")):
        place = {**place, "address": address}
    found = made.get("performer", [])
    for reference in (
        maker.refer("Organization", place) or _producer(result, maker),
        maker.refer("Practitioner", result.get("medical_director")),
    ):
        if reference:
            found = [*found, {"reference": reference}]
    made["performer"] = found or [{"reference": maker.sender}]


def _producer(result: Json, maker: Maker) -> str:
    """OBX-15, where OBX-23 says nothing."""
    name = result.get("producer")
    return maker.refer("Organization", {"name": name}) if isinstance(name, str) else ""


def _absent(result: Json) -> Json:
    """Why there is no value: OBX-11 N, OBX-32, or nobody said."""
    said = datatypes.absent_concept(
        "not-asked" if result.get("status") == _NOT_ASKED else "unknown"
    )
    reason = result.get("absent_reason")
    return said | ({"text": reason.strip()} if isinstance(reason, str) and reason.strip() else {})


def is_document(given: Json) -> bool:
    """Whether it is a document and no value; then it is a form of the report."""
    result = given.get("result") or {}
    return result.get("value_type") in _DOCUMENTS and bool(result.get("attachments"))


def attachment(given: Json) -> Json | None:
    """Attachment: a document sent within a result (ED), or where it lies (RP)."""
    made: Json = {}
    data, where = given.get("data") or "", given.get("pointer") or ""
    kind = [str(given.get(key) or "").strip() for key in ("content_type", "subtype")]
    if all(kind):
        made["contentType"] = "/".join(kind).lower()
    if data and str(given.get("encoding")).lower() == "base64" and _BASE64.fullmatch(data):
        made["data"] = data
    elif _URL.fullmatch(where):
        made["url"] = where
    else:
        return None
    return made


def _value(result: Json, maker: Maker) -> Json | None:
    """OBX-5 by OBX-2; what is not of the type it claims stays as text."""
    value = result.get("value")
    if not isinstance(value, str) or not (said := value.strip()):
        coded = datatypes.codeable(result.get("value_code"), maker) if value is not None else None
        return {"valueCodeableConcept": coded} if coded else None
    kind = result.get("value_type")
    found: Json | None = None
    if kind == "NM":
        found = _quantity(result, maker) or _bounded(said, result, maker)
    elif kind == "SN":
        found = _structured(result, maker)
    elif kind in _CODED:
        found = _coded(result, said, maker)
    elif kind in _MOMENTS:
        moment = _moment(said)
        found = {"valueDateTime": moment} if moment else None
    elif kind == "TM":
        time = _TIME_OF_DAY.match(said)
        found = {"valueTime": f"{time[1]}:{time[2]}:{time[3] or '00'}"} if time else None
    return found or {"valueString": said}


def _quantity(result: Json, maker: Maker) -> Json | None:
    number = _measured(result, "value_number", maker)
    return {"valueQuantity": number} if number else None


def _bounded(said: str, result: Json, maker: Maker) -> Json | None:
    """`<15`: NM (HL7 2.A.47) has no comparator, but many analysers send one."""
    bound = _BOUND.fullmatch(said)
    number = (
        _measured({**result, "value_number": bound[2]}, "value_number", maker) if bound else None
    )
    return {"valueQuantity": {"comparator": bound[1], **number}} if bound and number else None


def _measured(result: Json, key: str, maker: Maker) -> Json | None:
    """A number of the event with its unit, in UCUM where the event knows that."""
    unit = result.get("unit_text") or result.get("unit")  # CWE[Quantity]: words, and a code
    made = datatypes.quantity(result.get(key), unit, maker)
    code = result.get("unit_code")
    if made and code:
        made["system"], made["code"] = datatypes.UCUM_SYSTEM, code
    return made


def _structured(result: Json, maker: Maker) -> Json | None:
    """SN (HL7 2.A.69): comparator, number, separator, number as Quantity, Ratio or Range."""
    sign, between = result.get("comparator") or "", result.get("separator") or ""
    low, high = _measured(result, "value_number", maker), _measured(result, "value_number_2", maker)
    if low and not high and not between and sign in {"", "=", *_BOUNDS}:
        return {"valueQuantity": ({"comparator": sign} if sign in _BOUNDS else {}) | low}
    if low and high and between == "-" and low["value"] <= high["value"]:
        return {"valueRange": {"low": low, "high": high}}
    if low and high and between in {"/", ":"}:
        return {"valueRatio": {"numerator": low, "denominator": high}}
    return None


def _coded(result: Json, said: str, maker: Maker) -> Json | None:
    found = datatypes.codeable(result.get("value_code"), maker)
    return {"valueCodeableConcept": found or {"text": said}}


def _moment(said: str) -> str | None:
    """An HL7 time; without an offset its zone is not known here, and only its date is claimed."""
    zoned = dtm.time(said, "") or ""
    if "T" in zoned and not zoned.endswith(("Z",)) and zoned[-6] in "+-":
        return zoned if zoned.count(":") > 2 else f"{zoned[:16]}:00{zoned[16:]}"
    date = zoned.partition("T")[0]
    return date if date and datatypes.is_day(date) else None
