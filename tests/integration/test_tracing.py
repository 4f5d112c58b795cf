"""One trace from a sender through the store to a destination, its log lines and its spans.

The collector is a real OTLP receiver: it decodes what OpenTelemetry's exporter posts to it.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.waiting import until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
ADT = (
    "MSH|^~\\&|A|B|C|D|20260101||ADT^A01|{id}|P|2.5.1\rPID|1||99887766^^^B^MR||TEAPOT^HAZEL||1970\r"
    "PV1|1|I\r{more}"
)
WORKFLOW = """\
name: w
routes:
  - name: hook
    actions:
      - {{type: webhook, url: "http://127.0.0.1:{port}/in", retry_max: 0, timeout: 5s}}
"""


class Peer:
    """A web server that remembers what it was posted; a destination and a collector in one."""

    def __init__(self) -> None:
        self.status = 200
        self.parents: list[str] = []
        self.spans: list[Span] = []
        self.raw = b""
        mine = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    mine.take(body)
                    self.send_response(200)
                else:
                    mine.parents.append(self.headers["traceparent"])
                    self.send_response(mine.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, body: bytes) -> None:
        self.raw += body
        told = ExportTraceServiceRequest.FromString(body)
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Daemon:
    """A daemon of two workers whose workflow posts to the peer."""

    def __init__(self, folder: Path, peer: Peer, **settings: str) -> None:
        workflow = folder / "w.yaml"
        workflow.write_text(WORKFLOW.format(port=peer.port))
        self._log = folder / "log"
        environ = os.environ | {
            "FI_FHIR_DATA_DIR": str(folder / "data"),
            "FI_FHIR_WORKFLOW_CONFIG_PATH": str(workflow),
            **settings,
        }
        words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "2"]
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fifhir", *words], stdout=out, stderr=out, env=environ
            )
        until(lambda: bool(self.lines("ready")), seconds=30)
        (ready,) = self.lines("ready")
        self.port = int(ready["address"].rsplit(":", 1)[1])
        self.mllp = int(ready.get("mllp", ":0").rsplit(":", 1)[1])
        self.operations = int(ready["operations"].rsplit(":", 1)[1])

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        text = self._log.read_text().splitlines()
        found = [json.loads(line) for line in text if line.startswith("{")]
        return [line for line in found if message in ("", line["message"])]

    def post(self, path: str, body: str, **headers: str) -> tuple[int, dict[str, Any]]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        kind = "application/json" if body.startswith("{") else "application/hl7-v2"
        try:
            client.request("POST", path, body, {"Content-Type": kind, **headers})
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            client.close()

    def metrics(self) -> str:
        client = http.client.HTTPConnection("127.0.0.1", self.operations, timeout=30)
        try:
            client.request("GET", "/metrics")
            return client.getresponse().read().decode()
        finally:
            client.close()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            assert self._process.wait(30) == 0
        finally:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.stop()


def traced(peer: Peer) -> dict[str, str]:
    return {
        "FI_FHIR_TRACING_ENABLED": "true",
        "FI_FHIR_TRACING_ENDPOINT": f"http://127.0.0.1:{peer.port}/v1/traces",
        "FI_FHIR_TRACING_SAMPLER": "1",
    }


def test_a_request_can_be_followed_into_the_log_the_destination_and_a_replay(
    tmp_path: Path, peer: Peer
) -> None:
    daemon = Daemon(tmp_path, peer, FI_FHIR_LOG_MESSAGES="true")
    peer.status = 422
    try:
        status, told = daemon.post(
            "/api/v1/workflow", ADT.format(id=1, more=""), traceparent=TRACEPARENT
        )
        assert (status, told["kept"]) == (202, "dlq")
        peer.status = 200
        _, told = daemon.post("/api/v1/workflow/replay", '{"dryRun": false}')
        assert told["succeeded"] == 1
        until(lambda: bool(daemon.lines("event processed")))
        (moved,), (processed,) = daemon.lines("event moved to dlq"), daemon.lines("event processed")
    finally:
        daemon.stop()
    assert [parent.split("-")[1] for parent in peer.parents] == [TRACE, TRACE]
    assert moved["trace_id"] == processed["trace_id"] == TRACE
    assert moved["span_id"] == peer.parents[0].split("-")[2]
    assert moved["duration_ms"] > 0


def test_a_message_without_a_trace_is_in_the_one_its_event_is_named_after(
    tmp_path: Path, peer: Peer
) -> None:
    daemon = Daemon(tmp_path, peer)
    try:
        _, told = daemon.post("/api/v1/workflow", ADT.format(id=1, more=""))
    finally:
        daemon.stop()
    (event,) = told["events"]
    assert peer.parents[0].split("-")[1] == event["id"].replace("-", "")


def test_a_log_that_nobody_reads_holds_no_message_up(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = tmp_path / "said"
    with log.open("wb") as said:
        head = subprocess.Popen(
            ["sh", "-c", "head -n 1; sleep 300"], stdin=reader, stdout=said, start_new_session=True
        )
    environ = os.environ | {
        "FI_FHIR_DATA_DIR": str(tmp_path / "data"),
        "FI_FHIR_LOG_MESSAGES": "true",
        "FI_FHIR_LOG_FORMAT": "json",
    }
    words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "1"]
    daemon = subprocess.Popen(
        [sys.executable, "-m", "fifhir", *words], stdout=writer, stderr=writer, env=environ
    )
    os.close(writer)
    os.close(reader)
    try:
        until(lambda: b"\n" in log.read_bytes(), seconds=30)
        ready = json.loads(log.read_text())
        client = http.client.HTTPConnection(
            "127.0.0.1", int(ready["address"].rsplit(":", 1)[1]), timeout=30
        )
        for number in range(400):  # two lines each, a pipe holds 64 KiB
            body = ADT.format(id=number, more="")
            kind = {"Content-Type": "application/hl7-v2"}
            client.request("POST", "/api/v1/workflow", body, kind)
            answer = client.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
        client.request("GET", "/metrics")
        metrics = client.getresponse().read().decode()
        client.close()
        assert re.search(r"^fi_fhir_log_lines_dropped_total [1-9]", metrics, re.MULTILINE)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def test_error_answers_name_the_trace(tmp_path: Path, peer: Peer) -> None:
    daemon = Daemon(tmp_path, peer)
    try:
        for path in ("/api/v1/workflow", "/api/v1/parse", "/nowhere"):
            status, told = daemon.post(path, "MSH|", traceparent=TRACEPARENT)
            assert (status >= 400, told["traceId"]) == (True, TRACE)
        _, told = daemon.post("/nowhere", "x")
        assert re.fullmatch("[0-9a-f]{32}", told["traceId"])
        until(lambda: bool(daemon.lines("message refused")))
        assert daemon.lines("message refused")[0]["trace_id"] == TRACE
    finally:
        daemon.stop()


def test_spans_tell_what_was_done_and_nothing_of_what_is_in_a_message(
    tmp_path: Path, peer: Peer
) -> None:
    daemon = Daemon(tmp_path, peer, **traced(peer))
    try:
        daemon.post("/api/v1/workflow", ADT.format(id=1, more=""), traceparent=TRACEPARENT)
        until(lambda: bool(peer.named("receive")))
        peer.status = 500
        daemon.post("/api/v1/workflow", ADT.format(id=2, more=""), traceparent=TRACEPARENT)
        until(lambda: len(peer.named("receive")) == 2)
    finally:
        daemon.stop()
    spans = {span.name: span for span in peer.spans[:5]}
    assert set(spans) == {"receive", "parse", "workflow", "route", "deliver webhook"}
    assert {span.trace_id.hex() for span in peer.spans} == {TRACE}
    assert spans["receive"].parent_span_id.hex() == PARENT
    assert spans["parse"].parent_span_id == spans["receive"].span_id
    assert spans["workflow"].parent_span_id == spans["receive"].span_id
    assert spans["deliver webhook"].parent_span_id == spans["workflow"].span_id
    assert spans["deliver webhook"].span_id.hex() == peer.parents[0].split("-")[2]
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in peer.spans)
    failed = peer.named("deliver webhook")[1]
    assert {each.key: each.value.string_value for each in failed.attributes} == {
        "fifhir.route": "hook",
        "fifhir.action": "webhook",
        "fifhir.outcome": "kept",
        "error.type": "server_error",
    }
    for value in (b"99887766", b"TEAPOT", b"HAZEL", b"1970"):
        assert value not in peer.raw


def test_a_message_over_mllp_brings_its_trace_in_a_field_and_keeps_it_in_the_journal(
    tmp_path: Path, peer: Peer
) -> None:
    mllp = {
        "FI_FHIR_MLLP_ENABLED": "true",
        "FI_FHIR_MLLP_PORT": "0",
        "FI_FHIR_MLLP_TRACE_FIELD": "ZTR-1",
    }
    daemon = Daemon(tmp_path, peer, **mllp, **traced(peer))
    try:
        message = ADT.format(id=1, more=f"ZTR|{TRACEPARENT}\r")
        with socket.create_connection(("127.0.0.1", daemon.mllp), timeout=30) as sender:
            sender.sendall(b"\x0b" + message.encode() + b"\x1c\r")
            assert b"MSA|AA|1" in sender.recv(65536)
        until(lambda: bool(peer.named("journal") and peer.named("receive")))
    finally:
        daemon.stop()
    (receive,), (store,), (journal,) = map(peer.named, ("receive", "store", "journal"))
    assert peer.parents[0].split("-")[1] == TRACE
    assert receive.parent_span_id.hex() == PARENT
    assert store.parent_span_id == journal.parent_span_id == receive.span_id
    assert [link.span_id for link in journal.links] == [receive.span_id]


def test_a_collector_that_is_down_loses_spans_and_nothing_else(tmp_path: Path, peer: Peer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    settings = traced(peer) | {"FI_FHIR_TRACING_ENDPOINT": f"http://127.0.0.1:{nobody}/v1/traces"}
    daemon = Daemon(tmp_path, peer, **settings)
    try:
        status, _ = daemon.post("/api/v1/workflow", ADT.format(id=1, more=""))
        assert status == 200
        lost = re.compile(r"^fi_fhir_spans_dropped_total [1-9]", re.MULTILINE)
        until(lambda: bool(lost.search(daemon.metrics())), seconds=50)
    finally:
        daemon.stop()
