"""Read a document's tree into a struct by its type, and tell every fault with its place.

The struct is the schema: a field's type, bounds and description stand once, and docs and JSON
schema are made from the same lines. Rules: an unknown key is an error with a suggestion; text
fields take any scalar as written, but not a bare true, false or null; numbers and booleans are
read strictly; a field that has a default may be left empty. A struct may define
`faults()`, pairs of path and text, for what its types cannot say; every field is read by then.
"""

import re
from collections.abc import Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, inspect

from fifhir.document import Entry, Mapping, Node, Scalar, Sequence
from fifhir.errors import Finding
from fifhir.secret import Secret

T = TypeVar("T", bound=Struct)
Path: TypeAlias = tuple[str | int, ...]
Faults: TypeAlias = Iterator[tuple[Path, str]]

Duration: TypeAlias = Annotated[float, Meta(extra={"read": "duration"})]
"""Seconds, written in Go's way: 250ms, 30s, 1m30s."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]+(?:[.][0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ns|us|µs|ms|s|m|h)")
_SHOWN = 40  # characters of a wrong value worth repeating


class _Fault:
    """Stands for a value that could not be read; the finding is already told."""


FAULT = _Fault()


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


@cache
def shape(cls: type[Struct]) -> inspect.StructType:
    """The struct's fields as msgspec sees them."""
    return cast(inspect.StructType, inspect.type_info(cls))


