"""A webhook over TLS: whom it trusts, what it shows, and that nothing is sent to anybody else."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivering import delivered, faults, refused
from tests.process.pki import NAMES, authority, issue
from tests.web import Server


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("pki")
    for name in ("ca", "other"):
        authority(where, name)
    issue(where, "server", "ca", NAMES)
    issue(where, "elsewhere", "ca", "subjectAltName=DNS:elsewhere.example")
    issue(where, "client", "ca", "extendedKeyUsage=clientAuth")
    return where


def context(pki: Path, name: str = "server", *, clients: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pki / f"{name}.pem", pki / f"{name}.key")
    if clients:
        made.load_verify_locations(pki / "ca.pem")
        made.verify_mode = ssl.CERT_REQUIRED
    return made


@pytest.fixture
def server(pki: Path) -> Iterator[Server]:
    made = Server(context(pki))
    yield made
    made.stop()


@pytest.fixture
def choosy(pki: Path) -> Iterator[Server]:
    """Asks for a certificate."""
    made = Server(context(pki, clients=True))
    yield made
    made.stop()


def action(server: Server, **changed: Any) -> dict[str, Any]:
    return {"type": "webhook", "url": f"{server.url}/in", **changed}


def test_our_own_authority_is_trusted_when_it_is_named(server: Server, pki: Path) -> None:
    delivered(action(server, ca_file=str(pki / "ca.pem")))
    assert [path for path, _, _ in server.seen] == ["/in"]


@pytest.mark.parametrize("authority", ["", "other.pem"])
def test_a_stranger_gets_nothing(server: Server, pki: Path, authority: str) -> None:
    named = {"ca_file": str(pki / authority)} if authority else {}
    fault = refused(action(server, **named))
    assert (fault.kind, fault.retryable) == ("tls", False)
    assert server.seen == []


def test_a_certificate_for_another_name_is_a_strangers(pki: Path) -> None:
    server = Server(context(pki, "elsewhere"))
    try:
        assert refused(action(server, ca_file=str(pki / "ca.pem"))).kind == "tls"
        assert server.seen == []
    finally:
        server.stop()


def test_any_certificate_will_do_only_if_that_is_asked_for(server: Server) -> None:
    delivered(action(server, tls_insecure=True))
    assert len(server.seen) == 1


def test_our_certificate_is_shown_to_who_asks(choosy: Server, pki: Path) -> None:
    ours = {"cert_file": str(pki / "client.pem"), "key_file": str(pki / "client.key")}
    delivered(action(choosy, ca_file=str(pki / "ca.pem"), **ours))
    assert len(choosy.seen) == 1


def test_without_a_certificate_who_asks_gets_nothing(choosy: Server, pki: Path) -> None:
    refused(action(choosy, ca_file=str(pki / "ca.pem")))
    assert choosy.seen == []


def test_the_token_is_had_over_the_same_trust(server: Server, pki: Path) -> None:
    server.answer = lambda path, body: (200, {}, json.dumps({"access_token": "t"}).encode())
    grant = {"token_url": f"{server.url}/token", "client_id": "me", "client_secret": "hush"}
    delivered(action(server, ca_file=str(pki / "ca.pem"), **grant))
    assert [path for path, _, _ in server.seen] == ["/token", "/in"]
    assert refused(action(server, **grant)).kind == "tls"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cert_file": "c.pem"}, "go together"),
        ({"ca_file": "/nowhere.pem"}, "cannot use the authorities"),
        ({"ca_file": "x.pem", "tls_insecure": True}, "of no use"),
    ],
)
def test_files_that_do_not_do_are_told_at_load(change: dict[str, Any], text: str) -> None:
    assert text in faults({"type": "webhook", "url": "https://here.example/", **change})
