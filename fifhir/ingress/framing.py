"""HTTP/1.1 framing without sockets: bytes in, whole requests out.

The law of this file: a request is framed in exactly one way or refused, and after a refusal
nothing more is read, so no two readers of the same bytes can disagree about where a request ends
(RFC 9112, 11.2). llhttp parses strictly; what it lets through is refused here: no Host, two Hosts,
other versions, HTTP/1.0 with Transfer-Encoding, any coding but chunked, endless headers, chunks
that are mostly overhead. And httptools takes the body of a request with Upgrade for the bytes of
another protocol; here it is a body.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Protocol, cast

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from fifhir.ingress.exchange import (
    BAD_CHUNKS,
    BAD_CODING,
    BAD_EXPECTATION,
    BAD_HOST,
    BAD_REQUEST,
    BAD_VERSION,
    BODY_TOO_LARGE,
    CODED_CONTENT,
    HEAD_TOO_LARGE,
    NO_UPGRADE,
    OVERLOADED,
    REPEATED_HEADER,
    TARGET_TOO_LONG,
    UNKNOWN_CODING,
    Fault,
    Limits,
    Request,
)

# Each may stand once: a proxy that reads the other one would see another request.
SINGLE = frozenset(
    {
        *(b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"),
        *(b"expect", b"x-source", b"x-request-id", b"x-dry-run"),
    }
)
HOST_OCTETS = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]"  # RFC 3986
)


class Ledger(Protocol):
    """What all connections share: the time, and how many bytes of bodies are held."""

    now: float
    held: int


class _Refused(Exception):
    """Stops the parser; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


