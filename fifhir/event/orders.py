"""Orders of tests, services and treatments, whoever fills them (ORM, OML, OMG and their like)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.answer import Acknowledged, ReportedError
from fifhir.event.clinical import Diagnosis, Guarantor, Insurance, Specimen, Timing
from fifhir.event.datatypes import (
    Address,
    CodeableConcept,
    ContactPoint,
    Location,
    Organization,
    Provider,
    Text,
)
from fifhir.event.medication import MedicationRequest
from fifhir.event.observation import Observation
from fifhir.event.patient import Visit


class OrderRequest(Struct, frozen=True, gc=False, omit_defaults=True):
    """An order (ORC and what it asks for; HL7 v2.9 4.5.1 and 4.5.3)."""

    control: Text = ""
    set_id: Text = ""
    placer_order_number: Text = ""
    placer_assigner: Text = ""
    filler_order_number: Text = ""
    filler_assigner: Text = ""
    placer_group_number: Text = ""
    status: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    priority: Text = ""
    action: Text = ""
    requested_datetime: Text = ""
    start_time: Text = ""
    end_time: Text = ""
    observation_time: Text = ""
    observation_end_time: Text = ""
    scheduled_datetime: Text = ""
    transaction_datetime: Text = ""
    effective_datetime: Text = ""
    ordering_provider: Provider | UnsetType = UNSET
    call_back_phones: tuple[ContactPoint, ...] = ()
    entered_by: Provider | UnsetType = UNSET
    verified_by: Provider | UnsetType = UNSET
    action_by: Provider | UnsetType = UNSET
    enterer_location: Location | UnsetType = UNSET
    control_reason: CodeableConcept | UnsetType = UNSET
    entering_organization: CodeableConcept | UnsetType = UNSET
    entering_device: CodeableConcept | UnsetType = UNSET
    ordering_facility: Organization | UnsetType = UNSET
    ordering_facility_address: Address | UnsetType = UNSET
    ordering_facility_phones: tuple[ContactPoint, ...] = ()
    ordering_provider_address: Address | UnsetType = UNSET
    status_modifier: CodeableConcept | UnsetType = UNSET
    confidentiality: CodeableConcept | UnsetType = UNSET
    order_type: Text = ""
    authorization_mode: CodeableConcept | UnsetType = UNSET
    parent_placer_number: Text = ""
    parent_filler_number: Text = ""
    collection_volume: Text = ""
    collection_volume_units: Text = ""
    collectors: tuple[Provider, ...] = ()
    danger: CodeableConcept | UnsetType = UNSET
    clinical_information: Text = ""
    specimen_received_time: Text = ""
    specimen_source: Text = ""
    specimen_id: Text = ""
    placer_fields: Text = ""
    filler_fields: Text = ""
    reported_time: Text = ""
    diagnostic_service: Text = ""
    result_status: Text = ""
    copies_to: tuple[Provider, ...] = ()
    transportation: Text = ""
    reasons: tuple[CodeableConcept, ...] = ()
    procedure: CodeableConcept | UnsetType = UNSET
    procedure_modifiers: tuple[CodeableConcept, ...] = ()
    supplemental_information: tuple[CodeableConcept, ...] = ()
    result_handling: CodeableConcept | UnsetType = UNSET
    medication_request: MedicationRequest | UnsetType = UNSET
    timings: tuple[Timing, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    observations: tuple[Observation, ...] = ()
    specimens: tuple[Specimen, ...] = ()
    notes: tuple[Text, ...] = ()


class OrderEntry(Visit, frozen=True, gc=False, omit_defaults=True):
    """Orders, in the order sent: the body all order events share.

    The control code of the first one names the event.
    """

    orders: tuple[OrderRequest, ...] = ()
    specimens: tuple[Specimen, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    guarantors: tuple[Guarantor, ...] = ()
    insurance_info: tuple[Insurance, ...] = ()


class OrderPlaced(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_placed"):
    """ORM, OMG, OMI, OMS, OMN, OMD: something was ordered."""


class OrderChanged(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_changed"):
    """ORM, OMG and so on with ORC-1 XO, XX, XR, RP, RO, RQ, RU: orders were changed."""


class OrderCancelled(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_cancelled"):
    """ORM, OMG and so on with ORC-1 CA, OC, CR: orders were taken back."""


class OrderDiscontinued(
    OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_discontinued"
):
    """ORM, OMG and so on with ORC-1 DC, OD, DR: orders end before they are done."""


class OrderHeld(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_held"):
    """ORM, OMG and so on with ORC-1 HD, OH, HR: orders are suspended."""


class OrderReleased(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_released"):
    """ORM, OMG and so on with ORC-1 RL, OE, OR: held orders go on."""


class OrderStatusChange(
    OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="order_status_change"
):
    """ORM, OMG and so on with ORC-1 SC, SR: the status of orders changed."""


class LabOrdered(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_ordered"):
    """OML: tests were ordered."""


class LabChanged(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_changed"):
    """OML with ORC-1 XO, XX, XR, RP, RO, RQ, RU: orders were changed."""


class LabCancelled(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_cancelled"):
    """OML with ORC-1 CA, OC, CR: orders were taken back."""


class LabDiscontinued(
    OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_discontinued"
):
    """OML with ORC-1 DC, OD, DR: orders end before they are done."""


class LabHeld(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_held"):
    """OML with ORC-1 HD, OH, HR: orders are suspended."""


class LabReleased(OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_released"):
    """OML with ORC-1 RL, OE, OR: held orders go on."""


class LabStatusChange(
    OrderEntry, frozen=True, gc=False, omit_defaults=True, tag="lab_status_change"
):
    """OML with ORC-1 SC, SR: the status of orders changed."""


class OrderResponse(Visit, frozen=True, gc=False, omit_defaults=True, tag="order_response"):
    """ORR, ORL, ORG, ORI, ORP, ORD, ORS, ORN, RRE, RRD, RRA, RRG: a system answered to orders."""

    acknowledged: Acknowledged | UnsetType = UNSET
    errors: tuple[ReportedError, ...] = ()
    orders: tuple[OrderRequest, ...] = ()


OrderEvent: TypeAlias = (
    OrderPlaced
    | OrderChanged
    | OrderCancelled
    | OrderDiscontinued
    | OrderHeld
    | OrderReleased
    | OrderStatusChange
    | LabOrdered
    | LabChanged
    | LabCancelled
    | LabDiscontinued
    | LabHeld
    | LabReleased
    | LabStatusChange
    | OrderResponse
)
