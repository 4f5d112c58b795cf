"""HTTPS on a real daemon: who comes in and by what, and how a certificate is renewed."""

import http.client
import json
import signal
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fifhir.access import new_key
from tests.process import pki

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|1|P|2.5\rPID|1||9\rPV1|1|I\r"
RAW = {"Content-Type": "application/hl7-v2"}
PATIENCE = 20


@pytest.fixture
def listen(serve: Serve, files: Path) -> Callable[..., "Running"]:
    """A daemon that takes HTTP by TLS only."""

    def start(*options: str, **settings: str) -> "Running":
        settings = {
            "server_tls_cert_file": str(files / "server.pem"),
            "server_tls_key_file": str(files / "server.key"),
            **settings,
        }
        environ = {f"FI_FHIR_{name.upper()}": value for name, value in settings.items()}
        return serve("--workers", "1", *options, **environ)

    return start


Listen = Callable[..., "Running"]


def context(files: Path, name: str = "") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(files / "ca.pem"))
    if name:
        made.load_cert_chain(files / f"{name}.pem", files / f"{name}.key")
    return made


@contextmanager
def peer(daemon: "Running", files: Path, name: str = "") -> Iterator[http.client.HTTPSConnection]:
    port, trust = daemon.port, context(files, name)
    client = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=trust)
    try:
        yield client
    finally:
        client.close()


def ask(
    client: http.client.HTTPConnection, /, path: str = "/api/v1/parse", **headers: str
) -> tuple[int, Any]:
    method, body = ("POST", ADMIT) if path.startswith("/api") else ("GET", None)
    client.request(method, path, body, RAW | headers)
    with client.getresponse() as answer:
        return answer.status, json.loads(answer.read())


def once(daemon: "Running", files: Path, name: str = "", **headers: str) -> tuple[int, Any]:
    with peer(daemon, files, name) as client:
        return ask(client, **headers)


def comes_in(daemon: "Running", files: Path, name: str) -> bool:
    """Whether a client with this certificate is answered at all."""
    try:
        once(daemon, files, name)
    except (OSError, http.client.HTTPException):
        return False
    return True


def test_requests_are_answered_through_tls(listen: Listen, files: Path) -> None:
    daemon = listen()
    assert daemon.entries("ready")[0]["address"].startswith("https://")
    with peer(daemon, files) as client:
        assert [ask(client)[0] for _ in range(50)] == [200] * 50
        assert ask(client, "/ready")[0] == 200
        daemon.send(signal.SIGTERM)
        assert daemon.ended() == 0


