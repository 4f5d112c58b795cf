"""Which fields of a message have a value that no rule reads, so that nothing is dropped unseen.

What an event's rules read follows from `tables/`, struct by struct, as the plans do. A field counts
as read if any part of it is.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

from fifhir import event as vocabulary
from fifhir import tables
from fifhir.message import Message
from fifhir.profile import Profile

Field: TypeAlias = tuple[bytes, int]

OWN = "Z"  # what all of the senders' own segments are called together
NAMED = (OWN, *sorted({segment.decode() for segment, _ in tables.ELEMENTS}))
_ALWAYS = frozenset({(b"MSH", 1), (b"MSH", 2), (b"MSH", 9), (b"MSH", 18), (b"EVN", 1)})


def counts(message: Message, event_type: str, profile: Profile) -> Counter[str]:
    """How many values of each segment no rule reads; what `NAMED` has not is ""."""
    names = (message.name(at) for at, _ in unread(message, event_type, profile))
    return Counter(map(_called, names))


def _called(segment: bytes) -> str:
    name = OWN if segment.startswith(b"Z") else segment.decode("ascii", "replace")
    return name if name in NAMED else ""


def unread(message: Message, event_type: str, profile: Profile) -> Iterator[tuple[int, int]]:
    """The segment's position and the field's number, for each value that is not in the event."""
    if event_type == "unmapped_message":  # it carries them all
        return
    known = reads(event_type, several=message.census((b"PID",)) > (1,))
    for at in range(len(message)):
        name = message.name(at)
        own = name.startswith(b"Z")
        for field in range(1, message.fields(at) + 1):
            if (name, field) in known or (own and profile.keeps(name.decode(), field)):
                continue
            if message.cut(at, field, 0):
                yield at, field


@cache
def reads(event_type: str, *, several: bool = False) -> frozenset[Field]:
    """Every field that an event's rules name, for a message about one patient or about several."""
    cls = vocabulary.EVENTS[event_type]
    is_manifold = {"patient", "patients"} <= set(cls.__struct_encode_fields__)
    left_out = "patients" if is_manifold and not several else ""
    return _ALWAYS | frozenset(_fields({base.__name__ for base in cls.__mro__}, left_out))


def _fields(waiting: set[str], left_out: str) -> Iterator[Field]:
    """The fields the rows of these structs name, and those of the structs they lead to."""
    done: set[str] = set()
    while waiting:
        struct = waiting.pop()
        done.add(struct)
        for key, rows in tables.FIELDS.get(struct, {}).items():
            for row in rows if key != left_out else ():
                yield from _named(row)
                waiting |= _led_to(row) - done


def _named(row: tables.Field) -> Iterator[Field]:
    condition = tables.PREDICATES[row.when.removeprefix("not ")].path if row.when else ""
    for path in (*row.path.split(), condition):
        segment, _, field = path.rpartition("-")
        if segment:
            yield segment.encode(), int(field.split(".")[0])


def _led_to(row: tables.Field) -> set[str]:
    """The struct a row makes, and those it is derived from."""
    name = row.arg.partition(".")[0]
    name = tables.GROUPS[name].struct if name in tables.GROUPS else name
    cls = vocabulary.STRUCTS.get(name)
    return {base.__name__ for base in cls.__mro__} if cls else {name} & tables.FIELDS.keys()
