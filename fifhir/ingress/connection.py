"""One HTTP/1.1 connection: requests to the application, answers out in their order.

Every buffer has a bound: reading stops while a request waits its turn or the peer does not take
what it was sent, so a connection holds at most one read of requests and one unfinished body.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from fifhir.ingress.crowd import Crowd, has_unread
from fifhir.ingress.exchange import (
    TOO_SLOW,
    Answer,
    Application,
    Fault,
    Limits,
    Request,
    Response,
)
from fifhir.ingress.framing import Framer
from fifhir.ingress.heads import answer
from fifhir.tls import identities

CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"  # an HTTP/1.0 client waits for the word
LARGE = 1 << 18  # bytes from which on copying costs more than another element in writev
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Owner(Protocol):
    """What a connection needs of the server it belongs to."""

    loop: asyncio.AbstractEventLoop
    application: Application
    limits: Limits
    now: float
    date: bytes
    held: int

    @property
    def crowd(self) -> Crowd: ...
    def answer(self, request: Request) -> Answer: ...
    def owe(self, connection: "Connection") -> None: ...
    def may_enter(self, request: Request) -> Fault | None: ...


class Connection(asyncio.Protocol):
    """The protocol object of one accepted socket.

    `queue` holds the requests read and not begun, `task` answers the one whose answer has to
    wait. One at a time is answered, so the messages of a sender that pipelines keep their order.
    `begun` is when the first read of a request came that is not whole yet, else 0.
    Once `deaf` nothing is read, after the `last` answer nothing is written, and `lingering` the
    connection only waits for the peer to close.
    """

    __slots__ = (
        *("server", "limits", "transport", "framer", "out", "queue", "task", "farewell"),
        *("budget", "since", "begun", "stalled_at", "stalled_size", "identities"),
        *("reading", "writable", "deaf", "last", "expecting", "lingering"),
    )

    def __init__(self, server: Owner) -> None:
        self.server = server
        self.limits = server.limits
        self.transport: asyncio.Transport
        self.framer = Framer(server.limits, server, self.take, self.expect)
        self.identities: frozenset[str] = frozenset()
        self.out: list[bytes] = []
        self.queue: deque[Request] | None = None  # an empty one takes 600 bytes
        self.task: asyncio.Task[None] | None = None
        self.farewell: Response | None = None
        self.budget = 0
        self.since = server.now
        self.begun = 0.0
        self.stalled_at = 0.0
        self.stalled_size = 0
        self.reading = True
        self.writable = True
        self.deaf = False
        self.last = False
        self.expecting = False
        self.lingering = False

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.framer.origin = self
        if (peer := transport.get_extra_info("ssl_object")) is not None:
            self.identities = identities(peer)
        self.server.crowd.join(self)

    @property
    def address(self) -> str:
        """The peer's; empty once it has gone."""
        return str((self.transport.get_extra_info("peername") or ("",))[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """What was queued is dropped, nobody having been promised anything.

        A request being answered runs to its end.
        """
        self.deaf = self.last = True
        self._drop_queue()
        self.framer.close()
        self.framer.origin = None  # a cycle
        self.server.crowd.leave(self)

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        server = self.server
        if self.task is None and not self.queue and self.writable:
            short = self.framer.shortcut(data, server.date)
            if short is not None:
                self.since = server.now
                self.out.append(short)
                server.owe(self)
                return
        self.budget = self.limits.pipeline
        fault = self.framer.feed(data)
        if fault is not None:
            self.dismiss(fault)
        if self.framer.headers is not None and not self.begun:
            self.begun = server.loop.time()
        out = self.out
        if len(out) == 1 and len(out[0]) < LARGE:
            server.owe(self)
        elif out:
            self.flush()
        if self.queue:
            if self.task is None:
                self.server.loop.call_soon(self._advance)
            self._set_reading()

    def eof_received(self) -> bool:
        """A client that has shut down its side gets the answers it waits for; not so in TLS."""
        self.flush()
        self.deaf = True
        self.farewell = None
        if self.lingering or not (self.task or self.queue) or not self.transport.can_write_eof():
            return False
        self.framer.finished = True
        return True

    def pause_writing(self) -> None:
        self.writable = False
        self.stalled_at = self.server.now
        self.stalled_size = self.transport.get_write_buffer_size()
        self._set_reading()

    def resume_writing(self) -> None:
        self.writable = True
        if self.task is None:
            self._advance()

    # The framer's side.

    def take(self, request: Request) -> None:
        """Answer the request, or let it wait for those before it."""
        self.expecting = False
        if self.begun:
            self.server.application.arrived(self.server.loop.time() - self.begun)
            self.begun = 0.0
        if self.budget and self.task is None and not self.queue and self.writable:
            self.budget -= 1
            self._answer(request)
        elif self.last:
            self.server.held -= request.size
        elif self.queue is None:
            self.queue = deque((request,))
        else:
            self.queue.append(request)

    def expect(self) -> None:
        """Tell the client to send its body, as soon as what came before is answered."""
        self.expecting = True
        if self.task is None and not self.queue:
            self._continue()

    def dismiss(self, fault: Fault) -> None:
        """Answer `fault` once what came before it is answered, then close."""
        if not self.deaf:
            self.deaf = True
            self.framer.close()
            self.farewell = self.server.application.refuse(fault)
            if self.task is None:
                self._advance()

    # Answering.

    def _answer(self, request: Request) -> None:
        given = self.server.answer(request)
        if isinstance(given, Response):
            self._deliver(request, given)
        else:
            self.task = self.server.crowd.spawn(self._settle(request, given))

    async def _settle(self, request: Request, given: Coroutine[Any, Any, Response]) -> None:
        try:
            response = await given
        finally:
            self.task = None
        self._deliver(request, response)
        self._advance()

    def _deliver(self, request: Request, response: Response) -> None:
        server = self.server
        server.held -= request.size
        body = response.body
        persistence = b""
        if not request.keep_alive or server.crowd.draining:
            persistence = CLOSE
            self.last = True
            self.budget = 0
        elif request.http10:
            persistence = KEEP_ALIVE
        self.since = server.now
        head = response.head, server.date, persistence
        if request.method == b"HEAD":
            self.out.append(answer(head, (body,))[: -len(body) or None])
        elif len(body) < LARGE:
            self.out.append(answer(head, (body,)))
        else:  # not copied
            self.out += (b"".join((*head, b"Content-Length: %d\r\n\r\n" % len(body))), body)

    def _advance(self) -> None:
        """Answer what waits, a bounded number at a time, then read on or say goodbye."""
        budget = self.limits.pipeline
        while self.queue and self.task is None and self.writable and budget and not self.last:
            budget -= 1
            self._answer(self.queue.popleft())
        if self.last:
            self._drop_queue()
        if self.task is None and not self.queue and not self.last:
            if self.farewell is not None:
                self._deliver(Request(keep_alive=False), self.farewell)
            elif self.deaf:
                self.last = True
            elif self.expecting:
                self._continue()
        self.flush()
        if self.queue and self.task is None and self.writable:
            self.server.loop.call_soon(self._advance)
        self._set_reading()

    def _continue(self) -> None:
        self.expecting = False
        self.out.append(CONTINUE)

    def _drop_queue(self) -> None:
        if self.queue:
            self.server.held -= sum(request.size for request in self.queue)
            self.queue.clear()

    def flush(self) -> None:
        """Write what is answered at once; leave if that was the last."""
        out, transport = self.out, self.transport
        if transport.is_closing() or self.lingering:  # uvloop raises on a write when closing
            out.clear()
            return
        if out:
            if len(out) == 1:
                transport.write(out[0])
            elif sum(map(len, out)) < LARGE:
                transport.write(b"".join(out))
            else:
                transport.writelines(out)
            out.clear()
        if self.last and self.task is None:
            self._leave()

    def _leave(self) -> None:
        """Close; after a refusal, first drop for a while what the peer still sends.

        Closing a socket with unread bytes sends a reset, which would overtake the answer. TLS has
        no way to say that only we are done, so there the peer reads it in `Connection: close`.
        """
        self.since = self.server.now
        self.lingering = self.deaf = True
        if self.farewell is None:
            self.transport.close()
        elif self.transport.can_write_eof():
            self.transport.write_eof()

    def _set_reading(self) -> None:
        """Read unless something waits: what is not read, TCP holds back at the sender."""
        wanted = self.lingering or (self.writable and not self.queue)
        if wanted is self.reading or self.transport.is_closing():
            return
        self.reading = wanted
        if wanted:
            self.framer.since = self.server.now  # while we did not read, the peer was not late
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # The clock's side.

    def retire(self, *, idle: bool) -> None:
        """The server drains: close after the next answer, or if `idle` with nothing begun, now."""
        self.framer.forget()
        begun = self.framer.headers is not None or self.task or self.queue or self.lingering
        if idle and not begun:
            if self.transport.is_closing() or has_unread(self.transport):
                return
            self.last = True
            self.flush()

    def check(self, now: float) -> None:
        """Cut off a peer that keeps this connection waiting longer than its limits allow."""
        limits = self.limits
        if self.lingering:
            if now - self.since > (limits.linger if self.farewell else limits.write_timeout):
                self.transport.abort()
        elif not self.writable:
            if self._takes_too_long(now - self.stalled_at):
                self.transport.abort()
        elif self.framer.headers is not None:
            if self.reading and self._sends_too_slowly(self.framer.request, now):
                self.dismiss(TOO_SLOW)
        elif now - self.since > limits.idle_timeout and self.task is None and not self.queue:
            if self.transport.get_write_buffer_size():
                self.transport.abort()
            else:
                self.transport.close()

    def _takes_too_long(self, age: float) -> bool:
        taken = self.stalled_size - self.transport.get_write_buffer_size()
        return age > self.limits.write_timeout and taken < age * self.limits.rate

    def _sends_too_slowly(self, request: Request | None, now: float) -> bool:
        age = now - self.framer.since
        if request is None:
            return age > self.limits.head_timeout
        return age > self.limits.body_timeout and request.size < age * self.limits.rate
