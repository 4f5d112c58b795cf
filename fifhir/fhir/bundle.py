"""One event as one transaction that a server may get any number of times, or as a FHIR message."""

from msgspec import Struct

from fifhir.fhir import (
    clinical,
    documents,
    medications,
    observations,
    orders,
    persons,
    provenance,
    specimens,
    visits,
)
from fifhir.fhir.maker import OWN, Issue, Make, Maker, Strategy
from fifhir.fhir.vocabulary import Json

__all__ = ["OWN", "Issue", "Mapped", "Strategy", "to_bundle"]

RECIPES: dict[str, Make] = {
    "Patient": persons.patient,
    "Prior": persons.prior_patient,
    "NextOfKin": persons.related_person,
    "Mother": persons.mother,
    "Guarantor": persons.guarantor,
    "Subscriber": persons.subscriber,
    "Practitioner": persons.practitioner,
    "Role": persons.role,
    "OrderingRole": persons.ordering_role,
    "Organization": persons.organization,
    "Payor": persons.payor,
    "PolicyHolder": persons.policy_holder,
    "Location": persons.location,
    "Encounter": visits.encounter,
    "Account": visits.account,
    "PriorAccount": visits.prior_account,
    "Coverage": visits.coverage,
    "FinancialCoverage": visits.financial_coverage,
    "ChargeItem": visits.charge,
    "Condition": clinical.condition,
    "Problem": clinical.problem,
    "Procedure": clinical.procedure,
    "Allergy": clinical.allergy,
    "Immunization": clinical.immunization,
    "Appointment": clinical.appointment,
    "LabObservation": observations.laboratory,
    "ImagingObservation": observations.imaging,
    "VitalSign": observations.vital_sign,
    "Exam": observations.exam,
    "DiagnosticReport": orders.report,
    "ServiceRequest": orders.service_request,
    "Specimen": specimens.specimen,
    "ObrSpecimen": specimens.obr_specimen,
    "Medication": medications.medication,
    "MedicationRequest": medications.medication_request,
    "Give": medications.give,
    "MedicationDispense": medications.dispense,
    "MedicationAdministration": medications.administration,
    "DocumentReference": documents.document_reference,
    "Provenance": provenance.provenance,
    "PatientProvenance": provenance.patient_provenance,
    "MessageHeader": provenance.message_header,
}
_LISTS = (  # what the event tells of a patient, in lists; each thing also by its place there
    ("next_of_kin", "NextOfKin"),
    ("allergies", "Allergy"),
    ("procedures", "Procedure"),
    ("immunizations", "Immunization"),
    ("problems", "Problem"),
    ("vital_signs", "VitalSign"),
    ("medication_requests", "MedicationRequest"),
    ("dispenses", "MedicationDispense"),
    ("administrations", "MedicationAdministration"),
    ("gives", "Give"),
    ("transactions", "ChargeItem"),
)
_REPORTS = frozenset({"lab_result", "observation_alert"})


class Mapped(Struct, frozen=True):
    """The bundle, and what was left open in it."""

    bundle: Json
    issues: tuple[Issue, ...]


def to_bundle(event: Json, strategy: Strategy = "put") -> Mapped:
    """The transaction for an event. ValueError if the event has no patient to speak of.

    With the strategy `message` it is a bundle of type message, which asks for nothing to be
    written. The resources may be shared with other bundles: they are not to be changed.
    """
    subjects = _subjects(event)
    if not subjects:
        raise ValueError(f"an event of type {event.get('type')} has nothing FHIR could be told")
    maker = Maker(event, strategy, RECIPES)
    maker.sender = maker.refer("Organization", {"name": maker.facility})
    _patients(subjects, maker)
    maker.refer("Provenance", event)
    kind = "transaction"
    bundle: Json = {"resourceType": "Bundle"}
    if strategy == "message":
        kind = "message"
        maker.refer("MessageHeader", event)
        maker.entries.insert(0, maker.entries.pop())
        bundle |= _sent(event, maker)
    bundle |= {"type": kind, "entry": maker.entries}
    return Mapped(bundle, tuple(dict.fromkeys(maker.issues)))


