"""The daemon with a mistake on purpose, PLANTED says which.

The accounting has to notice; else it proves nothing about the daemon without the mistake.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from fifhir.cli import main
from fifhir.journal import Accepted, Journal
from fifhir.store import Claim, Fresh, Recorded
from fifhir.store.books import Books

LATE = 1.0  # seconds between an answer and its commit

_record, _claim = Journal.record, Books.claim
_later: set[asyncio.Task[list[Recorded]]] = set()


async def _answer_first(self: Journal, accepted: Sequence[Accepted]) -> list[Recorded]:
    """It answers before the journal's commit."""

    async def commit() -> list[Recorded]:
        await asyncio.sleep(LATE)
        return await _record(self, accepted)

    task = asyncio.get_running_loop().create_task(commit())
    _later.add(task)
    task.add_done_callback(_later.discard)
    return [Fresh() for _ in accepted]


async def _settle_first(self: Books, keys: int, entries: int, lease: float) -> list[Claim]:
    """It calls done what it is about to deliver."""
    claims = await _claim(self, keys, entries, lease)
    for claim in claims:
        await self.settle(claim, [entry.number for entry in claim.entries])
    return claims


async def _bury_nothing(*_: Any) -> None:
    """It tells of dead letters that nobody wrote."""


MISTAKES: dict[str, tuple[type, str, Any]] = {
    "ack before commit": (Journal, "record", _answer_first),
    "done before delivery": (Books, "claim", _settle_first),
    "letters unwritten": (Books, "bury", _bury_nothing),
}

if __name__ == "__main__":
    owner, name, mistake = MISTAKES[os.environ["PLANTED"]]
    setattr(owner, name, mistake)
    main()
