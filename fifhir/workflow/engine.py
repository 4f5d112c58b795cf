"""Run one event through every route it takes, and say what became of it.

What a destination does not confirm is kept as a dead letter. Only when both fail has an action
failed, and then nobody may be promised anything.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from time import monotonic, perf_counter
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, structs

from fifhir import sinks
from fifhir.delivery.courier import TOGETHER, Courier, Destination, Gauges, Undelivered
from fifhir.errors import FifhirError, StoreError, TransformFault
from fifhir.logs import Write
from fifhir.parcel import Parcel, Sink, key
from fifhir.profile.config import CodeMapping
from fifhir.resilience import Resilience
from fifhir.sinks import ActionConfig
from fifhir.sinks.http import Web
from fifhir.store import DeadLetter
from fifhir.workflow.config import RouteConfig, WorkflowConfig
from fifhir.workflow.filter import Index
from fifhir.workflow.outcome import ActionResult, Outcome
from fifhir.workflow.transform import Change, compile
from fifhir.written import Written

CALM = 60.0  # seconds between two lines about the same route's condition
TRANSFORM = "transform"  # the kind of a letter whose event has not been through its transforms
PLAIN = Resilience(retry_max=0, timeout=60.0)  # for an action that has no such keys


Rehearse: TypeAlias = Callable[[ActionConfig], Sink]


class Signs(Gauges, Protocol):
    """What a workflow shows of itself while it runs."""

    def unkept(self) -> None: ...
    def ran(self, written: Written, outcome: Outcome, times: tuple[float, float]) -> None: ...
    def taken_up(self, what: str, written: Written, began: float) -> None: ...


class Grave(Protocol):
    """Where dead letters are kept."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None: ...


class _Route(Struct, frozen=True):
    """A route ready to run: its name, and each action's name with its courier.

    `distant` is one of which an action reaches out of this process.
    """

    name: str
    change: Change | None
    actions: tuple[tuple[str, Courier], ...]
    distant: bool


