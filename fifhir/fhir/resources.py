"""Resources of FHIR R4 (4.0.1) and what US Core 6.1.0 asks of them, from the objects of an event.

Each function returns a resource without id and references; `bundle.py` gives it both.
"""

import re
from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.datatypes import Json, Report
from fifhir.fhir.mapping import build
from fifhir.fhir.vocabulary import ENCOUNTER_STATUS, MAPS

CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
ID_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
OMB = "urn:oid:2.16.840.1.113883.6.238"
_OMB_RACES = frozenset({"1002-5", "2028-9", "2054-5", "2076-8", "2106-3"})
_OMB_ETHNICITIES = frozenset({"2135-2", "2186-5"})
_OMB_CODE = re.compile(r"\d{4}-\d")
_ETHNICITIES = {"H": "2135-2", "N": "2186-5"}  # HL70189
_TIME_OF_DAY = re.compile(r"(\d\d):?(\d\d)(?::?(\d\d))?")
_SECTIONS = "http://terminology.hl7.org/CodeSystem/v2-0074"
_REPORTED = (
    frozenset(  # us-core-8 and us-core-9: then a report says since when, and when it was made
        {"partial", "preliminary", "final", "amended", "corrected", "appended"}
    )
)
_PLACES = (
    *(("", "facility"), ("", "building"), ("Floor ", "floor")),
    *(("", "unit"), ("Room ", "room"), ("Bed ", "bed")),
)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_URL = re.compile(r"https?://\S+")
_HL7_TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?")


def patient(given: Json, report: Report) -> Json:
    """US Core Patient: who the event is about."""
    made = _resource("Patient", "patient", build("Patient", given, report))
    extensions = [
        *_omb("race", given.get("race"), _OMB_RACES, {}),
        *_omb("ethnicity", given.get("ethnicity"), _OMB_ETHNICITIES, _ETHNICITIES),
        *_maiden_name(given.get("mothers_maiden_name")),
        *_birth_place(given.get("birth_place")),
        *_religion(given.get("religion"), report),
    ]
    if extensions:
        made["extension"] = extensions
    if "deceasedDateTime" not in made and given.get("deceased") in {"Y", "N"}:
        made["deceasedBoolean"] = given["deceased"] == "Y"
    if "multipleBirthInteger" not in made and given.get("multiple_birth") in {"Y", "N"}:
        made["multipleBirthBoolean"] = given["multiple_birth"] == "Y"
    made.setdefault("name", [datatypes.absent("unknown")])
    made.setdefault("gender", "unknown")
    if "use" not in made["name"][0] and "extension" not in made["name"][0]:
        made["name"][0] = {"use": "official"} | made["name"][0]
    return made


def _omb(name: str, given: Any, categories: frozenset[str], v2: dict[str, str]) -> list[Json]:
    """US Core's race and ethnicity: categories of OMB, further codes, and always a text."""
    parts: list[Json] = []
    words = []
    for each in given or ():
        said = datatypes.codeable(each) or {}
        words += [text for text in [said.get("text") or _display(said)] if text]
        for coding in said.get("coding", ()):
            code = v2.get(coding.get("code", ""), coding.get("code", ""))
            if _OMB_CODE.fullmatch(code) and _checks(code):
                url = "ombCategory" if code in categories else "detailed"
                value = {"system": OMB, "code": code}
                display = {"display": coding["display"]} if "display" in coding else {}
                parts.append({"url": url, "valueCoding": value | display})
    if name == "ethnicity":  # at most one category
        parts = _one_category(parts)
    if not words:
        return []
    parts.append({"url": "text", "valueString": ", ".join(dict.fromkeys(words))})
    return [{"extension": parts, "url": CORE + name}]


def _checks(code: str) -> bool:
    """Whether the last digit of a code of CDC's races is what the others ask for (modulus 10)."""
    doubled = int(code[3] + code[1]) * 2
    digits = f"{doubled}{code[2]}{code[0]}"
    return (sum(map(int, digits)) + int(code[-1])) % 10 == 0


def _one_category(parts: list[Json]) -> list[Json]:
    categories = [part for part in parts if part["url"] == "ombCategory"]
    return categories[:1] + [part for part in parts if part["url"] != "ombCategory"]


def _display(said: Json) -> str:
    codings = said.get("coding") or [{}]
    return str(codings[0].get("display") or codings[0].get("code") or "")


