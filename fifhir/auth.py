"""What the settings say of who may use the API: keys, certificates, tokens, and how often."""

import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from fifhir import access, machine
from fifhir.bearer import Algorithm, Rules, Verifier, read_jwks
from fifhir.schema import Duration, Faults
from fifhir.secret import NONE, Secret
from fifhir.tls import BadFile, trust


class Auth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may use the API. Without keys nobody is asked, and only this machine is listened to."""

    api_keys: Annotated[
        Secret,
        Meta(
            description="API keys, one a line: name:scopes:sha256:hex, or for a certificate "
            "name:scopes:cert:identity; behind it, after a space, 600/min for a limit of its own. "
            "Scopes are parse, workflow, replay, admin and metrics; `fi-fhir config key new` makes "
            "a key and its line.",
        ),
    ] = NONE
    rate_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=access.MOST,
            description="Requests a minute of one key, token or certificate, over all workers of "
            "this machine; 0: as many as come.",
        ),
    ] = 0
    failure_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=access.MOST,
            description="Refusals (401) a minute of one address (IPv6: of a /64), then it is "
            "answered 429; 0: no limit.",
        ),
    ] = 60

    jwt_issuer: Annotated[
        str,
        Meta(
            max_length=2048,
            description="Whose JSON Web Tokens are as good as keys: their `iss`; empty: nobody's. "
            "Needs jwt_audience, and jwt_jwks_url or jwt_jwks_file.",
        ),
    ] = ""
    jwt_audience: Annotated[
        str, Meta(max_length=2048, description="What `aud` of a token has to be or to have in it.")
    ] = ""
    jwt_jwks_url: Annotated[
        str,
        Meta(
            max_length=2048,
            description="Where the issuer publishes its keys (https://, or http:// on this "
            "machine). They are fetched again in time, and when a token names a new one.",
        ),
    ] = ""
    jwt_jwks_file: Annotated[
        str, Meta(description="A file with the issuer's keys (JWKS) instead of a URL.")
    ] = ""
    jwt_ca_file: Annotated[
        str,
        Meta(description="PEM file of the authorities jwt_jwks_url is trusted by; empty: all."),
    ] = ""
    jwt_refresh: Annotated[
        Duration, Meta(ge=10, le=86_400, description="How old keys from jwt_jwks_url may become.")
    ] = 300.0
    jwt_algorithms: Annotated[
        tuple[Algorithm, ...],
        Meta(
            min_length=1,
            max_length=10,
            description="How tokens may be signed; shared secrets (HS256) and `none` are never "
            "taken.",
        ),
    ] = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
    jwt_leeway: Annotated[
        Duration, Meta(ge=0, le=300, description="How far the issuer's clock may be from ours.")
    ] = 30.0
    jwt_scope_claim: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=256,
            description="The claim with a token's scopes, a text or a list: scope, scp, roles.",
        ),
    ] = "scope"
    jwt_scope_prefix: Annotated[
        str,
        Meta(max_length=256, description="What stands before parse, workflow, replay and so on."),
    ] = ""
    jwt_name_claim: Annotated[
        str,
        Meta(min_length=1, max_length=256, description="The claim that says who bears the token."),
    ] = "sub"

    def verifier(self) -> Verifier | None:
        """What reads tokens, None if nobody's are taken; BadFile if the keys' file does not do."""
        if not self.jwt_issuer:
            return None
        rules = Rules(
            issuer=self.jwt_issuer,
            audience=self.jwt_audience,
            algorithms=self.jwt_algorithms,
            leeway=self.jwt_leeway,
            scope_claim=self.jwt_scope_claim,
            scope_prefix=self.jwt_scope_prefix,
            name_claim=self.jwt_name_claim,
            rate=self.rate_limit,
        )
        if self.jwt_ca_file:
            trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self.jwt_ca_file, "jwt_ca_file")
        try:
            if not self.jwt_jwks_file:
                return Verifier(rules)
            return Verifier(rules, read_jwks(Path(self.jwt_jwks_file).read_bytes()))
        except (OSError, ValueError) as fault:
            reason = (getattr(fault, "strerror", None) or str(fault)).lower()
            raise BadFile("jwt_jwks_file", f"cannot use the issuer's keys: {reason}") from fault

    def admitted(self) -> list[access.Key]:
        return access.read_keys(self.api_keys.reveal())[0]

    def faults(self) -> Faults:
        keys, faults = access.read_keys(self.api_keys.reveal())
        for fault in faults:
            yield ("api_keys",), fault
        if self.api_keys and not keys and not faults:
            yield ("api_keys",), "holds no key"
        yield from self._jwt_faults()

    def _jwt_faults(self) -> Faults:
        given = [name for name in ("jwt_jwks_url", "jwt_jwks_file") if getattr(self, name)]
        if not self.jwt_issuer:
            for name in (*given, *(("jwt_audience",) if self.jwt_audience else ())):
                yield (name,), "needs jwt_issuer: whose tokens they are"
            return
        if find_spec("jwt") is None or find_spec("cryptography") is None:
            yield ("jwt_issuer",), "needs PyJWT; pip install 'fifhir[jwt]'"
        if not self.jwt_audience:
            yield ("jwt_issuer",), "needs jwt_audience: a token for somebody else is no key here"
        if len(given) != 1:
            yield ("jwt_issuer",), "needs one of jwt_jwks_url and jwt_jwks_file"
        if self.jwt_jwks_url and not _is_safe(self.jwt_jwks_url):
            text = "expected https://, or http:// on this machine: who changes keys makes tokens"
            yield ("jwt_jwks_url",), text


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        return False
    return bool(host) and (scheme == "https" or (scheme == "http" and machine.is_loopback(host)))
