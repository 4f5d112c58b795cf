"""Acked means kept: what was answered with success is delivered, a dead letter, or pending.

Senders journal what they were promised and send again what they were not, a destination records
what arrives and fails for a while now and then, and meanwhile workers are killed, and once the
supervisor with all of them. At the end the books have to balance. With a daemon that answers
before it commits they must not: that is the test of the test.

ACCOUNT_MESSAGES and ACCOUNT_KILLS make it larger (`make soak`).
"""

import asyncio
import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MESSAGES = int(os.environ.get("ACCOUNT_MESSAGES", "2000"))
CHANCE = random.Random()  # noqa: S311 - no secret
KILLS = int(os.environ.get("ACCOUNT_KILLS", "6"))
SENDERS = 12
ADT = "MSH|^~\\&|A|{sender}|C|D|20260101||ADT^A01|{control}|P|2.5.1\rPID|1||7\rPV1|1|I\r"
WORKFLOW = """\
name: books
routes:
  - name: hook
    actions:
      - type: webhook
        url: http://127.0.0.1:{port}/
        retry_max: 1
        retry_delay: 5ms
        timeout: 5s
"""
HERE = Path(__file__).parent


class Recorder(threading.Thread):
    """The destination: notes control id and key of all it confirms; `down` it refuses."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[str, str]] = []
        self.down = False
        self._up = threading.Event()
        self.start()
        assert self._up.wait(30)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)content-length: (\d+)", head)
                key = re.search(r"(?i)idempotency-key: (\S+)", head)
                assert length
                assert key
                event = json.loads(await reader.readexactly(int(length[1])))
                if not self.down:
                    self.seen.append((event["source_message_id"], key[1]))
                status = b"503 No" if self.down else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Daemon:
    """Two workers on a port of their own; it can be started again."""

    def __init__(self, folder: Path, port: int, program: list[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        (folder / "w.yaml").write_text(WORKFLOW.format(port=port))
        self._program = program
        self.start()

    def start(self) -> None:
        words = [*self._program, "serve", "--port", str(self.port), "--workers", "2"]
        words += ["--metrics-port", "0", "--workflow", str(self.folder / "w.yaml")]
        environ = os.environ | {"FI_FHIR_DATA_DIR": str(self.folder / "data")}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=environ)

    def workers(self) -> list[int]:
        try:
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in text.split()]

    def kill_all(self) -> None:
        for pid in (self.process.pid, *self.workers()):
            _kill(pid)
        self.process.wait()

    def kept(self) -> tuple[set[str], set[str]]:
        """The control ids in the dead letters, and those still in the journal."""
        database = sqlite3.connect(f"file:{self.folder}/data/store.db?mode=ro", uri=True)
        try:
            letters = database.execute("SELECT raw FROM dlq_events").fetchall()
            pending = database.execute(
                "SELECT raw FROM workflow_events WHERE status = 'pending'"
            ).fetchall()
        finally:
            database.close()
        return _controls(letters), _controls(pending)


def _controls(rows: list[tuple[bytes]]) -> set[str]:
    return {bytes(raw).split(b"|")[9].decode() for (raw,) in rows}


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Sender(threading.Thread):
    """Sends one message after another, each until it is promised; `acked` are those that were."""

    def __init__(self, name: str, port: int, numbers: Iterator[int], when: str) -> None:
        super().__init__(daemon=True)
        self.name = name
        self.acked: list[str] = []
        self.sent: list[str] = []
        self._port = port
        self._numbers = numbers
        self.when = when
        self._until = time.monotonic() + 500 + MESSAGES / 20
        self.start()

    def run(self) -> None:
        for number in self._numbers:
            control = f"{self.name}-{number}"
            self.sent.append(control)
            while not self._promised(control):
                if time.monotonic() > self._until:
                    return
                time.sleep(0.02)
            self.acked.append(control)
        if self._client:
            self._client.close()

    _client: http.client.HTTPConnection | None = None

    def _promised(self, control: str) -> bool:
        client = self._client = self._client or http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=60
        )
        body = ADT.format(sender=self.name, control=control).encode()
        headers = {"Content-Type": "application/hl7-v2", "X-Ack-When": self.when}
        try:
            client.request("POST", "/api/v1/workflow", body, headers)
            answer = client.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            client.close()
            self._client = None
            return False
        return answer.status in {200, 202}


def disturb(daemon: Daemon, recorder: Recorder, senders: list[Sender], kills: int) -> int:
    """Kill workers, and in the middle everybody, while the destination comes and goes."""
    killed = 0
    while any(sender.is_alive() for sender in senders):
        time.sleep(CHANCE.uniform(0.2, 0.8))
        recorder.down = CHANCE.random() < 0.3
        if killed < kills and (workers := daemon.workers()):
            if killed == kills // 2:
                daemon.kill_all()
                daemon.start()
            else:
                _kill(CHANCE.choice(workers))
            killed += 1
    recorder.down = False
    return killed


def account(folder: Path, program: list[str], messages: int, kills: int) -> tuple[set[str], int]:
    """What was promised and is nowhere; how many kills there were. Everything else is asserted."""
    recorder = Recorder()
    daemon = Daemon(folder, recorder.port, program)
    try:
        share = iter(range(messages))
        lock, modes = threading.Lock(), ("after_store", "after_actions")

        def mine() -> Iterator[int]:
            while True:
                with lock:
                    number = next(share, None)
                if number is None:
                    return
                yield number

        senders = [
            Sender(f"S{index}", daemon.port, mine(), modes[index % 3 == 2])
            for index in range(SENDERS)
        ]
        killed = disturb(daemon, recorder, senders, kills)
        acked = {control for sender in senders for control in sender.acked}
        sent = {control for sender in senders for control in sender.sent}
        until = time.monotonic() + 120
        while daemon.kept()[1] and time.monotonic() < until:
            time.sleep(0.2)
        letters, pending = daemon.kept()
        keys: dict[str, set[str]] = {}
        for control, key in recorder.seen:
            keys.setdefault(control, set()).add(key)
        assert len(acked) == messages, f"only {len(acked)} were promised in time"
        assert not keys.keys() - sent, "what nobody sent has arrived"
        assert not [each for each in keys.values() if len(each) > 1], "a repeat has another key"
        for sender in senders:
            place = {control: index for index, control in enumerate(sender.sent)}
            first = list(dict.fromkeys(c for c, _ in recorder.seen if c in place))
            if sender.when == "after_store":
                assert first == sorted(first, key=place.__getitem__), "order is broken"
        return acked - keys.keys() - letters - pending, killed
    finally:
        daemon.kill_all()


@pytest.mark.timeout(900)
def test_what_was_promised_is_kept(tmp_path: Path, record_property: Callable[..., None]) -> None:
    lost, killed = account(tmp_path, [sys.executable, "-m", "fifhir"], MESSAGES, KILLS)
    record_property("accounted", MESSAGES)
    print(f"accounted for {MESSAGES} messages, {killed} kills, {len(lost)} lost")
    assert not lost


@pytest.mark.timeout(900)
def test_a_promise_before_the_commit_is_noticed(tmp_path: Path) -> None:
    lost, _ = account(tmp_path, [sys.executable, str(HERE / "planted.py")], MESSAGES, KILLS)
    assert lost