def _sent(event: Json, maker: Maker) -> Json:
    """MSH-10 and MSH-7: which message, and when it was sent."""
    header = event.get("header") or {}
    made: Json = {"identifier": {"system": maker.authority, "value": maker.control_id}}
    time = header.get("sent_at") or event.get("received_at")
    return made | ({"timestamp": time} if time and len(time) > len("2026-01-01") else {})


def _subjects(event: Json) -> list[Json]:
    """What is about one patient each: the event, or the items of `patients`.

    Answers to queries have patients alone there, and doses beside, which are known to be
    somebody's only where one patient was found.
    """
    found = [event] if "patient" in event else []
    several = event.get("patients") or ()
    found += [each for each in several if "patient" in each]
    bare = [{"patient": each} for each in several if "identifiers" in each]
    if len(bare) == 1 and event.get("immunizations"):
        bare[0]["immunizations"] = event["immunizations"]
    return found + bare


def _patients(subjects: list[Json], maker: Maker) -> None:
    """Everything about the patient or, one after another, the patients of the event."""
    found = []
    for number, each in enumerate(subjects, 1):
        maker.place = () if each is maker.event else (str(number),)
        found.append(_subject(each, maker))
    maker.place = ()
    if maker.event["type"] == "patient_link":
        _link(found, maker)


def _link(patients: list[str], maker: Maker) -> None:
    """Records of one person that stay in use name each other (A24)."""
    for one in dict.fromkeys(patients):
        for other in dict.fromkeys(patients):
            if one != other:
                _name(one, other, "seealso", maker)


def _name(one: str, other: str, kind: str, maker: Maker) -> None:
    link = {"other": {"reference": other}, "type": kind}
    maker.resource(one).setdefault("link", []).append(link)


def _subject(about: Json, maker: Maker) -> str:
    """All that the event tells of one patient; the reference to that Patient."""
    maker.visit = maker.account = ""
    patient = maker.patient = maker.refer("Patient", about["patient"], "patient")
    if {"last_updated", "last_updated_by"} & about["patient"].keys():
        maker.refer("PatientProvenance", about["patient"], "updated")
    _kin(about, maker)
    encounter = about.get("encounter") or {}
    _account(about, encounter, maker)
    if visits.is_visit(encounter):
        maker.visit = maker.refer("Encounter", encounter, "encounter")
    _moves(about, maker)
    for key, struct in _LISTS:
        for at, given in enumerate(about.get(key) or ()):
            place = (key, str(given.get("set_id") or at))
            reference = maker.refer(struct, given, *place)
            if reference and given.get("observations"):
                _beside(struct, reference, given["observations"], place, maker)
    _diagnoses(about, maker)
    _paid(about, encounter, maker)
    _observed(about, maker)
    _roles(about, maker)
    _ordered(about, maker)
    if "appointment" in about:
        maker.refer("Appointment", about["appointment"], "appointment")
    if "parts" in about or "document_type" in about or "unique_document_number" in about:
        maker.refer("DocumentReference", about, "document")
    return patient


def _beside(
    struct: str, reference: str, observations: list[Json], place: tuple[str, ...], maker: Maker
) -> None:
    """What was observed with a dose, a drug or a problem: part of it, or what speaks for it."""
    found = [
        {"reference": maker.refer("Exam", each, *place, str(at))}
        for at, each in enumerate(observations)
    ]
    if struct == "MedicationRequest":
        maker.resource(reference)["supportingInformation"] = found
    elif struct == "Problem":
        maker.resource(reference)["evidence"] = [{"detail": found}]
    else:
        for each in found:
            maker.resource(each["reference"])["partOf"] = [{"reference": reference}]


def _kin(about: Json, maker: Maker) -> None:
    """Contacts that are organizations stay with the patient; the mother is a person of her own."""
    kin = about.get("next_of_kin") or ()
    contacts = (persons.contact(each, maker) for each in kin if "organization" in each)
    if found := [each for each in contacts if each]:
        maker.resource(maker.patient)["contact"] = found
    for at, number in enumerate(about["patient"].get("mothers_identifiers") or ()):
        maker.refer("Mother", number, "mother", str(at))


