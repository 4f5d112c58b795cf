"""Which events take a route, and the index that finds an event's routes without asking each one."""

from collections.abc import Iterable
from typing import Annotated, Generic, TypeAlias, TypeVar

from msgspec import Meta, Struct

from fifhir.event import EVENT_TYPES
from fifhir.schema import Faults, suggestion

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
                yield path, f"unknown event type '{name}'" + suggestion(name, EVENT_TYPES)


class Index(Generic[R]):
    """Finds the routes an event takes in two dictionary look-ups, however many routes there are.

    For each event type that some filter names, and once for all others, it holds a table by
    source; the same again for sources. Every list of routes is in the order of the file.
    """

    def __init__(self, routes: Iterable[tuple[Filter, R]]) -> None:
        rows = tuple(routes)
        tables: dict[tuple[int, ...], _Sources[R]] = {}
        named = {name for condition, _ in rows for name in condition.event_types}

        def table(event_type: str | None) -> _Sources[R]:
            chosen = tuple(
                number
                for number, (condition, _) in enumerate(rows)
                if not condition.event_types or event_type in condition.event_types
            )
            if chosen not in tables:
                tables[chosen] = _Sources(tuple(rows[number] for number in chosen))
            return tables[chosen]

        self._others = table(None)
        self._by_type = {name: table(name) for name in named}

    def find(self, event_type: str, source: str) -> tuple[R, ...]:
        """The routes for an event of this type from this source."""
        table = self._by_type.get(event_type, self._others)
        return table.by_source.get(source, table.others)


class _Sources(Generic[R]):
    """The routes of one event type, by source."""

    def __init__(self, rows: tuple[tuple[Filter, R], ...]) -> None:
        named = {name for condition, _ in rows for name in condition.sources}
        self.others = tuple(route for condition, route in rows if not condition.sources)
        self.by_source = {
            name: tuple(
                route
                for condition, route in rows
                if not condition.sources or name in condition.sources
            )
            for name in named
        }
