"""The daemon with a mistake on purpose: it answers before the journal's commit.

The accounting has to notice; else it proves nothing about the daemon without the mistake.
"""

import asyncio

from fifhir.cli import main
from fifhir.journal import Journal
from fifhir.store import Fresh, Recorded
from fifhir.written import Written

LATE = 1.0  # seconds between the answer and the commit

_record = Journal.record
_later: set[asyncio.Task[Recorded]] = set()


async def _answer_first(
    self: Journal, written: Written, raw: bytes, digest: bytes, answer: bytes
) -> Recorded:
    async def commit() -> Recorded:
        await asyncio.sleep(LATE)
        return await _record(self, written, raw, digest, answer)

    task = asyncio.get_running_loop().create_task(commit())
    _later.add(task)
    task.add_done_callback(_later.discard)
    return Fresh()


if __name__ == "__main__":
    Journal.record = _answer_first  # type: ignore[method-assign]
    main()
