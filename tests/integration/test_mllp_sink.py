"""The mllp action against real listeners: our own, and python-hl7's."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from hl7.mllp import (  # type: ignore[import-untyped]
    HL7StreamReader,
    HL7StreamWriter,
    start_hl7_server,
)

from fifhir.errors import DeliveryError
from fifhir.parcel import Parcel
from fifhir.sinks.mllp import MllpConfig, MllpSink
from fifhir.written import Written
from tests.process import pki

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|%b|P|2.5\rPID|1||9\rPV1|1|I\r"
ACK = b"\x0bMSH|^~\\&|C|D|A|B|2026||ACK|1|P|2.5\rMSA|%b|%b\r%b\x1c\r"
Answer = Callable[[bytes], bytes]


def parcel(control_id: bytes = b"M1", raw: bytes | None = None) -> Parcel:
    written = Written("patient_admit", "e1", "lab", b'{"patient":{"family":"O|NEIL"}}')
    return Parcel(written, ADMIT % control_id if raw is None else raw, "r", "mllp", 0)


class Destination:
    """A listener that answers with what `answer` says of each control id; empty: not at all."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.left = asyncio.Event()  # set when somebody has gone
        self.seen: list[bytes] = []
        self._answer = answer
        self._context = context

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                message = (await reader.readuntil(b"\x1c\r"))[1:-2]
                self.seen.append(message)
                writer.write(self._answer(message.split(b"|")[9]))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._context)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()


