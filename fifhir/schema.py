"""Read a document's tree into a struct by its type, and tell every fault with its place.

The struct is the schema: a field's type, bounds and description stand once, and docs and JSON
schema are made from the same lines. Rules: an unknown key is an error with a suggestion; text
fields take any scalar as written, but not a bare true, false or null; numbers and booleans are
read strictly; a field that has a default may be left empty. A struct may define
`faults()`, pairs of path and text, for what its types cannot say; every field is read by then.

What `Meta(extra=...)` may say: `read: duration`; `keys`, the pattern of a mapping's own keys;
`block`, `within` and `flat`, the prefix of flat keys (flat.py); `template`, that the text is a
template for a place with that escape; `path`, that it is a path into the event, but for these
words; of settings, `env` and `alias`, the variables that give it.
"""

import re
from collections.abc import Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, inspect

from fifhir import flat, template
from fifhir.document import Entry, Mapping, Node, Scalar, Sequence, inside
from fifhir.errors import Finding, TemplateError
from fifhir.scalars import SHOWN, duration, found, near, noun, plain, scalar, suggestion

__all__ = [
    "Duration",
    "Fault",
    "Faults",
    "Path",
    "duration",
    "in_order",
    "near",
    "read",
    "suggestion",
]

T = TypeVar("T", bound=Struct)
Path: TypeAlias = tuple[str | int, ...]


class Fault(NamedTuple):
    """What a struct finds wrong with itself; `column` is where in the text, from 1."""

    path: Path
    text: str
    column: int = 0
    code: str = "FF105"


Faults: TypeAlias = Iterator[tuple[Path, str] | Fault]

Duration: TypeAlias = Annotated[float, Meta(extra={"read": "duration"})]
"""Seconds, written in Go's way: 250ms, 30s, 1m30s."""


class _Fault:
    """Stands for a value that could not be read; the finding is already told."""


FAULT = _Fault()


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
    return reached(node, path).place


def reached(node: Node, path: Path) -> Node:
    """What `path` leads to, or the nearest thing above it."""
    for step in path:
        match node, step:
            case Mapping(), str() if step in node.entries:
                node = node.entries[step].node
            case Sequence(), int() if step < len(node.items):
                node = node.items[step]
            case _:
                break
    return node


