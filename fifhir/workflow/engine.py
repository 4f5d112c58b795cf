"""Run one event through every route it takes, and say what became of it.

What a destination does not confirm is kept as a dead letter. Only when both fail has an action
failed, and then nobody may be promised anything.
"""

import asyncio
import uuid
from collections.abc import Iterable
from time import monotonic, perf_counter
from typing import Literal

from msgspec import Struct
from msgspec.json import encode

from fifhir.delivery.breaker import Breaker
from fifhir.delivery.courier import Courier, Gauges, Undelivered
from fifhir.errors import DeliveryError, FifhirError, StoreError, TransformFault
from fifhir.logs import Write
from fifhir.parcel import Parcel, key
from fifhir.profile.config import CodeMapping
from fifhir.resilience import Resilience
from fifhir.sinks import SINKS, ActionConfig
from fifhir.store import DeadLetter
from fifhir.store.sqlite import SqliteStore
from fifhir.workflow.config import RouteConfig, WorkflowConfig
from fifhir.workflow.filter import Index
from fifhir.workflow.transform import Change, compile
from fifhir.written import Written

CALM = 60.0  # seconds between two lines about the same route's condition
TRANSFORM = "transform"  # the kind of a letter whose event has not been through its transforms
PLAIN = Resilience(retry_max=0, timeout=60.0)  # for an action that has no such keys


class ActionResult(Struct, frozen=True):
    """What one action of one route came to; `error` is fixed text, never a field's value.

    Kept: it failed, and `letter` is the id of its dead letter. Failed: that was not kept either.
    """

    route: str
    action: str
    status: Literal["delivered", "kept", "failed", "skipped"]
    duration_ms: float
    error: str = ""
    error_type: str = ""
    letter: str = ""


class Outcome(Struct, frozen=True):
    """Who took an event. No route matched is a success: nothing was asked for."""

    routes_matched: tuple[str, ...]
    actions: tuple[ActionResult, ...]
    undecided: int = 0
    """Routes whose condition had no answer for the event, so that it did not take them."""

    @property
    def success(self) -> bool:
        """Whether every action was delivered or is kept: the promise may be given."""
        return all(action.status != "failed" for action in self.actions)

    @property
    def kept(self) -> bool:
        """Whether an action has become a dead letter."""
        return any(action.status == "kept" for action in self.actions)


class _Route(Struct, frozen=True):
    """A route ready to run: its name, and each action's name with its courier."""

    name: str
    change: Change | None
    actions: tuple[tuple[str, Courier], ...]


