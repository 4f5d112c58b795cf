"""The operations runbook, line by line: each command as it is written there, on a real daemon.

What it says of Kubernetes is held by tests/deploy (names, labels, ports, flags of the chart), its
alerts and dashboard by tests/deploy too.
"""

import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADT = (ROOT / "examples/adt_a01.hl7").read_bytes()
WORKFLOW = "name: w\nroutes:\n  - name: all\n    actions: [{type: log}]\n"
METRICS = (
    *("workflow_events_processed_total", "workflow_events_in_progress"),
    *("workflow_action_duration_seconds", "workflow_action_errors_total", "workflow_dlq_size"),
    *("workflow_circuit_breaker_state", "workflow_rate_limiter_rejected_total"),
)


class Daemon:
    """Serves from a folder that has message.hl7, workflow.yaml and events.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {"FI_FHIR_DATA_DIR": str(folder / "data")}
        (folder / "message.hl7").write_bytes(ADT)
        (folder / "workflow.yaml").write_text(WORKFLOW)
        (folder / "events.json").write_text(self.sh("./fi-fhir parse message.hl7").stdout)
        self._log = folder / "log"
        words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "2"]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fifhir", *words], stdout=out, stderr=out, env=self.environ
            )

    def until_ready(self, waits: Callable[..., None]) -> None:
        waits(lambda: b'"ready"' in self._log.read_bytes(), seconds=30)
        ready = next(line for line in self.log() if line["message"] == "ready")
        self.api = int(ready["address"].rpartition(":")[2])
        self.operations = int(ready["operations"].rpartition(":")[2])

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line[:1] == "{"]

    def sh(self, line: str) -> "subprocess.CompletedProcess[str]":
        """What a line of the runbook does in a shell."""
        command = f"{shlex.quote(sys.executable)} -m fifhir"
        return subprocess.run(  # noqa: S602 - the runbook's own lines
            line.replace("./fi-fhir", command),
            shell=True,
            cwd=self.folder,
            env=self.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, port: int, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.closing(client):
            client.request(method, path, body, {"Content-Type": "application/hl7-v2"})
            answer = client.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, waits: Callable[..., None]
) -> Iterator[Daemon]:
    found = Daemon(tmp_path_factory.mktemp("runbook"))
    try:
        found.until_ready(waits)
        yield found
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(20) == 0
    finally:
        found.process.kill()
        found.process.wait()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("./fi-fhir parse --format hl7v2 --pretty < message.hl7", '"type": "patient_admit"'),
        ("./fi-fhir workflow validate workflow.yaml", "is valid"),
        ("./fi-fhir workflow run --dry-run --config workflow.yaml < events.json", "all"),
        ("./fi-fhir config show", "port: 8080"),
        ("./fi-fhir config validate", "valid"),
        ("./fi-fhir version", "fi-fhir"),
        ("./fi-fhir workflow replay --dlq --since 24h --dry-run", ""),
        ("./fi-fhir workflow replay --dlq --since 24h", ""),
        ("./fi-fhir config env", "FI_FHIR_SERVER_PORT"),
    ],
)
def test_every_command_works_as_it_is_written(daemon: Daemon, line: str, says: str) -> None:
    found = daemon.sh(line)
    assert (found.returncode, says in found.stdout) == (0, True), found.stdout + found.stderr


def test_the_seven_metrics_are_there_from_the_start(daemon: Daemon) -> None:
    text = daemon.ask(daemon.operations, "GET", "/metrics")[1]
    for name in METRICS:
        assert f"# TYPE {name} " in text
    found = daemon.sh(f"curl -s http://127.0.0.1:{daemon.operations}/metrics | grep workflow_")
    assert set(METRICS) <= set(re.findall(r"TYPE (\S+)", found.stdout))


def test_both_ports_count_the_same_and_every_event_once(daemon: Daemon) -> None:
    def processed() -> set[float]:
        return {
            sum(
                float(value)
                for value in re.findall(
                    r"^workflow_events_processed_total\{.*\} (\S+)$",
                    daemon.ask(port, "GET", "/metrics")[1],
                    re.MULTILINE,
                )
            )
            for port in (daemon.api, daemon.operations)
        }

    (before,) = processed()
    for _ in range(7):
        assert daemon.ask(daemon.api, "POST", "/api/v1/workflow", ADT)[0] == 200
    assert processed() == {before + 7}


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("/health", "GET", b""),
        ("/ready", "GET", b""),
        ("/metrics", "GET", b""),
        ("/api/v1/parse", "POST", ADT),
        ("/api/v1/workflow", "POST", ADT),
    ],
)
def test_the_endpoints_of_the_appendix_answer(
    daemon: Daemon, path: str, method: str, body: bytes
) -> None:
    assert daemon.ask(daemon.api, method, path, body)[0] == 200


def test_every_line_of_the_log_can_be_asked_by_level_and_message(daemon: Daemon) -> None:
    lines = daemon.log()
    assert lines
    assert all({"timestamp", "level", "message"} <= set(line) for line in lines)


def test_a_message_without_msh_is_an_error_on_stderr(daemon: Daemon) -> None:
    found = daemon.sh("echo nothing | ./fi-fhir parse --format hl7v2 --pretty")
    assert found.returncode != 0
    assert (found.stdout, "Traceback" in found.stderr) == ("", False)
    assert found.stderr


def test_the_log_level_of_the_environment_is_obeyed(daemon: Daemon) -> None:
    shown = daemon.sh("FI_FHIR_LOG_LEVEL=debug ./fi-fhir config show").stdout
    assert re.search(r"log_level: debug\s+# FI_FHIR_LOG_LEVEL", shown)
