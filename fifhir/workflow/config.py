"""The workflow file: YAML in, checked structs out, everything wrong with it told at once."""

import csv
import os
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Environ
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from fifhir import document, schema
from fifhir.destinations import Assumed
from fifhir.errors import ConfigError, Finding
from fifhir.profile import config as profiles
from fifhir.profile.config import CodeMapping
from fifhir.profile.translating import read_codes
from fifhir.schema import Fault, Faults
from fifhir.sinks import LATER, ActionConfig
from fifhir.sinks.log import LogConfig
from fifhir.workflow import cautions, checking
from fifhir.workflow.assuming import lay_under
from fifhir.workflow.filter import Filter, Name
from fifhir.workflow.transform import TransformConfig


class RouteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events that pass the filter are given to every action, in order."""

    name: Annotated[Name, Meta(description="Unique in the workflow; it labels metrics and logs.")]
    filter: Annotated[Filter, Meta(description="Which events take this route; absent: all.")] = (
        Filter()
    )
    transform: Annotated[
        tuple[TransformConfig, ...],
        Meta(
            max_length=128,
            description="What is changed, in this order, in the copy that the actions see.",
        ),
    ] = ()
    actions: Annotated[
        tuple[ActionConfig, ...],
        Meta(min_length=1, max_length=128, description="What is done with them."),
    ]

    def faults(self) -> Faults:
        types = self.filter.event_types
        yield from checking.transform_faults(self.transform, types)
        made = checking.made_by(self.transform)
        for number, action in enumerate(self.actions):
            yield from checking.action_faults(action, ("actions", number), types, made)


class WorkflowConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Routes in order; each sees the original event, whatever the others did."""

    name: Annotated[Name, Meta(description="What logs and status call this workflow.")]
    version: Annotated[str, Meta(max_length=64, description="Your own version of the file.")] = ""
    description: Annotated[str, Meta(max_length=4096, description="For whoever reads it.")] = ""
    routes: Annotated[
        tuple[RouteConfig, ...],
        Meta(
            min_length=1,
            max_length=1000,
            description="Every route whose filter passes is run.",
            extra={"unique": "name"},
        ),
    ]
    mappings: Annotated[
        tuple[CodeMapping, ...],
        Meta(max_length=100, description="Files of codes for `map_terminology`."),
    ] = ()
    profiles: Annotated[
        tuple[str, ...],
        Meta(
            max_length=100,
            description="Files of source profiles whose terminology `map_terminology` may use as "
            "well.",
        ),
    ] = ()
    on_dlq: Annotated[
        Literal["continue", "block"],
        Meta(
            description="When a message answered `after_store` is a dead letter: go on with the "
            "next of its sender (MSH-3, MSH-4), or hold those up until it is replayed or purged."
        ),
    ] = "continue"

    def unmapped(self) -> Iterator[Fault]:
        """Translations that no mapping has, once those of the profiles are among them."""
        known = {(each.source_system, each.target_system) for each in self.mappings}
        for number, route in enumerate(self.routes):
            for position, each in enumerate(route.transform):
                wanted = each.map_terminology
                if wanted and (wanted.from_, wanted.to) not in known:
                    path = ("routes", number, "transform", position, "map_terminology", "from")
                    text = f"no mapping from '{wanted.from_}' to '{wanted.to}' under mappings"
                    text += " or in profiles" if self.profiles else ""
                    yield Fault(path, text, code="FF205")

    def cautions(self) -> Iterator[Fault]:
        """What is no mistake but may be one all the same."""
        if not self.version:
            text = "without a version nobody can tell which of two files did something"
            yield Fault(("name",), text, code="FF302")
        for number, route in enumerate(self.routes):
            at: schema.Path = ("routes", number)
            yield from cautions.of_route(route.filter, at)
            for position, action in enumerate(route.actions):
                yield from cautions.of_action(action, (*at, "actions", position))


class _Wrapped(Struct, frozen=True, forbid_unknown_fields=True):
    """The same under one key, as a Helm value or a larger file carries it."""

    workflow: WorkflowConfig


