"""The rows of tables/fhir/elements, compiled once: an event's object to the elements of a resource.

A row says which element of a struct is made from which key of the event, and by which kind of
conversion. Rows of one element add up where it is a list; otherwise the first that gives
something wins. What gives nothing leaves nothing: no element is ever empty.

Messages of one sender have the same keys over and over, so which rows have anything to do is
found once for each set of keys an object has.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from fifhir import tables
from fifhir.fhir import datatypes
from fifhir.fhir.maker import Make, Maker
from fifhir.fhir.vocabulary import CONCEPTS, EXTENSIONS, KINDS, MAPS, Json

Convert: TypeAlias = Callable[[Any, Maker], Any]
ALTERNATE = "http://hl7.org/fhir/StructureDefinition/alternate-codes"
_LIMIT = 512  # sets of keys that are remembered for a struct
_AROUND = frozenset({"use", "type", "system", "assigner", "period"})
"""What only qualifies a value: an item of a list that has nothing else says nothing."""


class Row(NamedTuple):
    """One element: the way to it, and how it is made of a key (or, without one, of the object).

    Where there is an `inner` struct, its rows make elements of the same whole.
    """

    keys: tuple[str, ...]
    key: str
    parents: tuple[str, ...]
    element: str
    convert: Convert
    inner: str = ""


class Fit(NamedTuple):
    """What there is to do for an object: rows that only set a key, and then all others."""

    simple: tuple[tuple[str, str, Convert], ...]
    others: tuple[Row, ...]


class Plan:
    """The rows of one struct; `fits` are those found for objects so far, by their keys."""

    __slots__ = ("_rows", "fits", "periods")

    def __init__(self) -> None:
        self.periods: tuple[tuple[str, ...], ...] = ()
        self.fits: dict[tuple[str, ...], Fit] = {}
        self._rows: list[Row] = []

    def append(self, row: Row) -> None:
        """One row more; `periods` are the ways to those of which both ends have a row."""
        self._rows.append(row)
        ends = {each.parents for each in self._rows if each.element == "end"}
        starts = {each.parents for each in self._rows if each.element == "start"}
        self.periods = tuple(sorted(ends & starts))

    def elements(self) -> set[str]:
        """The elements that its rows and those of structs inside may set."""
        found = {(*row.parents, row.element)[0] for row in self._rows}
        inner = (_PLANS[row.inner].elements() for row in self._rows if row.inner)
        return found.union(*inner) - {""}

    def fit(self, keys: tuple[str, ...]) -> Fit:
        """The rows that have something to do for an object with these keys; remembered."""
        rows = [row for row in self._rows if not row.keys or set(keys) & set(row.keys)]
        times = Counter(row.element for row in rows)
        shared = {row.parents[0] for row in rows if row.parents}
        for row in rows:
            shared |= _PLANS[row.inner].elements() if row.inner else set()
        simple: list[Row] = []
        others: list[Row] = []
        for row in rows:
            is_alone = times[row.element] == 1 and row.element not in shared
            is_plain = row.key and not (row.parents or row.inner)
            (simple if is_plain and is_alone else others).append(row)
        found = Fit(tuple((row.key, row.element, row.convert) for row in simple), tuple(others))
        if len(self.fits) < _LIMIT:
            self.fits[keys] = found
        return found


def build(struct: str, source: Json, maker: Maker) -> Json:
    """The elements that the rows of `struct` make of `source`."""
    found: Json = {}
    _fill(_PLANS[struct], source, maker, found)
    return found


def resource(struct: str, source: Json, maker: Maker) -> Json:
    """The resource that the rows of `struct` make of `source`, with the profile it is to keep."""
    kind = KINDS[struct]
    found: Json = {"resourceType": kind.resource, "id": ""}
    if kind.profile:
        found["meta"] = {"profile": [kind.profile]}
    _fill(_PLANS[struct], source, maker, found)
    return found


def maker_of(struct: str) -> Make:
    """The recipe of what the rows alone make."""
    return lambda source, maker: resource(struct, source, maker)


def _fill(plan: Plan, source: Json, maker: Maker, found: Json) -> None:
    keys = tuple(source)
    simple, others = plan.fits.get(keys) or plan.fit(keys)
    for key, element, convert in simple:
        value = convert(source[key], maker)
        if value is not None:
            found[element] = value
    for row in others:
        _add(row, source, maker, found)
    for parents in plan.periods:
        _settle(found, parents, maker)


def _add(row: Row, source: Json, maker: Maker, found: Json) -> None:
    _, key, parents, element, convert, inner = row
    given = source[key] if key else source
    if inner:
        if isinstance(given, dict):
            _fill(_PLANS[inner], given, maker, found)
        return
    value = convert(given, maker)
    if value is None:
        return
    place = found
    for parent in parents:
        place = place.setdefault(parent, {})
    if element not in place:
        place[element] = value
    elif isinstance(value, list):
        place[element] = place[element] + value


def _settle(found: Json, parents: tuple[str, ...], maker: Maker) -> None:
    """A period that ends before it starts keeps its start; its end is an error, and told."""
    period: Any = found
    for step in parents:
        period = period.get(step)
        if period is None:
            return
    if "end" in period and not datatypes.in_order(period.get("start", ""), period["end"]):
        del period["end"]
        period["_end"] = datatypes.absent("error")
        maker.report(parents[-1] if parents else "period", "it ends before it starts")


def _code(name: str, value: Any, maker: Maker) -> str | None:
    found = datatypes.mapped(name, value, maker)
    return found.code if found else None


def _first_coding(name: str, value: Any, maker: Maker) -> Json | None:
    made = datatypes.concept(name, value, maker)
    if made is None:
        return None
    first: Json = made["coding"][0] if "coding" in made else {"display": made["text"]}
    return first


def _listed(convert: Callable[[str, Any, Maker], Any]) -> Callable[[str, Any, Maker], Any]:
    """The same as the only one of a list; of a list, each."""

    def converted(name: str, value: Any, maker: Maker) -> list[Any] | None:
        items = value if isinstance(value, list | tuple) else (value,)
        return [made for each in items if (made := convert(name, each, maker))] or None

    return converted


def _codeable(_: str, value: Any, maker: Maker) -> Json | None:
    return datatypes.codeable(value, maker)


def _refer(struct: str, value: Any, maker: Maker) -> Json | None:
    reference = maker.refer(struct, value)
    return {"reference": reference} if reference else None


def _actor(struct: str, value: Any, maker: Maker) -> Json | None:
    reference = maker.refer(struct, value)
    return {"actor": {"reference": reference}} if reference else None


def _named(struct: str, value: Any, maker: Maker) -> Json | None:
    """What is known by its name alone, or by a code and its text."""
    key = "description" if struct == "Location" else "name"
    if not isinstance(value, dict):
        name = datatypes.text(value, maker)
        return _refer(struct, {key: name}, maker) if name else None
    code = (value.get("coding") or [{}])[0]
    name = value.get("text") or code.get("display") or code.get("code")
    said = {key: name, "id": code.get("code") if code.get("code") != name else None}
    return _refer(struct, {each: said[each] for each in said if said[each]}, maker)


def _logical(resource: str, value: Any, maker: Maker) -> Json | None:
    """A thing that only its number is known of (Reference.identifier)."""
    made = _bare("", value, maker)
    return {"type": resource, "identifier": made} if made else None


def _bare(kind: str, value: Any, maker: Maker) -> Json | None:
    made = datatypes.numbered(kind, value, maker)
    return {"system": maker.authority, **made[0]} if made else None


def _object(struct: str, value: Any, maker: Maker) -> Json | None:
    if not isinstance(value, dict):
        return None
    made: Json = {}
    _fill(_PLANS[struct], value, maker, made)
    return None if len(made) <= len(_AROUND) and _AROUND.issuperset(made) else made


def _part(struct: str, value: Any, maker: Maker) -> Json | None:
    """As `object`, also where there is nothing but what else would only qualify."""
    return (build(struct, value, maker) if isinstance(value, dict) else {}) or None


def _original(name: str, value: Any, maker: Maker) -> list[Json] | None:
    """The v2 code beside a code that is one of FHIR (extension alternate-codes)."""
    made = datatypes.concept(name, value, maker)
    return [{"extension": [{"url": ALTERNATE, "valueCodeableConcept": made}]}] if made else None


def _extension(name: str) -> Convert:
    url, element, kind, arg = EXTENSIONS[name]
    convert, way = _simple(kind, arg), element.split("/")

    def converted(value: Any, maker: Maker) -> list[Json] | None:
        items = value if isinstance(value, list | tuple) else (value,)
        made = [each for item in items if (each := convert(item, maker)) is not None]
        return [_extended(url, way, each) for each in made] or None

    return converted


def _tabled(table: Mapping[str, Any], unknown: Convert) -> Convert:
    """What a map has for a code, ready made; what is not there is somebody else's to tell."""

    def converted(value: Any, maker: Maker) -> Any:
        found = table.get(value) if isinstance(value, str) else None
        return unknown(value, maker) if found is None else found

    return converted


