"""What the API answers, asked of a running daemon over real sockets."""

import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

HEADER = r"MSH|^~\&|REG|NORTH|EHR|HOSP|20260102030405||{}|{}|P|2.5.1" + "\r"
PATIENT = "PID|1||4711^^^NORTH^MR||TEAPOT^HAZEL||19700101|F\rPV1|1|I|WARD1^101^A\r"
ADT = (HEADER.format("ADT^A01^ADT_A01", "M1") + PATIENT).encode()
DISCHARGE = (HEADER.format("ADT^A03^ADT_A03", "M2") + PATIENT).encode()
BROKEN = b"MSH|broken\rPID|1||SECRETVALUE\r"
RAW = {"Content-Type": "application/hl7-v2"}
JSON = {"Content-Type": "application/json"}
MEGABYTE = 1 << 20
NOISE = random.Random(3).randbytes(MEGABYTE)  # noqa: S311 - noise, not a secret


class Api:
    """A daemon with two workers; its log is a file of JSON lines."""

    def __init__(self, log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "fifhir", "serve", "--port", "0", "--metrics-port", "0"]
        with log.open("wb") as out:
            self.process = subprocess.Popen([*command, "--workers", "2"], stdout=out, stderr=out)

    def until_ready(self, waits: Any) -> "Api":
        waits(lambda: b'"ready"' in self.log.read_bytes(), seconds=30)
        found = re.search(rb'"address":"http://127\.0\.0\.1:(\d+)"', self.log.read_bytes())
        assert found
        self.port = int(found[1])
        return self

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            client.close()

    def post(self, path: str, body: bytes, headers: dict[str, str] = RAW) -> tuple[int, Any]:
        status, _, said = self.ask("POST", f"/api/v1/{path}", body, headers)
        return status, json.loads(said)

    def metric(self, line: str) -> float:
        text = self.ask("GET", "/metrics")[2].decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        assert found, line
        return float(found[1])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, waits: Any) -> Iterator[Api]:
    daemon = Api(tmp_path_factory.mktemp("api") / "log")
    try:
        yield daemon.until_ready(waits)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(20) == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()


def enveloped(data: str, **more: object) -> bytes:
    return json.dumps({"format": "hl7v2", "data": data, **more}).encode()


def test_health_and_readiness_speak_both_dialects(api: Api) -> None:
    for path, word in (("/health", "healthy"), ("/ready", "ready")):
        status, headers, body = api.ask("GET", path)
        told = json.loads(body)
        assert (status, told["status"]) == (200, word)
        store = {"database": "ok"} if path == "/ready" else {}
        assert told["checks"] == {"process": "ok"} | store
        assert told["components"][0]["status"] == "healthy"
        assert told["timestamp"] == told["checked_at"]
        assert headers["Cache-Control"] == "no-store"
        assert api.ask("HEAD", path)[1]["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    "kind",
    [
        "application/hl7-v2",
        "x-application/hl7-v2+er7",
        "application/hl7-v2+er7",
        "text/plain",
        "Text/Plain; charset=utf-8",
    ],
)
def test_a_raw_message_becomes_an_event(api: Api, kind: str) -> None:
    status, told = api.post("parse?source=north", ADT, {"Content-Type": kind})
    assert status == 200
    (event,) = told["events"]
    assert (event["type"], event["source"]) == ("patient_admit", "north")
    assert event["patient"]["family_name"] == "TEAPOT"
    assert told["metadata"].keys() == {"format", "source", "parseTimeMs", "rawSize"}
    assert told["metadata"]["rawSize"] == len(ADT)


def test_the_source_may_come_in_a_header(api: Api) -> None:
    _, told = api.post("parse", ADT, {**RAW, "X-Source": "south"})
    assert told["metadata"]["source"] == told["events"][0]["source"] == "south"


