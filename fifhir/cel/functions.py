"""The functions of CEL that this subset has, as a table: what each takes, gives and does.

A row's types are checked before its function is called, so a function sees only what it expects.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fifhir.cel import regex, times
from fifhir.cel.times import NANOSECONDS, Duration, Timestamp
from fifhir.cel.values import INT_MAX, INT_MIN, TYPES, UINT_MAX, Type, Uint
from fifhir.errors import CelFault

Kinds = frozenset[type]

STRING: Kinds = frozenset((str,))
TIMESTAMP: Kinds = frozenset((Timestamp,))
TIME: Kinds = frozenset((Timestamp, Duration))
ANY: Kinds = frozenset(TYPES)


class Function(NamedTuple):
    """What a function takes, types for each argument, and gives; None is whatever it was given."""

    takes: tuple[Kinds, ...]
    gives: type | None
    run: Callable[..., Any]


def _size(value: str | bytes | list[Any] | dict[Any, Any]) -> int:
    return len(value)  # Python counts a text in code points, as CEL does


def _to_int(value: Any) -> int:
    match value:
        case Timestamp():
            return value.nanoseconds // NANOSECONDS
        case str():
            number = _whole_text(value, "int")
        case float():
            number = _truncated(value, "int")
        case _:
            number = int(value)
    if not INT_MIN <= number <= INT_MAX:
        raise CelFault("int() was given a number that does not fit into 64 bits")
    return number


def _to_uint(value: Any) -> Uint:
    match value:
        case str():
            number = _whole_text(value, "uint")
        case float():
            number = _truncated(value, "uint")
        case _:
            number = int(value)
    if not 0 <= number <= UINT_MAX:
        raise CelFault("uint() was given a number that does not fit into 64 bits")
    return Uint(number)


def _whole_text(text: str, name: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 20:
        raise CelFault(f"{name}() was given text that is not a whole number")
    return int(text)


def _truncated(value: float, name: str) -> int:
    # Doubles cannot name INT_MAX; at its rounded value the conversion is already undefined in C.
    if not math.isfinite(value) or not -(2.0**63) < value < 2.0**64:
        raise CelFault(f"{name}() was given a number that does not fit into 64 bits")
    if name == "int" and value >= 2.0**63:
        raise CelFault("int() was given a number that does not fit into 64 bits")
    return int(value)


def _to_double(value: Any) -> float:
    if isinstance(value, str):
        if len(value) > 100 or "_" in value or value != value.strip():
            raise CelFault("double() was given text that is not a number")
        try:
            return float(value)
        except ValueError:
            raise CelFault("double() was given text that is not a number") from None
    return float(value)


def _to_string(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise CelFault("string() was given bytes that are not UTF-8") from None
        case Timestamp():
            return times.timestamp_text(value)
        case Duration():
            return times.duration_text(value)
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
    return str(value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "True", "TRUE", "t", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise CelFault("bool() was given text that is neither true nor false")


def _to_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _to_timestamp(value: Any) -> Timestamp:
    if isinstance(value, str):
        return times.timestamp(value)
    return Timestamp(value * NANOSECONDS) if isinstance(value, int) else value


def _to_duration(value: Any) -> Duration:
    return times.duration(value) if isinstance(value, str) else value


def _type(value: Any) -> Type:
    return Type(TYPES[type(value)])


def _matches(text: str, pattern: str) -> bool:
    return regex.compile(pattern).search(text)


def _on_calendar(attribute: str, less: int = 0) -> Callable[..., int]:
    """A part of a date in a time zone, counted from 1, or from 0 with `less`."""

    def part(value: Timestamp, zone: str = "UTC") -> int:
        return int(getattr(times.local(value, zone), attribute)) - less

    return part


def _day_of_week(value: Timestamp, zone: str = "UTC") -> int:
    return times.local(value, zone).isoweekday() % 7  # Sunday is 0


def _day_of_year(value: Timestamp, zone: str = "UTC") -> int:
    return times.local(value, zone).timetuple().tm_yday - 1


def _milliseconds(value: Any, zone: str = "UTC") -> int:
    if isinstance(value, Duration):
        return _towards_zero(value.nanoseconds, 10**6) % 1000
    return times.local(value, zone).microsecond // 1000


def _clock(attribute: str, unit: int) -> Callable[..., int]:
    """A part of a time of day, or a duration's whole length in that unit."""
    of_day = _on_calendar(attribute)

    def part(value: Any, zone: str = "UTC") -> int:
        if isinstance(value, Duration):
            return _towards_zero(value.nanoseconds, unit)
        return of_day(value, zone)

    return part


def _towards_zero(value: int, unit: int) -> int:
    return -(-value // unit) if value < 0 else value // unit


_NUMBER = frozenset((int, Uint, float))
_SIZED = frozenset((str, bytes, list, dict))

GLOBALS: dict[str, tuple[Function, ...]] = {
    "size": (Function((_SIZED,), int, _size),),
    "matches": (Function((STRING, STRING), bool, _matches),),
    "int": (Function((_NUMBER | STRING | TIMESTAMP,), int, _to_int),),
    "uint": (Function((_NUMBER | STRING,), Uint, _to_uint),),
    "double": (Function((_NUMBER | STRING,), float, _to_double),),
    "string": (Function((_NUMBER | STRING | TIME | frozenset((bool, bytes)),), str, _to_string),),
    "bool": (Function((STRING | frozenset((bool,)),), bool, _to_bool),),
    "bytes": (Function((STRING | frozenset((bytes,)),), bytes, _to_bytes),),
    "timestamp": (Function((STRING | TIMESTAMP | frozenset((int,)),), Timestamp, _to_timestamp),),
    "duration": (Function((STRING | frozenset((Duration,)),), Duration, _to_duration),),
    "dyn": (Function((ANY,), None, lambda value: value),),
    "type": (Function((ANY,), Type, _type),),
}
"""By name, each once for every number of arguments it may have."""


def _dated(run: Callable[..., int], receiver: Kinds = TIMESTAMP) -> tuple[Function, ...]:
    """A member of a time, and the same in a time zone, which only a timestamp has."""
    return (
        Function((receiver,), int, run),
        Function((TIMESTAMP, STRING), int, run),
    )


MEMBERS: dict[str, tuple[Function, ...]] = {
    "size": (Function((_SIZED,), int, _size),),
    "startsWith": (Function((STRING, STRING), bool, str.startswith),),
    "endsWith": (Function((STRING, STRING), bool, str.endswith),),
    "contains": (Function((STRING, STRING), bool, str.__contains__),),
    "matches": (Function((STRING, STRING), bool, _matches),),
    "getFullYear": _dated(_on_calendar("year")),
    "getMonth": _dated(_on_calendar("month", 1)),
    "getDate": _dated(_on_calendar("day")),
    "getDayOfMonth": _dated(_on_calendar("day", 1)),
    "getDayOfWeek": _dated(_day_of_week),
    "getDayOfYear": _dated(_day_of_year),
    "getHours": _dated(_clock("hour", 3600 * NANOSECONDS), TIME),
    "getMinutes": _dated(_clock("minute", 60 * NANOSECONDS), TIME),
    "getSeconds": _dated(_clock("second", NANOSECONDS), TIME),
    "getMilliseconds": _dated(_milliseconds, TIME),
}
"""The same for what is called on a value: `text.size()`."""
