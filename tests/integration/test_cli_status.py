"""What an operator sees of a running daemon."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fifhir.cli.status import sparkline


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, waits: Callable[..., None]) -> Iterator[str]:
    """Where the operations port of a daemon is."""
    log = tmp_path_factory.mktemp("status") / "log"
    words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "2"]
    with log.open("wb") as out:
        daemon = subprocess.Popen([sys.executable, "-m", "fifhir", *words], stdout=out, stderr=out)
    try:
        waits(lambda: b'"ready"' in log.read_bytes(), seconds=30)
        found = re.search(rb'"operations":"([^"]+)"', log.read_bytes())
        assert found
        yield found[1].decode()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
    finally:
        daemon.kill()
        daemon.wait()


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fifhir", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_piped_it_is_json(url: str) -> None:
    found = json.loads(run("status", "--url", url).stdout)
    assert {each["state"] for each in found["workers"]} == {"ready"}
    assert found["routes"][0]["route"] == "all_events"
    assert (found["dlq_size"], found["breakers"]) == (0, [])


def test_at_a_terminal_it_is_tables(url: str, tmp_path: Path) -> None:
    for command in (["status"], ["top", "--seconds", "1"]):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "fifhir", *command, "--url", url],
            stdout=theirs,
            env=os.environ | {"COLUMNS": "100", "TERM": "xterm"},
        ) as process:
            os.close(theirs)
            said = b""
            try:
                while piece := os.read(ours, 65536):
                    said += piece
            except OSError:
                pass  # the terminal's other end is closed
            os.close(ours)
        assert process.returncode == 0
        for word in (b"worker", b"ready", b"all_events", b"dead letters"):
            assert word in said, command


def test_no_daemon_is_told_without_a_traceback() -> None:
    found = run("status", "--url", "http://127.0.0.1:1")
    assert (found.returncode, "no daemon answers" in found.stderr) == (1, True)
    assert "Traceback" not in found.stderr


def test_the_largest_value_of_a_sparkline_is_a_full_bar() -> None:
    assert sparkline([0, 50, 100]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"
