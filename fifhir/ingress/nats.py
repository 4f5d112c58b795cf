"""Messages from NATS JetStream: all workers pull from one durable consumer.

A message is acknowledged once it is done; while it is under way NATS is told so, and when a worker
falls silent another one gets it. Messages of which workers died several times are kept, not tried
again.
"""

import asyncio
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from fifhir import tracing
from fifhir.brokers.nats import close, connect
from fifhir.ingress.taking import ATTEMPTS, Taker
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.subscription import NatsSettings

POLL = 0.5  # seconds to wait for messages
AGAIN = 2.0  # seconds until a connection that broke is made anew
STOPPING = 5.0  # seconds
_FAULTS = (nats.errors.Error, OSError, TimeoutError)


class Consumer:
    """One worker's pull from the consumer; it connects again whenever the connection broke."""

    def __init__(
        self, settings: NatsSettings, taker: Taker, slab: Slab, catalogue: Catalogue, log: Log
    ) -> None:
        self._settings = settings
        self._taker = taker
        self._slab = slab
        self._catalogue = catalogue
        self._log = log
        self._stopping = False
        self._working: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self._task = self._loop.create_task(self._run())

    async def drain(self, seconds: float) -> None:
        """No more is taken, and what is under way is done or given back."""
        self._stopping, self._until = True, self._loop.time() + seconds
        await asyncio.wait({self._task}, timeout=seconds + STOPPING)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._consume()
            except _FAULTS as fault:
                self._log.warn("nats cannot be read", reason=type(fault).__name__)
                await asyncio.sleep(0 if self._stopping else AGAIN)

    async def _consume(self) -> None:
        client = await connect(self._settings.login())
        try:
            pull = await self._subscribed(client)
            while not self._stopping and client.is_connected:
                await self._turn(pull)
            await self._finish(self._until - self._loop.time())
        finally:
            await self._finish(0)
            await close(client)

    async def _subscribed(self, client: Client) -> JetStreamContext.PullSubscription:
        settings = self._settings
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=settings.ack_wait,
            max_ack_pending=100_000,  # each worker has a limit of its own
            filter_subject=settings.subject or None,
        )
        return await client.jetstream().pull_subscribe(
            settings.subject, durable=settings.durable, stream=settings.stream, config=config
        )

    async def _turn(self, pull: JetStreamContext.PullSubscription) -> None:
        """Some messages are under way, or some that were are done."""
        room = self._settings.in_flight - len(self._working)
        if room > 0:
            with suppress(nats.errors.TimeoutError):
                for message in await pull.fetch(room, timeout=POLL):
                    self._begin(message)
        else:
            wanted = asyncio.FIRST_COMPLETED
            await asyncio.wait(self._working, timeout=POLL, return_when=wanted)
        self._slab.words[self._catalogue.held["nats"]] = float(len(self._working))

    def _begin(self, message: Msg) -> None:
        pending = message.metadata.num_pending
        self._slab.words[self._catalogue.nats_pending] = float(pending)
        task = self._loop.create_task(self._work(message))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _work(self, message: Msg) -> None:
        """The message is done, and NATS knows; or it is another worker's again."""
        keeper = self._loop.create_task(self._keep(message))
        try:
            tries = message.metadata.num_delivered
            text = "a worker died of it each time it was tried"
            if tries <= ATTEMPTS or not await self._taker.keep(message.data, "poison", text):
                parent = (message.headers or {}).get(tracing.HEADER, "")
                await self._taker.take(message.data, tracing.text(parent.encode()))
            with suppress(*_FAULTS):
                await message.ack()
        except asyncio.CancelledError:
            with suppress(*_FAULTS):
                await message.nak()
            raise
        finally:
            keeper.cancel()

    async def _keep(self, message: Msg) -> None:
        """NATS hears in time that the message is under way."""
        while True:
            await asyncio.sleep(self._settings.ack_wait / 3)
            with suppress(*_FAULTS):
                await message.in_progress()

    async def _finish(self, seconds: float) -> None:
        """What was under way is done, or given back after some seconds."""
        tasks = set(self._working)
        if tasks and seconds > 0:
            await asyncio.wait(tasks, timeout=seconds)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
