"""The daemon that is accounted for, and what its store holds, seen past it."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.postgres import Server

WORKFLOW = """\
name: books
routes:
  - name: far
    actions:
      - type: webhook
        url: http://127.0.0.1:{far}/far
        retry_max: 1
        retry_delay: 5ms
        timeout: 2s
        circuit_breaker: true
        circuit_failure_threshold: 5
        circuit_success_threshold: 1
        circuit_timeout: 300ms
  - name: near
    actions:
      - type: webhook
        url: http://127.0.0.1:{near}/near
        retry_max: 1
        retry_delay: 5ms
        timeout: 5s
"""
ROUTES = ("far", "near")
LETTERS = "SELECT route_name, raw FROM dlq_events"
PENDING = "SELECT 'journal', raw FROM workflow_events WHERE status = 'pending'"


class SqliteBooks:
    """A store in a file."""

    def __init__(self, folder: Path) -> None:
        self.environ = {"FI_FHIR_DATA_DIR": str(folder / "data")}
        self._path = folder / "data" / "store.db"

    def rows(self, query: str) -> list[tuple[str, bytes]]:
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()


class PostgresBooks:
    """A store in a database of `server`, which the daemon reaches over a proxy at `port`."""

    def __init__(self, server: Server, port: int) -> None:
        self._server = server
        self._name = server.database().partition("@/")[2].partition("?")[0]
        dsn = f"postgresql://postgres@127.0.0.1:{port}/{self._name}?sslmode=disable"
        self.environ = {"FI_FHIR_DATABASE_DSN": dsn, "FI_FHIR_STORE_TIMEOUT": "2s"}

    def rows(self, query: str) -> list[tuple[str, bytes]]:
        told = self._server.sql(
            f"SELECT r || ' ' || encode(b, 'hex') FROM ({query}) AS found (r, b)",  # noqa: S608 - ours
            self._name,
        )
        pairs = (line.partition(" ") for line in told.splitlines())
        return [(route, bytes.fromhex(raw)) for route, _, raw in pairs]


class Daemon:
    """Two workers on ports of their own; it can be started again on the same."""

    def __init__(
        self,
        folder: Path,
        program: list[str],
        books: SqliteBooks | PostgresBooks,
        ports: dict[str, int],
        environ: dict[str, str],
    ) -> None:
        self.http, self.mllp = _free(), _free()
        self.books = books
        self._folder = folder
        self._program = program
        (folder / "w.yaml").write_text(WORKFLOW.format(**ports))
        self._environ = {
            **os.environ,
            **books.environ,
            **environ,
            "FI_FHIR_MLLP_ENABLED": "true",
            "FI_FHIR_MLLP_PORT": str(self.mllp),
            "FI_FHIR_WORKFLOW_CONFIG_PATH": str(folder / "w.yaml"),
        }
        self.start()

    def start(self) -> None:
        words = [*self._program, "serve", "--port", str(self.http), "--workers", "2"]
        words += ["--metrics-port", "0"]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=self._environ)

    def see_to_it(self) -> None:
        """It runs, or has been started again: its ports are free once its workers are gone."""
        if self.process.poll() is not None:
            self.start()

    def workers(self) -> list[int]:
        """Its children, the process that serves the metrics among them."""
        try:
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in text.split()]

    def signal(self, pid: int, signum: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)

    def kill_all(self) -> None:
        for pid in (self.process.pid, *self.workers()):
            self.signal(pid)
        self.process.wait()

    def replay(self) -> "subprocess.Popen[bytes]":
        """Somebody replays all dead letters."""
        words = [sys.executable, "-m", "fifhir", "dlq", "replay"]
        with (self._folder / "replay").open("ab") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, env=self._environ)

    def letters(self) -> dict[str, set[str]]:
        """The control ids in the dead letters of each route."""
        found: dict[str, set[str]] = {route: set() for route in ROUTES}
        for route, raw in self.books.rows(LETTERS):
            found[route].add(_control(raw))
        return found

    def pending(self) -> set[str]:
        """The control ids still in the journal."""
        return {_control(raw) for _, raw in self.books.rows(PENDING)}

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


def _control(raw: bytes) -> str:
    return bytes(raw).split(b"|")[9].decode()


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it held within the time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
