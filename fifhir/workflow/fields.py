"""What may stand at a place of an event.

The structs of the vocabulary say which fields there are, so a path that can never lead anywhere is
found before go-live.
"""

from collections.abc import Iterable, Iterator

from msgspec import inspect

from fifhir.event import EVENTS
from fifhir.place import Path, Step, written
from fifhir.schema import near, shape, unwrap

_SINGLE: dict[type, type] = {
    inspect.StrType: str,
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
}


def unknown(path: Path, event_types: tuple[str, ...]) -> str:
    """What is wrong with a path if no event of these types (none given: any) has such a field.

    Empty if one of them may have it; else what is wrong in the one that has most of it.
    """
    deepest = (0, "")
    for name in event_types or EVENTS:
        fault = _fault(path, [shape(EVENTS[name])]) if name in EVENTS else (0, "")
        if not fault[1]:
            return ""
        deepest = max(deepest, fault, key=lambda each: each[0])
    return deepest[1]


def kind(event_types: tuple[str, ...], path: Path) -> type | None:
    """What is at a path in every event of these types that has it: str, bool, int or float."""
    found: set[type] = set()
    for name in event_types or EVENTS:
        kinds: list[inspect.Type] = [shape(EVENTS[name])] if name in EVENTS else []
        for step in path:
            kinds = [each for kind in kinds for each in _below(kind, step)]
        found.update(map(type, kinds))
    return _SINGLE.get(found.pop()) if len(found) == 1 else None


def _fault(path: Path, kinds: list[inspect.Type]) -> tuple[int, str]:
    """What is wrong with the path from a value of one of these kinds, and after how many steps."""
    for position, step in enumerate(path):
        if any(isinstance(kind, inspect.DictType | inspect.AnyType) for kind in kinds):
            return 0, ""  # the sender's own names
        below = [each for kind in kinds for each in _below(kind, step)]
        if not below:
            return position + 1, _told(path[: position + 1], kinds)
        kinds = below
    return 0, ""


def _below(kind: inspect.Type, step: Step) -> Iterator[inspect.Type]:
    """The kinds that a step leads to."""
    match kind, step:
        case inspect.StructType(), str():
            if step == kind.tag_field:
                yield inspect.StrType()
            yield from (
                each
                for item in kind.fields
                if item.encode_name == step
                for each in _plain(item.type)
            )
        case inspect.VarTupleType(), int() | None:
            yield from _plain(kind.item_type)


def _plain(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The kinds of a field, without annotations, null and absence."""
    inner, _ = unwrap(kind)
    for each in inner.types if isinstance(inner, inspect.UnionType) else (inner,):
        if not isinstance(each, inspect.NoneType):
            yield each


def _told(path: Path, kinds: list[inspect.Type]) -> str:
    *above, last = path
    owner = written(tuple(above)) or "the event"
    if not isinstance(last, str):
        return f"{owner} is no list"
    names = [
        name
        for kind in kinds
        if isinstance(kind, inspect.StructType)
        for name in (kind.tag_field, *(item.encode_name for item in kind.fields))
        if name
    ]
    if not names:
        lists = any(isinstance(kind, inspect.VarTupleType) for kind in kinds)
        hint = f"; write {owner}[0].{last} for one of them" if lists else ""
        return f"{owner} is {'a list' if lists else 'a single value'} and has no fields{hint}"
    guess = near(last, names)
    if guess:
        prefix = written(tuple(above)) + "." if above else ""
        guess = guess.replace("'", f"'{prefix}", 1)
    return f"unknown field '{written(path)}'{guess}"


def _overlap(path: Path, other: Path) -> bool:
    """Whether one of them leads to the other."""
    return all(one == two for one, two in zip(path, other, strict=False))


def mistakes(
    uses: Iterable[tuple[Path, int]],
    event_types: tuple[str, ...],
    made: frozenset[Path] = frozenset(),
) -> Iterator[tuple[str, int]]:
    """What is wrong with each use that no event can have, and its column.

    `made` are fields that a transform makes; what is in them is the transform's business. Of a
    path that is wrong only its first wrong step is told.
    """
    told: set[Path] = set()
    for path, column in uses:
        if any(_overlap(path, each) for each in made):
            continue
        if path[:-1] in told:
            told.add(path)
        elif fault := unknown(path, event_types):
            told.add(path)
            yield fault, column
