"""The accept gate: a worker takes the next connection only while no live worker has fewer.

All workers wait on one inherited listening socket. The kernel would wake one of them, and that
one would take everything that is queued (measured, 64 connections on 4 workers: 0 to 61 each);
with the gate each has 16. A worker that has not been heard of lately is not waited for.
"""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable
from typing import Protocol

RETRY = 0.0005  # seconds until a worker that is not next looks again
PATIENCE = 0.1  # seconds it waits for a peer that lives, has fewer connections and takes none
BACKOFF = 0.1  # seconds of rest when the system has no descriptor or memory to give
BURST = 64  # accepts in a row before the loop gets its turn
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
RETIRED = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}  # the socket was closed or shut down


class Owner(Protocol):
    """Who the gate works for.

    `least` is the fewest connections any live worker has, this one included; `publish` makes
    this one's count known to the others. `admit` gets each connection, non-blocking, and `shed`
    those past the cap. `complain` is told what keeps the gate from accepting.
    """

    def least(self, now: float) -> float: ...
    def publish(self, count: int) -> None: ...
    def admit(self, connection: socket.socket) -> None: ...
    def shed(self, connection: socket.socket) -> None: ...
    def complain(self, reason: str) -> None: ...


class Gate:
    """Accepts from `listener` for `owner`; every connection it admits is given back by `release`.

    `cap` is the most connections this worker holds at a time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        cap: int,
        owner: Owner,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.count = 0
        self._loop = loop
        self._listener = listener
        self._cap = cap
        self._owner = owner
        self._clock = clock
        self._waiting_since = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._open = False

    def open(self) -> None:
        """Begin to accept."""
        self._open = True
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; what is queued in the kernel is left to the other workers."""
        if self._open:
            self._open = False
            if self._retry is not None:
                self._retry.cancel()
            self._loop.remove_reader(self._listener.fileno())

    def release(self) -> None:
        """A connection is gone."""
        self.count -= 1
        self._owner.publish(self.count)

    def _accept(self) -> None:
        for _ in range(BURST):
            if not self._is_next():
                self._rest(RETRY)
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                self._waiting_since = 0.0
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._owner.complain(errno.errorcode[error.errno])
                    self._rest(BACKOFF)
                    return
                if error.errno in RETIRED:
                    self.close()
                    return
                continue  # that client has gone again (accept(2): treat like EAGAIN)
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        """Count before anything else: the others look at the count."""
        self._waiting_since = 0.0
        connection.setblocking(False)
        if self.count >= self._cap:
            self._owner.complain("connection_cap")
            self._owner.shed(connection)
            return
        self.count += 1
        self._owner.publish(self.count)
        self._owner.admit(connection)

    def _is_next(self) -> bool:
        now = self._clock()
        if self.count <= self._owner.least(now):
            return True
        self._waiting_since = self._waiting_since or now
        return now - self._waiting_since > PATIENCE

    def _rest(self, seconds: float) -> None:
        """Not to be woken for a while: a readable socket would wake the loop again at once."""
        self._loop.remove_reader(self._listener.fileno())
        self._retry = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._retry = None
        if self._open:
            self._loop.add_reader(self._listener.fileno(), self._accept)


def keep_alive(listener: socket.socket, timeout: float) -> None:
    """Connections accepted from now on notice a vanished peer.

    After about 90 s of silence, or when what was sent is not acknowledged for `timeout` seconds.
    On Linux a connection has the options of the socket that accepted it.
    """
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout * 1000)),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ):
        with contextlib.suppress(OSError):  # a Unix socket has none of these
            listener.setsockopt(level, option, value)
