"""What a reload takes, what it refuses, how it is asked for, and that nobody notices it."""

import http.client
import json
import os
import signal
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fifhir.access import new_key

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|1|P|2.5\rPID|1||9\rPV1|1|I\r"
ONE = "name: one\nroutes: [{name: first, actions: [{type: log}]}]\n"
TWO = "name: two\nroutes: [{name: second, actions: [{type: log}]}]\n"
BAD = "name: bad\nroutes: 7\n"


def ask(port: int, path: str, token: str = "") -> int:
    headers = {"Content-Type": "application/hl7-v2", "X-API-Key": token}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("POST", f"/api/v1/{path}", ADMIT, headers)
        return client.getresponse().status


def runs(daemon: "Running", route: str) -> bool:
    """Whether a message goes through this route now."""
    ask(daemon.port, "workflow")
    label = f'workflow_action_duration_seconds_count{{action_type="log",route_name="{route}"}}'
    return daemon.metric(label) > 0


def write(path: Path, text: str) -> None:
    """As an editor does: a new file under the old name."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.rename(path)


def test_a_changed_workflow_is_taken_without_being_asked_for(serve: Serve, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(ONE)
    daemon = serve("--workers", "1", "--workflow", str(workflow))
    assert runs(daemon, "first")
    write(workflow, TWO)
    assert daemon.until_logged("reloaded")["by"] == "changed files"
    daemon.until(lambda: runs(daemon, "second"))


def test_a_config_map_that_turns_its_link_is_taken(serve: Serve, tmp_path: Path) -> None:
    """The kubelet writes a new folder and renames a new ..data over the old one."""
    for name, text in (("..one", ONE), ("..two", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "workflow.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "workflow.yaml").symlink_to("..data/workflow.yaml")
    daemon = serve("--workers", "1", "--workflow", str(tmp_path / "workflow.yaml"))
    (tmp_path / "..fresh").symlink_to("..two")
    (tmp_path / "..fresh").rename(tmp_path / "..data")
    daemon.until_logged("reloaded")
    daemon.until(lambda: runs(daemon, "second"))


def test_a_bad_file_is_told_once_and_the_old_one_runs_on(serve: Serve, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(ONE)
    daemon = serve("--workers", "1", "--workflow", str(workflow))
    before = daemon.pids()
    write(workflow, BAD)
    assert "workflow.yaml:2" in daemon.until_logged("reload refused")["finding"]
    assert daemon.metric("fi_fhir_config_reload_success") == 0
    assert (daemon.pids(), runs(daemon, "first")) == (before, True)
    write(workflow, TWO)
    daemon.until_logged("reloaded")
    daemon.until(lambda: runs(daemon, "second"))
    assert daemon.metric("fi_fhir_config_reload_success") == 1
    assert len(daemon.entries("reload refused")) == 1


def test_who_does_not_want_it_is_not_reloaded_by_a_change(serve: Serve, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(ONE)
    daemon = serve(
        *("--workers", "1", "--workflow", str(workflow)), FI_FHIR_SERVER_RELOAD_ON_CHANGE="false"
    )
    write(workflow, TWO)
    daemon.send(signal.SIGHUP)
    assert daemon.until_logged("reloaded")["by"] == "SIGHUP"
    assert len(daemon.entries("reloading")) == 1


def test_keys_are_rotated_by_a_change_of_their_file(serve: Serve, tmp_path: Path) -> None:
    (old, first), (new, second) = (new_key(name, ["parse"]) for name in ("lab-1", "lab-2"))
    keys = tmp_path / "keys"
    keys.write_text(f"{first}\n")
    daemon = serve("--workers", "1", FI_FHIR_AUTH_API_KEYS_FILE=str(keys))
    assert [ask(daemon.port, "parse", token) for token in (old, new)] == [200, 401]
    write(keys, f"{first}\n{second}\n")
    daemon.until_logged("reloaded")
    daemon.until(lambda: ask(daemon.port, "parse", new) == 200)
    assert ask(daemon.port, "parse", old) == 200
    write(keys, f"{second}\n")
    daemon.until_logged("reloaded", times=2)
    daemon.until(lambda: ask(daemon.port, "parse", old) == 401)
    assert ask(daemon.port, "parse", new) == 200
    entries = daemon.entries("audit")
    assert [entry["keys_added"] for entry in entries] == [["lab-2"], []]
    assert [entry["keys_removed"] for entry in entries] == [[], ["lab-1"]]
    assert old not in daemon.log.read_text()


def audited(folder: Path) -> list[tuple[str, str, dict[str, Any]]]:
    (path,) = folder.glob("**/*.db")
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT actor, action, details FROM audit_log ORDER BY id").fetchall()
    return [(actor, action, json.loads(details)) for actor, action, details in rows]


def test_the_audit_log_says_what_was_reloaded_and_refused(serve: Serve, tmp_path: Path) -> None:
    workflow, store = tmp_path / "workflow.yaml", tmp_path / "data"
    workflow.write_text(ONE)
    daemon = serve("--workers", "2", "--workflow", str(workflow), FI_FHIR_DATA_DIR=str(store))
    write(workflow, BAD)
    daemon.until_logged("reload refused")
    write(workflow, TWO)
    daemon.until_logged("reloaded")
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded", times=2)
    daemon.until(lambda: len(audited(store)) == 3)
    who = os.environ.get("SUDO_USER") or f"uid {os.getuid()}"
    rows = sorted(audited(store), key=lambda row: (row[2]["result"], row[2]["by"]))
    assert [(row[0], row[1]) for row in rows] == [(who, "reload")] * 3
    refused, by_hand, by_change = (details for _, _, details in rows)
    assert (refused["result"], refused["files"]) == ("refused", [str(workflow)])
    assert "workflow.yaml:2" in refused["findings"][0]
    assert (by_hand["by"], by_hand["files"]) == ("SIGHUP", [])
    assert (by_change["by"], by_change["files"]) == ("changed files", [str(workflow)])
    assert len(daemon.entries("audit")) == 3


def test_settings_that_wait_for_a_start_are_told(serve: Serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("observability: {log_level: info}\n")
    daemon = serve("--workers", "1", "--config", str(settings))
    write(settings, "server: {shutdown_timeout: 3s}\n")
    told = daemon.until_logged("this setting changes at the next start only")
    assert told["setting"] == "server.shutdown_timeout"
    assert daemon.metric("fi_fhir_config_reload_success") == 1


def test_the_level_of_the_log_changes_with_a_reload(serve: Serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("observability: {log_level: info}\n")
    daemon = serve("--workers", "1", "--config", str(settings))
    old = daemon.pids()
    assert ask(daemon.port, "workflow") == 200
    daemon.until_logged("Event processed")
    write(settings, "observability: {log_level: error}\n")
    daemon.until(lambda: not any(daemon.alive(pid) for pid in old))
    assert ask(daemon.port, "workflow") == 200
    daemon.until(lambda: daemon.metric("workflow_events_processed_total") == 2)
    assert len(daemon.entries("Event processed")) == 1


# Listeners for MLLP.


def free(count: int) -> list[int]:
    peers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(peer.getsockname()[1]) for peer in peers]
    for peer in peers:
        peer.close()
    return ports


def acknowledged(port: int) -> bool:
    """Whether a message sent there is answered AA."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
            peer.sendall(b"\x0b" + ADMIT + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r") and (chunk := peer.recv(65536)):
                answer += chunk
            return b"MSA|AA|1\r" in answer
    except ConnectionError:
        return False


def listeners(*ports: int) -> str:
    items = "".join(f"\n    - {{port: {port}, source: from_{port}}}" for port in ports)
    return f"mllp:\n  enabled: true\n  listeners:{items}\n"


def test_a_reload_adds_moves_and_removes_listeners(serve: Serve, tmp_path: Path) -> None:
    first, second, third = free(3)
    settings = tmp_path / "settings.yaml"
    settings.write_text(listeners(first, second))
    daemon = serve("--workers", "2", "--config", str(settings))
    assert [acknowledged(port) for port in (first, second, third)] == [True, True, False]
    write(settings, listeners(second, third))
    daemon.until_logged("reloaded")
    daemon.until(lambda: not acknowledged(first))
    assert [acknowledged(port) for port in (second, third)] == [True, True]
    label = 'fi_fhir_mllp_connections{{listener="127.0.0.1:{}"}}'.format
    with socket.create_connection(("127.0.0.1", third), timeout=20):
        daemon.until(lambda: daemon.metric(label(third)) == 1)
    write(settings, "mllp: {enabled: false}\n")
    daemon.until_logged("reloaded", times=2)
    daemon.until(lambda: not acknowledged(second))
    write(settings, listeners(first))
    daemon.until_logged("reloaded", times=3)
    daemon.until(lambda: acknowledged(first))


def test_a_message_begun_on_a_removed_listener_is_answered(serve: Serve, tmp_path: Path) -> None:
    first, second = free(2)
    settings = tmp_path / "settings.yaml"
    settings.write_text(listeners(first))
    daemon = serve("--workers", "1", "--config", str(settings))
    with socket.create_connection(("127.0.0.1", first), timeout=20) as peer:
        frame = b"\x0b" + ADMIT + b"\x1c\r"
        peer.sendall(frame[:30])
        daemon.until(lambda: daemon.metric("fi_fhir_mllp_connections") == 1)
        write(settings, listeners(second))
        daemon.until_logged("reloaded")
        peer.sendall(frame[30:])
        assert b"MSA|AA|1\r" in peer.recv(65536)
    assert acknowledged(second)


def test_a_port_that_is_taken_refuses_the_reload_and_leaves_nothing_open(
    serve: Serve, tmp_path: Path
) -> None:
    first, second = free(2)
    settings = tmp_path / "settings.yaml"
    settings.write_text(listeners(first))
    daemon = serve("--workers", "1", "--config", str(settings))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = int(other.getsockname()[1])
        write(settings, listeners(first, second, taken))
        finding = daemon.until_logged("reload refused")["finding"]
    assert "mllp.listeners[2]" in finding
    assert "already in use" in finding
    assert [acknowledged(port) for port in (first, second)] == [True, False]


@pytest.mark.parametrize("signum", [signal.SIGHUP, None], ids=["hup", "change"])
def test_a_profile_is_read_again(
    serve: Serve, tmp_path: Path, signum: signal.Signals | None
) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "lab.yaml").write_text("source_profile: {id: lab, name: Lab}\n")
    daemon = serve(
        "--workers",
        "1",
        FI_FHIR_PROFILES_PATH=str(profiles),
        FI_FHIR_SERVER_RELOAD_ON_CHANGE=str(signum is None).lower(),
    )
    (profiles / "ward.yaml").write_text("source_profile: {id: ward, name: Ward}\n")
    if signum:
        daemon.send(signum)
    daemon.until_logged("reloaded")
