"""The real daemon, started as an operator starts it, and treated badly."""

import http.client
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = (
    b"MSH|^~\\&|ADT1|WEST|FIFHIR|HERE|20260302070000||ADT^A01^ADT_A01|C%d|P|2.5.1\r"
    b"EVN|A01|20260302070000\r"
    b"PID|1||900%d^^^WEST^MR||TEAPOT^HAZEL||19800101|F\r"
    b"PV1|1|I|WARD1^101^A\r"
)
HEADERS = {"Content-Type": "application/hl7-v2"}


def post(peer: http.client.HTTPConnection, number: int) -> int:
    """Send one message on a connection that is kept; the status of its answer."""
    peer.request("POST", "/api/v1/workflow", ADMIT % (number, number), HEADERS)
    with peer.getresponse() as answer:
        answer.read()
        return answer.status


def received(peer: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    with peer:
        return b"".join(iter(lambda: peer.recv(65536), b""))


class Senders:
    """Threads that post messages, each on its own connection, and reconnect when it breaks."""

    def __init__(self, port: int) -> None:
        self.port, self.answered, self.broken, self.other = port, 0, 0, 0
        self.over, self.lock = threading.Event(), threading.Lock()

    def _tally(self, status: int) -> None:
        with self.lock:
            self.answered += status == 200
            self.broken += status == 0
            self.other += status not in (0, 200)

    def send(self) -> None:
        number, peer = 0, http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.over.is_set():
            number += 1
            try:
                self._tally(post(peer, number))
            except (OSError, http.client.HTTPException):
                self._tally(0)
                peer.close()
        peer.close()


@contextmanager
def sending(port: int, threads: int = 8) -> Iterator[Senders]:
    senders = Senders(port)
    running = [threading.Thread(target=senders.send) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield senders
    finally:
        senders.over.set()
        for thread in running:
            thread.join()


def test_killed_worker_costs_its_own_clients_one_reset_and_nobody_else(serve: Serve) -> None:
    daemon = serve("--workers", "2")
    with sending(daemon.port) as senders:
        daemon.until(lambda: senders.answered > 200)
        victim = daemon.status()["workers"][0]
        os.kill(victim["pid"], signal.SIGKILL)
        daemon.until(lambda: len(set(daemon.pids()) - {victim["pid"]}) == 2)
        mark = senders.answered
        daemon.until(lambda: senders.answered > mark + 200)
    assert senders.broken <= victim["connections"] < 8
    assert senders.other == 0
    counted = daemon.metric("workflow_events_processed_total")
    assert senders.answered <= counted <= senders.answered + senders.broken


def test_no_queued_connection_is_lost_with_a_worker(serve: Serve) -> None:
    daemon = serve("--workers", "2")
    dies, stays = daemon.pids()
    for pid in (dies, stays):
        os.kill(pid, signal.SIGSTOP)
    peers = [socket.create_connection(("127.0.0.1", daemon.port), timeout=20) for _ in range(200)]
    for peer in peers:
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    os.kill(dies, signal.SIGKILL)
    os.kill(stays, signal.SIGCONT)
    assert [received(peer)[:12] for peer in peers] == [b"HTTP/1.1 200"] * 200


def test_begun_requests_are_answered_in_a_drain(serve: Serve) -> None:
    daemon = serve("--workers", "2")
    body = ADMIT % (1, 1)
    head = b"POST /api/v1/workflow HTTP/1.1\r\nHost: h\r\nContent-Type: application/hl7-v2\r\n"
    peers = [socket.create_connection(("127.0.0.1", daemon.port), timeout=20) for _ in range(20)]
    for peer in peers:
        peer.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:50])
    daemon.until(lambda: daemon.metric("fi_fhir_connections") == 20)
    daemon.send(signal.SIGTERM)
    daemon.until(lambda: {row["state"] for row in daemon.status()["workers"]} == {"draining"})
    for peer in peers:
        peer.sendall(body[50:])
    assert [received(peer)[:12] for peer in peers] == [b"HTTP/1.1 200"] * 20
    assert daemon.ended() == 0


