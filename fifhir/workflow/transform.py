"""What a route changes in an event before its actions see it: on a copy, one change after another.

Only what lies on the way to a changed field is copied; the document itself stays as it is, since
other routes and the dead letter need it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as File
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from fifhir import template
from fifhir.errors import TemplateError, TemplateFault, TransformFault
from fifhir.place import Path, Step, look_up, read
from fifhir.profile.config import CodeMapping
from fifhir.profile.translating import read_codes
from fifhir.schema import Fault, Faults
from fifhir.template import Template

Document: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Document], Document]
Edit: TypeAlias = Callable[[Any, Any], None]
"""What is done to a container at a name or position."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,15})?")
_CONSTANTS = {"true": True, "false": False, "null": None, "nil": None}

PathText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]


class MapTerminology(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Translate a code in place; its display goes into the field with `_display` at its end."""

    field: Annotated[PathText, Meta(description="Where the code is, as in test.local_code.")]
    from_: Annotated[str, Meta(min_length=1, description="`source_system` of a mapping.")] = (
        msgspec.field(name="from")
    )
    to: Annotated[str, Meta(min_length=1, description="`target_system` of the same mapping.")]


class Redact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove fields; it is no fault if one is not there."""

    fields: Annotated[
        tuple[PathText, ...],
        Meta(min_length=1, max_length=500, description="Paths; [*] is every element of a list."),
    ]


class Move(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where to where; nothing happens if there is nothing."""

    from_: Annotated[PathText, Meta(description="Path of the field as it is.")] = msgspec.field(
        name="from"
    )
    to: Annotated[PathText, Meta(description="Path of the field as it is to be.")]


class TransformConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change; exactly one of these keys is given."""

    set_field: Annotated[
        str,
        Meta(
            max_length=4096,
            description="`path = value`: a quoted text, a number, true, false, null, or bare text; "
            "a text may be a template. Objects on the way are made.",
        ),
    ] = ""
    map_terminology: Annotated[
        MapTerminology | None, Meta(description="Translate a code with one of `mappings`.")
    ] = None
    redact: Annotated[Redact | None, Meta(description="Remove fields.")] = None
    rename: Annotated[Move | None, Meta(description="Move a field.")] = None
    copy: Annotated[Move | None, Meta(description="Copy a field.")] = None

    @property
    def given(self) -> tuple[str, ...]:
        """The keys that were given."""
        return tuple(name for name in self.__struct_fields__ if getattr(self, name))

    def faults(self) -> Faults:
        if len(self.given) != 1:
            known = ", ".join(self.__struct_fields__)
            found = " and ".join(self.given) or "none"
            yield Fault((), f"a transform has exactly one of {known}; found {found}", code="FF204")
        for path, text in self.paths():
            try:
                read(text)
            except ValueError as fault:
                yield Fault(path, str(fault), code="FF203")
        if self.set_field:
            yield from self._value_faults()

    def _value_faults(self) -> Faults:
        path, sign, value = self.set_field.partition("=")
        if not sign:
            yield Fault(("set_field",), "write path = value", code="FF203")
        try:
            _value(value)
        except TemplateError as fault:
            offset = len(path) + 1 + len(value) - len(value.lstrip())
            column = offset + fault.column + (value.strip()[:1] in ("'", '"'))
            yield Fault(("set_field",), str(fault), column, "FF202")

    def paths(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every path it names, with where it is named."""
        if self.set_field:
            yield ("set_field",), self.set_field.partition("=")[0].strip()
        if self.map_terminology:
            yield ("map_terminology", "field"), self.map_terminology.field
        for position, text in enumerate(self.redact.fields if self.redact else ()):
            yield ("redact", "fields", position), text
        for name, move in (("rename", self.rename), ("copy", self.copy)):
            if move:
                yield (name, "from"), move.from_
                yield (name, "to"), move.to


def compile(configs: Sequence[TransformConfig], mappings: Sequence[CodeMapping] = ()) -> Change:
    """All changes as one; the files of the mappings it needs are read. Raises what read_codes does.

    The change gives a changed copy, or raises TransformFault.
    """
    changes = [_compiled(config, mappings) for config in configs]

    def changed(document: Document) -> Document:
        for change in changes:
            document = change(document)
        return document

    return changed


def _compiled(config: TransformConfig, mappings: Sequence[CodeMapping]) -> Change:
    if config.map_terminology is not None:
        return _mapping(config.map_terminology, mappings)
    if config.redact is not None:
        return _redacting(tuple(map(read, config.redact.fields)))
    if config.rename is not None:
        return _moving(config.rename, remove=True)
    if config.copy is not None:
        return _moving(config.copy, remove=False)
    path, _, value = config.set_field.partition("=")
    return _setting(read(path.strip()), _value(value))


def _value(text: str) -> Template | str | float | bool | None:
    """What stands behind the = of set_field."""
    text = text.strip()
    if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
        return _text(text[1:-1])
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if number := _NUMBER.fullmatch(text):
        return float(text) if number[1] else int(text)
    return _text(text)


def _text(text: str) -> Template | str:
    made = template.compile(text)
    return text if made.is_constant else made


def _setting(path: Path, value: object) -> Change:
    def changed(document: Document) -> Document:
        try:
            found = value.render(document) if isinstance(value, Template) else value
        except TemplateFault as fault:
            raise TransformFault(f"set_field: {fault}") from None
        return _changed(document, path, lambda owner, step: _put(owner, step, found), make=True)

    return changed


def _put(owner: Any, step: Any, value: object) -> None:
    owner[step] = value


def _redacting(paths: tuple[Path, ...]) -> Change:
    def changed(document: Document) -> Document:
        for path in paths:
            document = _changed(document, path, _remove, make=False)
        return document

    return changed


def _remove(owner: Any, step: Any) -> None:
    if isinstance(owner, list) or step in owner:
        del owner[step]


def _moving(move: Move, *, remove: bool) -> Change:
    source, target = read(move.from_), read(move.to)

    def changed(document: Document) -> Document:
        found, value = look_up(document, source)
        if not found:
            return document
        if remove:
            document = _changed(document, source, _remove, make=False)
        return _changed(document, target, lambda owner, step: _put(owner, step, value), make=True)

    return changed


def _mapping(config: MapTerminology, mappings: Sequence[CodeMapping]) -> Change:
    codes: dict[str, tuple[str, str]] = {}
    for mapping in mappings:
        if (mapping.source_system, mapping.target_system) == (config.from_, config.to):
            codes = {**read_codes(File(mapping.file)), **codes}
    path = read(config.field)

    def translate(owner: Any, step: Any) -> None:
        code = owner.get(step) if isinstance(owner, dict) else owner[step]
        found = codes.get(code) if isinstance(code, str) else None
        if found is not None:
            owner[step] = found[0]
            if isinstance(owner, dict) and found[1]:
                owner[f"{step}_display"] = found[1]

    return lambda document: _changed(document, path, translate, make=False)


def _changed(document: Document, path: Path, edit: Edit, *, make: bool) -> Document:
    """A copy of the document in which the last step of the path has been edited in its owner.

    With `make`, objects that are not there on the way are made.
    """
    changed: Document = _edited(document, path, edit, make=make)
    return changed


def _edited(value: Any, path: Path, edit: Edit, *, make: bool) -> Any:
    step, rest = path[0], path[1:]
    if step is None:
        return _every_edited(value, rest, edit, make=make)
    owner = _owner(value, step, make=make)
    if owner is None:
        return value
    if not rest:
        edit(owner, step)
    elif isinstance(owner, list):
        owner[step] = _edited(owner[step], rest, edit, make=make)  # type: ignore[index]
    elif make or step in owner:
        owner[step] = _edited(owner.get(step), rest, edit, make=make)
    return owner


def _owner(value: Any, step: Step, *, make: bool) -> Any:
    """A shallow copy of what a step starts from; None where there is nothing and none is made."""
    if value is None:
        if make and isinstance(step, str):
            return {}
        if not make:
            return None
    if isinstance(step, str) and isinstance(value, dict):
        return dict(value)
    if isinstance(step, int) and isinstance(value, list):
        if step < len(value):
            return list(value)
        if not make:
            return None
        raise TransformFault("a transform names an element beyond the end of a list")
    raise TransformFault("a transform leads through something that is no object or list")


def _every_edited(value: Any, rest: Path, edit: Edit, *, make: bool) -> Any:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TransformFault("a transform asks for every element of what is no list")
    if rest:
        return [_edited(each, rest, edit, make=make) for each in value]
    copied = list(value)
    for position in range(len(copied) - 1, -1, -1):  # from the end, so that removing shifts nothing
        edit(copied, position)
    return copied
