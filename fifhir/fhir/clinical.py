"""What is known of a patient: diagnoses, problems, procedures, allergies, doses, bookings."""

from collections.abc import Iterator
from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import resource
from fifhir.fhir.vocabulary import MAPS, Json, uri

UNKNOWN_AMOUNT = "999"  # RXA-6, HL7 v2.9 4A.4.7.6
_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
_ROLE = "http://terminology.hl7.org/CodeSystem/v2-0443"
_PROBLEM_STATUS = {"A": "active", "I": "inactive", "R": "resolved"}  # no table of HL7 for PRB-14
_STATUSES = {  # HL70278 by the map FillerStatusCodes[Appointment], where the event does not say
    "appointment_scheduled": "booked",
    "appointment_rescheduled": "booked",
    "appointment_modified": "booked",
    "appointment_cancelled": "cancelled",
    "appointment_discontinued": "cancelled",
    "appointment_deleted": "entered-in-error",
    "appointment_noshow": "noshow",
    "appointment_request": "proposed",
}
_TIMELESS = frozenset({"proposed", "cancelled"})  # app-3
_NO_VACCINE = {"system": "http://hl7.org/fhir/sid/cvx", "code": "998"}  # no dose was given


def immunization(given: Json, maker: Maker) -> Json | None:
    """US Core Immunization: one dose (RXA), given or not."""
    made = resource("Immunization", given, maker)
    codings = made.get("vaccineCode", {}).get("coding", ())
    if "vaccineCode" not in made or any(_NO_VACCINE.items() <= each.items() for each in codings):
        return None
    made["status"] = {"completed": "completed", "partially_administered": "completed"}.get(
        str(given.get("status")), "not-done" if given.get("status") else "completed"
    )
    if "statusReason" in made:
        made["status"] = "not-done"
    if given.get("action") == "D":
        made["status"] = "entered-in-error"
    if given.get("dose_amount") == UNKNOWN_AMOUNT:
        made.pop("doseQuantity", None)
    if "occurrenceDateTime" not in made:
        made["_occurrenceDateTime"] = datatypes.absent("unknown")
    for each, code in zip(made.get("performer", ()), _functions(given), strict=False):
        each["function"] = {"coding": [{"system": _ROLE, "code": code}]}
    return made


def _functions(given: Json) -> Iterator[str]:
    """HL70443: who administered, who ordered."""
    if given.get("performer"):
        yield "AP"
    yield "OP"


def condition(given: Json, maker: Maker) -> Json | None:
    """US Core Condition, Encounter Diagnosis: one DG1."""
    made = resource("Condition", given, maker)
    if not _coded(made):
        return None
    _described(made["code"], given.get("description"))
    made["category"] = [_coding(_CATEGORY, "encounter-diagnosis")]
    if given.get("action") == "D":
        made["verificationStatus"] = _coding(_VERIFICATION, "entered-in-error")
    return made


def problem(given: Json, maker: Maker) -> Json | None:
    """US Core Condition, Problems and Health Concerns: one PRB."""
    made = resource("Problem", given, maker)
    if not _coded(made):
        return None
    made["category"] = [_coding(_CATEGORY, "problem-list-item")]
    if maker.event.get("type") == "problem_delete" or given.get("action") == "DE":
        made["verificationStatus"] = _coding(_VERIFICATION, "entered-in-error")
    else:
        made["clinicalStatus"] = _coding(_CLINICAL, _problem_status(made, given))
    return made


def _problem_status(made: Json, given: Json) -> str:
    said = (given.get("life_cycle_status") or {}).get("coding") or [{}]
    default = "resolved" if "abatementDateTime" in made else "active"
    return _PROBLEM_STATUS.get(str(said[0].get("code")), default)


def procedure(given: Json, maker: Maker) -> Json | None:
    """US Core Procedure: one PR1."""
    made = resource("Procedure", given, maker)
    if not _coded(made):
        return None
    if "performedDateTime" not in made:
        made["_performedDateTime"] = datatypes.absent("unknown")
    if "performer" not in made and (who := maker.refer("Practitioner", given.get("practitioner"))):
        made["performer"] = [{"actor": {"reference": who}}]
    return made | {"status": "entered-in-error" if given.get("action") == "D" else "completed"}


def allergy(given: Json, maker: Maker) -> Json | None:
    """US Core AllergyIntolerance: one AL1 or IAM."""
    made = resource("Allergy", given, maker)
    if "code" not in made:
        return None
    more = (datatypes.codeable(given.get("clinician_identified"), maker) or {}).get("coding", [])
    for coding in more:
        if coding not in made["code"].get("coding", []):
            made["code"]["coding"] = [*made["code"].get("coding", []), coding]
    if given.get("action") == "D":
        made["verificationStatus"] = _coding(f"{_ALLERGY}verification", "entered-in-error")
    else:
        made["clinicalStatus"] = _clinical_status(given, maker)
    if "onsetDateTime" in made:
        made.pop("onsetString", None)
    if "category" not in made:
        made.pop("_category", None)
    if reaction := _reaction(given, maker):
        made["reaction"] = [reaction]
    elif severity := datatypes.mapped("allergy_criticality", given.get("severity"), maker):
        made["criticality"] = severity.code
    return made


def _clinical_status(given: Json, maker: Maker) -> Json:
    """IAM-17 as sent, beside the code FHIR requires; active where nothing else is said."""
    said = datatypes.text(given.get("clinical_status"), maker)
    if not said or said.lower() in {"active", "inactive", "resolved"}:
        return _coding(f"{_ALLERGY}clinical", (said or "active").lower())
    return _coding(f"{_ALLERGY}clinical", "active") | {"text": said}


