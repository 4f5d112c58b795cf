"""What was measured or observed, and what was found."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Text


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