class Framer:
    """Cuts one connection's bytes into requests and gives each to `take`, in order.

    `expect` is called when a client waits for the word before it sends a body. `request` is the
    one whose end has not come, begun at `since`. After a request that ends the connection
    (`finished`), or a fault, what is fed is ignored.
    """

    __slots__ = (
        "_expect",
        "_ledger",
        "_limits",
        "_parser",
        "_take",
        "finished",
        "request",
        "since",
    )

    def __init__(
        self,
        limits: Limits,
        ledger: Ledger,
        take: Callable[[Request], None],
        expect: Callable[[], None],
    ) -> None:
        self.request: Request | None = None
        self.since = ledger.now
        self.finished = False
        self._limits = limits
        self._ledger = ledger
        self._take = take
        self._expect = expect
        self._parser: HttpRequestParser | None = HttpRequestParser(self)

    def feed(self, data: bytes) -> Fault | None:
        """Every request that ends in `data` has been given away; or why reading stops here."""
        if self.finished or self._parser is None:
            return None
        unfinished = self.request
        if unfinished is not None and unfinished.by_hand:
            return self._ignore_upgrade(memoryview(data))
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._parser = HttpRequestParser(self)
            return self._ignore_upgrade(memoryview(data)[upgrade.args[0] :])
        except HttpParserError as error:
            return self._explain(error)
        if self.request is not None and self.request is unfinished:
            return self._measure(self.request, len(data))
        return None

    def close(self) -> None:
        """Nothing is read any more and the unfinished request is forgotten."""
        self.finished = True
        self._parser = None  # it knows the framer: without this only the collector frees the two
        if self.request is not None:
            self._ledger.held -= self.request.size
            self.request = None

    # The parser's side, in the order of its calls.

    def on_message_begin(self) -> None:
        self.request = Request()
        self.since = self._ledger.now

    def on_url(self, piece: bytes) -> None:
        request = cast(Request, self.request)
        request.target += piece
        if len(request.target) > self._limits.target:
            raise _Refused(TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        request = cast(Request, self.request)
        request.head_count += 1
        request.head_size += len(name) + len(value)
        if request.head_done:
            self._check_head_size(request)  # a trailer: counted, never believed
            return
        name = name.lower()
        if name in SINGLE:
            if name in request.headers:
                raise _Refused(BAD_HOST if name == b"host" else REPEATED_HEADER)
            request.headers[name] = value

    def on_headers_complete(self) -> None:
        request, parser = cast(Request, self.request), cast(HttpRequestParser, self._parser)
        headers = request.headers
        request.head_done = True
        request.method = parser.get_method()
        request.keep_alive = parser.should_keep_alive()
        if (version := parser.get_http_version()) != "1.1":
            if version != "1.0":
                raise _Refused(BAD_VERSION)
            request.http10 = True
        self._check_head_size(request)
        if (length := headers.get(b"content-length")) and int(length) > self._limits.body:
            raise _Refused(BODY_TOO_LARGE)
        if (host := headers.get(b"host")) is None:
            if not request.http10:
                raise _Refused(BAD_HOST)
        elif host.strip().translate(None, HOST_OCTETS):
            raise _Refused(BAD_HOST)
        if b"transfer-encoding" in headers:
            self._check_coding(request)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise _Refused(CODED_CONTENT)
        if b"expect" in headers:
            self._check_expectation(request)
        if parser.should_upgrade():
            self._check_upgrade(request)

    def on_body(self, piece: bytes) -> None:
        request = cast(Request, self.request)
        ledger = self._ledger
        size = len(piece)
        ledger.held += size
        if request.size:
            if request.spool is None:  # a BytesIO gives its bytes back without copying them
                request.spool = BytesIO()
                request.spool.write(request.body)
            request.spool.write(piece)
        else:
            request.body = piece
        request.size += size
        if request.size > self._limits.body:
            raise _Refused(BODY_TOO_LARGE)
        if ledger.held > self._limits.held:
            raise _Refused(OVERLOADED)

    def on_message_complete(self) -> None:
        request = cast(Request, self.request)
        if request.size < request.by_hand:
            return
        self.request = None
        if request.spool is not None:
            request.body = request.spool.getvalue()
            request.spool = None
        self.finished = not request.keep_alive
        self._take(request)

    # What llhttp lets through.

    def _check_head_size(self, request: Request) -> None:
        if request.head_size > self._limits.head or request.head_count > self._limits.head_count:
            raise _Refused(HEAD_TOO_LARGE)

    def _check_coding(self, request: Request) -> None:
        if request.http10 or b"content-length" in request.headers:
            raise _Refused(BAD_CODING)
        if request.headers[b"transfer-encoding"].strip().lower() != b"chunked":
            raise _Refused(UNKNOWN_CODING)
        request.chunked = True

    def _check_expectation(self, request: Request) -> None:
        if request.headers[b"expect"].strip().lower() != b"100-continue":
            raise _Refused(BAD_EXPECTATION)
        if request.chunked or request.headers.get(b"content-length", b"0") != b"0":
            self._expect()

    def _check_upgrade(self, request: Request) -> None:
        if request.method == b"CONNECT" or request.chunked:
            raise _Refused(NO_UPGRADE)
        request.by_hand = int(request.headers.get(b"content-length", b"0"))

    def _measure(self, request: Request, fed: int) -> Fault | None:
        """Bound what a request without an end makes the parser read.

        `fed` counts reads that lie in the request whole; the head that begins or the body that
        ends amid a read is counted by the parser's calls.
        """
        request.wire += fed
        if not request.head_done:
            return HEAD_TOO_LARGE if request.wire > self._limits.head else None
        overhead = request.wire - request.size
        if request.chunked and overhead > request.size + self._limits.chunk_slack:
            return BAD_CHUNKS
        return None

    def _explain(self, error: HttpParserError) -> Fault | None:
        if self.finished:
            return None  # bytes after a request that said `Connection: close`
        if not isinstance(error, HttpParserCallbackError):
            return BAD_REQUEST
        if isinstance(error.__context__, _Refused):
            return error.__context__.fault
        raise error

    def _ignore_upgrade(self, rest: memoryview) -> Fault | None:
        """RFC 9110, 7.8: a server may ignore Upgrade; what follows is HTTP/1.1 as before."""
        while rest and not self.finished:
            request, parser = self.request, cast(HttpRequestParser, self._parser)
            try:
                if request is None or not request.by_hand:
                    parser.feed_data(rest)
                    return None
                rest = self._read_by_hand(request, rest)
            except HttpParserUpgrade as upgrade:
                self._parser = HttpRequestParser(self)
                rest = rest[upgrade.args[0] :]
            except HttpParserError as error:
                return self._explain(error)
            except _Refused as refused:
                return refused.fault
        return None

    def _read_by_hand(self, request: Request, data: memoryview) -> memoryview:
        """As much of `data` as is body has been read; the rest of it."""
        wanted = request.by_hand - request.size
        self.on_body(bytes(data[:wanted]))
        if request.size == request.by_hand:
            self.on_message_complete()
        return data[wanted:]
