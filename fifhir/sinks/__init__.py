"""Every action there is: its name in a workflow, and the sink that carries it out.

A sink's file holds its config struct, that struct's descriptions and its `deliver`. To add one:
write the file, add it to `ActionConfig` and to `SINKS`, and take its name out of `LATER`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from fifhir.parcel import Sink
from fifhir.sinks.log import LogConfig, LogSink
from fifhir.sinks.webhook import WebhookConfig, WebhookSink

ActionConfig: TypeAlias = LogConfig | WebhookConfig
"""What an action may be in a workflow, told apart by `type`."""

SINKS: dict[str, Callable[[Any, str, Any], Sink]] = {"log": LogSink, "webhook": WebhookSink}

LATER = frozenset({"database", "email", "event_store", "exec", "fhir", "file", "queue"})
"""Actions of the same format that this release does not carry out: refused, never ignored."""
