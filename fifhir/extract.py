"""Message and profile to event, by the rows of `tables/`.

Rows are compiled to one plan an event type when this module is imported, before the fork; an
unknown struct, key, path, function or code map stops the program there.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

from msgspec import NODEFAULT, UNSET, structs

from fifhir import event as vocabulary
from fifhir import tables
from fifhir.errors import MessageError
from fifhir.event import Event, Segment, Warning
from fifhir.message import Message, Plan, Plans, Scribe
from fifhir.profile import Profile

if TYPE_CHECKING:
    from hashlib import _Hash

_ARGUMENTS = (
    "id",
    "received_at",
    "source",
    "source_format",
    "source_profile_id",
    "segments",
)
_TEXTS = {
    "CHARSET_GUESSED": "bytes are not valid in the message's character set; read as Windows-1252",
    "EVENT_TIME_FALLBACK": "no usable event time; the time of receipt stands in for it",
    "INVALID_DTM": "value is not a valid date or time and was left out",
    "MISSING_MESSAGE_TYPE": "MSH-9 names no message type: nothing says what happened",
    "MISSING_MRG": "MRG segment is missing: nothing says what was merged",
    "MISSING_PID": "PID segment is missing: nothing says whose results these are",
    "MULTIPLE_PATIENTS": "message is about several patients, though its type is about one",
    "NON_STANDARD_DELIMITERS": "MSH-2 is damaged; read as the standard delimiters",
    "UNKNOWN_SEGMENT": "line does not begin with a segment name; a text before it may end there",
}
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")
_LIBERTIES = {"CHARSET_GUESSED": "MSH-18", "NON_STANDARD_DELIMITERS": "MSH-2"}
_PHASES = {
    "CHARSET_GUESSED": "byte",
    "NON_STANDARD_DELIMITERS": "syntactic",
    "MISSING_MESSAGE_TYPE": "syntactic",
    "UNKNOWN_SEGMENT": "syntactic",
}


# Rows to plans.

Node = tuple[Any, ...]


# What the fields of a struct have been compiled to in a frame that named some segments, and those
# it names then. Plans share it: there are a hundred of them, and most hold a patient and a visit.
_NODES: dict[Any, tuple[tuple[Node, ...], tuple[bytes, ...]]] = {}


class _Compiler:
    """The nodes of one frame; `slots` are the segments it names, its `own` begin its item."""

    def __init__(self, own: tuple[bytes, ...] = ()) -> None:
        self.own = own
        self.slots: list[bytes] = [*own]

    def struct(
        self,
        name: str,
        address: Any = None,
        default: Any = None,
        left_out: frozenset[str] = frozenset(),
    ) -> Node:
        """The node that builds a struct of the vocabulary, its fields in their order."""
        cls = vocabulary.STRUCTS[name]
        known = (name, left_out, self.own, tuple(self.slots))
        if known not in _NODES:
            _NODES[known] = self._fields(cls, left_out), tuple(self.slots)
        nodes, self.slots[:] = _NODES[known]
        return ("struct", cls, nodes, address, default)

    def _fields(self, cls: type, left_out: frozenset[str]) -> tuple[Node, ...]:
        fields, name = _fields_of(cls), cls.__name__
        if strangers := _rows_of(cls).keys() - {field.encode_name for field in fields}:
            raise ValueError(f"fields/: {name} has no key {sorted(strangers)}")
        return tuple(
            ("first", (), _default(field))
            if field.encode_name in left_out
            else self.key(name, field.encode_name, _default(field))
            for field in fields
        )

    def key(self, name: str, key: str, default: Any) -> Node:
        """The node of one key of a struct, from its rows: the first that has a value."""
        rows = _rows_of(vocabulary.STRUCTS[name]).get(key, [])
        nodes = tuple(self._row(row, default) for row in rows)
        node = nodes[0] if len(nodes) == 1 else ("first", nodes, default)
        return ("must", node) if key == "timestamp" else node

    def _row(self, row: tables.Field, default: Any) -> Node:
        make: Callable[..., Node] = getattr(self, f"_{row.kind}", self._leaf)
        node = make(row, default)
        return node if row.kind in ("pick", "some") else self._guarded(row, node, default)

    def _guarded(self, row: tables.Field, node: Node, default: Any) -> Node:
        if not row.when:
            return node
        predicate = tables.PREDICATES[row.when.removeprefix("not ")]
        kind = "unless" if row.when.startswith("not ") else "guard"
        return (kind, self._address(predicate.path), predicate.values, node, default)

    def _leaf(self, row: tables.Field, default: Any) -> Node:
        address = self._address(row.path)
        if row.kind in ("whole", "lines"):
            address = (*address[:2], 0, 0)
        return _leaf_of(row.kind, address, default)

    def _map(self, row: tables.Field, default: Any) -> Node:
        codes = tables.codes(row.arg)
        return ("map", self._address(row.path), codes, codes.get("", default))

    def _coded(self, row: tables.Field, default: Any) -> Node:
        """The code (CWE.1), else the text that stands for it."""
        slot, field, *_ = self._address(row.path)
        return ("first", tuple(("text", (slot, field, n, 1), default) for n in (1, 2, 9)), default)

    def _is(self, row: tables.Field, default: Any) -> Node:
        return ("is", self._address(row.path), tuple(row.arg.encode().split()), default)

    def _known(self, row: tables.Field, default: Any) -> Node:
        return ("known", self._address(row.path), tables.codes(row.arg), default)

    def _join(self, row: tables.Field, default: Any) -> Node:
        addresses = tuple(self._address(path) for path in row.path.split())
        return ("join", addresses, tuple(row.arg.replace("_", "").split(" ")), default)

    def _given(self, row: tables.Field, default: Any) -> Node:
        return ("given", _ARGUMENTS.index(row.arg))

    def _pick(self, row: tables.Field, default: Any) -> Node:
        node = self._guarded(row, self._part(row.arg, default), default)
        return ("pick", self._address(row.path), node, default)

    def _part(self, name: str, default: Any) -> Node:
        """A struct, `Address`, or one of its keys, `ContactPoint.value`."""
        struct, _, key = name.partition(".")
        return self.key(struct, key, default) if key else self.struct(struct, None, UNSET)

    def _any(self, row: tables.Field, _: Any) -> Node:
        segment, field = row.path.split("-")
        return ("any", segment.encode(), int(field), tuple(row.arg.encode().split()))

    def _sum(self, row: tables.Field, default: Any) -> Node:
        segment, field = row.path.split("-")
        return ("sum", segment.encode(), int(field), default)

    def _constant(self, row: tables.Field, _: Any) -> Node:
        return ("constant", row.arg)

    def _ordinal(self, row: tables.Field, default: Any) -> Node:
        return ("ordinal", self._slot(row.arg.encode()), default)

    def _struct(self, row: tables.Field, default: Any) -> Node:
        if not row.path:
            return self.struct(row.arg, None, default)
        if default is None:
            raise ValueError(f"fields/: {row.arg} at {row.path} may be absent: give it a default")
        slot, field, _, _ = self._address(row.path)
        return self.struct(row.arg, (slot, field, 0, 0), default)

    def _repeat(self, row: tables.Field, default: Any) -> Node:
        return ("repeat", self._address(row.path), self.struct(row.arg, None, UNSET))

    def _rest(self, row: tables.Field, _: Any) -> Node:
        return ("rest", self._address(row.path), self.struct(row.arg, None, UNSET))

    def _tuple(self, row: tables.Field, default: Any) -> Node:
        bases = [self._address(path)[2] - 1 for path in row.path.split()]
        return ("tuple", tuple(self.struct(row.arg, (0, 0, base, 0), UNSET) for base in bases))

    def _each(self, row: tables.Field, _: Any) -> Node:
        return ("each", *self._item(row.arg))

    def _some(self, row: tables.Field, _: Any) -> Node:
        return ("some", *self._item(row.arg, row))

    def _head(self, row: tables.Field, default: Any) -> Node:
        return ("head", *self._item(row.arg), default)

    def _joined(self, row: tables.Field, default: Any) -> Node:
        return ("joined", *self._item(row.arg), default)

    def _item(self, name: str, chosen: tables.Field | None = None) -> tuple[Any, Node]:
        """The group an `each` gathers, and the node of one item, under its own condition."""
        name, _, key = name.partition(".")
        group = tables.GROUPS[name]
        inner = _Compiler(group.segments)
        if key:
            node = inner.key(group.struct, key, _default_of(group.struct, key))
        elif group.struct in vocabulary.STRUCTS:
            node = inner.struct(group.struct)
        else:
            node = inner._row(tables.FIELDS[group.struct][""][0], "")
        if chosen:
            node = inner._guarded(chosen, node, UNSET)
        behind = self.own if group.behind == (b"",) else group.behind
        names = (group.segments, group.followers, group.inherits, behind, group.until)
        return (*names, tuple(inner.slots), group.ahead, group.reach), node

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


_fields_of = cache(structs.fields)


@lru_cache(maxsize=None, typed=True)
def _leaf_of(kind: str, address: tuple[int, ...], default: Any) -> Node:
    """One node for all leaves that are alike: plans hold a hundred thousand."""
    return (kind, address, default)


@cache
def _rows_of(cls: type) -> dict[str, list[tables.Field]]:
    found: dict[str, list[tables.Field]] = {}
    for base in reversed(cls.__mro__):
        found |= tables.FIELDS.get(base.__name__, {})
    return found


def _default_of(struct: str, key: str) -> Any:
    fields = _fields_of(vocabulary.STRUCTS[struct])
    return next(_default(field) for field in fields if field.encode_name == key)


def _default(field: structs.FieldInfo) -> Any:
    """What a field is where nothing was sent; None for a struct that is built all the same."""
    if field.default is not NODEFAULT:
        return field.default
    return "" if field.type in (str, vocabulary.Text) else None


def _plan(cls: type[Event], left_out: frozenset[str] = frozenset()) -> Plan:
    compiler = _Compiler()
    node = compiler.struct(cls.__name__, left_out=left_out)
    return Plan(tuple(compiler.slots), node)


# What is about a message as a whole, however many patients it is about.
_WHOLE = (*vocabulary.Meta.__struct_encode_fields__, "occurrence", "is_critical", "patients")
_MANIFOLD = frozenset(
    tag
    for tag, cls in vocabulary.EVENTS.items()
    if {"patient", "patients"} <= set(cls.__struct_encode_fields__)
)
_PLANS = {
    tag: _plan(cls, frozenset({"patients"} if tag in _MANIFOLD else ()))
    for tag, cls in vocabulary.EVENTS.items()
}


@cache
def _plan_of_several(tag: str) -> Plan:
    """The plan of an event for a message about several patients: none is at its top."""
    cls = vocabulary.EVENTS[tag]
    return _plan(cls, frozenset(cls.__struct_encode_fields__).difference(_WHOLE))


def _cases(plans: Mapping[str, Plan]) -> dict[bytes, tuple[Any, ...]]:
    """The triggers as the writer takes them."""
    return {
        b"^".join(kind): tuple(
            (each.event, plans[each.event], each.segments, _condition(each)) for each in found
        )
        for kind, found in tables.TRIGGERS.items()
    }


def _condition(trigger: tables.Trigger) -> tuple[bytes, int, tuple[bytes, ...]] | None:
    """Where to look whether a trigger applies, and what for."""
    if not trigger.when:
        return None
    path, values = tables.PREDICATES[trigger.when]
    segment, _, field = path.partition("-")
    return segment.encode(), int(field), values


_SIMPLE = Plans(_cases(_PLANS))


# Messages to events.


def extract(message: Message, profile: Profile, id: str, source: str, received_at: str) -> Event:
    """The event a message means, with a warning for everything its profile tolerated.

    A message type without an event becomes an `unmapped_message` that carries its segments, and
    so does a message about several patients whose event is about one. Raises MessageError if a
    segment is missing that its event cannot be without.
    """
    return _extract(message, profile, (id, received_at, source), profile.inspect(message))


def _extract(
    message: Message, profile: Profile, named: tuple[str, str, str], told: tuple[Warning, ...]
) -> Event:
    name, missing, patients = _kind(message, profile)
    segments = _segments(message) if name == "unmapped_message" else ()
    given = (*named, "hl7v2", profile.id, segments)
    is_one = not patients or name not in _MANIFOLD
    plan = _PLANS[name] if is_one else _plan_of_several(name)
    event, unread = plan.build(message, given, message.offset or profile.zone)
    is_untyped = not message.cut(0, 9, 1, 1)
    several = patients == "unexpected"
    if missing or several or unread or is_untyped or message.odd or message.liberties:
        event = _warned(event, message, unread, missing, several)
    return profile.finish(event, message, told)


def extract_json(
    message: Message, profile: Profile, id: str, source: str, received_at: str
) -> tuple[str, bytes, tuple[Warning, ...]]:
    """The type, the JSON and the warnings of the event that `extract` would give.

    If it calls for no warning and its profile for no change, it is written straight from its
    bytes, without the event.
    """
    told = profile.inspect(message)
    if not told and profile.leaves(message):
        given = (id, received_at, source, "hl7v2", profile.id)
        written = _SIMPLE.write(message, given, profile.zone)
        if written:
            return (*written, ())
    event = _extract(message, profile, (id, received_at, source), told)
    return vocabulary.event_type(event), vocabulary.encode(event), event.parse_warnings


def scribe(begun: "_Hash", source: str, profile: Profile) -> Scribe | None:
    """What writes the events of a source in one call, if its profile leaves them as they are.

    `begun` is the hash that goes on to be an event's identity.
    """
    if not profile.is_plain:
        return None
    return Scribe(_SIMPLE, begun, (source, "hl7v2", profile.id), profile.zone)


def _kind(message: Message, profile: Profile) -> tuple[str, tuple[bytes, ...], str]:
    """The type of a message's event, the segments it lacks, whether it is about several patients.

    That is empty, `expected` or `unexpected`.
    """
    triggers = _triggers(message.cut(0, 9), message.delimiters) or _triggers_of_evn(message)
    trigger = next((each for each in triggers if _applies(message, each)), None)
    if trigger is None:
        return "unmapped_message", (), ""
    found = message.census(trigger.segments)
    if found == (1,) * len(found):
        return trigger.event, (), ""
    return _unusual_kind(profile, trigger, found)


def _unusual_kind(
    profile: Profile, trigger: tables.Trigger, found: tuple[int, ...]
) -> tuple[str, tuple[bytes, ...], str]:
    counts = dict(zip(trigger.segments, found, strict=True))
    patients = "" if counts.get(b"PID", 0) < 2 else "expected" if trigger.several else "unexpected"
    if patients and trigger.event not in _MANIFOLD:
        return "unmapped_message", (), "unexpected"
    lacking = tuple(segment for segment, count in counts.items() if not count)
    for segment in lacking:
        if segment in trigger.segments[: trigger.needed] or not profile.tolerates(segment):
            raise _incomplete(segment.decode())
    return trigger.event, lacking, patients


@lru_cache(maxsize=1024)
def _triggers(sent: bytes, delimiters: bytes) -> tuple[tables.Trigger, ...]:
    """The rows for what MSH-9 holds: of its trigger event, else of any of its message type."""
    kind, trigger = (*sent.split(delimiters[1:2], 2), b"", b"")[:2]
    anyhow = tables.TRIGGERS.get((kind, tables.ANY_TRIGGER), ())
    return tables.TRIGGERS.get((kind, trigger), anyhow)


def _triggers_of_evn(message: Message) -> tuple[tables.Trigger, ...]:
    """The rows for a message whose MSH-9 names no trigger event but whose EVN-1 does."""
    at = message.find(b"EVN")
    if at < 0 or message.cut(0, 9, 1, 2):
        return ()
    return tables.TRIGGERS.get((message.cut(0, 9, 1, 1), message.cut(at, 1, 1, 1)), ())


def _applies(message: Message, trigger: tables.Trigger) -> bool:
    condition = _condition(trigger)
    if condition is None:
        return True
    segment, field, values = condition
    at = message.find(segment)
    return (message.cut(at, field, 1, 1) if at >= 0 else b"") in values


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
        ("UNKNOWN_SEGMENT", f"segment {_first_odd(message)}", message.odd),
        ("MISSING_MESSAGE_TYPE", "MSH-9", not message.cut(0, 9, 1, 1)),
        ("MULTIPLE_PATIENTS", "PID", several),
        ("EVENT_TIME_FALLBACK", "MSH-7", not event.timestamp),
    ):
        if is_so:
            found.append(_warning(code, path))
    found += [_warning(f"MISSING_{name}", name) for name in map(bytes.decode, missing)]
    found += [
        _warning("INVALID_DTM", _place(message, *at)) for at in dict.fromkeys(unread) if at[0] >= 0
    ]
    timestamp = event.timestamp or event.received_at
    changed = structs.replace(event, parse_warnings=tuple(found), timestamp=timestamp)
    return cast(Event, changed)


def _first_odd(message: Message) -> int:
    """The position, from 1, of the first segment without a segment's name; 0 if all have one."""
    numbered = range(len(message)) if message.odd else ()
    return next((at + 1 for at in numbered if not _NAME.fullmatch(message.name(at))), 0)


def _place(message: Message, segment: int, field: int) -> str:
    """`OBX(3)-14`: the segment by its occurrence."""
    name = message.name(segment)
    occurrence = sum(message.name(at) == name for at in range(segment + 1))
    return f"{name.decode()}{f'({occurrence})' if occurrence > 1 else ''}-{field}"


def _warning(code: str, path: str) -> Warning:
    text = _TEXTS.get(code, f"{path} segment is missing")
    return Warning(_PHASES.get(code, "semantic"), code, text, path)
