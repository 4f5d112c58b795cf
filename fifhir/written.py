"""An event as JSON, with the three things routing asks for."""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from fifhir import tracing
from fifhir.errors import MessageError
from fifhir.tracing import Trace

_decode = msgspec.json.Decoder().decode


class Written:
    """What goes through a workflow. Nothing is decoded before somebody asks what is in it.

    `traceparent` is what its sender or the store says of the trace it belongs to, if anything.
    """

    __slots__ = ("_document", "_json", "_root", "_trace", "id", "source", "traceparent", "type")

    def __init__(self, type: str, id: str, source: str, json: bytes, traceparent: str = "") -> None:
        self.type = type
        self.id = id
        self.source = source
        self._json: bytes | None = json
        self._document: dict[str, Any] | None = None
        self._root = self  # of an event that a route has changed, the one it was before
        self._trace: Trace | None = None
        self.traceparent = traceparent

    @property
    def trace(self) -> Trace:
        """The work on this event, begun in its trace when it is first asked for."""
        root = self._root
        if root._trace is None:
            root._trace = tracing.begin(root.traceparent, root.id)
        return root._trace

    @property
    def link(self) -> str:
        """The traceparent to keep with the event; nothing if its id says as much."""
        root = self._root
        return root.trace.parent() if root._trace or root.traceparent else ""

    @property
    def json(self) -> bytes:
        """One line, without a newline at its end."""
        if self._json is None:
            self._json = msgspec.json.encode(self._document)
        return self._json

    @property
    def document(self) -> dict[str, Any]:
        """The event as objects, made once; whoever wants to change it makes a copy."""
        if self._document is None:
            self._document = _decode(self.json)
        return self._document

    def glimpse(self, decode: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
        """The event, or what `decode` makes of it if nobody has needed all of it yet."""
        return decode(self.json) if self._document is None else self._document

    def changed(self, document: dict[str, Any]) -> "Written":
        """The same event with other contents, as the transforms of a route leave it."""
        other = Written(self.type, self.id, self.source, b"")
        other._json, other._document, other._root = None, document, self._root
        return other


def posted(json: bytes, source: str) -> Written:
    """An event that came as JSON. Raises MessageError if it is none.

    It has to say its `type`; without an `id` it gets one that follows from its bytes, and without
    a `source` the one given.
    """
    try:
        event = _decode(json)
    except msgspec.DecodeError:
        raise MessageError("invalid_json", "the event is not JSON", location="event") from None
    if not isinstance(event, dict) or not event.get("type") or not _are_text(event):
        text = (
            "an event is an object with a text under type, and under id and source if it has them"
        )
        raise MessageError("not_an_event", text, location="event")
    if not (event.get("id") and event.get("source")):
        digest = hashlib.sha256(b"event\0" + json).digest()
        identity = uuid.UUID(int=int.from_bytes(digest[:16]) & ~(0xF << 76) | (8 << 76))
        named = {"id": event.get("id") or str(identity), "source": event.get("source") or source}
        json = msgspec.json.encode({"type": event["type"], **named, **{**event, **named}})
        event |= named
    return Written(event["type"], event["id"], event["source"], json)


def _are_text(event: dict[str, Any]) -> bool:
    return all(isinstance(event.get(key, ""), str) for key in ("type", "id", "source"))
