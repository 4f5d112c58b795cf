"""Which events take a route, and the index that finds an event's routes without asking each one."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Any, Generic, NamedTuple, TypeAlias, TypeVar

from msgspec import Meta, Struct

from fifhir import cel
from fifhir.cel import Predicate
from fifhir.errors import CelError, CelFault
from fifhir.event import EVENT_TYPES
from fifhir.schema import Fault, Faults, suggestion
from fifhir.workflow import fields, glimpse
from fifhir.written import Written

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
Names: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=256)]
R = TypeVar("R")


class Filter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event passes when every condition given here holds; none given: every event passes."""

    event_type: Annotated[
        Name | Names, Meta(description="One event type or a list of them; empty means any.")
    ] = ()
    source: Annotated[
        Name | Names, Meta(description="One source name or a list of them; empty means any.")
    ] = ()
    condition: Annotated[
        str,
        Meta(
            max_length=cel.TEXT_LIMIT,
            description="A CEL expression over `event`, as in `event.patient.gender == 'F'`; empty "
            "means always.",
        ),
    ] = ""

    @property
    def event_types(self) -> tuple[str, ...]:
        return (self.event_type,) if isinstance(self.event_type, str) else self.event_type

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    def faults(self) -> Faults:
        """A type this release never makes would be a route that silently never runs."""
        listed = not isinstance(self.event_type, str)
        for position, name in enumerate(self.event_types):
            if name not in EVENT_TYPES:
                path = ("event_type", position) if listed else ("event_type",)
                text = f"unknown event type '{name}'" + suggestion(name, EVENT_TYPES)
                yield Fault(path, text, code="FF109")
        yield from self._condition_faults()

    def _condition_faults(self) -> Faults:
        """What is wrong with the condition, or with a field it asks for."""
        if not self.condition.strip():
            return
        try:
            predicate = cel.compile(self.condition, partial(fields.kind, self.event_types))
        except CelError as fault:
            yield Fault(("condition",), str(fault), fault.column, "FF201")
            return
        for text, column in fields.mistakes(predicate.uses, self.event_types):
            yield Fault(("condition",), text, column, "FF103")


class Undecided(NamedTuple, Generic[R]):
    """A route whose condition has no answer for an event, and why."""

    route: R
    reason: str


class Index(Generic[R]):
    """Finds the routes an event takes in two dictionary look-ups, however many routes there are.

    For each event type that some filter names, and once for all others, it holds a table by
    source; the same again for sources. Every list of routes is in the order of the file. Only
    where one of them has a condition is the event looked into.
    """

    def __init__(self, routes: Iterable[tuple[Filter, R]]) -> None:
        rows = tuple(_Row(each, _predicate(each), route) for each, route in routes)
        tables: dict[tuple[int, ...], _Sources[R]] = {}
        named = {name for row in rows for name in row.filter.event_types}

        def table(event_type: str | None) -> _Sources[R]:
            chosen = tuple(
                number
                for number, row in enumerate(rows)
                if not row.filter.event_types or event_type in row.filter.event_types
            )
            if chosen not in tables:
                tables[chosen] = _Sources(tuple(rows[number] for number in chosen))
            return tables[chosen]

        self._others = table(None)
        self._by_type = {name: table(name) for name in named}

    def find(self, written: Written) -> tuple[Sequence[R], Sequence[Undecided[R]]]:
        """The routes an event takes, and those whose condition has no answer for it."""
        choice = self._choice(written)
        if not choice.conditional:
            return choice.routes, ()
        return _asked(choice.rows, written.glimpse(choice.decode))

    def wants(self, written: Written) -> bool:
        """Whether some route takes events of this type and source, if its condition holds."""
        return bool(self._choice(written).rows)

    def _choice(self, written: Written) -> "_Choice[R]":
        table = self._by_type.get(written.type, self._others)
        return table.by_source.get(written.source, table.others)


class _Row(NamedTuple, Generic[R]):
    filter: Filter
    predicate: Predicate | None
    route: R


class _Choice(Generic[R]):
    """The routes of one event type and one source."""

    def __init__(self, rows: tuple[_Row[R], ...]) -> None:
        self.rows = rows
        self.routes = tuple(row.route for row in rows)
        self.conditional = any(row.predicate for row in rows)
        predicates = [row.predicate for row in rows if row.predicate]
        self.decode = glimpse.decoder([path for each in predicates for path in each.needs])


class _Sources(Generic[R]):
    """The routes of one event type, by source."""

    def __init__(self, rows: tuple[_Row[R], ...]) -> None:
        named = {name for row in rows for name in row.filter.sources}
        self.others = _Choice(tuple(row for row in rows if not row.filter.sources))
        self.by_source = {
            name: _Choice(
                tuple(row for row in rows if not row.filter.sources or name in row.filter.sources)
            )
            for name in named
        }


def _predicate(condition: Filter) -> Predicate | None:
    return cel.compile(condition.condition) if condition.condition.strip() else None


def _asked(
    rows: tuple[_Row[R], ...], document: dict[str, Any]
) -> tuple[list[R], list[Undecided[R]]]:
    """The routes whose conditions hold, and those whose conditions have no answer.

    What asking a predicate does is done here for all of them, with one scope and without a call.
    """
    taken: list[R] = []
    undecided: list[Undecided[R]] = []
    scope = (document, allowance := [cel.LOOP_LIMIT])
    for _, predicate, route in rows:
        if predicate is None:
            taken.append(route)
            continue
        allowance[0] = cel.LOOP_LIMIT
        try:
            value = predicate.run(scope)
        except CelFault as fault:
            undecided.append(Undecided(route, str(fault)))
            continue
        if value is True:
            taken.append(route)
        elif value is not False:
            undecided.append(Undecided(route, str(cel.no_answer(value))))
    return taken, undecided
