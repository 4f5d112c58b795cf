"""Results and the orders they fill."""

from typing import TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fifhir.event.clinical import Specimen, Timing
from fifhir.event.datatypes import (
    Address,
    CodeableConcept,
    ContactPoint,
    Number,
    Organization,
    Provider,
    Text,
)
from fifhir.event.meta import Meta
from fifhir.event.observation import Observation, Result, Test
from fifhir.event.patient import Encounter, Patient
from fifhir.event.relation import RelatedPerson


class Request(Struct, frozen=True, gc=False, omit_defaults=True):
    """What the order itself says beside what was done (ORC)."""

    control: Text = ""
    status: Text = ""
    placer_group_number: Text = ""
    response: Text = ""
    parent: Text = ""
    transaction_time: Text = ""
    entered_by: Provider | UnsetType = UNSET
    verified_by: Provider | UnsetType = UNSET
    ordering_provider: Provider | UnsetType = UNSET
    entry_location: Text = ""
    call_back_phone: ContactPoint | UnsetType = UNSET
    effective_time: Text = ""
    control_reason: CodeableConcept | UnsetType = UNSET
    entering_organization: Text = ""
    entering_device: Text = ""
    action_by: Provider | UnsetType = UNSET
    ordering_facility: Organization | UnsetType = UNSET
    ordering_facility_address: Address | UnsetType = UNSET
    ordering_facility_phone: ContactPoint | UnsetType = UNSET
    ordering_provider_address: Address | UnsetType = UNSET
    status_modifier: Text = ""
    expected_at: Text = ""
    confidentiality: Text = ""
    order_type: Text = ""
    authorization_mode: Text = ""


class Order(Struct, frozen=True, gc=False, omit_defaults=True):
    """An order that was filled (OBR, ORC), in the order sent."""

    set_id: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    priority: Text = ""
    requested_time: Text = ""
    observation_time: Text = ""
    observation_end_time: Text = ""
    collection_volume: Number | UnsetType = UNSET
    collection_volume_units: Text = ""
    collectors: tuple[Provider, ...] = ()
    specimen_action: Text = ""
    danger: Text = ""
    relevant_information: Text = ""
    specimen_received_time: Text = ""
    specimen_source: Text = ""
    ordering_provider: Provider | UnsetType = UNSET
    other_ordering_providers: tuple[Provider, ...] = ()
    call_back_phones: tuple[ContactPoint, ...] = ()
    placer_field_1: Text = ""
    placer_field_2: Text = ""
    filler_field_1: Text = ""
    filler_field_2: Text = ""
    reported_time: Text = ""
    diagnostic_service: Text = ""
    status: Text = ""
    parent_result: Text = ""
    quantity_timing: Text = ""
    copies_to: tuple[Provider, ...] = ()
    parent_order: Text = ""
    transportation: Text = ""
    reasons: tuple[CodeableConcept, ...] = ()
    interpreter: Text = ""
    assistants: Text = ""
    technicians: Text = ""
    transcriptionists: Text = ""
    scheduled_time: Text = ""
    containers_number: Text = ""
    procedure: CodeableConcept | UnsetType = UNSET
    procedure_modifiers: tuple[CodeableConcept, ...] = ()
    placer_information: tuple[CodeableConcept, ...] = ()
    filler_information: tuple[CodeableConcept, ...] = ()
    result_handling: Text = ""
    parent_code: CodeableConcept | UnsetType = UNSET
    request: Request | UnsetType = UNSET
    timings: tuple[Timing, ...] = ()
    notes: tuple[Text, ...] = ()


class Container(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a specimen is in (SAC)."""

    accession_id: Text = ""
    container_id: Text = ""
    type: Text = ""
    carrier_type: Text = ""
    carrier_id: Text = ""
    registered_at: Text = ""
    status: Text = ""
    additives: Text = ""
    available_volume: Number | UnsetType = UNSET
    volume_unit: Text = ""


class ResultSpecimen(Specimen, frozen=True, gc=False, omit_defaults=True):
    """A specimen of a result; `order` is the position of its OBR in the event's `orders`."""

    order: int | UnsetType = UNSET
    containers: tuple[Container, ...] = ()
    notes: tuple[Text, ...] = ()


class PatientResults(Struct, frozen=True, gc=False, omit_defaults=True):
    """The results of one of several patients of a message."""

    patient: Patient | UnsetType = UNSET
    encounter: Encounter | UnsetType = UNSET
    results: tuple[Observation, ...] = ()
    is_critical: bool = msgspec.field(default_factory=bool)
    orders: tuple[Order, ...] = ()
    specimens: tuple[ResultSpecimen, ...] = ()
    next_of_kin: tuple[RelatedPerson, ...] = ()


class Results(Meta, frozen=True, gc=False, omit_defaults=True):
    """Results, in the order sent; `test` and `result` are the first of `results`.

    A message about several patients has `patients` and, lest they be taken for one another's,
    none of the other keys of its body but `is_critical`, which is true if any result is.
    """

    patient: Patient | UnsetType = UNSET
    ordering_provider: Provider | UnsetType = UNSET
    test: Test | UnsetType = UNSET
    result: Result | UnsetType = UNSET
    results: tuple[Observation, ...] = ()
    is_critical: bool = msgspec.field(default_factory=bool)  # a factory: false is said, not omitted
    orders: tuple[Order, ...] = ()
    encounter: Encounter | UnsetType = UNSET
    specimens: tuple[ResultSpecimen, ...] = ()
    next_of_kin: tuple[RelatedPerson, ...] = ()
    patients: tuple[PatientResults, ...] = ()


class LabResult(Results, frozen=True, gc=False, omit_defaults=True, tag="lab_result"):
    """ORU^R01, R03, R30-R32, OUL^R21-R24: results, in the order sent."""


class ObservationAlert(Results, frozen=True, gc=False, omit_defaults=True, tag="observation_alert"):
    """ORU^R40: an alarm of a device, and what was observed."""


Reported: TypeAlias = LabResult | ObservationAlert