def _reaction(given: Json, maker: Maker) -> Json | None:
    """AL1-5: what it does, and how badly (AL1-4)."""
    parts = [each.strip() for each in str(given.get("reactions") or "").split("~")]
    manifestations = [{"text": part.replace("^", " ").strip()} for part in parts if part]
    if not manifestations:
        return None
    made: Json = {"manifestation": manifestations}
    if severity := datatypes.mapped("reaction_severity", given.get("severity"), maker):
        made["severity"] = severity.code
    return made


def appointment(given: Json, maker: Maker) -> Json | None:
    """Appointment: one booking (SCH). Events that only open or block a schedule have none."""
    event = maker.event
    status = _STATUSES.get(str(event.get("type")))
    if status is None or not given:
        return None
    made = resource("Appointment", given, maker)
    made["status"] = _status(status, given, maker)
    if comment := " ".join(_comments(event)):
        made["comment"] = comment
    if identifiers := [each for who in ("placer", "filler") for each in _number(given, who)]:
        made["identifier"] = identifiers
    services = [each["service"] for each in event.get("services") or () if "service" in each]
    if services := [said for each in services if (said := datatypes.codeable(each, maker))]:
        made["serviceType"] = services
    if made["status"] not in _TIMELESS or "start" in made or "end" in made:
        _settle(made)
    made["participant"] = [*_participants(given, maker)]
    return made


def _status(meant: str, given: Json, maker: Maker) -> str:
    """SCH-25, else AIS-10, says more of a booking that stands; any other event means its status."""
    if meant != "booked":
        return meant
    said = [((given.get("status_code") or {}).get("coding") or [{}])[0].get("code")]
    said += [each.get("status") for each in maker.event.get("services") or ()]
    found = (MAPS["filler_status"].get(str(each or "").capitalize()) for each in said)
    return next((each.code for each in found if each and each.code), meant)


def _comments(event: Json) -> Iterator[str]:
    """NTE of what is booked."""
    for key in ("services", "resources", "locations", "personnel"):
        for each in event.get(key) or ():
            yield from filter(None, each.get("notes") or ())


def _settle(made: Json) -> None:
    """Both times are there, if only to say that one is not known or is wrong (app-2, app-3)."""
    if not datatypes.in_order(made.get("start", ""), made.get("end", "9999")):
        made.pop("end", None)
        made["_end"] = datatypes.absent("error")
    for element in ("start", "end"):
        if element not in made:
            made.setdefault(f"_{element}", datatypes.absent("unknown"))


def _number(given: Json, who: str) -> list[Json]:
    """The number that one of the two systems knows the booking by."""
    number, system = given.get(f"{who}_id"), given.get(f"{who}_assigner")
    if not isinstance(number, str) or not number.strip():
        return []
    code = {"placer": "PLAC", "filler": "FILL"}[who]
    made: Json = {"type": _coding("http://terminology.hl7.org/CodeSystem/v2-0203", code)}
    return [made | {"value": number.strip()} | ({"system": uri(system)} if system else {})]


def _participants(given: Json, maker: Maker) -> Iterator[Json]:
    """The patient, those who book, and whoever and whatever is booked (AIS, AIG, AIL, AIP)."""
    yield {"actor": {"reference": maker.patient}, "status": "accepted"}
    people = [given.get(key) for key in ("provider", "placer_contact", "filler_contact")]
    seen: set[str] = set()
    for each in (*people, *(given.get("entered_by") or ())):
        reference = maker.refer("Practitioner", each)
        if reference and reference not in seen:
            seen.add(reference)
            yield {"actor": {"reference": reference}, "status": "accepted"}
    event = maker.event
    for each in event.get("personnel") or ():
        yield from _booked("Practitioner", each, each.get("person"), "role", maker)
    for each in event.get("locations") or ():
        yield from _booked("Location", each, each.get("location"), "type", maker)
    for each in event.get("resources") or ():
        yield from _booked("", each, each.get("resource"), "type", maker)


def _booked(struct: str, given: Json, what: Any, kind: str, maker: Maker) -> Iterator[Json]:
    made: Json = {"status": _answer(given, maker)}
    if reference := maker.refer(struct, what) if struct else "":
        made["actor"] = {"reference": reference}
    kinds = [datatypes.codeable(given.get(kind), maker)]
    if not struct:
        kinds.append(datatypes.codeable(what, maker))
    if found := [each for each in kinds if each]:
        made["type"] = found
    if start := datatypes.when(given.get("start_time"), maker):
        made["period"] = {"start": start}
    if "actor" in made or "type" in made:
        yield made


def _answer(given: Json, maker: Maker) -> str:
    """What a status of a resource (HL70278) says of its taking part."""
    found = MAPS["filler_status"].get(str(given.get("status") or "").capitalize())
    meant = found.code if found else ""
    if given.get("status") and not found:
        maker.report("filler_status", "no code of FHIR for it")
    return {"booked": "accepted", "cancelled": "declined", "waitlist": "tentative"}.get(
        meant, "needs-action" if meant in {"pending", "proposed"} else "accepted"
    )


def _coding(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _described(code: Json, description: Any) -> None:
    """DG1-4 is the text of the code; that it repeats what the code is called adds nothing."""
    displays = [each.get("display") for each in code.get("coding", ())]
    if isinstance(description, str) and description.strip() and description not in displays:
        code["text"] = description.strip()


def _coded(made: Json) -> bool:
    """A code, or at least words for one."""
    return bool(made.get("code"))
