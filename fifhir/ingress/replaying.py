"""POST /api/v1/workflow/replay: dead letters to the actions that failed, or how many there are.

Without `"dryRun": false` nothing is tried. `replayed` is how many letters were tried or would be.
What does not end in time is put back, and the answer says what was done by then.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fifhir.errors import StoreError
from fifhir.ingress.answers import OK_JSON, Problem
from fifhir.ingress.exchange import Answer, Request, Response
from fifhir.logs import Log
from fifhir.replay import replay
from fifhir.store import DeadLetter, Query, Store
from fifhir.workflow.engine import Workflow

DEADLINE = 60.0  # seconds
ERRORS = 100  # told, at most


class Wanted(Struct, frozen=True, rename="camel"):
    """The body: which letters, how many at most, and whether they are tried or counted."""

    source: Literal["dlq", "recording"] = "dlq"
    since: datetime | None = None
    until: datetime | None = None
    event_types: tuple[str, ...] = ()
    route: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    dry_run: bool = True

    def query(self) -> Query:
        return Query(
            since=self.since.timestamp() if self.since else 0.0,
            until=self.until.timestamp() if self.until else 0.0,
            event_types=self.event_types,
            route=self.route,
        )


class Failed(Struct, frozen=True, rename="camel"):
    """A letter that failed again or could not be tried."""

    event_id: str
    error: str


class Done(Struct, rename="camel"):
    """The answer."""

    dry_run: bool
    replayed: int = 0
    succeeded: int = 0
    failed: int = 0
    complete: bool = True
    errors: list[Failed] = []

    def add(self, letter: DeadLetter, word: str, why: str) -> None:
        """Note what became of a letter; what another replay has is no failure."""
        if word == "skipped" and not why:
            return
        self.replayed += 1
        if word == "delivered":
            self.succeeded += 1
            return
        self.failed += 1
        if len(self.errors) < ERRORS:
            self.errors.append(Failed(letter.event_id, why))


_read = msgspec.json.Decoder(Wanted).decode
_write = msgspec.json.Encoder().encode


class Replayer:
    """Answers requests to replay."""

    def __init__(self, store: Store | None, workflow: Workflow, log: Log) -> None:
        self._store = store
        self._workflow = workflow
        self._log = log

    def answer(self, request: Request) -> Answer:
        try:
            wanted = _read(request.body or b"{}")
        except msgspec.DecodeError as fault:
            raise Problem(400, "bad_request", "The body is not what this path takes.") from fault
        if wanted.source != "dlq":
            raise Problem(400, "bad_request", "Over HTTP only dead letters are replayed.")
        if self._store is None:
            raise Problem(503, "no_store", "The dead letter queue is switched off.")
        who = request.caller.name if request.caller else "anybody"
        return self._replay(self._store, wanted, f"api:{who}")

    async def _replay(self, store: Store, wanted: Wanted, who: str) -> Response:
        done = Done(wanted.dry_run)
        try:
            if wanted.dry_run:
                done.replayed = min(wanted.limit, await store.count(wanted.query()))
            else:
                asked = msgspec.to_builtins(wanted)
                await store.audit(who, "dlq replay", asked)
                self._log.info("audit", actor=who, action="dlq replay", **asked)
                await self._try(store, wanted, done)
        except StoreError as fault:
            raise Problem(503, "store_unavailable", "The store does not answer.") from fault
        return Response(200, OK_JSON, _write(done))

    async def _try(self, store: Store, wanted: Wanted, done: Done) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                await replay(store, self._workflow, wanted.query(), done.add, wanted.limit)
        except TimeoutError:
            done.complete = False
        finally:
            self._log.info(
                "dlq replay",
                replayed=done.replayed,
                succeeded=done.succeeded,
                failed=done.failed,
                complete=done.complete,
            )
