"""The rows of tables/fhir/elements.csv, compiled once: an event's object to a FHIR element.

A row says which element of a struct is made from which key of the event, and by which kind of
conversion. Rows of one element add up where it is a list; otherwise the first that gives
something wins. What gives nothing leaves nothing: no element is ever empty.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from fifhir import tables
from fifhir.fhir import datatypes
from fifhir.fhir.datatypes import Json, Report

Convert: TypeAlias = Callable[[Json, Report], Any]
Row: TypeAlias = tuple[str, tuple[str, ...], str, Convert]
"""The key without which nothing comes of it (empty: ask), the way to the element, and how."""


_AROUND = frozenset({"use", "type", "system", "assigner", "period"})
"""What only qualifies a value: an item of a list that has nothing else says nothing."""


def build(struct: str, source: Json, report: Report) -> Json:
    """The elements that the rows of `struct` make of `source`."""
    found: Json = {}
    for needed, parents, element, convert in _STRUCTS[struct]:
        if needed not in source and needed:
            continue
        value = convert(source, report)
        if value is None:
            continue
        place = found
        if parents:
            for parent in parents:
                place = place.setdefault(parent, {})
        if element not in place:
            place[element] = value
        elif isinstance(value, list):
            place[element] += value
    for parents in _PERIODS[struct]:
        _settle(found, parents, report)
    return found


def _settle(found: Json, parents: tuple[str, ...], report: Report) -> None:
    """A period that ends before it starts keeps its start; its end is an error, and told."""
    period = _get(found, parents)
    if period and not datatypes.in_order(period.get("start", ""), period.get("end", "9999")):
        del period["end"]
        period["_end"] = datatypes.absent("error")
        report(parents[-1], "it ends before it starts")


def _get(source: Json, path: tuple[str, ...]) -> Any:
    value: Any = source
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _reader(key: str) -> Callable[[Json], Any]:
    path = tuple(key.split("."))
    if len(path) == 1:
        return lambda source: source.get(key)
    return lambda source: _get(source, path)


def _single(key: str, convert: Callable[[Any], Any]) -> Convert:
    if "." not in key:  # it is there, or `build` would not ask
        return lambda source, report: convert(source[key])
    read = _reader(key)
    return lambda source, report: convert(read(source))


def _coded(key: str, name: str, convert: Callable[[str, Any, Report], Any]) -> Convert:
    if "." not in key:
        return lambda source, report: convert(name, source[key], report)
    read = _reader(key)
    return lambda source, report: convert(name, read(source), report)


def _listed(key: str) -> Convert:
    keys = tuple(key.split())

    def convert(source: Json, report: Report) -> list[str] | None:
        return [said for key in keys if (said := datatypes.text(source.get(key)))] or None

    return convert


def _first(key: str) -> Convert:
    keys = tuple(key.split())
    return lambda source, report: next(
        (said for key in keys if (said := datatypes.text(source.get(key)))), None
    )


def _each(key: str, struct: str) -> Convert:
    read = _reader(key)

    def convert(source: Json, report: Report) -> list[Json] | None:
        items = read(source) or ()
        made = [build(struct, item, report) for item in items if item]
        return [each for each in made if not _AROUND.issuperset(each)] or None

    return convert


def _self(struct: str) -> Convert:
    def convert(source: Json, report: Report) -> list[Json] | None:
        made = build(struct, source, report)
        return None if _AROUND.issuperset(made) else [made]

    return convert


def _code(name: str, value: Any, report: Report) -> str | None:
    found = datatypes.mapped(name, value, report)
    return found.code if found else None


def _coding(name: str, value: Any, report: Report) -> Json | None:
    made = datatypes.concept(name, value, report)
    if made is None:
        return None
    return made["coding"][0] if "coding" in made else {"display": made["text"]}


def _concepts(name: str, value: Any, report: Report) -> list[Json] | None:
    made = datatypes.concept(name, value, report)
    return [made] if made else None


def _texts(value: Any) -> list[Json] | None:
    said = datatypes.text(value)
    return [{"text": said}] if said else None


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "text": datatypes.text,
    "date": datatypes.date,
    "when": datatypes.when,
    "instant": datatypes.instant,
    "integer": datatypes.integer,
    "whole": datatypes.whole,
    "codeable": datatypes.codeable,
    "language": datatypes.language,
    "notes": datatypes.notes,
    "texts": _texts,
}
_CODED: dict[str, Callable[[str, Any, Report], Any]] = {
    "code": _code,
    "coding": _coding,
    "concept": datatypes.concept,
    "concepts": _concepts,
    "flags": datatypes.flags,
}
_WHOLE: dict[str, Callable[[str, str], Convert]] = {
    "list": lambda key, _: _listed(key),
    "first": lambda key, _: _first(key),
    "each": _each,
    "self": lambda _, arg: _self(arg),
    "system": lambda _, __: lambda source, report: datatypes.identifier_system(source),
    "telecom": lambda _, __: datatypes.telecom_system,
}


def _compiled(kind: str, key: str, arg: str) -> Convert:
    if kind in _PLAIN:
        return _single(key, _PLAIN[kind])
    if kind in _CODED:
        return _coded(key, arg, _CODED[kind])
    return _WHOLE[kind](key, arg)


def _structs() -> dict[str, tuple[Row, ...]]:
    found: dict[str, list[Row]] = {}
    for row in tables.rows("fhir/elements.csv"):
        *parents, element = row["element"].split(".")
        convert = _compiled(row["kind"], row["key"], row["arg"])
        needed = "" if " " in row["key"] else row["key"].partition(".")[0]
        found.setdefault(row["struct"], []).append((needed, tuple(parents), element, convert))
    return {struct: tuple(rows) for struct, rows in found.items()}


def _periods() -> dict[str, tuple[tuple[str, ...], ...]]:
    """The ways to the periods of each struct of which both ends have a row."""
    found = {}
    for struct, rows in _STRUCTS.items():
        ends = {parents for _, parents, element, _ in rows if parents and element == "end"}
        starts = {parents for _, parents, element, _ in rows if element == "start"}
        found[struct] = tuple(ends & starts)
    return found


_STRUCTS = _structs()
_PERIODS = _periods()
