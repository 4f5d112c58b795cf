"""CEL text into tokens (cel-spec, "Syntax": lexis); every token knows its column, from 1."""

import re
from dataclasses import dataclass
from typing import Any

from fifhir.errors import CelError

INT_MAX = 2**63 - 1
UINT_MAX = 2**64 - 1

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n\f\r]+|//[^\n]*)
    | (?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"{3}|'{3}|\"|'))
    | (?P<double>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    | (?P<int>0x[0-9a-fA-F]+|[0-9]+)(?P<uint>[uU])?
    | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    | (?P<op>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_PLAIN_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is name, op, end, or the type of a literal; `value` its text or what it stands for."""

    kind: str
    value: Any
    column: int


def tokens(text: str) -> list[Token]:
    """All tokens of the text and an `end`. Raises CelError."""
    found = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            hint = "; write ==" if text[position] == "=" else ""
            raise CelError(position + 1, f"unexpected character {text[position]!r}{hint}")
        position = match.end()
        match match.lastgroup:
            case "space":
                continue
            case "string":
                token, position = _string(text, match)
            case _:
                token = _plain(match)
        found.append(token)
    return [*found, Token("end", "", len(text) + 1)]


def _plain(match: re.Match[str]) -> Token:
    column = match.start() + 1
    if match["double"]:
        return Token("double", float(match["double"]), column)
    if match["int"] is None:
        return Token(match.lastgroup or "", match[0], column)
    kind, most = ("uint", UINT_MAX) if match["uint"] else ("int", INT_MAX + 1)
    value = int(match["int"], 16 if match["int"].startswith("0x") else 10)
    if value > most:
        raise CelError(column, f"the number does not fit into 64 bits as {kind}")
    return Token(kind, value, column)


def _string(text: str, match: re.Match[str]) -> tuple[Token, int]:
    """The literal whose opening quote was found, and where the text goes on."""
    column = match.start() + 1
    opening = match[0]
    quote = opening.lstrip("rRbB")
    prefix = opening[: len(opening) - len(quote)].lower()
    start = end = match.end()
    while not text.startswith(quote, end):
        if end >= len(text) or (len(quote) == 1 and text[end] in "\r\n"):
            raise CelError(column, f"the string is not closed; it needs another {quote}")
        end += 2 if text[end] == "\\" and "r" not in prefix else 1
    body = text[start:end]
    after = end + len(quote)
    if "b" in prefix:
        value = body.encode() if "r" in prefix else _bytes(body, start)
        return Token("bytes", value, column), after
    return Token("string", body if "r" in prefix else _unescaped(body, start), column), after


def _unescaped(body: str, start: int) -> str:
    def replace(match: re.Match[str]) -> str:
        two, upper, octal, short, long, plain = match.groups()
        code = two or upper or short or long
        if code or octal:
            number = int(octal, 8) if octal else int(code, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise CelError(start + match.start() + 1, "the escape is no Unicode character")
            return chr(number)
        return _plain_escape(plain, start + match.start() + 1)

    return _ESCAPE.sub(replace, body)


def _bytes(body: str, start: int) -> bytes:
    r"""The literal as bytes: \x and octal escapes are single bytes, all else is UTF-8."""
    made = bytearray()
    position = 0
    for match in _ESCAPE.finditer(body):
        made += body[position : match.start()].encode()
        position = match.end()
        two, upper, octal, short, long, plain = match.groups()
        if short or long:
            raise CelError(start + match.start() + 1, "bytes have no \\u escapes; write \\x")
        if two or upper or octal:
            made.append(int(octal, 8) if octal else int(two or upper, 16))
        else:
            made += _plain_escape(plain, start + match.start() + 1).encode()
    return bytes(made + body[position:].encode())


def _plain_escape(letter: str | None, column: int) -> str:
    found = _PLAIN_ESCAPES.get(letter or "")
    if found is None:
        raise CelError(column, f"unknown escape \\{letter or ''}; a backslash itself is \\\\")
    return found