def with_sink(
    answer: Answer,
    talk: Callable[[MllpSink, Destination], Awaitable[None]],
    context: ssl.SSLContext | None = None,
    **keys: object,
) -> None:
    """Let `talk` deliver to a destination that answers so."""

    async def run() -> None:
        destination = Destination(answer, context)
        async with destination.listening() as port:
            config = MllpConfig(address=f"localhost:{port}", **keys)  # type: ignore[arg-type]
            assert list(config.faults()) == []
            sink = MllpSink(config)
            try:
                await asyncio.wait_for(talk(sink, destination), 30)
            finally:
                await sink.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def failure(sink: MllpSink, sent: Parcel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await sink.deliver(sent)
    return caught.value


@pytest.mark.parametrize("code", [b"AA", b"CA"])
def test_one_connection_takes_every_message_in_order(code: bytes) -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        await asyncio.gather(*(sink.deliver(parcel(b"%d" % n)) for n in range(20)))
        assert destination.seen == [ADMIT % b"%d" % n for n in range(20)]
        assert destination.connections == 1

    with_sink(lambda control_id: ACK % (code, control_id, b""), talk)


def test_a_message_may_tell_its_trace_in_a_segment_of_its_own() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        sent = parcel()
        await sink.deliver(sent)
        told = b"ZTR|%b\r" % sent.traceparent.encode()
        assert destination.seen == [ADMIT % b"M1" + told]

    with_sink(lambda name: ACK % (b"AA", name, b""), talk, trace_segment="ZTR")


def test_a_receiver_may_want_a_connection_for_each_message() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        await asyncio.gather(*(sink.deliver(parcel(b"%d" % n)) for n in range(3)))
        assert destination.connections == 3

    with_sink(lambda name: ACK % (b"AA", name, b""), talk, keep_open=False)


@pytest.mark.parametrize(
    ("code", "err", "kind", "retryable", "text"),
    [
        (b"AE", b"ERR||PID^1^3|102^^HL70357|E\r", "client_error", False, "AE (102)"),
        (b"CE", b"ERR|PID^1^3^101&&HL70357\r", "client_error", False, "CE (101)"),
        (b"AR", b"ERR|||SECRET|E||||SECRET\r", "server_error", True, "AR"),
        (b"CR", b"", "server_error", True, "CR"),
    ],
)
def test_a_refusal_says_whether_the_message_is_worth_another_try(
    code: bytes, err: bytes, kind: str, retryable: bool, text: str
) -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        fault = await failure(sink, parcel())
        assert (fault.kind, fault.retryable) == (kind, retryable)
        assert str(fault) == f"the destination answered {text}"
        await failure(sink, parcel())
        assert destination.connections == 1

    with_sink(lambda control_id: ACK % (code, control_id, err), talk)


@pytest.mark.parametrize(
    "answer",
    [
        ACK % (b"AA", b"ANOTHER", b""),
        ACK % (b"XX", b"M1", b""),
        ACK % (b"", b"", b""),
        b"\x0bgarbage\x1c\r",
        b"x" * 5000,
    ],
)
def test_an_answer_that_is_not_to_the_message_confirms_nothing(answer: bytes) -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        fault = await failure(sink, parcel())
        assert (fault.kind, fault.retryable) == ("ambiguous", True)
        await failure(sink, parcel())
        assert destination.connections == 2

    with_sink(lambda _: answer, talk)


def test_a_late_answer_is_not_taken_for_that_of_the_next_message() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await sink.deliver(parcel(b"SLOW"))
        await sink.deliver(parcel(b"M2"))
        assert destination.connections == 2
        await destination.left.wait()

    with_sink(lambda name: b"" if name == b"SLOW" else ACK % (b"AA", name, b""), talk)


def test_what_nobody_asked_for_ends_the_connection() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        await sink.deliver(parcel(b"M1"))
        await destination.left.wait()
        await sink.deliver(parcel(b"M2"))
        assert destination.connections == 2

    with_sink(lambda name: 2 * (ACK % (b"AA", name, b"")), talk)


def test_the_application_may_answer_after_the_accept() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        for name in (b"M1", b"M2", b"M2", b"M3"):
            await sink.deliver(parcel(name))
        assert destination.connections == 1

    with_sink(lambda name: ACK % (b"CA", name, b"") + ACK % (b"AE", name, b""), talk)


def test_nobody_there_is_worth_another_try() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        closed = MllpSink(MllpConfig(address="127.0.0.1:1"))
        assert closed.destination == "mllp://127.0.0.1:1"
        fault = await failure(closed, parcel())
        assert (fault.kind, fault.retryable) == ("connection_error", True)

    with_sink(lambda _: b"", talk)


@pytest.mark.parametrize("raw", [b"", b"MSH|^~\\&|A|B|C|D|2026||ADT^A01||P|2.5\r"])
def test_what_cannot_be_acknowledged_is_not_sent(raw: bytes) -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        fault = await failure(sink, parcel(raw=raw))
        assert (fault.kind, fault.retryable) == ("client_error", False)
        assert destination.connections == 0

    with_sink(lambda _: b"", talk)


def test_a_template_makes_the_message_and_escapes_what_is_in_the_event() -> None:
    async def talk(sink: MllpSink, destination: Destination) -> None:
        await sink.deliver(parcel(raw=b""))
        assert destination.seen == [
            b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|T1|P|2.5\rPID|||||O\\F\\NEIL\r"
        ]

    text = "MSH|^~\\&|A|B|C|D|2026||ADT^A01|T1|P|2.5\nPID|||||{{.patient.family}}\n"
    with_sink(lambda name: ACK % (b"AA", name, b""), talk, message=text)


def test_tls_is_verified(tmp_path: Path) -> None:
    pki.authority(tmp_path, "ca")
    pki.authority(tmp_path, "elsewhere")
    pki.issue(tmp_path, "server", "ca", pki.NAMES)
    pki.issue(tmp_path, "us", "ca", "subjectAltName=URI:urn:us")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    ours = {"cert_file": str(tmp_path / "us.pem"), "key_file": str(tmp_path / "us.key")}

    async def trusted(sink: MllpSink, destination: Destination) -> None:
        await sink.deliver(parcel())
        assert destination.seen == [ADMIT % b"M1"]
        assert sink.destination.startswith("mllps://localhost:")

    async def not_trusted(sink: MllpSink, destination: Destination) -> None:
        fault = await failure(sink, parcel())
        assert (fault.kind, fault.retryable) == ("tls", False)
        assert destination.seen == []

    def answer(name: bytes) -> bytes:
        return ACK % (b"AA", name, b"")

    with_sink(answer, trusted, context, tls=True, ca_file=str(tmp_path / "ca.pem"), **ours)
    other = str(tmp_path / "elsewhere.pem")
    with_sink(answer, not_trusted, context, tls=True, ca_file=other, **ours)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"address": "host"}, "address"),
        ({"address": "{{.x}}:1"}, "address"),
        ({"address": "u@host:1"}, "address"),
        ({"address": "host:1/path"}, "address"),
        ({"address": "host:1", "message": "PID|1"}, "message"),
        ({"address": "host:1", "ca_file": "f"}, "tls"),
        ({"address": "host:1", "tls": True, "ca_file": "/nowhere"}, "ca_file"),
        ({"address": "host:1", "tls": True, "key_file": "f"}, "cert_file"),
    ],
)
def test_what_cannot_work_is_told_when_it_is_loaded(keys: dict[str, object], place: str) -> None:
    (fault,) = MllpConfig(**keys).faults()  # type: ignore[arg-type]
    assert fault[0] == (place,)


def test_python_hl7_takes_and_acknowledges_our_messages() -> None:
    seen: list[str] = []
    gone = asyncio.Event()

    async def take(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        while not writer.is_closing():
            try:
                message = await reader.readmessage()
            except asyncio.IncompleteReadError:
                break
            seen.append(str(message.segment("MSH")[10]))
            writer.writemessage(message.create_ack())
            await writer.drain()
        writer.close()
        gone.set()

    async def run() -> None:
        server = await start_hl7_server(take, "127.0.0.1", 0, encoding="utf-8")
        port = server.sockets[0].getsockname()[1]
        sink = MllpSink(MllpConfig(address=f"127.0.0.1:{port}"))
        for number in range(3):
            await asyncio.wait_for(sink.deliver(parcel(b"%d" % number)), 20)
        await sink.close()
        await asyncio.wait_for(gone.wait(), 20)
        server.close()

    asyncio.run(run())
    assert seen == ["0", "1", "2"]
