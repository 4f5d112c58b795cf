"""Template text into literal text and actions, `{{ ... }}`, and an action into tokens.

Columns are offsets into the whole text, from 1.
"""

import re
from dataclasses import dataclass
from typing import Any

from fifhir.errors import TemplateError

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    | (?P<number>[+-]?[0-9]+(?:\.[0-9]+)?(?![\w.]))
    | (?P<variable>\$(?:[A-Za-z_]\w*)?)
    | (?P<field>\.[A-Za-z_]\w*)
    | (?P<dot>\.(?!\w))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<op>:=|[|(),])
    """,
    re.VERBOSE,
)
_COMMENT = re.compile(r"/\*(?:.*?\*/)?", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "a": "\a", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an action; `spaced` when white space stands before it."""

    kind: str
    value: Any
    column: int
    spaced: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Literal text, or an action's tokens, the last of which is an `end`."""

    text: str = ""
    tokens: tuple[Token, ...] = ()


def pieces(text: str) -> list[Piece]:
    """The text in its parts. `{{-` and `-}}` have taken the white space beside them."""
    found: list[Piece] = []
    position, trim = 0, False
    while (opening := text.find("{{", position)) >= 0:
        literal = text[position:opening].lstrip() if trim else text[position:opening]
        start = opening + 2
        if re.match(r"-\s", text[start : start + 2]):
            literal, start = literal.rstrip(), start + 1
        found.append(Piece(text=literal))
        if comment := _COMMENT.match(text, start + _spaces(text, start)):
            position, trim = _closed(text, comment.end(), opening)
            continue
        action, position, trim = _action(text, start, opening)
        found.append(Piece(tokens=action))
    rest = text[position:]
    return [*found, Piece(text=rest.lstrip() if trim else rest)]


def _spaces(text: str, start: int) -> int:
    return len(text) - start - len(text[start:].lstrip())


def _closed(text: str, position: int, opening: int) -> tuple[int, bool]:
    """Where the text goes on behind `}}`, and whether it was `-}}`."""
    match = re.compile(r"(\s+-)?\s*\}\}").match(text, position)
    if match is None:
        raise TemplateError(opening + 1, "a comment must be closed by */ and }} at once")
    return match.end(), match[1] is not None


def _action(text: str, start: int, opening: int) -> tuple[tuple[Token, ...], int, bool]:
    """The tokens of one action, where the text goes on, and whether it ended with `-}}`."""
    tokens: list[Token] = []
    position, spaced = start, True
    while position < len(text):
        if text.startswith("}}", position):
            return (*tokens, Token("end", "", position + 1, spaced)), position + 2, False
        if spaced and text.startswith("-}}", position):
            return (*tokens, Token("end", "", position + 1, spaced)), position + 3, True
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateError(position + 1, f"unexpected character {text[position]!r}")
        position = match.end()
        if match.lastgroup == "space":
            spaced = True
            continue
        tokens.append(_token(match, spaced))
        spaced = False
    raise TemplateError(opening + 1, "this {{ is never closed; it needs }}")


def _token(match: re.Match[str], spaced: bool) -> Token:
    kind, text, column = match.lastgroup or "", match[0], match.start() + 1
    match kind:
        case "string":
            value: Any = text[1:-1] if text[0] == "`" else _unescaped(text[1:-1], column)
        case "number":
            value = float(text) if "." in text else int(text)
        case "field":
            value = text[1:]
        case _:
            value = text
    return Token(kind, value, column, spaced)


def _unescaped(text: str, column: int) -> str:
    def replace(match: re.Match[str]) -> str:
        short, long, plain = match.groups()
        if plain is None:
            return chr(int(short or long, 16))
        if plain not in _ESCAPED:
            raise TemplateError(column + match.start() + 1, f"unknown escape \\{plain}")
        return _ESCAPED[plain]

    return _ESCAPE.sub(replace, text)