def _extended(url: str, way: list[str], value: Any) -> Json:
    """An extension; the way to its value may go through one inside."""
    if len(way) == 1:
        return {"url": url, way[0]: value}
    return {"url": url, "extension": [_extended(way[0], way[1:], value)]}


def _constant(text: str, _: Any, __: Maker) -> str:
    return text


def _foremost(convert: Callable[[str, Any, Maker], Any]) -> Callable[[str, Any, Maker], Any]:
    """Of a list, what the first item gives."""

    def converted(arg: str, value: Any, maker: Maker) -> Any:
        first = value[0] if isinstance(value, list | tuple) and value else value
        return convert(arg, first, maker)

    return converted


def _words(keys: tuple[str, ...]) -> Convert:
    def convert(source: Json, _: Maker) -> list[str] | None:
        said = [source[key] for key in keys if key in source]
        return [each.strip() for each in said if isinstance(each, str) and each.strip()] or None

    return convert


def _first(convert: Convert) -> Callable[[tuple[str, ...]], Convert]:
    """Of several keys, what the first gives that gives something."""

    def chosen(keys: tuple[str, ...]) -> Convert:
        def converted(source: Json, maker: Maker) -> Any:
            found = (convert(source[key], maker) for key in keys if key in source)
            return next((each for each in found if each is not None), None)

        return converted

    return chosen


