"""What every event carries, and the event of a message that has none of its own."""

from msgspec import Struct

from fifhir.event.datatypes import Text


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
    sequence_number: Text = ""
    accept_acknowledgment: Text = ""
    application_acknowledgment: Text = ""
    country: Text = ""
    character_set: Text = ""
    language: Text = ""
    profile_ids: Text = ""
    security: Text = ""
    responsible_organization: Text = ""
    receiving_organization: Text = ""
    sending_address: Text = ""
    receiving_address: Text = ""
    confidentiality: Text = ""
    handling: Text = ""


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


class Segment(Struct, frozen=True, gc=False, omit_defaults=True):
    """One segment of an unmapped message: its valued fields by number, text as sent."""

    name: str
    fields: dict[str, str]


class UnmappedMessage(Meta, frozen=True, gc=False, omit_defaults=True, tag="unmapped_message"):
    """Any other message: there is no event for it yet, so all of its segments are passed on."""

    segments: tuple[Segment, ...] = ()
