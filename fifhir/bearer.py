"""JSON Web Tokens as keys (RFC 7519, RFC 9068): signed by an issuer we trust, for us, for a while.

What a token says of itself is believed in nothing: its algorithm has to be one that we allow and
that fits the key, and keys are public ones only, so `none` and a public key taken for a shared
secret (RFC 8725, 3.1) have no way in. Issuer, audience and end have to be there and be right.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from fifhir.access import ALL, Caller

Algorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
FITTING = {
    ("RSA", ""): RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""Which algorithms a key of this kind and curve is for."""
TYPES = (
    "",
    "jwt",
    "at+jwt",
    "application/at+jwt",
)  # of a token; others are for other ends
RSA_BITS = 2048  # RFC 7518, 3.3
KEYS_LIMIT = 100
REMEMBERED = 1024  # tokens whose signature need not be looked at again
NAME_LIMIT = 128  # characters
UNREADY: Literal["unready"] = "unready"


class Rules(Struct, frozen=True, kw_only=True):
    """Which tokens are good, and what they say. Times in seconds."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    leeway: float
    scope_claim: str
    scope_prefix: str
    name_claim: str
    rate: int = 0


class Signer(Struct, frozen=True):
    """One public key of the issuer, and the algorithms it may be used with."""

    key: Any
    algorithms: tuple[str, ...]


def read_jwks(text: bytes) -> dict[str, Signer]:
    """The keys of a JSON Web Key Set (RFC 7517) that signatures can be checked with, by `kid`.

    ValueError says why it is none. Keys for other ends, and shared secrets, are passed over.
    """
    import jwt  # noqa: PLC0415 - an extra; 60 ms that only who takes tokens pays

    try:
        found = msgspec.json.decode(text)["keys"]
        keys = [key for key in found if isinstance(key, dict)][: KEYS_LIMIT + 1]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as fault:
        raise ValueError("it is no JSON Web Key Set") from fault
    if len(keys) > KEYS_LIMIT:
        raise ValueError(f"it has more than {KEYS_LIMIT} keys")
    signers = {}
    for key in keys:
        try:
            if algorithms := _fitting(key):
                made = jwt.PyJWK(key, algorithms[0]).key
                if getattr(made, "key_size", RSA_BITS) >= RSA_BITS or algorithms[0] not in RSA:
                    signers[str(key.get("kid", ""))] = Signer(made, algorithms)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    if not signers:
        raise ValueError("it has no key that signatures can be checked with")
    return signers


def _fitting(key: Mapping[str, Any]) -> tuple[str, ...]:
    if key.get("use", "sig") != "sig" or "verify" not in key.get("key_ops", ("verify",)):
        return ()
    curve = "" if key.get("kty") == "RSA" else str(key.get("crv", ""))
    fitting = FITTING.get((str(key.get("kty")), curve), ())
    return tuple(each for each in fitting if key.get("alg", each) == each)


class Verifier:
    """Reads tokens by the rules. `missing` is asked once a key is not known: whether it may come.

    Without keys nothing can be said of any token.
    """

    def __init__(self, rules: Rules, signers: Mapping[str, Signer] | None = None) -> None:
        self.missing: Callable[[], bool] = lambda: False
        self._rules = rules
        self._signers = signers
        self._known: dict[bytes, Caller] = {}

    def replace(self, signers: Mapping[str, Signer]) -> None:
        """The issuer signs with these from now on."""
        if self._signers is None or signers.keys() != self._signers.keys():
            self._known.clear()
        self._signers = signers

    def read(self, token: bytes) -> Caller | Literal["unready"] | None:
        """Who bears the token; None if it is not good, UNREADY if its key is being fetched."""
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is not None and time.time() < known.until:
            return known
        caller = self._verified(token)
        if isinstance(caller, Caller):
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[digest] = caller
        return caller

    def _verified(self, token: bytes) -> Caller | Literal["unready"] | None:
        import jwt  # noqa: PLC0415 - as above, and loaded by then

        try:
            head = jwt.get_unverified_header(token)
            algorithm = str(head.get("alg"))
            if not self._allows(head, algorithm):
                return None
            signer = self._signer(head.get("kid"))
            if signer is None:
                return UNREADY if self._signers is None or self.missing() else None
            if algorithm not in signer.algorithms:
                return None
            claims = self._claims(token, signer.key, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return self._caller(claims)

    def _allows(self, head: Mapping[str, Any], algorithm: str) -> bool:
        kind = str(head.get("typ") or "").lower()
        return algorithm in self._rules.algorithms and kind in TYPES and "crit" not in head

    def _signer(self, kid: object) -> Signer | None:
        """The key a token names; the only one there is if it names none."""
        signers = self._signers or {}
        if kid is None and len(signers) == 1:
            return next(iter(signers.values()))
        return signers.get(str(kid))

    def _claims(self, token: bytes, key: Any, algorithm: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415 - as above

        rules = self._rules
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway,
            options={"require": ["exp", "iss", "aud"]},
        )
        return claims

    def _caller(self, claims: Mapping[str, Any]) -> Caller | None:
        rules, name = self._rules, claims.get(self._rules.name_claim)
        if not (isinstance(name, str) and 0 < len(name) <= NAME_LIMIT and name.isprintable()):
            return None
        given = claims.get(rules.scope_claim, "")
        words = given.split() if isinstance(given, str) else given
        asked = {str(word) for word in words} if isinstance(words, list) else set()
        prefix = rules.scope_prefix
        scopes = {word.removeprefix(prefix) for word in asked if word.startswith(prefix)}
        # The name of a key has no colon, so nobody is taken for one.
        until = int(claims["exp"]) + rules.leeway
        return Caller(f"jwt:{name}", ALL & scopes, rules.rate, until)
