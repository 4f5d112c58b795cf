"""Brings parcels to one sink: in the limit, past the breaker, again after a failure."""

import asyncio
import random
from time import monotonic
from typing import Protocol

from fifhir.delivery.breaker import Breaker, State
from fifhir.delivery.limiter import Limiter
from fifhir.errors import DeliveryError
from fifhir.parcel import Parcel, Sink
from fifhir.resilience import Resilience

PATIENCE = 45.0  # seconds for all tries of a delivery; then it is a dead letter, within a request
UNWELL = frozenset({"timeout", "connection_error", "tls", "server_error", "ambiguous"})
"""Failures that say something of the destination, not of what it was sent."""


class Gauges(Protocol):
    """Where a courier tells how its destination is."""

    def breaker(self, endpoint: str, state: int) -> None: ...
    def rejected(self, endpoint: str) -> None: ...


class Courier:
    """One sink, with the patience its action's keys give it. Each worker has its own."""

    def __init__(self, sink: Sink, keys: Resilience, breaker: Breaker | None) -> None:
        self.sink = sink
        self.gauges: Gauges | None = None
        self._keys = keys
        self._breaker = breaker
        self._limiter = (
            Limiter(keys.rate_limit_rate, keys.rate_limit_burst) if keys.rate_limit else None
        )

    async def deliver(self, parcel: Parcel) -> int:
        """The parcel is confirmed; how many tries it took. DeliveryError has `attempts` too."""
        attempt, deadline = 0, monotonic() + PATIENCE
        while True:
            attempt += 1
            try:
                await self._try(parcel, deadline)
            except DeliveryError as fault:
                pause = self._pause(attempt, fault.retry_after)
                late = monotonic() + pause >= deadline
                if late or not fault.retryable or attempt > self._keys.further_tries:
                    raise Undelivered(fault, attempt) from fault
                await asyncio.sleep(pause)
            else:
                return attempt

    async def _try(self, parcel: Parcel, deadline: float) -> None:
        await self._keep_the_limit()
        breaker = self._breaker
        if breaker and not breaker.admits(monotonic()):
            raise DeliveryError("circuit_open", "the circuit breaker is open")
        try:
            async with asyncio.timeout(min(self._keys.timeout, deadline - monotonic())):
                await self.sink.deliver(parcel)
        except TimeoutError as late:
            self._note(bad=True)
            raise DeliveryError("timeout", "no answer in time", retryable=True) from late
        except DeliveryError as fault:
            self._note(bad=fault.kind in UNWELL)
            raise
        except BaseException:
            self._note(bad=True)
            raise
        self._note(bad=False)

    async def _keep_the_limit(self) -> None:
        limiter = self._limiter
        if limiter is None:
            return
        if not self._keys.rate_limit_wait and limiter.wait(monotonic()) > 0:
            if self.gauges:
                self.gauges.rejected(self.sink.destination)
            raise DeliveryError("rate_limited", "past the rate limit of the action")
        if waiting := limiter.take(monotonic()):
            await asyncio.sleep(waiting)

    def _pause(self, attempt: int, asked: float | None) -> float:
        """What is due, less a random part of it; what the destination asked for goes over that."""
        keys = self._keys
        due = min(keys.retry_delay * keys.retry_multiplier ** (attempt - 1), keys.retry_max_delay)
        if asked is not None:
            return min(max(asked, 0.0), keys.retry_max_delay)
        return due * (1 - keys.retry_jitter * random.random())  # noqa: S311 - not a secret

    def _note(self, *, bad: bool) -> None:
        breaker = self._breaker
        if breaker is None:
            return
        (breaker.bad if bad else breaker.good)(monotonic())
        self.publish()

    def publish(self) -> None:
        """The gauge shows what the breaker is now."""
        if self._breaker and self.gauges:
            self.gauges.breaker(self.sink.destination, self._breaker.state(monotonic()))

    @property
    def state(self) -> State:
        return self._breaker.state(monotonic()) if self._breaker else State.CLOSED


class Undelivered(DeliveryError):
    """The last of several failures, and how many there were."""

    def __init__(self, fault: DeliveryError, attempts: int) -> None:
        super().__init__(fault.kind, str(fault), retryable=fault.retryable)
        self.attempts = attempts
