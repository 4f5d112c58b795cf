"""A supervisor in a process of its own, and what can be seen of it from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process import pki

HERE = Path(__file__).parent
PATIENCE = 20.0  # seconds; how long anything may take before a test gives up on it


class Running:
    """A supervisor that was started; its log is in `lines`."""

    def __init__(self, log: Path, *arguments: str, into: str = "", **environ: str) -> None:
        self.log = log
        self.reader: subprocess.Popen[bytes] | None = None
        if into:
            self.reader = subprocess.Popen(["sh", "-c", into], stdin=subprocess.PIPE)
        with log.open("wb") as file:
            out = self.reader.stdin if self.reader else file
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **environ},
            )
        if self.reader and self.reader.stdin:
            self.reader.stdin.close()
        self.pid = self.process.pid
        self.port = self.operations = 0

    def until_ready(self) -> "Running":
        entry = self.until_logged("ready")
        self.port = int(str(entry.get("port") or entry["address"]).rsplit(":", 1)[-1])
        self.operations = int(str(entry["operations"]).rsplit(":", 1)[-1])
        return self

    def entries(self, message: str) -> list[dict[str, Any]]:
        written = self.log.read_text().splitlines(keepends=True)
        lines = [line for line in written if line.startswith("{") and line.endswith("\n")]
        return [entry for line in lines if (entry := json.loads(line))["message"] == message]

    def until_logged(self, message: str, times: int = 1) -> dict[str, Any]:
        self.until(lambda: len(self.entries(message)) >= times)
        return self.entries(message)[times - 1]

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.01)

    def send(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def ended(self) -> int:
        return self.process.wait(PATIENCE)

    def ask(self) -> tuple[str, int]:
        """One connection: the word and the pid of the worker that took it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as peer:
            peer.settimeout(PATIENCE)
            word, pid = b"".join(iter(lambda: peer.recv(100), b"")).split()
        return word.decode(), int(pid)

    def get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.operations}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.get("/status"))
        return answer

    def pids(self) -> list[int]:
        return [row["pid"] for row in self.status()["workers"] if row["state"] == "ready"]

    def metric(self, name: str) -> float:
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    @staticmethod
    def alive(pid: int) -> bool:
        """Whether a process still runs; a zombie does not."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def children(self) -> list[int]:
        task = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in task.read_text().split()]

    def end(self) -> None:
        """Nothing of it is left, whatever state the test left it in."""
        if self.process.poll() is None:
            children = self.children()
            self.process.kill()
            self.process.wait()
            for pid in filter(self.alive, children):
                os.kill(pid, signal.SIGKILL)
        if self.reader:
            self.reader.kill()
            self.reader.wait()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a Python program and see to its end."""
    running: list[Running] = []

    def launch(*arguments: str, into: str = "", **environ: str) -> Running:
        log = tmp_path / f"log{len(running)}"
        running.append(Running(log, *arguments, into=into.format(log=log), **environ))
        return running[-1]

    yield launch
    for each in running:
        each.end()


@pytest.fixture
def start(launch: Callable[..., Running]) -> Callable[..., Running]:
    """A supervisor over small workers (small.py)."""

    def start(into: str = "", **asked: Any) -> Running:
        return launch(str(HERE / "small.py"), json.dumps(asked), into=into)

    return start


@pytest.fixture
def serve(launch: Callable[..., Running]) -> Callable[..., Running]:
    """`fi-fhir serve` on free ports, ready unless it is not to be waited for."""

    def serve(*options: str, wait: bool = True, into: str = "", **environ: str) -> Running:
        ports = ("--port", "0", "--metrics-port", "0")
        daemon = launch("-m", "fifhir", "serve", *ports, *options, into=into, **environ)
        return daemon.until_ready() if wait else daemon

    return serve


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority with a server's and two clients' certificates, and a stranger's."""
    where = tmp_path_factory.mktemp("pki")
    pki.authority(where, "ca")
    pki.authority(where, "elsewhere")
    pki.issue(where, "server", "ca", pki.NAMES)
    pki.issue(where, "renewed", "ca", pki.NAMES)
    pki.issue(where, "lab", "ca", f"subjectAltName=URI:{pki.IDENTITY}")
    pki.issue(where, "ward", "ca", "subjectAltName=URI:urn:example:ward")
    pki.issue(where, "stranger", "elsewhere", f"subjectAltName=URI:{pki.IDENTITY}")
    return where
