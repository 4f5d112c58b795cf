"""What a system answers to a message: whether it took it, and what was wrong."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Text


class Acknowledged(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a system answered to a message (MSA; HL7 v2.9 2.14.8)."""

    code: Text = ""
    control_id: Text = ""
    text: Text = ""
    expected_sequence: Text = ""
    error: CodeableConcept | UnsetType = UNSET


class ReportedError(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was wrong with a message (ERR; HL7 v2.9 2.14.5)."""

    location: Text = ""
    sequence: Text = ""
    field: Text = ""
    repetition: Text = ""
    component: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    severity: Text = ""
    application_code: CodeableConcept | UnsetType = UNSET
    diagnostics: Text = ""
    user_message: Text = ""
