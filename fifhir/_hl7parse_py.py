"""The tokenizer's specification: what `_hl7parse.pyx` does fast, in plain Python.

`Tokens` finds where segments and fields begin, and decodes what is asked for. Property tests and a
fuzzer hold the compiled modules equal to the plain ones, which run only where a compiled one is
missing: `fi-fhir version` says so then.
"""

import re
import uuid

from fifhir import dtm, escape, path
from fifhir.errors import MessageError

MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes; below 2**31 whatever a field count multiplies to
FIELD_LIMIT = 1_000_000  # delimiters, escapes and line ends
_BEFORE = b"\xef\xbb\xbf \t\r\n\x0b\x00"  # BOM, blanks and MLLP's start block
_AFTER = b"\r\n\x1c\x00"
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")
_SPECIAL = re.compile(rb'["\\\x00-\x09\x0b\x0c\x0e-\x1f]')
_HEADERS = (b"MSH", b"BHS", b"FHS")


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
        value = part_of(value, self.delimiters[2:3], repetition)
        value = part_of(value, self.delimiters[1:2], component)
        return part_of(value, self.delimiters[4:5], subcomponent)

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
    separator, line = raw[3:4], re.split(rb"[\r\n]", raw[4:], maxsplit=1)[0]
    encoding = believed[1:] or line.split(separator, 1)[0]
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


def part_of(value: bytes, delimiter: bytes, number: int) -> bytes:
    """Part `number` of what a delimiter parts, from 1; 0 leaves it undivided."""
    if not number:
        return value
    parts = value.split(delimiter, number)
    return parts[number - 1] if 0 < number <= len(parts) else b""
