"""What TLS is offered at all, whatever the OpenSSL underneath would do."""

import ssl
from pathlib import Path

import pytest

from fifhir.config import Server
from fifhir.tls import TlsKeys, calling
from tests.process import pki


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("tls")
    pki.authority(where, "ca")
    pki.issue(where, "server", "ca", pki.NAMES)
    return where


@pytest.fixture(params=["listening", "calling"])
def context(files: Path, request: pytest.FixtureRequest) -> ssl.SSLContext:
    if request.param == "calling":
        return calling(str(files / "ca.pem"), "", "")
    door = keys(files).door()
    assert door
    return door.context


def keys(files: Path, **more: str) -> Server:
    pair = {"tls_cert_file": str(files / "server.pem"), "tls_key_file": str(files / "server.key")}
    return Server(**pair, **more)  # type: ignore[arg-type]


def test_only_versions_and_ciphers_with_forward_secrecy_are_spoken(
    context: ssl.SSLContext,
) -> None:
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    offered = context.get_ciphers()
    assert {cipher["protocol"] for cipher in offered} == {"TLSv1.2", "TLSv1.3"}
    for cipher in offered:
        assert cipher["aead"]
        if cipher["protocol"] == "TLSv1.2":
            assert cipher["kea"] == "kx-ecdhe"
        assert cipher["strength_bits"] >= 128


def test_there_is_no_compression_and_no_renegotiation(context: ssl.SSLContext) -> None:
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_who_we_call_is_always_verified(files: Path) -> None:
    context = calling(str(files / "ca.pem"), "", "")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_who_must_have_a_certificate_cannot_resume_without_it(files: Path) -> None:
    door = keys(files, tls_client_ca_file=str(files / "ca.pem")).door()
    assert door
    assert door.context.verify_mode == ssl.CERT_REQUIRED
    assert door.context.options & ssl.OP_NO_TICKET
    assert door.context.num_tickets == 0


def test_without_a_certificate_there_is_no_tls() -> None:
    assert TlsKeys().door() is None
