"""An event with some of its structs exchanged, whatever kind of event it is.

Which fields can lead to a kind of struct is known from the vocabulary, and where in the message
they come from `tables/fields/`; so a new kind of event needs nothing here.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct, inspect, structs

from fifhir import tables
from fifhir.event import Warning

Tell: TypeAlias = Callable[[Warning], None]
Change: TypeAlias = Callable[[Any, str, Tell], Any]

_COPIES = ("pick", "head")  # kinds of rows whose values stand in a list of the event as well


class _Way(NamedTuple):
    """A field that leads to structs of a wanted kind: its name, and where its row points to."""

    name: str
    kind: str
    segment: str
    field: str

    def place(self, place: str, number: int) -> str:
        """Where the n-th struct of this field came from, as far as its row tells."""
        nth = f"({number})" if number > 1 else ""
        if self.kind == "each":
            return f"{self.segment}{nth}"
        if not self.segment:
            return place
        segment = place if place.partition("(")[0] == self.segment else self.segment
        return f"{segment}-{self.field}{nth if self.kind == 'repeat' else ''}"


class Walk:
    """Exchanges structs of some kinds; made once for the changes of a profile.

    A change is told the place a struct came from, `PID-3(2)` or `OBR(3)-16`, and whom to tell of
    warnings. Structs that only repeat one of a list (`pick`) are passed over: the change of what
    they stand in says what they become. Those that are part of a list's first item (`head`)
    follow it.
    """

    def __init__(self, changes: Mapping[type[Struct], Change]) -> None:
        self._changes = changes
        self._known: dict[type[Struct], tuple[_Way, ...]] = {}

    def changed(self, value: Any, tell: Tell, place: str = "") -> Any:
        """The struct, each struct in it exchanged for what its change gives, innermost first."""
        cls, found = value.__class__, {}
        ways = self._known.get(cls)
        if ways is None:
            ways = self._known[cls] = _ways(cls, frozenset(self._changes))
        for way in ways:
            before = getattr(value, way.name)
            after = self._field(before, tell, way, place)
            if after is not before:
                found[way.name] = after
        if found:
            for name, of, part in _heads(cls):
                if of in found:
                    first = found[of][0]
                    found[name] = getattr(first, part) if part else first
            value = structs.replace(value, **found)
        change = self._changes.get(cls)
        return change(value, place, tell) if change else value

    def _field(self, value: Any, tell: Tell, way: _Way, place: str) -> Any:
        if isinstance(value, Struct):
            return self.changed(value, tell, way.place(place, 1))
        if not isinstance(value, tuple):
            return value
        items = tuple(
            self.changed(item, tell, way.place(place, n)) if isinstance(item, Struct) else item
            for n, item in enumerate(value, 1)
        )
        same = all(after is before for after, before in zip(items, value, strict=True))
        return value if same else items


def _ways(cls: type[Struct], wanted: frozenset[type[Struct]]) -> tuple[_Way, ...]:
    """The fields of `cls` that lead to a wanted struct."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    found = []
    for item in kind.fields:
        row = _row(cls, item.encode_name)
        if row.kind not in _COPIES and _leads(item.type, wanted):
            segment, _, field = row.path.split(" ")[0].rpartition("-")
            if row.kind == "each":
                segment = tables.GROUPS[row.arg].segments[0].decode()
            found.append(_Way(item.name, row.kind, segment, field))
    return tuple(found)


@cache
def _heads(cls: type[Struct]) -> tuple[tuple[str, str, str], ...]:
    """The fields that are a list's first item or part of it: their name, the list's, the part."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    rows = {item.name: _row(cls, item.encode_name) for item in kind.fields}
    lists = {row.arg: name for name, row in rows.items() if row.kind == "each"}
    heads = [(name, row.arg.partition(".")) for name, row in rows.items() if row.kind == "head"]
    return tuple((name, lists[item], part) for name, (item, _, part) in heads if item in lists)


def _row(cls: type[Struct], key: str) -> tables.Field:
    for base in cls.__mro__:
        rows = tables.FIELDS.get(base.__name__, {}).get(key)
        if rows:
            return rows[0]
    return tables.Field("", "", "", "")


def _leads(kind: inspect.Type, wanted: frozenset[type[Struct]]) -> bool:
    """Whether a value of this type can be or hold a wanted struct."""
    match kind:
        case inspect.StructType():
            return kind.cls in wanted or any(_leads(item.type, wanted) for item in kind.fields)
        case inspect.VarTupleType():
            return _leads(kind.item_type, wanted)
        case inspect.UnionType():
            return any(_leads(each, wanted) for each in kind.types)
    return False
