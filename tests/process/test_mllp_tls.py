"""TLS on a real listener: who comes in, who does not, and how certificates are renewed."""

import contextlib
import hashlib
import signal
import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.process import pki

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|%d|P|2.5\rPID|1||9\rPV1|1|I\r"
PATIENCE = 20


@pytest.fixture
def listen(serve: Serve, files: Path) -> Callable[..., tuple["Running", int]]:
    """A daemon that takes MLLP by TLS, and its port."""

    def start(**settings: str) -> tuple["Running", int]:
        settings = {
            "tls_cert_file": str(files / "server.pem"),
            "tls_key_file": str(files / "server.key"),
            **settings,
        }
        environ = {f"FI_FHIR_MLLP_{name.upper()}": value for name, value in settings.items()}
        daemon = serve(
            *("--workers", "1"), FI_FHIR_MLLP_ENABLED="true", FI_FHIR_MLLP_PORT="0", **environ
        )
        return daemon, int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])

    return start


Listen = Callable[..., tuple["Running", int]]


def client(files: Path, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files / "ca.pem"))
    if name:
        context.load_cert_chain(files / f"{name}.pem", files / f"{name}.key")
    return context


def said(port: int, context: ssl.SSLContext, number: int = 1) -> bytes:
    """What one message is answered; nothing where nobody is let in."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(b"\x0b" + ADMIT % number + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r") and (chunk := sock.recv(65536)):
                answer += chunk
            return answer
    except (ssl.SSLError, ConnectionError):
        return b""


def refused(daemon: "Running", reason: str) -> float:
    name = f'fi_fhir_tls_connections_refused_total{{ingress="mllp",reason="{reason}"}}'
    return daemon.metric(name)


def test_messages_are_answered_through_tls(listen: Listen, files: Path) -> None:
    daemon, port = listen()
    assert b"MSA|AA|1\r" in said(port, client(files))
    context = client(files)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        daemon.until(lambda: daemon.status()["workers"][0]["connections"] == 1)
        sock.sendall(b"".join(b"\x0b" + ADMIT % number + b"\x1c\r" for number in range(100)))
        answers = b""
        while answers.count(b"\x1c\r") < 100:
            answers += sock.recv(65536)
    ids = [line for line in answers.split(b"\r") if line.startswith(b"MSA")]
    assert ids == [b"MSA|AA|%d" % number for number in range(100)]
    daemon.send(signal.SIGTERM)
    assert daemon.ended() == 0


def test_the_last_answers_arrive_before_a_drain_ends_them(listen: Listen, files: Path) -> None:
    daemon, port = listen()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        client(files).wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        frame = b"\x0b" + ADMIT % 7 + b"\x1c\r"
        sock.sendall(frame[:20])
        daemon.until(lambda: daemon.status()["workers"][0]["connections"] == 1)
        daemon.send(signal.SIGTERM)
        daemon.until_logged("stopping")
        sock.sendall(frame[20:])
        assert b"MSA|AA|7\r" in sock.recv(65536)
        assert sock.recv(65536) == b""
    assert daemon.ended() == 0


def test_only_clients_of_the_authority_come_in(listen: Listen, files: Path) -> None:
    daemon, port = listen(tls_client_ca_file=str(files / "ca.pem"))
    assert b"MSA|AA|1\r" in said(port, client(files, "lab"))
    assert said(port, client(files)) == b""
    assert said(port, client(files, "stranger")) == b""
    daemon.until(lambda: refused(daemon, "certificate") == 2)
    assert b"MSA|AA|2\r" in said(port, client(files, "ward"), 2)


@pytest.mark.parametrize("by", ["uri", "pin"])
def test_only_listed_clients_come_in(listen: Listen, files: Path, by: str) -> None:
    identity = pki.IDENTITY if by == "uri" else pki.pin(files, "lab")
    authority = str(files / "ca.pem")
    daemon, port = listen(tls_client_ca_file=authority, tls_identities=f"['{identity}']")
    assert b"MSA|AA|1\r" in said(port, client(files, "lab"))
    assert said(port, client(files, "ward")) == b""
    daemon.until(lambda: refused(daemon, "identity") == 1)
    detail = daemon.entries("tls connection refused")[0]["detail"]
    assert detail == f"{pki.pin(files, 'ward')}, urn:example:ward"
    assert daemon.metric('fi_fhir_mllp_messages_total{outcome="accepted"}') == 1


def test_an_old_version_is_refused(listen: Listen, files: Path) -> None:
    daemon, port = listen()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(files / "ca.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # Python has them only for tests like this
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    assert said(port, old) == b""
    daemon.until(lambda: refused(daemon, "version") == 1)


@pytest.mark.parametrize("greeting", [b"\x0bMSH|^~\\&|A|B\r\x1c\r", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_speaks_no_tls_is_refused_at_once(listen: Listen, greeting: bytes) -> None:
    daemon, port = listen()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as sock:
        sock.sendall(greeting)
        with contextlib.suppress(ConnectionError):  # before the end an alert may come, or not
            while sock.recv(1000):
                pass
    daemon.until(lambda: refused(daemon, "plain") == 1)
    assert daemon.entries("tls connection refused")[0]["reason"] == "plain"


def test_who_stays_silent_or_only_knocks_is_let_go(listen: Listen, files: Path) -> None:
    daemon, port = listen(tls_handshake_timeout="300ms")
    socket.create_connection(("127.0.0.1", port)).close()
    daemon.until(lambda: refused(daemon, "gone") == 1)
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as sock:
        assert sock.recv(1000) == b""
    assert refused(daemon, "timeout") == 1
    assert [entry["reason"] for entry in daemon.entries("tls connection refused")] == ["timeout"]
    daemon.until(lambda: daemon.metric("fi_fhir_mllp_connections") == 0)
    assert b"MSA|AA|1\r" in said(port, client(files))


def test_tls_on_a_plain_port_is_refused_at_once(serve: Serve, files: Path) -> None:
    daemon = serve("--workers", "1", FI_FHIR_MLLP_ENABLED="true", FI_FHIR_MLLP_PORT="0")
    port = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
    assert said(port, client(files)) == b""
    assert daemon.metric('fi_fhir_mllp_frames_refused_total{reason="tls"}') == 1


def test_certificates_are_renewed_by_a_reload(listen: Listen, files: Path, tmp_path: Path) -> None:
    for suffix in ("pem", "key"):
        (tmp_path / f"s.{suffix}").write_bytes((files / f"server.{suffix}").read_bytes())
    daemon, port = listen(
        tls_cert_file=str(tmp_path / "s.pem"), tls_key_file=str(tmp_path / "s.key")
    )

    def shown() -> str:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
            client(files).wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()

    before = shown()
    (tmp_path / "s.key").write_bytes((files / "renewed.key").read_bytes())
    daemon.send(signal.SIGHUP)
    finding = daemon.until_logged("reload refused")["finding"]
    place = "mllp.tls_cert_file: cannot use the certificate or its key: "
    assert finding == f"{place}the key is not the certificate's"
    assert shown() == before
    (tmp_path / "s.pem").write_bytes((files / "renewed.pem").read_bytes())
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: shown() != before)
    soon = daemon.until_logged("tls certificate expires", times=2)
    assert daemon.metric("fi_fhir_tls_certificate_expires_seconds") > 1_700_000_000
    assert soon["listener"].startswith("127.0.0.1:")
