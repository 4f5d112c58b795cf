"""Dead letters to the action that failed, and to it alone.

A letter is claimed before it is tried, so two people may replay at once; the claim runs out, so a
replay that was killed holds nothing up. What is confirmed is gone from the store afterwards: a
crash between the two sends it once more, with the same key.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct, structs

from fifhir.delivery.courier import Undelivered
from fifhir.errors import FifhirError
from fifhir.store import DeadLetter, Query, Store, Taken
from fifhir.workflow.engine import Workflow

BATCH = 64  # letters in flight at a time
LEASE = 300.0  # seconds; longer than all tries of one delivery


class Result(Struct):
    """What a replay did. Gone elsewhere: another one replayed it meanwhile."""

    delivered: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return self.delivered + self.failed + self.skipped


async def replay(
    store: Store, workflow: Workflow, query: Query, tell: Callable[[DeadLetter, str], None]
) -> Result:
    """Every letter that matches, and that nobody else holds, has been tried once.

    `tell` is given each letter and what became of it: delivered, failed or skipped.
    """
    result, before = Result(), structs.replace(query, until=query.until or await store.now())
    while batch := await store.take(before, BATCH, LEASE):
        words = await asyncio.gather(*(_try(store, workflow, each) for each in batch))
        for taken, word in zip(batch, words, strict=True):
            setattr(result, word, getattr(result, word) + 1)
            tell(taken.letter, word)
    return result


async def _try(store: Store, workflow: Workflow, taken: Taken) -> str:
    try:
        await workflow.redeliver(taken.letter)
    except Undelivered as fault:
        kept = await store.fail_again(taken, str(fault), fault.kind)
        return "failed" if kept else "skipped"
    except FifhirError as fault:
        await store.fail_again(taken, str(fault), "unknown")
        return "skipped"
    await store.resolve(taken)
    return "delivered"
