"""What several families tell of a patient: diagnoses, allergies, insurance, specimens, timing."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.coverage import Certification, Insured
from fifhir.event.datatypes import (
    Address,
    AssignedIdentifier,
    CodeableConcept,
    ContactPoint,
    Location,
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
    other_clinicians: tuple[Provider, ...] = ()
    is_primary: bool | UnsetType = UNSET
    major_category: Text = ""
    group_approved: Text = ""
    grouper_review: Text = ""
    grouper_version: Text = ""
    outlier_type: Text = ""
    outlier_days: Text = ""
    outlier_cost: Text = ""
    parent_identifier: Text = ""
    group_value: Text = ""
    group_usage: Text = ""
    group_determination: Text = ""
    notes: tuple[Text, ...] = ()


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
    drg_type: Text = ""
    tissue_types: tuple[CodeableConcept, ...] = ()
    drg_determination: Text = ""
    drg_relevance: Text = ""
    treating_unit: Location | UnsetType = UNSET
    respiratory_within_surgery: Text = ""
    parent_identifier: Text = ""
    notes: tuple[Text, ...] = ()


class Allergy(Struct, frozen=True, gc=False, omit_defaults=True):
    """An allergy or intolerance (AL1, IAM); only IAM says what is to be done with it."""

    set_id: Text = ""
    type: Text = ""
    allergen: CodeableConcept | UnsetType = UNSET
    severity: Text = ""
    reactions: Text = ""
    identified_on: Text = ""
    action: Text = ""
    id: Text = ""
    action_reason: Text = ""
    sensitivity: Text = ""
    group: Text = ""
    onset_date: Text = ""
    onset_text: Text = ""
    reported_at: Text = ""
    reported_by: PersonName | UnsetType = UNSET
    relationship: Text = ""
    alert_device: Text = ""
    clinical_status: Text = ""
    statused_by: Provider | UnsetType = UNSET
    statused_at: Text = ""
    inactivated_by: Provider | UnsetType = UNSET
    inactivated_at: Text = ""
    recorded_by: Provider | UnsetType = UNSET
    recorded_at: Text = ""
    modified_by: Provider | UnsetType = UNSET
    modified_at: Text = ""
    clinician_identified: CodeableConcept | UnsetType = UNSET
    notes: tuple[Text, ...] = ()


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
    company_contact: PersonName | UnsetType = UNSET
    group_employer_id: Text = ""
    authorization: Text = ""
    assignment_of_benefits: Text = ""
    coordination_of_benefits: Text = ""
    admission_notice: Text = ""
    admission_notice_date: Text = ""
    eligibility_report: Text = ""
    eligibility_report_date: Text = ""
    release_information: Text = ""
    preadmit_certification: Text = ""
    verified_at: Text = ""
    verified_by: Provider | UnsetType = UNSET
    agreement_type: Text = ""
    billing_status: Text = ""
    lifetime_reserve_days: Text = ""
    delay_before_reserve_day: Text = ""
    company_plan_code: Text = ""
    policy_deductible: Text = ""
    policy_limit_amount: Text = ""
    policy_limit_days: Text = ""
    room_rate_semi_private: Text = ""
    room_rate_private: Text = ""
    insured_employment_status: Text = ""
    insured_employer_address: Address | UnsetType = UNSET
    verification_status: Text = ""
    prior_plan_id: Text = ""
    coverage_type: Text = ""
    insured_handicap: Text = ""
    subscriber_ids: tuple[AssignedIdentifier, ...] = ()
    signature: Text = ""
    signature_date: Text = ""
    insured_birth_place: Text = ""
    insured_vip: Text = ""
    external_plan_ids: Text = ""
    action: Text = ""
    insured: Insured | UnsetType = UNSET
    certifications: tuple[Certification, ...] = ()


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
    other_addresses: tuple[Address, ...] = ()
    spouse_name: PersonName | UnsetType = UNSET
    ssn: Text = ""
    begin_date: Text = ""
    end_date: Text = ""
    priority: Text = ""
    employer_name: Text = ""
    employer_address: Address | UnsetType = UNSET
    employer_phones: tuple[ContactPoint, ...] = ()
    employee_id: Text = ""
    employment_status: Text = ""
    organization_name: Text = ""
    billing_hold: Text = ""
    credit_rating: Text = ""
    death_datetime: Text = ""
    death_flag: Text = ""
    charge_adjustment: Text = ""
    household_income: Text = ""
    household_size: Text = ""
    employer_ids: Text = ""
    marital_status: Text = ""
    hire_effective_date: Text = ""
    employment_stop_date: Text = ""
    living_dependency: Text = ""
    ambulatory_status: Text = ""
    citizenship: Text = ""
    language: Text = ""
    living_arrangement: Text = ""
    publicity: Text = ""
    protection: Text = ""
    student: Text = ""
    religion: Text = ""
    mothers_maiden_name: Text = ""
    nationality: Text = ""
    ethnic_group: Text = ""
    contact_names: tuple[PersonName, ...] = ()
    contact_phones: tuple[ContactPoint, ...] = ()
    contact_reason: Text = ""
    contact_relationship: Text = ""
    job_title: Text = ""
    job_class: Text = ""
    employer_organization: Text = ""
    handicap: Text = ""
    job_status: Text = ""
    financial_class: Text = ""
    race: Text = ""
    birth_place: Text = ""
    vip: Text = ""


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
