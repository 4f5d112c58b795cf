"""Who a message is about and which visit: what most events share."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import (
    Address,
    AssignedIdentifier,
    CodeableConcept,
    ContactPoint,
    Identifier,
    IdentifierSet,
    Location,
    Organization,
    PersonName,
    Provider,
    Text,
)
from fifhir.event.meta import Meta


class Demographics(Struct, frozen=True, gc=False, omit_defaults=True):
    """What more is known of a patient (PD1)."""

    living_dependency: Text = ""
    living_arrangement: Text = ""
    primary_facility: Organization | UnsetType = UNSET
    primary_care_providers: tuple[Provider, ...] = ()
    student: Text = ""
    handicap: Text = ""
    living_will: Text = ""
    organ_donor: Text = ""
    separate_bill: Text = ""
    duplicate_patients: tuple[Identifier, ...] = ()
    publicity: Text = ""
    publicity_since: Text = ""
    protection: Text = ""
    protection_since: Text = ""
    place_of_worship: Text = ""
    advance_directives: tuple[CodeableConcept, ...] = ()
    advance_directive_verified_on: Text = ""
    immunization_registry_status: Text = ""
    immunization_registry_status_since: Text = ""
    military_branch: Text = ""
    military_rank: Text = ""
    military_status: Text = ""


class Patient(Struct, frozen=True, gc=False, omit_defaults=True):
    """Who the message is about (PID); `extensions` are what the sender's Z segments say."""

    mrn: Text
    family_name: Text
    given_name: Text
    identifiers: IdentifierSet
    middle_name: Text = ""
    suffix: Text = ""
    prefix: Text = ""
    degree: Text = ""
    aliases: tuple[PersonName, ...] = ()
    date_of_birth: Text = ""
    gender: Text = ""
    race: tuple[CodeableConcept, ...] = ()
    ethnicity: tuple[CodeableConcept, ...] = ()
    address: Address | UnsetType = UNSET
    addresses: tuple[Address, ...] = ()
    phone: Text = ""
    phones: tuple[ContactPoint, ...] = ()
    business_phones: tuple[ContactPoint, ...] = ()
    email: Text = ""
    language: Text = ""
    marital_status: Text = ""
    religion: Text = ""
    mothers_maiden_name: Text = ""
    account_number: Text = ""
    birth_place: Text = ""
    multiple_birth: Text = ""
    birth_order: Text = ""
    death_datetime: Text = ""
    deceased: Text = ""
    other_names: tuple[PersonName, ...] = ()
    external_id: Identifier | UnsetType = UNSET
    alternate_ids: tuple[Identifier, ...] = ()
    mothers_identifiers: tuple[Identifier, ...] = ()
    ssn: Text = ""
    drivers_license: Text = ""
    county: Text = ""
    citizenship: tuple[CodeableConcept, ...] = ()
    veteran_status: Text = ""
    nationality: Text = ""
    identity_unknown: Text = ""
    identity_reliability: tuple[CodeableConcept, ...] = ()
    last_updated: Text = ""
    last_updated_by: Text = ""
    species: Text = ""
    breed: Text = ""
    strain: Text = ""
    production_class: Text = ""
    tribal_citizenship: tuple[CodeableConcept, ...] = ()
    telecommunication: tuple[ContactPoint, ...] = ()
    primary_care_provider: Provider | UnsetType = UNSET
    additional: Demographics | UnsetType = UNSET
    notes: tuple[Text, ...] = ()
    extensions: dict[str, Any] | UnsetType = UNSET


