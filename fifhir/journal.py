"""Accept first, deliver afterwards: messages go into the store's journal and out of it again.

A message is answered once its row is committed. From there whichever worker claims its order key
runs it through the workflow, one after another for each key, and settles what came of it: the row
is done and dead letters are buried in one transaction. If the workflow says so, such a letter holds
up what comes after it of its key. A worker that dies holds a key until its lease has run out; then
another one goes on, and what was on its way is sent again under its key.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

from msgspec import structs

from fifhir import ack
from fifhir.errors import StoreError
from fifhir.logs import Log
from fifhir.signs import Signs
from fifhir.store import Claim, DeadLetter, Entry, Fresh, Pending, Recorded, Store
from fifhir.workflow.engine import Workflow
from fifhir.written import Written

KEYS = 64  # order keys one worker delivers for at a time
ENTRIES = 64  # messages of a key it takes at once
SETTLED = 16  # messages after which it settles, or a dead letter; as many may be sent again
LEASE = 15.0  # seconds until another worker takes over; the watchdog ends one that hangs after 10
PAUSE = 2.0  # seconds until an order key is tried again of which nothing could be settled
BREATH = 0.005  # seconds from one claim to the next, so that there is something to claim
POLL = 1.0  # seconds between two looks for what other workers have left
ATTEMPTS = 5  # times a worker may die of a message before it is given up


class Accepted(NamedTuple):
    """A message to be recorded: its event, its bytes, their SHA-256, and its answer."""

    written: Written
    raw: bytes
    digest: bytes
    answer: bytes


class Journal:
    """One worker's hand on the journal."""

    def __init__(self, store: Store, workflow: Workflow, signs: Signs, log: Log) -> None:
        self._store = store
        self._workflow = workflow
        self._signs = signs
        self._log = log
        self._fresh = asyncio.Event()
        self._working: set[asyncio.Task[None]] = set()
        self._retired = False

    async def record(self, accepted: Sequence[Accepted]) -> list[Recorded]:
        """The messages and their answers are committed, or were so before. StoreError: none is."""
        entries = [_entry(each, self._workflow.wants(each.written)) for each in accepted]
        recorded = await self._store.record_all(entries)
        for entry, each, came in zip(entries, accepted, recorded, strict=True):
            if entry.wanted:
                self._fresh.set()
            elif isinstance(came, Fresh):  # with its record it is done
                await self._workflow.run(each.written, each.raw)
        return recorded

    async def run(self) -> None:
        """Deliver what is in the journal, until cancelled."""
        while True:
            self._fresh.clear()
            claims = await self._claim(KEYS - len(self._working))
            for claim in claims:
                task = asyncio.get_running_loop().create_task(self._work(claim))
                self._working.add(task)
                task.add_done_callback(self._finished)
            await asyncio.sleep(BREATH)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._fresh.wait()

    async def retire(self, seconds: float) -> None:
        """What is on its way has arrived or is given back; `run` has been cancelled before."""
        self._retired = True
        if self._working:
            await asyncio.wait(self._working, timeout=seconds)
        for task in tuple(self._working):
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def _claim(self, room: int) -> list[Claim]:
        if room <= 0 or not self._store.ready:
            return []
        try:
            return await self._store.claim(room, ENTRIES, LEASE)
        except StoreError as fault:
            self._log.warn("journal cannot be read", reason=str(fault))
            return []

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._fresh.set()
        if not task.cancelled() and (fault := task.exception()):
            self._log.error("delivery from the journal failed", exception=type(fault).__name__)

    async def _work(self, claim: Claim) -> None:
        """The entries of a claim, one after another; whatever was done is settled in any case."""
        keeper = asyncio.get_running_loop().create_task(self._keep(claim))
        hands, fine = _Hands(claim.order_key if self._workflow.blocks else ""), True
        try:
            for entry in claim.entries:
                if self._retired or keeper.done() or hands.stuck or not fine:
                    break
                await self._deliver(entry, hands)
                if hands.full:
                    fine = await self._settle(claim, hands)
        finally:
            keeper.cancel()
            ended = fine and bool(hands.done)
            fine = await self._settle(claim, hands, release=ended) and fine
            if not (ended and fine):
                await self._release(claim, 0.0 if fine else PAUSE, given_back=not hands.settled)

    async def _deliver(self, entry: Pending, hands: "_Hands") -> None:
        written = Written(
            *(entry.event_type, entry.event_id, entry.source, entry.event), entry.trace
        )
        if entry.attempts > ATTEMPTS:
            await hands.bury(self._workflow.give_up(written, entry.raw, entry.attempts - 1))
            self._log.error(
                "message given up",
                event_id=entry.event_id,
                trace_id=written.trace.trace_id,
                attempts=entry.attempts,
            )
        else:
            began = perf_counter()
            self._signs.claimed(entry.recorded_at)
            await self._workflow.run(written, entry.raw, grave=hands)
            self._signs.taken_up("journal", written, began)
        hands.done.append(entry.number)

    async def _release(self, claim: Claim, delay: float, *, given_back: bool) -> None:
        with suppress(StoreError):  # then its lease ends it
            await self._store.release(claim, delay, given_back=given_back)

    async def _settle(self, claim: Claim, hands: "_Hands", *, release: bool = False) -> bool:
        """What was done is so in the store; False: it will be delivered again, by whoever has it.

        Nothing that comes after it may be delivered then: of what failed no letter was written, so
        it will come again, and in its order.
        """
        done, letters = hands.empty()
        if not done:
            return True
        try:
            if await self._store.settle(claim, done, letters, release=release):
                hands.settled = True
                return True
            self._log.warn("journal entries were delivered by two workers", count=len(done))
        except StoreError as fault:
            self._log.warn("journal entries cannot be settled", reason=str(fault), count=len(done))
        return False

    async def _keep(self, claim: Claim) -> None:
        """The claim holds; this ends when it does not any more."""
        held = True
        while held:
            await asyncio.sleep(LEASE / 3)
            with suppress(StoreError):
                held = await self._store.renew(claim, LEASE)


class _Hands:
    """What was done of a claim and is not settled yet; dead letters wait here for its commit.

    `settled`: of this claim something was. `stuck`: a letter is here that blocks the order key.
    """

    def __init__(self, blocks: str) -> None:
        self.done: list[int] = []
        self.letters: list[DeadLetter] = []
        self.settled = False
        self.stuck = False
        self._blocks = blocks

    @property
    def full(self) -> bool:
        """Nothing more may be delivered before what is here has been settled."""
        return bool(self.letters) or len(self.done) >= SETTLED

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += [structs.replace(each, blocks=self._blocks) for each in letters]
        self.stuck = bool(self._blocks and self.letters)

    def empty(self) -> tuple[list[int], list[DeadLetter]]:
        taken = self.done, self.letters
        self.done, self.letters = [], []
        return taken


def _entry(accepted: Accepted, wanted: bool) -> Entry:
    written, raw, digest, answer = accepted
    application, facility, control_id = (name.decode(errors="replace") for name in ack.names(raw))
    return Entry(
        event_id=written.id,
        event_type=written.type,
        source=written.source,
        order_key="|".join((written.source, application, facility)),
        raw=raw,
        event=written.json,
        answer=answer,
        tenant=written.source,
        application=application,
        facility=facility,
        control_id=control_id,
        digest=digest,
        trace=written.link,
        wanted=wanted,
    )
