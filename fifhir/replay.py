"""Dead letters to the action that failed, and to it alone.

A letter is taken before it is tried, so two people may replay at once. Its lease is short and
renewed for as long as the replay lives: a slow destination loses nobody a letter, and a replay that
was killed holds nothing up. What is confirmed is gone from the store afterwards: a
crash between the two sends it once more, with the same key.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct, structs

from fifhir.delivery.courier import Undelivered
from fifhir.errors import FifhirError, StoreError
from fifhir.store import DeadLetter, Query, Store, Taken
from fifhir.workflow.engine import Workflow

AT_ONCE = 64  # letters in delivery
BATCH = 256  # letters taken with one transaction
LEASE = 30.0  # seconds without a sign of life until another replay may take a letter
RENEWAL = 10.0  # seconds between two signs of life


class Result(Struct):
    """What a replay did. Skipped: another one has it, or the workflow has no such action."""

    delivered: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return self.delivered + self.failed + self.skipped


async def replay(
    store: Store,
    workflow: Workflow,
    query: Query,
    tell: Callable[[DeadLetter, str, str], None],
    limit: int = 1 << 62,
) -> Result:
    """Every letter that matches, and that nobody else holds, has been tried once, up to `limit`.

    `tell` is given each letter, what became of it (delivered, failed or skipped), and why.
    """
    before = structs.replace(query, until=query.until or await store.now())
    source, result = _Source(store, before, limit), Result()
    keeper = asyncio.create_task(_keep(store, source))

    async def work() -> None:
        while taken := await source.next():
            word, why = await _try(store, workflow, taken)
            source.held.pop(taken.letter.id, None)
            if word == "absent":
                source.absent.append(taken)
                word = "skipped"
            setattr(result, word, getattr(result, word) + 1)
            tell(taken.letter, word, why)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None
    finally:
        keeper.cancel()
        await _put_back(store, source.hands)
    return result


class _Source:
    """Letters to try, taken a batch at a time while those before are in delivery."""

    def __init__(self, store: Store, query: Query, limit: int) -> None:
        self.held: dict[str, Taken] = {}
        self.absent: list[Taken] = []
        self._store = store
        self._query = query
        self._left = limit
        self._waiting: deque[Taken] = deque()
        self._lock = asyncio.Lock()

    @property
    def hands(self) -> list[Taken]:
        """The letters that nobody else may have: to be tried, being tried, or not to be tried."""
        return [*self.absent, *self.held.values()]

    async def next(self) -> Taken | None:
        async with self._lock:
            if not self._waiting and self._left:
                await self._take()
            return self._waiting.popleft() if self._waiting else None

    async def _take(self) -> None:
        some = await self._store.take(self._query, min(BATCH, self._left), LEASE)
        self._left = self._left - len(some) if some else 0
        self._waiting += some
        self.held |= {taken.letter.id: taken for taken in some}


async def _try(store: Store, workflow: Workflow, taken: Taken) -> tuple[str, str]:
    """What became of a letter, and why."""
    try:
        await workflow.redeliver(taken.letter)
    except Undelivered as fault:
        kept = await store.fail_again(taken, str(fault), fault.kind)
        return "failed" if kept else "skipped", str(fault)
    except FifhirError as fault:
        return "absent", str(fault)
    return "delivered" if await store.resolve(taken) else "skipped", ""


async def _keep(store: Store, source: _Source) -> None:
    """What is in hand stays there, until cancelled."""
    while True:
        await asyncio.sleep(RENEWAL)
        with suppress(StoreError):  # past its lease a letter may be tried twice, under one key
            await store.keep(source.hands, LEASE)


async def _put_back(store: Store, letters: Sequence[Taken]) -> None:
    """What was not tried may be taken again; if the store does not answer, when its lease ends."""
    if letters:
        with suppress(StoreError):
            await store.put_back(letters)
