"""One message taken from a broker: through the workflow, until the promise holds for it.

There is nobody to answer: the broker keeps a message until it is told that it is done, and that is
told once the message is in the journal, or every action was confirmed or kept. What cannot be read
is kept as a dead letter, whole, for it will be no better the next time. Our own trouble is waited
out; whoever takes messages takes no more of them meanwhile.
"""

import asyncio
import hashlib
from time import perf_counter

from fifhir import intake, logs, tracing
from fifhir.errors import MessageError, StoreError
from fifhir.ingress.counting import Sampler
from fifhir.ingress.duty import Duty
from fifhir.intake import Feed
from fifhir.journal import Journal
from fifhir.parcel import key
from fifhir.scoreboard import Slab
from fifhir.signs import Signs
from fifhir.store import DeadLetter, Repeat, Store
from fifhir.subscription import Subscription
from fifhir.written import Written

PAUSE, LONGEST = 0.25, 15.0  # seconds between two tries of a message that we cannot keep
ATTEMPTS = 5  # times that reading a message may end in a fault of ours


class Taker:
    """Takes the messages of one broker."""

    def __init__(  # noqa: PLR0913, PLR0917 - what taking stands on
        self,
        broker: str,
        settings: Subscription,
        source: str,
        duty: Duty,
        slab: Slab,
        signs: Signs,
        store: Store,
        journal: Journal | None,
    ) -> None:
        self._broker = broker
        self._feed = Feed.of(source, duty.profiles, settings.profile)
        self._limit = settings.max_message_bytes
        self._workflow = duty.workflow
        self._catalogue = duty.board.catalogue
        self._slab = slab
        self._signs = signs
        self._sampler = Sampler(self._catalogue, slab)
        self._store = store
        self._journal = journal if settings.ack_when == "after_store" else None
        self._log = duty.log

    async def take(self, raw: bytes, traceparent: str = "") -> None:
        """The message is in the journal, or delivered, or kept. Tried until it is, or cancelled."""
        pause, faults = PAUSE, 0
        while True:
            try:
                if await self._try(raw, traceparent):
                    return
            except Exception as fault:
                faults += 1
                self._tell(fault)
                if faults >= ATTEMPTS and await self.keep(raw, "poison", "reading it fails"):
                    return
            self._count("failed")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST)

    async def keep(self, raw: bytes, kind: str, why: str) -> bool:
        """Whether the message is a dead letter as it came."""
        source = self._feed.source
        event_id = key(hashlib.sha256(raw).hexdigest(), source, 0)
        letter = DeadLetter(
            id=key(event_id, f"dlq {self._broker}", 0),
            event_id=event_id,
            event_type="unreadable",
            source=source,
            route="",
            action=self._broker,
            action_index=0,
            key=key(event_id, "", 0),
            raw=raw,
            event=b"{}",
            error=why,
            error_type=kind,
        )
        try:
            await self._store.bury([letter])
        except StoreError as fault:
            self._signs.unkept()
            self._log.error("dlq write failed", source=source, reason=str(fault))
            return False
        self._count("unreadable")
        told = {"source": source, "trace_id": tracing.begin("", event_id).trace_id}
        self._log.warn("event moved to dlq", dlq_id=letter.id, error=why, **told)
        return True

    async def _try(self, raw: bytes, traceparent: str) -> bool:
        began = perf_counter()
        try:
            message, written = self._read(raw)
        except MessageError as wrong:
            self._slab.add(self._catalogue.error("parse"))
            return await self.keep(raw, "unreadable", f"{wrong.location}: {wrong}")
        self._signs.parsed(written, traceparent, (self._broker, len(raw)), began)
        if not await self._promised(message, written):
            return False
        self._signs.answered(written, self._broker, began)
        self._sampler.look(message, self._feed, written.type)
        self._count("accepted")
        return True

    def _read(self, raw: bytes) -> tuple[bytes, Written]:
        if len(raw) > self._limit:
            text = "larger than max_message_bytes of its settings"
            raise MessageError("too_large", text)
        return intake.read_alone(raw, self._feed)

    async def _promised(self, raw: bytes, written: Written) -> bool:
        """Whether the message is in the journal, or all its actions are confirmed or kept."""
        if self._journal is None:
            return (await self._workflow.run(written, raw)).success
        sent = perf_counter()
        try:
            [recorded] = await intake.record([(raw, written)], self._journal, lambda _: b"")
        except StoreError as fault:
            told = {"source": self._feed.source, "trace_id": written.trace.trace_id}
            self._log.warn("message not recorded", reason=f"store {fault.kind}", **told)
            return False
        self._signs.recorded(written, sent)
        if isinstance(recorded, Repeat):
            self._slab.add(self._catalogue.duplicates)
        return True

    def _tell(self, fault: Exception) -> None:
        where = logs.place(fault.__traceback__)
        self._log.error("message failed", exception=type(fault).__name__, place=where)

    def _count(self, outcome: str) -> None:
        self._slab.add(self._catalogue.taken[self._broker, outcome])
