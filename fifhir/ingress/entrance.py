"""Who asks, and whether they may: decided by the head of a request, before its body is read.

A request has a key or a token in its head, or none and a certificate beneath it. Where the only
thing set is which authority signs certificates, every client of that authority may ask anything.
"""

import ipaddress
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from fifhir.access import ALL, Caller, Keyring, token
from fifhir.bearer import UNREADY, Verifier
from fifhir.ingress import answers
from fifhir.ingress.duty import Duty
from fifhir.ingress.exchange import (
    FORBIDDEN,
    NO_TOKEN_KEYS,
    UNAUTHORIZED,
    Answer,
    Fault,
    Origin,
    Request,
    Response,
)
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.rates import Meter, Rates, Ticket
from fifhir.scoreboard import Slab
from fifhir.tls import Door

Handler = Callable[[Request], Answer]
IPV6_SITE = 64  # bits of an address that are one customer's


class Guarded(Duty, Protocol):
    """A duty with the door in front, and the counts that all workers share."""

    @property
    def door(self) -> Door | None: ...
    @property
    def bearer(self) -> Verifier | None: ...
    @property
    def rates(self) -> Rates | None: ...


class Entrance:
    """Knows callers by key or certificate. `meter` counts what they ask and what is refused."""

    def __init__(  # noqa: PLR0913 - what knowing stands on
        self,
        *,
        keyring: Keyring | None,
        meter: Meter | None,
        bearer: Verifier | None,
        failures: int,
        catalogue: Catalogue,
        slab: Slab,
        log: Log,
    ) -> None:
        self._keyring = keyring
        self._meter = meter
        self._bearer = bearer
        self._failures = failures
        self._catalogue = catalogue
        self._slab = slab
        self._log = log

    @classmethod
    def of(cls, duty: Guarded, slab: Slab, slot: int) -> "Entrance | None":
        """The entrance these settings mean; None if nobody is asked who they are."""
        auth = duty.settings.auth
        if not duty.settings.asks:
            return None
        keys = auth.admitted()
        return cls(
            keyring=Keyring(keys, auth.rate_limit) if keys else None,
            meter=duty.rates.meter(slot) if duty.rates else None,
            bearer=duty.bearer,
            failures=auth.failure_limit,
            catalogue=duty.board.catalogue,
            slab=slab,
            log=duty.log,
        )

    def admit(self, request: Request, scope: str) -> Fault | None:
        """Whether who sent the request has this scope; if so the request says who it is."""
        caller = self._caller(request)
        if isinstance(caller, Fault):
            return caller
        if scope not in caller.scopes:
            self._count("scope")
            return FORBIDDEN
        request.caller = caller
        if caller.rate and self._meter:
            request.ticket = self._meter.take(caller.name, caller.rate)
            if request.ticket.over:
                self._count("limited")
        return None

    def _caller(self, request: Request) -> Caller | Fault:
        given, origin = token(request.headers), request.origin
        if given:
            caller = self._keyring.find(given) if self._keyring else None
            return caller or self._borne(given, origin)
        identities = origin.identities if origin else frozenset[str]()
        caller = self._recognise(identities)
        return caller or self._refuse("unknown" if identities else "none", origin)

    def _borne(self, given: bytes, origin: Origin | None) -> Caller | Fault:
        """Who bears a token that is no key."""
        if self._bearer is None or given.count(b".") != 2:
            return self._refuse("unknown", origin)
        caller = self._bearer.read(given)
        if caller == UNREADY:
            self._count("unready")
            return NO_TOKEN_KEYS
        return caller or self._refuse("token", origin)

    def _recognise(self, identities: frozenset[str]) -> Caller | None:
        if self._keyring:
            return self._keyring.recognise(identities)
        if self._bearer:
            return None
        return Caller(max(identities), ALL) if identities else None  # a URI sorts behind a pin

    def _refuse(self, reason: str, origin: Origin | None) -> Fault:
        """401, or 429 to an address that had too many of them; a valid key is never refused."""
        address = origin.address if origin else ""
        self._count(reason)
        self._log.warn("authentication failed", reason=reason, peer=address)
        if not (self._failures and self._meter):
            return UNAUTHORIZED
        ticket = self._meter.take(f"address {_site(address)}", self._failures)
        if not ticket.over:
            return UNAUTHORIZED
        self._count("throttled")
        return Fault(429, "too_many_failures", (f"Retry-After: {ticket.wait}",))

    def _count(self, reason: str) -> None:
        self._slab.add(self._catalogue.auth_refused[reason])


def limited(ticket: Ticket, request: Request, answer: Handler) -> Answer:
    """The answer with what is left of the caller's minute; 429 if nothing is."""
    if ticket.over:
        return _told(ticket, answers.problem(_OVER, answers.request_id(request)))
    given = answer(request)
    return _told(ticket, given) if isinstance(given, Response) else _tell(ticket, given)


async def _tell(ticket: Ticket, answer: Coroutine[Any, Any, Response]) -> Response:
    return _told(ticket, await answer)


def _told(ticket: Ticket, response: Response) -> Response:
    return Response(response.status, response.head + ticket.headers, response.body)


_OVER = answers.Problem(429, "rate_limited", "This key has asked as often as it may this minute.")


def _site(address: str) -> str:
    """Whom an address belongs to, as far as that can be told."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if found.version == 4 else str(int(found) >> (128 - IPV6_SITE))