def test_each_request_of_a_connection_is_of_its_own_source_and_kind(api: Api) -> None:
    north, south = {**RAW, "X-Source": "north"}, {**RAW, "X-Source": "south"}
    mistyped = {**RAW, "Content-Type": "image/png"}
    json_ = enveloped(ADT.decode(), source="east").ljust(len(ADT) + 500)
    plan = [("north", ADT, north), ("north", BROKEN, north), ("north", ADT + b"ZZZ|1\r", north)]
    plan += [("north", ADT, north), ("south", ADT, south), ("", ADT, mistyped)]
    plan += [("east", json_, {**JSON, "X-Source": "no"})] * 2
    plan += [("west", json_.replace(b"east", b"west"), {**JSON, "X-Source": "no"})]
    client = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
    try:
        for source, body, headers in plan * 2:
            client.request("POST", "/api/v1/parse", body, headers)
            told = json.loads(client.getresponse().read())
            if body is BROKEN or not source:
                assert "events" not in told
            else:
                assert told["metadata"]["source"] == told["events"][0]["source"] == source
    finally:
        client.close()


@pytest.mark.parametrize("source", ["a" * 129, "a%0ab", "a&source=b", "%00", "%ff"])
def test_a_bad_source_is_refused(api: Api, source: str) -> None:
    assert api.post(f"parse?source={source}", ADT)[0] == 400


def test_a_message_in_json_becomes_the_same_event(api: Api) -> None:
    _, raw = api.post("parse?source=north", ADT)
    status, told = api.post("parse", enveloped(ADT.decode(), source="north"), JSON)
    assert status == 200
    assert told["events"][0]["id"] == raw["events"][0]["id"]


def test_json_text_is_read_in_the_charset_msh_18_names(api: Api) -> None:
    head = HEADER.format("ADT^A01", "M1").rstrip("\r") + "||||||8859/1\r"
    _, told = api.post("parse", enveloped(head + PATIENT.replace("HAZEL", "ZOË")), JSON)
    assert told["events"][0]["patient"]["given_name"] == "ZOË"


def test_a_batch_yields_its_events_in_order(api: Api) -> None:
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + ADT + DISCHARGE + b"BTS|2\rFTS|1\r"
    status, told = api.post("parse", batch)
    assert status == 200
    assert [event["type"] for event in told["events"]] == ["patient_admit", "patient_discharge"]


def test_a_trailer_that_counts_something_else_is_a_warning(api: Api) -> None:
    batch = b"BHS|^~\\&\r" + ADT + DISCHARGE + b"BTS|3\r"
    text = "BTS-1 counts 3 messages, but 2 came"
    warning = {"phase": "envelope", "code": "BATCH_COUNT", "message": text, "path": "BTS-1"}
    for path in ("parse", "workflow"):
        status, told = api.post(path, batch)
        assert (status, len(told["events"])) == (200, 2)
        assert told["warnings"] == [warning]


def test_a_broken_message_of_a_batch_is_told_by_index(api: Api) -> None:
    status, told = api.post("parse", ADT + BROKEN + DISCHARGE)
    assert status == 200
    assert [event["source_message_id"] for event in told["events"]] == ["M1", "M2"]
    assert [(fault["index"], fault["location"]) for fault in told["errors"]] == [(1, "MSH-2")]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (BROKEN, 422, "parse_error"),
        (BROKEN * 2, 422, "parse_error"),
        (b"MSH", 422, "parse_error"),
        (b"", 400, "not_hl7"),
        (b"hello", 400, "not_hl7"),
        (b"<ClinicalDocument/>", 400, "not_hl7"),
        (NOISE, 400, "not_hl7"),
    ],
)
def test_what_is_not_hl7_is_told_so_without_its_values(
    api: Api, body: bytes, status: int, error: str
) -> None:
    for path in ("parse", "workflow"):
        found, told = api.post(path, body)
        assert (found, told["status"], told["error"]) == (status, status, error)
        assert "SECRETVALUE" not in json.dumps(told)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 400, "invalid_json"),
        (b"[1]", 400, "invalid_request"),
        (b'{"format": 1}', 400, "invalid_request"),
        (b'{"format": "hl7v2", "data": "\\ud800"}', 400, "invalid_json"),
        (b'{"format": "hl7v2", "data": "\xff"}', 400, "invalid_json"),
        (b'{"x": ' + b"[" * MEGABYTE, 400, "json_too_deep"),
        (b'{"x": ' + b'{"x": ' * MEGABYTE, 400, "json_too_deep"),
        (b'{"format": "csv", "data": ""}', 415, "unsupported_format"),
        (b"{}", 415, "unsupported_format"),
        (enveloped("x", options={"profile": "epic"}), 422, "unknown_profile"),
        (enveloped("x", options={"encoding": "SECRETVALUE"}), 400, "invalid_request"),
        (enveloped("Ω", options={"encoding": "cp1252"}), 422, "bad_encoding"),
        (enveloped("hello"), 400, "not_hl7"),
    ],
)
def test_bad_json_is_told_so_without_its_values(
    api: Api, body: bytes, status: int, error: str
) -> None:
    for path in ("parse", "workflow"):
        found, told = api.post(path, body, JSON)
        assert (found, told["error"]) == (status, error)
        assert "SECRETVALUE" not in json.dumps(told)


