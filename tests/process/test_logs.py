"""A log nobody reads must not stop anything, and must not tell what it may not."""

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fifhir.logs import BURST, CALM, LINE_LIMIT, Log, adopt


def read(fd: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(fd, 1 << 20).splitlines()]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def test_entry_is_a_line_of_json(pipe: tuple[int, int]) -> None:
    Log(pipe[1]).info("Event processed", trace_id="abc", duration_ms=1.5)
    (entry,) = read(pipe[0])
    assert list(entry) == ["timestamp", "level", "message", "trace_id", "duration_ms"]
    assert (entry["level"], entry["duration_ms"]) == ("info", 1.5)
    assert entry["timestamp"].endswith("Z")


def test_entries_below_the_level_are_not_written(pipe: tuple[int, int]) -> None:
    log = Log(pipe[1], "warn")
    log.debug("no")
    log.info("no")
    log.warn("yes")
    assert [entry["message"] for entry in read(pipe[0])] == ["yes"]


def test_full_pipe_drops_counts_and_tells(pipe: tuple[int, int]) -> None:
    log = Log(pipe[1])
    while not log.dropped:
        log.info("x" * 1000)
    read(pipe[0])
    log.info("after")
    *_, told, after = read(pipe[0])
    assert told["message"] == "log lines dropped"
    assert after["message"] == "after"


def test_every_dropped_line_is_told_of_once(pipe: tuple[int, int]) -> None:
    log, told = Log(pipe[1]), 0
    for _ in range(500):
        log.info("x" * 1000, filler="y" * 3000)
    for _ in range(2):
        told += sum(entry.get("count", 0) for entry in read(pipe[0]))
        log.info("after")
    assert told == log.dropped > 0


def test_pipe_of_others_stays_blocking(pipe: tuple[int, int]) -> None:
    Log(pipe[1]).info("x")
    assert not fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK


def test_full_socket_drops_and_counts() -> None:
    code = "from fifhir.logs import Log; log = Log(1)\nwhile not log.dropped: log.info('x' * 1000)"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert (
            subprocess.run(
                [sys.executable, "-c", code], stdout=ours.fileno(), check=False
            ).returncode
            == 0
        )
        assert theirs.recv(100).startswith(b'{"timestamp":')
        assert ours.getblocking()


def test_full_device_drops_and_counts() -> None:
    with Path("/dev/full").open("wb") as device:
        log = Log(device.fileno())
        log.error("x")
        assert log.dropped == 1


def test_reader_that_goes_away_ends_nobody(pipe: tuple[int, int]) -> None:
    reader, writer = os.pipe()
    log = Log(writer)
    os.close(reader)
    log.info("x")
    assert log.dropped == 1
    os.close(writer)


def test_closed_stdout_is_never_given_to_a_socket() -> None:
    code = "import os; from fifhir.logs import Log; Log(1).info('x'); print(os.open('/', 0))"
    run = subprocess.run(
        ["sh", "-c", f'exec {sys.executable} -c "{code}" >&-'], check=False, capture_output=True
    )
    assert run.returncode == 0


def test_lines_of_many_processes_do_not_mix(pipe: tuple[int, int]) -> None:
    log, children = Log(pipe[1]), []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            for _ in range(200):
                log.info("m", filler="x" * 150, more="y" * 3000)
            os._exit(0)
        children.append(pid)
    lines = 0
    with os.fdopen(os.dup(pipe[0]), "rb", buffering=0) as stream:
        os.set_blocking(pipe[0], False)
        rest = b""
        while children or (got := stream.read(1 << 16)):
            got = stream.read(1 << 16) if children else got
            *whole, rest = (rest + (got or b"")).split(b"\n")
            lines += len([json.loads(line) for line in whole])
            children = [pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0]
    assert rest == b""
    assert lines > 0


@pytest.mark.parametrize(
    "fields",
    [{"big": "x" * 9000}, {f"key{n}": "x" * 190 for n in range(50)}, {"cut": "\ud800"}],
    ids=["one long field", "many fields", "half a surrogate pair"],
)
def test_any_fields_fit_a_line(pipe: tuple[int, int], fields: dict[str, object]) -> None:
    Log(pipe[1]).info("m" * 9000, **fields)
    line = os.read(pipe[0], 1 << 20)
    assert len(line) <= LINE_LIMIT
    assert json.loads(line)["truncated"] is True


def test_terminal_gets_no_control_characters(pipe: tuple[int, int]) -> None:
    Log(pipe[1], style="console").info("a\x1b[2J\r\n", field="b\u202e\x07")
    line = os.read(pipe[0], 10_000).decode()
    assert line.count("\n") == 1
    assert not set("\r\x07\u202e") & set(line)
    assert "\x1b[2J" not in line


def test_flood_of_one_complaint_is_counted_and_others_pass(pipe: tuple[int, int]) -> None:
    now = [0.0]
    log = Log(pipe[1], clock=lambda: now[0])
    for _ in range(BURST + 90):
        log.error("downstream is gone")
    log.error("something else")
    assert [entry["message"] for entry in read(pipe[0])].count("downstream is gone") == BURST
    now[0] += CALM
    log.error("downstream is gone")
    log.error("downstream is gone")
    assert [entry.get("repeated") for entry in read(pipe[0])] == [90]


def test_what_libraries_log_is_told_without_what_a_sender_wrote(
    pipe: tuple[int, int], restored: None
) -> None:
    adopt(Log(pipe[1]))
    try:
        raise ValueError("MSH|^~\\&|DOE^JANE")
    except ValueError:
        logging.getLogger("asyncio").exception("Exception in callback f(b'DOE^JANE')\nDOE %s", "J")
    text = os.read(pipe[0], 10_000).decode()
    assert "DOE" not in text
    entry = json.loads(text)
    assert (entry["message"], entry["logger"]) == ("Exception in callback f", "asyncio")
    assert (entry["exception"], entry["place"][:13]) == ("ValueError", "test_logs.py:")


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_daemon_whose_log_reader_leaves_goes_on(start: Callable[..., Any]) -> None:
    daemon = start(into="head -n 1 > {log}").until_ready()
    for workers in (3, 4, 5):
        daemon.send(signal.SIGTTIN)
        daemon.until(lambda workers=workers: len(daemon.pids()) == workers)
    daemon.send(signal.SIGTERM)
    assert daemon.ended() == 0
    assert len(daemon.log.read_text().splitlines()) == 1


def test_daemon_whose_log_nobody_reads_goes_on(start: Callable[..., Any]) -> None:
    daemon = start(into="head -n 1 > {log}; sleep 60", chatty=True).until_ready()
    for _ in range(50):
        daemon.ask()
    assert daemon.metric("fi_fhir_log_lines_dropped_total") > 0
    daemon.send(signal.SIGTERM)
    assert daemon.ended() == 0
