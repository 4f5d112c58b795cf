"""Events for a workflow, from a file or stdin: JSON as it comes, or HL7 v2 messages."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fifhir.errors import ConfigError, Finding, MessageError
from fifhir.intake import Feed, read_written
from fifhir.written import Written, posted


class Given(NamedTuple):
    """One event and the message it was read from, if it was one."""

    written: Written
    raw: bytes


def events(name: str, feed: Feed) -> list[Given | MessageError]:
    """Every event of the file, `-` for stdin, or why one could not be read.

    JSON is one list, or objects one after another however they are laid out. Raises ConfigError
    if there is no such file, or nothing in it.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as fault:
        raise ConfigError((Finding(name, (fault.strerror or "unreadable").lower()),)) from None
    title = "stdin" if name == "-" else name
    found = list(_json(data, feed) if data.lstrip()[:1] in (b"[", b"{") else _hl7(data, feed))
    if not found:
        raise ConfigError((Finding(title, "no event in it"),))
    return found


def _hl7(data: bytes, feed: Feed) -> Iterator[Given | MessageError]:
    from fifhir.batch import split

    for raw in split(data):
        try:
            yield Given(read_written(raw, feed), raw)
        except MessageError as fault:
            yield fault


def _json(data: bytes, feed: Feed) -> Iterator[Given | MessageError]:
    import msgspec

    try:
        if data.lstrip().startswith(b"["):
            parts = [bytes(part) for part in msgspec.json.decode(data, type=list[msgspec.Raw])]
        else:
            parts = list(_objects(data.decode()))
    except (msgspec.DecodeError, ValueError):
        yield MessageError("invalid_json", "the input is not JSON to its end", location="event")
        return
    for part in parts:
        try:
            yield Given(posted(part, feed.source), b"")
        except MessageError as fault:
            yield fault


def _objects(text: str) -> Iterator[bytes]:
    """JSON values that stand one after another, whatever white space is between them."""
    import json

    decoder = json.JSONDecoder()
    start = _past_space(text, 0)
    while start < len(text):
        _, end = decoder.raw_decode(text, start)
        yield text[start:end].encode()
        start = _past_space(text, end)


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
