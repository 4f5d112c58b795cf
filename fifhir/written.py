"""An event as JSON, with the three things routing asks for."""

from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


class Written:
    """What goes through a workflow. Nothing is decoded before somebody asks what is in it."""

    __slots__ = ("_document", "id", "json", "source", "type")

    def __init__(self, type: str, id: str, source: str, json: bytes) -> None:
        self.type = type
        self.id = id
        self.source = source
        self.json = json
        self._document: dict[str, Any] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The event as objects, made once; whoever wants to change it makes a copy."""
        if self._document is None:
            self._document = _decode(self.json)
        return self._document
