"""The daemon with a mistake on purpose: it answers before the journal's commit.

The accounting has to notice; else it proves nothing about the daemon without the mistake.
"""

import asyncio
from collections.abc import Sequence

from fifhir.cli import main
from fifhir.journal import Accepted, Journal
from fifhir.store import Fresh, Recorded

LATE = 1.0  # seconds between the answer and the commit

_record = Journal.record
_later: set[asyncio.Task[list[Recorded]]] = set()


async def _answer_first(self: Journal, accepted: Sequence[Accepted]) -> list[Recorded]:
    async def commit() -> list[Recorded]:
        await asyncio.sleep(LATE)
        return await _record(self, accepted)

    task = asyncio.get_running_loop().create_task(commit())
    _later.add(task)
    task.add_done_callback(_later.discard)
    return [Fresh() for _ in accepted]


if __name__ == "__main__":
    Journal.record = _answer_first  # type: ignore[method-assign]
    main()
