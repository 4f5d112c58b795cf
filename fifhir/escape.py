"""Escape sequences of HL7 text (v2 chapter 2, 2.7): decoding is total, encoding is its inverse.

`delimiters` is always the message's own: field, component, repetition, escape, subcomponent and,
from v2.7 on, truncation. What a sequence does not say is kept as it was sent; nothing raises.
"""

import re
from functools import lru_cache

_NAMES = "FSRETP"  # the letters that stand for delimiters, in the order of `delimiters`
_LAYOUT = {".br": "\n", ".ce": "\n", "H": "", "N": "", ".fi": "", ".nf": ""}
_MOTION = re.compile(r"\.(sp|sk|in|ti) ?([+-]?\d{0,4})")
_SEQUENCE = re.compile(r"[A-Z.][^\s]*|\.[a-z]{2} [+-]?\d+")
_REACH = 100  # most lines or columns one motion command may move


@lru_cache(maxsize=64)
def _replacements(delimiters: bytes) -> dict[str, str]:
    text = delimiters.decode("ascii")
    return _LAYOUT | dict(zip(_NAMES, text, strict=False))


def decode(raw: bytes, delimiters: bytes, charset: str = "utf-8") -> str:
    r"""The text of `raw` (valid UTF-8) with every escape sequence replaced, in one pass.

    `\X..\` holds bytes in `charset`, the one the message was sent in; runs of adjacent
    sequences are decoded together, and bytes invalid there are read as ISO 8859-1. A sequence
    names single bytes, so in a UTF-16 or UTF-32 message they are UTF-8. `\.br\` is a line feed,
    `\.sp n\` n of them. Highlighting is dropped; character set switches (`\C`, `\M`), local
    (`\Z`) and unknown sequences stay as sent, as does a lone escape character.
    """
    escape = chr(delimiters[3])
    pieces = raw.decode().split(escape)
    out = [pieces[0]]
    hexed = bytearray()
    at, last = 1, len(pieces) - 1
    while at <= last:
        content = pieces[at]
        closed = at < last
        if closed and content[:1] == "X" and _is_hex(content[1:]):
            hexed += _octets(content[1:])
            if pieces[at + 1] == "" and at + 2 <= last:
                at += 2
                continue
        found = _meaning(content, delimiters) if closed else None
        out.append(_flush(hexed, charset))
        if found is None:
            out.append(escape + content)
            at += 1
        else:
            out += (found, pieces[at + 1])
            at += 2
    out.append(_flush(hexed, charset))
    return "".join(out)


def _meaning(content: str, delimiters: bytes) -> str | None:
    """What a closed sequence stands for; None if the escape character stood alone."""
    plain = _replacements(delimiters).get(content)
    if plain is not None:
        return plain
    if content[:1] == "X" and _is_hex(content[1:]):
        return ""
    if motion := _MOTION.fullmatch(content):
        return _moved(motion[1], motion[2])
    if not _SEQUENCE.fullmatch(content):
        return None
    escape = chr(delimiters[3])
    return f"{escape}{content}{escape}"


def _moved(command: str, amount: str) -> str:
    if command in ("in", "ti"):
        return ""
    steps = min(max(int(amount or 1) if amount not in ("+", "-") else 1, 1), _REACH)
    return ("\n" if command == "sp" else " ") * steps


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _octets(digits: str) -> bytes:
    return bytes.fromhex(digits[: len(digits) & ~1])


def _flush(hexed: bytearray, charset: str) -> str:
    if not hexed:
        return ""
    try:
        text = hexed.decode("utf-8" if charset.startswith("utf") else charset)
    except UnicodeDecodeError:
        text = hexed.decode("iso8859-1")
    hexed.clear()
    return text


def encode(text: str, delimiters: bytes) -> str:
    r"""`text` so that it may stand in a component: delimiters become sequences, CR `\X0D\`."""
    return text.translate(_encodings(delimiters))


@lru_cache(maxsize=64)
def _encodings(delimiters: bytes) -> dict[int, str]:
    escape = chr(delimiters[3])
    named = zip(delimiters, _NAMES, strict=False)
    table = {octet: f"{escape}{name}{escape}" for octet, name in named}
    return table | {ord(c): f"{escape}X{ord(c):02X}{escape}" for c in "\r\n\v\x1c\0"}