class Billing(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a visit's account says (PV1-20 to PV1-49)."""

    financial_class_since: Text = ""
    charge_price: Text = ""
    courtesy: Text = ""
    credit_rating: Text = ""
    contract: Text = ""
    contract_since: Text = ""
    contract_amount: Text = ""
    contract_period: Text = ""
    interest: Text = ""
    bad_debt: Text = ""
    bad_debt_since: Text = ""
    bad_debt_agency: Text = ""
    bad_debt_amount: Text = ""
    bad_debt_recovered: Text = ""
    account_deleted: Text = ""
    account_deleted_on: Text = ""
    account_status: Text = ""
    balance: Text = ""
    charges: Text = ""
    adjustments: Text = ""
    payments: Text = ""


class VisitDetail(Struct, frozen=True, gc=False, omit_defaults=True):
    """What more is known of a visit (PV2)."""

    prior_pending_location: Location | UnsetType = UNSET
    accommodation: Text = ""
    admit_reason: CodeableConcept | UnsetType = UNSET
    transfer_reason: CodeableConcept | UnsetType = UNSET
    valuables: Text = ""
    valuables_location: Text = ""
    user_codes: tuple[CodeableConcept, ...] = ()
    expected_admit_datetime: Text = ""
    expected_discharge_datetime: Text = ""
    estimated_stay_days: Text = ""
    actual_stay_days: Text = ""
    description: Text = ""
    referral_source: Provider | UnsetType = UNSET
    previous_service_date: Text = ""
    employment_related: Text = ""
    purge_status: Text = ""
    purge_date: Text = ""
    special_program: Text = ""
    retention: Text = ""
    expected_insurance_plans: Text = ""
    publicity: Text = ""
    protection: Text = ""
    clinic: Organization | UnsetType = UNSET
    patient_status: Text = ""
    priority: Text = ""
    previous_treatment_date: Text = ""
    expected_discharge_disposition: Text = ""
    signature_on_file: Text = ""
    first_similar_illness: Text = ""
    charge_adjustment: Text = ""
    recurring_service: Text = ""
    billing_media: Text = ""
    expected_surgery: Text = ""
    military_partnership: Text = ""
    military_non_availability: Text = ""
    newborn: Text = ""
    detained: Text = ""
    mode_of_arrival: CodeableConcept | UnsetType = UNSET
    drug_use: Text = ""
    admission_level_of_care: CodeableConcept | UnsetType = UNSET
    precautions: tuple[CodeableConcept, ...] = ()
    condition: Text = ""
    living_will: Text = ""
    organ_donor: Text = ""
    advance_directives: tuple[CodeableConcept, ...] = ()
    patient_status_since: Text = ""
    expected_return: Text = ""
    expected_preadmit_testing: Text = ""
    notify_clergy: Text = ""
    advance_directive_verified_on: Text = ""


class Encounter(Struct, frozen=True, gc=False, omit_defaults=True):
    """The visit (PV1, PV2)."""

    id: Text
    class_: Text = msgspec.field(name="class")
    type: Text = ""
    service_type: Text = ""
    admit_datetime: Text = ""
    discharge_datetime: Text = ""
    location: Location | UnsetType = UNSET
    prior_location: Location | UnsetType = UNSET
    attending_provider: Provider | UnsetType = UNSET
    referring_provider: Provider | UnsetType = UNSET
    consulting_provider: Provider | UnsetType = UNSET
    admitting_provider: Provider | UnsetType = UNSET
    admit_source: Text = ""
    discharge_disposition: Text = ""
    financial_class: Text = ""
    preadmit_number: Text = ""
    admit_reason: Text = ""
    identifiers: tuple[AssignedIdentifier, ...] = ()
    alternate_identifiers: tuple[AssignedIdentifier, ...] = ()
    other_attending_providers: tuple[Provider, ...] = ()
    other_referring_providers: tuple[Provider, ...] = ()
    other_consulting_providers: tuple[Provider, ...] = ()
    other_admitting_providers: tuple[Provider, ...] = ()
    other_providers: tuple[Provider, ...] = ()
    temporary_location: Location | UnsetType = UNSET
    prior_temporary_location: Location | UnsetType = UNSET
    pending_location: Location | UnsetType = UNSET
    preadmit_test: Text = ""
    readmission: Text = ""
    ambulatory_status: tuple[CodeableConcept, ...] = ()
    vip: Text = ""
    patient_type: Text = ""
    discharged_to: Text = ""
    diet: Text = ""
    servicing_facility: Text = ""
    bed_status: Text = ""
    visit_indicator: Text = ""
    episode_description: Text = ""
    episode_id: Text = ""
    billing: Billing | UnsetType = UNSET
    detail: VisitDetail | UnsetType = UNSET
    notes: tuple[Text, ...] = ()
    classified_event_type: str = ""


class Visit(Meta, frozen=True, gc=False, omit_defaults=True):
    """A patient and a visit: the body all ADT events here share."""

    patient: Patient | UnsetType = UNSET
    encounter: Encounter | UnsetType = UNSET
