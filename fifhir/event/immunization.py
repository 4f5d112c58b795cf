"""Doses of vaccines (VXU)."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Location, Provider, Text
from fifhir.event.observation import Observation
from fifhir.event.patient import Visit


class Vaccination(Struct, frozen=True, gc=False, omit_defaults=True):
    """One dose that was given, refused or reported (RXA, with its ORC and RXR; HL7 v2.9 4A.4.7)."""

    vaccine_code: Text = ""
    vaccine_name: Text = ""
    vaccine: CodeableConcept | UnsetType = UNSET
    status: Text = ""
    action: Text = ""
    administered_datetime: Text = ""
    administered_end: Text = ""
    lot_number: Text = ""
    expiration_date: Text = ""
    manufacturer: CodeableConcept | UnsetType = UNSET
    site: Text = ""
    site_code: CodeableConcept | UnsetType = UNSET
    route: Text = ""
    route_code: CodeableConcept | UnsetType = UNSET
    dose_quantity: Text = ""
    dose_amount: Text = ""
    dose_unit: Text = ""
    dosage_form: CodeableConcept | UnsetType = UNSET
    source_notes: tuple[CodeableConcept, ...] = ()
    performer: Provider | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    refusal_reasons: tuple[CodeableConcept, ...] = ()
    indications: tuple[CodeableConcept, ...] = ()
    entered_at: Text = ""
    control: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    entered_by: Provider | UnsetType = UNSET
    ordering_provider: Provider | UnsetType = UNSET
    entering_organization: CodeableConcept | UnsetType = UNSET
    observations: tuple[Observation, ...] = ()
    notes: tuple[Text, ...] = ()


class Immunization(Visit, frozen=True, gc=False, omit_defaults=True, tag="immunization"):
    """VXU^V04: doses of vaccines, in the order sent.

    `immunization` is the first of `immunizations`.
    """

    immunization: Vaccination | UnsetType = UNSET
    administered_date: Text = ""
    performer: Provider | UnsetType = UNSET
    immunizations: tuple[Vaccination, ...] = ()
