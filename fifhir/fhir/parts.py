"""Parts of a bundle: some kinds of resources, or each resource for itself."""

from collections.abc import Iterable, Iterator
from typing import Any

from fifhir.fhir.vocabulary import Json


def only(bundle: Json, kinds: Iterable[str]) -> Json:
    """The resources of these kinds and all that they refer to, in the order they had."""
    entries = {each["fullUrl"]: each for each in bundle["entry"]}
    wanted = set(kinds)
    open_ends = [name for name, each in entries.items() if _kind(each) in wanted]
    kept: set[str] = set()
    while open_ends:
        name = open_ends.pop()
        if name not in kept and name in entries:
            kept.add(name)
            open_ends.extend(_references(entries[name]["resource"]))
    return bundle | {"entry": [each for name, each in entries.items() if name in kept]}


def alone(bundle: Json) -> Iterator[Json]:
    """Each entry with references that hold outside of the bundle; their ids have to be ours."""
    places = {each["fullUrl"]: each["request"]["url"] for each in bundle["entry"]}
    for each in bundle["entry"]:
        yield each | {"resource": _placed(each["resource"], places)}


def _kind(entry: Json) -> str:
    return str(entry["resource"]["resourceType"])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            yield reference
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)


def _placed(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_placed(each, places) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _placed(each, places) for key, each in value.items()}
    reference = made.get("reference")
    if isinstance(reference, str) and reference in places:
        made["reference"] = places[reference]
    return made
