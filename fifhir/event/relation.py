"""Who else has to do with a patient: next of kin, and people in a role."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import (
    Address,
    AssignedIdentifier,
    CodeableConcept,
    ContactPoint,
    Location,
    Organization,
    PersonName,
    Provider,
    Text,
)


class RelatedPerson(Struct, frozen=True, gc=False, omit_defaults=True):
    """A next of kin or other contact (NK1)."""

    set_id: Text = ""
    name: PersonName | UnsetType = UNSET
    other_names: tuple[PersonName, ...] = ()
    relationship: CodeableConcept | UnsetType = UNSET
    address: Address | UnsetType = UNSET
    other_addresses: tuple[Address, ...] = ()
    phones: tuple[ContactPoint, ...] = ()
    business_phones: tuple[ContactPoint, ...] = ()
    contact_role: CodeableConcept | UnsetType = UNSET
    start_date: Text = ""
    end_date: Text = ""
    job_title: Text = ""
    job_class: Text = ""
    employee_id: Text = ""
    organization: Organization | UnsetType = UNSET
    marital_status: Text = ""
    gender: Text = ""
    date_of_birth: Text = ""
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
    contact_reason: Text = ""
    contact_names: tuple[PersonName, ...] = ()
    contact_phones: tuple[ContactPoint, ...] = ()
    contact_addresses: tuple[Address, ...] = ()
    identifiers: tuple[AssignedIdentifier, ...] = ()
    job_status: Text = ""
    race: Text = ""
    handicap: Text = ""
    contact_ssn: Text = ""
    birth_place: Text = ""
    vip: Text = ""
    telecommunication: tuple[ContactPoint, ...] = ()
    contact_telecommunication: tuple[ContactPoint, ...] = ()
    notes: tuple[Text, ...] = ()


class Role(Struct, frozen=True, gc=False, omit_defaults=True):
    """Somebody who acts in a role (ROL, PRT)."""

    id: Text = ""
    action: Text = ""
    role: CodeableConcept | UnsetType = UNSET
    person: Provider | UnsetType = UNSET
    other_persons: tuple[Provider, ...] = ()
    begin: Text = ""
    end: Text = ""
    duration: Text = ""
    action_reason: Text = ""
    provider_type: Text = ""
    unit_type: Text = ""
    address: Address | UnsetType = UNSET
    phones: tuple[ContactPoint, ...] = ()
    location: Location | UnsetType = UNSET
    organization: Organization | UnsetType = UNSET
    device: Text = ""
