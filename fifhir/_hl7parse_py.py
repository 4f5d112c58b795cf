"""The tokenizer's specification: what `_hl7parse.pyx` does fast, in plain Python.

`Tokens` finds where segments and fields begin; `Plan` builds structs out of them. Property tests
and a fuzzer hold the two modules equal; this one runs only where the compiled one is missing,
and then says so.

A plan is a description in nested tuples, compiled from `tables/` by `extract.py`. An address is
`(slot, field, component, subcomponent)`: `slot` says which segment of the frame, field 0 is the
repetition at hand, component and subcomponent 0 mean undivided. Nodes:

    ("text", address, default)       the first repetition, decoded; None for an HL7 null
    ("whole", address, default)      the field with all its repetitions, undivided, decoded
    ("lines", address, default)      the field's repetitions, decoded, a line each
    ("date" | "time" | "instant", address, default)   ISO 8601, see dtm.py
    ("map", address, table, default)        text looked up in a dict; itself if it is not there
    ("join", addresses, marks, default)     the texts there are, each behind its mark, spaced
    ("guard", address, wanted, node, default)         node, where the bytes are one of `wanted`
    ("first", nodes, default)        the first node that has a value
    ("pick", address, node, default) node, in the first repetition where it has a value
    ("must", node)                   node; it is noted as unread, `(-1, 0)`, if it has no value
    ("struct", type, nodes, address, default)  type(value, ...), or the default where no node has
                                     a value, unless the default is None. An address moves to
                                     that field's first repetition; with field 0, to what follows
                                     its component `component`
    ("repeat", address, node)        a tuple, one item for each repetition that has a value
    ("tuple", nodes)                 a tuple of those nodes that have a value
    ("each", group, node)            a tuple, one item for each segment of the frame that the
                                     group `(name, followers, inherits, slots)` names; its own
                                     frame reaches over the followers behind it, and its slots
                                     are itself, the first of each follower, and the last of
                                     each inherited segment before it
    ("head", group, node, default)   the first item of such an `each`
    ("ordinal", slot, default)       how many segments of its name stand before that slot's
    ("any", name, field, words)      whether a word in that field of such a segment is one of
                                     these upper-case ones, in whatever case it was sent
    ("given", n)                     the caller's n-th argument
"""

import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from fifhir import dtm, escape, path
from fifhir.errors import MessageError

MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes; below 2**31 whatever a field count multiplies to
FIELD_LIMIT = 1_000_000  # delimiters, escapes and line ends
_BEFORE = b"\xef\xbb\xbf \t\r\n\x0b\x00"  # BOM, blanks and MLLP's start block
_AFTER = b"\r\n\x1c\x00"
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")
_SPECIAL = re.compile(rb'["\\\x00-\x09\x0b\x0c\x0e-\x1f]')
_HEADERS = (b"MSH", b"BHS", b"FHS")


Address: TypeAlias = tuple[int, int, int, int]
Group: TypeAlias = tuple[bytes, tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]


def _refused(reason: str, text: str, location: str = "MSH") -> MessageError:
    return MessageError(reason, text, location=location)


