"""Message and profile to event, by the rows of `tables/`.

Rows are compiled to one plan an event type when this module is imported, before the fork; an
unknown struct, key, path, function or code map stops the program there.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, cast

from msgspec import NODEFAULT, UNSET, structs

from fifhir import dtm, tables
from fifhir import event as vocabulary
from fifhir.errors import MessageError
from fifhir.event import Event, Observation, Segment, Warning
from fifhir.message import Message, Plan
from fifhir.profile import Profile

_ARGUMENTS = (
    "id",
    "received_at",
    "source",
    "source_format",
    "source_profile_id",
    "segments",
)
_CRITICAL = frozenset(("HH", "LL", "AA", "CRITICAL", "PANIC"))
_TEXTS = {
    "CHARSET_GUESSED": "bytes are not valid in the message's character set; read as Windows-1252",
    "EVENT_TIME_FALLBACK": "no usable event time; the time of receipt stands in for it",
    "INVALID_DTM": "value is not a valid date or time and was left out",
    "MISSING_PV1": "PV1 segment is missing",
    "MULTIPLE_PATIENTS": "message holds several patients; its segments are passed on unmapped",
    "NON_STANDARD_DELIMITERS": "MSH-2 is damaged; read as the standard delimiters",
    "UNKNOWN_SEGMENT": "line does not begin with a segment name",
}
_LIBERTIES = {"CHARSET_GUESSED": "MSH-18", "NON_STANDARD_DELIMITERS": "MSH-2"}
_PHASES = {
    "CHARSET_GUESSED": "byte",
    "NON_STANDARD_DELIMITERS": "syntactic",
    "UNKNOWN_SEGMENT": "syntactic",
}


# What a `derive` or `call` row may name.


def medical_record_number(identifiers: vocabulary.IdentifierSet) -> str | None:
    """The patient's number: the primary identifier's value, else the first one's, else ""."""
    if identifiers.primary:
        return identifiers.primary.value
    return identifiers.identifiers[0].value if identifiers.identifiers else ""


def primary_identifier(identifiers: tuple[vocabulary.Identifier, ...]) -> Any:
    """The first medical record number, if there is one."""
    for identifier in identifiers:
        if identifier.type == "MR":
            return identifier
    return UNSET


def first(items: tuple[Any, ...]) -> Any:
    """The first item, if there is one."""
    return items[0] if items else UNSET


def first_test(results: tuple[Observation, ...]) -> Any:
    """The test of the first result."""
    return results[0].test if results else UNSET


def first_result(results: tuple[Observation, ...]) -> Any:
    """The first result."""
    return results[0].result if results else UNSET


def any_critical(results: tuple[Observation, ...]) -> bool:
    """Whether a result is flagged critical or panic (HL7 table 0078: HH, LL, AA)."""
    flags = {observation.result.interpretation or "" for observation in results}
    return any(not _CRITICAL.isdisjoint(_flags(flag)) for flag in flags if len(flag) > 1)


def _flags(interpretation: str) -> Iterator[str]:
    for repetition in interpretation.upper().split("~"):
        yield from repetition.split("^", 1)[0].split()


def phone_number(phones: tuple[vocabulary.ContactPoint, ...]) -> str | None:
    """The first telephone number."""
    for phone in phones:
        if phone.value:
            return phone.value
    return ""


def email_address(phones: tuple[vocabulary.ContactPoint, ...]) -> str | None:
    """The first electronic address among the telephone numbers."""
    for phone in phones:
        if phone.email:
            return phone.email
    return ""


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        any_critical,
        email_address,
        first,
        first_result,
        first_test,
        medical_record_number,
        phone_number,
        primary_identifier,
    )
}


# Rows to plans.

Node = tuple[Any, ...]


