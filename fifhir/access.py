"""Who may ask for what: API keys, of which only hashes are kept, and clients' certificates.

A key is 256 random bits, so its SHA-256 gives nothing away and needs no salt or stretching. A
certificate is known by a URI or a pin, as `tls` has it. Both stand one a line,
`name:scope,scope:sha256:hex` or `name:scope,scope:cert:identity`, and behind it, after a space,
`600/min` where one may ask only so often; `fi-fhir config key new` makes the line of a key.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from math import inf

from msgspec import Struct

SCOPES = ("parse", "workflow", "replay", "admin", "metrics")
ALL = frozenset(SCOPES)
PREFIX = "fifhir_"  # lets scanners for leaked secrets find one
KEYS_LIMIT = 1000
CHALLENGE = 'WWW-Authenticate: Bearer realm="fi-fhir"'
MOST = 10_000_000  # requests a minute that a limit may be

_LINE = re.compile(
    r"([A-Za-z0-9._-]{1,64}):([a-z,]+):"
    r"(?:sha256:([0-9a-f]{64})|cert:(sha256:[0-9a-f]{64}|[A-Za-z][A-Za-z0-9+.-]*:[!-~]+))"
    r"(?:[ \t]+([1-9][0-9]{0,7})/min)?"
)


class Caller(Struct, frozen=True):
    """Who asks: the name is for logs and the audit log.

    `rate` is how many requests a minute they may make, 0 for any number; what is known of them is
    known until `until`, in seconds since 1970.
    """

    name: str
    scopes: frozenset[str]
    rate: int = 0
    until: float = inf

    @property
    def lasts(self) -> bool:
        """Whether the next request of theirs needs no look at them."""
        return not self.rate and self.until == inf


class Key(Struct, frozen=True):
    """One sender's or operator's key, of which we know the digest, or their certificate."""

    caller: Caller
    digest: bytes = b""
    identity: str = ""


class Keyring:
    """All keys and certificates that are valid now; `rate` is for those that name none."""

    def __init__(self, keys: Iterable[Key], rate: int = 0) -> None:
        callers = [(key, _rated(key.caller, rate)) for key in keys]
        self._keys = tuple((key.digest, caller) for key, caller in callers if key.digest)
        self._identities = {key.identity: caller for key, caller in callers if key.identity}

    def find(self, given: bytes) -> Caller | None:
        """Whose key this is. Each is compared, in the same time whether it is the one."""
        digest, found = hashlib.sha256(given).digest(), None
        for known, caller in self._keys:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def recognise(self, identities: Iterable[str]) -> Caller | None:
        """Whose certificate is known as one of these."""
        known = self._identities
        return next((known[each] for each in sorted(identities) if each in known), None)


def _rated(caller: Caller, rate: int) -> Caller:
    return Caller(caller.name, caller.scopes, caller.rate or rate, caller.until)


def read_keys(text: str) -> tuple[list[Key], list[str]]:
    """The keys of a list, and what is wrong with it by line; blank lines and # are skipped."""
    keys: dict[str, Key] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = _key(line.strip())
        if isinstance(key, str):
            faults.append(f"line {number}: {key}")
        elif key.caller.name in keys:
            faults.append(f"line {number}: a second key is called '{key.caller.name}'")
        else:
            keys[key.caller.name] = key
    if len(keys) > KEYS_LIMIT:
        faults.append(f"more than {KEYS_LIMIT} keys")
    return list(keys.values()), faults


def _key(line: str) -> Key | str:
    match = _LINE.fullmatch(line)
    if match is None:
        return (
            "expected name:scopes:sha256:hex (fi-fhir config key new writes such a line) or "
            "name:scopes:cert:identity"
        )
    name, named, digest, identity, rate = match.groups()
    scopes = frozenset(named.split(","))
    if unknown := sorted(scopes - ALL):
        return f"unknown scope '{unknown[0]}'; known: {', '.join(SCOPES)}"
    caller = Caller(name, scopes, min(int(rate or 0), MOST))
    return Key(caller, bytes.fromhex(digest or ""), identity or "")


def token(headers: Mapping[bytes, bytes]) -> bytes:
    """What a request came with, names in lower case (RFC 6750, 2.1, or X-API-Key); or nothing."""
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"").strip()


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """A new key, shown this once, and the line that admits it."""
    made = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(made.encode()).hexdigest()
    return made, f"{name}:{','.join(scopes)}:sha256:{digest}"
