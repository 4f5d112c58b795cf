"""Results and the orders they fill."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Provider, Text
from fifhir.event.meta import Meta
from fifhir.event.observation import Observation, Result, Test
from fifhir.event.patient import Encounter, Patient


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
