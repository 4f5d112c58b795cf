"""Results and the orders they fill."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Provider, Text
from fifhir.event.meta import Meta
from fifhir.event.patient import Encounter, Patient


class Test(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was measured (OBX-3), in which panel of which order (OBR)."""

    description: Text
    code: CodeableConcept | UnsetType = UNSET
    loinc_code: Text = ""
    local_code: Text = ""
    panel: Text = ""
    order_id: Text = ""


class Result(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was found (OBX)."""

    value: Text
    value_type: Text = ""
    unit: Text = ""
    reference_range: Text = ""
    interpretation: Text = ""
    status: Text = ""
    observation_time: Text = ""
    notes: tuple[Text, ...] = ()


class Observation(Struct, frozen=True, gc=False, omit_defaults=True):
    """A test and its result; `order` is the position of its OBR in the event's `orders`."""

    test: Test
    result: Result
    order: int | UnsetType = UNSET
    set_id: Text = ""
    sub_id: Text = ""


class Order(Struct, frozen=True, gc=False, omit_defaults=True):
    """An order that was filled (OBR), in the order sent."""

    set_id: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    observation_time: Text = ""
    specimen_received_time: Text = ""
    ordering_provider: Provider | UnsetType = UNSET
    reported_time: Text = ""
    diagnostic_service: Text = ""
    status: Text = ""
    notes: tuple[Text, ...] = ()


class LabResult(Meta, frozen=True, gc=False, omit_defaults=True, tag="lab_result"):
    """ORU^R01: results, in the order sent; `test` and `result` are the first of `results`."""

    patient: Patient | UnsetType = UNSET
    ordering_provider: Provider | UnsetType = UNSET
    test: Test | UnsetType = UNSET
    result: Result | UnsetType = UNSET
    results: tuple[Observation, ...] = ()
    is_critical: bool = msgspec.field(default_factory=bool)  # a factory: false is said, not omitted
    orders: tuple[Order, ...] = ()
    encounter: Encounter | UnsetType = UNSET
