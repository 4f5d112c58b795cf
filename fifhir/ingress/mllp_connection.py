"""One MLLP connection: messages to the receiver one by one, acknowledgments out in their order.

Every buffer has a bound: reading stops while messages wait or the peer does not take its answers,
so a connection holds at most two reads of frames and one unfinished frame. A connection that
cannot go on first answers the messages that came before, then shuts down its side and drops what
still comes: closing at once would send a reset, which may overtake those answers.
"""

import asyncio
import math
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, TypeAlias

from fifhir.ingress.crowd import Crowd, has_unread
from fifhir.listener import ListenerSettings
from fifhir.mllp import Framer

TLS_HELLO = b"\x16\x03"  # how a peer begins that takes this for a port with TLS (RFC 8446, 5.1)
BURST = 64  # messages in a row before other connections get their turn
WAITING = 2  # messages that may wait before reading stops
DEADLINE = 60.0  # seconds a message may run; each destination has a deadline of its own
WRITE_TIMEOUT = 30.0  # seconds a peer may leave its answers untaken
LINGER = 2.0  # seconds what a peer still sends is dropped


Reply: TypeAlias = bytes | None
"""Frames, none, or None for close."""


class Receiver(Protocol):
    """What answers messages, at once where it need not wait."""

    def answer(self, message: bytes) -> Reply | Coroutine[Any, Any, Reply]: ...
    def fail(self, reason: str) -> None: ...
    def arrived(self, seconds: float) -> None: ...


class Owner(Protocol):
    """What a connection needs of the listener it belongs to."""

    loop: asyncio.AbstractEventLoop
    limits: ListenerSettings
    now: float
    held: int

    @property
    def crowd(self) -> Crowd: ...
    @property
    def receiver(self) -> Receiver: ...
    def refuse(self, reason: str) -> None: ...
    def tally(self, reason: str, times: int) -> None: ...
    def drop(self, count: int) -> None: ...
    def fail(self, error: BaseException) -> None: ...