def _account(about: Json, encounter: Json, maker: Maker) -> None:
    number = about.get("account_number") or about["patient"].get("account_number")
    if number:
        keys = ("patient_type", "admit_datetime", "discharge_datetime")
        given = {key: encounter[key] for key in keys if key in encounter}
        maker.account = maker.refer("Account", {"account_number": number, **given})


def _moves(about: Json, maker: Maker) -> None:
    """Records, accounts and visits that were something else before (MRG)."""
    moves = about.get("moves") or [{"prior": about.get("prior")}]
    for at, move in enumerate(moves):
        prior = move.get("prior") or {}
        if number := prior.get("account_number"):
            maker.refer("PriorAccount", {"account_number": number})
        if any(key in prior for key in ("identifiers", "alternate_ids", "external_id")):
            _merge(maker.refer("Prior", prior, "prior", str(at)), maker)
        if at and visits.is_visit(visit := move.get("encounter")):
            maker.refer("Encounter", visit, "encounter", str(at))


def _merge(former: str, maker: Maker) -> None:
    """The prior record is out of use and each names the other (Patient.link)."""
    if former != maker.patient:
        _name(maker.patient, former, "replaces", maker)
        _name(former, maker.patient, "replaced-by", maker)


def _diagnoses(about: Json, maker: Maker) -> None:
    """Each DG1 is a Condition, and one of the Encounter's diagnoses."""
    found = []
    for at, given in enumerate([*(about.get("conditions") or ()), *(about.get("diagnoses") or ())]):
        if condition := maker.refer(
            "Condition", given, "diagnoses", str(given.get("set_id") or at)
        ):
            found.append(visits.diagnosis(given, condition, maker))
    if found and maker.visit:
        maker.resource(maker.visit)["diagnosis"] = found


def _paid(about: Json, encounter: Json, maker: Maker) -> None:
    """Insurance and who pays the rest, both known to the account."""
    insurance = about.get("insurance_info") or ()
    covers = [
        maker.refer("Coverage", each, "insurance", str(each.get("set_id") or at))
        for at, each in enumerate(insurance)
    ]
    if not insurance and encounter.get("financial_class"):
        given = {"financial_class": encounter["financial_class"]}
        covers = [maker.refer("FinancialCoverage", given)]
    payers = [
        maker.refer("Guarantor", each, "guarantor", str(at))
        for at, each in enumerate(about.get("guarantors") or ())
    ]
    if maker.account:
        visits.settle(maker.resource(maker.account), covers, payers)


def _observed(about: Json, maker: Maker) -> None:
    """OBX that are no results of orders; those among the vital signs stand there already."""
    vital = about.get("vital_signs") or ()
    for at, given in enumerate(about.get("observations") or ()):
        if given not in vital:
            maker.refer("Exam", given, "observations", str(given.get("set_id") or at))


def _roles(about: Json, maker: Maker) -> None:
    """ROL and PRT: people in roles, who take part in the visit; primary care is the patient's."""
    for at, given in enumerate(about.get("roles") or ()):
        role = maker.refer("Role", given, "roles", str(at))
        if role:
            persons.take_part(given, role, maker)


def _ordered(about: Json, maker: Maker) -> None:
    if about.get("results") or maker.event["type"] in _REPORTS:
        orders.results(about, maker)
    else:
        orders.requests(about, maker)


def without_profiles(bundle: Json) -> Json:
    """The same bundle, whose resources claim no profile."""
    entries = [each | {"resource": _unclaimed(each["resource"])} for each in bundle["entry"]]
    return bundle | {"entry": entries}


def _unclaimed(resource: Json) -> Json:
    meta = {key: value for key, value in resource.get("meta", {}).items() if key != "profile"}
    rest = {key: value for key, value in resource.items() if key != "meta"}
    return rest | ({"meta": meta} if meta else {})