def test_other_media_types_are_refused(api: Api) -> None:
    for kind in ("application/xml", "application/x-www-form-urlencoded", "application/jsonx"):
        status, told = api.post("parse", ADT, {"Content-Type": kind})
        assert (status, told["error"]) == (415, "unsupported_media_type")


def test_the_workflow_runs_its_actions_and_says_so(api: Api) -> None:
    status, told = api.post("workflow?source=north", ADT)
    assert status == 200
    assert (told["success"], told["dryRun"]) == (True, False)
    assert told["routesMatched"] == ["all_events"]
    (action,) = told["actionsExecuted"]
    assert (action["action"], action["success"]) == ("log", True)
    assert action["durationMs"] >= 0
    assert told["events"][0]["id"].encode() in api.log.read_bytes()


def test_a_dry_run_touches_nothing(api: Api) -> None:
    status, told = api.post("workflow?source=dry", ADT, {**RAW, "X-Dry-Run": "true"})
    assert (status, told["dryRun"]) == (200, True)
    assert told["events"][0]["id"].encode() not in api.log.read_bytes()
    assert api.post("workflow", ADT, {**RAW, "X-Dry-Run": "perhaps"})[0] == 400


def test_an_event_as_json_runs_through_the_workflow(api: Api) -> None:
    body = json.dumps({"event": {"type": "patient_admit", "source": "x"}, "context": {"a": [1]}})
    status, told = api.post("workflow", body.encode(), JSON)
    assert status == 200
    assert told["events"][0]["type"] == "patient_admit"


def test_an_event_that_is_large_or_deep_is_refused(api: Api) -> None:
    large = b'{"event": {"type": "patient_admit", "x": [' + b"[]," * (2 * MEGABYTE) + b"[]]}}"
    assert api.post("workflow", large, JSON)[0] == 413
    deep = b'{"event": {"type": "patient_admit", "x": ' + b"[" * 2000 + b"]" * 2000 + b"}}"
    assert api.post("workflow", deep, JSON)[0] == 400


@pytest.mark.parametrize(
    "event", [{}, {"type": "SECRETVALUE"}, {"type": "patient_admit", "patient": "SECRETVALUE"}]
)
def test_an_event_of_another_shape_is_refused(api: Api, event: dict[str, str]) -> None:
    status, told = api.post("workflow", json.dumps({"event": event}).encode(), JSON)
    assert (status, told["error"]) == (422, "invalid_event")
    assert "SECRETVALUE" not in json.dumps(told)


def test_a_batch_with_a_broken_message_does_not_begin(api: Api) -> None:
    _, parsed = api.post("parse?source=whole", ADT)
    status, told = api.post("workflow?source=whole", ADT + BROKEN)
    assert (status, told["errors"][0]["index"]) == (422, 1)
    assert parsed["events"][0]["id"].encode() not in api.log.read_bytes()
    status, told = api.post("workflow?source=whole", ADT + DISCHARGE)
    assert [event["type"] for event in told["events"]] == ["patient_admit", "patient_discharge"]
    assert len(told["actionsExecuted"]) == 2


def test_a_long_batch_holds_nobody_up(api: Api) -> None:
    """While it is read, clients of the same worker are answered again and again."""
    others = [http.client.HTTPConnection("127.0.0.1", api.port, timeout=20) for _ in range(8)]
    rounds = 0
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        for other in others:
            stack.callback(other.close)
            other.connect()  # to either worker, before the batch comes
        batch = pool.submit(api.post, "parse", ADT * 20000)
        while not batch.done():
            for other in others:
                other.request("GET", "/health")
                assert other.getresponse().read()
            rounds += 1
    status, told = batch.result()
    assert (status, len(told["events"])) == (200, 20000)
    assert rounds > 3


