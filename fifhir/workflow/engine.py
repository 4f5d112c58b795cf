"""Run one event through every route it takes, and say what became of it."""

from time import perf_counter

from msgspec import Struct

from fifhir.errors import FifhirError
from fifhir.event import Event, event_type
from fifhir.sinks import SINKS
from fifhir.sinks.log import LogSink, Write
from fifhir.workflow.config import RouteConfig, WorkflowConfig
from fifhir.workflow.filter import Index


class ActionResult(Struct, frozen=True):
    """What one action of one route came to; `error` is fixed text, never a field's value."""

    route: str
    action: str
    success: bool
    duration_ms: float
    error: str = ""


class Outcome(Struct, frozen=True):
    """Who took an event. No route matched is a success: nothing was asked for."""

    routes_matched: tuple[str, ...]
    actions: tuple[ActionResult, ...]

    @property
    def success(self) -> bool:
        return all(action.success for action in self.actions)


class _Route(Struct, frozen=True):
    """A route ready to run: its name, and each action's name with its sink."""

    name: str
    actions: tuple[tuple[str, LogSink], ...]


class Workflow:
    """A workflow compiled once, before the fork, and never changed afterwards.

    `routes` are the names in file order, `actions` each (route, action) pair, `sources` the names
    that filters mention: everything a metric may be labelled with. `write` puts a line in the log.
    """

    def __init__(self, config: WorkflowConfig, write: Write) -> None:
        routes = [(route.filter, _compiled(route, write)) for route in config.routes]
        self.name = config.name
        self.routes = tuple(route.name for _, route in routes)
        self.actions = tuple(
            (route.name, action) for _, route in routes for action, _ in route.actions
        )
        self.sources = tuple(sorted({name for each, _ in routes for name in each.sources}))
        self._index = Index(routes)

    async def run(self, event: Event, *, dry_run: bool = False) -> Outcome:
        """Every action of every matching route has been tried, in file order, whatever failed.

        With `dry_run` no sink is touched: the outcome says what would have run.
        """
        routes = self._index.find(event_type(event), event.source)
        results = [
            ActionResult(route.name, action, success=True, duration_ms=0.0)
            if dry_run
            else await _attempt(route.name, action, sink, event)
            for route in routes
            for action, sink in route.actions
        ]
        return Outcome(tuple(route.name for route in routes), tuple(results))


def _compiled(route: RouteConfig, write: Write) -> _Route:
    names = [str(action.__struct_config__.tag) for action in route.actions]
    sinks = [
        SINKS[name](action, route.name, write)
        for name, action in zip(names, route.actions, strict=True)
    ]
    return _Route(route.name, tuple(zip(names, sinks, strict=True)))


async def _attempt(route: str, action: str, sink: LogSink, event: Event) -> ActionResult:
    started = perf_counter()
    error = ""
    try:
        await sink.deliver(event)
    except FifhirError as fault:
        error = str(fault)
    elapsed = (perf_counter() - started) * 1000
    return ActionResult(route, action, success=not error, duration_ms=elapsed, error=error)
