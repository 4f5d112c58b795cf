"""All HTTP connections of one worker: accepted, timed, drained.

Sockets only: what a request means is the application's business.
"""

import asyncio
import fcntl
import resource
import socket
import termios
from collections.abc import Coroutine
from email.utils import formatdate
from typing import Any

from fifhir import config
from fifhir.ingress.connection import Connection
from fifhir.ingress.exchange import OVERLOADED, Application, Limits
from fifhir.ingress.gate import Gate, keep_alive
from fifhir.scoreboard import Scoreboard, Slab

RESERVE = 256  # descriptors for logs, stores and outgoing connections


class Server:
    """Accepts on the running loop; owns every connection and every request being answered.

    `now` and `date` are as fine as the tick of the clock: reading the time for every request
    would cost more than it tells.
    """

    def __init__(
        self,
        listener: socket.socket,
        application: Application,
        limits: Limits,
        board: Scoreboard,
        slab: Slab,
    ) -> None:
        self.loop = loop = asyncio.get_running_loop()
        self.application = application
        self.answer = application.answer
        self.may_enter = application.admit
        self.limits = limits
        self.now = loop.time()
        self.date = _date()
        self.held = 0
        self.draining = False
        self._connections: set[Connection] = set()
        self._arrivals: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._slab = slab
        self._board = board
        self._gate = Gate(loop, listener, limits.connections, self)
        self._clock = loop.call_later(limits.tick, self._tick)
        keep_alive(listener, limits.write_timeout)
        self._gate.open()

    def close(self) -> None:
        """Accept nothing from now on; what is connected is served as before."""
        self._gate.close()

    async def drain(self, seconds: float) -> None:
        """Every request that has begun is answered, and every connection closed.

        What is not done after `seconds` is cut off.
        """
        self.close()
        self.draining = True
        self.application.retire()
        for connection in tuple(self._connections):
            if not connection.transport.is_closing() and not self._has_unread(connection):
                connection.retire()
        try:
            async with asyncio.timeout(seconds):
                while self._gate.count or self._tasks:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            await self._cut()
        self._clock.cancel()

    # A connection's side.

    def made(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self.draining:
            connection.retire()

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._gate.release()
        self._changed.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` to its end, whatever becomes of its connection."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        self._slab.in_flight = len(self._tasks)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slab.in_flight = len(self._tasks)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.application.fail(error)

    # The gate's side.

    def least(self, now: float) -> float:
        return self._board.least(now)

    def publish(self, count: int) -> None:
        self._slab.connections = count

    def admit(self, sock: socket.socket) -> None:
        task = self.loop.create_task(self._attach(sock))
        self._arrivals.add(task)
        task.add_done_callback(self._arrivals.discard)

    async def _attach(self, sock: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self), sock)
        except OSError:  # the peer has gone before it was made
            sock.close()
            self._gate.release()

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
        self.application.complain(reason)

    # Time.

    def _tick(self) -> None:
        self.now = now = self.loop.time()
        self.date = _date()
        self._clock = self.loop.call_later(self.limits.tick, self._tick)
        for connection in tuple(self._connections):
            connection.check(now)

    def _has_unread(self, connection: Connection) -> bool:
        """Whether the kernel holds bytes of it: a request that had been sent before we drained."""
        peer = connection.transport.get_extra_info("socket")
        return fcntl.ioctl(peer.fileno(), termios.FIONREAD, bytes(4)) != bytes(4)

    async def _cut(self) -> None:
        for connection in tuple(self._connections):
            connection.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


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
