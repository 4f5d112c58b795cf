"""The visit and who pays for it: Encounter, Account, Coverage, ChargeItem."""

from collections.abc import Iterator
from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import resource
from fifhir.fhir.persons import is_patients_own
from fifhir.fhir.vocabulary import CONCEPTS, ENCOUNTER_STATUS, Json

_ROLE_TYPES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_CLASSES = "http://terminology.hl7.org/CodeSystem/coverage-class"
_ROLES = (
    ("attending_provider", "ATND", "attender"),
    ("other_attending_providers", "ATND", "attender"),
    ("referring_provider", "REF", "referrer"),
    ("other_referring_providers", "REF", "referrer"),
    ("consulting_provider", "CON", "consultant"),
    ("other_consulting_providers", "CON", "consultant"),
    ("admitting_provider", "ADM", "admitter"),
    ("other_admitting_providers", "ADM", "admitter"),
    ("other_providers", "PART", "Participation"),
)
_TYPES = {
    code: [{"coding": [{"system": _ROLE_TYPES, "code": code, "display": display}], "text": display}]
    for _, code, display in _ROLES
}
_STAYS = (  # FHIR has no status for a place left for a while: PV1-11 is where the patient is now
    ("location", "active"),
    ("prior_location", "completed"),
    ("temporary_location", "active"),
    ("pending_location", "reserved"),
    ("prior_temporary_location", "completed"),
)
_PREADMIT = "P"  # HL70004
_PAYOR = ("company_name", "company_ids", "company_address", "company_phones")
_HOLDER = ("group_employer_name", "group_employer_id")
_SUBSCRIBER = ("insured_names", "insured_date_of_birth", "insured_gender", "insured_address")
_ACCOUNT_STATUS = {"account_end": "inactive", "account_purge": "inactive"}
_CHARGE = frozenset({"", "CG"})  # HL70017; credits, payments and the like are no ChargeItems


def encounter(given: Json, maker: Maker) -> Json | None:
    """US Core Encounter: the visit, with the status its event means."""
    made = resource("Encounter", given, maker)
    made["status"] = _status(made, given, str(maker.event.get("type")))
    if "class" not in made:
        made["class"] = datatypes.absent("unknown")
    if "type" not in made:
        made["type"] = [datatypes.absent("unknown")]
    _number(made, given)
    if "reasonCode" not in made and (said := datatypes.spoken(given.get("admit_reason"), maker)):
        made["reasonCode"] = [said]
    if participants := [*_participants(given, maker)]:
        made["participant"] = participants
    if places := [*_places(given, maker)]:
        made["location"] = places
    if given.get("servicing_facility"):
        provider = maker.refer("Organization", {"name": given["servicing_facility"]})
    else:
        provider = maker.sender
    made["serviceProvider"] = {"reference": provider}
    return made


def _status(made: Json, given: Json, event_type: str) -> str:
    """What happened decides; an event that says nothing of the visit leaves it to PV1-2, PV1-45."""
    status = ENCOUNTER_STATUS.get(event_type, "")
    ended = "end" in made.get("period", ())
    if not status:
        code = given.get("class")
        status = (
            "planned" if code == _PREADMIT else "unknown" if code in (None, "U") else "in-progress"
        )
    return "finished" if ended and status in {"in-progress", "unknown"} else status


def _number(made: Json, given: Json) -> None:
    """PV1-19 is a visit number, whatever it says of itself."""
    number = given.get("id")
    if "identifier" not in made and number:
        made["identifier"] = [{"value": number}]
    for each in made.get("identifier", ()):
        if "type" not in each and each.get("value") == number:
            each["type"] = CONCEPTS["identifier_type"]["VN"]


def _participants(given: Json, maker: Maker) -> Iterator[Json]:
    for key, code, _ in _ROLES:
        if key in given:
            people = given[key] if isinstance(given[key], list | tuple) else (given[key],)
            for reference in filter(None, (maker.refer("Practitioner", each) for each in people)):
                yield {"type": _TYPES[code], "individual": {"reference": reference}}
    if referral := maker.refer("Practitioner", (given.get("detail") or {}).get("referral_source")):
        yield {"type": _TYPES["REF"], "individual": {"reference": referral}}