class Workflow:
    """A workflow compiled once, before the fork; each worker opens it with a store of its own.

    `routes` are the names in file order, `actions` each (route, action) pair, `sources` the names
    that filters mention, `endpoints` where actions deliver to: everything a metric may be labelled
    with. If it `blocks`, a dead letter holds up what comes after it from the same sender. `write`
    puts a line in the log. With `rehearse` that carries out every action instead of its sink, so
    nothing real happens; with `dry_run` nothing carries them out. A worker has `together` calls
    under way to one destination at most.
    """

    def __init__(
        self,
        config: WorkflowConfig,
        write: Write,
        rehearse: Rehearse | None = None,
        *,
        dry_run: bool = False,
        together: int = TOGETHER,
    ) -> None:
        self._web = Web(write)
        self.dry_run = dry_run
        yard = _Yard(config.mappings, write, self._web, rehearse, together)
        routes = [(route.filter, yard.route(route)) for route in config.routes]
        self.name = config.name
        self.blocks = config.on_dlq == "block"
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
        self.endpoints = tuple(sorted(yard.destinations))
        self._index = Index(routes)
        self._grave: Grave | None = None
        self._signs: Signs | None = None
        self._write = write
        self._told: dict[str, float] = {}

    def open(self, grave: Grave | None, signs: Signs | None) -> None:
        """From now on what fails is kept in `grave`, and `signs` show how destinations are."""
        self._grave, self._signs = grave, signs
        for courier in self._couriers.values():
            courier.gauges = signs

    def publish(self) -> None:
        """The gauges show what the breakers are now: an open one changes by time alone."""
        for courier in self._couriers.values():
            courier.publish()

    async def close(self) -> None:
        """No sink has a connection open."""
        for courier in self._couriers.values():
            await courier.sink.close()
        await self._web.close()

    def wants(self, written: Written) -> bool:
        """Whether a route may take an event of its type and source; not all that do, do."""
        return self._index.wants(written)

    async def run(
        self, written: Written, raw: bytes, *, dry_run: bool = False, grave: Grave | None = None
    ) -> Outcome:
        """What `start` promises has come true."""
        started = self.start(written, raw, dry_run=dry_run, grave=grave)
        return started if isinstance(started, Outcome) else await started

    def start(
        self, written: Written, raw: bytes, *, dry_run: bool = False, grave: Grave | None = None
    ) -> Outcome | Coroutine[Any, Any, Outcome]:
        """The outcome if no action has to run, else what runs every action of every matching route.

        Routes run side by side, the actions of one in their order, whatever failed. With `dry_run`
        no sink is touched: the outcome says what would have run. Dead letters go into `grave`, if
        there is one, instead of the store.
        """
        began = perf_counter()
        routes, undecided = self._index.find(written)
        for route, reason in undecided:
            self._tell(route.name, reason, written)
        times = began, perf_counter()
        if not routes:
            outcome = Outcome((), (), len(undecided))
            if self._signs and not dry_run:
                self._signs.ran(written, outcome, times)
            return outcome
        if dry_run or self.dry_run:
            return Outcome(_names(routes), tuple(_skipped(routes)), len(undecided))
        return self._run_routes((routes, len(undecided)), written, raw, grave, times)

    async def _run_routes(
        self,
        found: tuple[Sequence[_Route], int],
        written: Written,
        raw: bytes,
        grave: Grave | None,
        times: tuple[float, float],
    ) -> Outcome:
        routes, undecided = found
        if sum([route.distant for route in routes]) > 1:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._run(route, written, raw, grave)) for route in routes
                ]
            done = [task.result() for task in tasks]
        else:
            done = [await self._run(route, written, raw, grave) for route in routes]
        results = tuple([each for results in done for each in results])
        outcome = Outcome(_names(routes), results, undecided)
        if self._signs:
            self._signs.ran(written, outcome, times)
        return outcome

    def _tell(self, route: str, reason: str, written: Written) -> None:
        """The log says once a minute that a route's condition had no answer."""
        now = monotonic()
        if now - self._told.get(route, -CALM) >= CALM:
            self._told[route] = now
            trace_id = written.trace.trace_id
            self._write(
                "warn", "condition had no answer", route=route, reason=reason, trace_id=trace_id
            )

    async def _run(
        self, route: _Route, written: Written, raw: bytes, grave: Grave | None
    ) -> list[ActionResult]:
        try:
            changed = _changed(route.change, written)
        except TransformFault as fault:
            return [
                await self._unchanged(fault, each, grave) for each in _parcels(route, written, raw)
            ]
        return [
            await self._attempt(courier, parcel, grave)
            for (_, courier), parcel in zip(
                route.actions, _parcels(route, changed, raw), strict=True
            )
        ]

    async def _unchanged(
        self, fault: TransformFault, parcel: Parcel, grave: Grave | None
    ) -> ActionResult:
        """The action is kept: it cannot have the event as its route wants it."""
        failure = Undelivered(TRANSFORM, str(fault), 1)
        return await self._keep(parcel, failure, perf_counter(), grave)

    async def _attempt(self, courier: Courier, parcel: Parcel, grave: Grave | None) -> ActionResult:
        started = perf_counter()
        try:
            await courier.deliver(parcel)
        except Undelivered as fault:
            return await self._keep(parcel, fault, started, grave)
        elapsed = (perf_counter() - started) * 1000
        return ActionResult(
            *(parcel.route, parcel.action, "delivered", elapsed),
            index=parcel.index,
            began=started,
        )

    async def _keep(
        self, parcel: Parcel, fault: Undelivered, started: float, grave: Grave | None
    ) -> ActionResult:
        """The dead letter is committed, or the action has failed for good."""
        letter = _letter(parcel, fault)
        elapsed = (perf_counter() - started) * 1000
        failed = ActionResult(
            *(parcel.route, parcel.action, "failed", elapsed, str(fault), fault.kind),
            index=parcel.index,
            began=started,
        )
        told = {
            "route": parcel.route,
            "action": parcel.action,
            "event_id": parcel.written.id,
            "trace_id": parcel.written.trace.trace_id,
            "span_id": parcel.span_id,
            "error": str(fault),
            "error_type": fault.kind,
            "attempts": fault.attempts,
            "duration_ms": round(elapsed, 3),
        }
        grave = grave or self._grave
        if grave is None:
            return failed
        try:
            await grave.bury([letter])
        except StoreError as trouble:
            if self._signs:
                self._signs.unkept()
            self._write("error", "dlq write failed", reason=str(trouble), **told)
            return failed
        self._write("warn", "event moved to dlq", dlq_id=letter.id, **told)
        return structs.replace(failed, status="kept", letter=letter.id)

    def give_up(self, written: Written, raw: bytes, attempts: int) -> list[DeadLetter]:
        """Dead letters for all that would be done with an event of which workers die."""
        routes, _ = self._index.find(written)
        return [letter for route in routes for letter in _given_up(route, written, raw, attempts)]

    async def redeliver(self, letter: DeadLetter) -> None:
        """The failed action, and it alone, has now been confirmed; Undelivered if not again."""
        courier = self._couriers.get((letter.route, letter.action_index))
        if courier is None:
            raise FifhirError(
                f"the workflow '{self.name}' has no such action; --config or "
                "FI_FHIR_WORKFLOW_CONFIG_PATH says which workflow is asked"
            )
        written = Written(
            *(letter.event_type, letter.event_id, letter.source, letter.event), letter.trace
        )
        untransformed, began = letter.error_type == TRANSFORM, perf_counter()
        try:
            if untransformed:
                written = _changed(self._changes[letter.route], written)
            await courier.deliver(
                Parcel(written, letter.raw, letter.route, letter.action, letter.action_index)
            )
        except TransformFault as fault:
            raise Undelivered(TRANSFORM, str(fault), 1) from None
        except Undelivered as fault:
            if untransformed:  # the letter still holds the event as it was, and has to say so
                raise Undelivered(TRANSFORM, str(fault), fault.attempts) from fault
            raise
        finally:
            if self._signs:
                self._signs.taken_up("replay", written, began)


