"""Certificates for the tests, made anew by openssl so that none expires in the repository."""

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"
IDENTITY = "urn:example:lab"


def openssl(*arguments: str, where: Path) -> bytes:
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("there is no openssl: TLS is not tried")
    done = subprocess.run(
        [tool, *arguments], cwd=where, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def authority(where: Path, name: str) -> None:
    """NAME.pem and NAME.key are an authority's."""
    openssl(*_new(name), *("-x509", "-days", "2", "-out", f"{name}.pem"), where=where)


def issue(where: Path, name: str, authority: str, extension: str, *, days: int = 2) -> None:
    """NAME.pem and NAME.key are signed by the authority and have the extension."""
    (where / f"{name}.ext").write_text(extension)
    openssl(*_new(name), *("-out", f"{name}.csr"), where=where)
    openssl(
        *("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", str(days)),
        *("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial"),
        *("-extfile", f"{name}.ext"),
        where=where,
    )


def pin(where: Path, name: str) -> str:
    """The pin as an operator would compute it (docs/PRODUCTION-HARDENING.md)."""
    key = openssl("x509", "-in", f"{name}.pem", "-pubkey", "-noout", where=where)
    (where / "public.pem").write_bytes(key)
    der = ("pkey", "-pubin", "-in", "public.pem", "-outform", "DER", "-out", "public.der")
    openssl(*der, where=where)
    told = openssl("dgst", "-sha256", "-r", "public.der", where=where)
    return f"sha256:{told.split()[0].decode()}"


def _new(name: str) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    return ("req", *curve, "-keyout", f"{name}.key", "-subj", f"/CN={name}")
