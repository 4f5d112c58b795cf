"""Messages from Kafka: a consumer of a group for each worker, and offsets that are never too far.

Records with the same key (those without one: of the same partition) run one after another, the
others side by side. What is committed of a partition is the offset up to which everything is done,
so whoever goes on after a crash begins with what may not be; some of it is done twice.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from fifhir import tracing
from fifhir.brokers.kafka import security
from fifhir.ingress.taking import Taker
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.subscription import KafkaSettings

POLL = 0.5  # seconds to wait for records
COMMIT = 1.0  # seconds between two commits
AGAIN = 2.0  # seconds until a consumer that broke is made anew
START = 30.0  # seconds until a consumer has joined
HANDOVER = 10.0  # seconds for what is under way of a partition that another worker gets
STOPPING = 5.0  # seconds


Lane: TypeAlias = tuple[TopicPartition, bytes | None]


class Partition:
    """What was begun of one partition, in order, and whether it is done."""

    def __init__(self) -> None:
        self._begun: dict[int, bool] = {}
        self.position: int | None = None

    def begin(self, offset: int) -> None:
        self._begun[offset] = False

    def finish(self, offset: int) -> None:
        """`position` is behind everything that is done without a gap."""
        self._begun[offset] = True
        for each in tuple(self._begun):
            if not self._begun[each]:
                break
            del self._begun[each]
            self.position = each + 1


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]  # it comes without types
    """One worker's member of the group; it joins again whenever it was thrown out."""

    def __init__(
        self, settings: KafkaSettings, taker: Taker, slab: Slab, catalogue: Catalogue, log: Log
    ) -> None:
        self._settings = settings
        self._taker = taker
        self._slab = slab
        self._catalogue = catalogue
        self._log = log
        self._ordered = settings.ack_when == "after_actions"  # else the journal keeps the order
        self._stopping = False
        self._until = self._due = 0.0
        self._partitions: dict[TopicPartition, Partition] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._working: dict[asyncio.Task[None], TopicPartition] = {}
        self._lanes: dict[Lane, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def drain(self, seconds: float) -> None:
        """No more is taken, what is under way is done or given back, and the group is left."""
        self._stopping, self._until = True, self._loop.time() + seconds
        await asyncio.wait({self._task}, timeout=seconds + STOPPING)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._consume()
            except (KafkaError, OSError, TimeoutError) as fault:
                self._log.warn("kafka cannot be read", reason=type(fault).__name__)
                await asyncio.sleep(0 if self._stopping else AGAIN)

    async def _consume(self) -> None:
        consumer = AIOKafkaConsumer(**self._options())
        self._consumer = consumer
        consumer.subscribe(self._settings.topics, listener=self)
        try:
            async with asyncio.timeout(START):
                await consumer.start()
            while not self._stopping:
                await self._turn(consumer)
            self._until = self._until or self._loop.time()
            await self._finish(self._working, self._until - self._loop.time())
            await self._commit()
        finally:
            await self._finish(self._working, 0)
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(STOPPING):
                    await consumer.stop()

    async def _turn(self, consumer: AIOKafkaConsumer) -> None:
        """Some records are under way, or some that were are done; their offsets are committed."""
        room = self._settings.in_flight - len(self._working)
        if room > 0:
            wait = int(POLL * 1000)
            found = await consumer.getmany(timeout_ms=wait, max_records=room)
            for partition, records in found.items():
                self._begin(partition, records)
        else:
            wanted = asyncio.FIRST_COMPLETED
            await asyncio.wait(self._working, timeout=POLL, return_when=wanted)
        self._show(consumer)
        if self._loop.time() >= self._due:
            await self._commit()

    def _begin(self, partition: TopicPartition, records: Iterable[ConsumerRecord]) -> None:
        known = self._partitions.setdefault(partition, Partition())
        for record in records:
            known.begin(record.offset)
            lane = partition, record.key
            before = self._lanes.get(lane) if self._ordered else None
            task = self._loop.create_task(self._work(record, known, before))
            self._working[task] = partition
            self._lanes[lane] = task
            task.add_done_callback(partial(self._done, lane=lane))

    async def _work(
        self, record: ConsumerRecord, partition: Partition, before: asyncio.Task[None] | None
    ) -> None:
        if before:
            await asyncio.wait({before})
        if record.value is not None:  # a tombstone is no message
            parent = dict(record.headers).get(tracing.HEADER, b"")
            await self._taker.take(record.value, tracing.text(parent))
        partition.finish(record.offset)

    def _done(self, task: asyncio.Task[None], lane: Lane) -> None:
        del self._working[task]
        if self._lanes.get(lane) is task:
            del self._lanes[lane]

    async def _finish(self, tasks: Iterable[asyncio.Task[None]], seconds: float) -> None:
        """The tasks are done, or were given up after some seconds."""
        tasks = set(tasks)
        if tasks and seconds > 0:
            await asyncio.wait(tasks, timeout=seconds)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _commit(self) -> None:
        """The group knows how far everything is done."""
        self._due = self._loop.time() + COMMIT
        offsets = {
            partition: known.position
            for partition, known in self._partitions.items()
            if known.position is not None and self._committed.get(partition) != known.position
        }
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except KafkaError as fault:  # another worker has them now, and will do some of it again
            self._log.warn("kafka offsets not committed", reason=type(fault).__name__)
        else:
            self._committed |= offsets

    def _show(self, consumer: AIOKafkaConsumer) -> None:
        words, lag = self._slab.words, 0
        for partition, known in self._partitions.items():
            end = consumer.highwater(partition)
            lag += max(0, (end or 0) - (known.position or end or 0))
        words[self._catalogue.kafka_lag] = float(lag)
        words[self._catalogue.held["kafka"]] = float(len(self._working))

    # The group's side: partitions come and go.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """What was under way of them is done and committed, or the next worker begins with it."""
        gone = set(revoked)
        tasks = [task for task, partition in self._working.items() if partition in gone]
        await self._finish(tasks, HANDOVER)
        await self._commit()
        for partition in gone:
            self._partitions.pop(partition, None)
            self._committed.pop(partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._log.info("kafka partitions assigned", count=len(set(assigned)))

    def _options(self) -> dict[str, object]:
        settings = self._settings
        ours: dict[str, object] = {
            "group_id": settings.group,
            "enable_auto_commit": False,
            "auto_offset_reset": settings.start,
            "isolation_level": "read_committed",
            "max_partition_fetch_bytes": max(1 << 20, settings.max_message_bytes),
            "session_timeout_ms": 15_000,
            "heartbeat_interval_ms": 3_000,
            "rebalance_timeout_ms": 60_000,
            # A worker that waits for its destinations takes nothing, and is well all the same.
            "max_poll_interval_ms": 86_400_000,
        }
        return security(settings.login()) | ours
