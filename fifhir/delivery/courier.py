"""Brings parcels to one sink: in the limit, past the breaker, again after a failure."""

import asyncio
import random
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from fifhir.delivery.breaker import Breaker
from fifhir.delivery.budget import Budget
from fifhir.delivery.limiter import Limiter
from fifhir.errors import DeliveryError
from fifhir.parcel import Parcel, Sink
from fifhir.resilience import Resilience

PATIENCE = 45.0  # seconds for all tries of a delivery; then it is a dead letter, within a request
TOGETHER = 64  # calls to one destination at a time, from one worker
UNWELL = frozenset({"timeout", "connection_error", "tls", "server_error", "ambiguous"})
"""Failures that say something of the destination, not of what it was sent."""
DOUBTFUL = frozenset({"timeout", "ambiguous"})
"""Failures after which nobody knows whether the parcel arrived."""


class Gauges(Protocol):
    """Where a courier tells how its destination is."""

    def breaker(self, endpoint: str, state: int) -> None: ...
    def rejected(self, endpoint: str) -> None: ...
    def waited(self, endpoint: str, seconds: float) -> None: ...
    def repeated(self, endpoint: str) -> None: ...


class Destination:
    """What all actions with the same destination share in one worker.

    One that hangs takes up its own places and nobody else's.
    """

    def __init__(self, name: str, together: int = TOGETHER) -> None:
        self.name = name
        self.breaker: Breaker | None = None
        self.budget = Budget()
        self.places = asyncio.Semaphore(together)
        self.quiet_until = 0.0  # it asked to be left alone (Retry-After)


class Courier:
    """One sink, with the patience its action's keys give it. Each worker has its own."""

    def __init__(
        self,
        sink: Sink,
        keys: Resilience,
        destination: Destination | None,
        clock: Callable[[], float] = monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.sink = sink
        self.gauges: Gauges | None = None
        self._keys = keys
        self._to = destination or Destination("")
        self._clock = clock
        self._chance = chance
        if keys.circuit_breaker and self._to.breaker is None:
            self._to.breaker = Breaker(
                keys.circuit_failure_threshold, keys.circuit_success_threshold, keys.circuit_timeout
            )
        self._breaker = self._to.breaker if keys.circuit_breaker else None
        self._limiter = (
            Limiter(keys.rate_limit_rate, keys.rate_limit_burst) if keys.rate_limit else None
        )

    async def deliver(self, parcel: Parcel) -> int:
        """The parcel is confirmed; how many tries it took. Raises Undelivered."""
        if not self._to.name:
            return await self._hand_over(parcel)
        attempt, deadline = 0, self._clock() + PATIENCE
        self._to.budget.first()
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(deadline - self._clock()):
                    await self._keep_the_limit()
                    async with self._to.places:
                        await self._try(parcel)
            except TimeoutError as late:
                raise Undelivered("timeout", "no turn in time", attempt) from late
            except DeliveryError as fault:
                pause = self._pause(attempt, fault.retry_after)
                if not self._worth_another(fault, attempt, self._clock() + pause < deadline):
                    raise Undelivered(fault.kind, str(fault), attempt) from fault
                if self.gauges:
                    self.gauges.repeated(self._to.name)
                await asyncio.sleep(pause)
            else:
                return attempt

    async def _hand_over(self, parcel: Parcel) -> int:
        """To a sink within this process, of which nothing is to be expected but success."""
        try:
            await self.sink.deliver(parcel)
        except DeliveryError as fault:
            raise Undelivered(fault.kind, str(fault), 1) from fault
        return 1

    async def _try(self, parcel: Parcel) -> None:
        """One call; the breaker knows how it went."""
        breaker = self._breaker
        shown = breaker.enter(self._clock()) if breaker else 0
        if breaker and not shown:
            raise DeliveryError("circuit_open", "the circuit breaker is open")
        unwell = True  # cancelled as well: it was not answered
        try:
            async with asyncio.timeout(self._keys.timeout):
                await self.sink.deliver(parcel)
            unwell = False
        except TimeoutError as late:
            raise DeliveryError("timeout", "no answer in time", retryable=True) from late
        except DeliveryError as fault:
            unwell = fault.kind in UNWELL
            raise
        finally:
            if breaker:
                if unwell:
                    breaker.bad(shown, self._clock())
                else:
                    breaker.good(shown)
                self.publish()

    def _worth_another(self, fault: DeliveryError, attempt: int, in_time: bool) -> bool:
        """What may have arrived is repeated only if the destination can tell a repeat."""
        safe = self.sink.idempotent or fault.kind not in DOUBTFUL
        wanted = fault.retryable and safe and attempt <= self._keys.further_tries
        return wanted and in_time and self._to.budget.repeat(self._clock())

    async def _keep_the_limit(self) -> None:
        """The destination's own wish and the rate limit allow a call now."""
        if (quiet := self._to.quiet_until - self._clock()) > 0:
            await asyncio.sleep(quiet)
        limiter = self._limiter
        if limiter is None:
            return
        if not self._keys.rate_limit_wait and limiter.wait(self._clock()) > 0:
            if self.gauges:
                self.gauges.rejected(self._to.name)
            raise DeliveryError("rate_limited", "past the rate limit of the action")
        if waiting := limiter.take(self._clock()):
            if self.gauges:
                self.gauges.waited(self._to.name, waiting)
            await asyncio.sleep(waiting)

    def _pause(self, attempt: int, asked: float | None) -> float:
        """What is due, less a random part of it; what the destination asked for goes over that."""
        keys = self._keys
        if asked is not None:
            pause = min(max(asked, 0.0), keys.retry_max_delay)
            self._to.quiet_until = max(self._to.quiet_until, self._clock() + pause)
            return pause
        due = min(keys.retry_delay * keys.retry_multiplier ** (attempt - 1), keys.retry_max_delay)
        return due * (1 - keys.retry_jitter * self._chance())

    def publish(self) -> None:
        """The gauge shows what the breaker is now."""
        if self._breaker and self.gauges:
            self.gauges.breaker(self._to.name, self._breaker.state(self._clock()))


class Undelivered(DeliveryError):
    """The last of several failures, and how many there were."""

    def __init__(self, kind: str, text: str, attempts: int) -> None:
        super().__init__(kind, text)
        self.attempts = attempts
