"""An event as JSON, with the three things routing asks for."""

from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


class Written:
    """What goes through a workflow. Nothing is decoded before somebody asks what is in it."""

    __slots__ = ("_document", "_json", "id", "source", "type")

    def __init__(self, type: str, id: str, source: str, json: bytes) -> None:
        self.type = type
        self.id = id
        self.source = source
        self._json: bytes | None = json
        self._document: dict[str, Any] | None = None

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

    def changed(self, document: dict[str, Any]) -> "Written":
        """The same event with other contents, as the transforms of a route leave it."""
        other = Written(self.type, self.id, self.source, b"")
        other._json, other._document = None, document
        return other
