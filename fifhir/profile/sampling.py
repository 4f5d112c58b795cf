"""What messages of a source look like: counts of what a profile could say, and no patient's data.

Only what describes a feed is kept: its version, character set, types, delimiters, line endings,
segments, and which fields of its own segments have values.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from fifhir.errors import MessageError
from fifhir.message import Message, open_message
from fifhir.profile.tolerance import STANDARD

OPTIONAL = ("PV1", "PD1", "OBR", "NK1", "GT1")  # segments whose absence is worth knowing
_CODE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9 ./_^-]{0,30}")  # what can be shown of MSH
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")


@dataclass
class Samples:
    """Counts over the messages seen so far."""

    messages: int = 0
    broken: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    charsets: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    delimiters: Counter[str] = field(default_factory=Counter)
    lacking: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    fields: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    offsets: int = 0
    guessed: int = 0
    with_lf: int = 0
    with_cr: int = 0

    def add(self, raw: bytes) -> None:
        """One more message; one that cannot be opened is only counted."""
        self.messages += 1
        try:
            message = open_message(raw, guess=True, mend=True)
        except MessageError:
            self.broken += 1
            return
        self._head(message)
        self.with_lf += b"\n" in raw
        self.with_cr += b"\r" in raw
        names = {message.name(at) for at in range(len(message))}
        self.lacking.update(name for name in OPTIONAL if name.encode() not in names)
        for at in range(len(message)):
            name = message.name(at)
            if name.startswith(b"Z") and _NAME.fullmatch(name):
                self._own(message, at, name.decode())

    def _head(self, message: Message) -> None:
        self.versions[_shown(message.cut(0, 12, 1, 1))] += 1
        self.charsets[_shown(message.cut(0, 18, 1))] += 1
        kind, trigger = message.cut(0, 9, 1, 1), message.cut(0, 9, 1, 2)
        self.types[_shown(kind + b"^" + trigger if trigger else kind)] += 1
        standard = message.delimiters == STANDARD and not message.liberties
        self.delimiters["standard" if standard else "other"] += 1
        self.offsets += bool(message.offset)
        self.guessed += "CHARSET_GUESSED" in message.liberties

    def _own(self, message: Message, at: int, name: str) -> None:
        self.own[name] += 1
        valued = (n for n in range(1, message.fields(at) + 1) if message.cut(at, n, 0))
        self.fields[name].update(valued)


def _shown(code: bytes) -> str:
    """A code of MSH; what does not look like one could be anything, so it is not shown."""
    if not code:
        return ""
    return code.decode("ascii") if _CODE.fullmatch(code) else "?"