class Connection(asyncio.Protocol):
    """The protocol object of one accepted socket.

    `queue` holds the messages read and not begun; `task` waits for the answer to one. `since` is
    when the frame now being read began, or the last one ended; `started` when the message at hand
    began to run. A `leaving` connection takes the frame that has begun and no more. Once `deaf`
    nothing is read; `lingering` it only waits for the peer to close.
    """

    __slots__ = (
        *("listener", "transport", "framer", "queue", "out", "task", "since", "started", "stalled"),
        *("begun",),
        *("reading", "writable", "leaving", "deaf", "half_closed", "lingering"),
    )

    def __init__(self, listener: Owner) -> None:
        self.listener = listener
        self.transport: asyncio.Transport
        self.framer = Framer(listener.limits.max_frame_bytes)
        self.queue: deque[bytes] = deque()
        self.out: list[bytes] = []
        self.task: asyncio.Task[None] | None = None
        self.since = listener.now
        self.begun = 0.0
        self.started = math.inf
        self.stalled = math.inf
        self.reading = True
        self.writable = True
        self.leaving = False
        self.deaf = False
        self.half_closed = False
        self.lingering = False

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.listener.crowd.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """What waits is dropped, nobody having been promised anything; what runs, runs on."""
        self._hear_no_more()
        self._empty_queue()
        self.listener.crowd.leave(self)

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        if data.startswith(TLS_HELLO) and not self.framer.begun:
            self._refuse("tls")
            self._settle()
            return
        framer, listener = self.framer, self.listener
        begun, held = framer.begun, framer.held
        messages = framer.feed(data)
        if messages or not begun:
            self.since = listener.now
        if framer.begun or self.begun:
            self._time(arrived=bool(messages))
        if self.leaving:
            messages = messages[:1] if begun else messages
            self.deaf = bool(messages) if begun else not framer.begun
        self.queue += messages
        listener.held += sum(map(len, messages)) + framer.held - held
        self._tell_of_losses()
        if framer.fault:
            self._refuse(framer.fault)
        elif listener.held > listener.limits.max_in_flight_bytes:
            self._refuse("overload")
        self._settle()

    def _time(self, *, arrived: bool) -> None:
        """A frame that comes in several reads takes from the first to the last of them."""
        now = self.listener.loop.time()
        if arrived and self.begun:
            self.listener.receiver.arrived(now - self.begun)
            self.begun = 0.0
        if self.framer.begun and not self.begun:
            self.begun = now

    def eof_received(self) -> bool:
        """A peer that has shut down its side still gets the answers it waits for; not so in TLS."""
        self.half_closed = True
        self._hear_no_more()
        self.flush()
        if self.lingering or not self.transport.can_write_eof():
            return False
        return bool(self.task or self.queue)

    def pause_writing(self) -> None:
        self.writable = False
        self.stalled = self.listener.now
        self._set_reading()

    def resume_writing(self) -> None:
        self.writable = True
        self.stalled = math.inf
        self._settle()

    # Answering.

    def _settle(self) -> None:
        """Whatever can go on goes on; what is done leaves."""
        if self.queue and self.task is None and self.writable:
            self._answer()
        if self.deaf and not self.queue and self.task is None:
            self._leave()
        self._set_reading()

    def _answer(self) -> None:
        """Messages are answered as long as none has to wait, and the peer takes the answers."""
        listener, budget = self.listener, BURST
        while self.queue and self.writable and budget and self.task is None:
            budget -= 1
            message = self.queue.popleft()
            try:
                reply = listener.receiver.answer(message)
            except Exception as error:
                listener.fail(error)
                reply = None
            if reply is None or isinstance(reply, bytes):
                self._end(message, reply)
            else:
                self.started = listener.now
                self.task = listener.crowd.spawn(self._wait(message, reply))
        if self.out:
            listener.crowd.owe(self)
        if self.queue and self.writable and self.task is None:
            listener.loop.call_soon(self._settle)

    async def _wait(self, message: bytes, coming: Coroutine[Any, Any, Reply]) -> None:
        """The message is answered when its answer is there; then come those behind it."""
        reply = None
        try:
            reply = await coming
        except Exception as error:
            self.listener.fail(error)
        finally:
            self.task = None
            self.started = math.inf
            self._end(message, reply)
            self.flush()
            self._settle()

    def _end(self, message: bytes, reply: Reply) -> None:
        """The message has run. Its answer is about to be written; without one, nothing follows."""
        self.listener.held -= len(message)
        if not self.framer.begun:
            self.since = self.listener.now
        if reply is None:
            self._empty_queue()
            self.deaf = True
        elif reply:
            self.out.append(reply)

    def flush(self) -> None:
        """The answers there are so far are written together."""
        out, self.out = self.out, []
        if out and not (self.transport.is_closing() or self.lingering):
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _refuse(self, reason: str) -> None:
        """Answer what came before, then close; what cannot be read is never acknowledged."""
        self._end_frame()
        self.deaf = True
        self.listener.refuse(reason)

    def _leave(self) -> None:
        if self.lingering or self.transport.is_closing():
            return
        self.flush()
        self.lingering = True
        self.since = self.listener.now
        if self.half_closed or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()

    def _set_reading(self) -> None:
        """Read unless something waits: what is not read, TCP holds back at the sender."""
        wanted = self.lingering or (self.writable and len(self.queue) < WAITING)
        if wanted is self.reading or self.transport.is_closing():
            return
        self.reading = wanted
        if wanted:
            self.since = self.listener.now  # while we did not read, the peer was not late
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # What is left over.

    def _hear_no_more(self) -> None:
        """No more will come; a frame that only began is counted as such."""
        if (fault := self._end_frame()) and not self.deaf:
            self.listener.refuse(fault)
        self.deaf = True

    def _end_frame(self) -> str:
        """What has come of a frame is let go; the fault it ended with."""
        self.listener.held -= self.framer.held
        fault = self.framer.finish()
        self._tell_of_losses()
        return fault

    def _empty_queue(self) -> None:
        self.listener.held -= sum(map(len, self.queue))
        self.queue.clear()

    def _tell_of_losses(self) -> None:
        framer = self.framer
        if framer.dropped:
            self.listener.drop(framer.dropped)
            framer.dropped = 0
        if framer.restarts:
            self.listener.tally("restarted", framer.restarts)
            framer.restarts = 0

    # The clock's side.

    def retire(self, *, idle: bool) -> None:
        """The listener drains: take the frame begun, or what was sent already, and leave."""
        self.leaving = True
        if idle and not self.framer.begun and not has_unread(self.transport):
            self.deaf = True
        self._settle()

    def check(self, now: float) -> None:
        """Cut off a peer that keeps this connection waiting longer than its limits allow."""
        limits = self.listener.limits
        if self.lingering:
            unsent = self.transport.get_write_buffer_size()
            if now - self.since > (WRITE_TIMEOUT if unsent else LINGER):
                self.transport.abort()
        elif now - self.stalled > WRITE_TIMEOUT:
            self.transport.abort()
        elif self.task is not None:
            if now - self.started > DEADLINE:
                self.started = math.inf
                self.listener.receiver.fail("deadline")
                self.task.cancel()
        elif self.framer.begun:
            if self.reading and now - self.since > limits.frame_timeout:
                self._time_out()
        elif now - self.since > limits.idle_timeout:
            self.transport.close()

    def _time_out(self) -> None:
        fault = self._end_frame()
        self._refuse("frame_timeout" if fault == "unfinished" else fault)
        self._settle()
