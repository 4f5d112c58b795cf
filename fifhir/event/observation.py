"""What was measured or observed, and what was found."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import (
    Address,
    CodeableConcept,
    Organization,
    Provider,
    Text,
)


class Test(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was measured (OBX-3), in which panel of which order (OBR)."""

    description: Text
    code: CodeableConcept | UnsetType = UNSET
    loinc_code: Text = ""
    local_code: Text = ""
    panel: Text = ""
    order_id: Text = ""


class Attachment(Struct, frozen=True, gc=False, omit_defaults=True):
    """A document within a result or where it lies (ED, RP): `data` is as `encoding` says."""

    content_type: Text = ""
    subtype: Text = ""
    encoding: Text = ""
    data: Text = ""
    pointer: Text = ""
    source: Text = ""


class Result(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was found (OBX).

    A numeric `value` (NM, SN) is also the number `value_number`, with what stands around it:
    `>1:128` has a comparator, a separator and a second number. `unit_text` is the
    unit in words, `unit_code` in UCUM.
    """

    value: Text
    value_type: Text = ""
    value_number: int | float | UnsetType = UNSET
    comparator: Text = ""
    separator: Text = ""
    value_number_2: int | float | UnsetType = UNSET
    value_code: CodeableConcept | UnsetType = UNSET
    attachments: tuple[Attachment, ...] = ()
    unit: Text = ""
    unit_text: Text = ""
    unit_code: Text = ""
    reference_range: Text = ""
    interpretation: Text = ""
    nature_of_abnormality: Text = ""
    probability: Text = ""
    status: Text = ""
    observation_time: Text = ""
    analysis_time: Text = ""
    range_since: Text = ""
    access_checks: Text = ""
    producer: Text = ""
    observer: Provider | UnsetType = UNSET
    other_observers: tuple[Provider, ...] = ()
    methods: tuple[CodeableConcept, ...] = ()
    equipment: Text = ""
    body_site: CodeableConcept | UnsetType = UNSET
    instance_id: Text = ""
    mood: Text = ""
    performing_organization: Organization | UnsetType = UNSET
    performing_address: Address | UnsetType = UNSET
    medical_director: Provider | UnsetType = UNSET
    release: Text = ""
    root_cause: Text = ""
    process_control: Text = ""
    observation_type: Text = ""
    observation_subtype: Text = ""
    action: Text = ""
    absent_reason: Text = ""
    notes: tuple[Text, ...] = ()


class Observation(Struct, frozen=True, gc=False, omit_defaults=True):
    """A test and its result; `order` is the position of its OBR in the event's `orders`."""

    test: Test
    result: Result
    order: int | UnsetType = UNSET
    set_id: Text = ""
    sub_id: Text = ""
