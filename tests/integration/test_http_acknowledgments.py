"""POST /api/v1/workflow with `Accept: application/hl7-v2`: the status, and the same in HL7."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ADT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|%b|P|2.5|||%b\rPID|1||9001\rPV1|1|I\r"
WORKFLOW = """\
name: w
routes:
  - name: r
    filter: {event_type: patient_discharge}
    actions: [{type: webhook, url: 'http://127.0.0.1:1/', retry_max: 0}]
"""
Ask = Callable[..., tuple[int, str, bytes]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Post to a daemon that has no store and whose webhook nobody answers."""
    folder = tmp_path_factory.mktemp("acknowledgments")
    (folder / "w.yaml").write_text(WORKFLOW)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fifhir", "serve", "--port", "0", "--metrics-port", "0"),
                *("--workers", "1", "--workflow", str(folder / "w.yaml")),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "FI_FHIR_WORKFLOW_DLQ_ENABLED": "false"},
        )
    try:
        port = _port(log)

        def post(body: bytes, **headers: str) -> tuple[int, str, bytes]:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            told = {"Content-Type": "application/hl7-v2", "Accept": "application/hl7-v2"}
            told |= {name.replace("_", "-"): value for name, value in headers.items()}
            client.request("POST", "/api/v1/workflow", body, told)
            answer = client.getresponse()
            said = answer.status, answer.headers["Content-Type"], answer.read()
            client.close()
            return said

        yield post
    finally:
        process.terminate()
        process.wait(20)


def _port(log: Path) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for line in log.read_text().splitlines():
            if line.startswith("{") and (entry := json.loads(line))["message"] == "ready":
                return int(entry["address"].rsplit(":", 1)[1])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def segments(answer: tuple[int, str, bytes]) -> tuple[int, list[bytes]]:
    status, kind, body = answer
    assert kind == "application/hl7-v2"
    return status, body.split(b"\r")[1:-1]


def test_a_message_that_ran_is_acknowledged(ask: Ask) -> None:
    assert segments(ask(ADT % (b"M1", b""))) == (200, [b"MSA|AA|M1"])
    assert segments(ask(ADT % (b"M2", b"NE|NE"))) == (200, [b"MSA|AA|M2"])
    accept = "application/json;q=0.1, x-application/hl7-v2+er7"
    assert segments(ask(ADT % (b"M3", b""), Accept=accept)) == (200, [b"MSA|AA|M3"])
    body = json.dumps({"format": "hl7v2", "data": (ADT % (b"M4", b"")).decode()}).encode()
    assert segments(ask(body, Content_Type="application/json")) == (200, [b"MSA|AA|M4"])


def test_a_message_that_is_broken_gets_the_place_of_its_fault(ask: Ask) -> None:
    status, said = segments(ask((ADT % (b"M1", b"")).replace(b"PID|", b"XID|")))
    assert (status, said[0]) == (422, b"MSA|AE|M1|PID segment not found")
    assert said[1].startswith(b"ERR||PID^1|100^")


def test_a_message_that_nothing_can_acknowledge_does_not_run(ask: Ask) -> None:
    status, said = segments(ask(ADT % (b"", b"")))
    assert (status, said[0]) == (422, b"MSA|AE||MSH-10 is empty")
    status, said = segments(ask((ADT % (b"M1", b"")).replace(b"ADT^A01", b"")))
    assert (status, said[0][:10]) == (422, b"MSA|AR|M1|")


def test_own_trouble_is_told_as_such(ask: Ask) -> None:
    discharge = (ADT % (b"M1", b"")).replace(b"A01", b"A03")
    status, said = segments(ask(discharge, X_Ack_When="after_actions"))
    assert (status, said[0][:10]) == (503, b"MSA|AR|M1|")
    assert said[1].startswith(b"ERR||MSH^1|207^")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (ADT % (b"1", b"") + ADT % (b"2", b""), {}, 200),
        (ADT % (b"1", b""), {"X_Dry_Run": "true"}, 200),
        (ADT % (b"1", b""), {"Accept": "*/*"}, 200),
        (b"{", {"Content_Type": "application/json"}, 400),
        (b"x", {"Content_Type": "image/png"}, 415),
    ],
)
def test_what_is_no_single_message_is_answered_in_json(
    ask: Ask, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, kind, said = ask(body, **headers)
    assert (found, kind.endswith("json")) == (status, True)
    json.loads(said)
