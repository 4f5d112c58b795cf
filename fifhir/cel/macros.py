"""The macros of CEL, each a loop over a list or over the keys of a map.

`scope[1]` is what all loops of one evaluation may still spend, a list of one number.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from fifhir.cel.operators import Run, Scope
from fifhir.cel.values import type_name
from fifhir.errors import CelFault

LOOP_LIMIT = 100_000  # turns of all loops in one evaluation: some 50 ms
NESTING_LIMIT = 3

Macro: TypeAlias = Callable[[Run, "tuple[Run, ...]"], Run]


def _items(run: Run, scope: Scope) -> list[Any]:
    value = run(scope)
    kind = type(value)
    if kind is not list and kind is not dict:
        raise CelFault(f"a macro needs a list or a map, not {type_name(value)}")
    scope[1][0] -= len(value)
    if scope[1][0] < 0:
        raise CelFault(f"more than {LOOP_LIMIT} turns of a loop")
    return value if kind is list else list(value)


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise CelFault(f"a macro's condition must be true or false, not {type_name(value)}")
    return value


def _deciding(decisive: bool) -> Macro:
    """`exists` (decided by true) or `all` (by false): an error counts if nothing decides."""

    def made(items: Run, bodies: tuple[Run, ...]) -> Run:
        (body,) = bodies
        other = not decisive

        def decided(scope: Scope) -> bool:
            failed = ""
            for item in _items(items, scope):
                try:
                    value = body((*scope, item))
                    if value is decisive:
                        return not other
                    if value is not other:
                        _boolean(value)
                except CelFault as fault:
                    failed = str(fault)
            if failed:
                raise CelFault(failed)
            return other

        return decided

    return made


def _exists_one(items: Run, bodies: tuple[Run, ...]) -> Run:
    (body,) = bodies
    return lambda scope: sum(_boolean(body((*scope, item))) for item in _items(items, scope)) == 1


def _filter(items: Run, bodies: tuple[Run, ...]) -> Run:
    (body,) = bodies
    return lambda scope: [item for item in _items(items, scope) if _boolean(body((*scope, item)))]


def _map(items: Run, bodies: tuple[Run, ...]) -> Run:
    *wanted, value = bodies
    if not wanted:
        return lambda scope: [value((*scope, item)) for item in _items(items, scope)]
    (chosen,) = wanted
    return lambda scope: [
        value((*scope, item)) for item in _items(items, scope) if _boolean(chosen((*scope, item)))
    ]


MACROS: dict[str, tuple[frozenset[int], type, Macro]] = {
    "all": (frozenset((2,)), bool, _deciding(decisive=False)),
    "exists": (frozenset((2,)), bool, _deciding(decisive=True)),
    "exists_one": (frozenset((2,)), bool, _exists_one),
    "filter": (frozenset((2,)), list, _filter),
    "map": (frozenset((2, 3)), list, _map),
}
"""By name: how many arguments beside the list, what they give, and how."""
