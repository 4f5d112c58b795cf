"""Several listeners for MLLP at once, each with its own source, answers, trouble and peers."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.process import pki

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|%d|P|2.5\rPID|1||9^^^B^MR||TEAPOT\rPV1|1|I\r"
LOGGED = "name: w\nroutes: [{name: all, actions: [{type: log}]}]\n"
FAILING = """\
name: w
routes:
  - name: gone
    actions: [{type: webhook, url: "http://127.0.0.1:1/in", retry_max: 0}]
"""


def listen(serve: Serve, tmp_path: Path, workflow: str, *listeners: str, **more: str) -> list[int]:
    """The ports of these listeners, in their order, of a daemon with two workers."""
    (tmp_path / "workflow.yaml").write_text(workflow)
    (tmp_path / "settings.yaml").write_text(
        "mllp:\n  enabled: true\n  listeners:\n"
        + "".join(f"    - {{port: 0, {each}}}\n" for each in listeners)
    )
    daemon = serve(
        *("--workers", "2", "--config", str(tmp_path / "settings.yaml")),
        *("--workflow", str(tmp_path / "workflow.yaml")),
        **more,
    )
    names = daemon.entries("ready")[0]["mllp"].split(", ")
    return [int(name.rsplit(":", 1)[1]) for name in names]


def said(port: int, number: int = 1, context: ssl.SSLContext | None = None) -> bytes:
    """What a message is answered; nothing if the connection ends without an answer."""
    answer = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        peer = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        with peer:
            peer.sendall(b"\x0b" + ADMIT % number + b"\x1c\r")
            while not answer.endswith(b"\x1c\r") and (chunk := peer.recv(65536)):
                answer += chunk
    return answer


def test_each_listener_has_a_source_and_answers_of_its_own(serve: Serve, tmp_path: Path) -> None:
    first, second, third = listen(
        *(serve, tmp_path, LOGGED.replace("log}", 'log, message: "from {{.source}}"}')),
        "source: lab",
        "source: ward, ack: enhanced",
        "source: desk, application: GATE, facility: WEST",
    )
    told = [said(port, number) for number, port in enumerate((first, second, third), 1)]
    assert b"MSA|AA|1\r" in told[0]
    assert b"MSA|CA|2\r" in told[1]
    assert told[2].startswith(b"\x0bMSH|^~\\&|GATE|WEST|A|B|")
    log = (tmp_path / "log0").read_text()
    assert [f'"from {name}"' in log for name in ("lab", "ward", "desk")] == [True] * 3


def test_own_trouble_is_ar_where_that_is_asked_for_and_silence_elsewhere(
    serve: Serve, tmp_path: Path
) -> None:
    """Nothing may be kept and the destination is gone: nobody is promised anything."""
    silent, speaking, enhanced = listen(
        *(serve, tmp_path, FAILING),
        "on_transient: close",
        "on_transient: AR",
        "on_transient: AR, ack: enhanced",
        FI_FHIR_WORKFLOW_DLQ_ENABLED="false",
    )
    assert said(silent) == b""
    refusal = said(speaking, 2)
    assert b"MSA|AR|2|" in refusal
    assert b"|207^" in refusal
    assert b"TEAPOT" not in refusal
    assert b"MSA|CR|3|" in said(enhanced, 3)
    # Its connection stays: the same sender tries again on it.
    with socket.create_connection(("127.0.0.1", speaking), timeout=30) as peer:
        for number in (4, 5):
            peer.sendall(b"\x0b" + ADMIT % number + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                answer += peer.recv(65536)
            assert b"MSA|AR|%d|" % number in answer


def test_each_listener_knows_its_own_peers(serve: Serve, files: Path, tmp_path: Path) -> None:
    pair = f"tls_cert_file: {files}/server.pem, tls_key_file: {files}/server.key"
    asking = f"{pair}, tls_client_ca_file: {files}/ca.pem"
    plain, lab, ward = listen(
        *(serve, tmp_path, LOGGED),
        "source: plain",
        f"source: lab, {asking}, tls_identities: ['{pki.IDENTITY}']",
        f"source: ward, {asking}, tls_identities: ['{pki.pin(files, 'ward')}']",
    )

    def context(name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(files / "ca.pem"))
        made.load_cert_chain(files / f"{name}.pem", files / f"{name}.key")
        return made

    assert b"MSA|AA|1\r" in said(plain)
    assert b"MSA|AA|2\r" in said(lab, 2, context("lab"))
    assert b"MSA|AA|3\r" in said(ward, 3, context("ward"))
    assert [said(lab, 4, context("ward")), said(ward, 4, context("lab"))] == [b"", b""]
    assert said(lab, 5) == b""