class Workflow:
    """A workflow compiled once, before the fork; each worker opens it with a store of its own.

    `routes` are the names in file order, `actions` each (route, action) pair, `sources` the names
    that filters mention, `endpoints` where actions deliver to: everything a metric may be labelled
    with. `write` puts a line in the log.
    """

    def __init__(self, config: WorkflowConfig, write: Write) -> None:
        breakers: dict[str, Breaker] = {}
        routes = [
            (route.filter, _compiled(route, config.mappings, write, breakers))
            for route in config.routes
        ]
        self.name = config.name
        self.routes = tuple(route.name for _, route in routes)
        self.actions = tuple(
            (route.name, action) for _, route in routes for action, _ in route.actions
        )
        self.sources = tuple(sorted({name for each, _ in routes for name in each.sources}))
        self._couriers = {
            (route.name, index): courier
            for _, route in routes
            for index, (_, courier) in enumerate(route.actions)
        }
        self._changes = {route.name: route.change for _, route in routes}
        found = {courier.sink.destination for courier in self._couriers.values()}
        self.endpoints = tuple(sorted(found - {""}))
        self._index = Index(routes)
        self._store: SqliteStore | None = None
        self._write = write
        self._told: dict[str, float] = {}

    def open(self, store: SqliteStore | None, gauges: Gauges | None) -> None:
        """From now on what fails is kept in `store`, and breakers show in `gauges`."""
        self._store = store
        for courier in self._couriers.values():
            courier.gauges = gauges

    def publish(self) -> None:
        """The gauges show what the breakers are now: an open one changes by time alone."""
        for courier in self._couriers.values():
            courier.publish()

    async def close(self) -> None:
        """No sink has a connection open."""
        for courier in self._couriers.values():
            await courier.sink.close()

    async def run(self, written: Written, raw: bytes, *, dry_run: bool = False) -> Outcome:
        """Every action of every matching route has been tried, whatever failed.

        Routes run side by side, the actions of one in their order. With `dry_run` no sink is
        touched: the outcome says what would have run.
        """
        routes, undecided = self._index.find(written)
        for route, reason in undecided:
            self._tell(route.name, reason)
        names = tuple(route.name for route in routes)
        if dry_run:
            return Outcome(names, tuple(_skipped(routes)), len(undecided))
        if len(routes) == 1:
            results = await self._run(routes[0], written, raw)
        else:
            groups = await asyncio.gather(*(self._run(route, written, raw) for route in routes))
            results = [result for group in groups for result in group]
        return Outcome(names, tuple(results), len(undecided))

    def _tell(self, route: str, reason: str) -> None:
        """The log says once a minute that a route's condition had no answer."""
        now = monotonic()
        if now - self._told.get(route, -CALM) >= CALM:
            self._told[route] = now
            self._write("warn", "condition had no answer", route=route, reason=reason)

    async def _run(self, route: _Route, written: Written, raw: bytes) -> list[ActionResult]:
        try:
            changed = _changed(route.change, written)
        except TransformFault as fault:
            return [await self._unchanged(fault, each) for each in _parcels(route, written, raw)]
        return [
            await self._attempt(courier, parcel)
            for (_, courier), parcel in zip(
                route.actions, _parcels(route, changed, raw), strict=True
            )
        ]

    async def _unchanged(self, fault: TransformFault, parcel: Parcel) -> ActionResult:
        """The action is kept: it cannot have the event as its route wants it."""
        failure = DeliveryError(TRANSFORM, str(fault))
        return await self._keep(parcel, Undelivered(failure, 1), perf_counter())

    async def _attempt(self, courier: Courier, parcel: Parcel) -> ActionResult:
        started = perf_counter()
        try:
            await courier.deliver(parcel)
        except Undelivered as fault:
            return await self._keep(parcel, fault, started)
        elapsed = (perf_counter() - started) * 1000
        return ActionResult(parcel.route, parcel.action, "delivered", elapsed)

    async def _keep(self, parcel: Parcel, fault: Undelivered, started: float) -> ActionResult:
        """The dead letter is committed, or the action has failed for good."""
        letter = _letter(parcel, fault)
        elapsed = (perf_counter() - started) * 1000
        failed = ActionResult(
            *(parcel.route, parcel.action, "failed", elapsed, str(fault), fault.kind)
        )
        if self._store is None:
            return failed
        try:
            await self._store.bury([letter])
        except StoreError as trouble:
            self._write("error", "dlq write failed", route=parcel.route, reason=str(trouble))
            return failed
        self._write(
            "warn",
            "event moved to dlq",
            dlq_id=letter.id,
            event_id=parcel.written.id,
            route=parcel.route,
            action=parcel.action,
            error_type=fault.kind,
            attempts=fault.attempts,
            duration_ms=round(elapsed, 3),
        )
        return ActionResult(
            *(parcel.route, parcel.action, "kept", elapsed, str(fault), fault.kind, letter.id)
        )

    async def redeliver(self, letter: DeadLetter) -> None:
        """The failed action, and it alone, has now been confirmed; Undelivered if not again."""
        courier = self._couriers.get((letter.route, letter.action_index))
        if courier is None:
            raise FifhirError("the workflow has no such action any more")
        written = Written(letter.event_type, letter.event_id, letter.source, letter.event)
        untransformed = letter.error_type == TRANSFORM
        try:
            if untransformed:
                written = _changed(self._changes[letter.route], written)
            await courier.deliver(
                Parcel(written, letter.raw, letter.route, letter.action, letter.action_index)
            )
        except TransformFault as fault:
            raise Undelivered(DeliveryError(TRANSFORM, str(fault)), 1) from None
        except Undelivered as fault:
            if untransformed:  # the letter still holds the event as it was, and has to say so
                raise Undelivered(DeliveryError(TRANSFORM, str(fault)), fault.attempts) from fault
            raise


def _compiled(
    route: RouteConfig,
    mappings: tuple[CodeMapping, ...],
    write: Write,
    breakers: dict[str, Breaker],
) -> _Route:
    return _Route(
        route.name,
        compile(route.transform, mappings) if route.transform else None,
        tuple(
            (str(action.__struct_config__.tag), _courier(action, route.name, write, breakers))
            for action in route.actions
        ),
    )


def _courier(
    action: ActionConfig, route: str, write: Write, breakers: dict[str, Breaker]
) -> Courier:
    """Actions with the same destination share its breaker; the first one's numbers count."""
    sink = SINKS[str(action.__struct_config__.tag)](action, route, write)
    keys = action if isinstance(action, Resilience) else PLAIN
    breaker = None
    if keys.circuit_breaker:
        breaker = breakers.setdefault(
            sink.destination,
            Breaker(
                keys.circuit_failure_threshold, keys.circuit_success_threshold, keys.circuit_timeout
            ),
        )
    return Courier(sink, keys, breaker)


def _changed(change: Change | None, written: Written) -> Written:
    """The event as a route's actions see it."""
    if change is None:
        return written
    json = encode(change(written.document))
    return Written(written.type, written.id, written.source, json)


def _parcels(route: _Route, written: Written, raw: bytes) -> Iterable[Parcel]:
    for index, (action, _) in enumerate(route.actions):
        yield Parcel(written, raw, route.name, action, index)


def _skipped(routes: Iterable[_Route]) -> Iterable[ActionResult]:
    for route in routes:
        for action, _ in route.actions:
            yield ActionResult(route.name, action, "skipped", 0.0)


def _letter(parcel: Parcel, fault: Undelivered) -> DeadLetter:
    return DeadLetter(
        id=str(uuid.UUID(key(parcel.written.id, f"dlq {parcel.route}", parcel.index))),
        event_id=parcel.written.id,
        event_type=parcel.written.type,
        source=parcel.written.source,
        route=parcel.route,
        action=parcel.action,
        action_index=parcel.index,
        key=parcel.key,
        raw=parcel.raw,
        event=parcel.written.json,
        error=str(fault),
        error_type=fault.kind,
        attempts=fault.attempts,
    )
