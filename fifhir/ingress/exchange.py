"""What passes between a connection and the application: request, answer, fault, limits."""

from collections.abc import Callable, Coroutine
from io import BytesIO
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from fifhir.access import CHALLENGE, Caller
from fifhir.rates import Ticket

# A whole request, where its body begins, the Date line: the whole answer, or None to be asked
# again as an application is asked.
Shortcut: TypeAlias = Callable[[bytes, int, bytes], bytes | None]


class Notes(Struct):
    """What the application has found out about a head, kept for as long as that head comes.

    By the `shortcut` a request is answered that needs neither the connection nor the route to be
    looked at: it may be kept alive, no other waits, and all is well with it.
    """

    feed: Any = None
    shortcut: Shortcut | None = None


class Origin(Protocol):
    """Where requests come from: the peer's address, and all its certificate is known as."""

    @property
    def address(self) -> str: ...
    @property
    def identities(self) -> frozenset[str]: ...


class Request(Struct, gc=False):
    """A request; names of headers are in lower case, and of those that repeat the last counts.

    Of a head seen before, `headers` lack Content-Length, and `notes` are what was noted of it:
    only what target and headers alone decide may be noted. `spool` gathers a body that comes in
    several pieces, `by_hand` is its length if the parser does not read it. `caller` is who asks,
    if that was asked; a `ticket` says what is left of what they may ask in a minute.
    """

    method: bytes = b""
    target: bytes = b""
    headers: dict[bytes, bytes] = {}
    keep_alive: bool = True
    body: bytes = b""
    size: int = 0
    notes: Notes | None = None
    spool: BytesIO | None = None
    by_hand: int = 0
    chunked: bool = False
    http10: bool = False
    caller: Caller | None = None
    ticket: Ticket | None = None
    origin: Origin | None = None


class Response(Struct, frozen=True, gc=False):
    """An answer: `head` is the status line and the headers, each line with its CRLF.

    Date, Content-Length and Connection are the connection's to add.
    """

    status: int
    head: bytes
    body: bytes


Answer: TypeAlias = Response | Coroutine[Any, Any, Response]


class Fault(Struct, frozen=True):
    """Why a request was refused before anyone read what it says."""

    status: int
    reason: str
    headers: tuple[str, ...] = ()


UNAUTHORIZED = Fault(401, "unauthorized", (CHALLENGE,))
FORBIDDEN = Fault(403, "forbidden")
BAD_REQUEST = Fault(400, "bad_request")
BAD_HOST = Fault(400, "bad_host")
REPEATED_HEADER = Fault(400, "repeated_header")
BAD_CODING = Fault(400, "bad_transfer_encoding")
BAD_CHUNKS = Fault(400, "chunk_overhead")
TOO_SLOW = Fault(408, "request_timeout")
BODY_TOO_LARGE = Fault(413, "body_too_large")
TARGET_TOO_LONG = Fault(414, "target_too_long")
CODED_CONTENT = Fault(415, "content_encoding")
BAD_EXPECTATION = Fault(417, "expectation_failed")
HEAD_TOO_LARGE = Fault(431, "header_too_large")
UNKNOWN_CODING = Fault(501, "transfer_encoding")
NO_UPGRADE = Fault(501, "upgrade")
BAD_VERSION = Fault(505, "http_version")
NO_TOKEN_KEYS = Fault(503, "no_token_keys")
OVERLOADED = Fault(503, "overloaded")


class Limits(Struct, frozen=True, kw_only=True):
    """What one connection, and all of them together, may cost. Sizes in bytes, times in seconds."""

    body: int = 64 << 20
    head: int = 32 << 10
    head_count: int = 100
    target: int = 8 << 10
    chunk_slack: int = 64 << 10  # framing beyond one byte for each byte of body
    pipeline: int = 64  # answers in a row before other connections get their turn
    held: int = 256 << 20  # bodies of all connections that are not answered yet
    connections: int = 1024
    head_timeout: float = 10.0
    body_timeout: float = 30.0  # from here on a body must have come at `rate`
    rate: float = 1024.0  # bytes a second, in either direction
    idle_timeout: float = 75.0
    write_timeout: float = 30.0
    linger: float = 2.0
    tick: float = 1.0  # how often the times are looked at


class Application(Protocol):
    """What answers requests. No method ever raises.

    `admit` sees a request as soon as its head is read; a Fault means that its body never will be.
    `answer` returns a Response, or a coroutine that returns one. `refuse` is the answer to a
    request that was not even read. `fail` is told of a fault of ours, `complain` of what keeps
    us from accepting, or whom, `arrived` how long a request took that came in several reads. From
    `retire` on the process takes no new work.
    """

    def admit(self, request: Request) -> Fault | None: ...
    def answer(self, request: Request) -> Answer: ...
    def refuse(self, fault: Fault) -> Response: ...
    def fail(self, error: BaseException) -> None: ...
    def complain(self, what: str, reason: str) -> None: ...
    def retire(self) -> None: ...
    def arrived(self, seconds: float) -> None: ...
