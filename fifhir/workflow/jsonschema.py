"""The JSON Schema (2020-12) of a configuration struct, for editors: what `schema.read` accepts."""

from typing import Any, TypeAlias

from msgspec import Struct, inspect

from fifhir import flat
from fifhir.schema import shape, unwrap

Json: TypeAlias = dict[str, Any]

_DURATION = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
_VARIABLE = {"type": "string", "pattern": r"\$\{"}  # what the environment or a file will say


_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def settings(cls: type[Struct]) -> Json:
    """The schema of the settings file: sections of keys, and the file beside each secret."""
    definitions: Json = {}
    whole = _struct(shape(cls), definitions)
    for section in shape(cls).fields:
        kind, _ = unwrap(section.type)
        assert isinstance(kind, inspect.StructType)
        properties = definitions[kind.cls.__name__]["properties"]
        for item in kind.fields:
            if isinstance(unwrap(item.type)[0], inspect.CustomType):
                told = f"The file that holds {item.encode_name}, instead of it."
                properties[f"{item.encode_name}_file"] = {"type": "string", "description": told}
    return {"$schema": _DIALECT, "title": "fi-fhir settings", **whole, "$defs": definitions}


def document(cls: type[Struct]) -> Json:
    """The schema of a file that holds the struct, or the struct under a key `workflow`."""
    definitions: Json = {}
    whole = _struct(shape(cls), definitions)
    return {
        "$schema": _DIALECT,
        "title": "fi-fhir workflow",
        "anyOf": [
            whole,
            {
                "type": "object",
                "properties": {"workflow": whole},
                "required": ["workflow"],
                "additionalProperties": False,
            },
        ],
        "$defs": definitions,
    }


def _struct(kind: inspect.StructType, definitions: Json) -> Json:
    """A reference to the struct's definition, which is made the first time."""
    name = kind.cls.__name__
    if name not in definitions:
        definitions[name] = {}  # a struct may contain itself
        definitions[name] = _definition(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _definition(kind: inspect.StructType, definitions: Json) -> Json:
    properties = {item.encode_name: _field(item, definitions) for item in kind.fields}
    properties |= _blocks(kind, properties)
    required = [item.encode_name for item in kind.fields if item.required]
    if kind.tag_field:
        properties = {kind.tag_field: {"const": kind.tag}, **properties}
        required.insert(0, kind.tag_field)
    made: Json = {
        "type": "object",
        "description": " ".join((kind.cls.__doc__ or "").split()),
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        made["required"] = required
    if flats := [found for item in kind.fields if (found := flat.prefix(item, "flat"))]:
        made["patternProperties"] = {f"^{found}.": {"type": "string"} for found in flats}
    return made


def _blocks(kind: inspect.StructType, properties: Json) -> Json:
    """The blocks that stand for several keys and have no switch: `oauth2: {token_url: ...}`."""
    prefixes = [found for item in kind.fields if (found := flat.prefix(item, "within"))]
    return {
        prefix[:-1]: {
            "type": "object",
            "properties": {
                name.removeprefix(prefix): each
                for name, each in properties.items()
                if name.startswith(prefix)
            },
            "additionalProperties": False,
        }
        for prefix in prefixes
    }


def _field(item: inspect.Field, definitions: Json) -> Json:
    told = _any(item.type, definitions)
    if item.required:
        return told
    return {"anyOf": [told, {"type": "null"}]} | (
        {"description": told.pop("description")} if "description" in told else {}
    )


def _any(kind: inspect.Type, definitions: Json) -> Json:
    inner, extra = unwrap(kind)
    made = _plain(inner, extra, definitions)
    if isinstance(kind, inspect.Metadata):
        described = (kind.extra_json_schema or {}).get("description")
        made |= {"description": described} if described else {}
    return made


def _plain(kind: inspect.Type, extra: Json, definitions: Json) -> Json:  # noqa: PLR0911 - by type
    if extra.get("read") == "duration":
        return {"type": "string", "pattern": _DURATION}
    if "block" in extra:
        return {"anyOf": [{"type": "boolean"}, {"type": "object"}]}
    match kind:
        case inspect.StructType():
            return _struct(kind, definitions)
        case inspect.UnionType():
            kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
            return {"anyOf": [_any(each, definitions) for each in kinds]}
        case inspect.VarTupleType():
            return _list(kind, definitions)
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _any(kind.value_type, definitions)}
        case inspect.LiteralType():
            return {"enum": list(kind.values)}
        case inspect.BoolType():
            return {"anyOf": [{"type": "boolean"}, _VARIABLE]}
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
    return _text(kind)


def _list(kind: inspect.VarTupleType, definitions: Json) -> Json:
    made: Json = {"type": "array", "items": _any(kind.item_type, definitions)}
    for name, value in (("minItems", kind.min_length), ("maxItems", kind.max_length)):
        made |= {name: value} if value is not None else {}
    return made


def _number(kind: inspect.IntType | inspect.FloatType) -> Json:
    made: Json = {"type": "integer" if isinstance(kind, inspect.IntType) else "number"}
    for name, value in (("minimum", kind.ge), ("maximum", kind.le)):
        made |= {name: value} if value is not None else {}
    return {"anyOf": [made, _VARIABLE]}


def _text(kind: inspect.Type) -> Json:
    """A text; a number may be written without quotes where text is meant."""
    made: Json = {"type": ["string", "number"]}
    for name, key in (("minLength", "min_length"), ("maxLength", "max_length"), ("pattern",) * 2):
        value = getattr(kind, key, None)
        made |= {name: value} if value is not None else {}
    return made
