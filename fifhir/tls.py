"""TLS as we speak it: version 1.2 or later, ciphers with forward secrecy, and who the peer is.

A peer is known by its certificate, which the client CA must have signed, and where identities are
listed by one of them: a URI among the certificate's subject alternative names, or the SHA-256 of
its public key (SubjectPublicKeyInfo, RFC 7469, 2.4). The common name is never looked at.

Contexts are made of PEM files before the fork, so that a fault in one is told like every other
fault of the settings, and again at every reload, which is how certificates are renewed.
"""

import hashlib
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from fifhir.schema import Duration, Faults

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all of this kind
SHUTDOWN = 2.0  # seconds a peer has to agree to the end
_PIN = re.compile(r"sha256:[0-9a-f]{64}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_WHY = {
    "WRONG_VERSION_NUMBER": "plain",
    "HTTP_REQUEST": "plain",
    "HTTPS_PROXY_REQUEST": "plain",
    "NO_SHARED_CIPHER": "version",
    "UNSUPPORTED_PROTOCOL": "version",
    "UNKNOWN_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "version",
}
_VERSION_TAG = 0xA0  # a certificate of X.509 version 1 has none
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime and GeneralizedTime


class BadFile(Exception):
    """A file is not what it has to be; `key` is the setting that names it."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class Door(NamedTuple):
    """What a listener asks of whoever comes in. Without `identities` any peer of the CA may.

    `handshake` is the seconds until both sides have agreed, `expires` the end of our certificate.
    With a context that does not require a certificate, who has none comes in nameless.
    """

    context: ssl.SSLContext
    handshake: float
    identities: frozenset[str]
    expires: datetime

    def options(self) -> dict[str, Any]:
        """What asyncio has to know to shake hands."""
        return {
            "ssl": self.context,
            "ssl_handshake_timeout": self.handshake,
            "ssl_shutdown_timeout": SHUTDOWN,
        }

    def admits(self, peer: ssl.SSLObject) -> bool:
        found = identities(peer) if self.identities else None
        if not found:
            return found is None or self.context.verify_mode is ssl.CERT_OPTIONAL
        return not self.identities.isdisjoint(found)


class TlsKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a listener that speaks TLS; without a certificate it does not."""

    tls_cert_file: Annotated[
        str, Meta(description="PEM file of our certificate and its chain; empty: no TLS.")
    ] = ""
    tls_key_file: Annotated[
        str, Meta(description="PEM file of the certificate's private key, not encrypted.")
    ] = ""
    tls_client_ca_file: Annotated[
        str,
        Meta(
            description="PEM file of the authorities whose certificates clients must have; empty: "
            "clients are not asked for one."
        ),
    ] = ""
    tls_identities: Annotated[
        tuple[str, ...],
        Meta(
            max_length=1000,
            description="Which clients of these authorities may come in, each by a URI of its "
            "subjectAltName or its key as sha256:hex; none listed: all.",
        ),
    ] = ()
    tls_handshake_timeout: Annotated[
        Duration, Meta(ge=0.1, le=300, description="Longest time until TLS is agreed on.")
    ] = 10.0

    def faults(self) -> Faults:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            name = "tls_key_file" if self.tls_cert_file else "tls_cert_file"
            yield (name,), "a certificate and its key go together; one of the two is missing"
        if self.tls_client_ca_file and not self.tls_cert_file:
            yield ("tls_client_ca_file",), "needs tls_cert_file and tls_key_file as well"
        if self.tls_identities and not self.tls_client_ca_file:
            yield ("tls_identities",), "needs tls_client_ca_file: who is not asked has no identity"
        for index, identity in enumerate(self.tls_identities):
            if not (_PIN if identity.startswith("sha256:") else _URI).fullmatch(identity):
                text = "expected a URI, or sha256: and 64 hexadecimal digits in lower case"
                yield ("tls_identities", index), text

    @property
    def verify(self) -> ssl.VerifyMode:
        """Whether a client must have a certificate, once it is asked for one."""
        return ssl.CERT_REQUIRED

    def door(self) -> Door | None:
        """What these keys mean, None for no TLS; BadFile if a file does not do."""
        if not self.tls_cert_file:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context)
        expires = present(context, self.tls_cert_file, self.tls_key_file, "tls_cert_file")
        if self.tls_client_ca_file:
            trust(context, self.tls_client_ca_file, "tls_client_ca_file")
            context.verify_mode = self.verify
            # A resumed session would not look at the certificate again.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return Door(context, self.tls_handshake_timeout, frozenset(self.tls_identities), expires)


def present(context: ssl.SSLContext, certificate: str, key: str, name: str) -> datetime:
    """Ours is this certificate; when it expires. `name` is the setting a BadFile is told for."""
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        return expiry(ssl.PEM_cert_to_DER_cert(_first(Path(certificate).read_text("ascii"))))
    except (OSError, ValueError) as fault:
        text = f"cannot use the certificate or its key: {_reason(fault)}"
        raise BadFile(name, text) from fault


