"""Real forks, real signals: what becomes of the workers, whatever is done to them."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Running  # at run time the fixture brings it

Start = Callable[..., "Running"]


@contextlib.contextmanager
def asking(daemon: "Running") -> Iterator[tuple[list[str], list[OSError]]]:
    """Connections one after the other, meanwhile: the answers, and what went wrong."""
    words: list[str] = []
    faults: list[OSError] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                words.append(daemon.ask()[0])
            except OSError as fault:
                faults.append(fault)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield words, faults
    finally:
        over.set()
        thread.join()


def test_killed_worker_is_replaced_and_the_others_stay(start: Start) -> None:
    daemon = start(workers=3).until_ready()
    before = daemon.pids()
    os.kill(before[1], signal.SIGKILL)
    daemon.until(lambda: len(set(daemon.pids()) - set(before)) == 1)
    assert {before[0], before[2]} < set(daemon.pids())
    entry = daemon.until_logged("process died")
    assert (entry["pid"], entry["cause"], entry["again_ms"]) == (before[1], "SIGKILL", 0)


def test_counters_stay_exact_and_never_go_back_over_twenty_kills(start: Start) -> None:
    daemon = start(workers=2, healthy=0).until_ready()
    answered = 0
    for _ in range(20):
        for _ in range(5):
            answered += daemon.ask()[0] == "hello"
        daemon.until(lambda: len(daemon.pids()) == 2)
        victim = daemon.pids()[answered % 2]
        os.kill(victim, signal.SIGKILL)
        while victim in daemon.pids():
            assert daemon.metric("workflow_events_processed_total") == answered
    assert daemon.metric("workflow_events_processed_total") == answered == 100
    assert daemon.metric("fi_fhir_worker_respawns_total") == 20


def test_event_of_a_killed_worker_is_no_longer_in_progress(start: Start, tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("stuck")
    daemon = start(workers=1, file=str(word)).until_ready()
    with socket.create_connection(("127.0.0.1", daemon.port)) as peer:
        peer.recv(1)
        assert daemon.metric("workflow_events_in_progress") == 1
        os.kill(daemon.pids()[0], signal.SIGKILL)
        daemon.until(lambda: daemon.metric("workflow_events_in_progress") == 0)
    assert daemon.metric("workflow_events_processed_total") == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_drains_and_ends_with_status_0(start: Start, signum: signal.Signals) -> None:
    daemon = start().until_ready()
    children = daemon.children()
    assert len(children) == 3
    daemon.send(signum)
    assert daemon.ended() == 0
    assert not any(daemon.alive(pid) for pid in children)


@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)]
)
def test_second_signal_ends_it_at_once(
    start: Start, tmp_path: Path, first: signal.Signals, second: signal.Signals
) -> None:
    word = tmp_path / "word"
    word.write_text("deaf")
    daemon = start(file=str(word), shutdown=60).until_ready()
    children = daemon.children()
    daemon.send(first)
    daemon.until_logged("stopping")
    daemon.send(second)
    assert daemon.ended() == 128 + second
    assert not any(daemon.alive(pid) for pid in children)


def test_quit_ends_it_at_once(start: Start) -> None:
    daemon = start().until_ready()
    daemon.send(signal.SIGQUIT)
    assert daemon.ended() == 128 + signal.SIGQUIT


def test_worker_that_does_not_drain_in_time_is_killed_and_told(
    start: Start, tmp_path: Path
) -> None:
    word = tmp_path / "word"
    word.write_text("deaf")
    daemon = start(file=str(word), shutdown=0).until_ready()
    daemon.send(signal.SIGTERM)
    assert daemon.ended() == 1


def test_workers_ignore_what_a_terminal_sends_to_everybody(start: Start) -> None:
    daemon = start().until_ready()
    before = daemon.pids()
    for pid in before:
        for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN):
            os.kill(pid, signum)
    assert daemon.ask()[0] == "hello"
    assert daemon.pids() == before


def test_one_worker_more_and_less_but_never_none(start: Start) -> None:
    daemon = start(workers=1).until_ready()
    daemon.send(signal.SIGTTIN)
    daemon.until(lambda: len(daemon.pids()) == 2)
    for times in (2, 3):
        daemon.send(signal.SIGTTOU)
        daemon.until_logged("workers wanted", times)
    daemon.until(lambda: len(daemon.status()["workers"]) == 1)
    assert [entry["workers"] for entry in daemon.entries("workers wanted")] == [2, 1, 1]
    assert not daemon.entries("process died")


def test_stopped_worker_is_aborted_and_replaced(start: Start) -> None:
    daemon = start(watchdog=0.3).until_ready()
    victim = daemon.pids()[0]
    os.kill(victim, signal.SIGSTOP)
    entry = daemon.until_logged("process died")
    assert (entry["pid"], entry["cause"]) == (victim, "watchdog")
    daemon.until(lambda: len(daemon.pids()) == 2)
    assert daemon.metric('fi_fhir_worker_respawns_total{cause="watchdog"}') == 1


def test_hung_worker_leaves_its_stack(start: Start, tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("stuck")
    daemon = start(workers=1, watchdog=0.3, file=str(word)).until_ready()
    with socket.create_connection(("127.0.0.1", daemon.port)) as peer:
        peer.recv(1)
        daemon.until_logged("process died")
    assert "_serve_one" in daemon.log.read_text()


def test_a_pause_of_everybody_is_nobodys_silence(start: Start) -> None:
    daemon = start(watchdog=1.0).until_ready()
    everybody = [daemon.pid, *daemon.children()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(3.5)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert daemon.ask()[0] == "hello"
    threading.Event().wait(1.5)
    assert not daemon.entries("no heartbeat, aborting")


def test_nothing_outlives_a_killed_supervisor(start: Start) -> None:
    daemon = start().until_ready()
    children = daemon.children()
    daemon.send(signal.SIGKILL)
    daemon.ended()
    daemon.until(lambda: not any(daemon.alive(pid) for pid in children))
    with socket.create_server(("127.0.0.1", daemon.port)):
        pass  # the port is free


def test_workers_that_cannot_boot_end_it_with_status_3(start: Start, tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("broken")
    daemon = start(file=str(word))
    assert daemon.ended() == 3
    assert daemon.entries("process ended by an error")[0]["error"] == "cannot boot"
    assert daemon.entries("workers cannot boot, giving up")


def test_reload_brings_new_workers_before_the_old_ones_leave(start: Start, tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("old")
    daemon = start(file=str(word)).until_ready()
    old = daemon.pids()
    with asking(daemon) as (words, faults):
        word.write_text("new")
        daemon.send(signal.SIGHUP)
        daemon.until_logged("reloaded")
        daemon.until(lambda: not any(daemon.alive(pid) for pid in old))
        daemon.until(lambda: words[-1] == "new")
    assert not faults
    assert set(words) == {"old", "new"}


@pytest.mark.parametrize("fault", ["bad", "broken"])
def test_failed_reload_keeps_the_old_workers(start: Start, tmp_path: Path, fault: str) -> None:
    word = tmp_path / "word"
    word.write_text("old")
    daemon = start(file=str(word)).until_ready()
    before = daemon.pids()
    with asking(daemon) as (words, faults):
        word.write_text(fault)
        daemon.send(signal.SIGHUP)
        daemon.until_logged("reload refused")
        daemon.until(lambda: daemon.metric("fi_fhir_config_reload_success") == 0)
    assert not faults
    assert set(words) == {"old"}
    assert daemon.pids() == before
    word.write_text("new")
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: daemon.ask()[0] == "new")


def test_counters_survive_a_reload(start: Start) -> None:
    daemon = start().until_ready()
    for _ in range(10):
        daemon.ask()
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: len(daemon.status()["workers"]) == 2)
    assert daemon.metric("workflow_events_processed_total") == 10


def test_no_queued_connection_is_lost_with_a_worker(start: Start) -> None:
    daemon = start(workers=2).until_ready()
    dies, stays = daemon.pids()
    for pid in (dies, stays):
        os.kill(pid, signal.SIGSTOP)
    address = ("127.0.0.1", daemon.port)
    peers = [socket.create_connection(address, timeout=20) for _ in range(200)]
    os.kill(dies, signal.SIGKILL)
    os.kill(stays, signal.SIGCONT)
    answers = [peer.recv(100) for peer in peers]
    for peer in peers:
        peer.close()
    assert sum(answer.startswith(b"hello") for answer in answers) == 200


def test_traffic_does_not_notice_the_death_of_operations(start: Start) -> None:
    daemon = start().until_ready()
    workers = daemon.pids()
    (operations,) = set(daemon.children()) - set(workers)
    with asking(daemon) as (words, faults):
        os.kill(operations, signal.SIGKILL)
        daemon.until_logged("process died")
        assert daemon.pids() == workers  # asked of the new one; its port was never closed
    assert words
    assert not faults


def test_strangers_are_reaped(start: Start, tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("parent")
    daemon = start(workers=1, file=str(word), adopts=True).until_ready()
    _, stranger = daemon.ask()
    daemon.until(lambda: stranger not in daemon.children())
    assert not daemon.entries("process died")


def test_moved_log_is_opened_anew(start: Start) -> None:
    daemon = start().until_ready()
    moved = daemon.log.with_suffix(".1")
    daemon.log.rename(moved)
    daemon.send(signal.SIGUSR1)
    daemon.until(daemon.log.exists)
    daemon.send(signal.SIGTERM)
    daemon.ended()
    assert "stopping" in daemon.log.read_text()
    assert "stopping" not in moved.read_text()


def test_nothing_before_the_fork_starts_a_thread_or_a_loop(start: Start) -> None:
    daemon = start().until_ready()
    assert len(os.listdir(f"/proc/{daemon.pid}/task")) == 1
    files = (os.readlink(link) for link in Path(f"/proc/{daemon.pid}/fd").iterdir())
    assert not [name for name in files if "eventpoll" in name]
