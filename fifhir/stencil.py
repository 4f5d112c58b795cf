"""Acceptances made ready: what a sender's next message is answered differs in three places only.

The MSH of a feed's messages is the same but for MSH-7 and MSH-10. For such an MSH an acknowledgment
is made once, by `ack`, with three marks in these places, and cut where they stand. Whatever is out
of the ordinary (another character set, an ending that is not CR, a control id that cannot be
repeated) has no stencil, and `ack` answers it.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from fifhir import ack
from fifhir.mllp import frame

LIMIT = 1024  # bytes of an MSH, and heads remembered; a feed has a handful
CR, LF, ESC = 0x0D, 0x0A, 0x1B
_WRITTEN, _OWN, _THEIRS = b"Marked0Time", b"Marked0Own", b"Marked0Theirs"


_Remembered = TypeVar("_Remembered", set[bytes], "dict[bytes, Stencil | None]")


class Stencil(NamedTuple):
    """The frames that accept a message, each in four parts with three open places between."""

    frames: tuple[tuple[bytes, ...], ...]

    def fill(self, written: bytes, own: Iterator[bytes], theirs: bytes) -> bytes:
        """Frames whose MSH-7 and MSA-2 are these, and whose MSH-10 is the next of `own`."""
        if len(self.frames) == 1:
            head, between, after, rest = self.frames[0]
            return b"".join((head, written, between, next(own), after, theirs, rest))
        return b"".join([Stencil((each,)).fill(written, own, theirs) for each in self.frames])


class Stencils:
    """The stencils of one listener, made when an MSH comes for the second time."""

    def __init__(self, mode: ack.Mode, signature: ack.Signature) -> None:
        self._mode: ack.Mode = mode
        self._signature = signature
        self._once: set[bytes] = set()
        self._known: dict[bytes, Stencil | None] = {}

    def find(self, raw: bytes) -> tuple[Stencil, bytes] | None:
        """The stencil for accepting this message, and its MSH-10; None if `ack` has to answer."""
        end = raw.find(CR, 8, LIMIT)
        line = raw[: max(end, 0)]
        if not line.isascii() or ESC in line or LF in raw or raw.find(b"\rMSA", end) >= 0:
            return None
        separator = line[3:4]
        fields = line.split(separator, 10) if separator else []
        if len(fields) < 11 or not ack.is_repeatable(fields[9]):
            return None
        control_id, fields[6], fields[9] = fields[9], b"", b""
        stencil = self._stencil(separator.join(fields), fields)
        return (stencil, control_id) if stencil else None

    def _stencil(self, key: bytes, fields: list[bytes]) -> Stencil | None:
        if key in self._known:
            return self._known[key]
        if key not in self._once:
            _room(self._once).add(key)
            return None
        fields[9] = _THEIRS
        stencil = self._cut(key[3:4].join(fields))
        _room(self._known)[key] = stencil
        return stencil

    def _cut(self, line: bytes) -> Stencil | None:
        head = ack.header(line)
        if ack.fault(head) or head.codec:
            return None
        frames = [
            _parts(
                frame(
                    ack.encode(
                        *(head, code),
                        written=_WRITTEN.decode(),
                        control_id=_OWN.decode(),
                        signature=self._signature,
                    )
                )
            )
            for code in ack.codes(head, None, self._mode)
        ]
        return Stencil(tuple(frames)) if all(frames) else None


def _room(known: _Remembered) -> _Remembered:
    """The same, with room for one more."""
    if len(known) >= LIMIT:
        known.clear()
    return known


def _parts(framed: bytes) -> tuple[bytes, ...]:
    """The frame cut at its marks; nothing if the sender wrote one of them himself."""
    head, _, rest = framed.partition(_WRITTEN)
    between, _, rest = rest.partition(_OWN)
    after, _, rest = rest.partition(_THEIRS)
    parts = (head, between, after, rest)
    length = sum(map(len, (*parts, _WRITTEN, _OWN, _THEIRS)))
    marked = any(mark in part for part in parts for mark in (_WRITTEN, _OWN, _THEIRS))
    return parts if length == len(framed) and not marked else ()
