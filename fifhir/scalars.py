"""What one value of a document means as a type, and what is said when it means nothing."""

import re
from collections.abc import Sequence as Items
from typing import Any

from msgspec import inspect

from fifhir.document import Mapping, Node, Scalar, Sequence
from fifhir.secret import Secret

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]+(?:[.][0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})[.][0-9]{1,18}")
SHOWN = 40  # characters of a wrong value worth repeating


def duration(text: str) -> float:
    """Seconds of a duration written in Go's way; ValueError for anything else."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError("expected a duration with its unit, as in 250ms, 30s or 5m")
    parts: list[tuple[str, str]] = _DURATION_PART.findall(text)
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts)


def near(word: str, known: Items[str]) -> str:
    """`, did you mean 'x'?` when a known word is near, else nothing."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    folded = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f", did you mean '{folded[found[0]]}'?" if found else ""


def suggestion(word: str, known: Items[str]) -> str:
    """The near word, else all that are known."""
    return near(word, known) or f"; known: {', '.join(known)}"


def plain(node: Node) -> Any:  # noqa: PLR0911 - a return for each kind of value
    """The node as JSON would have it: what is quoted is text, the rest what it looks like."""
    match node:
        case Mapping():
            return {key: plain(entry.node) for key, entry in node.entries.items()}
        case Sequence():
            return [plain(item) for item in node.items]
    if not node.plain:
        return node.text
    if node.null:
        return None
    if node.text in ("true", "false"):
        return node.text == "true"
    if _WHOLE.fullmatch(node.text):
        return int(node.text)
    return float(node.text) if _DECIMAL.fullmatch(node.text) else node.text


def scalar(node: Scalar, kind: inspect.Type, extra: dict[str, Any]) -> Any:
    """What the scalar means as this type; ValueError says what was wanted."""
    if extra.get("read") == "duration":
        return _bounded(duration(node.text), kind, "s")
    match kind:
        case inspect.StrType():
            return _text(node, kind)
        case inspect.LiteralType():
            return _choice(node, [str(value) for value in kind.values])
        case inspect.CustomType() if kind.cls is Secret:
            return Secret(node.text)
        case inspect.BoolType():
            return _boolean(node)
        case inspect.IntType() | inspect.FloatType():
            return _bounded(_number(node, kind), kind, "")
    raise TypeError(f"no reader for {type(kind).__name__}")


def _number(node: Scalar, kind: inspect.Type) -> float:
    whole = isinstance(kind, inspect.IntType)
    form = r"-?[0-9]{1,18}" if whole else r"-?[0-9]{1,18}([.][0-9]{1,18})?"
    if not re.fullmatch(form, node.text):
        raise ValueError(f"expected {'a whole' if whole else 'a'} number, found {quoted(node)}")
    return int(node.text) if whole else float(node.text)


def _text(node: Scalar, kind: inspect.StrType) -> str:
    if node.null:
        raise ValueError("expected text, found nothing")
    if node.plain and node.text in ("true", "false", "True", "False"):
        raise ValueError(f"expected text, found {node.text}; put it in quotes if text is meant")
    if kind.min_length is not None and len(node.text) < kind.min_length:
        raise ValueError("must not be empty")
    if kind.max_length is not None and len(node.text) > kind.max_length:
        raise ValueError(f"longer than {kind.max_length} characters")
    if kind.pattern is not None and not re.search(kind.pattern, node.text):
        raise ValueError(f"must match {kind.pattern}")
    return node.text


def _choice(node: Scalar, choices: list[str]) -> str:
    if node.text in choices:
        return node.text
    named = [choice for choice in choices if choice]
    wanted = f"must be one of {', '.join(named)}"
    raise ValueError(f"{wanted}; found {quoted(node)}" + near(node.text, named))


def _boolean(node: Scalar) -> bool:
    match node.text:
        case "true" | "True" | "TRUE":
            return True
        case "false" | "False" | "FALSE":
            return False
    raise ValueError(f"expected true or false, found {quoted(node)}")


def _bounded(value: float, kind: inspect.Type, unit: str) -> float:
    least, most = getattr(kind, "ge", None), getattr(kind, "le", None)
    if (least is None or value >= least) and (most is None or value <= most):
        return value
    match least, most:
        case (_, None):
            raise ValueError(f"must be at least {least}{unit}")
        case (None, _):
            raise ValueError(f"must be at most {most}{unit}")
    raise ValueError(f"must be between {least}{unit} and {most}{unit}")


def quoted(node: Scalar) -> str:
    """A wrong value, short enough to repeat."""
    if node.null:
        return "nothing"
    text = node.text if len(node.text) <= SHOWN else node.text[:SHOWN] + "..."
    return f"'{text}'"


def found(node: Node) -> str:
    """What stands where something else was wanted."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
    return quoted(node)


def noun(kind: inspect.Type) -> str:
    """What a type wants, in words."""
    match kind:
        case inspect.IntType():
            return "a whole number"
        case inspect.BoolType():
            return "true or false"
        case inspect.FloatType():
            return "a duration"
    return "text"