def test_large_bodies_and_pipelined_requests_pass(listen: Listen, files: Path) -> None:
    daemon = listen()
    one = (
        b"POST /api/v1/parse HTTP/1.1\r\nHost: h\r\nContent-Type: application/hl7-v2\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(ADMIT), ADMIT)
    )
    with (
        socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as plain,
        context(files).wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(one * 200)
        told = b""
        while told.count(b"HTTP/1.1 200 ") < 200:
            told += sock.recv(1 << 16)
    with peer(daemon, files) as client:
        client.request("POST", "/api/v1/parse", ADMIT * 20_000, RAW)
        answer = client.getresponse()
        assert (answer.status, answer.read().count(b'"type":"patient_admit"')) == (200, 20_000)


def test_a_refusal_reaches_a_client_that_still_sends(listen: Listen, files: Path) -> None:
    """TLS cannot end one direction only; the answer must not be lost by a reset."""
    daemon = listen(server_max_body_bytes="1024")
    with peer(daemon, files) as client:
        client.putrequest("POST", "/api/v1/parse")
        client.putheader("Content-Length", str(1 << 20))
        client.endheaders(b"x" * 300_000)
        assert client.getresponse().status == 413


def refused(daemon: "Running", reason: str) -> float:
    name = f'fi_fhir_tls_connections_refused_total{{ingress="http",reason="{reason}"}}'
    return daemon.metric(name)


def test_who_speaks_no_tls_or_an_old_one_is_refused_and_counted(
    listen: Listen, files: Path
) -> None:
    daemon = listen()
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
    daemon.until(lambda: refused(daemon, "plain") == 1)
    assert daemon.entries("tls connection refused")[0]["reason"] == "plain"
    old = context(files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as plain,
        pytest.raises(OSError, match=r"(?i)version|protocol|alert"),
    ):
        old.wrap_socket(plain, server_hostname="localhost")
    daemon.until(lambda: refused(daemon, "version") == 1)


def test_who_stays_silent_is_let_go_and_holds_nobody_up(listen: Listen, files: Path) -> None:
    daemon = listen(server_tls_handshake_timeout="500ms", server_max_connections="4")
    silent = [socket.create_connection(("127.0.0.1", daemon.port), timeout=20) for _ in range(4)]
    for client in silent:
        with client:
            assert client.recv(100) == b""
    daemon.until(lambda: refused(daemon, "timeout") == 4)
    daemon.until(lambda: daemon.metric("fi_fhir_connections") == 0)
    assert once(daemon, files)[0] == 200


def test_whom_the_authority_signed_may_ask_anything_and_nobody_else_comes_in(
    listen: Listen, files: Path
) -> None:
    daemon = listen("--host", "0.0.0.0", server_tls_client_ca_file=str(files / "ca.pem"))  # noqa: S104
    status, answer = once(daemon, files, "lab")
    assert (status, answer["events"][0]["source"]) == (200, pki.IDENTITY)
    assert not comes_in(daemon, files, "")
    assert not comes_in(daemon, files, "stranger")


def test_a_certificate_is_a_key_with_a_name_and_scopes(listen: Listen, files: Path) -> None:
    token, line = new_key("cron", ["parse"])
    lines = f"lab_7:parse:cert:{pki.IDENTITY}\nward:workflow:cert:{pki.pin(files, 'ward')}\n{line}"
    daemon = listen(
        server_tls_client_ca_file=str(files / "ca.pem"),
        server_tls_client_auth="optional",
        auth_api_keys=lines,
    )
    status, answer = once(daemon, files, "lab")
    assert (status, answer["events"][0]["source"]) == (200, "lab_7")
    named = once(daemon, files, "lab", **{"X-Source": "imaging"})
    assert named[1]["events"][0]["source"] == "imaging"
    assert once(daemon, files, "ward")[0] == 403
    assert once(daemon, files, "ward", path="/api/v1/workflow")[0] == 200
    assert once(daemon, files, path="/health")[0] == 200
    assert once(daemon, files)[0] == 401
    assert once(daemon, files, **{"X-API-Key": token})[1]["events"][0]["source"] == "cron"
    assert not comes_in(daemon, files, "stranger")


def test_a_certificate_that_is_not_listed_is_a_strangers(listen: Listen, files: Path) -> None:
    daemon = listen(
        server_tls_client_ca_file=str(files / "ca.pem"),
        server_tls_identities=f"['{pki.IDENTITY}']",
    )
    assert once(daemon, files, "lab")[0] == 200
    assert not comes_in(daemon, files, "ward")
    daemon.until(lambda: refused(daemon, "identity") == 1)


def test_certificates_are_renewed_by_a_reload(listen: Listen, files: Path, tmp_path: Path) -> None:
    for suffix in ("pem", "key"):
        (tmp_path / f"s.{suffix}").write_bytes((files / f"server.{suffix}").read_bytes())
    daemon = listen(
        server_tls_cert_file=str(tmp_path / "s.pem"), server_tls_key_file=str(tmp_path / "s.key")
    )

    def shown() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as plain,
            context(files).wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            return sock.getpeercert(binary_form=True) or b""

    before = shown()
    for suffix in ("pem", "key"):
        (tmp_path / f"s.{suffix}").write_bytes((files / f"renewed.{suffix}").read_bytes())
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: shown() != before)
    assert daemon.metric("fi_fhir_tls_certificate_expires_seconds") > 1_700_000_000


def test_a_certificate_that_cannot_be_used_is_told_before_the_start(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "s.pem").write_text("no certificate")
    path = str(tmp_path / "s.pem")
    daemon = serve(wait=False, FI_FHIR_SERVER_TLS_CERT_FILE=path, FI_FHIR_SERVER_TLS_KEY_FILE=path)
    assert daemon.ended() == 78
    assert "server.tls_cert_file: cannot use the certificate or its key" in daemon.log.read_text()
