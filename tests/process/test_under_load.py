"""Signals under load: senders that never retry see no failure over HTTP, none is lost over MLLP."""

import http.client
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.process.test_daemon import sending

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

FRAME = (
    b"\x0bMSH|^~\\&|A|B|C|D|20260302||ADT^A01|%d-%d|P|2.5\rPID|1||9^^^B^MR||TEAPOT\rPV1|1|I\r\x1c\r"
)
WORKFLOW = "name: w\nroutes: [{{name: route_{}, actions: [{{type: log}}]}}]\n"


class MllpSender:
    """Sends ack by ack on one connection; what was not acknowledged goes again on a new one."""

    def __init__(self, port: int, name: int) -> None:
        self.port, self.name = port, name
        self.acknowledged = self.resent = self.wrong = 0

    def run(self, over: threading.Event) -> None:
        peer = self._connect()
        while not over.is_set():
            number = self.acknowledged + 1
            answer = self._exchange(peer, FRAME % (self.name, number))
            if b"MSA|AA|%d-%d\r" % (self.name, number) in answer:
                self.acknowledged += 1
                continue
            self.wrong += bool(answer)
            self.resent += 1
            peer.close()
            peer = self._connect()
        peer.close()

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    @staticmethod
    def _exchange(peer: socket.socket, frame: bytes) -> bytes:
        answer = b""
        try:
            peer.sendall(frame)
            while not answer.endswith(b"\x1c\r") and (chunk := peer.recv(65536)):
                answer += chunk
        except ConnectionError:
            return b""
        return answer


@contextmanager
def sending_frames(port: int, count: int = 4) -> Iterator[list[MllpSender]]:
    over = threading.Event()
    senders = [MllpSender(port, name) for name in range(count)]
    threads = [threading.Thread(target=sender.run, args=(over,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        yield senders
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def daemon(serve: Serve, tmp_path: Path) -> "Running":
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(WORKFLOW.format(0))
    return serve(
        *("--workers", "2", "--workflow", str(workflow)),
        FI_FHIR_MLLP_ENABLED="true",
        FI_FHIR_MLLP_PORT="0",
        FI_FHIR_SERVER_RELOAD_ON_CHANGE="false",
        FI_FHIR_SERVER_SHUTDOWN_TIMEOUT="60s",
    )


def test_five_reloads_under_load_fail_no_request(daemon: "Running", tmp_path: Path) -> None:
    framed = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
    with sending(daemon.port, threads=4) as posted, sending_frames(framed) as sent:
        for turn in range(1, 6):
            mark = posted.answered
            daemon.until(lambda mark=mark: posted.answered > mark + 50)  # type: ignore[misc]
            (tmp_path / "workflow.yaml").write_text(WORKFLOW.format(turn))
            daemon.send(signal.SIGHUP)
            daemon.until_logged("reloaded", times=turn)
        label = 'workflow_action_duration_seconds_count{action_type="log",route_name="route_5"}'
        daemon.until(lambda: daemon.metric(label) > 0)
    assert (posted.broken, posted.other) == (0, 0)
    assert sum(sender.wrong for sender in sent) == 0
    acknowledged = sum(sender.acknowledged for sender in sent)
    assert acknowledged > 0
    # What was not acknowledged was not run either: nothing twice, nothing lost.
    assert daemon.metric('fi_fhir_mllp_messages_total{outcome="accepted"}') == acknowledged


def test_workers_come_and_go_under_load_and_fail_no_request(daemon: "Running") -> None:
    framed = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
    with sending(daemon.port, threads=4) as posted, sending_frames(framed) as sent:
        for turn in range(3):
            daemon.send(signal.SIGTTIN)
            daemon.until(lambda: len(daemon.pids()) == 3)
            mark = posted.answered
            daemon.until(lambda mark=mark: posted.answered > mark + 50)  # type: ignore[misc]
            daemon.send(signal.SIGTTOU)
            daemon.until_logged("workers wanted", times=2 * turn + 2)
            daemon.until(lambda: len(daemon.status()["workers"]) == 2)
    assert (posted.broken, posted.other) == (0, 0)
    assert sum(sender.wrong for sender in sent) == 0
    acknowledged = sum(sender.acknowledged for sender in sent)
    assert daemon.metric('fi_fhir_mllp_messages_total{outcome="accepted"}') == acknowledged


def test_an_idle_connection_is_told_before_it_is_closed(daemon: "Running") -> None:
    """A client between two requests may send one more, and learns that it was the last."""
    old = daemon.pids()
    peer = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    peer.request("GET", "/health")
    with peer.getresponse() as answer:
        assert (answer.status, answer.headers["Connection"]) == (200, None)
        answer.read()
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: not set(old) & set(daemon.pids()))  # both drain by now
    peer.request("GET", "/health")
    with peer.getresponse() as answer:
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
    peer.close()
    daemon.until(lambda: not any(daemon.alive(pid) for pid in old))
