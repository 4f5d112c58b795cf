"""What a row of `dlq_events` says, whichever database it is from: the columns are the same."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from fifhir.store import DeadLetter, Deed
from fifhir.store.sealing import Seal

HEAD = (
    "id, original_event_id, event_type, source, route_name, action_type, action_index, "
    "idempotency_key, error_message, error_type, error_count, blocks, trace, first_failed_at, "
    "last_failed_at"
)
"""The columns of a letter but what is sealed."""


class Row(Protocol):
    """A row of either driver."""

    def __getitem__(self, column: str, /) -> Any: ...


def letter_of(row: Row, seal: Seal | None, seconds: Callable[[Any], float]) -> DeadLetter:
    """The letter of a row; without a seal, without what is sealed.

    `seconds` makes seconds since 1970 of the database's own times.
    """
    raw = event = b""
    if seal is not None:
        raw = seal.open(row["key_id"], row["raw"], row["id"], "raw")
        event = seal.open(row["key_id"], row["payload"], row["id"], "payload")
    return DeadLetter(
        id=row["id"],
        event_id=row["original_event_id"],
        event_type=row["event_type"],
        source=row["source"],
        route=row["route_name"],
        action=row["action_type"],
        action_index=row["action_index"],
        key=row["idempotency_key"],
        raw=raw,
        event=event,
        error=row["error_message"],
        error_type=row["error_type"],
        attempts=row["error_count"],
        blocks=row["blocks"],
        trace=row["trace"],
        first_failed_at=seconds(row["first_failed_at"]),
        last_failed_at=seconds(row["last_failed_at"]),
    )


def deed_of(at: float, who: str, what: str, details: str) -> Deed:
    """The entry of a row of `audit_log`."""
    return Deed(at=at, who=who, what=what, details=msgspec.json.decode(details))
