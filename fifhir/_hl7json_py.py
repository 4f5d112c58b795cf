"""The writer's specification: what `_hl7json.pyx` does fast, in plain Python."""

from typing import Any, TypeAlias

import msgspec

from fifhir import dtm
from fifhir._hl7parse_py import Tokens
from fifhir._hl7plan_py import Plan


def write(
    plan: Plan, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
) -> tuple[bytes, list[tuple[int, int]]]:
    """The struct as JSON, byte for byte as msgspec encodes it, and what `build` tells."""
    value, unread = plan.build(tokens, given, zone)
    return msgspec.json.encode(value), unread


# An event's name, its plan, segments it has (PID once), and, if it is one of several alternatives,
# in which segment's field one of which values has to be.
Condition: TypeAlias = tuple[bytes, int, tuple[bytes, ...]] | None
Case: TypeAlias = tuple[str, Plan, tuple[bytes, ...], Condition]


class Plans:
    """By message type, `ADT^A01`, the cases it may be; the first that applies is its event."""

    def __init__(self, cases: dict[bytes, tuple[Case, ...]]) -> None:
        self.cases = cases

    def write(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[str, bytes] | None:
        """The name and the JSON of a message's event; None if anything calls for a closer look.

        That is a type without a case, a segment that is not there, a second PID, a segment without
        a name or with one of the sender's own (`ZPI`), a liberty taken, a date that could not be
        read, another component delimiter.
        """
        kind = b"^".join(tokens.cut(0, 9).split(b"^", 2)[:2])
        if tokens.odd or tokens.liberties or tokens.delimiters[1:2] != b"^":
            return None
        if any(tokens.name(at).startswith(b"Z") for at in range(len(tokens))):
            return None
        cases = self.cases.get(kind, ())
        case = next((each for each in cases if _applies(tokens, each[3])), None)
        if case is None or not all(map(_is_usual, case[2], tokens.census(case[2]))):
            return None
        text, unread = write(case[1], tokens, given, tokens.offset or zone)
        return None if unread else (case[0], text)


def _is_usual(name: bytes, count: int) -> bool:
    return count == 1 if name == b"PID" else count > 0


def _applies(tokens: Tokens, condition: Condition) -> bool:
    if condition is None:
        return True
    segment, field, values = condition
    at = tokens.find(segment)
    return (tokens.cut(at, field, 1, 1) if at >= 0 else b"") in values
