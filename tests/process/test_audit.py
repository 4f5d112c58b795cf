"""Who did what: replays, looks, purges, reloads are told by name, and hold no patient's data."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fifhir.access import new_key

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|1|P|2.5\rPID|1||9^^^B^MR||KETTLE\rPV1|1|I\r"
WORKFLOW = """\
name: w
routes:
  - name: gone
    actions: [{type: webhook, url: "http://127.0.0.1:1/in", retry_max: 0}]
"""


def command(house: Path, *arguments: str) -> list[dict[str, Any]]:
    """The lines of JSON a command prints."""
    environ = {**os.environ, "FI_FHIR_DATA_DIR": str(house), "SUDO_USER": "night_shift"}
    environ["FI_FHIR_WORKFLOW_CONFIG_PATH"] = str(house / "workflow.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "fifhir", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]


def ask(daemon: "Running", path: str, token: str, body: bytes, kind: str) -> int:
    headers = {"Content-Type": kind, "X-API-Key": token}
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)) as peer:
        peer.request("POST", f"/api/v1/workflow{path}", body, headers)
        return peer.getresponse().status


def test_who_replayed_looked_purged_and_reloaded_is_told(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text(WORKFLOW)
    token, line = new_key("cron_7", ["workflow", "replay"])
    daemon = serve(
        *("--workers", "1", "--workflow", str(tmp_path / "workflow.yaml")),
        FI_FHIR_DATA_DIR=str(tmp_path),
        FI_FHIR_AUTH_API_KEYS=line,
    )
    assert ask(daemon, "", token, ADMIT, "application/hl7-v2") == 202
    assert ask(daemon, "/replay", token, b'{"dryRun": false}', "application/json") == 200
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: len(command(tmp_path, "audit")) == 2)
    (letter,) = command(tmp_path, "dlq", "list")
    command(tmp_path, "dlq", "show", letter["id"])
    command(tmp_path, "dlq", "show", letter["id"], "--payload")
    command(tmp_path, "workflow", "replay", "--dlq", "--since", "24h")
    command(tmp_path, "dlq", "purge", "--route", "gone", "--yes")
    deeds = command(tmp_path, "audit", "--since", "1h")
    assert [(deed["who"], deed["what"]) for deed in deeds[:3]] == [
        ("night_shift", "purge"),
        ("night_shift", "replay"),
        ("night_shift", "dlq show"),
    ]
    told = {deed["what"]: deed["who"] for deed in deeds[3:]}
    assert told["dlq replay"] == "api:cron_7"
    assert set(told) == {"dlq replay", "reload"}
    assert (deeds[0]["route"], deeds[2]["id"]) == ("gone", letter["id"])
    assert len(command(tmp_path, "audit", "--limit", "2")) == 2
    assert {entry["action"] for entry in daemon.entries("audit")} == {"dlq replay", "reload"}
    assert "KETTLE" not in json.dumps(deeds) + daemon.log.read_text()
