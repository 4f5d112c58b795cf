"""Who may ask for what: API keys, of which only hashes are kept.

A key is 256 random bits, so its SHA-256 gives nothing away and needs no salt or stretching. Keys
stand one a line, `name:scope,scope:sha256:hex`; `fi-fhir config key new` makes such a line.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from msgspec import Struct

SCOPES = ("parse", "workflow", "replay", "admin")
PREFIX = "fifhir_"  # lets scanners for leaked secrets find one
KEYS_LIMIT = 1000

_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([a-z,]+):sha256:([0-9a-f]{64})")


class Key(Struct, frozen=True):
    """One sender's or operator's key: its name is for logs, its digest is all we know of it."""

    name: str
    scopes: frozenset[str]
    digest: bytes


class Keyring:
    """All keys that are valid now."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def find(self, token: bytes) -> Key | None:
        """The key this token is. Each is compared, in the same time whether it is the one."""
        digest, found = hashlib.sha256(token).digest(), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


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
        elif key.name in keys:
            faults.append(f"line {number}: a second key is called '{key.name}'")
        else:
            keys[key.name] = key
    if len(keys) > KEYS_LIMIT:
        faults.append(f"more than {KEYS_LIMIT} keys")
    return list(keys.values()), faults


def _key(line: str) -> Key | str:
    match = _LINE.fullmatch(line)
    if match is None:
        return "expected name:scopes:sha256:hex (fi-fhir config key new writes such a line)"
    scopes = frozenset(match[2].split(","))
    if unknown := sorted(scopes - set(SCOPES)):
        return f"unknown scope '{unknown[0]}'; known: {', '.join(SCOPES)}"
    return Key(match[1], scopes, bytes.fromhex(match[3]))


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """A new key, shown this once, and the line that admits it."""
    token = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, f"{name}:{','.join(scopes)}:sha256:{digest}"
