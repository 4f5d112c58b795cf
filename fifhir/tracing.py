"""Which trace a message belongs to (W3C Trace Context, https://www.w3.org/TR/trace-context/).

A sender that says so in `traceparent` has its trace continued. Else the trace is named after the
event, whose id follows from the message: what was sent twice, or is replayed next week, is found
under one trace id, and making that up costs nothing before somebody asks.
"""

import hashlib
import random
import re

from msgspec import Struct

HEADER = "traceparent"
LIMIT = 128  # bytes of a traceparent that are looked at

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_ID = re.compile(r"[0-9a-f]{32}")
_NONE = frozenset({"0" * 16, "0" * 32})


class Trace(Struct, frozen=True, gc=False):
    """One piece of work on a message: `span_id` is its own, `parent_id` what it is part of.

    All ids are in hexadecimal, those of spans 16 digits. `sampled` is what whoever began the trace
    has decided; None if it began here.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool | None = None

    def child(self, number: int) -> str:
        """The id of a span within this one; the same for the same number."""
        return f"{int(self.span_id, 16) ^ number:016x}"

    def parent(self, span_id: str = "") -> str:
        """The traceparent for whatever is done next, by us or by others."""
        flags = "00" if self.sampled is False else "01"
        return f"00-{self.trace_id}-{span_id or self.span_id}-{flags}"


def begin(traceparent: str, identity: str = "") -> Trace:
    """New work in the trace of `traceparent`, or if it is none, in the one named by `identity`."""
    span = f"{random.getrandbits(64) or 1:016x}"
    found = _PARENT.fullmatch(traceparent) if traceparent else None
    if found and _is_valid(found):
        return Trace(found[2], span, found[3], bool(int(found[4], 16) & 1))
    return Trace(_named(identity), span)


def text(raw: bytes) -> str:
    """A traceparent as it came, or nothing if it is none."""
    given = raw[:LIMIT].decode("latin-1").strip()
    found = _PARENT.fullmatch(given)
    return given if found and _is_valid(found) else ""


def _is_valid(found: re.Match[str]) -> bool:
    """Version 00 has four parts, later ones may have more, and ff is none (section 3.2.2)."""
    version, trace_id, parent_id, _, more = found.groups()
    known = version != "ff" and not (version == "00" and more)
    return known and not {trace_id, parent_id} & _NONE


def _named(identity: str) -> str:
    if not identity:
        return f"{random.getrandbits(128) or 1:032x}"
    digits = identity.replace("-", "")
    if _ID.fullmatch(digits) and digits not in _NONE:
        return digits
    return hashlib.sha256(identity.encode(errors="replace")).hexdigest()[:32]