class Tokens:
    """Where the segments and fields of one message lie. Read-only; owns a copy of the bytes.

    `raw` is the message without a BOM, MLLP bytes and blank lines around it, `delimiters` the
    field, component, repetition, escape and subcomponent delimiter and, if sent, truncation.
    Segments are kept in order whatever their name; CR, LF and any run of them end a segment.
    Five `delimiters` given are believed instead of a damaged MSH-2; `charset` is the codec that
    hexadecimal escapes are read in. `odd` counts segments whose name is not one. `ascii` is true
    where nothing depends on a codec but escapes, `hexed` where one of those may be hexadecimal,
    `plain` where there is nothing that JSON text may not hold unchanged. `liberties` is for the
    reader to note what it took. Raises MessageError if it is not a message: no MSH, hostile
    delimiters, invalid UTF-8, too large.
    """

    def __init__(self, data: bytes, delimiters: bytes = b"") -> None:
        if len(data) > MESSAGE_LIMIT:
            raise _refused("message_too_large", "message is larger than the limit")
        self.charset = "utf-8"
        self.liberties: tuple[str, ...] = ()
        self.raw = _stripped(data)
        self.delimiters = _delimiters(self.raw, delimiters)
        _check_utf8(self.raw)
        self._segments: list[tuple[int, list[bytes]]] = []
        at = 0
        for line in self.raw.replace(b"\n", b"\r").split(b"\r"):
            if line.strip(b" \t"):
                self._segments.append((at, line.split(self.delimiters[:1])))
            at += len(line) + 1
        marks = self.raw[4 + len(self.cut(0, 2)) :]
        if sum(map(marks.count, b"\r\n" + self.delimiters[:5])) > FIELD_LIMIT:
            raise _refused("too_many_fields", "message has more delimiters than the limit")
        self.ascii = self.raw.isascii() and b"\x1b" not in marks
        self.plain = not _SPECIAL.search(marks.replace(self.delimiters[3:4], b"\\"))
        self.hexed = self.delimiters[3:4] + b"X" in marks
        self.odd = sum(not _NAME.fullmatch(fields[0]) for _, fields in self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    def name(self, segment: int) -> bytes:
        """The segment's name as sent, `PID`."""
        return self._segments[segment][1][0]

    def span(self, segment: int) -> tuple[int, int]:
        """The segment's first byte and the one after its last, in `raw`."""
        at, fields = self._segments[segment]
        return at, at + sum(map(len, fields)) + len(fields) - 1

    def find(self, name: bytes, start: int = 0) -> int:
        """The first segment called `name` from `start` on; -1 if there is none."""
        found = range(max(start, 0), len(self))
        return next((i for i in found if self.name(i) == name), -1)

    def get(self, where: str) -> str | None:
        """The decoded text at an HL7 path: "" if absent or empty, None for an HL7 null (`""`).

        What the path leaves open is the first: `PID-5` is `PID(1)-5(1).1.1`.
        """
        name, occurrence, field, *parts = path.read(where)
        places = [at for at in range(len(self)) if self.name(at) == name]
        if len(places) < max(occurrence, 1):
            return ""
        return self.text(places[max(occurrence, 1) - 1], field, *(part or 1 for part in parts))

    @property
    def offset(self) -> str:
        """The ISO 8601 offset MSH-7 was written with; "" if it has none, or no time."""
        sent = self.cut(0, 7, 1, 1, 1)
        return dtm.offset(sent.decode()) if len(sent) > 14 else ""

    def census(self, names: tuple[bytes, ...]) -> tuple[int, ...]:
        """How many segments are called by each of `names`."""
        return tuple(sum(self._is_called(i, name) for i in range(len(self))) for name in names)

    def _is_called(self, segment: int, name: bytes) -> bool:
        return self.name(segment) == name

    def fields(self, segment: int) -> int:
        """The number of the segment's last field, counting MSH-1 as HL7 does."""
        return len(self._segments[segment][1]) - (0 if self._is_header(segment) else 1)

    def repetitions(self, segment: int, field: int) -> int:
        """How many repetitions the field has; 0 if it is empty."""
        whole = self.cut(segment, field, 0)
        if not whole or self._is_verbatim(segment, field):
            return 1 if whole else 0
        return whole.count(self.delimiters[2:3]) + 1

    def cut(
        self,
        segment: int,
        field: int,
        repetition: int = 1,
        component: int = 0,
        subcomponent: int = 0,
    ) -> bytes:
        """The bytes at an address, as sent; 0 leaves that level undivided. Empty if absent."""
        if not 0 <= segment < len(self):
            raise IndexError("segment")
        values = self._segments[segment][1]
        if self._is_header(segment):
            values = [values[0], self.delimiters[:1], *values[1:]]
        if not 0 <= field < len(values) or min(repetition, component, subcomponent) < 0:
            return b""
        value = values[field]
        if self._is_verbatim(segment, field):
            return value if max(repetition, component, subcomponent) <= 1 else b""
        value = _part(value, self.delimiters[2:3], repetition)
        value = _part(value, self.delimiters[1:2], component)
        return _part(value, self.delimiters[4:5], subcomponent)

    def text(
        self,
        segment: int,
        field: int,
        repetition: int = 1,
        component: int = 1,
        subcomponent: int = 1,
    ) -> str | None:
        """The decoded text at an address: "" if absent or empty, None for an HL7 null."""
        value = self.cut(segment, field, repetition, component, subcomponent)
        return value.decode() if self._is_verbatim(segment, field) else self.decoded(value)

    def decoded(self, value: bytes) -> str | None:
        """The text that bytes cut out of this message stand for; None for an HL7 null."""
        if value == b'""':
            return None
        if self.delimiters[3] in value:
            return escape.decode(value, self.delimiters, self.charset)
        return value.decode()

    def _is_header(self, segment: int) -> bool:
        return self.name(segment) in _HEADERS

    def _is_verbatim(self, segment: int, field: int) -> bool:
        return field <= 2 and self._is_header(segment)


def uuid_text(digest: bytes) -> str:
    """The UUID of the first 16 bytes of a digest (RFC 9562, version 8)."""
    octets = bytearray(digest[:16])
    octets[6], octets[8] = 0x80 | octets[6] & 0x0F, 0x80 | octets[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(octets)))


