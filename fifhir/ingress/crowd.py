"""Who is connected to one listener, and what of theirs is being answered.

A connection belongs to the crowd from its accept to its end. Work it began runs to its own end,
whatever becomes of the connection.
"""

import asyncio
import contextlib
import fcntl
import socket
import termios
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from fifhir import tls
from fifhir.ingress.gate import Gate
from fifhir.metrics import IN_FLIGHT
from fifhir.scoreboard import Slab
from fifhir.tls import Door

TOGETHER = 32  # connections whose answers are written together; the first waits for the last
ALONE = 16  # answers written at once before we look again whether others wait


class Member(Protocol):
    """What a crowd asks of a connection.

    To write what is answered, to leave after what has begun, and to look at the time. One that is
    `idle` has begun nothing, and leaves at once only if it is told so.
    """

    transport: asyncio.Transport

    def flush(self) -> None: ...
    def retire(self, *, idle: bool) -> None: ...
    def check(self, now: float) -> None: ...


class Owner(Protocol):
    """Who a crowd works for.

    `fail` is told of a fault that ended a task, `turn_away` why a peer did not come in by TLS
    (one of `metrics.TLS_REASONS`) and what there is to say of its certificate.
    """

    def fail(self, error: BaseException) -> None: ...
    def turn_away(self, reason: str, detail: str) -> None: ...


class Crowd:
    """Every connection `gate` admitted, and every task they began.

    `connect` makes the protocol of an accepted socket, which joins when it is connected. With a
    `door` it speaks TLS, and joins when the peer has shown that it may come in.
    """

    def __init__(
        self,
        gate: Gate,
        slab: Slab,
        connect: Callable[[], asyncio.Protocol],
        owner: Owner,
        door: Door | None = None,
    ) -> None:
        self.draining = self._last_call = False
        self._loop = asyncio.get_running_loop()
        self._gate = gate
        self._words = slab.words
        self._connect = connect
        self._owner = owner
        self._door = door
        self._tls: dict[str, Any] = door.options() if door else {}
        self._arrivals: set[asyncio.Task[None]] = set()
        self._members: set[Member] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._debtors: list[Member] = []
        self._alone = 0

    def admit(self, sock: socket.socket) -> None:
        """The socket is on its way in."""
        task = self._loop.create_task(self._attach(sock))
        self._arrivals.add(task)
        task.add_done_callback(self._arrivals.discard)

    async def _attach(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connect, sock, **self._tls)
        except OSError as fault:  # without TLS: the peer has gone before it was made
            sock.close()
            self._gate.release()
            if self._door:
                self._owner.turn_away(tls.why(fault), tls.detail(fault))

    def join(self, member: Member) -> None:
        """The connection is one of us, if its peer may come in."""
        self._members.add(member)
        if self._door and not self._door.admits(
            peer := member.transport.get_extra_info("ssl_object")
        ):
            member.transport.abort()
            self._owner.turn_away("identity", ", ".join(sorted(tls.identities(peer))))
        if self.draining:
            member.retire(idle=not self._last_call)

    def leave(self, member: Member) -> None:
        self._members.discard(member)
        self._gate.release()
        self._changed.set()

    def owe(self, member: Member) -> None:
        """What the member has to say is written once all that can be read has been read.

        Written one by one, each answer would wake a client that has gone to sleep since the last
        one; that took a third of the kernel's time (64 connections, 2026-11-24). Where nobody else
        was found to wait, the next answers go at once: waiting costs a turn of the loop.
        """
        debtors = self._debtors
        if self._alone:
            self._alone -= 1
            member.flush()
            return
        if not debtors:
            self._loop.call_soon(self._pay)
        debtors.append(member)
        if len(debtors) == TOGETHER:
            self._pay()

    def _pay(self) -> None:
        debtors, self._debtors = self._debtors, []
        if len(debtors) == 1:
            self._alone = ALONE
        for member in debtors:
            member.flush()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` to its end, whatever becomes of its connection."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        self._words[IN_FLIGHT] += 1
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._words[IN_FLIGHT] -= 1
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._owner.fail(error)

    def check(self, now: float) -> None:
        """Every connection has looked at the time."""
        for member in tuple(self._members):
            member.check(now)

    async def drain(self, seconds: float, last_call: float = 0.0) -> None:
        """What has begun is answered, everybody has left; after `seconds` the rest is cut off.

        Who has begun nothing may still do so during the `last_call`, in seconds.
        """
        self._gate.close()
        self.draining = True
        self._last_call = last_call > 0
        until = self._loop.time() + seconds
        self._retire()
        if self._last_call and not await self._empty(min(last_call, seconds)):
            self._last_call = False
            self._retire()
        if not await self._empty(until - self._loop.time()):
            await self._cut()

    def _retire(self) -> None:
        for member in tuple(self._members):
            member.retire(idle=not self._last_call)

    async def _empty(self, seconds: float) -> bool:
        """Whether nobody is here and nothing runs any more before `seconds` have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._gate.count or self._tasks:
                    self._changed.clear()
                    await self._changed.wait()
                return True
        return False

    async def _cut(self) -> None:
        for member in tuple(self._members):
            member.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def has_unread(transport: asyncio.Transport) -> bool:
    """Whether the kernel holds bytes of it: what had been sent before we drained."""
    peer = transport.get_extra_info("socket")
    return fcntl.ioctl(peer.fileno(), termios.FIONREAD, bytes(4)) != bytes(4)