def _measured(keys: tuple[str, ...]) -> Convert:
    amount, unit = keys
    return lambda source, maker: datatypes.quantity(source.get(amount), source.get(unit), maker)


def _money(keys: tuple[str, ...]) -> Convert:
    amount, currency = keys

    def convert(source: Json, maker: Maker) -> Json | None:
        value = datatypes.decimal(source.get(amount), maker)
        code = datatypes.text(source.get(currency), maker)
        if value is None:
            return None
        return {"value": value} | ({"currency": code} if code and len(code) == 3 else {})

    return convert


_PLAIN: dict[str, Convert] = {
    "text": datatypes.text,
    "texts": datatypes.texts,
    "yes": datatypes.yes,
    "date": datatypes.date,
    "when": datatypes.when,
    "clock": datatypes.clock,
    "times": datatypes.times,
    "instant": datatypes.instant,
    "positive": datatypes.positive,
    "decimal": datatypes.decimal,
    "codeable": datatypes.codeable,
    "language": datatypes.language,
    "notes": datatypes.notes,
    "narrative": datatypes.narrative,
    "days": datatypes.days,
    "count": datatypes.count,
    "coded_notes": datatypes.coded_notes,
    "spoken": datatypes.spoken,
    "first_coding": datatypes.first_coding,
}
_NAMED: dict[str, Callable[[str, Any, Maker], Any]] = {
    "code": _code,
    "codes": _listed(_code),
    "coding": _first_coding,
    "codings": _listed(_first_coding),
    "concept": datatypes.concept,
    "concepts": _listed(datatypes.concept),
    "translated": datatypes.translated,
    "translations": _listed(datatypes.translated),
    "codeables": _listed(_codeable),
    "flags": datatypes.flags,
    "numbered": datatypes.numbered,
    "bare": _bare,
    "logical": _logical,
    "logicals": _listed(_logical),
    "reference": _refer,
    "references": _listed(_refer),
    "foremost_reference": _foremost(_refer),
    "actors": _listed(_actor),
    "named": _named,
    "object": _object,
    "objects": _listed(_object),
    "foremost_object": _foremost(_object),
    "self": _listed(_object),
    "part": _part,
    "foremost": _foremost(_codeable),
    "original": _original,
    "constant": _constant,
}
_WHOLE: dict[str, Callable[[tuple[str, ...]], Convert]] = {
    "words": _words,
    "first": _first(datatypes.text),
    "moment": _first(datatypes.when),
    "quantity": _measured,
    "money": _money,
}
_ITSELF: dict[str, Convert] = {
    "system": datatypes.identifier_system,
    "telecom": datatypes.telecom_system,
}


def _simple(kind: str, arg: str) -> Convert:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "extension":
        return _extension(arg)
    convert = partial(_NAMED[kind], arg)
    if kind == "concept":
        return _tabled(CONCEPTS.get(arg, {}), convert)
    if kind == "code":
        codes = {code: found.code for code, found in MAPS[arg].items() if found.code}
        return _tabled(codes, convert)
    return convert


def _row(row: dict[str, str]) -> Row:
    keys, kind, arg = tuple(row["key"].split()), row["kind"], row["arg"]
    *parents, element = row["element"].split(".")
    if kind == "flat":
        return Row(keys, keys[0], (), "", datatypes.text, arg)
    if kind in _WHOLE:
        return Row(keys, "", tuple(parents), element, _WHOLE[kind](keys))
    if kind in _ITSELF:
        return Row((), "", tuple(parents), element, _ITSELF[kind])
    if kind == "self":  # of the object itself, not of a key of it
        return Row(keys, "", tuple(parents), element, _simple(kind, arg))
    return Row(keys, "".join(keys), tuple(parents), element, _simple(kind, arg))


def _plans() -> dict[str, Plan]:
    found: dict[str, Plan] = {}
    for row in tables.family_rows("fhir/elements"):
        found.setdefault(row["struct"], Plan()).append(_row(row))
    return found


_PLANS = _plans()
