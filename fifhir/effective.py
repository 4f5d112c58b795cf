"""Every setting as an operator asks for it: its value in force, and where that comes from."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from fifhir import config, document, schema
from fifhir.errors import ConfigError
from fifhir.secret import Secret

DEFAULT = "default"
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_/]*|[0-9.]+s")  # needs no quotes in YAML
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}


class Setting(Struct, frozen=True):
    """One setting; `text` is its value as YAML has it, `origin` a place, a variable, a flag."""

    section: str
    name: str
    variable: str
    value: Any
    text: str
    meaning: str
    origin: str = DEFAULT


def defaults() -> list[Setting]:
    """Every setting with its default."""
    return list(_settings(config.Settings(), document.Mapping("settings")))


def effective(
    path: str | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> list[Setting]:
    """Every setting in force, as `config.load` with the same arguments has it; ConfigError too."""
    root, findings = config.lay(path, environ, flags)
    settings, wrong = schema.read(root, config.Settings)
    if settings is None or findings:
        raise ConfigError(schema.in_order([*findings, *wrong]))
    return list(_settings(settings, root))


def _settings(settings: config.Settings, root: document.Mapping) -> Iterator[Setting]:
    variables = {(section, name): each for each, section, name in config.variables()}
    for section in schema.shape(config.Settings).fields:
        told = root.entries.get(section.name)
        for item in cast(inspect.StructType, section.type).fields:
            value = getattr(getattr(settings, section.name), item.name)
            yield Setting(
                section.name,
                item.name,
                variables[section.name, item.name],
                plain(value, item),
                written(value, item),
                meaning(item),
                _origin(told, item.encode_name),
            )


def _origin(section: document.Entry | None, name: str) -> str:
    entries = section.node.entries if section and isinstance(section.node, document.Mapping) else {}
    return entries[name].node.place if name in entries else DEFAULT


def plain(value: Any, item: inspect.Field) -> Any:
    """The value as JSON has it; a duration as it is written, a secret never."""
    if isinstance(value, Secret):
        return repr(value).strip("'")
    if _is_duration(item):
        return f"{value:g}s"
    if isinstance(value, tuple) and value and isinstance(value[0], Struct):
        return [
            {each.encode_name: plain(getattr(one, each.name), each) for each in _fields(one)}
            for one in value
        ]
    return msgspec.to_builtins(value, enc_hook=str)


def _fields(one: Struct) -> tuple[inspect.Field, ...]:
    return schema.shape(type(one)).fields


def written(value: Any, item: inspect.Field) -> str:
    """The value as YAML has it."""
    found = plain(value, item)
    if isinstance(found, str) and _PLAIN.fullmatch(found) and found.lower() not in _WORDS:
        return found
    return json.dumps(found)


def meaning(item: inspect.Field) -> str:
    """What the setting is for, and which values it may have."""
    if _is_secret(item):
        return f"{_told(item)} {item.encode_name}{config.FILE} names a file that holds it instead."
    return described(item)


def described(item: inspect.Field) -> str:
    """What a key of a workflow is for, and which values it may have."""
    kind = cast(inspect.Metadata, item.type)
    told = _told(item)
    if _is_secret(item):
        return f"{told} `${{file:PATH}}` or `${{NAME}}` keeps it out of the workflow."
    if isinstance(kind.type, inspect.LiteralType):
        return f"{told} One of {', '.join(str(value) for value in kind.type.values if value)}."
    least, most = getattr(kind.type, "ge", None), getattr(kind.type, "le", None)
    unit = "s" if _is_duration(item) else ""
    if least is not None and most is not None:
        return f"{told} {least}{unit} to {most}{unit}."
    return told


def _told(item: inspect.Field) -> str:
    return str((cast(inspect.Metadata, item.type).extra_json_schema or {})["description"])


def _is_secret(item: inspect.Field) -> bool:
    return isinstance(schema.unwrap(item.type)[0], inspect.CustomType)


def default(item: inspect.Field) -> str:
    """A field's default as YAML has it; empty if there is none or it is empty."""
    if item.default is NODEFAULT or item.default in ("", (), None):
        return ""
    return "" if isinstance(item.default, Struct | Secret) else written(item.default, item)


def _is_duration(item: inspect.Field) -> bool:
    return schema.unwrap(item.type)[1].get("read") == "duration"
