"""Every action there is: its name in a workflow, and the sink that carries it out.

A sink's file holds its config struct, that struct's descriptions and its `deliver`. To add one:
write the file, add it to `ActionConfig` and to `SINKS`, and take its name out of `LATER`.
"""

from typing import TypeAlias

from fifhir.sinks.log import LogConfig, LogSink

ActionConfig: TypeAlias = LogConfig
"""What an action may be in a workflow, told apart by `type`."""

SINKS: dict[str, type[LogSink]] = {"log": LogSink}

LATER = frozenset({"database", "email", "event_store", "exec", "fhir", "file", "queue", "webhook"})
"""Actions of the same format that this release does not carry out: refused, never ignored."""