def test_messages_are_told_as_fhir(api: Api) -> None:
    for body in (ADT, ADT + BROKEN + DISCHARGE):
        status, told = api.post("parse?as=fhir&source=x", body)
        assert status == 200
        for bundle in told["bundles"]:
            assert "Patient" in [each["resource"]["resourceType"] for each in bundle["entry"]]
    assert (len(told["bundles"]), told["errors"][0]["index"]) == (2, 1)
    assert api.post("parse?as=event", ADT)[1]["events"]
    assert api.post("parse?as=xml", ADT)[0] == 400
    assert api.post("parse?as=fhir", b"MSH|^~\\&|A|B|C|D|20260101||ZZZ^Z01|1|P|2.5\r")[1] == {
        "bundles": [],
        "issues": [
            {
                "index": 0,
                "code": "no_mapping",
                "text": "an event of type unmapped_message has nothing FHIR could be told",
            }
        ],
    }


def test_unknown_paths_and_methods_are_told(api: Api) -> None:
    for path in ("/", "/api/v1/nothing", "/health/", "*"):
        assert api.ask("GET", path)[0] == 404
    status, headers, _ = api.ask("PUT", "/health")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    status, headers, _ = api.ask("GET", "/api/v1/parse")
    assert (status, headers["Allow"]) == (405, "POST")


def test_a_target_in_absolute_form_is_understood(api: Api) -> None:
    assert api.ask("GET", "http://anywhere/health?x=y")[0] == 200


def test_errors_carry_the_id_the_client_gave(api: Api) -> None:
    for given, kept in (("trace-1", True), ("a b", False), ("x" * 129, False)):
        _, headers, body = api.ask("GET", "/nothing", headers={"X-Request-Id": given})
        told = json.loads(body)
        assert headers["Content-Type"] == "application/problem+json"
        assert headers["X-Request-Id"] == told["requestId"]
        assert (told["requestId"] == given) is kept
        assert told.keys() >= {"type", "title", "status", "detail", "error", "message"}


def test_a_refusal_below_the_api_is_a_problem_too(api: Api) -> None:
    status, headers, body = api.ask("GET", "/", headers={"Content-Encoding": "gzip"})
    assert (status, headers["Content-Type"]) == (415, "application/problem+json")
    assert json.loads(body)["error"] == "content_encoding"


def test_a_message_sent_again_over_a_connection_is_answered_and_counted_the_same(api: Api) -> None:
    line = 'fi_fhir_http_requests_total{path="/api/v1/parse",status="200"}'
    before = api.metric(line)
    head = b"POST /api/v1/parse?source=again HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    said = []
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as client:
        for body in [ADT] * 6 + [DISCHARGE, ADT, BROKEN, ADT, ADT + DISCHARGE, ADT]:
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)  # in one piece
            answer = http.client.HTTPResponse(client)
            answer.begin()
            told = json.loads(answer.read())
            told.get("metadata", {}).pop("parseTimeMs", None)
            for event in told.get("events", ()):
                del event["received_at"]
            said.append((answer.status, [name for name, _ in answer.getheaders()], told))
    assert [status for status, _, _ in said] == [200] * 8 + [422] + [200] * 3
    assert all(each == said[0] for each in (*said[1:6], said[7], said[9], said[11]))
    assert said[6][2]["events"][0]["type"] == "patient_discharge"
    assert [event["type"] for event in said[10][2]["events"]] == [
        "patient_admit",
        "patient_discharge",
    ]
    assert api.metric(line) == before + 11


def test_requests_and_events_are_counted_over_both_workers(api: Api) -> None:
    line = 'fi_fhir_http_requests_total{path="/api/v1/workflow",status="200"}'
    events = (
        'workflow_events_processed_total{event_type="patient_discharge",source="other",'
        'success="true"}'
    )
    before, seen = api.metric(line), api.metric(events)
    for _ in range(20):
        api.post("workflow", DISCHARGE)
    assert api.metric(line) == before + 20
    assert api.metric(events) == seen + 20
    assert api.metric('workflow_errors_total{stage="parse"}') > 0
    assert api.metric("workflow_events_in_progress") == 0
