"""What is wrong with a route's templates and transforms, seen from the events it takes."""

from msgspec import Struct

from fifhir import schema, template
from fifhir.schema import Fault, Faults
from fifhir.schema import Path as Place
from fifhir.workflow import fields
from fifhir.workflow.transform import TransformConfig


def action_faults(
    action: Struct, place: Place, event_types: tuple[str, ...], made: frozenset[fields.Path]
) -> Faults:
    """What the templates of an action ask for that no event has."""
    for path, text, escape in schema.templates(action, place):
        uses = template.compile(text, escape).uses
        for told, column in fields.mistakes(uses, event_types, made):
            yield Fault(path, told, column, "FF103")


def made_by(transforms: tuple[TransformConfig, ...]) -> frozenset[fields.Path]:
    """The paths that transforms write to: what later templates may ask for beyond the event."""
    texts = [
        text
        for transform in transforms
        for path, text in transform.paths()
        if path == ("set_field",) or path[-1] == "to"
    ]
    texts += [
        f"{each.map_terminology.field}_display" for each in transforms if each.map_terminology
    ]
    return frozenset(tuple(path) for text in texts if (path := _readable(text)))


def _readable(text: str) -> fields.Path:
    try:
        return tuple(None if isinstance(step, int) else step for step in fields.read(text))
    except ValueError:
        return ()


def transform_faults(
    transforms: tuple[TransformConfig, ...], event_types: tuple[str, ...]
) -> Faults:
    """What transforms read that no event has, and what they write through that cannot hold it."""
    made: frozenset[fields.Path] = frozenset()
    for number, transform in enumerate(transforms):
        for place, text in transform.paths():
            path = _readable(text)
            writes = place == ("set_field",) or place[-1] == "to"
            wanted = _owner(path, event_types) if writes else path
            for told, _ in fields.mistakes([(wanted, 0)] if wanted else [], event_types, made):
                yield Fault(("transform", number, *place), told, 1, "FF103")
        made |= made_by((transform,))


def _owner(path: fields.Path, event_types: tuple[str, ...]) -> fields.Path:
    """The part of a path that must exist: a new field may be made, but only in an object."""
    for length in range(1, len(path)):
        if fields.unknown(path[:length], event_types):
            return ()  # everything from here on is made
    return path if len(path) > 1 and _is_single(path[:-1], event_types) else ()


def _is_single(path: fields.Path, event_types: tuple[str, ...]) -> bool:
    """Whether the event has a single value there, which nothing can be put into."""
    return "single value" in fields.unknown((*path, "\0"), event_types)
