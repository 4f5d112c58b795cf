"""The facts of the standard, as rows: read once, before the fork, and never changed.

Each CSV has a header and a `source` column that names where its row comes from. What a row may
say is checked where it is compiled (`extract.py`), so a bad table stops the program at its start.
"""

import csv
from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Trigger(NamedTuple):
    """Which event a message type and trigger event mean, and which segments it needs.

    `segments` are those it cannot be without, then those it should not be without; `needed` is
    how many the former are. With `when`, only messages of which that predicate is true.
    With `several`, such a message may be about several patients.
    """

    event: str
    segments: tuple[bytes, ...]
    needed: int
    when: str
    several: bool


class Field(NamedTuple):
    """Where one key of a struct comes from. Rows of one key are alternatives, the first wins.

    A row may name several structs that have the key in common. `when` names a predicate, `not `
    before it turns it round.
    """

    path: str
    kind: str
    arg: str
    when: str


class Group(NamedTuple):
    """The segments an item of a list begins with and those that belong to it.

    `segments` stand in this order, any of them may lack. Notes and their like count only `behind`
    these, or behind the frame's own segments where it is `_`; nothing counts from `until` on.
    A segment `ahead` stands before the item and behind any other. `segments` parted by slashes
    are alternatives: an item begins with any of them and goes on with its followers only. With
    the follower `*` an item reaches to the next, and knows nothing of what stands before it.
    """

    struct: str
    segments: tuple[bytes, ...]
    followers: tuple[bytes, ...]
    inherits: tuple[bytes, ...]
    behind: tuple[bytes, ...]
    until: tuple[bytes, ...]
    ahead: tuple[bytes, ...]
    reach: str


class Predicate(NamedTuple):
    """True where the value at `path` is one of `values`; `_` in a row is the empty one."""

    path: str
    values: tuple[bytes, ...]


class Element(NamedTuple):
    """What HL7 calls a field, and its data type."""

    name: str
    type: str


def family_rows(folder: str) -> list[dict[str, str]]:
    """The rows of every family's file in a folder."""
    names = sorted(file.name for file in files(__name__).joinpath(folder).iterdir())
    return [row for name in names for row in rows(f"{folder}/{name}")]


def rows(name: str) -> list[dict[str, str]]:
    """A table: every row by the names of its header."""
    text = files(__name__).joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _names(text: str) -> tuple[bytes, ...]:
    return tuple(b"" if name == b"_" else name for name in text.encode().split())


def _triggers() -> dict[tuple[bytes, bytes], tuple[Trigger, ...]]:
    """By message type and trigger event, alternatives: the first that applies."""
    found: dict[tuple[bytes, bytes], tuple[Trigger, ...]] = {}
    for row in family_rows("triggers"):
        kind = (row["message_type"].encode(), row["trigger"].encode())
        requires, expects = _names(row["requires"]), _names(row["expects"])
        trigger = Trigger(
            *(row["event"], requires + expects, len(requires), row["when"]),
            several=bool(row.get("several")),
        )
        found[kind] = (*found.get(kind, ()), trigger)
    return found


def _fields() -> dict[str, dict[str, list[Field]]]:
    found: dict[str, dict[str, list[Field]]] = defaultdict(lambda: defaultdict(list))
    for row in family_rows("fields"):
        field = Field(row["path"], row["kind"], row["arg"], row["when"])
        for struct in row["struct"].split():
            found[struct][row["key"]].append(field)
    return {struct: dict(keys) for struct, keys in found.items()}


def _group(row: dict[str, str]) -> Group:
    """A group; a family's file has only the columns it needs."""
    segments, followers = row["segments"], _names(row.get("followers", ""))
    is_apart = followers == (b"*",)
    return Group(
        struct=row.get("struct") or row["item"],
        segments=_names(segments.replace("/", " ")),
        followers=() if is_apart else followers,
        inherits=_names(row.get("inherits", "")),
        behind=_names(row.get("behind", "")),
        until=_names(row.get("until", "")),
        ahead=_names(row.get("ahead", "")),
        reach="apart" if is_apart else "single" if "/" in segments else "",
    )


@cache
def codes(name: str) -> dict[str, str]:
    """A code map: what each code means; the empty code, if it is there, where there is none."""
    return {row["code"]: row["meaning"] for row in rows(f"codes/{name}.csv")}


CHARSETS = {row["name"]: row["codec"] for row in rows("codes/charsets.csv")}
DAMAGED_DELIMITERS = {
    row["sent"].encode(): row["meant"].encode() for row in rows("codes/delimiters.csv")
}
ANY_TRIGGER = b"*"
TRIGGERS = _triggers()
FIELDS = _fields()
GROUPS = {row["item"]: _group(row) for row in family_rows("groups")}
PREDICATES = {
    row["name"]: Predicate(row["path"], _names(row["values"])) for row in family_rows("predicates")
}
SEGMENTS = {row["segment"].encode(): row["name"] for row in rows("segments.csv")}
ANNOTATED = frozenset(row["segment"].encode() for row in rows("segments.csv") if row["notes"])
ELEMENTS = {
    (row["segment"].encode(), int(row["field"])): Element(row["name"], row["type"])
    for row in rows("elements.csv")
}
