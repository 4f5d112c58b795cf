"""A folder as an operator has it, and the daemon that runs from it."""

import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import until

ROOT = Path(__file__).parents[2]
ADT = (ROOT / "examples/adt_a01.hl7").read_bytes()
RAW = {"Content-Type": "application/hl7-v2"}
JSON = {"Content-Type": "application/json"}
LOGS = "name: w\nroutes:\n  - name: all\n    actions: [{type: log}]\n"
FI_FHIR = f"{shlex.quote(sys.executable)} -m fifhir"


def message(control: str, kind: str = "ADT^A01") -> bytes:
    """One message of an invented patient."""
    text = f"MSH|^~\\&|REG|NORTH|C|D|20260101||{kind}|{control}|P|2.5.1\r"
    return (text + "PID|1||4711^^^NORTH^MR||TEAPOT^HAZEL||19700101|F\rPV1|1|I|W^1^2\r").encode()


class Stand:
    """Serves from a folder that has message.hl7, workflow.yaml and events.json."""

    def __init__(self, folder: Path, workflow: str = LOGS, workers: int = 2, **environ: str):
        self.folder = folder
        self.workers = workers
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("FI_FHIR_")} | {
            "FI_FHIR_DATA_DIR": str(folder / "data"),
            "FI_FHIR_WORKFLOW_CONFIG_PATH": str(folder / "workflow.yaml"),
            "FI_FHIR_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **environ,
        }
        (folder / "message.hl7").write_bytes(ADT)
        (folder / "workflow.yaml").write_text(workflow)
        (folder / "events.json").write_text(self.sh("./fi-fhir parse message.hl7").stdout)
        self.log_file = folder / "log"
        self._begun = 0  # where in the log this start of the daemon begins
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> "Stand":
        """It serves; whatever it had logged before stays in the log."""
        ports = ["--port", "0", "--metrics-port", "0", "--workers", str(self.workers)]
        self._begun = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fifhir", "serve", *ports, *words],
                stdout=out,
                stderr=out,
                env=self.environ,
                cwd=self.folder,
            )
        until(lambda: self._said("ready") != [] or self.process_ended(), seconds=60)
        (ready,) = self._said("ready")
        self.api = int(ready["address"].rpartition(":")[2])
        self.operations = int(ready["operations"].rpartition(":")[2])
        return self

    def process_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(60)

    def remove(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """Every line of the log; a line that is not JSON is a failure of the test."""
        written = self.log_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in written if line.endswith("\n")]

    def said(self, part: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if part in line["message"]]

    def _said(self, word: str) -> list[dict[str, Any]]:
        with self.log_file.open("rb") as log:
            log.seek(self._begun)
            text = log.read().decode()
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [each for each in map(json.loads, whole) if each["message"] == word]

    def sh(self, line: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """What a line of the runbook does in a shell."""
        return subprocess.run(  # noqa: S602 - the runbook's own lines
            line.replace("./fi-fhir", FI_FHIR),
            shell=True,
            executable="/bin/bash",
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        port: int = 0,
    ) -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", port or self.api, timeout=60)
        with contextlib.closing(client):
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, answer.read().decode()

    def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        """A message to the workflow."""
        status, said = self.ask(
            "POST",
            "/api/v1/workflow",
            body,
            RAW | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        return status, json.loads(said)

    def metric(self, name: str, *labels: str, port: int = 0) -> float:
        """The sum of a metric's series that have these labels."""
        text = self.ask("GET", "/metrics", port=port or self.operations)[1]
        rows = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert rows, name
        return sum(float(value) for told, value in rows if all(each in told for each in labels))

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters, as the command line lists them."""
        found = self.sh("./fi-fhir dlq list --json")
        assert found.returncode == 0, found.stderr
        return [json.loads(line) for line in found.stdout.splitlines()]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("GET", "/status", port=self.operations)[1])
        return found


def webhook(url: str, **keys: object) -> str:
    """A workflow of one route that posts every event."""
    action = {"type": "webhook", "url": url, "retry_max": 0, "timeout": "10s", **keys}
    return json.dumps({"name": "w", "routes": [{"name": "hook", "actions": [action]}]})


def name_of(dsn: str) -> str:
    """The database that a DSN leads to."""
    return urlsplit(dsn).path.lstrip("/")