class _Yard:
    """Builds routes; actions with the same destination share what is the destination's."""

    def __init__(
        self,
        mappings: tuple[CodeMapping, ...],
        write: Write,
        web: Web,
        rehearse: Rehearse | None,
        together: int,
    ) -> None:
        self._rehearse = rehearse
        self._together = together
        self.destinations: dict[str, Destination] = {}
        self._mappings = mappings
        self._write = write
        self._web = web

    def route(self, route: RouteConfig) -> _Route:
        actions = tuple(
            (str(action.__struct_config__.tag), self._courier(action, route.name))
            for action in route.actions
        )
        return _Route(
            route.name,
            compile(route.transform, self._mappings) if route.transform else None,
            actions,
            any(courier.sink.destination for _, courier in actions),
        )

    def _courier(self, action: ActionConfig, route: str) -> Courier:
        """Of the actions with a breaker for the same destination, the first one's keys count."""
        if self._rehearse:
            return Courier(self._rehearse(action), PLAIN, None)
        sink = sinks.make(action, route, self._write, self._web)
        keys = action if isinstance(action, Resilience) else PLAIN
        name = sink.destination
        known = self._known(name) if name else None
        return Courier(sink, keys, known)

    def _known(self, name: str) -> Destination:
        return self.destinations.setdefault(name, Destination(name, self._together))


def _changed(change: Change | None, written: Written) -> Written:
    """The event as a route's actions see it."""
    if change is None:
        return written
    return written.changed(change(written.document))


def _parcels(route: _Route, written: Written, raw: bytes) -> Iterable[Parcel]:
    for index, (action, _) in enumerate(route.actions):
        yield Parcel(written, raw, route.name, action, index)


def _given_up(route: _Route, written: Written, raw: bytes, attempts: int) -> Iterable[DeadLetter]:
    kind, text = "poison", "a worker died of it each time it was tried"
    try:
        written = _changed(route.change, written)
    except TransformFault as fault:
        kind, text = TRANSFORM, str(fault)
    for parcel in _parcels(route, written, raw):
        yield _letter(parcel, Undelivered(kind, text, attempts))


def _names(routes: Iterable[_Route]) -> tuple[str, ...]:
    return tuple([route.name for route in routes])


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
        trace=parcel.written.trace.parent(parcel.span_id),
    )
