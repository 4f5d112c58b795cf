"""Clinical resources of FHIR R4 beside results: doses, diagnoses, procedures, allergies, bookings.

As in `resources.py`, each function returns a resource without id and references.
"""

from fifhir.fhir import datatypes
from fifhir.fhir.datatypes import Json, Report
from fifhir.fhir.mapping import build
from fifhir.fhir.resources import CORE

_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
_REASONS = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
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


def immunization(given: Json, _: Report) -> Json | None:
    """US Core Immunization: one dose (RXA), given or not."""
    made = _made("Immunization", "immunization", given)
    if "vaccineCode" not in made:
        return None
    made["status"] = {"completed": "completed", "partially_administered": "completed"}.get(
        str(given.get("status")), "not-done" if given.get("status") else "completed"
    )
    if reasons := given.get("refusal_reasons"):
        made |= {"status": "not-done", "statusReason": datatypes.codeable(reasons[0])}
    if given.get("action") == "D":
        made["status"] = "entered-in-error"
    if "occurrenceDateTime" not in made:
        made["_occurrenceDateTime"] = datatypes.absent("unknown")
    if dose := datatypes.quantity(str(given.get("dose_amount") or ""), given.get("dose_unit")):
        made["doseQuantity"] = dose
    return made


def condition(given: Json, _: Report) -> Json | None:
    """US Core Condition, Encounter Diagnosis: one DG1."""
    made = _made("Condition", "condition-encounter-diagnosis", given)
    if not _has_code(made, given):
        return None
    coding = {"system": _CATEGORY, "code": "encounter-diagnosis"}
    return made | {"category": [{"coding": [coding]}]}


def procedure(given: Json, _: Report) -> Json | None:
    """US Core Procedure: one PR1."""
    made = _made("Procedure", "procedure", given)
    if not _has_code(made, given):
        return None
    if "performedDateTime" not in made:
        made["_performedDateTime"] = datatypes.absent("unknown")
    return made | {"status": "entered-in-error" if given.get("action") == "D" else "completed"}


def allergy(given: Json, _: Report) -> Json | None:
    """US Core AllergyIntolerance: one AL1 or IAM."""
    made = _made("AllergyIntolerance", "allergyintolerance", given)
    if "code" not in made:
        return None
    active = {"system": f"{_REASONS}clinical", "code": "active"}
    return made | {"clinicalStatus": {"coding": [active]}}


def appointment(given: Json, event_type: str) -> Json | None:
    """Appointment: one booking (SCH). Events that only open or block a schedule have none."""
    status = _STATUSES.get(event_type)
    if status is None or not given:
        return None
    made: Json = {"resourceType": "Appointment", "status": status}
    made |= build("Appointment", given, _silent)
    if status not in _TIMELESS or "start" in made or "end" in made:
        _settle(made)
    if identifiers := [each for who in ("placer", "filler") for each in _number(given, who)]:
        made["identifier"] = identifiers
    if reason := datatypes.codeable(given.get("reason_code")):
        made["reasonCode"] = [reason]
    return made


def _settle(made: Json) -> None:
    """Both times are there, if only to say that one is not known or is wrong (app-2, app-3)."""
    if not datatypes.in_order(made.get("start", ""), made.get("end", "9999")):
        del made["end"]
        made["_end"] = datatypes.absent("error")
    for element in ("start", "end"):
        if element not in made:
            made.setdefault(f"_{element}", datatypes.absent("unknown"))


def _number(given: Json, who: str) -> list[Json]:
    """The number that one of the two systems knows the booking by."""
    number = datatypes.text(given.get(f"{who}_id"))
    system = datatypes.uri(given.get(f"{who}_assigner"))
    return [{"value": number} | ({"system": system} if system else {})] if number else []


def _made(kind: str, profile: str, given: Json) -> Json:
    found: Json = {"resourceType": kind, "meta": {"profile": [CORE + profile]}}
    return found | build(kind, given, _silent)


def _has_code(made: Json, given: Json) -> bool:
    """A code, or at least words for one."""
    if "code" not in made and (said := datatypes.text(given.get("description"))):
        made["code"] = {"text": said}
    return "code" in made


def _silent(_: str, __: str) -> None:
    """These rows use no code map, so there is nothing to tell."""
