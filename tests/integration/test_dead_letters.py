"""What a destination does not confirm is kept, told, counted, survives, and can be tried again."""

import contextlib
import http.client
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ADT = "MSH|^~\\&|A|B|C|D|20260101||ADT^A01|{}|P|2.5.1\rPID|1||7^^^B^MR||TEAPOT\rPV1|1|I\r"
WORKFLOW = """\
name: w
routes:
  - name: hook
    actions:
      - type: webhook
        url: http://127.0.0.1:{port}/in
        retry_max: {retries}
        retry_delay: 10ms
        circuit_breaker: true
        circuit_failure_threshold: 3
        circuit_timeout: 500ms
        circuit_success_threshold: 1
        timeout: 2s
"""


class Destination:
    """A web server that answers with `status` while it is open; it remembers what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        self.pause = 0.0  # seconds before each answer
        self.seen: list[tuple[str, bytes]] = []
        mine = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mine.open.wait(30)
                time.sleep(mine.pause)
                mine.seen.append((self.headers["Idempotency-Key"], body))
                self.send_response(mine.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class House:
    """A daemon of one worker with a folder of its own; it may be started again."""

    def __init__(self, folder: Path, waits: Callable[..., None], port: int, retries: int) -> None:
        self.environ = os.environ | {
            "FI_FHIR_DATA_DIR": str(folder / "data"),
            "FI_FHIR_WORKFLOW_CONFIG_PATH": str(folder / "w.yaml"),
        }
        self._waits = waits
        self._log = folder / "log"
        (folder / "w.yaml").write_text(WORKFLOW.format(port=port, retries=retries))

    def start(self) -> None:
        self._log.unlink(missing_ok=True)
        words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "1"]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fifhir", *words], stdout=out, stderr=out, env=self.environ
            )
        self._waits(lambda: b'"ready"' in self._log.read_bytes(), seconds=30)
        found = re.search(rb'"address":"http://127.0.0.1:(\d+)"', self._log.read_bytes())
        assert found
        self.port = int(found[1])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0

    def post(self, control: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/workflow",
            ADT.format(control).encode(),
            {"Content-Type": "application/hl7-v2"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def metric(self, line: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            found = re.search(rf"^{re.escape(line)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def ready(self) -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(client):
            client.request("GET", "/ready")
            return client.getresponse().status

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line[:1] == "{"]

    def cli(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "fifhir", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def destination() -> Iterator[Destination]:
    found = Destination()
    yield found
    found.stop()


@pytest.fixture
def house(tmp_path: Path, waits: Callable[..., None], destination: Destination) -> Iterator[House]:
    found = House(tmp_path, waits, destination.port, retries=1)
    found.start()
    yield found
    found.process.kill()
    found.process.wait()


def test_what_is_confirmed_is_answered_200(house: House, destination: Destination) -> None:
    status, told = house.post("1")
    assert (status, told["actionsExecuted"][0]["success"]) == (200, True)
    ((key, body),) = destination.seen
    assert json.loads(body)["type"] == "patient_admit"
    house.post("1")
    assert [each for each, _ in destination.seen] == [key, key]


def test_a_failure_is_kept_counted_and_told(
    house: House, destination: Destination, waits: Callable[..., None]
) -> None:
    destination.status = 503
    status, told = house.post("1")
    assert (status, len(destination.seen)) == (202, 2)
    assert told["actionsExecuted"][0]["errorType"] == "server_error"
    (letter,) = map(json.loads, house.cli("dlq", "list").stdout.splitlines())
    assert (letter["id"], letter["attempts"]) == (told["dlqId"], 2)
    waits(lambda: house.metric("workflow_dlq_size") == 1)
    labels = 'action_type="webhook",error_type="server_error",route_name="hook"'
    assert house.metric(f"workflow_action_errors_total{{{labels}}}") == 1
    assert any("dlq" in line["message"] for line in house.log())
    assert "TEAPOT" not in house.cli("dlq", "show", letter["id"]).stdout
    shown = json.loads(house.cli("dlq", "show", letter["id"], "--payload").stdout)
    assert shown["message"] == ADT.format("1")


def test_dead_letters_survive_and_a_replay_delivers_them_once(
    house: House, destination: Destination
) -> None:
    destination.status = 400
    for control in ("1", "2"):
        assert house.post(control)[0] == 202
    first = destination.seen[0]
    house.stop()
    house.start()
    preview = house.cli("workflow", "replay", "--dlq", "--since", "24h", "--dry-run")
    assert (len(preview.stdout.splitlines()), len(destination.seen)) == (2, 2)
    again = house.cli("workflow", "replay", "--dlq", "--since", "24h")
    assert (again.returncode, "2 failed again" in again.stderr) == (1, True)
    destination.status = 200
    destination.seen.clear()
    replayed = house.cli("workflow", "replay", "--dlq", "--since", "24h")
    assert (replayed.returncode, "2 delivered" in replayed.stderr) == (0, True)
    assert first in destination.seen
    house.cli("workflow", "replay", "--dlq", "--since", "24h")
    assert len(destination.seen) == 2
    assert house.cli("dlq", "list").stdout == ""


def test_an_open_breaker_spares_the_destination_and_closes_by_itself(
    house: House, destination: Destination, waits: Callable[..., None]
) -> None:
    destination.status = 500
    for control in range(4):
        house.post(str(control))
    sent, gauge = len(destination.seen), f"http://127.0.0.1:{destination.port}"
    assert sent == 3
    state = f'workflow_circuit_breaker_state{{endpoint="{gauge}"}}'
    assert house.metric(state) == 2
    assert house.post("5")[1]["actionsExecuted"][0]["errorType"] == "circuit_open"
    waits(lambda: house.metric(state) == 1)
    destination.status = 200
    assert house.post("6")[0] == 200
    assert house.metric(state) == 0


def test_what_can_be_neither_delivered_nor_kept_is_not_promised(
    house: House, destination: Destination
) -> None:
    house.stop()
    house.environ["FI_FHIR_WORKFLOW_DLQ_MAX_SIZE"] = "1"
    house.start()
    destination.status = 400
    assert house.post("1")[0] == 202
    status, told = house.post("2")
    assert (status, told["error"]) == (503, "action_failed")
    house.cli("dlq", "purge", "--yes")
    assert house.post("2")[0] == 202


def test_a_damaged_store_is_told_and_left_as_it_is(house: House, tmp_path: Path) -> None:
    house.stop()
    file = tmp_path / "data/store.db"
    file.write_bytes(b"no database" * 1000)
    for words in (["serve", "--port", "0", "--metrics-port", "0"], ["dlq", "list"]):
        told = house.cli(*words)
        assert told.returncode == 4
        assert "is damaged" in told.stderr
        assert "Traceback" not in told.stderr
    assert file.read_bytes() == b"no database" * 1000


def replay(house: House, **body: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{house.port}/api/v1/workflow/replay", json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - ours
        told: dict[str, Any] = json.loads(answer.read())
        return told


def test_a_replay_over_http_counts_first_and_then_tries(
    house: House, destination: Destination
) -> None:
    destination.status = 400
    for control in ("1", "2"):
        house.post(control)
    destination.seen.clear()
    assert replay(house) == {
        "dryRun": True,
        "replayed": 2,
        "succeeded": 0,
        "failed": 0,
        "complete": True,
        "errors": [],
    }
    assert not destination.seen
    told = replay(house, dryRun=False, limit=1)
    assert (told["replayed"], told["failed"], len(told["errors"])) == (1, 1, 1)
    assert replay(house, dryRun=False, eventTypes=["lab_result"])["replayed"] == 0
    assert replay(house, dryRun=False, until="2020-01-01T00:00:00Z")["replayed"] == 0
    destination.status = 200
    told = replay(house, dryRun=False, since="2020-01-01T00:00:00Z")
    assert (told["replayed"], told["succeeded"]) == (2, 2)
    assert house.cli("dlq", "list").stdout == ""
    with pytest.raises(urllib.error.HTTPError) as refused:
        replay(house, limit=0)
    assert refused.value.code == 400
    refused.value.close()


def test_letters_of_an_action_that_is_gone_are_left_as_they_are(
    house: House, destination: Destination, tmp_path: Path
) -> None:
    destination.status = 400
    house.post("1")
    flow = tmp_path / "w.yaml"
    flow.write_text(flow.read_text().replace("name: hook", "name: renamed"))
    (before,) = house.cli("dlq", "list").stdout.splitlines()
    told = house.cli("dlq", "replay")
    assert (told.returncode, json.loads(told.stdout)["result"]) == (1, "skipped")
    assert house.cli("dlq", "list").stdout.splitlines() == [before]


def test_two_replays_at_once_deliver_each_letter_once(
    house: House, destination: Destination
) -> None:
    destination.status = 400
    for control in range(30):
        house.post(str(control))
    destination.status = 200
    destination.seen.clear()
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "fifhir", "dlq", "replay"],
            env=house.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=55)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(map(len, told)) == 30
    assert len({key for key, _ in destination.seen}) == len(destination.seen) == 30


def test_at_a_terminal_a_replay_shows_how_far_it_is(house: House, destination: Destination) -> None:
    destination.status = 500
    for number in range(3):
        house.post(f"T{number}")
    destination.status, destination.pause = 200, 0.6  # a bar is shown only of what takes a while
    here, there = pty.openpty()
    words = [sys.executable, "-m", "fifhir", "dlq", "replay"]
    with subprocess.Popen(words, env=house.environ, stdout=there, stderr=there) as replay:
        os.close(there)
        shown = bytearray()
        with contextlib.suppress(OSError):  # that is how a terminal says that it is closed
            while some := os.read(here, 65536):
                shown += some
    os.close(here)
    assert replay.returncode == 0
    assert b"letters" in shown
    assert b"3 delivered, 0 failed again" in shown
    assert b'"result"' not in shown