def marked(struct: Struct, mark: str, place: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """Every text in a struct whose field's `extra` has the mark: its place, and what is marked."""
    for item in shape(type(struct)).fields:
        _, extra = unwrap(item.type)
        value = getattr(struct, item.name)
        at = (*place, item.encode_name)
        if isinstance(value, Struct):
            yield from marked(value, mark, at)
        elif mark not in extra:
            continue
        elif isinstance(value, dict):
            yield from (((*at, key), text, extra[mark]) for key, text in value.items())
        elif isinstance(value, tuple):
            yield from (((*at, n), text, extra[mark]) for n, text in enumerate(value))
        else:
            yield at, value, extra[mark]


@dataclass(slots=True)
class _Reader:
    later: frozenset[str]
    findings: list[Finding] = field(default_factory=list)

    def fault(self, place: str, text: str, code: str = "FF105") -> _Fault:
        self.findings.append(Finding(place, text, code))
        return FAULT

    def value(self, node: Node, kind: inspect.Type) -> Any:  # noqa: PLR0911 - one for each kind
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
            case inspect.AnyType():
                return plain(node)
        return self._scalar(node, kind, extra)

    def _scalar(self, node: Node, kind: inspect.Type, extra: dict[str, Any]) -> Any:
        if not isinstance(node, Scalar):
            return self.fault(node.place, f"expected {noun(kind)}, found {found(node)}")
        try:
            return scalar(node, kind, extra)
        except ValueError as fault:
            return self.fault(node.place, str(fault))

    def _struct(self, node: Node, kind: inspect.StructType) -> Any:
        if not isinstance(node, Mapping):
            return self.fault(node.place, f"expected a mapping, found {found(node)}")
        before = len(self.findings)
        node, twice = flat.levelled(node, kind.fields)
        self.findings += twice
        self._unknown(node, kind)
        values = {item.name: self._field(node, item) for item in kind.fields}
        if FAULT in values.values():
            return FAULT
        told = {name: value for name, value in values.items() if value is not msgspec.NODEFAULT}
        struct = kind.cls(**told)
        for fault in getattr(struct, "faults", tuple)():
            self._told(node, Fault(*fault))
        for path, text, escape in marked(struct, "template"):
            try:
                template.compile(text, escape)
            except TemplateError as mistake:
                self._told(node, Fault(path, str(mistake), mistake.column, "FF202"))
        return struct if len(self.findings) == before else FAULT

    def _told(self, node: Mapping, fault: Fault) -> None:
        where = reached(node, fault.path)
        place = where.place
        if isinstance(where, Scalar) and fault.column > 0:
            place = inside(where, fault.column)
        self.fault(place, fault.text, fault.code)

    def _unknown(self, node: Mapping, kind: inspect.StructType) -> None:
        known = [item.encode_name for item in kind.fields]
        if kind.tag_field:
            known.insert(0, kind.tag_field)
        for key, entry in node.entries.items():
            if key in known:
                continue
            if key in self.later:
                self.fault(entry.place, f"'{key}' is not available yet in this release", "FF108")
            elif key == "<<":
                self.fault(
                    entry.place, "merge keys (<<) are not supported; use an alias for a whole value"
                )
            else:
                text = f"unknown field '{key}'" + suggestion(key, known)
                self.fault(entry.place, text, "FF103")

    def _field(self, node: Mapping, item: inspect.Field) -> Any:
        entry = node.entries.get(item.encode_name)
        empty = entry is not None and isinstance(entry.node, Scalar) and entry.node.null
        if entry is None and item.required:
            return self.fault(node.place, f"missing field '{item.encode_name}'", "FF104")
        if entry is None or (empty and not item.required):
            return msgspec.NODEFAULT
        return self.value(entry.node, item.type)

    def _union(self, node: Node, kind: inspect.UnionType) -> Any:
        """One of several tagged structs, or one value that may also be a list of such values."""
        structs = {
            str(each.tag): each
            for each in kind.types
            if isinstance(each, inspect.StructType) and each.tag_field is not None
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
        return self.fault(node.place, f"unexpected {found(node)}")

    def _tagged(self, node: Node, name: str, structs: dict[str, inspect.StructType]) -> Any:
        """A struct chosen by the text under `name`."""
        entry = node.entries.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping):
            return self.fault(node.place, f"expected a mapping, found {found(node)}")
        if entry is None or not isinstance(entry.node, Scalar):
            return self.fault(node.place, f"missing field '{name}'", "FF104")
        tag = entry.node.text
        if tag in structs:
            return self._struct(node, structs[tag])
        if tag in self.later:
            return self.fault(
                entry.node.place, f"{name} '{tag}' is not available yet in this release", "FF108"
            )
        return self.fault(
            entry.node.place, f"unknown {name} '{tag}'" + suggestion(tag, tuple(structs)), "FF107"
        )

    def _list(self, node: Node, kind: inspect.VarTupleType, extra: dict[str, Any]) -> Any:
        if not isinstance(node, Sequence):
            return self.fault(node.place, f"expected a list, found {found(node)}")
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
            return self.fault(node.place, f"expected a mapping, found {found(node)}")
        before = len(self.findings)
        for key, entry in node.entries.items():
            if not re.fullmatch(extra.get("keys", ".+"), key):
                self.fault(entry.place, f"'{key[:SHOWN]}' must match {extra.get('keys', '.+')}")
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
                told = f"duplicate {key} '{text}', first given in line {line}"
                self.fault(entry.node.place, told, "FF106")
            first.setdefault(text, entry)