def _stripped(data: bytes) -> bytes:
    start = 0
    while start < len(data) and data[start] in _BEFORE:
        start += 1
    return data[start:].rstrip(_AFTER)


def _delimiters(raw: bytes, believed: bytes) -> bytes:
    if raw[:3] != b"MSH":
        raise _refused("no_msh", "message does not begin with an MSH segment")
    if len(raw) < 8:
        raise _refused("short_msh", "MSH segment ends before its delimiters")
    line = raw.replace(b"\n", b"\r").split(b"\r", 1)[0]
    separator = raw[3:4]
    encoding = believed[1:] or line[4:].split(separator, 1)[0]
    if not 4 <= len(encoding) <= 5:
        raise _refused("bad_delimiters", "MSH-2 does not hold 4 or 5 delimiters", "MSH-2")
    found = separator + encoding
    if len(set(found)) != len(found):
        raise _refused("bad_delimiters", "MSH-1 and MSH-2 name a delimiter twice", "MSH-2")
    if not all(_may_delimit(octet) for octet in found):
        raise _refused("bad_delimiters", "a delimiter is not ASCII punctuation", "MSH-2")
    return found


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as fault:
        raise _refused("bad_encoding", "message is not valid UTF-8", "MSH-18") from fault


def _may_delimit(octet: int) -> bool:
    return 0x21 <= octet <= 0x7E and not chr(octet).isalnum() and octet != 0x22


def _part(value: bytes, delimiter: bytes, number: int) -> bytes:
    if not number:
        return value
    parts = value.split(delimiter, number)
    return parts[number - 1] if 0 < number <= len(parts) else b""


class _Frame:
    """Where a plan stands: a range of segments, those its slots mean, the repetition at hand."""

    def __init__(self, slots: list[int], segments: range, value: bytes = b"", base: int = 0):
        self.slots = slots
        self.segments = segments
        self.value = value
        self.base = base

    def within(self, value: bytes, base: int = 0) -> "_Frame":
        return _Frame(self.slots, self.segments, value, base)


