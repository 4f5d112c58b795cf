"""What several families tell of a patient: diagnoses, procedures, insurance, specimens, timing."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import (
    Address,
    AssignedIdentifier,
    CodeableConcept,
    ContactPoint,
    Number,
    PersonName,
    Provider,
    Text,
)
from fifhir.event.observation import Observation


class Diagnosis(Struct, frozen=True, gc=False, omit_defaults=True):
    """A diagnosis (DG1; HL7 v2.9 6.5.2)."""

    set_id: Text = ""
    coding_method: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    description: Text = ""
    diagnosis_date: Text = ""
    diagnosis_type: Text = ""
    grouping: CodeableConcept | UnsetType = UNSET
    priority: Text = ""
    diagnosing_clinician: Provider | UnsetType = UNSET
    classification: Text = ""
    confidential: Text = ""
    attested_at: Text = ""
    identifier: Text = ""
    action: Text = ""
    present_on_admission: Text = ""


class Procedure(Struct, frozen=True, gc=False, omit_defaults=True):
    """A procedure (PR1; HL7 v2.9 6.5.4)."""

    set_id: Text = ""
    coding_method: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    description: Text = ""
    procedure_date: Text = ""
    functional_type: Text = ""
    procedure_minutes: Number | UnsetType = UNSET
    practitioner: Provider | UnsetType = UNSET
    anesthesiologist: Provider | UnsetType = UNSET
    anesthesia_code: Text = ""
    anesthesia_minutes: Number | UnsetType = UNSET
    surgeons: tuple[Provider, ...] = ()
    practitioners: tuple[Provider, ...] = ()
    consent: Text = ""
    priority: Text = ""
    associated_diagnosis: CodeableConcept | UnsetType = UNSET
    modifiers: tuple[CodeableConcept, ...] = ()
    identifier: Text = ""
    action: Text = ""


class Insurance(Struct, frozen=True, gc=False, omit_defaults=True):
    """What an insurer covers (IN1; HL7 v2.9 6.5.6)."""

    set_id: Text = ""
    plan_id: Text = ""
    plan: CodeableConcept | UnsetType = UNSET
    company_id: Text = ""
    company_ids: tuple[AssignedIdentifier, ...] = ()
    company_name: Text = ""
    company_address: Address | UnsetType = UNSET
    company_phones: tuple[ContactPoint, ...] = ()
    group_number: Text = ""
    group_name: Text = ""
    group_employer_name: Text = ""
    effective_date: Text = ""
    expiration_date: Text = ""
    plan_type: Text = ""
    insured_names: tuple[PersonName, ...] = ()
    relationship: Text = ""
    insured_date_of_birth: Text = ""
    insured_address: Address | UnsetType = UNSET
    coordination_order: Text = ""
    policy_number: Text = ""
    insured_gender: Text = ""
    subscriber_id: Text = ""


class Guarantor(Struct, frozen=True, gc=False, omit_defaults=True):
    """Who pays what insurers do not (GT1; HL7 v2.9 6.5.5)."""

    set_id: Text = ""
    identifiers: tuple[AssignedIdentifier, ...] = ()
    names: tuple[PersonName, ...] = ()
    address: Address | UnsetType = UNSET
    phones: tuple[ContactPoint, ...] = ()
    business_phones: tuple[ContactPoint, ...] = ()
    date_of_birth: Text = ""
    gender: Text = ""
    type: Text = ""
    relationship: Text = ""


class Timing(Struct, frozen=True, gc=False, omit_defaults=True):
    """When and how often (TQ1; HL7 v2.9 4.5.4)."""

    set_id: Text = ""
    quantity: Text = ""
    quantity_units: Text = ""
    frequency: Text = ""
    explicit_times: Text = ""
    relative_time: Text = ""
    relative_time_units: Text = ""
    duration: Text = ""
    duration_units: Text = ""
    start_time: Text = ""
    end_time: Text = ""
    priority: Text = ""
    condition: Text = ""
    instruction: Text = ""
    conjunction: Text = ""
    occurrence_duration: Text = ""
    total_occurrences: Number | UnsetType = UNSET


class Organization(Struct, frozen=True, gc=False, omit_defaults=True):
    """An organization (XON)."""

    name: Text = ""
    id: Text = ""
    assigner: Text = ""
    type: Text = ""


class Specimen(Struct, frozen=True, gc=False, omit_defaults=True):
    """What is or was examined (SPM; HL7 v2.9 7.4.3)."""

    set_id: Text = ""
    id: Text = ""
    placer_id: Text = ""
    filler_id: Text = ""
    parent_id: Text = ""
    type: CodeableConcept | UnsetType = UNSET
    type_modifiers: tuple[CodeableConcept, ...] = ()
    additives: tuple[CodeableConcept, ...] = ()
    collection_method: CodeableConcept | UnsetType = UNSET
    source_site: CodeableConcept | UnsetType = UNSET
    source_site_modifiers: tuple[CodeableConcept, ...] = ()
    collection_site: CodeableConcept | UnsetType = UNSET
    roles: tuple[CodeableConcept, ...] = ()
    collection_amount: Text = ""
    collection_amount_units: Text = ""
    grouped_count: Number | UnsetType = UNSET
    description: Text = ""
    handling: tuple[CodeableConcept, ...] = ()
    risks: tuple[CodeableConcept, ...] = ()
    collected_datetime: Text = ""
    collected_end: Text = ""
    received_datetime: Text = ""
    expires_datetime: Text = ""
    available: Text = ""
    reject_reasons: tuple[CodeableConcept, ...] = ()
    quality: CodeableConcept | UnsetType = UNSET
    appropriateness: CodeableConcept | UnsetType = UNSET
    conditions: tuple[CodeableConcept, ...] = ()
    current_quantity: Text = ""
    current_quantity_units: Text = ""
    container_count: Number | UnsetType = UNSET
    container_type: CodeableConcept | UnsetType = UNSET
    container_condition: CodeableConcept | UnsetType = UNSET
    child_role: CodeableConcept | UnsetType = UNSET
    accession_ids: tuple[AssignedIdentifier, ...] = ()
    other_ids: tuple[AssignedIdentifier, ...] = ()
    observations: tuple[Observation, ...] = ()
