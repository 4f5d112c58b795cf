"""The functions of Go's text/template that the subset has, on values as JSON has them."""

import operator
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from fifhir.errors import TemplateFault
from fifhir.template.escapes import Escaped, shown

WIDTH_LIMIT = 1000  # characters one verb of printf may pad to

_VERB = re.compile(r"%([-+ 0]*)([0-9]*)(?:\.([0-9]*))?(.)", re.DOTALL)


def true(value: Any) -> bool:
    """Go's truth: not false, not 0, not empty, not absent."""
    return bool(value)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case None:
            return "nothing"
    return "a list" if isinstance(value, list) else "an object"


def equal(first: Any, *others: Any) -> bool:
    """`eq`: whether the first equals any of the others; absent equals only absent."""
    return any(_same(first, other) for other in others)


def _same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(left, dict | list) or _kind(left) != _kind(right):
        raise TemplateFault(f"eq cannot compare {_kind(left)} with {_kind(right)}")
    return bool(left == right)


def _ordered(name: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if _kind(left) == _kind(right) and _kind(left) in ("a number", "text"):
            return compare(left, right)
        raise TemplateFault(f"{name} cannot compare {_kind(left)} with {_kind(right)}")

    return compared


def length(value: Any) -> int:
    """`len`: of a text in characters, of a list or object in elements; what is absent has none."""
    if value is None:
        return 0
    if isinstance(value, str | list | dict):
        return len(value)
    raise TemplateFault(f"len cannot measure {_kind(value)}")


def index(value: Any, *keys: Any) -> Any:
    """`index`: the element of a list at a position, or of an object under a key."""
    for key in keys:
        if isinstance(value, list) and type(key) is int:
            if not 0 <= key < len(value):
                raise TemplateFault("index is beyond the end of the list")
            value = value[key]
        elif isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        else:
            raise TemplateFault(f"index does not find {_kind(key)} in {_kind(value)}")
    return value


def printf(form: Any, *values: Any) -> str:
    """`printf`: the values in the form's verbs %s %d %v %q %f %e %g %t %x, padded as they say.

    A number that is whole may be shown by %d however JSON wrote it.
    """
    if not isinstance(form, str):
        raise TemplateFault(f"printf needs a text first, not {_kind(form)}")
    left = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            raise TemplateFault("printf has more verbs than values")
        if int(width[:6] or 0) > WIDTH_LIMIT or int((precision or "0")[:6]) > WIDTH_LIMIT:
            raise TemplateFault(f"printf pads to {WIDTH_LIMIT} characters at most")
        return _verb(flags, width, precision, verb, left.pop(0))

    text = _VERB.sub(replace, form)
    if left:
        raise TemplateFault("printf has more values than verbs")
    return text


def _verb(flags: str, width: str, precision: str | None, verb: str, value: Any) -> str:
    number = not isinstance(value, bool) and isinstance(value, int | float)
    if verb in "dxX" and number and float(value).is_integer():
        return _padded(flags, width, f"%{flags}{width}{verb}" % int(value))
    if verb in "feEgG" and number:
        digits = "" if precision is None else f".{precision}"
        return _padded(flags, width, f"%{flags}{width}{digits}{verb}" % float(value))
    if verb == "t" and isinstance(value, bool):
        return _padded(flags, width, shown(value))
    if verb == "q" and isinstance(value, str):
        return _padded(flags, width, '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
    if verb == "v" or (verb == "s" and (isinstance(value, str) or value is None)):
        text = shown(value)
        return _padded(flags, width, text if precision is None else text[: int(precision or 0)])
    raise TemplateFault(f"printf cannot show {_kind(value)} with %{verb}")


def _padded(flags: str, width: str, text: str) -> str:
    return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0))


def _print(*values: Any) -> str:
    """`print`: a space between two values of which neither is a text, as Go does it."""
    made = ""
    for position, value in enumerate(values):
        plain = not isinstance(value, str)
        if position and plain and not isinstance(values[position - 1], str):
            made += " "
        made += shown(value)
    return made


def _urlquery(*values: Any) -> Escaped:
    return Escaped(quote_plus(_print(*values)))


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "eq": (2, 100, equal),
    "ne": (2, 2, lambda left, right: not equal(left, right)),
    "lt": (2, 2, _ordered("lt", operator.lt)),
    "le": (2, 2, _ordered("le", operator.le)),
    "gt": (2, 2, _ordered("gt", operator.gt)),
    "ge": (2, 2, _ordered("ge", operator.ge)),
    "not": (1, 1, lambda value: not true(value)),
    "len": (1, 1, length),
    "index": (1, 100, index),
    "print": (0, 100, _print),
    "printf": (1, 100, printf),
    "urlquery": (1, 100, _urlquery),
}
"""By name: least and most arguments, and what it does. `and` and `or` are the parser's own."""
