"""What a message may get wrong: looked at before it becomes an event.

Each check gives the warnings it calls for, or raises MessageError for what the profile does not
tolerate. A profile has only the checks it asks for, so the built-in one costs nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from fifhir import tables
from fifhir.errors import MessageError
from fifhir.event import Warning
from fifhir.message import Message
from fifhir.profile.config import LIMITS, SourceProfile

Check: TypeAlias = Callable[[Message], Iterator[Warning]]

STANDARD = b"|^~\\&"


def checks(profile: SourceProfile) -> tuple[Check, ...]:
    """The checks a profile asks for."""
    hl7, found = profile.hl7v2, list[Check]()
    if hl7.encoding.line_ending_mode == "strict":
        found.append(_endings)
    if not hl7.tolerate.non_standard_delimiters:
        found.append(_delimiters)
    if not hl7.tolerate.unknown_segments:
        known = {*tables.SEGMENTS, *(name.encode() for name in profile.z_segments.mappings)}
        found.append(partial(_segments, frozenset(known), profile.z_segments.preserve_raw))
    if not hl7.tolerate.nte_anywhere:
        found.append(_notes)
    if limited := _limited(profile):
        found.append(partial(_components, limited, hl7.tolerate.extra_components))
    return tuple(found)


def _refused(reason: str, text: str, location: str, code: str) -> MessageError:
    return MessageError(reason, text, location=location, code=code)


def _endings(message: Message) -> Iterator[Warning]:
    if b"\n" in message.raw:
        raise _refused(
            "line_ending",
            "segments must end with CR; this source's profile is strict",
            "MSH",
            "100",
        )
    yield from ()


def _delimiters(message: Message) -> Iterator[Warning]:
    if message.delimiters != STANDARD:
        raise _refused(
            "delimiters", r"this source's profile wants the delimiters |^~\&", "MSH-2", "102"
        )
    yield from ()


def _segments(known: frozenset[bytes], own: bool, message: Message) -> Iterator[Warning]:
    for at in range(len(message)):
        name = message.name(at)
        if name not in known and not (own and name.startswith(b"Z")):
            place = f"segment {at + 1}"  # its name may be a piece of text
            text = "neither HL7 nor this source's profile knows this segment"
            raise _refused("unknown_segment", text, place, "100")
    yield from ()


def _notes(message: Message) -> Iterator[Warning]:
    seen, before = 0, b""
    for at in range(len(message)):
        name = message.name(at)
        if name == b"NTE":
            seen += 1
            if before not in tables.ANNOTATED:
                text = "NTE stands behind a segment that HL7 has no notes for"
                raise _refused("misplaced_note", text, _nth("NTE", seen), "100")
        else:
            before = name
    yield from ()


Limited: TypeAlias = dict[bytes, tuple[tuple[int, int], ...]]


def _limited(profile: SourceProfile) -> Limited:
    """For each segment its fields with a limit, and the limit."""
    given, strict = profile.hl7v2.datatypes, not profile.hl7v2.tolerate.extra_components
    limits = {}
    for kind, most in LIMITS.items():
        count = getattr(given, f"{kind.lower()}_component_count")
        if count != "flexible" or strict:
            limits[kind] = most if count == "flexible" else int(count)
    found: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for (segment, field), element in tables.ELEMENTS.items():
        if element.type in limits:
            found[segment].append((field, limits[element.type]))
    return {segment: tuple(fields) for segment, fields in found.items()}


def _components(limited: Limited, tolerated: bool, message: Message) -> Iterator[Warning]:
    seen: dict[bytes, int] = defaultdict(int)
    for at in range(len(message)):
        name = message.name(at)
        seen[name] += 1
        for field, most in limited.get(name, ()):
            whole = message.cut(at, field, 0)
            if not whole or max(_counts(whole, message.delimiters)) <= most:
                continue
            place = f"{_nth(name.decode(), seen[name])}-{field}"
            text = "field has more components than its data type"
            if not tolerated:
                raise _refused("extra_components", text, place, "102")
            yield Warning("syntactic", "EXTRA_COMPONENTS", text, place)


def _counts(field: bytes, delimiters: bytes) -> Iterator[int]:
    for repetition in field.split(delimiters[2:3]):
        yield repetition.rstrip(delimiters[1:2]).count(delimiters[1:2]) + 1


def _nth(segment: str, occurrence: int) -> str:
    return f"{segment}({occurrence})" if occurrence > 1 else segment
