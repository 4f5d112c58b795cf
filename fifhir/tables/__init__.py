"""The facts of the standard, as rows: read once, before the fork, and never changed.

Each CSV has a header and a `source` column that names where its row comes from. What a row may
say is checked where it is compiled (`extract.py`), so a bad table stops the program at its start.
"""

import csv
from collections import defaultdict
from importlib.resources import files
from typing import NamedTuple


class Trigger(NamedTuple):
    """Which event a message type and trigger event mean, and which segments it needs.

    `segments` are those it cannot be without, then those it should not be without; `needed` is
    how many the former are.
    """

    event: str
    segments: tuple[bytes, ...]
    needed: int


class Field(NamedTuple):
    """Where one key of a struct comes from. Rows of one key are alternatives, the first wins."""

    path: str
    kind: str
    arg: str
    when: str


class Group(NamedTuple):
    """The segments an item of a list begins with and those that belong to it.

    `segments` stand in this order, any of them may lack. Notes and their like count only `behind`
    these, or behind the frame's own segments where it is `_`; nothing counts from `until` on.
    """

    struct: str
    segments: tuple[bytes, ...]
    followers: tuple[bytes, ...]
    inherits: tuple[bytes, ...]
    behind: tuple[bytes, ...]
    until: tuple[bytes, ...]


class Predicate(NamedTuple):
    """True where the value at `path` is one of `values`; `_` in a row is the empty one."""

    path: str
    values: tuple[bytes, ...]


class Element(NamedTuple):
    """What HL7 calls a field, and its data type."""

    name: str
    type: str


def _family_rows(folder: str) -> list[dict[str, str]]:
    """The rows of every family's file in a folder."""
    names = sorted(file.name for file in files(__name__).joinpath(folder).iterdir())
    return [row for name in names for row in rows(f"{folder}/{name}")]


def rows(name: str) -> list[dict[str, str]]:
    """A table: every row by the names of its header."""
    text = files(__name__).joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _names(text: str) -> tuple[bytes, ...]:
    return tuple(b"" if name == b"_" else name for name in text.encode().split())


def _fields() -> dict[str, dict[str, list[Field]]]:
    found: dict[str, dict[str, list[Field]]] = defaultdict(lambda: defaultdict(list))
    for row in _family_rows("fields"):
        field = Field(row["path"], row["kind"], row["arg"], row["when"])
        found[row["struct"]][row["key"]].append(field)
    return {struct: dict(keys) for struct, keys in found.items()}


def codes(name: str) -> dict[str, str]:
    """A code map: what each code means; the empty code, if it is there, where there is none."""
    return {row["code"]: row["meaning"] for row in rows(f"codes/{name}.csv")}


CHARSETS = {row["name"]: row["codec"] for row in rows("codes/charsets.csv")}
DAMAGED_DELIMITERS = {
    row["sent"].encode(): row["meant"].encode() for row in rows("codes/delimiters.csv")
}
TRIGGERS = {
    (row["message_type"].encode(), row["trigger"].encode()): Trigger(
        row["event"],
        _names(row["requires"]) + _names(row["expects"]),
        len(_names(row["requires"])),
    )
    for row in _family_rows("triggers")
}
FIELDS = _fields()
_GROUP_KEYS = ("segments", "followers", "inherits", "behind", "until")
GROUPS = {
    row["item"]: Group(row["struct"] or row["item"], *(_names(row[key]) for key in _GROUP_KEYS))
    for row in rows("groups.csv")
}
PREDICATES = {
    row["name"]: Predicate(row["path"], _names(row["values"])) for row in rows("predicates.csv")
}
SEGMENTS = {row["segment"].encode(): row["name"] for row in rows("segments.csv")}
ANNOTATED = frozenset(row["segment"].encode() for row in rows("segments.csv") if row["notes"])
ELEMENTS = {
    (row["segment"].encode(), int(row["field"])): Element(row["name"], row["type"])
    for row in rows("elements.csv")
}
