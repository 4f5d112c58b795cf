"""The vocabulary: what a message means, as a tagged union of structs; one file a family.

Field names are the JSON keys. A default means "absent" and is left out of the JSON; an HL7 null
(`""` on the wire, "delete what you have") is `None` and becomes JSON `null`. Times are ISO 8601
text with the precision and the offset of their source. Constructors take their fields by
position, in the order of the structs; the table loader holds `tables/fields/` to them.
"""

from types import ModuleType
from typing import TypeAlias, get_args

import msgspec
from msgspec import Struct

from fifhir.event import (
    admission,
    answer,
    care,
    clinical,
    coverage,
    datatypes,
    document,
    exchange,
    finance,
    immunization,
    master,
    medication,
    meta,
    observation,
    orders,
    patient,
    relation,
    result,
    scheduling,
)
from fifhir.event.admission import Admission, PatientAdmit, Prior
from fifhir.event.care import CareEvent
from fifhir.event.datatypes import (
    CodeableConcept,
    Coding,
    ContactPoint,
    Identifier,
    IdentifierSet,
    Provider,
    Text,
)
from fifhir.event.document import DocumentEvent
from fifhir.event.exchange import ExchangeEvent
from fifhir.event.finance import FinanceEvent
from fifhir.event.immunization import Immunization
from fifhir.event.master import MasterFileEvent
from fifhir.event.medication import MedicationEvent
from fifhir.event.meta import Header, Meta, Segment, UnmappedMessage, Warning
from fifhir.event.orders import OrderEvent
from fifhir.event.patient import Patient, Visit
from fifhir.event.result import LabResult, Reported, Results
from fifhir.event.scheduling import SchedulingEvent

__all__ = [
    "EVENTS",
    "EVENT_TYPES",
    "STRUCTS",
    "CodeableConcept",
    "Coding",
    "ContactPoint",
    "Event",
    "Header",
    "Identifier",
    "IdentifierSet",
    "LabResult",
    "Meta",
    "Patient",
    "PatientAdmit",
    "Prior",
    "Provider",
    "Results",
    "Segment",
    "Text",
    "UnmappedMessage",
    "Visit",
    "Warning",
    "encode",
    "event_type",
]

Event: TypeAlias = (
    Admission
    | Reported
    | OrderEvent
    | MedicationEvent
    | Immunization
    | SchedulingEvent
    | DocumentEvent
    | FinanceEvent
    | CareEvent
    | MasterFileEvent
    | ExchangeEvent
    | UnmappedMessage
)

_FAMILIES: tuple[ModuleType, ...] = (
    datatypes,
    meta,
    patient,
    observation,
    coverage,
    relation,
    answer,
    clinical,
    admission,
    result,
    orders,
    medication,
    immunization,
    scheduling,
    document,
    finance,
    care,
    master,
    exchange,
)


def _structs(module: ModuleType) -> dict[str, type[Struct]]:
    found = {name: item for name, item in vars(module).items() if isinstance(item, type)}
    return {name: cls for name, cls in found.items() if issubclass(cls, Struct)}


STRUCTS: dict[str, type[Struct]] = {
    name: cls for family in _FAMILIES for name, cls in _structs(family).items()
}
EVENTS: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in get_args(Event)}
EVENT_TYPES: tuple[str, ...] = tuple(EVENTS)

_encoder = msgspec.json.Encoder()


def event_type(event: Event) -> str:
    """The event's name, the JSON key `type`."""
    return str(event.__struct_config__.tag)


def encode(event: Event) -> bytes:
    """The event as one line of JSON, without a newline at its end."""
    return _encoder.encode(event)
