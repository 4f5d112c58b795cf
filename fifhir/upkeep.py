"""What a worker looks after beside its connections: is the store well, and what do gauges show."""

import asyncio

from fifhir.errors import StoreError
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.store.sqlite import SqliteStore
from fifhir.workflow.engine import Workflow

EVERY = 2.0  # seconds


class Upkeep:
    """Keeps the gauges of one worker; `is_well` says whether the store answered when last asked."""

    def __init__(
        self, store: SqliteStore, workflow: Workflow, catalogue: Catalogue, slab: Slab, log: Log
    ) -> None:
        self.is_well = True
        self._store = store
        self._workflow = workflow
        self._catalogue = catalogue
        self._slab = slab
        self._log = log

    def breaker(self, endpoint: str, state: int) -> None:
        """The gauge of an endpoint's breaker is set."""
        self._slab.words[self._catalogue.breaker(endpoint)] = float(state)

    def rejected(self, endpoint: str) -> None:
        """A delivery the rate limiter turned away is counted."""
        self._slab.add(self._catalogue.rejected(endpoint))

    def unkept(self) -> None:
        """A dead letter that the store did not take is counted."""
        self._slab.add(self._catalogue.unkept)

    async def run(self) -> None:
        """Look again every few seconds, until cancelled."""
        while True:
            await self.look()
            self._workflow.publish()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """The number of dead letters is known, or the store is known to be unwell."""
        try:
            found = await self._store.count()
        except StoreError as fault:
            if self.is_well:
                self._log.error("store does not answer", reason=str(fault))
            self.is_well = False
            return
        if not self.is_well:
            self._log.info("store answers again")
        self.is_well = True
        self._slab.words[self._catalogue.dlq_size] = float(found)
