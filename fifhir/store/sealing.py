"""Encryption at rest: AES-256-GCM with keys that have names, so that they can be changed.

A sealed value is a nonce of 12 bytes, the ciphertext and its tag of 16. The name of its key stands
in a column of its row; the row's id and the column's name are authenticated with it (AAD), so that
no value can be moved to where it does not belong. With 96 random bits a nonce, a key is good for
2^32 values (NIST SP 800-38D, 8.3).
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fifhir.errors import StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_LINE = re.compile(r"([A-Za-z0-9_.-]{1,32}):([A-Za-z0-9+/=]+)")
_NONCE = 12  # bytes


def faults(text: str) -> Iterator[str]:
    """What is wrong with the lines of keys, told without them."""
    names = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        found = _LINE.fullmatch(line)
        if not found:
            yield f"key {number} is not id:base64"
        elif len(_decoded(found[2])) != 32:
            yield f"key '{found[1]}' is not 32 bytes in base64"
        elif found[1] in names:
            yield f"key '{found[1]}' is given twice"
        else:
            names.append(found[1])
    if names and not find_spec("cryptography"):
        yield "encryption needs an extra: pip install 'fifhir[encryption]'"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


class Seal:
    """Seals with the first key and opens with any. Without keys, values stay as they are."""

    def __init__(self, keys: str = "") -> None:
        self._ciphers: dict[str, AESGCM] = {}
        lines = [match for line in keys.split() if (match := _LINE.fullmatch(line))]
        if lines:
            from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415 - an extra

            self._ciphers = {line[1]: aead.AESGCM(_decoded(line[2])) for line in lines}
        self.name = next(iter(self._ciphers), "")
        self.names = ("", *self._ciphers)

    def close(self, value: bytes, row: str, column: str) -> bytes:
        """The value as it is stored in this row and column, under the key called `name`."""
        if not self.name or not value:
            return value
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[self.name].encrypt(nonce, value, _place(row, column))

    def open(self, name: str, value: bytes, row: str, column: str) -> bytes:
        """The value itself; StoreError if its key is not there or it is not what was sealed."""
        if not name or not value:
            return value
        if name not in self._ciphers:
            raise missing((name,))
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        try:
            return self._ciphers[name].decrypt(value[:_NONCE], value[_NONCE:], _place(row, column))
        except InvalidTag as fault:
            raise StoreError(
                "sealed",
                "a value in the database is not what was encrypted: "
                f"another key is called '{name}', or the row was changed",
            ) from fault

    def again(self, name: str, value: bytes, row: str, column: str) -> bytes:
        """What the key called `name` has sealed, under the newest key instead."""
        return self.close(self.open(name, value, row, column), row, column)

    def check(self, names: set[str]) -> None:
        """StoreError unless every key that rows are encrypted with is there."""
        if unknown := names - set(self.names):
            raise missing(tuple(sorted(unknown)))


def missing(names: tuple[str, ...]) -> StoreError:
    listed = ", ".join(f"'{name}'" for name in names)
    return StoreError(
        "sealed",
        f"the database is encrypted with a key that is not given: {listed}; "
        "add it to store.encryption_keys",
    )


def _place(row: str, column: str) -> bytes:
    return f"{row}\0{column}".encode()
