"""Who a message is about and which visit: what most events share."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import (
    Address,
    CodeableConcept,
    ContactPoint,
    IdentifierSet,
    Location,
    PersonName,
    Provider,
    Text,
)
from fifhir.event.meta import Meta


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
    extensions: dict[str, Any] | UnsetType = UNSET


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
    classified_event_type: str = ""


class Visit(Meta, frozen=True, gc=False, omit_defaults=True):
    """A patient and a visit: the body all ADT events here share."""

    patient: Patient | UnsetType = UNSET
    encounter: Encounter | UnsetType = UNSET
