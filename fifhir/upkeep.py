"""What a worker looks after beside its connections: is the store well, and what do gauges show."""

import asyncio
import random

from fifhir.errors import StoreError
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.store import Store
from fifhir.workflow.engine import Workflow

EVERY = 2.0  # seconds between two looks
BOOT = 3.0  # seconds a worker waits for its store before it serves without
HOURLY = 3600.0  # seconds between two rounds of what the store has to throw away


class Upkeep:
    """Opens the store, and again until it opens; keeps the gauges of one worker."""

    def __init__(
        self, store: Store | None, workflow: Workflow, catalogue: Catalogue, slab: Slab, log: Log
    ) -> None:
        self._well = store is None
        self._told = True
        self._trouble = "unavailable"
        self._looked = asyncio.Event()
        self.store = store
        self._workflow = workflow
        self._catalogue = catalogue
        self._slab = slab
        self._log = log
        self._throw_away = asyncio.get_running_loop().time() + random.uniform(0.5, 1) * HOURLY  # noqa: S311 - spreads workers

    @property
    def is_well(self) -> bool:
        """Whether the store, if there is one, did what was last asked of it."""
        return self._well and (self.store is None or self.store.ready)

    @property
    def trouble(self) -> str:
        """What ails the store, in a word (the kind of its StoreError); empty if it is well."""
        return "" if self.is_well else self._trouble

    async def settled(self, *, needed: bool) -> None:
        """The store is open, or could not be opened soon; then StoreError if it is `needed`."""
        try:
            async with asyncio.timeout(BOOT):
                await self._looked.wait()
        except TimeoutError:
            self._log.warn("store does not answer yet")
        if needed and not self.is_well:
            raise StoreError("unavailable", "the store cannot be opened (store.on_start: fail)")

    async def run(self) -> None:
        """Look again every few seconds, until cancelled."""
        while True:
            if self.store is not None:
                await self._look(self.store)
            self._looked.set()
            self._workflow.publish()
            await asyncio.sleep(EVERY)

    async def _look(self, store: Store) -> None:
        """The number of dead letters is known, or the store is known to be unwell."""
        try:
            if not self._well:
                await store.open()
            if not store.ready:
                await store.health()
            found = await store.count()
            pending, oldest = await store.backlog()
            await self._tidy(store)
        except StoreError as fault:
            if self._told:
                self._log.error("store does not answer", reason=str(fault), kind=fault.kind)
            self._well = self._told = False
            self._slab.words[self._catalogue.store_down] = 1.0
            self._trouble = fault.kind
            return
        if not self._told:
            self._log.info("store answers again")
        self._well = self._told = True
        words, catalogue = self._slab.words, self._catalogue
        words[catalogue.store_down] = 0.0
        words[catalogue.dlq_size] = float(found)
        words[catalogue.pending], words[catalogue.oldest] = float(pending), oldest

    async def _tidy(self, store: Store) -> None:
        """Once an hour what has outlived its time is thrown away."""
        now = asyncio.get_running_loop().time()
        if now >= self._throw_away:
            self._throw_away = now + HOURLY
            await store.maintain()
