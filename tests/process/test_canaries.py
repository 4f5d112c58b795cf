"""Values that nobody would write by chance go through every fault, and come out nowhere."""

import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fifhir.access import new_key
from tests.web import Server

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

PATIENT = {
    "name": "QUIXOTECANARY",
    "mrn": "MRN77CANARY01",
    "born": "19610203",
    "ssn": "987-65-4329",
    "street": "13CANARYLANE",
    "phone": "(555)5550137",
}
MESSAGE = (
    "MSH|^~\\&|A|B|C|D|20260302||ADT^A01|{}|P|2.5.1\r"
    "PID|1||{mrn}^^^B^MR||{name}^HAZEL||{born}|F|||{street}^^TOWN||{phone}||||||{ssn}\r"
    "PV1|1|I|WARD1^101^A\r"
)
SECRETS = {
    "token": "tokenCANARY8841",
    "client": "clientCANARY8842",
    "password": "passwordCANARY8843",
    "sealing": base64.b64encode(b"sealingCANARY8844".ljust(32, b"x")).decode(),
}
WORKFLOW = """\
name: w
routes:
  - name: refused
    actions:
      - {{type: webhook, url: "{url}/refused", token: "${{file:{house}/token}}", retry_max: 0}}
  - name: nowhere
    actions:
      - {{type: webhook, url: "http://127.0.0.1:1/{{{{.patient.family_name}}}}", retry_max: 0}}
  - name: unauthorised
    actions:
      - type: webhook
        url: "{url}/x"
        token_url: "{url}/refused"
        client_id: fi-fhir
        client_secret: "${{file:{house}/client}}"
        retry_max: 0
  - name: condition
    filter: {{condition: 'int(event.patient.family_name) > 7'}}
    actions: [{{type: log}}]
  - name: template
    actions: [{{type: log, message: "{{{{index .patient.family_name 99}}}}"}}]
  - name: changed
    transform: [{{rename: {{from: patient.family_name, to: patient.mrn}}}}]
    actions: [{{type: log}}]
  - name: written
    actions: [{{type: file, path: "{house}/there-is-none/out"}}]
"""


def post(daemon: "Running", path: str, token: str, body: bytes, kind: str) -> bytes:
    """The answer, unless it is what was asked for: an event."""
    headers = {"Content-Type": kind, "X-API-Key": token, "X-Source": "lab"}
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)) as peer:
        peer.request("POST", path, body, headers)
        answer = peer.getresponse()
        told = answer.read() + str(answer.headers).encode()
        return told if answer.status != 200 or "workflow" in path else b""


def frame(port: int, body: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        peer.sendall(b"\x0b" + body.encode() + b"\x1c\r")
        peer.settimeout(30)
        with suppress(ConnectionError):
            return peer.recv(65536)
    return b""


def command(environ: dict[str, str], *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "fifhir", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        timeout=50,
        check=False,
    )
    return done.stdout + done.stderr


def titles(daemon: "Running") -> bytes:
    pids = [daemon.pid, *daemon.children()]
    return b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)


@pytest.mark.timeout(180)
def test_neither_patients_nor_secrets_come_out_anywhere(serve: Serve, tmp_path: Path) -> None:
    """Over HTTP, MLLP, failing actions, a crash, a reload, and every command that lists things."""
    key, line = new_key("lab", ["parse", "workflow", "replay"])
    for name in ("token", "client"):
        (tmp_path / name).write_text(SECRETS[name])
    web = Server()
    web.answer = lambda path, body: (500, {}, b"you sent: " + body)
    try:
        workflow = tmp_path / "workflow.yaml"
        workflow.write_text(WORKFLOW.format(url=web.url, house=tmp_path))
        environ = {
            "FI_FHIR_DATA_DIR": str(tmp_path / "data"),
            "FI_FHIR_WORKFLOW_CONFIG_PATH": str(workflow),
            "FI_FHIR_AUTH_API_KEYS": line,
            "FI_FHIR_STORE_ENCRYPTION_KEYS": f"2026:{SECRETS['sealing']}",
            "FI_FHIR_DATABASE_PASSWORD": SECRETS["password"],
            "FI_FHIR_MLLP_ENABLED": "true",
            "FI_FHIR_MLLP_PORT": "0",
            "FI_FHIR_LOG_LEVEL": "debug",
        }
        daemon = serve("--workers", "1", **environ)
        framed = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
        whole = MESSAGE.format(1, **PATIENT)
        broken = [
            whole,
            whole.replace("MSH|^~", "MSH|^^"),
            whole.replace("|2.5.1\r", "|2.5.1|||||||99BAD\r"),
            whole[whole.index("PID") :],
            whole.replace("PID|", "PI|"),
            whole.replace(PATIENT["born"], PATIENT["name"]),
            whole + whole.replace("ADT^A01", ""),
        ]
        told = b""
        for body in broken:
            for path in ("/api/v1/workflow", "/api/v1/parse"):
                told += post(daemon, path, key, body.encode(), "application/hl7-v2")
                told += post(daemon, path, key, body.encode(), "application/json")
            told += frame(framed, body).replace(b"MSA", b"")
        told += post(daemon, "/api/v1/workflow", SECRETS["token"], whole.encode(), "text/plain")
        told += post(
            daemon, "/api/v1/workflow/replay", key, b'{"dryRun":false}', "application/json"
        )
        os.kill(daemon.pids()[0], signal.SIGABRT)
        daemon.until_logged("process died")
        daemon.until(lambda: len(daemon.pids()) == 1)
        workflow.write_text(workflow.read_text() + "  - name: none\n    x: 1\n")
        daemon.until_logged("reload refused")
        told += daemon.get("/metrics").encode() + daemon.get("/status").encode()
        told += titles(daemon)
        for words in ("dlq list", "dlq stats", "config show", "config env", "audit", "status"):
            told += command(environ, *words.split())
        told += command(environ, "config", "show", "-o", "json")
        daemon.until(lambda: daemon.metric("workflow_dlq_size") > 3)
    finally:
        web.stop()
    told += daemon.log.read_bytes()
    assert any(PATIENT["name"].encode() in body for _, _, body in web.seen)
    for route in ("refused", "nowhere", "unauthorised", "template", "written"):
        assert f'"route":"{route}"'.encode() in told
    for canary in (*PATIENT.values(), *SECRETS.values(), key):
        assert canary.encode() not in told, canary