def unwrap(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A type without its annotations, and the annotations' `extra`."""
    if isinstance(kind, inspect.Metadata):
        return kind.type, kind.extra or {}
    return kind, {}


def read(
    node: Node, cls: type[T], later: frozenset[str] = frozenset()
) -> tuple[T | None, list[Finding]]:
    """The struct that `node` says, or None, and all findings.

    A field or tag that is in `later` is told as not available yet, never ignored.
    """
    reader = _Reader(later)
    value = reader.value(node, shape(cls))
    return (None if isinstance(value, _Fault) else value), reader.findings


def in_order(findings: Items[Finding]) -> tuple[Finding, ...]:
    """The findings of a file from its top to its end; others stay where they are."""

    def position(finding: Finding) -> tuple[int, int]:
        match finding.place.rsplit(":", 2):
            case [_, line, column] if line.isdecimal() and column.isdecimal():
                return int(line), int(column)
        return 0, 0

    return tuple(sorted(findings, key=position))


def descend(node: Node, path: Path) -> str:
    """The place of what `path` leads to, or of the nearest thing above it."""
    for step in path:
        match node, step:
            case Mapping(), str() if step in node.entries:
                node = node.entries[step].node
            case Sequence(), int() if step < len(node.items):
                node = node.items[step]
            case _:
                break
    return node.place


@dataclass(slots=True)
class _Reader:
    later: frozenset[str]
    findings: list[Finding] = field(default_factory=list)

    def fault(self, place: str, text: str) -> _Fault:
        self.findings.append(Finding(place, text))
        return FAULT

    def value(self, node: Node, kind: inspect.Type) -> Any:
        """What the node says as this type, or FAULT and at least one more finding."""
        kind, extra = unwrap(kind)
        match kind:
            case inspect.StructType() if kind.tag_field is not None:
                return self._tagged(node, kind.tag_field, {str(kind.tag): kind})
            case inspect.StructType():
                return self._struct(node, kind)
            case inspect.UnionType():
                return self._union(node, kind)
            case inspect.VarTupleType():
                return self._list(node, kind, extra)
            case inspect.DictType():
                return self._dict(node, kind, extra)
        return self._scalar(node, kind, extra)

    def _scalar(self, node: Node, kind: inspect.Type, extra: dict[str, Any]) -> Any:
        if not isinstance(node, Scalar):
            return self.fault(node.place, f"expected {_noun(kind)}, found {_found(node)}")
        try:
            return scalar(node, kind, extra)
        except ValueError as fault:
            return self.fault(node.place, str(fault))

    def _struct(self, node: Node, kind: inspect.StructType) -> Any:
        if not isinstance(node, Mapping):
            return self.fault(node.place, f"expected a mapping, found {_found(node)}")
        before = len(self.findings)
        self._unknown(node, kind)
        values = {item.name: self._field(node, item) for item in kind.fields}
        if FAULT in values.values():
            return FAULT
        told = {name: value for name, value in values.items() if value is not msgspec.NODEFAULT}
        struct = kind.cls(**told)
        for path, text in getattr(struct, "faults", tuple)():
            self.fault(descend(node, path), text)
        return struct if len(self.findings) == before else FAULT

    def _unknown(self, node: Mapping, kind: inspect.StructType) -> None:
        known = [item.encode_name for item in kind.fields]
        if kind.tag_field:
            known.insert(0, kind.tag_field)
        for key, entry in node.entries.items():
            if key in known:
                continue
            if key in self.later:
                self.fault(entry.place, f"'{key}' is not available yet in this release")
            elif key == "<<":
                self.fault(
                    entry.place, "merge keys (<<) are not supported; use an alias for a whole value"
                )
            else:
                self.fault(entry.place, f"unknown field '{key}'" + suggestion(key, known))

    def _field(self, node: Mapping, item: inspect.Field) -> Any:
        entry = node.entries.get(item.encode_name)
        empty = entry is not None and isinstance(entry.node, Scalar) and entry.node.null
        if entry is None and item.required:
            return self.fault(node.place, f"missing field '{item.encode_name}'")
        if entry is None or (empty and not item.required):
            return msgspec.NODEFAULT
        return self.value(entry.node, item.type)

    def _union(self, node: Node, kind: inspect.UnionType) -> Any:
        """One of several tagged structs, or one value that may also be a list of such values."""
        structs = {
            str(each.tag): each for each in kind.types if isinstance(each, inspect.StructType)
        }
        if structs:
            return self._tagged(node, next(iter(structs.values())).tag_field or "type", structs)
        lists = isinstance(node, Sequence)
        kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        if len(kinds) == 1:
            return self.value(node, kinds[0])
        for each in kinds:
            if isinstance(unwrap(each)[0], inspect.VarTupleType) == lists:
                return self.value(node, each)
        return self.fault(node.place, f"unexpected {_found(node)}")

    def _tagged(self, node: Node, name: str, structs: dict[str, inspect.StructType]) -> Any:
        """A struct chosen by the text under `name`."""
        entry = node.entries.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping):
            return self.fault(node.place, f"expected a mapping, found {_found(node)}")
        if entry is None or not isinstance(entry.node, Scalar):
            return self.fault(node.place, f"missing field '{name}'")
        tag = entry.node.text
        if tag in structs:
            return self._struct(node, structs[tag])
        if tag in self.later:
            return self.fault(
                entry.node.place, f"{name} '{tag}' is not available yet in this release"
            )
        return self.fault(
            entry.node.place, f"unknown {name} '{tag}'" + suggestion(tag, tuple(structs))
        )

    def _list(self, node: Node, kind: inspect.VarTupleType, extra: dict[str, Any]) -> Any:
        if not isinstance(node, Sequence):
            return self.fault(node.place, f"expected a list, found {_found(node)}")
        before = len(self.findings)
        count = len(node.items)
        if count < (kind.min_length or 0):
            self.fault(node.place, f"needs at least {kind.min_length} entry")
        if kind.max_length is not None and count > kind.max_length:
            return self.fault(
                node.place, f"{count} entries are too many; at most {kind.max_length}"
            )
        values = tuple(self.value(item, kind.item_type) for item in node.items)
        if "unique" in extra:
            self._duplicates(node, extra["unique"])
        return values if len(self.findings) == before else FAULT

    def _dict(self, node: Node, kind: inspect.DictType, extra: dict[str, Any]) -> Any:
        """A mapping whose keys are the operator's own; `keys` is what they have to look like."""
        if not isinstance(node, Mapping):
            return self.fault(node.place, f"expected a mapping, found {_found(node)}")
        before = len(self.findings)
        for key, entry in node.entries.items():
            if not re.fullmatch(extra.get("keys", ".+"), key):
                self.fault(entry.place, f"'{key[:_SHOWN]}' must match {extra.get('keys', '.+')}")
        values = {key: self.value(e.node, kind.value_type) for key, e in node.entries.items()}
        return values if len(self.findings) == before else FAULT

    def _duplicates(self, node: Sequence, key: str) -> None:
        first: dict[str, Entry] = {}
        for item in node.items:
            entry = item.entries.get(key) if isinstance(item, Mapping) else None
            if entry is None or not isinstance(entry.node, Scalar):
                continue
            text = entry.node.text
            if text in first:
                line = first[text].node.place.rsplit(":", 2)[-2]
                self.fault(
                    entry.node.place, f"duplicate {key} '{text}', first given in line {line}"
                )
            first.setdefault(text, entry)


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
        raise ValueError(f"expected {'a whole' if whole else 'a'} number, found {_quoted(node)}")
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
    raise ValueError(f"{wanted}; found {_quoted(node)}" + near(node.text, named))


def _boolean(node: Scalar) -> bool:
    match node.text:
        case "true" | "True" | "TRUE":
            return True
        case "false" | "False" | "FALSE":
            return False
    raise ValueError(f"expected true or false, found {_quoted(node)}")


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


def _quoted(node: Scalar) -> str:
    if node.null:
        return "nothing"
    text = node.text if len(node.text) <= _SHOWN else node.text[:_SHOWN] + "..."
    return f"'{text}'"


def _found(node: Node) -> str:
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
    return _quoted(node)


def _noun(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            return "a whole number"
        case inspect.BoolType():
            return "true or false"
        case inspect.FloatType():
            return "a duration"
    return "text"
