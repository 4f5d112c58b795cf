"""What is wrong with a route's templates and transforms, seen from the events it takes."""

from msgspec import Struct

from fifhir import place, schema, template
from fifhir.place import Path
from fifhir.schema import Fault, Faults
from fifhir.schema import Path as Where
from fifhir.workflow import fields
from fifhir.workflow.transform import TransformConfig


def action_faults(
    action: Struct, at: Where, event_types: tuple[str, ...], made: frozenset[Path]
) -> Faults:
    """What the templates and paths of an action ask for that no event has."""
    for path, text, escape in schema.marked(action, "template", at):
        uses = template.compile(text, escape).uses
        for told, column in fields.mistakes(uses, event_types, made):
            yield Fault(path, told, column, "FF103")
    for path, text, others in schema.marked(action, "path", at):
        if text not in others:
            yield from _path_faults(path, text, event_types, made)


def _path_faults(
    at: Where, text: str, event_types: tuple[str, ...], made: frozenset[Path]
) -> Faults:
    try:
        path = place.read(text)
    except ValueError as fault:
        yield Fault(at, str(fault), code="FF203")
        return
    steps = tuple(None if isinstance(step, int) else step for step in path)
    for told, _ in fields.mistakes([(steps, 0)], event_types, made):
        yield Fault(at, told, 1, "FF103")


def made_by(transforms: tuple[TransformConfig, ...]) -> frozenset[Path]:
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


def _readable(text: str) -> Path:
    try:
        return tuple(None if isinstance(step, int) else step for step in place.read(text))
    except ValueError:
        return ()


def transform_faults(
    transforms: tuple[TransformConfig, ...], event_types: tuple[str, ...]
) -> Faults:
    """What transforms read that no event has, and what they write through that cannot hold it."""
    made: frozenset[Path] = frozenset()
    for number, transform in enumerate(transforms):
        for at, text in transform.paths():
            path = _readable(text)
            writes = at == ("set_field",) or at[-1] == "to"
            wanted = _owner(path, event_types) if writes else path
            for told, _ in fields.mistakes([(wanted, 0)] if wanted else [], event_types, made):
                yield Fault(("transform", number, *at), told, 1, "FF103")
        made |= made_by((transform,))


def _owner(path: Path, event_types: tuple[str, ...]) -> Path:
    """The part of a path that must exist: a new field may be made, but only in an object."""
    for length in range(1, len(path)):
        if fields.unknown(path[:length], event_types):
            return ()  # everything from here on is made
    return path if len(path) > 1 and _is_single(path[:-1], event_types) else ()


def _is_single(path: Path, event_types: tuple[str, ...]) -> bool:
    """Whether the event has a single value there, which nothing can be put into."""
    return "single value" in fields.unknown((*path, "\0"), event_types)
