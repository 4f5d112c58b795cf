"""An event with some of its structs exchanged, whatever kind of event it is.

Which fields can lead to a kind of struct is known from the vocabulary, and where in the message
they come from `tables/fields/`; so a new kind of event needs nothing here.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct, inspect, structs

from fifhir import tables

Change: TypeAlias = Callable[[Any, str], Any]
Changes: TypeAlias = Mapping[type[Struct], Change]

_COPIES = ("pick", "head")  # kinds of rows whose values stand in a list of the event as well
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}(?:\(\d+\))?")


class _Way(NamedTuple):
    """A field that leads to structs of a wanted kind: its name, and the row it comes from."""

    name: str
    kind: str
    path: str


def changed(value: Any, changes: Changes, place: str = "") -> Any:
    """The struct, each struct in it exchanged for what its change gives, innermost first.

    A change is told the place a struct came from, `PID-3(2)` or `OBR(3)-16`. Structs that only
    repeat one of a list (`pick`) are passed over: the change of what they stand in says what they
    become. Those that are part of a list's first item (`head`) follow it.
    """
    found = {}
    for way in _ways(value.__class__, frozenset(changes)):
        before = getattr(value, way.name)
        after = _changed_field(before, changes, way, place)
        if after is not before:
            found[way.name] = after
    for name, of, part in _heads(value.__class__):
        if of in found:
            found[name] = getattr(found[of][0], part)
    if found:
        value = structs.replace(value, **found)
    change = changes.get(type(value))
    return change(value, place) if change else value


def _changed_field(value: Any, changes: Changes, way: _Way, place: str) -> Any:
    if isinstance(value, Struct):
        return changed(value, changes, _place(place, way, 1))
    if not isinstance(value, tuple):
        return value
    items = tuple(
        changed(item, changes, _place(place, way, n)) if isinstance(item, Struct) else item
        for n, item in enumerate(value, 1)
    )
    same = all(after is before for after, before in zip(items, value, strict=True))
    return value if same else items


def _place(place: str, way: _Way, number: int) -> str:
    """Where the n-th struct of a field came from, as far as its row tells."""
    nth = f"({number})" if number > 1 else ""
    if way.kind == "each":
        return f"{way.path}{nth}"
    segment, _, field = way.path.rpartition("-")
    if not segment:
        return place
    if re.sub(r"\(\d+\)", "", place) == segment and _SEGMENT.fullmatch(place):
        segment = place
    return f"{segment}-{field}{nth if way.kind == 'repeat' else ''}"


@cache
def _ways(cls: type[Struct], wanted: frozenset[type[Struct]]) -> tuple[_Way, ...]:
    """The fields of `cls` that lead to a wanted struct."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    found = []
    for item in kind.fields:
        row = _row(cls, item.encode_name)
        if row.kind not in _COPIES and _leads(item.type, wanted):
            path = tables.GROUPS[row.arg].segments[0].decode() if row.kind == "each" else row.path
            found.append(_Way(item.name, row.kind, path.split(" ")[0]))
    return tuple(found)


@cache
def _heads(cls: type[Struct]) -> tuple[tuple[str, str, str], ...]:
    """The fields that are part of a list's first item: their name, the list's, the part."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    rows = {item.name: _row(cls, item.encode_name) for item in kind.fields}
    lists = {row.arg: name for name, row in rows.items() if row.kind == "each"}
    heads = [(name, *row.arg.split(".")) for name, row in rows.items() if row.kind == "head"]
    return tuple((name, lists[item], part) for name, item, part in heads if item in lists)


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