def test_drain_ends_in_time_although_a_client_never_finishes(serve: Serve) -> None:
    daemon = serve("--workers", "1", FI_FHIR_SERVER_SHUTDOWN_TIMEOUT="300ms")
    with socket.create_connection(("127.0.0.1", daemon.port)) as peer:
        peer.sendall(b"POST /api/v1/workflow HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
        daemon.until(lambda: daemon.metric("fi_fhir_connections") == 1)
        daemon.send(signal.SIGTERM)
        assert daemon.ended() == 0


def test_reload_under_load_breaks_no_request(serve: Serve, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text("name: one\nroutes: [{name: first, actions: [{type: log}]}]\n")
    daemon = serve("--workers", "2", "--workflow", str(workflow))
    with sending(daemon.port) as senders:
        daemon.until(lambda: senders.answered > 100)
        workflow.write_text("name: two\nroutes: [{name: second, actions: [{type: log}]}]\n")
        daemon.send(signal.SIGHUP)
        daemon.until_logged("reloaded")
        label = 'workflow_action_duration_seconds_count{action_type="log",route_name="second"}'
        daemon.until(lambda: daemon.metric(label) > 0)
    assert senders.other == 0
    assert daemon.metric("workflow_events_processed_total") >= senders.answered


def test_faulty_workflow_is_refused_and_the_old_one_stays(serve: Serve, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text("name: one\nroutes: [{name: first, actions: [{type: log}]}]\n")
    daemon = serve("--workers", "1", "--workflow", str(workflow))
    before = daemon.pids()
    workflow.write_text("name: one\nroutes: 7\n")
    daemon.send(signal.SIGHUP)
    entry = daemon.until_logged("reload refused")
    assert "workflow.yaml:2" in entry["finding"]
    assert daemon.pids() == before


def test_port_in_use_is_one_line_and_status_2(serve: Serve) -> None:
    daemon = serve("--workers", "1")
    second = serve("--port", str(daemon.port), wait=False)
    assert second.ended() == 2
    (line,) = second.log.read_text().splitlines()
    assert f"127.0.0.1:{daemon.port}: address already in use" in line


def test_daemon_outlives_the_reader_of_its_log_and_greeting(serve: Serve) -> None:
    daemon = serve("--workers", "1", into="head -n 1 > {log}")
    peer = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    assert [post(peer, number) for number in range(20)] == [200] * 20
    peer.close()
    daemon.until(lambda: daemon.metric("fi_fhir_log_lines_dropped_total") >= 20)
    daemon.send(signal.SIGTERM)
    assert daemon.ended() == 0


def test_workers_leave_no_core_file(serve: Serve) -> None:
    daemon = serve("--workers", "1")
    limits = Path(f"/proc/{daemon.pids()[0]}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


def test_supervisor_has_neither_thread_nor_loop(serve: Serve) -> None:
    daemon = serve("--workers", "1")
    assert len(os.listdir(f"/proc/{daemon.pid}/task")) == 1
    files = [os.readlink(link) for link in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    assert not [name for name in files if "eventpoll" in name]


def test_status_tells_what_runs(serve: Serve) -> None:
    daemon = serve("--workers", "2")
    peer = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    assert [post(peer, number) for number in range(5)] == [200] * 5
    status = daemon.status()
    assert status["supervisor"]["pid"] == daemon.pid
    assert [row["slot"] for row in status["workers"]] == [0, 1]
    assert sum(row["events_total"] for row in status["workers"]) == 5
    assert sum(row["connections"] for row in status["workers"]) == 1
    assert all(row["rss_bytes"] > 1_000_000 for row in status["workers"])
    routes = {row["route"]: row["actions_total"] for row in status["routes"]}
    assert routes["all_events"] == 5
    peer.close()


@pytest.mark.parametrize("path", ["/health", "/status", "/metrics"])
def test_operations_answer_each_path(serve: Serve, path: str) -> None:
    assert serve("--workers", "1").get(path)
