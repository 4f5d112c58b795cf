"""What CEL computes with: the types, and the operators on values whose type is known only now.

A value is Python's own where CEL means the same by it: int (64 bits), float, bool, str, bytes,
list, dict, None. The others are here. No text of a fault says what a value was, only its type.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

from fifhir.cel.times import Duration, Timestamp
from fifhir.errors import CelFault

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
LENGTH_LIMIT = 1 << 20  # characters, bytes or items that one operation may make


class Uint(int):
    """An unsigned 64-bit integer, a type of its own in CEL."""

    __slots__ = ()


class Type(str):
    """The type of a value, named as CEL names it."""

    __slots__ = ()


TYPES: dict[type, str] = {
    int: "int",
    Uint: "uint",
    float: "double",
    bool: "bool",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    type(None): "null_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Type: "type",
}
NUMBERS = frozenset((int, float, Uint))
_ALIKE = frozenset((str, bool, bytes, type(None), Timestamp, Duration, Type))
_SCALARS = NUMBERS | {str, bool}
_ORDERED = frozenset((str, bytes, bool, Timestamp, Duration))


def type_name(value: object) -> str:
    """The CEL type of a value, short enough for a sentence."""
    return TYPES[type(value)].removeprefix("google.protobuf.").lower()


def mismatch(sign: str, *values: object) -> CelFault:
    """No such overload."""
    return CelFault(f"'{sign}' does not work on {' and '.join(map(type_name, values))}")


def equal(left: Any, right: Any) -> bool:
    """CEL's ==: numbers by what they are worth, whatever their type; other types never equal."""
    kind, other = type(left), type(right)
    if kind in NUMBERS:
        return other in NUMBERS and bool(left == right)
    if kind is not other:
        return False
    if kind in _ALIKE:
        return bool(left == right)
    if len(left) != len(right):
        return False
    if kind is list:
        return all(map(equal, left, right))
    return all(key in right and equal(value, right[key]) for key, value in left.items())


def comparison(sign: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """An order of numbers among each other, and of two values of one ordered type."""

    def compared(left: Any, right: Any) -> bool:
        kind, other = type(left), type(right)
        if (kind in NUMBERS and other in NUMBERS) or (kind is other and kind in _ORDERED):
            return compare(left, right)
        raise mismatch(sign, left, right)

    return compared


def whole(value: int, kind: type) -> int:
    """The result of whole-number arithmetic, or a fault when it does not fit into 64 bits."""
    if kind is int:
        if INT_MIN <= value <= INT_MAX:
            return value
    elif 0 <= value <= UINT_MAX:
        return Uint(value)
    raise CelFault("a number does not fit into 64 bits")


def arithmetic(sign: str, compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`+ - *` of two numbers; int with double gives double, since JSON writes 5.0 as 5."""

    def computed(left: Any, right: Any) -> Any:
        kind, other = type(left), type(right)
        if kind is other and kind in NUMBERS:
            value = compute(left, right)
            return value if kind is float else whole(value, kind)
        if (kind is float and other is int) or (kind is int and other is float):
            return float(compute(float(left), float(right)))
        raise mismatch(sign, left, right)

    return computed


_sum = arithmetic("+", operator.add)
_difference = arithmetic("-", operator.sub)
product = arithmetic("*", operator.mul)


def add(left: Any, right: Any) -> Any:
    """`+`: numbers, texts, bytes, lists, and times with durations."""
    kind, other = type(left), type(right)
    if kind in NUMBERS:
        return _sum(left, right)
    if kind is other and kind in (str, bytes, list):
        if len(left) + len(right) > LENGTH_LIMIT:
            raise CelFault(f"'+' would make something longer than {LENGTH_LIMIT}")
        return left + right
    if {kind, other} <= {Timestamp, Duration} and Duration in (kind, other):
        made = Timestamp if Timestamp in (kind, other) else Duration
        return made(left.nanoseconds + right.nanoseconds)
    raise mismatch("+", left, right)


def subtract(left: Any, right: Any) -> Any:
    """`-`: numbers, and times."""
    kind, other = type(left), type(right)
    if kind in NUMBERS:
        return _difference(left, right)
    if other is Duration and kind in (Timestamp, Duration):
        return kind(left.nanoseconds - right.nanoseconds)
    if kind is Timestamp and other is Timestamp:
        return Duration(left.nanoseconds - right.nanoseconds)
    raise mismatch("-", left, right)


def divide(left: Any, right: Any) -> Any:
    """`/`: whole numbers towards zero, doubles as IEEE 754 has it."""
    kind, other = type(left), type(right)
    if kind is other and kind in (int, Uint):
        if right == 0:
            raise CelFault("division by zero")
        quotient = abs(left) // abs(right)
        return whole(quotient if (left < 0) == (right < 0) else -quotient, kind)
    if {kind, other} <= {int, float}:
        return _divide_doubles(float(left), float(right))
    raise mismatch("/", left, right)


def _divide_doubles(left: float, right: float) -> float:
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return float("nan")
    negative = (left < 0.0) != str(right).startswith("-")
    return float("-inf") if negative else float("inf")


def remainder(left: Any, right: Any) -> Any:
    """`%` of whole numbers; the sign is the left one's."""
    kind = type(left)
    if kind is not type(right) or kind not in (int, Uint):
        raise mismatch("%", left, right)
    if right == 0:
        raise CelFault("division by zero")
    rest = abs(left) % abs(right)
    return whole(-rest if left < 0 else rest, kind)


def negate(value: Any) -> Any:
    """`-x` of an int or a double."""
    if type(value) is int:
        return whole(-value, int)
    if type(value) is float:
        return -value
    raise mismatch("-", value)


def contains(item: Any, container: Any) -> bool:
    """`in`: an element of a list, or a key of a map."""
    if type(container) is list:
        return any(equal(item, each) for each in container)
    if type(container) is dict and type(item) in _SCALARS:
        return is_key(item) and item in container
    raise mismatch("in", item, container)


def is_key(value: Any) -> bool:
    """Whether a map may have such a key at all: text or a whole number."""
    return type(value) in (str, int, Uint) or (type(value) is float and value.is_integer())


def index(container: Any, key: Any) -> Any:
    """`container[key]`; a fault when there is no such element."""
    if type(container) is dict:
        if is_key(key) and key in container:
            return container[key]
        raise CelFault("a map has no such key")
    if type(container) is not list or type(key) not in NUMBERS:
        raise mismatch("[]", container, key)
    if key != int(key) or not 0 <= key < len(container):
        raise CelFault("a list has no such element")
    return container[int(key)]
