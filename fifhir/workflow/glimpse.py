"""Decoders that read of an event only what conditions ask for: the rest costs a quarter as much."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypedDict, cast

import msgspec

Path: TypeAlias = tuple[str | None, ...]
Decode: TypeAlias = Callable[[bytes], dict[str, Any]]


class _Part:
    """What is asked of one place: its fields, its elements (under None), or all of it."""

    def __init__(self) -> None:
        self.whole = False
        self.parts: dict[str | None, _Part] = {}

    def add(self, path: Path) -> None:
        if not path:
            self.whole = True
        else:
            self.parts.setdefault(path[0], _Part()).add(path[1:])

    def type(self) -> Any:
        """The type that reads just that. A place that is asked as a list and an object is Any."""
        if self.whole or not self.parts or (None in self.parts and len(self.parts) > 1):
            return Any
        if None in self.parts:
            return list.__class_getitem__(self.parts[None].type())
        fields = {str(name): part.type() for name, part in self.parts.items()}
        return cast(Any, TypedDict)("Seen", fields, total=False)


def decoder(needs: Iterable[Path]) -> Decode:
    """What reads these places of an event.

    An event that is built otherwise (null where an object is asked for) is read as a whole, so
    that a condition finds out by itself what is wrong.
    """
    part = _Part()
    for path in needs:
        part.add(path)
    partly: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(part.type())
    whole = msgspec.json.Decoder(dict[str, Any])

    def decode(json: bytes) -> dict[str, Any]:
        try:
            return partly.decode(json)
        except msgspec.ValidationError:
            return whole.decode(json)

    return decode
