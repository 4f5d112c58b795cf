"""All HTTP connections of one worker: accepted, timed, drained.

Sockets only: what a request means is the application's business.
"""

import asyncio
import resource
import socket
from email.utils import formatdate

from fifhir import config
from fifhir.ingress.connection import Connection
from fifhir.ingress.crowd import Crowd
from fifhir.ingress.exchange import OVERLOADED, Application, Limits
from fifhir.ingress.gate import Gate, keep_alive
from fifhir.scoreboard import Scoreboard, Slab
from fifhir.tls import Door

LAST_CALL = 0.2  # of a drain, in which a connection that waits for nothing may begin once more
RESERVE = 256  # descriptors for logs, stores and outgoing connections


class Server:
    """Accepts on the running loop; owns every connection and every request being answered.

    `now` and `date` are as fine as the tick of the clock: reading the time for every request
    would cost more than it tells.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what serving stands on
        self,
        listener: socket.socket,
        application: Application,
        limits: Limits,
        board: Scoreboard,
        slab: Slab,
        door: Door | None = None,
    ) -> None:
        self.loop = loop = asyncio.get_running_loop()
        self.application = application
        self.answer = application.answer
        self.may_enter = application.admit
        self.limits = limits
        self.now = loop.time()
        self.date = _date()
        self.held = 0
        self._slab = slab
        self._board = board
        gate = Gate(loop, listener, limits.connections, self)
        self.crowd = Crowd(gate, slab, lambda: Connection(self), self, door)
        self.owe = self.crowd.owe
        self._clock = loop.call_later(limits.tick, self._tick)
        keep_alive(listener, limits.write_timeout)
        gate.open()

    async def drain(self, seconds: float) -> None:
        """Every request that has begun is answered, and every connection closed.

        A client that is between two requests cannot know that its connection is about to be closed,
        so it may send one more, and reads in the answer that it was the last. What is not done
        after `seconds` is cut off.
        """
        self.application.retire()
        await self.crowd.drain(seconds, LAST_CALL * seconds)
        self._clock.cancel()

    # The crowd's side.

    def fail(self, error: BaseException) -> None:
        self.application.fail(error)

    def turn_away(self, reason: str, detail: str) -> None:
        self._slab.add(self._board.catalogue.tls_refused["http", reason])
        if reason != "gone":  # who only knocked, as probes do, is not worth a line
            self.application.complain("tls connection refused", f"{reason} {detail}".rstrip())

    # The gate's side.

    def least(self, now: float) -> float:
        return self._board.least(now)

    def publish(self, count: int) -> None:
        self._slab.connections = count

    def admit(self, sock: socket.socket) -> None:
        self.crowd.admit(sock)

    def shed(self, sock: socket.socket) -> None:
        """Past the cap: a word instead of silence, as far as the socket takes it at once."""
        response = self.application.refuse(OVERLOADED)
        head = b"%b%bConnection: close\r\nContent-Length: %d\r\n\r\n"
        try:
            sock.send(head % (response.head, self.date, len(response.body)) + response.body)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        finally:
            sock.close()

    def complain(self, reason: str) -> None:
        self._slab.add(self._board.catalogue.capped)
        self.application.complain("not accepting connections", reason)

    # Time.

    def _tick(self) -> None:
        self.now = now = self.loop.time()
        self.date = _date()
        self._clock = self.loop.call_later(self.limits.tick, self._tick)
        self.crowd.check(now)


def limits(settings: config.Server) -> Limits:
    """The limits these settings mean."""
    return Limits(
        body=settings.max_body_bytes,
        held=4 * settings.max_body_bytes,
        connections=settings.max_connections or _most_connections(),
        head_timeout=min(10.0, settings.read_timeout),
        body_timeout=settings.read_timeout,
        write_timeout=settings.write_timeout,
    )


def _most_connections() -> int:
    """The open-files limit less a reserve; at a tiny limit, half of it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(RESERVE, soft // 2)


def _date() -> bytes:
    return b"Date: %b\r\n" % formatdate(usegmt=True).encode()
