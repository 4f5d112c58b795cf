"""Appointments, and what is booked for them (SIU, SRM)."""

from typing import TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fifhir.event.answer import Acknowledged, ReportedError
from fifhir.event.datatypes import (
    Address,
    CodeableConcept,
    ContactPoint,
    Location,
    Number,
    Provider,
    Text,
)
from fifhir.event.patient import Visit


class Appointment(Struct, frozen=True, gc=False, omit_defaults=True):
    """The booking (SCH; HL7 v2.9 10.6.1)."""

    id: Text = ""
    placer_id: Text = ""
    placer_assigner: Text = ""
    filler_id: Text = ""
    filler_assigner: Text = ""
    occurrence: Text = ""
    placer_group: Text = ""
    schedule: CodeableConcept | UnsetType = UNSET
    type: Text = ""
    type_code: CodeableConcept | UnsetType = UNSET
    status: Text = ""
    status_code: CodeableConcept | UnsetType = UNSET
    start_time: Text = ""
    end_time: Text = ""
    duration: Text = ""
    duration_units: Text = ""
    duration_minutes: Number | UnsetType = UNSET
    priority: Text = ""
    location: Location | UnsetType = UNSET
    provider: Provider | UnsetType = UNSET
    reason: Text = ""
    reason_code: CodeableConcept | UnsetType = UNSET
    event_reason: CodeableConcept | UnsetType = UNSET
    cancellation_reason: Text = ""
    noshow: bool = msgspec.field(default_factory=bool)
    placer_contact: Provider | UnsetType = UNSET
    placer_contact_phone: ContactPoint | UnsetType = UNSET
    placer_contact_address: Address | UnsetType = UNSET
    placer_contact_location: Location | UnsetType = UNSET
    filler_contact: Provider | UnsetType = UNSET
    filler_contact_phone: ContactPoint | UnsetType = UNSET
    filler_contact_address: Address | UnsetType = UNSET
    filler_contact_location: Location | UnsetType = UNSET
    entered_by: tuple[Provider, ...] = ()
    entered_by_phones: tuple[ContactPoint, ...] = ()
    entered_by_location: Location | UnsetType = UNSET
    parent_placer_id: Text = ""
    parent_filler_id: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""


class AppointmentService(Struct, frozen=True, gc=False, omit_defaults=True):
    """A service that is booked (AIS)."""

    set_id: Text = ""
    action: Text = ""
    group: int | UnsetType = UNSET
    service: CodeableConcept | UnsetType = UNSET
    start_time: Text = ""
    start_offset: Text = ""
    start_offset_units: Text = ""
    duration: Text = ""
    duration_units: Text = ""
    allow_substitution: Text = ""
    status: Text = ""
    placer_information: tuple[CodeableConcept, ...] = ()
    filler_information: tuple[CodeableConcept, ...] = ()
    notes: tuple[Text, ...] = ()


class AppointmentResource(Struct, frozen=True, gc=False, omit_defaults=True):
    """A thing or a kind of thing that is booked (AIG)."""

    set_id: Text = ""
    action: Text = ""
    group: int | UnsetType = UNSET
    resource: CodeableConcept | UnsetType = UNSET
    type: CodeableConcept | UnsetType = UNSET
    resource_groups: tuple[CodeableConcept, ...] = ()
    quantity: Text = ""
    quantity_units: Text = ""
    start_time: Text = ""
    start_offset: Text = ""
    start_offset_units: Text = ""
    duration: Text = ""
    duration_units: Text = ""
    allow_substitution: Text = ""
    status: Text = ""
    notes: tuple[Text, ...] = ()


class AppointmentLocation(Struct, frozen=True, gc=False, omit_defaults=True):
    """A place that is booked (AIL)."""

    set_id: Text = ""
    action: Text = ""
    group: int | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    type: CodeableConcept | UnsetType = UNSET
    location_group: CodeableConcept | UnsetType = UNSET
    start_time: Text = ""
    start_offset: Text = ""
    start_offset_units: Text = ""
    duration: Text = ""
    duration_units: Text = ""
    allow_substitution: Text = ""
    status: Text = ""
    notes: tuple[Text, ...] = ()


class AppointmentPerson(Struct, frozen=True, gc=False, omit_defaults=True):
    """A person who is booked (AIP)."""

    set_id: Text = ""
    action: Text = ""
    group: int | UnsetType = UNSET
    person: Provider | UnsetType = UNSET
    role: CodeableConcept | UnsetType = UNSET
    role_group: CodeableConcept | UnsetType = UNSET
    start_time: Text = ""
    start_offset: Text = ""
    start_offset_units: Text = ""
    duration: Text = ""
    duration_units: Text = ""
    allow_substitution: Text = ""
    status: Text = ""
    notes: tuple[Text, ...] = ()


class Scheduling(Visit, frozen=True, gc=False, omit_defaults=True):
    """A booking and what is booked: the body all scheduling events share.

    `group` is the position of a resource's RGS.
    """

    appointment: Appointment | UnsetType = UNSET
    services: tuple[AppointmentService, ...] = ()
    resources: tuple[AppointmentResource, ...] = ()
    locations: tuple[AppointmentLocation, ...] = ()
    personnel: tuple[AppointmentPerson, ...] = ()


class AppointmentScheduled(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_scheduled"
):
    """SIU^S12, S27: an appointment was made."""


class AppointmentRescheduled(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_rescheduled"
):
    """SIU^S13: an appointment was moved to another time."""


class AppointmentModified(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_modified"
):
    """SIU^S14, S18-S22: an appointment or what is booked for it changed."""


class AppointmentCancelled(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_cancelled"
):
    """SIU^S15: an appointment was called off before it took place."""


class AppointmentDiscontinued(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_discontinued"
):
    """SIU^S16: an appointment or series that had begun will not go on."""


class AppointmentDeleted(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_deleted"
):
    """SIU^S17: an appointment was entered in error."""


class AppointmentNoshow(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_noshow"
):
    """SIU^S26: the patient did not come."""


class ScheduleBlocked(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="schedule_blocked"
):
    """SIU^S23: a slot of time can no longer be booked."""


class ScheduleOpened(Scheduling, frozen=True, gc=False, omit_defaults=True, tag="schedule_opened"):
    """SIU^S24: a slot of time can be booked again."""


class AppointmentRequest(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_request"
):
    """SRM^S01-S11: somebody asks for a booking, or for a change of one."""


class SchedulingResponse(
    Scheduling, frozen=True, gc=False, omit_defaults=True, tag="appointment_response"
):
    """SRR^S01-S11: a system answered to a request for a booking."""

    acknowledged: Acknowledged | UnsetType = UNSET
    errors: tuple[ReportedError, ...] = ()


SchedulingEvent: TypeAlias = (
    AppointmentScheduled
    | AppointmentRescheduled
    | AppointmentModified
    | AppointmentCancelled
    | AppointmentDiscontinued
    | AppointmentDeleted
    | AppointmentNoshow
    | ScheduleBlocked
    | ScheduleOpened
    | AppointmentRequest
    | SchedulingResponse
)
