"""What a sink is given, and what a sink is."""

import hashlib
import uuid
from typing import Protocol

from msgspec import Struct

from fifhir.written import Written


class Parcel(Struct, frozen=True):
    """One event on its way to one action; `written` is the event after the route's transforms.

    `index` is the action's place in its route, `raw` the message as it was received, empty for an
    event that was posted as JSON.
    """

    written: Written
    raw: bytes
    route: str
    action: str
    index: int

    @property
    def key(self) -> str:
        """What a destination knows a repeat by: the same for the same event, route and action."""
        return key(self.written.id, self.route, self.index)

    @property
    def span_id(self) -> str:
        """The id of the span that this delivery is; the same at every try."""
        return span_id(self.written, self.route, self.index)

    @property
    def traceparent(self) -> str:
        """What the destination is told of the trace this delivery belongs to."""
        return self.written.trace.parent(self.span_id)


def span_id(written: Written, route: str, index: int) -> str:
    """The id of the span of one action's delivery."""
    number = int(key(written.id, route, index).replace("-", "")[16:], 16)
    return written.trace.child(number)


def key(event_id: str, route: str, index: int) -> str:
    """A UUID (RFC 9562, version 8) of what makes a delivery the same one."""
    digest = hashlib.sha256(f"{event_id}\0{route}\0{index}".encode()).digest()
    return str(uuid.UUID(int=int.from_bytes(digest[:16]) & ~(0xF << 76) | (8 << 76)))


class Sink(Protocol):
    """Carries out one action of one route. Made before the fork; opens nothing before it is used.

    `destination` is where it delivers to (scheme://host:port), what breaker, limiter and metrics
    are named by; empty if nothing can be out of reach. `idempotent` says whether a delivery may be
    repeated when nobody knows whether it arrived.
    """

    destination: str
    idempotent: bool

    async def deliver(self, parcel: Parcel) -> None:
        """The destination has confirmed; DeliveryError if it has not."""

    async def close(self) -> None:
        """No connection is left open."""