class _Compiler:
    """The nodes of one frame; `slots` are the segments they turned out to name."""

    def __init__(self, first_slot: bytes = b"") -> None:
        self.slots: list[bytes] = [first_slot] if first_slot else []

    def struct(self, name: str, address: Any = None, default: Any = None) -> Node:
        """The node that builds a struct of the vocabulary, its fields in their order."""
        cls = getattr(vocabulary, name)
        rows = _rows_of(cls)
        fields = structs.fields(cls)
        keys = [field.encode_name for field in fields]
        if strangers := rows.keys() - set(keys):
            raise ValueError(f"fields.csv: {name} has no key {sorted(strangers)}")
        nodes = tuple(self._key(rows.get(f.encode_name, []), _default(f), keys) for f in fields)
        return ("struct", cls, nodes, address, default)

    def _key(self, rows: list[tables.Field], default: Any, keys: list[str]) -> Node:
        nodes = tuple(self._row(row, default, keys) for row in rows)
        return nodes[0] if len(nodes) == 1 else ("first", nodes, default)

    def _row(self, row: tables.Field, default: Any, keys: list[str]) -> Node:
        make: Callable[..., Node] = getattr(self, f"_{row.kind}", self._leaf)
        node = make(row, default, keys)
        if not row.when:
            return node
        predicate = tables.PREDICATES[row.when]
        return ("guard", self._address(predicate.path), predicate.values, node, default)

    def _leaf(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        address = self._address(row.path)
        if row.kind in ("whole", "lines"):
            address = (*address[:2], 0, 0)
        return (row.kind, address, default)

    def _map(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        codes = tables.codes(row.arg)
        return ("map", self._address(row.path), codes, codes.get("", default))

    def _call(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        addresses = tuple(self._address(path) for path in row.path.split())
        return ("call", addresses, _FUNCTIONS[row.arg], default)

    def _join(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        addresses = tuple(self._address(path) for path in row.path.split())
        return ("join", addresses, tuple(row.arg.replace("_", "").split(" ")), default)

    def _given(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        return ("given", _ARGUMENTS.index(row.arg))

    def _derive(self, row: tables.Field, default: Any, keys: list[str]) -> Node:
        function, sibling = row.arg.split()
        return ("derive", _FUNCTIONS[function], keys.index(sibling))

    def _ordinal(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        return ("ordinal", self._slot(row.arg.encode()), default)

    def _struct(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        if not row.path:
            return self.struct(row.arg, None, default)
        return self.struct(row.arg, self._address(row.path)[:2] + (0, 0), default)

    def _repeat(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        return ("repeat", self._address(row.path), self.struct(row.arg, None, UNSET))

    def _tuple(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        bases = [self._address(path)[2] - 1 for path in row.path.split()]
        return ("tuple", tuple(self.struct(row.arg, (0, 0, base, 0), UNSET) for base in bases))

    def _each(self, row: tables.Field, default: Any, _: list[str]) -> Node:
        group = tables.GROUPS[row.arg]
        inner = _Compiler(group.segment)
        if hasattr(vocabulary, row.arg):
            node = inner.struct(row.arg)
        else:
            node = inner._key(tables.FIELDS[row.arg][""], "", [])
        slots = tuple(inner.slots)
        return ("each", group.segment, group.followers, group.inherits, slots, node)

    def _address(self, path: str) -> tuple[int, int, int, int]:
        """`PID-5.1` in this frame, or `.4.2` in the repetition at hand."""
        segment, _, field = path.rpartition("-")
        numbers = [int(part) for part in field.removeprefix(".").split(".")]
        if segment:
            field_number, component, subcomponent = (*numbers, 1, 1)[:3]
            return self._slot(segment.encode()), field_number, component, subcomponent
        component, subcomponent = (*numbers, 1)[:2]
        return 0, 0, component, subcomponent

    def _slot(self, segment: bytes) -> int:
        if segment not in self.slots:
            self.slots.append(segment)
        return self.slots.index(segment)


def _rows_of(cls: type) -> dict[str, list[tables.Field]]:
    found: dict[str, list[tables.Field]] = {}
    for base in reversed(cls.__mro__):
        found |= tables.FIELDS.get(base.__name__, {})
    return found


def _default(field: structs.FieldInfo) -> Any:
    """What a field is where nothing was sent; None for a struct that is built all the same."""
    if field.default is not NODEFAULT:
        return field.default
    return "" if field.type in (str, vocabulary.Text) else None


def _plan(name: str) -> Plan:
    compiler = _Compiler()
    node = compiler.struct(name)
    return Plan(tuple(compiler.slots), node)


_PLANS = {tag: _plan(cls.__name__) for tag, cls in vocabulary.EVENTS.items()}


# Messages to events.


def extract(message: Message, profile: Profile, id: str, source: str, received_at: str) -> Event:
    """The event a message means, with a warning for everything its profile tolerated.

    A message type without an event, or one that holds several patients, becomes an
    `unmapped_message` that carries its segments. Raises MessageError if a segment is missing
    that its event cannot be without.
    """
    trigger = _trigger(message.cut(0, 9), message.delimiters) or _trigger_of_evn(message)
    patients = message.tally(b"PID")
    if trigger is None or patients > 1:
        name, segments, expects = "unmapped_message", _segments(message), ()
    else:
        name, segments, expects = trigger.event, (), trigger.expects
        if lacking := message.lacks(trigger.requires):
            raise _incomplete(lacking[0].decode())
    given = (id, received_at, source, "hl7v2", profile.id, segments)
    event, unread = _PLANS[name].build(message, given, _zone(message, profile))
    missing = message.lacks(expects)
    several = patients > 1 and trigger is not None
    if missing or several or unread or message.odd or message.liberties or not event.timestamp:
        return _warned(event, message, unread, missing, several)
    return cast(Event, event)


@lru_cache(maxsize=1024)
def _trigger(sent: bytes, delimiters: bytes) -> tables.Trigger | None:
    """The row for what MSH-9 holds."""
    kind, trigger = (*sent.split(delimiters[1:2], 2), b"", b"")[:2]
    return tables.TRIGGERS.get((kind, trigger))


def _trigger_of_evn(message: Message) -> tables.Trigger | None:
    """The row for a message whose MSH-9 names no trigger event but whose EVN-1 does."""
    at = message.find(b"EVN")
    if at < 0 or message.cut(0, 9, 1, 2):
        return None
    return tables.TRIGGERS.get((message.cut(0, 9, 1, 1), message.cut(at, 1, 1, 1)))


def _zone(message: Message, profile: Profile) -> dtm.Zone:
    """Where times without an offset were written: as MSH-7 says (HL7 v2 2A.3.22), else the feed."""
    sent = message.cut(0, 7, 1, 1)
    if len(sent) > 14 and (offset := dtm.offset(sent.decode())):
        return offset
    return profile.zone


def _incomplete(segment: str) -> MessageError:
    return MessageError("missing_segment", f"{segment} segment not found", location=segment)


def _segments(message: Message) -> tuple[Segment, ...]:
    return tuple(_segment(message, at) for at in range(len(message)))


def _segment(message: Message, at: int) -> Segment:
    numbers = range(1, message.fields(at) + 1)
    sent = {str(n): message.cut(at, n, 0).decode() for n in numbers}
    name = message.name(at).decode("utf-8", "replace")
    return Segment(name, {n: text for n, text in sent.items() if text})


def _warned(
    event: Any,
    message: Message,
    unread: list[tuple[int, int]],
    missing: tuple[bytes, ...],
    several: bool,
) -> Event:
    """The event with its warnings, in the order of the phases they belong to."""
    found = [_warning(code, _LIBERTIES[code]) for code in message.liberties]
    for code, path, is_so in (
        ("UNKNOWN_SEGMENT", "segment", message.odd),
        ("MULTIPLE_PATIENTS", "PID", several),
        ("EVENT_TIME_FALLBACK", "MSH-7", not event.timestamp),
    ):
        if is_so:
            found.append(_warning(code, path))
    found += [_warning(f"MISSING_{name}", name) for name in map(bytes.decode, missing)]
    found += [_warning("INVALID_DTM", _place(message, *at)) for at in dict.fromkeys(unread)]
    timestamp = event.timestamp or event.received_at
    changed = structs.replace(event, parse_warnings=tuple(found), timestamp=timestamp)
    return cast(Event, changed)


def _place(message: Message, segment: int, field: int) -> str:
    """`OBX(3)-14`: the segment by its occurrence."""
    name = message.name(segment)
    occurrence = sum(message.name(at) == name for at in range(segment + 1))
    return f"{name.decode()}{f'({occurrence})' if occurrence > 1 else ''}-{field}"


def _warning(code: str, path: str) -> Warning:
    return Warning(_PHASES.get(code, "semantic"), code, _TEXTS[code], path)
