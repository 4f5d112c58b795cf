"""OAuth2 client credentials (RFC 6749, 4.4): tokens, had once for all who need the same one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from fifhir.errors import DeliveryError
from fifhir.logs import Write
from fifhir.secret import Secret
from fifhir.tls import Trust

EARLY = 60.0  # seconds before its end that a token is renewed
DEFAULT_LIFE = 3600.0  # seconds of a token that does not say how long it lives
PAUSE = 1.0  # seconds after a refusal in which nobody asks again
TIMEOUT = 30.0  # seconds


class Grant(Struct, frozen=True):
    """What makes two tokens the same; the scopes are part of it."""

    url: str
    client_id: str
    client_secret: Secret
    scopes: str
    trust: Trust = Trust()

    def form(self) -> bytes:
        fields = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret.reveal(),
        }
        return urlencode(fields | ({"scope": self.scopes} if self.scopes else {})).encode()


Ask: TypeAlias = Callable[[Grant], Awaitable[tuple[int, bytes]]]
"""Post the grant's form to its URL; status and body of the answer."""


class _Answer(Struct, frozen=True):
    access_token: str
    expires_in: float = DEFAULT_LIFE


class _Held(Struct):
    """One grant's token, when to renew it and when it ends; the renewal under way; a refusal."""

    token: str = ""
    renew_at: float = 0.0
    end: float = 0.0
    renewal: asyncio.Task[None] | None = None
    refusal: DeliveryError | None = None
    refused_at: float = 0.0


class Tokens:
    """The tokens of one worker. However many wait for one, it is asked for once."""

    def __init__(self, ask: Ask, write: Write, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._write = write
        self._clock = clock
        self._held: dict[Grant, _Held] = {}

    async def get(self, grant: Grant) -> str:
        """A token that still lives. DeliveryError if there is none to be had.

        A token near its end is renewed in the background, and is good until then.
        """
        held = self._held.setdefault(grant, _Held())
        now = self._clock()
        if now >= held.renew_at:
            quiet = held.refusal is not None and now - held.refused_at < PAUSE
            if held.renewal is None and not quiet:
                held.renewal = asyncio.create_task(self._renew(grant, held))
            if now >= held.end and held.renewal is not None:
                await asyncio.shield(held.renewal)
        if held.refusal and self._clock() >= held.end:
            fault = held.refusal
            raise DeliveryError(fault.kind, str(fault), retryable=fault.retryable)
        return held.token

    def forget(self, grant: Grant, token: str) -> None:
        """The destination refused this token, so it is asked for again."""
        held = self._held.get(grant)
        if held and held.token == token:
            held.end = held.renew_at = 0.0

    async def _renew(self, grant: Grant, held: _Held) -> None:
        """What came of asking is in `held`; nothing is raised, for nobody may be waiting."""
        try:
            answer = await self._asked(grant)
        except DeliveryError as fault:
            held.refusal, held.refused_at = fault, self._clock()
            self._write(
                "error",
                "oauth token refused",
                endpoint=urlsplit(grant.url).netloc,
                reason=str(fault),
            )
        else:
            life, now = max(answer.expires_in, 1.0), self._clock()
            held.token, held.refusal = answer.access_token, None
            held.end, held.renew_at = now + life, now + max(life - EARLY, life / 2)
            self._write(
                "info", "oauth token fetched", endpoint=urlsplit(grant.url).netloc, expires_in=life
            )
        finally:
            held.renewal = None

    async def _asked(self, grant: Grant) -> _Answer:
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await self._ask(grant)
        except TimeoutError as late:
            raise DeliveryError("timeout", "no token in time", retryable=True) from late
        except DeliveryError as fault:
            raise DeliveryError(fault.kind, f"no token: {fault}", retryable=True) from fault
        if status != 200:
            text = f"the token endpoint answered {status}"
            raise DeliveryError("auth_error", text, retryable=status >= 500 or status in {408, 429})
        try:
            return msgspec.json.decode(body, type=_Answer, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise DeliveryError("auth_error", "the token endpoint gave no token") from fault
