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

from fifhir.cli.watching import duration, quantile, sparkline


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


def test_as_json_it_is_what_the_port_says(url: str) -> None:
    found = json.loads(run("status", "--json", "--url", url).stdout)
    assert {each["state"] for each in found["workers"]} == {"ready"}
    assert found["routes"][0]["route"] == "all_events"
    assert (found["dlq_size"], found["breakers"]) == (0, [])


def test_piped_it_is_plain_text(url: str) -> None:
    for words in (["status"], ["top", "--seconds", "1"]):
        said = run(*words, "--url", url).stdout
        assert "\x1b" not in said
        for word in ("worker", "ready", "all_events", "dead letters 0", "p99", "filtered"):
            assert word in said, words
    lines = run("top", "--json", "--seconds", "1", "--url", url).stdout.splitlines()
    assert [len(json.loads(line)["workers"]) for line in lines] == [2] * len(lines)


def test_what_happens_is_seen(url: str) -> None:
    api = json.loads(run("status", "--json", "--url", url).stdout)
    assert api["events_total"] == 0
    assert set(api["stages"]) >= {"parse", "route", "deliver", "total"}
    assert len(api["routes"][0]["buckets"]) == len(api["bucket_seconds"]) + 1


def test_a_quantile_lies_in_its_bucket_as_prometheus_has_it() -> None:
    assert quantile([0, 10, 0], (1.0, 3.0), 0.5) == 2.0
    assert quantile([0, 0, 5], (1.0, 3.0), 0.99) == 3.0
    assert quantile([0, 0, 0], (1.0, 3.0), 0.5) is None
    assert [duration(each) for each in (None, 0.0000254, 0.0312, 2.5)] == [
        "-",
        "25.4 µs",
        "31.2 ms",
        "2.5 s",
    ]


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