def _places(given: Json, maker: Maker) -> Iterator[Json]:
    for key, status in _STAYS:
        if key in given and (reference := maker.refer("Location", given[key])):
            is_planned = key == "location" and given.get("class") == _PREADMIT
            stay = {"location": {"reference": reference}}
            yield stay | {"status": "planned" if is_planned else status}
    pending = (given.get("detail") or {}).get("prior_pending_location")
    if reference := maker.refer("Location", pending):
        yield {"location": {"reference": reference}, "status": "planned"}


def account(given: Json, maker: Maker) -> Json:
    """The billing account (PID-18), in use until an event says otherwise."""
    made = resource("Account", given, maker)
    made["status"] = _ACCOUNT_STATUS.get(str(maker.event.get("type")), "active")
    made["subject"] = [{"reference": maker.patient}]
    return made


def prior_account(given: Json, maker: Maker) -> Json:
    """An account that another took the place of (MRG-3); the guide calls its status unknown."""
    made = resource("PriorAccount", given, maker)
    return made | {"status": "unknown"}


def settle(made: Json, covers: list[str], payers: list[str]) -> None:
    """Who pays for an account: insurance in its order, and whoever answers for the rest."""
    if found := [{"coverage": {"reference": each}} for each in covers if each]:
        made["coverage"] = found
    if found := [{"party": {"reference": each}} for each in payers if each]:
        made["guarantor"] = found


def coverage(given: Json, maker: Maker) -> Json:
    """US Core Coverage: what an insurer covers (IN1)."""
    made = resource("Coverage", given, maker)
    made["status"] = "cancelled" if given.get("action") == "D" else "active"
    payor = maker.refer("Payor", _part(given, _PAYOR))
    made["payor"] = [{"reference": payor} if payor else datatypes.absent("unknown")]
    if holder := maker.refer("PolicyHolder", _part(given, _HOLDER)):
        made["policyHolder"] = {"reference": holder}
    number = datatypes.text(given.get("plan_id"), maker)
    if number:
        made["identifier"] = [{"value": number}]
    if "relationship" not in made:
        made["relationship"] = datatypes.absent_concept("unknown")
    for each, kind in zip(made.get("class", ()), _class_kinds(given), strict=False):
        each["type"] = {"coding": [{"system": _CLASSES, "code": kind}]}
    if "class" in made:
        made["class"] = [each for each in made["class"] if "value" in each]
    if subscriber := _subscriber(given, maker):
        made["subscriber"] = {"reference": subscriber}
    if "subscriberId" not in made:  # us-core-15
        made["_subscriberId"] = datatypes.absent("unknown")
    return made


def _class_kinds(given: Json) -> Iterator[str]:
    if given.get("group_number") or given.get("group_name"):
        yield "group"
    yield "plan"


def _subscriber(given: Json, maker: Maker) -> str:
    if is_patients_own(given.get("relationship")):
        return maker.patient
    return maker.refer("Subscriber", _part(given, _SUBSCRIBER))


def _part(given: Json, keys: tuple[str, ...]) -> Json:
    return {key: given[key] for key in keys if key in given}


def financial_coverage(given: Json, maker: Maker) -> Json:
    """What PV1-20 says of who pays, where no insurance says more."""
    made = resource("FinancialCoverage", given, maker)
    return made | {"status": "active", "payor": [datatypes.absent("unknown")]}


def charge(given: Json, maker: Maker) -> Json | None:
    """A charge (FT1); what is no charge is told, not made one."""
    if str(given.get("transaction_type") or "") not in _CHARGE:
        maker.report("transaction_type", "no resource of FHIR for what is no charge")
        return None
    made = resource("ChargeItem", given, maker)
    made["status"] = "billable"
    if "code" not in made:
        made["code"] = datatypes.absent_concept("unknown")
    if maker.account:
        made["account"] = [{"reference": maker.account}]
    return made


def diagnosis(given: Json, condition: str, maker: Maker) -> Json:
    """One of an Encounter's diagnoses: which Condition, of what use and rank (DG1-6, DG1-15)."""
    made: Json = {"condition": {"reference": condition}}
    if use := datatypes.concept("diagnosis_type", given.get("diagnosis_type"), maker):
        made["use"] = use
    if rank := datatypes.positive(given.get("priority"), maker):
        made["rank"] = rank
    return made


def is_visit(given: Any) -> bool:
    """Whether there is anything to say of a visit."""
    return isinstance(given, dict) and bool(given)
