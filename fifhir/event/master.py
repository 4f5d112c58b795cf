"""Master files: staff, places, tests, charges (MFN, MFK)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.answer import Acknowledged, ReportedError
from fifhir.event.datatypes import (
    Address,
    AssignedIdentifier,
    CodeableConcept,
    ContactPoint,
    Location,
    Organization,
    PersonName,
    Text,
)
from fifhir.event.meta import Meta


class StaffMember(Struct, frozen=True, gc=False, omit_defaults=True):
    """A member of a staff (STF; HL7 v2.9 chapter 15)."""

    key: CodeableConcept | UnsetType = UNSET
    identifiers: tuple[AssignedIdentifier, ...] = ()
    names: tuple[PersonName, ...] = ()
    staff_types: Text = ""
    gender: Text = ""
    date_of_birth: Text = ""
    is_active: Text = ""
    departments: tuple[CodeableConcept, ...] = ()
    services: tuple[CodeableConcept, ...] = ()
    phones: tuple[ContactPoint, ...] = ()
    addresses: tuple[Address, ...] = ()
    emails: Text = ""
    job_title: Text = ""
    job_code: Text = ""
    degrees: tuple[CodeableConcept, ...] = ()
    practitioner_group: CodeableConcept | UnsetType = UNSET
    practitioner_categories: Text = ""
    is_provider_billing: Text = ""
    specialties: Text = ""
    practitioner_identifiers: Text = ""


class MasterLocation(Struct, frozen=True, gc=False, omit_defaults=True):
    """A place (LOC; HL7 v2.9 chapter 8)."""

    location: Location | UnsetType = UNSET
    description: Text = ""
    types: Text = ""
    organizations: tuple[Organization, ...] = ()
    addresses: tuple[Address, ...] = ()
    phones: tuple[ContactPoint, ...] = ()
    service: CodeableConcept | UnsetType = UNSET


class MasterTest(Struct, frozen=True, gc=False, omit_defaults=True):
    """A test or observation a service offers (OM1; HL7 v2.9 chapter 8)."""

    sequence: Text = ""
    test: CodeableConcept | UnsetType = UNSET
    data_types: Text = ""
    specimen_required: Text = ""
    producer: CodeableConcept | UnsetType = UNSET
    description: Text = ""
    other_test_ids: tuple[CodeableConcept, ...] = ()
    preferred_names: Text = ""
    orderable: Text = ""
    nature: Text = ""
    portable: Text = ""
    confidentiality: Text = ""
    units: CodeableConcept | UnsetType = UNSET


class MasterCharge(Struct, frozen=True, gc=False, omit_defaults=True):
    """A charge of a price list (CDM; HL7 v2.9 chapter 8)."""

    charge: CodeableConcept | UnsetType = UNSET
    alternate_charges: tuple[CodeableConcept, ...] = ()
    short_description: Text = ""
    long_description: Text = ""
    overrides: Text = ""
    exploding_charges: tuple[AssignedIdentifier, ...] = ()
    procedures: tuple[CodeableConcept, ...] = ()
    is_active: Text = ""
    inventory_numbers: tuple[CodeableConcept, ...] = ()
    price: Text = ""


class MasterFileEntry(Struct, frozen=True, gc=False, omit_defaults=True):
    """A record of a master file and what is to be done with it (MFE; HL7 v2.9 8.5.2)."""

    action: Text = ""
    control_id: Text = ""
    effective_datetime: Text = ""
    key: Text = ""
    key_type: Text = ""
    staff: StaffMember | UnsetType = UNSET
    location: MasterLocation | UnsetType = UNSET
    test: MasterTest | UnsetType = UNSET
    charge: MasterCharge | UnsetType = UNSET
    notes: tuple[Text, ...] = ()


class MasterFileUpdate(Meta, frozen=True, gc=False, omit_defaults=True, tag="master_file_update"):
    """MFN, MFD: records of a master file are to be added, changed or taken out."""

    file: CodeableConcept | UnsetType = UNSET
    file_application: Text = ""
    action: Text = ""
    entered_datetime: Text = ""
    effective_datetime: Text = ""
    response_level: Text = ""
    entries: tuple[MasterFileEntry, ...] = ()


class MasterFileOutcome(Struct, frozen=True, gc=False, omit_defaults=True):
    """What became of a record of a master file (MFA; HL7 v2.9 8.5.3)."""

    action: Text = ""
    control_id: Text = ""
    completed_datetime: Text = ""
    outcome: CodeableConcept | UnsetType = UNSET
    key: Text = ""


class MasterFileResponse(
    Meta, frozen=True, gc=False, omit_defaults=True, tag="master_file_response"
):
    """MFK, MFR: a system answered to records of a master file."""

    acknowledged: Acknowledged | UnsetType = UNSET
    errors: tuple[ReportedError, ...] = ()
    file: CodeableConcept | UnsetType = UNSET
    action: Text = ""
    outcomes: tuple[MasterFileOutcome, ...] = ()


MasterFileEvent: TypeAlias = MasterFileUpdate | MasterFileResponse
