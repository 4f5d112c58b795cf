"""A stream of messages cut into messages, in bounded memory.

Messages follow one another in files and request bodies: bare, in FHS/BHS envelopes (HL7 v2
chapter 2, 2.10.3), or with MLLP bytes around them. A message begins with `MSH` at the start of a
line and lasts until the next one or the end of its batch. What stands anywhere else is a piece of
its own, which no reader will take for a message, so that nothing is lost unseen. What trailers
count is compared with what came.
"""

import re
from typing import NamedTuple

from fifhir.errors import MessageError

# One search a name: re finds a literal at 2 GB/s, one of several at 90 MB/s.
_MARKS = tuple(
    re.compile(name + rb"(?=[^A-Za-z0-9\s])") for name in (b"MSH", b"FHS", b"BHS", b"BTS", b"FTS")
)
_INDENT = b" \t\x00\xef\xbb\xbf"
_ENDINGS = b"\r\n\x0b\x1c"
_ENVELOPE = re.compile(rb"(?:FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])")
_BLANK = b"\r\n\t \x0b\x1c\x00\xef\xbb\xbf"
_OVERLAP = 32  # bytes searched again, as a mark may lie across two chunks
MESSAGE_LIMIT = 64 * 1024 * 1024


class Miscount(NamedTuple):
    """A trailer whose count is not what came: `at` is its byte, `said` is -1 for no number."""

    at: int
    path: str
    said: int
    found: int

    def __str__(self) -> str:
        what = "messages" if self.path == "BTS-1" else "batches"
        said = "is no number" if self.said < 0 else f"counts {self.said} {what}"
        return f"{self.path} {said}, but {self.found} came"


class _Ledger:
    """What trailers should count: the messages of a batch, the batches of a file.

    Messages outside of BHS and BTS are a batch as well.
    """

    def __init__(self) -> None:
        self._messages = self._batches = 0
        self._open = False

    def message(self) -> None:
        if not self._open:
            self._begin()
        self._messages += 1

    def _begin(self) -> None:
        self._messages, self._open = 0, True
        self._batches += 1

    def line(self, line: bytes, at: int) -> Miscount | None:
        """A header or trailer has come; told is a trailer that counts something else."""
        match line[:3]:
            case b"FHS":
                self._batches, self._open = 0, False
            case b"BHS":
                self._begin()
            case b"BTS":
                found, self._messages, self._open = self._messages, 0, False
                return _compared(line, at, found)
            case b"FTS":
                found, self._batches, self._open = self._batches, 0, False
                return _compared(line, at, found)
        return None


def _compared(trailer: bytes, at: int, found: int) -> Miscount | None:
    """What is wrong with a trailer's count; one that gives none is not asked."""
    said = trailer[4:].split(trailer[3:4], 1)[0].strip()
    if not said:
        return None
    count = int(said) if said.isdigit() and len(said) < 10 else -1
    return None if count == found else Miscount(at, f"{trailer[:3].decode()}-1", count, found)


class Splitter:
    """Cuts chunks of a stream into messages; memory stays below `limit` bytes and a chunk.

    A message over the limit comes out as one piece of `limit` + 1 bytes, too large for any
    reader; the rest of it is skipped. `offsets` holds where each piece that came out last began,
    `miscounts` the trailers before, among or behind them that count something else than came.
    """

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._searched = 0
        self._skipping = False
        self._base = 0
        self._ledger = _Ledger()
        self.offsets: list[int] = []
        self.miscounts: list[Miscount] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that are complete now, in order; `offsets` says where each began."""
        self._pending += chunk
        self.offsets, self.miscounts = [], []
        pieces = []
        start = 0
        found = (each.finditer(self._pending, self._searched) for each in _MARKS)
        for at in sorted(mark.start() for marks in found for mark in marks):
            if at > start and self._begins_line(at):
                pieces += self._cut(start, at)
                start = at
        self._drop(start)
        return pieces + self._overlong()

    def finish(self) -> list[bytes]:
        """What is left at the end of the stream."""
        self.offsets, self.miscounts = [], []
        pieces = self._cut(0, len(self._pending))
        self._drop(len(self._pending))
        return pieces

    def _begins_line(self, at: int) -> bool:
        """Whether only blanks stand between `at` and an ending, or the start of the stream."""
        reach = 32
        while True:
            start = max(at - reach, 0)
            before = self._pending[start:at].rstrip(_INDENT)
            if before:
                return before[-1] in _ENDINGS
            if not start:
                return self._base == 0
            reach *= 2

    def _cut(self, start: int, end: int) -> list[bytes]:
        if self._skipping:
            self._skipping = False
            return []
        piece = bytes(self._pending[start:end])
        if _ENVELOPE.match(piece):
            line = re.split(rb"[\r\n\x1c]", piece, maxsplit=1)[0]
            if miscount := self._ledger.line(line, self._base + start):
                self.miscounts.append(miscount)
            start += len(line)
            piece = piece[len(line) :]
        if not piece.strip(_BLANK):
            return []
        if piece.startswith(b"MSH"):
            self._ledger.message()
        self.offsets.append(self._base + start)
        return [piece]

    def _drop(self, count: int) -> None:
        del self._pending[:count]
        self._base += count
        self._searched = max(len(self._pending) - _OVERLAP, 0)

    def _overlong(self) -> list[bytes]:
        if len(self._pending) <= self._limit + _OVERLAP:
            return []
        pieces = self._cut(0, self._limit + 1)
        self._drop(len(self._pending) - _OVERLAP)
        self._skipping = True
        return pieces


def is_single(data: bytes) -> bool:
    """Whether `data` is certainly one message; if not, only cutting it tells."""
    return data.rfind(b"MSH") == 0 and b"TS" not in data and b"HS" not in data


def split(data: bytes) -> list[bytes]:
    """The messages in `data`, in order."""
    if is_single(data):
        return [data]
    splitter = Splitter(len(data) + 1)
    return splitter.feed(data) + splitter.finish()


def only(data: bytes) -> bytes:
    """The one message of these bytes, without an envelope. Raises MessageError if several are."""
    if data.startswith(b"MSH") and data.find(b"MSH", 3) < 0:
        return data
    messages = split(data)
    if len(messages) > 1:
        raise MessageError("several_messages", "a frame holds one message, and this one holds more")
    return messages[0] if messages else data
