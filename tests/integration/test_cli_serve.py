"""`fi-fhir serve` and `fi-fhir demo` as a user starts them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

UPDATE = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A08|1|P|2.5\rPID|1||M1^^^A^MR||TEAPOT^HAZEL\r"
COMMAND = [sys.executable, "-m", "fifhir"]


def alone() -> dict[str, str]:
    """An environment with nothing of ours in it but where data goes."""
    return {"XDG_DATA_HOME": os.environ["XDG_DATA_HOME"]}


@contextmanager
def serving(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A daemon on free ports: its process, its URL and the curl line it printed."""
    command = [*COMMAND, "serve", "--port", "0", "--metrics-port", "0", *map(str, words)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=alone(),
    )
    assert process.stderr
    try:
        greeting = process.stderr.readline()
        found = re.fullmatch(r"fi-fhir listens on (http://127\.0\.0\.1:\d+); .*\n", greeting)
        assert found, greeting + process.stderr.read()
        yield process, found[1], process.stderr.readline() + process.stderr.readline()
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def post(url: str, body: bytes, path: str = "/api/v1/workflow") -> dict[str, Any]:
    headers = {"Content-Type": "application/hl7-v2"}
    request = urllib.request.Request(url + path, body, headers)  # noqa: S310 - http, ourselves
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def entries(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What the daemon has logged, once it has been told to stop."""
    process.terminate()
    out, _ = process.communicate(timeout=20)
    return [json.loads(line) for line in out.splitlines()]


def test_an_event_is_logged_by_the_embedded_workflow(root: Path) -> None:
    with serving("--workers", "2") as (process, url, _):
        answer = post(url, (root / "examples" / "adt_a01.hl7").read_bytes())
        assert answer["success"] is True
        assert answer["routesMatched"] == ["all_events"]
        logged = [entry for entry in entries(process) if entry["message"] == "Event processed"]
    (entry,) = logged
    assert (entry["level"], entry["route"], entry["event_type"]) == (
        "info",
        "all_events",
        "patient_admit",
    )
    assert "TEAPOT" not in json.dumps(logged)


def test_the_line_it_prints_posts_a_message() -> None:
    with serving("--workers", "1") as (_, url, line):
        assert url in line
        done = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, check=True, timeout=20, env=os.environ
        )
        assert json.loads(done.stdout)["success"] is True


def test_a_workflow_of_ones_own_runs(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"workflow:\n  config_path: {root / 'examples' / 'workflow.yaml'}\n")
    with serving("--workers", "1", "--config", config) as (_, url, _):
        answer = post(url, (root / "examples" / "adt_a01.hl7").read_bytes())
        assert answer["routesMatched"] == ["admissions"]


def settles_on(url: str, route: str) -> bool:
    """The route answers, many times in a row: the old workers, too, have heard that they go.

    One that goes may take a last connection and leave it without an answer.
    """
    row = 0
    for _ in range(200):
        try:
            row = row + 1 if post(url, UPDATE)["routesMatched"] == [route] else 0
        except HTTPError:
            raise
        except OSError:
            row = 0
        if row == 20:
            return True
        time.sleep(0.01)
    return False


def test_a_reload_takes_the_workflow_as_it_is_now(tmp_path: Path) -> None:
    flow = tmp_path / "w.yaml"
    flow.write_text("name: n\nroutes: [{name: before, actions: [{type: log}]}]\n")
    with serving("--workers", "1", "--workflow", flow) as (process, url, _):
        assert process.stdout
        assert settles_on(url, "before")
        flow.write_text("name: n\nroutes: [{name: after, actions: [{type: log}]}]\n")
        process.send_signal(signal.SIGHUP)
        while json.loads(process.stdout.readline())["message"] != "reloaded":
            pass
        assert settles_on(url, "after")
        flow.write_text("name: n\nroutes: [{name: broken}]\n")
        process.send_signal(signal.SIGHUP)
        while (entry := json.loads(process.stdout.readline()))["message"] != "reload refused":
            pass
        assert entry["finding"] == f"{flow}:2:10: FF104 missing field 'actions'"
        assert settles_on(url, "after")


def test_a_taken_port_is_told_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, "serve", "--port", str(port), "--metrics-port", "0"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=alone(),
        )
    assert done.returncode not in (0, 78)
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_tells_what_became_of_every_message() -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--messages", "300"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"FI_FHIR_NONSENSE": "is not given to the daemon"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts = dict(re.findall(r"^  (\w+) +(\d+)  ", done.stdout, re.MULTILINE))
    events = [name for name in counts if name != "refused"]
    assert {"patient_admit", "patient_update", "lab_result", "order_placed"} <= set(events)
    assert counts["refused"] == "2"
    assert sum(int(counts[name]) for name in events) == 298
    assert len(re.findall(r"^  fi-fhir ", done.stdout, re.MULTILINE)) == 3
    assert "\033" not in done.stdout


@contextmanager
def demonstrating() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that has come to its end and goes on serving, and the URL it tells."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--messages", "20", "--serve"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    try:
        told = next(line for line in process.stdout if line.startswith("Serving on "))
        yield process, told.split()[2]
    finally:
        process.kill()
        process.communicate(timeout=20)


def is_gone(url: str) -> bool:
    """Nothing listens at the URL any more; it may take its time to stop."""
    for _ in range(200):
        try:
            assert post(url, UPDATE)["success"] is True
        except HTTPError:
            raise
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_the_demo_goes_on_serving_until_it_is_interrupted() -> None:
    with demonstrating() as (process, url):
        assert post(url, UPDATE)["success"] is True
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert is_gone(url)


def test_no_daemon_outlives_a_demo_that_was_killed() -> None:
    with demonstrating() as (process, url):
        process.kill()
        process.wait(20)
        assert is_gone(url)


def test_the_demo_may_only_write_its_messages() -> None:
    command = [*COMMAND, "demo", "--print", "--messages", "50"]
    first = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
    again = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
    assert first == again
    assert first.count(b"MSH|") == 49  # one of the two broken ones has no header