def _maiden_name(given: Any) -> list[Json]:
    url = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
    said = datatypes.text(given)
    return [{"url": url, "valueString": said}] if said else []


def _birth_place(given: Any) -> list[Json]:
    url = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
    said = datatypes.text(given)
    return [{"url": url, "valueAddress": {"text": said}}] if said else []


def _religion(given: Any, report: Report) -> list[Json]:
    url = "http://hl7.org/fhir/StructureDefinition/patient-religion"
    concept = datatypes.concept("religion", given, report)
    if not concept or not (concept.get("coding") or concept.get("text")):
        said = datatypes.text(given)
        concept = {"text": said} if said else None
    return [{"url": url, "valueCodeableConcept": concept}] if concept else []


def prior_patient(given: Json, report: Report) -> Json:
    """The record a merge put an end to (MRG): its identifiers, no longer in use."""
    identifiers = {"identifiers": {"identifiers": given.get("identifiers") or ()}}
    return patient(given | identifiers, report) | {"active": False}


def encounter(given: Json, event_type: str, report: Report) -> Json:
    """US Core Encounter: the visit, with the status its event means."""
    made = _resource("Encounter", "encounter", build("Encounter", given, report))
    made["status"] = ENCOUNTER_STATUS.get(event_type, "unknown")
    if made["status"] == "in-progress" and made.get("period", {}).get("end"):
        made["status"] = "finished"
    if "class" not in made:
        made["class"] = datatypes.absent("unknown")
    made.setdefault("type", [datatypes.absent("unknown")])
    if number := datatypes.text(given.get("id")):
        visit = {"coding": [{"system": ID_TYPES, "code": "VN"}]}
        made["identifier"] = [{"type": visit, "value": number}]
    return made


def location(given: Json) -> Json | None:
    """US Core Location: the place, named from its building down to the bed."""
    parts = [f"{word}{said}" for word, key in _PLACES if (said := datatypes.text(given.get(key)))]
    name = ", ".join(parts) or datatypes.text(given.get("description"))
    if not name:
        return None
    made = _resource("Location", "location", {"status": "active", "mode": "instance"})
    return made | {"name": name}


def practitioner(given: Json, report: Report) -> Json | None:
    """US Core Practitioner: a person who provides care (XCN)."""
    made = _resource("Practitioner", "practitioner", build("Practitioner", given, report))
    npi = datatypes.text(given.get("npi"))
    if npi and datatypes.is_npi(npi):
        made["identifier"] = [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}]
    elif number := datatypes.text(given.get("id")) or npi:
        made["identifier"] = [{"value": number}]
        if assigner := datatypes.text(given.get("assigner")):
            made["identifier"][0] |= {
                "system": datatypes.uri(assigner),
                "assigner": {"display": assigner},
            }
    if "name" not in made and "identifier" not in made:
        return None
    name = made.setdefault("name", [{}])[0]
    if "family" not in name:
        name["_family"] = datatypes.absent("unknown")
    return made


def organization(name: str) -> Json:
    """US Core Organization: who sent the message (MSH-4)."""
    return _resource("Organization", "organization", {"active": True, "name": name})


def service_request(given: Json, report: Report) -> Json:
    """US Core ServiceRequest: what was ordered (ORC, OBR)."""
    made = _resource("ServiceRequest", "servicerequest", build("ServiceRequest", given, report))
    identifiers = _order_numbers(given)
    if identifiers:
        made["identifier"] = identifiers
    made.setdefault("code", datatypes.absent("unknown"))
    return made | {"status": "unknown", "intent": "order"}


def _order_numbers(given: Json) -> list[Json]:
    kinds = (("PLAC", "placer_order_number"), ("FILL", "filler_order_number"))
    return [
        {"type": {"coding": [{"system": ID_TYPES, "code": kind}]}, "value": number}
        for kind, key in kinds
        if (number := datatypes.text(given.get(key)))
    ]


