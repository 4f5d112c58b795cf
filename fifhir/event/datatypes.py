"""What HL7 data types become: codes, identifiers, names, addresses, places, providers.

A default means "absent" and is left out of the JSON; an HL7 null is `None`.
"""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

Text: TypeAlias = str | None
Number: TypeAlias = int | float | str | None  # text where it cannot be told exactly


class Coding(Struct, frozen=True, gc=False, omit_defaults=True):
    """One code of one code system (CWE.1-3, .4-6 or .10-12)."""

    system: Text = ""
    code: Text = ""
    display: Text = ""


class CodeableConcept(Struct, frozen=True, gc=False, omit_defaults=True):
    """A coded value: every coding the sender gave, and the text they belong to (CWE)."""

    coding: tuple[Coding, ...] = ()
    text: Text = ""


class Period(Struct, frozen=True, gc=False, omit_defaults=True):
    """From when to when, either end open."""

    start: Text = ""
    end: Text = ""


class Identifier(Struct, frozen=True, gc=False, omit_defaults=True):
    """One identifier and who assigned it (CX).

    The last three are a profile's: the value before it was rewritten, and what a check found.
    """

    value: Text
    type: Text
    system: Text = ""
    assigner: Text = ""
    period: Period | UnsetType = UNSET
    original_value: Text = ""
    is_valid: bool | UnsetType = UNSET
    validation_error: Text = ""


class AssignedIdentifier(Struct, frozen=True, gc=False, omit_defaults=True):
    """An identifier of anything but a patient (CX)."""

    value: Text = ""
    type: Text = ""
    assigner: Text = ""
    system: Text = ""


class IdentifierSet(Struct, frozen=True, gc=False, omit_defaults=True):
    """All identifiers in the order sent; `primary` is the first medical record number."""

    identifiers: tuple[Identifier, ...]
    primary: Identifier | UnsetType = UNSET


class Address(Struct, frozen=True, gc=False, omit_defaults=True):
    """A postal address (XAD)."""

    line1: Text = ""
    line2: Text = ""
    city: Text = ""
    state: Text = ""
    postal_code: Text = ""
    country: Text = ""
    type: Text = ""
    county: Text = ""
    census_tract: Text = ""


class ContactPoint(Struct, frozen=True, gc=False, omit_defaults=True):
    """A phone number or electronic address (XTN)."""

    value: Text = ""
    use: Text = ""
    type: Text = ""
    email: Text = ""
    country_code: Text = ""
    area_code: Text = ""
    local_number: Text = ""
    extension: Text = ""


class PersonName(Struct, frozen=True, gc=False, omit_defaults=True):
    """A name of a person (XPN)."""

    family_name: Text = ""
    given_name: Text = ""
    middle_name: Text = ""
    suffix: Text = ""
    prefix: Text = ""
    type: Text = ""


class Organization(Struct, frozen=True, gc=False, omit_defaults=True):
    """An organization (XON)."""

    name: Text = ""
    id: Text = ""
    assigner: Text = ""
    type: Text = ""


class Location(Struct, frozen=True, gc=False, omit_defaults=True):
    """A place in a facility (PL)."""

    facility: Text = ""
    building: Text = ""
    floor: Text = ""
    unit: Text = ""
    room: Text = ""
    bed: Text = ""
    description: Text = ""


class Provider(Struct, frozen=True, gc=False, omit_defaults=True):
    """A person who provides care (XCN); `npi` is set where the sender says the id is one."""

    npi: Text = ""
    id: Text = ""
    family_name: Text = ""
    given_name: Text = ""
    middle_name: Text = ""
    suffix: Text = ""
    prefix: Text = ""
    degree: Text = ""
    assigner: Text = ""
    id_type: Text = ""
