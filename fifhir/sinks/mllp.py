"""The `mllp` action: the message itself, or one made of its event, to another system's listener.

One connection of a worker to a destination is kept for all messages of an action, and one message
is on its way at a time, so they arrive in the order in which they were given. A message is
confirmed by an acknowledgment that names it in MSA-2; anything else that comes ends the connection,
for what it belongs to cannot be told any more.
"""

import asyncio
import ssl
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from fifhir import ack, template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.mllp import Framer, frame
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Fault, Faults
from fifhir.tls import CaFile, CertFile, KeyFile, Trust

CONNECT = 10.0  # seconds to resolve a name, connect and agree on TLS
HEAD = "MSH|^~\\&|"  # the delimiters that values in a template are escaped for
ANSWER_LIMIT = 1 << 20  # bytes of an acknowledgment
CONFIRMED = frozenset({"AA", "CA"})
AGAIN = frozenset({"AR", "CR"})
CODES = CONFIRMED | AGAIN | {"AE", "CE"}


class MllpConfig(
    Resilience,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="mllp",
):
    """Send an HL7 v2 message by MLLP. AA or CA confirms it, AR or CR is worth another try."""

    address: Annotated[
        str, Meta(max_length=512, description="Where to, as host:port; an IPv6 address in [].")
    ]
    message: Annotated[
        str,
        Meta(
            max_length=65_536,
            description="Template of the message, a segment a line; empty: the message as it came.",
            extra={"template": "hl7"},
        ),
    ] = ""
    trace_segment: Annotated[
        str,
        Meta(
            pattern="^(Z[A-Z0-9]{2})?$",
            description="A segment of yours, as in ZTR, that is added at the end of the message "
            "with the traceparent (W3C Trace Context) as its first field; empty: none.",
        ),
    ] = ""
    keep_open: Annotated[
        bool,
        Meta(
            description="Whether the connection is kept for the next message; some receivers take "
            "one message a connection."
        ),
    ] = True
    tls: Annotated[bool, Meta(description="Whether to speak TLS; always verified.")] = False
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""

    def faults(self) -> Faults:
        yield from super().faults()
        if self.place() is None:
            yield Fault(("address",), "expected host:port, and no template")
        if self.message and not self.message.lstrip().startswith(HEAD):
            yield Fault(("message",), f"has to begin with {HEAD}")
        yield from self._trust().faults(spoken=self.tls)

    def place(self) -> tuple[str, int] | None:
        """Host and port; None if the address has not both."""
        try:
            parts = urlsplit(f"//{self.address}")
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if not host or not port or parts.netloc != self.address or set(self.address) & set("{}@"):
            return None
        return host, port

    def context(self) -> ssl.SSLContext | None:
        """How TLS is spoken, if it is; BadFile if a file does not do."""
        return self._trust().context() if self.tls else None

    def _trust(self) -> Trust:
        return Trust(self.ca_file, self.cert_file, self.key_file)