class Plan:
    """A compiled description of one struct. `slots` names the segments of the root frame."""

    def __init__(self, slots: tuple[bytes, ...], node: tuple[Any, ...]) -> None:
        self.slots = slots
        self.node = node

    def build(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[Any, list[tuple[int, int]]]:
        """The struct, and `(segment, field)` of every date that could not be read."""
        run = _Run(tokens, given, zone)
        slots = [tokens.find(name) for name in self.slots]
        return run.value(self.node, _Frame(slots, range(len(tokens)))), run.unread

    def write(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """The struct as JSON, byte for byte as msgspec encodes it, and what `build` tells."""
        value, unread = self.build(tokens, given, zone)
        return msgspec.json.encode(value), unread


class Plans:
    """Plans by message type, `ADT^A01`: an event's name, its plan, and segments it has once."""

    def __init__(self, plans: dict[bytes, tuple[str, Plan, tuple[bytes, ...]]]) -> None:
        self.plans = plans

    def write(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[str, bytes] | None:
        """The name and the JSON of a message's event; None if anything calls for a closer look.

        That is a type without a plan, a segment that is not there once, a segment without a
        name, a liberty taken, a date that could not be read, another component delimiter.
        """
        kind = b"^".join(tokens.cut(0, 9).split(b"^", 2)[:2])
        if tokens.odd or tokens.liberties or tokens.delimiters[1:2] != b"^":
            return None
        name, plan, segments = self.plans.get(kind, ("", None, ()))
        if plan is None or any(count != 1 for count in tokens.census(segments)):
            return None
        text, unread = plan.write(tokens, given, tokens.offset or zone)
        return None if unread else (name, text)


class _Run:
    """One build: reads nodes off frames; `valued` counts the values found so far."""

    def __init__(self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone) -> None:
        self.tokens = tokens
        self.given = given
        self.zone = zone
        self.valued = 0
        self.unread: list[tuple[int, int]] = []

    def value(self, node: tuple[Any, ...], frame: _Frame) -> Any:
        reader: Callable[..., Any] = getattr(self, f"_{node[0]}")
        return reader(frame, *node[1:])

    def _cut(self, frame: _Frame, address: Address, repetition: int = 1) -> bytes:
        slot, field, component, subcomponent = address
        if field:
            at = frame.slots[slot]
            if at < 0:
                return b""
            return self.tokens.cut(at, field, repetition, component, subcomponent)
        if not component:
            return frame.value
        delimiters = self.tokens.delimiters
        value = _part(frame.value, delimiters[1:2], component + frame.base)
        return _part(value, delimiters[4:5], subcomponent)

    def _counted(self, raw: bytes, default: Any) -> Any:
        if not raw:
            return default
        self.valued += 1
        return self.tokens.decoded(raw)

    def _text(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._counted(self._cut(frame, address), default)

    def _whole(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._counted(self._cut(frame, address, 0), default)

    def _lines(self, frame: _Frame, address: Address, default: Any) -> Any:
        whole = self._cut(frame, address, 0)
        if not whole or whole == b'""':
            return self._counted(whole, default)
        parts = whole.split(self.tokens.delimiters[2:3])
        self.valued += 1
        return "\n".join(self.tokens.decoded(part) or "" for part in parts)

    def _dated(
        self, read: Callable[..., str | None], frame: _Frame, address: Address, default: Any
    ) -> Any:
        raw = self._cut(frame, address)
        text = self.tokens.decoded(raw) if raw else default
        if raw and text is not None:
            text = read(text, self.zone)
            if text is None:
                self.unread.append((frame.slots[address[0]], address[1]))
                return default
        self.valued += bool(raw)
        return text

    def _date(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._dated(dtm.date, frame, address, default)

    def _time(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._dated(dtm.time, frame, address, default)

    def _instant(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._dated(dtm.instant, frame, address, default)

    def _map(self, frame: _Frame, address: Address, table: dict[str, str], default: Any) -> Any:
        raw = self._cut(frame, address)
        text = self._counted(raw, default)
        return table.get(text, text) if raw and text is not None else text

    def _join(
        self, frame: _Frame, addresses: tuple[Address, ...], marks: tuple[str, ...], default: Any
    ) -> Any:
        texts = [self._text(frame, address, "") for address in addresses]
        return " ".join(m + text for text, m in zip(texts, marks, strict=True) if text) or default

    def _guard(
        self, frame: _Frame, address: Address, wanted: tuple[bytes, ...], node: Any, default: Any
    ) -> Any:
        return self.value(node, frame) if self._cut(frame, address) in wanted else default

    def _first(self, frame: _Frame, nodes: tuple[Any, ...], default: Any) -> Any:
        for node in nodes:
            before = self.valued
            found = self.value(node, frame)
            if self.valued > before:
                return found
        return default

    def _pick(self, frame: _Frame, address: Address, node: Any, default: Any) -> Any:
        nodes = [(node, inner) for inner in self._repetitions(frame, address)]
        for each, inner in nodes:
            before = self.valued
            found = self.value(each, inner)
            if self.valued > before:
                return found
        return default

    def _must(self, frame: _Frame, node: Any) -> Any:
        before = self.valued
        found = self.value(node, frame)
        if self.valued == before:
            self.unread.append((-1, 0))
        return found

    def _any(self, frame: _Frame, name: bytes, field: int, words: tuple[bytes, ...]) -> bool:
        parting = bytes(self.tokens.delimiters[n] for n in (1, 2, 4)) + b" "
        apart = bytes.maketrans(parting, b" " * len(parting))
        fields = (self.tokens.cut(i, field, 0) for i in frame.segments if self._is(i, name))
        return any(word.upper() in words for f in fields for word in f.translate(apart).split(b" "))

    def _is(self, segment: int, name: bytes) -> bool:
        return self.tokens.name(segment) == name

    def _struct(
        self, frame: _Frame, cls: Any, nodes: tuple[Any, ...], address: Address | None, default: Any
    ) -> Any:
        if address is not None:
            raw = self._cut(frame, (address[0], address[1], 0, 0))
            if not raw:
                return default
            frame = frame.within(raw, address[2])
        before = self.valued
        values = [self.value(node, frame) for node in nodes]
        if self.valued == before and default is not None:
            return default
        return cls(*values)

    def _repetitions(self, frame: _Frame, address: Address) -> list[_Frame]:
        whole = self._cut(frame, (address[0], address[1], 0, 0), 0)
        parts = whole.split(self.tokens.delimiters[2:3])
        return [frame.within(part) for part in parts if part]

    def _repeat(self, frame: _Frame, address: Address, node: Any) -> Any:
        return self._gathered((node, inner) for inner in self._repetitions(frame, address))

    def _tuple(self, frame: _Frame, nodes: tuple[Any, ...]) -> Any:
        return self._gathered((node, frame) for node in nodes)

    def _gathered(self, pairs: Iterable[tuple[Any, _Frame]]) -> tuple[Any, ...]:
        found = []
        for node, frame in pairs:
            before = self.valued
            value = self.value(node, frame)
            if self.valued > before:
                found.append(value)
        return tuple(found)

    def _each(self, frame: _Frame, group: Group, node: Any) -> Any:
        return tuple(self.value(node, item) for item in self._items(frame, *group))

    def _head(self, frame: _Frame, group: Group, node: Any, default: Any) -> Any:
        item = next(self._items(frame, *group), None)
        return default if item is None else self.value(node, item)

    def _items(
        self,
        frame: _Frame,
        name: bytes,
        followers: tuple[bytes, ...],
        inherits: tuple[bytes, ...],
        slots: tuple[bytes, ...],
    ) -> Iterator[_Frame]:
        seen: dict[bytes, int] = {}
        for at in frame.segments:
            found = self.tokens.name(at)
            if found in inherits:
                seen[found] = at
            if found == name:
                reach = self._reach(at, followers, frame.segments.stop)
                behind = {self.tokens.name(i): i for i in reversed(reach)}
                places = [at if s == name else seen.get(s, behind.get(s, -1)) for s in slots]
                yield _Frame(places, reach)

    def _reach(self, at: int, followers: tuple[bytes, ...], stop: int) -> range:
        end = at + 1
        while end < stop and self.tokens.name(end) in followers:
            end += 1
        return range(at + 1, end)

    def _ordinal(self, frame: _Frame, slot: int, default: Any) -> Any:
        at = frame.slots[slot]
        if at < 0:
            return default
        name = self.tokens.name(at)
        return sum(self.tokens.name(i) == name for i in range(at))

    def _given(self, frame: _Frame, n: int) -> Any:
        return self.given[n]
