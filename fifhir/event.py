"""The vocabulary: what a message means, as a tagged union of structs.

Field names are the JSON keys. A default means "absent" and is left out of the JSON; an HL7 null
(`""` on the wire, "delete what you have") is `None` and becomes JSON `null`. Times are ISO 8601
text with the precision and the offset of their source. Constructors take their fields by
position, in the order of the rows in `tables/fields.csv`, which is held to these structs by the
table loader.
"""

from typing import Any, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

Text: TypeAlias = str | None


class Coding(Struct, frozen=True, gc=False, omit_defaults=True):
    """One code of one code system (CWE.1-3, .4-6 or .10-12)."""

    system: Text = ""
    code: Text = ""
    display: Text = ""


class CodeableConcept(Struct, frozen=True, gc=False, omit_defaults=True):
    """A coded value: every coding the sender gave, and the text they belong to (CWE)."""

    coding: tuple[Coding, ...] = ()
    text: Text = ""


class Header(Struct, frozen=True, gc=False, omit_defaults=True):
    """MSH: who sent what to whom (HL7 v2 chapter 2, 2.14.9)."""

    message_type: str = ""
    trigger_event: str = ""
    message_structure: Text = ""
    sending_application: Text = ""
    sending_facility: Text = ""
    receiving_application: Text = ""
    receiving_facility: Text = ""
    sent_at: Text = ""
    processing_id: Text = ""
    version: Text = ""


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


class Segment(Struct, frozen=True, gc=False, omit_defaults=True):
    """One segment of an unmapped message: its valued fields by number, text as sent."""

    name: str
    fields: dict[str, str]


class Warning(Struct, frozen=True, gc=False, omit_defaults=True):
    """Something the message got wrong and the reader tolerated."""

    phase: str
    code: str
    message: str
    path: str = ""
    severity: str = "warning"


class Meta(Struct, frozen=True, gc=False, omit_defaults=True):
    """What every event carries. `timestamp` is the source's time, `received_at` ours (RFC 3339).

    `id` is derived from the source's name and the message's bytes, so the same message sent
    again is the same event.
    """

    id: str
    timestamp: str
    received_at: str
    source: str
    source_format: str
    source_profile_id: str
    source_message_id: Text
    header: Header
    parse_warnings: tuple[Warning, ...] = ()


class Visit(Meta, frozen=True, gc=False, omit_defaults=True):
    """A patient and a visit: the body all ADT events here share."""

    patient: Patient | UnsetType = UNSET
    encounter: Encounter | UnsetType = UNSET


class PatientAdmit(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit"):
    """ADT^A01, A04: a patient was admitted or registered."""


class PatientPreadmit(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_preadmit"):
    """ADT^A05: a patient is to come; what is known is sent ahead."""


class PatientAdmitPending(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_pending"
):
    """ADT^A14: an admission is planned."""


class PatientTransfer(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer"):
    """ADT^A02: a patient moved."""


class PatientTransferPending(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_pending"
):
    """ADT^A15: a move is planned."""


class PatientDischarge(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge"):
    """ADT^A03: a visit ended."""


class PatientDischargePending(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_pending"
):
    """ADT^A16: the end of a visit is planned."""


class PatientClassChange(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_class_change"
):
    """ADT^A06, A07: an outpatient became an inpatient, or the reverse."""


class PatientDeparture(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_departure"):
    """ADT^A09: a patient left a place, for another that is not yet reached."""


class PatientArrival(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_arrival"):
    """ADT^A10: a patient arrived at a place."""


class PatientLeave(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_leave"):
    """ADT^A21: a patient went on leave of absence."""


class PatientReturn(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_return"):
    """ADT^A22: a patient came back from leave of absence."""


class PatientUpdate(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_update"):
    """ADT^A08: what is known about a patient or a visit changed."""


class PatientAdmitCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_cancelled"
):
    """ADT^A11: an admission or registration was taken back."""


class PatientPreadmitCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_preadmit_cancelled"
):
    """ADT^A38: a pre-admission was taken back."""


class PatientAdmitPendingCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_pending_cancelled"
):
    """ADT^A27: a planned admission was taken back."""


class PatientTransferCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_cancelled"
):
    """ADT^A12: a move was taken back."""


class PatientTransferPendingCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_pending_cancelled"
):
    """ADT^A26: a planned move was taken back."""


class PatientDischargeCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_cancelled"
):
    """ADT^A13: the end of a visit was taken back."""


class PatientDischargePendingCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_pending_cancelled"
):
    """ADT^A25: the planned end of a visit was taken back."""


class PatientArrivalCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_arrival_cancelled"
):
    """ADT^A32: an arrival was taken back."""


class PatientDepartureCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_departure_cancelled"
):
    """ADT^A33: a departure was taken back."""


class PatientLeaveCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_leave_cancelled"
):
    """ADT^A52: a leave of absence was taken back."""


class PatientReturnCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_return_cancelled"
):
    """ADT^A53: the return from a leave of absence was taken back."""


class VisitDelete(Visit, frozen=True, gc=False, omit_defaults=True, tag="visit_delete"):
    """ADT^A23: the record of a visit is to be deleted."""


class PersonAdd(Visit, frozen=True, gc=False, omit_defaults=True, tag="person_add"):
    """ADT^A28: a person became known."""


class PersonUpdate(Visit, frozen=True, gc=False, omit_defaults=True, tag="person_update"):
    """ADT^A31: what is known about a person changed."""


class PersonDelete(Visit, frozen=True, gc=False, omit_defaults=True, tag="person_delete"):
    """ADT^A29: the record of a person is to be deleted."""


class Prior(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a merge puts an end to (MRG): a patient's, account's or visit's former identifiers."""

    mrn: Text
    identifiers: tuple[Identifier, ...] = ()
    account_number: Text = ""
    visit_number: Text = ""
    family_name: Text = ""
    given_name: Text = ""


class PatientMerge(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_merge"):
    """ADT^A18, A30, A34-A36, A39-A45: two records were one; `prior` was merged into `patient`."""

    prior: Prior | UnsetType = UNSET


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


class UnmappedMessage(Meta, frozen=True, gc=False, omit_defaults=True, tag="unmapped_message"):
    """Any other message: there is no event for it yet, so all of its segments are passed on."""

    segments: tuple[Segment, ...] = ()


Event: TypeAlias = (
    PatientAdmit
    | PatientPreadmit
    | PatientAdmitPending
    | PatientTransfer
    | PatientTransferPending
    | PatientDischarge
    | PatientDischargePending
    | PatientClassChange
    | PatientDeparture
    | PatientArrival
    | PatientLeave
    | PatientReturn
    | PatientUpdate
    | PatientAdmitCancelled
    | PatientPreadmitCancelled
    | PatientAdmitPendingCancelled
    | PatientTransferCancelled
    | PatientTransferPendingCancelled
    | PatientDischargeCancelled
    | PatientDischargePendingCancelled
    | PatientArrivalCancelled
    | PatientDepartureCancelled
    | PatientLeaveCancelled
    | PatientReturnCancelled
    | VisitDelete
    | PersonAdd
    | PersonUpdate
    | PersonDelete
    | PatientMerge
    | LabResult
    | UnmappedMessage
)
EVENTS: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in get_args(Event)}
EVENT_TYPES: tuple[str, ...] = tuple(EVENTS)

_encoder = msgspec.json.Encoder()


def event_type(event: Event) -> str:
    """The event's name, the JSON key `type`."""
    return str(event.__struct_config__.tag)


def encode(event: Event) -> bytes:
    """The event as one line of JSON, without a newline at its end."""
    return _encoder.encode(event)