class MllpSink:
    """Carries out one `mllp` action of one route."""

    idempotent = True  # a repeat has the same MSH-10, by which a receiver knows it

    def __init__(self, config: MllpConfig) -> None:
        self._host, self._port = config.place() or ("", 0)
        self._context = config.context()
        self._template = template.compile(config.message, "hl7") if config.message else None
        self._keep_open = config.keep_open
        self._trace_segment = config.trace_segment.encode()
        self._line: Line | None = None
        self._turn = asyncio.Lock()
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.destination = f"{'mllps' if config.tls else 'mllp'}://{host}:{self._port}"

    async def deliver(self, parcel: Parcel) -> None:
        """The destination has acknowledged the message with AA or CA."""
        message = self._traced(self._message(parcel), parcel)
        control_id = ack.header(message).fields[10]
        if not control_id:
            raise DeliveryError("client_error", "without MSH-10 nothing can be acknowledged")
        async with self._turn:
            answer = await self._exchange(message, control_id)
        if answer.code not in CONFIRMED:
            raise _refusal(answer)

    async def close(self) -> None:
        self._hang_up()

    def _traced(self, message: bytes, parcel: Parcel) -> bytes:
        """The message, ending with the segment that tells its trace if one is wanted."""
        if not self._trace_segment:
            return message
        delimiter, end = message[3:4], b"" if message.endswith(b"\r") else b"\r"
        told = parcel.traceparent.encode()
        return b"".join((message, end, self._trace_segment, delimiter, told, b"\r"))

    def _message(self, parcel: Parcel) -> bytes:
        if self._template is not None:
            try:
                text = self._template.render(parcel.written.document)
            except TemplateFault as fault:
                raise DeliveryError("template", str(fault)) from None
            lines = (line.strip() for line in text.splitlines())
            return "".join(f"{line}\r" for line in lines if line).encode()
        if not parcel.raw:
            text = "the event did not come as a message, and no template says what to send"
            raise DeliveryError("client_error", text)
        return parcel.raw

    async def _exchange(self, message: bytes, control_id: bytes) -> ack.Reply:
        """The acknowledgment of the message. Whatever goes wrong on the way ends the connection."""
        try:
            if self._line is None or self._line.closed:
                self._line = await self._call()
            answer = await self._line.ask(message, control_id)
        except BaseException:  # also when it takes too long: the answer may still come
            self._hang_up()
            raise
        if not self._keep_open:
            self._hang_up()
        return answer

    async def _call(self) -> "Line":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT):
                _, line = await loop.create_connection(
                    Line, self._host, self._port, ssl=self._context
                )
        except TimeoutError as late:
            raise DeliveryError("timeout", "no connection in time", retryable=True) from late
        except ssl.SSLCertVerificationError as fault:
            text = "the destination's certificate is not trusted"
            raise DeliveryError("tls", text) from fault
        except ssl.SSLError as fault:
            raise DeliveryError("tls", "no TLS with the destination") from fault
        except OSError as fault:
            raise DeliveryError("connection_error", "no connection", retryable=True) from fault
        return line

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.transport.abort()


class Line(asyncio.Protocol):
    """One connection to a destination.

    `_asked` is the control id of the message on its way, `_accepted` that of one which has CA and
    may get the application's word as well.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.closed = False
        self._framer = Framer(ANSWER_LIMIT)
        self._waiting: asyncio.Future[ack.Reply] | None = None
        self._asked = b""
        self._accepted = b""

    async def ask(self, message: bytes, control_id: bytes) -> ack.Reply:
        """The acknowledgment that names this message."""
        if control_id == self._accepted:
            self._accepted = b""
        self._asked = control_id
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(frame(message))
        return await self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for answer in self._framer.feed(data):
            self._take(ack.reply(answer))
        if self._framer.fault:
            self._end("what came is no acknowledgment")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the connection ended before the acknowledgment")

    def _take(self, told: ack.Reply | None) -> None:
        if told is None:
            self._end("what came is no acknowledgment")
        elif self._accepted and told.control_id == self._accepted and told.code[:1] == "A":
            self._accepted = b""
        elif self._waiting is None or self._waiting.done():
            self._end("nobody asked for what came")
        elif told.control_id != self._asked or told.code not in CODES:
            self._end("what came acknowledges another message")
        else:
            self._accepted = told.control_id if told.code == "CA" else b""
            self._waiting.set_result(told)

    def _end(self, reason: str) -> None:
        """The connection is of no more use; whether a message on its way arrived is not known."""
        self.closed = True
        self.transport.abort()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(DeliveryError("ambiguous", reason, retryable=True))


def _refusal(answer: ack.Reply) -> DeliveryError:
    """Reject is worth another try, an error is in the message (HL7 v2.5, 2.9.2.2)."""
    condition = f" ({answer.condition})" if answer.condition else ""
    text = f"the destination answered {answer.code}{condition}"
    again = answer.code in AGAIN
    return DeliveryError("server_error" if again else "client_error", text, retryable=again)
