"""What a value looks like where a template puts it, so that it stays a value there.

Only what the event gives is escaped; the template's own text is its author's.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from fifhir import escape
from fifhir.errors import TemplateFault

Escape: TypeAlias = Literal["none", "url", "json", "header", "address", "topic", "hl7"]

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_DELIMITERS = rb"|^~\&"
_ATOMS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]"  # RFC 5322, 3.2.3
_ADDRESS = re.compile(rf"(?:{_ATOMS}*@)?{_ATOMS}*|(?:{_ATOMS}| )*")
_NO_WORD = re.compile(r"[^A-Za-z0-9_-]")


class Escaped(str):
    """Text that is already as its place needs it."""

    __slots__ = ()


def shown(value: Any) -> str:
    """The value as text. What is absent or null is empty; objects and lists are JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _url(value: Any) -> str:
    return value if isinstance(value, Escaped) else quote(shown(value), safe="")


def _header(value: Any) -> str:
    """A value cannot end the header's line and begin another."""
    return _CONTROLS.sub(" ", shown(value))


def _address(value: Any) -> str:
    """A value is one address at most: it cannot name a second recipient."""
    text = shown(value)
    if not _ADDRESS.fullmatch(text):
        raise TemplateFault("a value is neither an address nor a plain name")
    return text


def _topic(value: Any) -> str:
    """A value is one word of a topic: what brokers would take for structure becomes `_`."""
    return _NO_WORD.sub("_", shown(value))


def _hl7(value: Any) -> str:
    return escape.encode(shown(value), _DELIMITERS)


def in_json_text(value: Any) -> str:
    """A part of a text in JSON: what stands between the quotes."""
    return json.dumps(shown(value), ensure_ascii=False)[1:-1]


def as_json(value: Any) -> str:
    """A value of its own in JSON: text in quotes, absent is null."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


ESCAPES: dict[Escape, Callable[[Any], str]] = {
    "none": shown,
    "url": _url,
    "json": as_json,
    "header": _header,
    "address": _address,
    "topic": _topic,
    "hl7": _hl7,
}
