"""Z segments: what a sender's own fields mean, as `patient.extensions`."""

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from fifhir import dtm
from fifhir.event import Warning
from fifhir.message import Message
from fifhir.profile.config import ZMapping, ZSegments

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?([0-9]{1,17}([.][0-9]{0,17})?|[.][0-9]{1,17})")
_BOOLEANS = {"Y": True, "YES": True, "1": True, "TRUE": True}
_BOOLEANS |= {"N": False, "NO": False, "0": False, "FALSE": False}

Convert = Callable[[str, dtm.Zone], Any]


def _integer(text: str, _: dtm.Zone) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _float(text: str, _: dtm.Zone) -> float | None:
    return float(text) if _FLOAT.fullmatch(text) else None


def _boolean(text: str, _: dtm.Zone) -> bool | None:
    return _BOOLEANS.get(text.upper())


def _string(text: str, _: dtm.Zone) -> str:
    return text


_TYPES: dict[str, Convert] = {
    "string": _string,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": dtm.date,
    "datetime": dtm.time,
}


def mentions_z(message: Message) -> bool:
    """Whether there may be a Z segment; one search of the bytes, cheaper than a look at names."""
    raw = message.raw
    return b"\rZ" in raw or b"\nZ" in raw


def read(
    message: Message, settings: ZSegments, zone: dtm.Zone
) -> tuple[dict[str, Any], list[Warning]]:
    """The extensions a message's Z segments make, and what in them could not be read.

    A mapping reads the first segment of its name; later ones are kept raw. So are, if
    `preserve_raw` is set, segments without a mapping and those whose mapping leaves out a field
    with a value. Several raw ones of a name are a list.
    """
    found: dict[str, Any] = {}
    raw: dict[str, list[str]] = defaultdict(list)
    warnings: list[Warning] = []
    mapped = set()
    for at in range(len(message)):
        name = message.name(at).decode("ascii", "replace")
        if not name.startswith("Z"):
            continue
        rows = settings.mappings.get(name)
        if rows and name not in mapped:
            mapped.add(name)
            warnings += _map(message, at, rows, zone, found)
            if settings.preserve_raw and not _covered(message, at, rows):
                raw[f"raw_{name}"].append(_text(message, at))
        elif settings.preserve_raw or rows:
            raw[f"raw_{name}"].append(_text(message, at))
    return found | {key: v[0] if len(v) == 1 else v for key, v in raw.items()}, warnings


def _covered(message: Message, at: int, rows: tuple[ZMapping, ...]) -> bool:
    """Whether the mapping reads every field that has a value."""
    read = {int(row.field.partition(".")[0]) for row in rows}
    return all(n in read or not message.cut(at, n, 0) for n in range(1, message.fields(at) + 1))


def _map(
    message: Message, at: int, rows: tuple[ZMapping, ...], zone: dtm.Zone, found: dict[str, Any]
) -> list[Warning]:
    warnings = []
    for row in rows:
        field, component, subcomponent = (*map(int, row.field.split(".")), 0, 0)[:3]
        text = message.text(at, field, 1, component or 1, subcomponent or 1)
        if not component:
            text = message.decoded(message.cut(at, field, 0))
        if text == "":
            continue
        value = None if text is None else _TYPES[row.type](text, zone)
        if value is None and text is not None:
            place = f"{message.name(at).decode()}-{row.field}"
            reason = f"value is not what the profile says ({row.type}) and was left out"
            warnings.append(Warning("semantic", "INVALID_Z_VALUE", reason, place))
            continue
        _put(found, row.target.split("."), value)
    return warnings


def _put(found: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        found = found.setdefault(step, {})
    found[path[-1]] = value


def _text(message: Message, at: int) -> str:
    """The fields of a segment as they were sent, without its name."""
    start, end = message.span(at)
    return message.raw[start + 4 : end].decode("utf-8", "replace")
