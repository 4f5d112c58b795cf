"""The operators of CEL as closures: absorbing errors where CEL does, and quick beside a literal."""

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from fifhir.cel import values
from fifhir.cel.times import Duration, Timestamp
from fifhir.cel.values import NUMBERS, Type, Uint, mismatch, type_name
from fifhir.errors import CelFault

Scope: TypeAlias = tuple[Any, ...]
Run: TypeAlias = Callable[[Scope], Any]
Binary: TypeAlias = Callable[[Any, Any], Any]

_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ORDERED = NUMBERS | {str, bytes, bool, Timestamp, Duration}
_TIMES = frozenset((Timestamp, Duration))

BINARY: dict[str, Binary] = {
    "==": values.equal,
    "!=": lambda left, right: not values.equal(left, right),
    "+": values.add,
    "-": values.subtract,
    "*": values.product,
    "/": values.divide,
    "%": values.remainder,
    "in": values.contains,
    "[]": values.index,
    **{sign: values.comparison(sign, compare) for sign, compare in _ORDERS.items()},
}
NEGATABLE = frozenset((int, float))
SIGNS = frozenset((*BINARY, "&&", "||", "!", "?:", "-x"))

_OPERANDS: dict[str, frozenset[type]] = {
    "+": NUMBERS | {str, bytes, list, Timestamp, Duration},
    "-": NUMBERS | _TIMES,
    "*": NUMBERS,
    "/": NUMBERS,
    "%": frozenset((int, Uint)),
    **dict.fromkeys(_ORDERS, _ORDERED),
}


def result_type(sign: str, left: type | None, right: type | None) -> type | None:
    """The type of `left sign right` as far as it is known; a CelFault if there can be none."""
    known = [kind for kind in (left, right) if kind is not None]
    allowed = _OPERANDS.get(sign)
    if sign == "in":
        if right not in (None, list, dict):
            raise CelFault(f"'in' needs a list or a map on its right, not {_named(right)}")
        return bool
    if sign == "[]":
        if left not in (None, list, dict):
            raise CelFault(f"[...] needs a list or a map before it, not {_named(left)}")
        return None
    if allowed and (wrong := [kind for kind in known if kind not in allowed]):
        raise CelFault(f"'{sign}' does not work on {_named(wrong[0])}")
    if len(known) == 2:
        return _result_of_both(sign, known[0], known[1])
    return bool if sign in ("==", "!=", *_ORDERS) else None


def _result_of_both(sign: str, left: type, right: type) -> type:
    numbers = left in NUMBERS and right in NUMBERS
    if sign in ("==", "!=", *_ORDERS):
        if left is right or numbers or (type(None) in (left, right) and sign in ("==", "!=")):
            return bool
        hint = "; a field of the event is event.type" if Type in (left, right) else ""
        if str in (left, right) and {left, right} & NUMBERS:
            hint = "; convert the text, as in double(x)"
        raise CelFault(f"{_named(left)} and {_named(right)} are never alike{hint}")
    if {left, right} & _TIMES and {left, right} <= _TIMES:
        if sign == "-":
            return _difference_of_times(left, right)
        if Duration in (left, right):
            return Timestamp if Timestamp in (left, right) else Duration
    elif left is right:
        return left
    convert = "; convert one, as in double(x)" if numbers else ""
    raise CelFault(f"'{sign}' does not work on {_named(left)} and {_named(right)}{convert}")


def _difference_of_times(left: type, right: type) -> type:
    if right is Duration:
        return left
    if left is Duration:
        raise CelFault("'-' cannot take a timestamp from a duration")
    return Duration


def _named(kind: type | None) -> str:
    return values.TYPES[kind].removeprefix("google.protobuf.").lower() if kind else "this"


def logical(runs: tuple[Run, ...], *, decisive: bool) -> Run:
    """`&&` (decided by false) or `||` (by true): an error counts only if nothing else decides."""
    other = not decisive

    def decided(scope: Scope) -> bool:
        failed = ""
        for run in runs:
            try:
                value = run(scope)
            except CelFault as fault:
                failed = str(fault)
                continue
            if value is decisive:
                return not other
            if type(value) is not bool:
                failed = f"'{'||' if decisive else '&&'}' does not work on {type_name(value)}"
        if failed:
            raise CelFault(failed)
        return other

    if len(runs) != 2:
        return decided
    first, second = runs

    def decided_by_two(scope: Scope) -> bool:
        """The same, without a loop, for what nearly every condition is; else asked again."""
        try:
            one = first(scope)
            if one is decisive:
                return not other
            two = second(scope)
            if two is decisive:
                return not other
        except CelFault:
            return decided(scope)
        return other if one is other and two is other else decided(scope)

    return decided_by_two


def negation(run: Run) -> Run:
    """`!x`."""

    def negated(scope: Scope) -> bool:
        value = run(scope)
        if type(value) is not bool:
            raise mismatch("!", value)
        return not value

    return negated


def negative(run: Run) -> Run:
    """`-x`."""
    return lambda scope: values.negate(run(scope))


def choice(condition: Run, yes: Run, no: Run) -> Run:
    """`condition ? yes : no`; only the chosen one is evaluated."""

    def chosen(scope: Scope) -> Any:
        value = condition(scope)
        if type(value) is not bool:
            raise mismatch("? :", value)
        return yes(scope) if value else no(scope)

    return chosen


def binary(sign: str, left: Run, right: Run) -> Run:
    """Any other operator with two sides."""
    compute = BINARY[sign]
    return lambda scope: compute(left(scope), right(scope))


def beside_literal(sign: str, run: Run, literal: Any) -> Run | None:
    """`run sign literal` where that is quicker than `binary`."""
    if sign in ("==", "!="):
        return _equality(run, literal, wanted=sign == "==")
    if sign in _ORDERS and type(literal) in NUMBERS | {str}:
        return _order(sign, run, literal)
    if sign == "in" and type(literal) is list and all(type(each) is str for each in literal):
        return _membership(run, frozenset(literal))
    return None


def _equality(run: Run, literal: Any, *, wanted: bool) -> Run | None:
    kind = type(literal)
    if kind is str:  # in Python, too, text equals nothing but text
        return (
            (lambda scope: run(scope) == literal)
            if wanted
            else (lambda scope: run(scope) != literal)
        )
    if kind in NUMBERS:  # to Python, true is 1

        def same_number(scope: Scope) -> bool:
            value = run(scope)
            return (value == literal and type(value) is not bool) is wanted

        return same_number
    if kind is bool or literal is None:
        return lambda scope: (run(scope) is literal) is wanted
    return None


def _order(sign: str, run: Run, literal: Any) -> Run:
    compare = _ORDERS[sign]
    kinds = NUMBERS if type(literal) in NUMBERS else frozenset((str,))

    def compared(scope: Scope) -> bool:
        value = run(scope)
        if type(value) not in kinds:
            raise mismatch(sign, value, literal)
        return bool(compare(value, literal))

    return compared


def _membership(run: Run, members: frozenset[str]) -> Run:
    def found(scope: Scope) -> bool:
        value = run(scope)
        return type(value) is str and value in members

    return found
