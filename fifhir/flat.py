"""Blocks and flat keys are the same: `retry: {max: 3}` and `retry_max: 3`, for any struct.

The format this project reads was flat; blocks read better, so both are taken. A switch says which
keys its block holds by `extra={"block": "retry_"}`, a mapping of the operator's own names which
flat keys are its entries by `extra={"flat": "header_"}`. A block switches its switch on, unless it
says `enabled: false`. Where there is no switch, one of the keys says `extra={"within": "oauth2_"}`.
"""

from collections.abc import Iterator

from msgspec import inspect

from fifhir.document import Entry, Mapping, Scalar
from fifhir.errors import Finding

SWITCH = "enabled"


def prefix(item: inspect.Field, kind: str) -> str:
    """The prefix of a field's flat keys; empty if it has none. `kind` is block or flat."""
    extra = (item.type.extra or {}) if isinstance(item.type, inspect.Metadata) else {}
    return str(extra.get(kind, ""))


def levelled(node: Mapping, fields: tuple[inspect.Field, ...]) -> tuple[Mapping, list[Finding]]:
    """The mapping with every key where its field looks for it, and the keys that came twice."""
    blocks = {item.encode_name: found for item in fields if (found := prefix(item, "block"))}
    within = {found[:-1]: found for item in fields if (found := prefix(item, "within"))}
    owners = {found: item.encode_name for item in fields if (found := prefix(item, "flat"))}
    if not blocks and not within and not owners:
        return node, []
    own = {item.encode_name for item in fields}
    made = Mapping(node.place, {}, node.weight)
    findings: list[Finding] = []
    for key, entry in _flattened(node, blocks, within):
        owner = next((owners[found] for found in owners if key.startswith(found)), "")
        if key in own or not owner:
            target, name = made, key
        else:
            target, name = _opened(made, owner, entry), key[len(_prefix_of(owners, owner)) :]
        if name in target.entries:
            findings.append(Finding(entry.place, f"'{key}' is given twice", "FF101"))
        target.entries.setdefault(name, _copied(entry) if key in owners.values() else entry)
    return made, findings


def _flattened(
    node: Mapping, blocks: dict[str, str], within: dict[str, str]
) -> Iterator[tuple[str, Entry]]:
    """Every entry, those of blocks under their flat keys; mappings of own names come first."""
    for key, entry in sorted(node.entries.items(), key=lambda each: not _is_mapping(each[1])):
        if not isinstance(entry.node, Mapping) or key not in blocks.keys() | within.keys():
            yield key, entry
            continue
        inner = entry.node.entries
        if key in within:
            yield from ((f"{within[key]}{name}", each) for name, each in inner.items())
            continue
        if SWITCH not in inner:
            yield key, Entry(entry.place, Scalar(entry.node.place, "true"))
        for name, each in inner.items():
            yield (key if name == SWITCH else f"{blocks[key]}{name}"), each


def _is_mapping(entry: Entry) -> bool:
    return isinstance(entry.node, Mapping)


def _prefix_of(owners: dict[str, str], owner: str) -> str:
    return next(found for found, name in owners.items() if name == owner)


def _opened(made: Mapping, owner: str, entry: Entry) -> Mapping:
    """The mapping that flat keys of this owner go into."""
    found = made.entries.get(owner)
    if found is None or not isinstance(found.node, Mapping):
        found = made.entries[owner] = Entry(entry.place, Mapping(entry.place))
    assert isinstance(found.node, Mapping)
    return found.node


def _copied(entry: Entry) -> Entry:
    """A mapping that entries can be added to: an alias may stand for it elsewhere as well."""
    node = entry.node
    if not isinstance(node, Mapping):
        return entry
    return Entry(entry.place, Mapping(node.place, dict(node.entries), node.weight))
