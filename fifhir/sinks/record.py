"""What the drivers of the `queue` action are given."""

from msgspec import Struct


class Record(Struct, frozen=True):
    """One event for a broker. `id` is the same for every repeat of it, `kind` the event's type."""

    topic: str
    key: bytes | None
    id: str
    kind: str
    headers: dict[str, str]
    body: bytes