def report(given: Json, results: list[Json], report: Report) -> Json:
    """US Core DiagnosticReport for laboratory results: one for each order that was filled."""
    built = build("DiagnosticReport", given, report)
    made = _resource("DiagnosticReport", "diagnosticreport-lab", built)
    codings = [{"system": _SECTIONS, "code": "LAB"}]
    section = datatypes.text(given.get("diagnostic_service"))
    if section and section != "LAB" and datatypes.is_listed(_SECTIONS, section):
        codings.append({"system": _SECTIONS, "code": section})
    made["category"] = [{"coding": [coding]} for coding in codings]
    made.setdefault("status", _report_status(results))
    first = results[0].get("test", {}).get("code") if results else None
    made.setdefault("code", datatypes.codeable(first) or datatypes.absent("unknown"))
    if identifiers := _order_numbers(given):
        made["identifier"] = identifiers
    documents = [
        document
        for result in results
        for each in result.get("result", {}).get("attachments", ())
        if (document := _document(each))
    ]
    if documents:
        made["presentedForm"] = documents
    if "effectiveDateTime" not in made:
        times = (each.get("result", {}).get("observation_time") for each in results)
        made |= {"effectiveDateTime": time} if (time := next(filter(None, times), "")) else {}
    if made["status"] in _REPORTED:
        for element in ("effectiveDateTime", "issued"):
            if element not in made:
                made[f"_{element}"] = datatypes.absent("unknown")
    return made


def _document(given: Json) -> Json | None:
    """Attachment: a document sent within a result (ED), or where it lies (RP)."""
    made: Json = {}
    data, where = datatypes.text(given.get("data")), datatypes.text(given.get("pointer"))
    if data and given.get("encoding") == "Base64" and _BASE64.fullmatch(data):
        made["data"] = data
    elif where and _URL.fullmatch(where):
        made["url"] = where
    else:
        return None
    kind = [datatypes.text(given.get(key)) or "" for key in ("content_type", "subtype")]
    return ({"contentType": "/".join(kind).lower()} if all(kind) else {}) | made


def _report_status(results: list[Json]) -> str:
    """OBR-25 is absent: final if every result is."""
    sent = {each.get("result", {}).get("status") for each in results}
    statuses = MAPS["observation_status"]
    meant = {statuses[code].code if code in statuses else "" for code in sent}
    return (meant.pop() if len(meant) == 1 else "") or "unknown"


def observation(given: Json, report: Report) -> Json:
    """US Core laboratory result Observation: one OBX."""
    made = _resource("Observation", "observation-lab", build("Observation", given, report))
    category = {
        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
        "code": "laboratory",
    }
    made["category"] = [{"coding": [category]}]
    made.setdefault("status", "unknown")
    made.setdefault("code", datatypes.absent("unknown"))
    result = given.get("result") or {}
    value, kind = result.get("value"), result.get("value_type") or ""
    made |= _value(value, kind, result.get("unit"))
    ranges = datatypes.reference_range(result.get("reference_range"), result.get("unit"))
    if ranges:
        made["referenceRange"] = ranges
    if not any(key.startswith("value") for key in made):
        made["dataAbsentReason"] = {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
                    "code": "unknown",
                }
            ]
        }
    return made


def _value(value: Any, kind: str, unit: Any) -> Json:
    """OBX-5 by OBX-2; what is not of the type it claims stays as text."""
    said = datatypes.text(value)
    if said is None:
        return {}
    found: Json | None = None
    match kind:
        case "NM":
            number = datatypes.quantity(said, unit)
            found = {"valueQuantity": number} if number else None
        case "SN":
            found = datatypes.structured_number(said, unit)
        case "CE" | "CWE" | "CNE" | "CF" | "IS" | "ID":
            concept = _concept(said)
            found = {"valueCodeableConcept": concept} if concept else None
        case "DT" | "TS" | "DTM":
            moment = _moment(said)
            found = {"valueDateTime": moment} if moment else None
        case "TM":
            time = _TIME_OF_DAY.match(said)
            found = {"valueTime": f"{time[1]}:{time[2]}:{time[3] or '00'}"} if time else None
    return found or {"valueString": said}


def _moment(said: str) -> str | None:
    """The date of an HL7 time: its zone is not known here, so its time of day is not claimed."""
    found = _HL7_TIME.match(said)
    joined = "-".join(part for part in found.groups() if part) if found else ""
    return joined if datatypes.date(joined) == joined and datatypes.is_day(joined) else None


def _concept(said: str) -> Json | None:
    """CE or CWE as sent: code^text^system, twice."""
    parts = (said.partition("~")[0] + "^^^^^").split("^")
    codings = [
        {"code": parts[at], "display": parts[at + 1], "system": parts[at + 2]} for at in (0, 3)
    ]
    return datatypes.codeable({"coding": codings, "text": parts[1] or parts[4] or parts[0]})


def _resource(kind: str, profile: str, elements: Json) -> Json:
    return {"resourceType": kind, "meta": {"profile": [CORE + profile]}} | elements
