"""All MLLP connections of one worker: accepted, timed, drained. Sockets only.

Each connection's messages run one after another, and are answered in their order.
"""

import asyncio
import socket

from msgspec import Struct

from fifhir import logs
from fifhir.ingress.crowd import Crowd
from fifhir.ingress.duty import Duty
from fifhir.ingress.gate import Gate, keep_alive
from fifhir.ingress.mllp_connection import Connection
from fifhir.ingress.receiving import Receiver
from fifhir.journal import Journal
from fifhir.listener import ListenerSettings
from fifhir.scoreboard import Slab
from fifhir.signs import Signs
from fifhir.tls import Door

TICK = 0.25  # seconds; how often the times of all connections are looked at


class Place(Struct, frozen=True):
    """Where a listener listens; with a `door` it speaks TLS there.

    `name` is its address, which connections are counted under.
    """

    name: str
    sock: socket.socket
    settings: ListenerSettings
    door: Door | None = None


def serve(
    duty: Duty, place: Place, slab: Slab, signs: Signs, journal: Journal | None
) -> "Listener":
    """MLLP is served on the running loop, until the listener is drained."""
    catalogue = duty.board.catalogue
    receiver = Receiver(
        place.settings, duty.profiles, duty.workflow, catalogue, slab, signs, duty.log, journal
    )
    return Listener(place, receiver, duty, slab)


class Listener:
    """Accepts on the running loop; owns every connection and every message being answered.

    `held` counts the bytes of frames that are not answered yet, `now` is as fine as the tick.
    """

    def __init__(self, place: Place, receiver: Receiver, duty: Duty, slab: Slab) -> None:
        self.loop = loop = asyncio.get_running_loop()
        self.receiver = receiver
        self.limits = place.settings
        self.now = loop.time()
        self.held = 0
        self._slab = slab
        self._board = duty.board
        self._log = duty.log
        self._count = duty.board.catalogue.mllp_connections(place.name)
        self._clock = loop.call_later(TICK, self._tick)
        gate = Gate(loop, place.sock, self.limits.max_connections, self)
        self.crowd = Crowd(gate, slab, lambda: Connection(self), self, place.door)
        keep_alive(place.sock, duty.settings.server.write_timeout)
        gate.open()

    async def drain(self, seconds: float) -> None:
        """Every frame that has begun is answered, and every connection closed.

        What is not done after `seconds` is cut off, without an answer.
        """
        await self.crowd.drain(seconds)
        self._clock.cancel()

    # A connection's side.

    def refuse(self, reason: str) -> None:
        """A connection cannot go on; its frame is no message."""
        self.tally(reason, 1)
        self._slab.add(self._board.catalogue.error("ingress"))
        self._log.warn("mllp connection closed", reason=reason, source=self.limits.source)

    def tally(self, reason: str, times: int) -> None:
        self._slab.add(self._board.catalogue.mllp_refused[reason], times)

    def drop(self, count: int) -> None:
        self._slab.add(self._board.catalogue.mllp_dropped, count)

    # The crowd's side.

    def fail(self, error: BaseException) -> None:
        """A fault of ours ended the answer to a message."""
        self.receiver.fail("internal_error")
        where = logs.place(error.__traceback__)
        self._log.error("message failed", exception=type(error).__name__, place=where)

    def turn_away(self, reason: str, detail: str) -> None:
        """Nobody came in; who only knocked, as probes do, is not worth a line."""
        self._slab.add(self._board.catalogue.tls_refused["mllp", reason])
        if reason != "gone":
            told = {"detail": detail} if detail else {}
            source = self.limits.source
            self._log.warn("tls connection refused", reason=reason, source=source, **told)

    # The gate's side.

    def least(self, now: float) -> float:
        return self._board.least(now, self._count)

    def publish(self, count: int) -> None:
        self._slab.set(self._count, count)

    def admit(self, sock: socket.socket) -> None:
        self.crowd.admit(sock)

    def shed(self, sock: socket.socket) -> None:
        """Past the cap there is nothing to say: an answer to no message would confuse a sender."""
        sock.close()

    def complain(self, reason: str) -> None:
        self._slab.add(self._board.catalogue.capped)
        self._log.warn("not accepting mllp connections", reason=reason)

    # Time.

    def _tick(self) -> None:
        self.now = now = self.loop.time()
        self._clock = self.loop.call_later(TICK, self._tick)
        self.crowd.check(now)
