"""The workflow file: YAML in, checked structs out, everything wrong with it told at once."""

from typing import Annotated

from msgspec import Meta, Struct

from fifhir import document, schema
from fifhir.errors import ConfigError, Finding
from fifhir.sinks import LATER, ActionConfig
from fifhir.sinks.log import LogConfig
from fifhir.workflow.filter import Filter, Name

_NOT_YET = LATER | {"condition", "transform"}


class RouteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events that pass the filter are given to every action, in order."""

    name: Annotated[Name, Meta(description="Unique in the workflow; it labels metrics and logs.")]
    filter: Annotated[Filter, Meta(description="Which events take this route; absent: all.")] = (
        Filter()
    )
    actions: Annotated[
        tuple[ActionConfig, ...],
        Meta(min_length=1, max_length=128, description="What is done with them."),
    ]


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


class _Wrapped(Struct, frozen=True, forbid_unknown_fields=True):
    """The same under one key, as a Helm value or a larger file carries it."""

    workflow: WorkflowConfig


DEFAULT = WorkflowConfig(
    name="default", routes=(RouteConfig(name="all_events", actions=(LogConfig(),)),)
)
"""What runs when no workflow is given: one line in the log for every event."""


def load(text: str, name: str) -> WorkflowConfig:
    """The workflow that `text` describes; ConfigError holds all findings as name:line:column."""
    root, findings = document.compose(text, name)
    config: WorkflowConfig | None = None
    if root is not None:
        config, wrong = _read(root)
        findings += wrong
    if config is None or findings:
        raise ConfigError(schema.in_order(findings))
    return config


def _read(root: document.Node) -> tuple[WorkflowConfig | None, list[Finding]]:
    if isinstance(root, document.Mapping) and "workflow" in root.entries:
        wrapped, findings = schema.read(root, _Wrapped, _NOT_YET)
        return (wrapped.workflow if wrapped else None), findings
    return schema.read(root, WorkflowConfig, _NOT_YET)
