"""Conditions on a message: CEL that may also name its fields as HL7 does.

`PV1.2 == 'I'` and `PV1-3.4` are fields of the message, the empty text where they are absent;
`event` is its event as JSON has it (`event.encounter.location.unit`).
"""

import re
from typing import Any, NamedTuple

import msgspec

from fifhir import cel
from fifhir.errors import CelError
from fifhir.message import Message

_TOKEN = re.compile(
    r"""(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|\b(?P<segment>[A-Z][A-Z0-9]{2})[.-](?P<place>\d{1,3}(?:\.\d{1,2}){0,2})"""
)


class Condition(NamedTuple):
    """Ready to be asked; `fields` are those it names, `event` is whether it needs the event."""

    holds: cel.Predicate
    fields: tuple[str, ...]
    event: bool

    def __call__(self, message: Message, event: Any) -> bool:
        """Whether it holds. Raises CelFault when it has no answer for this message."""
        document = msgspec.to_builtins(event) if self.event else {}
        return self.holds(document | {path: message.get(path) or "" for path in self.fields})


def read(text: str) -> Condition:
    """The condition the text means. Raises CelError, whose column is that of the text."""
    fields: list[str] = []
    shifts: list[tuple[int, int]] = []  # where each replacement ends, and how much longer it is

    def replaced(token: re.Match[str]) -> str:
        if token["quoted"]:
            return token[0]
        fields.append(f"{token['segment']}-{token['place']}")
        meant = f'event["{fields[-1]}"]'
        grown = sum(more for _, more in shifts)
        shifts.append((token.start() + grown + len(meant), len(meant) - len(token[0])))
        return meant

    written = _TOKEN.sub(replaced, text)
    try:
        condition = cel.compile(written)
    except CelError as fault:
        column = fault.column - sum(more for end, more in shifts if end <= fault.column)
        raise CelError(max(column, 1), str(fault)) from fault
    mentions = re.sub(_TOKEN, lambda token: token["quoted"] or "", text)
    return Condition(condition, tuple(fields), re.search(r"\bevent\b", mentions) is not None)
