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
from typing import Protocol

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
    Origin,
    Request,
)
from fifhir.ingress.heads import DIGITS_LIMIT, Head, is_usual, remembered

# Each may stand once: a proxy that reads the other one would see another request.
SINGLE = frozenset(
    {
        *(b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"),
        *(b"authorization", b"x-api-key"),
        *(b"expect", b"x-source", b"x-request-id", b"x-dry-run"),
    }
)
# With none of these, and to be kept alive, a request is of the one kind nearly all are.
UNUSUAL = frozenset(
    {b"transfer-encoding", b"content-encoding", b"connection", b"expect", b"upgrade"}
)
HEADER_COST = 32  # bytes a header takes beside its own (as RFC 9113, 6.5.2, counts)
HOST_OCTETS = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]"  # RFC 3986
)


class Ledger(Protocol):
    """What all connections share: the time, the bytes of bodies that are held, who may enter."""

    now: float
    held: int

    def may_enter(self, request: Request) -> Fault | None: ...


class _Refused(Exception):
    """Stops the parser; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


class Framer:
    """Cuts one connection's bytes into requests and gives each to `take`, in order.

    `expect` is called when a client waits for the word before it sends a body. `headers` are
    those of the request whose end has not come, None between requests; it began at `since`, and
    `request` is there as soon as its head is complete. After a request that ends the connection
    (`finished`), or a fault, what is fed is ignored. Every request bears the `origin`.
    """

    __slots__ = (
        *("headers", "request", "since", "finished", "origin"),
        *(
            "_limits",
            "_ledger",
            "_take",
            "_expect",
            "_parser",
            "_target",
            "_room",
            "_wire",
            "_host",
            "_head",
            "_latest",
        ),
    )

    def __init__(
        self,
        limits: Limits,
        ledger: Ledger,
        take: Callable[[Request], None],
        expect: Callable[[], None],
    ) -> None:
        self.headers: dict[bytes, bytes] | None = None
        self.request: Request | None = None
        self.since = ledger.now
        self.finished = False
        self.origin: Origin | None = None
        self._limits = limits
        self._ledger = ledger
        self._take = take
        self._expect = expect
        self._parser = HttpRequestParser(self)
        self._target = b""
        self._room = 0
        self._wire = 0
        self._host = b""
        self._head: Head | None = None
        self._latest: Request | None = None

    def feed(self, data: bytes) -> Fault | None:
        """Every request that ends in `data` has been given away; or why reading stops here."""
        if self.finished:
            return None
        head = self._head
        if head is not None and self.headers is None and self._take_again(head, data):
            return None
        return self._parse(data)

    def shortcut(self, data: bytes, date: bytes) -> bytes | None:
        """The answer to `data` if that is a whole request of a kind answered just like that."""
        head = self._head
        if head is None or self.headers is not None or (ask := head.notes.shortcut) is None:
            return None
        begin = head.body(data, self._limits.body)
        return ask(data, begin, date) if begin else None

    def forget(self) -> None:
        """The next request is read by the parser."""
        self._head = None

    def _parse(self, data: bytes) -> Fault | None:
        unfinished, request = self.headers, self.request
        self._latest = None
        if request is not None and request.by_hand:
            return self._ignore_upgrade(memoryview(data))
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._parser = HttpRequestParser(self)
            return self._ignore_upgrade(memoryview(data)[upgrade.args[0] :])
        except HttpParserError as error:
            return self._explain(error)
        if self.headers is None:
            if unfinished is None and self._latest is not None:
                self._head = remembered(data, self._latest)
        elif self.headers is unfinished:
            return self._measure(len(data))
        return None

    def close(self) -> None:
        """Nothing is read any more and the unfinished request is forgotten."""
        if self.request is not None:
            self._ledger.held -= self.request.size
        self.finished = True
        self.headers = self.request = self._head = self._latest = None
        self._parser = HttpRequestParser(None)  # the old one knows the framer: a cycle

    def _take_again(self, head: Head, data: bytes) -> bool:
        """Whether `data` was a request with a head as before, and has been given away.

        The parser, which stands between two requests, knows nothing of this one.
        """
        ledger = self._ledger
        begin = head.body(data, self._limits.body)
        if not begin or ledger.held + len(data) - begin > self._limits.held:
            return False
        request = head.request(data, begin)
        ledger.held += request.size
        self._take(request)
        return True

    # The parser's side, in the order of its calls. It makes them for every request, so they do
    # as little as they can.

    def on_message_begin(self) -> None:
        self.headers = {}
        self._target = b""
        self._room = self._limits.head
        self._wire = 0
        self.since = self._ledger.now

    def on_url(self, piece: bytes) -> None:
        self._target += piece
        if len(self._target) > self._limits.target:
            raise _Refused(TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        if headers is None or self.request is not None:
            return  # a trailer: `_measure` counts it, nobody believes it
        name = name.lower()
        if name in headers and name in SINGLE:
            raise _Refused(BAD_HOST if name == b"host" else REPEATED_HEADER)
        headers[name] = value
        self._room -= len(name) + len(value) + HEADER_COST

    def on_headers_complete(self) -> None:
        headers, parser, limits = self.headers or {}, self._parser, self._limits
        if self._room < 0 or len(headers) > limits.head_count:
            raise _Refused(HEAD_TOO_LARGE)
        keep_alive = parser.should_keep_alive()
        request = Request(parser.get_method(), self._target, headers, keep_alive)
        request.origin = self.origin
        self.request = request
        if (fault := self._ledger.may_enter(request)) is not None:
            raise _Refused(fault)  # before a word that the body may come
        if not (keep_alive and UNUSUAL.isdisjoint(headers)) or parser.should_upgrade():
            self._check_unusual(request)
        if (host := headers.get(b"host")) != self._host:
            self._host = _checked_host(host, request)
        if (length := headers.get(b"content-length")) and int(length) > limits.body:
            raise _Refused(BODY_TOO_LARGE)

    def on_body(self, piece: bytes) -> None:
        request, ledger, size = self.request, self._ledger, len(piece)
        if request is None:
            return
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
        request = self.request
        if request is None or request.size < request.by_hand:
            return
        self.headers = self.request = None
        if request.spool is not None:
            request.body = request.spool.getvalue()
            request.spool = None
        if not request.keep_alive:
            self.finished = True
        if self._room >= DIGITS_LIMIT and is_usual(request):  # a longer length still fits
            self._latest = request
        self._take(request)

    # What llhttp lets through.

    def _check_unusual(self, request: Request) -> None:
        headers, version = request.headers, self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            raise _Refused(BAD_VERSION)
        request.http10 = version == "1.0"
        if b"transfer-encoding" in headers:
            self._check_coding(request)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise _Refused(CODED_CONTENT)
        if b"expect" in headers:
            self._check_expectation(request)
        if self._parser.should_upgrade():
            self._check_upgrade(request)

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

    def _measure(self, fed: int) -> Fault | None:
        """Bound what a request without an end makes the parser read.

        `fed` counts reads that lie in the request whole. Trailers count as overhead.
        """
        self._wire += fed
        if self.request is None:
            return HEAD_TOO_LARGE if self._wire > self._limits.head else None
        overhead = self._wire - self.request.size
        if self.request.chunked and overhead > self.request.size + self._limits.chunk_slack:
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
            request = self.request
            try:
                if request is None or not request.by_hand:
                    self._parser.feed_data(rest)
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


def _checked_host(host: bytes | None, request: Request) -> bytes:
    """The value of Host; only an HTTP/1.0 client may leave it out (RFC 9112, 3.2)."""
    if host is None:
        if request.http10:
            return b""
        raise _Refused(BAD_HOST)
    if host.strip().translate(None, HOST_OCTETS):
        raise _Refused(BAD_HOST)
    return host