def trust(context: ssl.SSLContext, authorities: str, name: str) -> None:
    """Peers must have a certificate of these authorities."""
    try:
        context.load_verify_locations(authorities)
    except (OSError, ValueError) as fault:
        raise BadFile(name, f"cannot use the authorities: {_reason(fault)}") from fault


CaFile: TypeAlias = Annotated[
    str, Meta(description="PEM file of the authorities to trust; empty: those of this machine.")
]
CertFile: TypeAlias = Annotated[
    str, Meta(description="PEM file of our certificate, if the destination asks for one.")
]
KeyFile: TypeAlias = Annotated[str, Meta(description="PEM file of its private key.")]
Insecure: TypeAlias = Annotated[
    bool,
    Meta(description="Whether any certificate will do: whoever is in between can read it all."),
]


class Trust(NamedTuple):
    """How we know whom we call and what we show; `insecure` is that any certificate will do."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False

    def faults(self, *, spoken: bool, switch: str = "tls") -> Faults:
        """What is wrong with these keys; `switch` is the one that has to be on for TLS."""
        if bool(self.cert_file) != bool(self.key_file):
            yield ("cert_file",), "cert_file and key_file go together"
        elif self.insecure and self.ca_file:
            yield ("ca_file",), "is of no use with tls_insecure"
        elif not spoken and any(self):
            yield (switch,), "TLS is not spoken; the keys for its certificates are of no use"
        elif self.ca_file or self.cert_file:
            try:
                self.context()
            except BadFile as fault:
                yield (fault.key,), str(fault)

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later as these keys say; BadFile if a file does not do."""
        context = calling(self.ca_file, self.cert_file, self.key_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def calling(authorities: str, certificate: str, key: str) -> ssl.SSLContext:
    """How we call others: verified, by our authorities or the system's; BadFile.

    The keys a BadFile names are `ca_file` and `cert_file`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if authorities:
        trust(context, authorities, "ca_file")
    else:
        context.load_default_certs()
    if certificate:
        present(context, certificate, key, "cert_file")
    return context


def why(fault: OSError) -> str:
    """What ended a handshake, one of `metrics.TLS_REASONS`; `plain` is a peer without TLS."""
    if isinstance(fault, ssl.SSLError):
        reason = fault.reason or ""
        return _WHY.get(reason, "certificate" if "CERTIFICATE" in reason else "handshake")
    return "timeout" if isinstance(fault, ConnectionAbortedError) else "gone"


def detail(fault: OSError) -> str:
    """What is wrong with a peer's certificate, in OpenSSL's fixed words."""
    return fault.verify_message if isinstance(fault, ssl.SSLCertVerificationError) else ""


def identities(peer: ssl.SSLObject) -> frozenset[str]:
    """Everything the peer of a connection may be listed as; nothing if it was not asked."""
    der = peer.getpeercert(binary_form=True)
    if der is None:
        return frozenset()
    uris = (value for kind, value in _alternatives(peer) if kind == "URI")
    return frozenset({pin(der), *uris})


def _alternatives(peer: ssl.SSLObject) -> Iterator[tuple[str, str]]:
    """The kind and the text of each subject alternative name."""
    return iter((peer.getpeercert() or {}).get("subjectAltName", ()))  # type: ignore[arg-type]


def pin(der: bytes) -> str:
    """The key of a certificate, as it is listed."""
    spki = _to_be_signed(der)[5]
    return f"sha256:{hashlib.sha256(der[spki.start : spki.end]).hexdigest()}"


def expiry(der: bytes) -> datetime:
    """When a certificate's time ends."""
    validity = _to_be_signed(der)[3]
    last = list(_elements(der, validity.content, validity.end))[1]
    text = der[last.content : last.end].decode("ascii")
    return datetime.strptime(text, _TIMES[last.tag]).replace(tzinfo=UTC)


class _Element(NamedTuple):
    """One element of DER (X.690): where it starts, its content starts, and both end."""

    tag: int
    start: int
    content: int
    end: int


def _to_be_signed(der: bytes) -> list[_Element]:
    """Serial number, algorithm, issuer, validity, subject, key, and so on (RFC 5280, 4.1)."""
    certificate = next(_elements(der, 0, len(der)))
    signed = next(_elements(der, certificate.content, certificate.end))
    parts = list(_elements(der, signed.content, signed.end))
    return parts[1:] if parts[0].tag == _VERSION_TAG else parts


def _elements(der: bytes, at: int, end: int) -> Iterator[_Element]:
    while at < end:
        length, content = der[at + 1], at + 2
        if length & 0x80:
            content += length & 0x7F
            length = int.from_bytes(der[at + 2 : content])
        yield _Element(der[at], at, content, content + length)
        at = content + length


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _first(pem: str) -> str:
    begin, end = ssl.PEM_HEADER, ssl.PEM_FOOTER
    return f"{begin}{pem.partition(begin)[2].partition(end)[0]}{end}\n"


def _reason(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLError):
        return _REASONS.get(fault.reason or "", "it is not in PEM")
    if isinstance(fault, OSError):
        return (fault.strerror or "unreadable").lower()
    return "the key is encrypted" if "encrypted" in str(fault) else "it is not in PEM"


_REASONS = {"KEY_VALUES_MISMATCH": "the key is not the certificate's"}