DEFAULT = WorkflowConfig(
    name="default", routes=(RouteConfig(name="all_events", actions=(LogConfig(),)),)
)
"""What runs when no workflow is given: one line in the log for every event."""


def load(
    text: str,
    name: str,
    environ: Environ[str, str] | None = None,
    assumed: Iterable[Assumed] = (),
) -> WorkflowConfig:
    """The workflow that `text` describes; ConfigError holds all findings as name:line:column.

    `environ` is where `${NAME}` comes from: the process's environment if it is not given. Files
    of mappings are looked for where the file `name` is. Actions have what is `assumed` of them.
    """
    return review(text, name, environ, assumed)[0]


def review(
    text: str,
    name: str,
    environ: Environ[str, str] | None = None,
    assumed: Iterable[Assumed] = (),
) -> tuple[WorkflowConfig, tuple[Finding, ...]]:
    """What `load` gives, and what is no mistake but may be one all the same."""
    root, findings = document.compose(text, name, os.environ if environ is None else environ)
    config: WorkflowConfig | None = None
    if root is not None:
        lay_under(root, assumed)
        config, wrong = _read(root)
        findings += wrong
    if root is not None and config is not None:
        config, wrong = _with_profiles(_located(config, Path(name).parent))
        findings += [*wrong, *_unread(config), *_placed(root, config.unmapped())]
    if config is None or findings:
        raise ConfigError(tuple(map(_coded, schema.in_order(findings))))
    assert root is not None
    warnings = list(_placed(root, config.cautions()))
    return config, tuple(map(_coded, schema.in_order(warnings)))


def _placed(root: document.Node, faults: Iterable[Fault]) -> Iterator[Finding]:
    """What was found in the whole workflow, with its places in the file."""
    above: schema.Path = ()
    if isinstance(root, document.Mapping) and "workflow" in root.entries:
        above = ("workflow",)
    for fault in faults:
        place = schema.descend(root, (*above, *fault.path))
        yield Finding(place, fault.text, fault.code)


def _read(root: document.Node) -> tuple[WorkflowConfig | None, list[Finding]]:
    if isinstance(root, document.Mapping) and "workflow" in root.entries:
        wrapped, findings = schema.read(root, _Wrapped, LATER)
        return (wrapped.workflow if wrapped else None), findings
    return schema.read(root, WorkflowConfig, LATER)


def _located(config: WorkflowConfig, folder: Path) -> WorkflowConfig:
    """The same with the files of its mappings seen from here."""
    mappings = [structs.replace(each, file=str(folder / each.file)) for each in config.mappings]
    profiles = [str(folder / each) for each in config.profiles]
    return structs.replace(config, mappings=tuple(mappings), profiles=tuple(profiles))


def _with_profiles(config: WorkflowConfig) -> tuple[WorkflowConfig, list[Finding]]:
    """The same with what its profiles translate; its own mappings go first."""
    mappings, findings = list(config.mappings), list[Finding]()
    for name in config.profiles:
        try:
            profile = profiles.load(Path(name).read_text(encoding="utf-8"), name)
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "not UTF-8"
            findings.append(Finding(name, reason.lower(), "FF205"))
        except ConfigError as fault:
            findings += [Finding(each.place, each.text, "FF205") for each in fault.findings]
        else:
            folder = Path(name).parent
            mappings += [
                structs.replace(each, file=str(folder / each.file))
                for each in profile.terminology.mappings
            ]
    return structs.replace(config, mappings=tuple(mappings)), findings


def _unread(config: WorkflowConfig) -> Iterator[Finding]:
    """What is wrong with the files of the mappings."""
    for mapping in config.mappings:
        try:
            read_codes(Path(mapping.file))
        except OSError as fault:
            yield Finding(mapping.file, (fault.strerror or "unreadable").lower(), "FF205")
        except (ValueError, csv.Error) as fault:
            yield Finding(mapping.file, str(fault), "FF205")


def _coded(finding: Finding) -> Finding:
    """The finding with its code in front: what an operator looks up."""
    return Finding(finding.place, f"{finding.code} {finding.text}", finding.code)
