"""The scribe's specification: what `_hl7scribe.pyx` does fast, in plain Python."""

from typing import TYPE_CHECKING, Any

from fifhir import dtm
from fifhir._hl7json_py import Plans
from fifhir._hl7parse_py import Tokens, uuid_text
from fifhir.errors import MessageError

if TYPE_CHECKING:
    from hashlib import _Hash


class Scribe:
    """Writes the events of one source's messages, if nothing about them calls for a closer look.

    `begun` is a hash that has been begun with the source's name, `given` what an event is given
    beside its identity and the time of receipt, `zone` where times without an offset belong.
    """

    def __init__(
        self, plans: Plans, begun: "_Hash", given: tuple[Any, ...], zone: dtm.Zone
    ) -> None:
        self._plans = plans
        self._begun = begun
        self._given = given
        self._zone = zone

    def write(self, data: bytes, received_at: str, start: int = 0) -> tuple[str, bytes] | None:
        """The name and the JSON of the event of the message that begins at `start`.

        None if that is not certainly one bare message in ASCII, without hexadecimal escapes, or
        if `Plans.write` would have a closer look at it.
        """
        raw = data[start:] if start >= 0 else b""
        if not raw.startswith(b"MSH") or b"\x0b" in raw or b"\x1c" in raw:
            return None
        try:
            tokens = Tokens(raw)
        except MessageError:
            return None
        if not tokens.ascii or tokens.hexed:
            return None
        if tokens.census((b"MSH", b"FHS", b"BHS", b"BTS", b"FTS")) != (1, 0, 0, 0, 0):
            return None
        named = self._begun.copy()
        named.update(tokens.raw)
        given = (uuid_text(named.digest()), received_at, *self._given)
        return self._plans.write(tokens, given, self._zone)
