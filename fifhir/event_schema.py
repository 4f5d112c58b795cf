"""The JSON Schema (2020-12) of events, made of the structs and the rows that fill them.

One document holds all: what an event looks like follows from its `type`, and what events share
stands once. The description of a key says which HL7 v2 field it is from.
"""

from functools import cache
from typing import Any, TypeAlias

from msgspec import Struct, UnsetType, inspect

from fifhir import event, tables

Json: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DAY = r"\d{4}(-\d{2}(-\d{2})?)?"
_MOMENT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})"
_TIMES: dict[str, Json] = {
    "instant": {"type": "string", "format": "date-time", "pattern": f"^{_MOMENT}$"},
    "date": {"type": "string", "pattern": f"^{_DAY}$"},
    "time": {"type": "string", "pattern": f"^({_DAY}|{_MOMENT})$"},
}
_SAID = {
    "instant": "a date and time with an offset (RFC 3339)",
    "date": "a date (ISO 8601), as exact as it was sent",
    "time": "a date, or a date and time with an offset (RFC 3339), as exact as it was sent",
}
_NULL: Json = {"type": "null"}
_SCALARS: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.NoneType: "null",
}


def document() -> Json:
    """The schema of every event; `$defs` has one of each type under its name."""
    definitions: Json = {}
    for tag, cls in event.EVENTS.items():
        definitions[tag] = _definition(cls, definitions, tag)
    return {
        "$schema": DIALECT,
        "title": "fi-fhir event",
        "description": "One HL7 v2 message as an event. `type` says what happened.",
        "type": "object",
        "required": ["type"],
        "oneOf": [{"$ref": f"#/$defs/{tag}"} for tag in event.EVENTS],
        "$defs": dict(sorted(definitions.items())),
    }


def _reference(cls: type[Struct], definitions: Json) -> Json:
    name = cls.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _definition(cls, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _definition(cls: type[Struct], definitions: Json, tag: str = "") -> Json:
    """A struct's own keys, beside those of what it is a kind of."""
    shape = inspect.type_info(cls)
    assert isinstance(shape, inspect.StructType)
    base = cls.__mro__[1]
    inherited = set(getattr(base, "__struct_encode_fields__", ()))
    own = [
        item
        for item in shape.fields
        if item.encode_name not in inherited or (cls.__name__, item.encode_name) in _rows()
    ]
    made: Json = {
        "title": tag or cls.__name__,
        "description": " ".join((cls.__doc__ or "").split()),
    }
    if inherited:
        made["allOf"] = [_reference(base, definitions)]
    made["type"] = "object"
    made["properties"] = ({"type": {"const": tag}} if tag else {}) | {
        item.encode_name: _key(cls, item, definitions) for item in own
    }
    needed = [item.encode_name for item in own if item.required or item.encode_name in _SHOWN]
    if needed := (["type"] if tag else []) + needed:
        made["required"] = needed
    if tag or not _is_extended(cls):
        made["unevaluatedProperties"] = False
    return made


_SHOWN = frozenset({"is_critical"})
"""Keys that are there whatever they hold."""


def _is_extended(cls: type[Struct]) -> bool:
    return bool(cls.__subclasses__())


def _key(cls: type[Struct], item: inspect.Field, definitions: Json) -> Json:
    """What a key may hold, and the fields it is from."""
    names = (base.__name__ for base in cls.__mro__)
    rows = next(filter(None, (_rows().get((name, item.encode_name)) for name in names)), [])
    kinds = {row["kind"] for row in rows}
    made = _plain(item.type, definitions)
    said = "; ".join(dict.fromkeys(row["source"] for row in rows if row["source"]))
    words = [f"From {said}" if said else ""]
    if len(kinds) == 1 and (kind := kinds.pop()) in _TIMES:
        made = {"anyOf": [_TIMES[kind], _NULL]} if _may_be_null(item.type) else _TIMES[kind]
        words.append(_SAID[kind])
    described = ": ".join(word for word in words if word)
    return {"description": described, **made} if described else made


@cache
def _rows() -> dict[tuple[str, str], list[dict[str, str]]]:
    """The rows that fill a key of a struct."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in tables.family_rows("fields"):
        for struct in row["struct"].split():
            found.setdefault((struct, row["key"]), []).append(row)
    return found


def _may_be_null(kind: inspect.Type) -> bool:
    parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(part, inspect.NoneType) for part in parts)


def _plain(kind: inspect.Type, definitions: Json) -> Json:
    match kind:
        case inspect.StructType():
            return _reference(kind.cls, definitions)
        case inspect.VarTupleType():
            return {"type": "array", "items": _plain(kind.item_type, definitions)}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _plain(kind.value_type, definitions)}
        case inspect.UnionType():
            return _either([_plain(each, definitions) for each in kind.types if _is_told(each)])
    return {"type": _SCALARS[type(kind)]} if type(kind) in _SCALARS else {}


def _is_told(kind: inspect.Type) -> bool:
    """Whether JSON may hold it: what is unset is left out."""
    return not (isinstance(kind, inspect.CustomType) and kind.cls is UnsetType)


def _either(parts: list[Json]) -> Json:
    if len(parts) == 1:
        return parts[0]
    if all(part.keys() == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}
