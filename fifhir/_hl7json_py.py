"""The writer's specification: what `_hl7json.pyx` does fast, in plain Python."""

from typing import Any

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


class Plans:
    """Plans by message type, `ADT^A01`: an event's name, its plan, and segments it has once."""

    def __init__(self, plans: dict[bytes, tuple[str, Plan, tuple[bytes, ...]]]) -> None:
        self.plans = plans

    def write(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[str, bytes] | None:
        """The name and the JSON of a message's event; None if anything calls for a closer look.

        That is a type without a plan, a segment that is not there once, a segment without a
        name or with one of the sender's own (`ZPI`), a liberty taken, a date that could not be
        read, another component delimiter.
        """
        kind = b"^".join(tokens.cut(0, 9).split(b"^", 2)[:2])
        if tokens.odd or tokens.liberties or tokens.delimiters[1:2] != b"^":
            return None
        if any(tokens.name(at).startswith(b"Z") for at in range(len(tokens))):
            return None
        name, plan, segments = self.plans.get(kind, ("", None, ()))
        if plan is None or any(count != 1 for count in tokens.census(segments)):
            return None
        text, unread = write(plan, tokens, given, tokens.offset or zone)
        return None if unread else (name, text)
