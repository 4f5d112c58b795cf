"""Whether resources keep what R4 and a profile require: cardinality, patterns, required codes.

Rules of profiles come from the project's table of US Core 6.1.0, or from the snapshots of any
package; required codes of R4 from a table. What R4 says of types and elements is judged by
`fhirkit`, where it is installed. Findings are issues of an OperationOutcome; none repeats a value.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fifhir import tables
from fifhir.errors import FifhirError
from fifhir.fhir.vocabulary import Json

PACKAGE_LIMIT = 256 << 20  # bytes of a package; that of US Core has 10 MB
_QUOTED = re.compile(r'"[^"]*"')


class PackageError(FifhirError):
    """A package that cannot be read; the text says why."""


class Rule(Struct, frozen=True):
    """At least `least` of what is at `path` in a resource of `profile` fit `pattern`.

    There are no more than `most`, if that is said.
    """

    profile: str
    path: str
    least: int
    pattern: Any = None
    most: int | None = None


class Finding(Struct, frozen=True, rename="camel"):
    """One issue of an OperationOutcome."""

    severity: str
    code: str
    diagnostics: str
    expression: tuple[str, ...]


def outcome(findings: Iterable[Finding]) -> Json:
    """The OperationOutcome; with no finding it says so."""
    issues: list[Json] = [dict(msgspec.to_builtins(each)) for each in findings]
    fine = {"severity": "information", "code": "informational", "diagnostics": "No issues found."}
    return {"resourceType": "OperationOutcome", "issue": issues or [fine]}


def us_core() -> tuple[Rule, ...]:
    """What US Core 6.1.0 requires of the resources made here."""
    return tuple(
        Rule(
            row["profile"],
            row["path"],
            int(row["least"]),
            json.loads(row["pattern"]) if row["pattern"] else None,
            int(row["most"]) if row["most"] else None,
        )
        for row in tables.rows("fhir/us_core.csv")
    )


def package(path: Path) -> tuple[Rule, ...]:
    """The rules of every StructureDefinition in a folder or an npm package (.tgz)."""
    try:
        definitions = [json.loads(text) for text in _texts(path)]
    except (OSError, tarfile.TarError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or "it holds no package of FHIR"
        raise PackageError(f"{path}: {reason.lower()}") from fault
    found = tuple(
        rule
        for each in definitions
        if isinstance(each, dict) and each.get("resourceType") == "StructureDefinition"
        for rule in rules(each)
    )
    if not found:
        raise PackageError(f"{path}: no StructureDefinition with a snapshot is in it")
    return found


def _texts(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        yield from (each.read_bytes() for each in sorted(path.rglob("*.json")))
        return
    with tarfile.open(path) as archive:
        read = 0
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            read += member.size
            if read > PACKAGE_LIMIT:
                raise PackageError(f"{path}: larger than {PACKAGE_LIMIT} bytes unpacked")
            if file:
                yield file.read()


def rules(definition: Json) -> Iterator[Rule]:
    """What the snapshot of one profile requires, its slices by their patterns."""
    for element in definition.get("snapshot", {}).get("element", ()):
        name, _, path = element["path"].partition(".")
        least, most = element.get("min", 0), _most(element)
        if not path or not (least or most is not None) or name != definition.get("type"):
            continue
        sliced = ":" in element["id"]
        pattern = _pattern(element)
        if sliced and (pattern is None or element["id"].rpartition(".")[2].count(":") == 0):
            continue
        if least or not sliced:
            yield Rule(definition["url"], path, least, pattern, None if sliced else most)


def _most(element: Json) -> int | None:
    """The upper cardinality, where the profile has a lower one than the resource."""
    most = element.get("max", "*")
    return int(most) if most not in {"*", element.get("base", {}).get("max", most)} else None


def _pattern(element: Json) -> Any:
    return next(
        (value for key, value in element.items() if key.startswith(("pattern", "fixed"))), None
    )


def check(resource: Json, known: Iterable[Rule]) -> Iterator[Finding]:
    """Every rule of the profiles a resource claims that it does not keep."""
    kind = str(resource.get("resourceType"))
    claimed = set(resource.get("meta", {}).get("profile", ()))
    for rule in known:
        if rule.profile in claimed:
            yield from _broken(resource, kind, rule)


def _broken(resource: Json, kind: str, rule: Rule) -> Iterator[Finding]:
    *parents, element = rule.path.split(".")
    for parent, place in _instances(resource, kind, parents):
        values = _values(parent, element)
        fitting = [each for each in values if rule.pattern is None or _fits(each, rule.pattern)]
        if len(fitting) < rule.least:
            what = "with the pattern its profile fixes" if rule.pattern else "at all"
            said = f"{rule.profile} requires {rule.least} of {element}, {what}"
            yield Finding("error", "required", said, (f"{place}.{element}",))
        if rule.most is not None and len(values) > rule.most:
            said = f"{rule.profile} allows {rule.most} of {element}"
            yield Finding("error", "structure", said, (f"{place}.{element}",))


def _instances(resource: Json, kind: str, parents: list[str]) -> Iterator[tuple[Json, str]]:
    """Every object at the path that is there."""
    found = [(resource, kind)]
    for step in parents:
        found = [
            (each, f"{place}.{step}")
            for parent, place in found
            for each in _values(parent, step)
            if isinstance(each, dict)
        ]
    yield from found


def _values(parent: Json, element: str) -> list[Any]:
    """What an element has, as a list; of a choice (value[x]) whichever is there."""
    if element.endswith("[x]"):
        stem = element.removesuffix("[x]")
        stems = (stem, f"_{stem}")
        return [value for key, value in parent.items() if key.startswith(stems)]
    value = parent.get(element, parent.get(f"_{element}"))
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


class Binding(Struct, frozen=True):
    """What is at `path` of a resource is a code of a value set, which R4 requires."""

    path: str
    value_set: str
    codes: frozenset[str]


def bindings() -> dict[str, tuple[Binding, ...]]:
    """The required codes of R4 (4.0.1), by kind of resource."""
    sets = {
        row["value_set"]: frozenset(row["codes"].split())
        for row in tables.rows("fhir/value_sets.csv")
    }
    found: dict[str, list[Binding]] = {}
    for row in tables.rows("fhir/bindings.csv"):
        name = row["value_set"]
        found.setdefault(row["resource"], []).append(Binding(row["path"], name, sets[name]))
    return {kind: tuple(each) for kind, each in found.items()}


def codes(resource: Json, known: dict[str, tuple[Binding, ...]]) -> Iterator[Finding]:
    """Every code that is none of those R4 requires in its place."""
    kind = str(resource.get("resourceType"))
    for binding in known.get(kind, ()):
        *parents, element = binding.path.split(".")
        for parent, place in _instances(resource, kind, parents):
            given = parent.get(element)
            for each in given if isinstance(given, list) else [given]:
                if isinstance(each, str) and each not in binding.codes:
                    said = f"not a code of {binding.value_set}, which R4 requires here"
                    yield Finding("error", "code-invalid", said, (f"{place}.{element}",))


def _fits(value: Any, pattern: Any) -> bool:
    """Whether all that the pattern has is in the value."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and _fits(value[key], part) for key, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(
            any(_fits(each, part) for each in value) for part in pattern
        )
    return bool(value == pattern)


def structure(resource: Json) -> Iterator[Finding]:
    """What R4 (4.0.1) itself has against it. ImportError without the extra `fhir`."""
    import fhirkit  # noqa: PLC0415 - an extra, and only validation needs it

    for issue in fhirkit.validate(json.dumps(resource)):
        said = _QUOTED.sub("the value", issue.message)
        yield Finding(str(issue.severity), "structure", said, (str(issue.path),))


def resources(document: Json) -> Iterator[Json]:
    """The resources of a bundle, or the one resource."""
    if document.get("resourceType") == "Bundle":
        yield from (each["resource"] for each in document.get("entry", ()) if "resource" in each)
    else:
        yield document
