"""Every action there is: its name in a workflow, and the sink that carries it out.

A sink's file holds its config struct, that struct's descriptions and its `deliver`. To add one:
write the file, and add it to `ActionConfig` and to `make`.
"""

from typing import TypeAlias, assert_never, get_args

from msgspec import Struct

from fifhir.logs import Write
from fifhir.parcel import Sink
from fifhir.sinks.database import DatabaseConfig, DatabaseSink
from fifhir.sinks.email import EmailConfig, EmailSink
from fifhir.sinks.event_store import EventStoreConfig, EventStoreSink
from fifhir.sinks.exec import ExecConfig, ExecSink
from fifhir.sinks.fhir import FhirConfig, FhirSink
from fifhir.sinks.file import FileConfig, FileSink
from fifhir.sinks.http import Web
from fifhir.sinks.log import LogConfig, LogSink
from fifhir.sinks.mllp import MllpConfig, MllpSink
from fifhir.sinks.queue import QueueConfig, QueueSink
from fifhir.sinks.webhook import WebhookConfig, WebhookSink

ActionConfig: TypeAlias = (
    DatabaseConfig
    | EmailConfig
    | EventStoreConfig
    | ExecConfig
    | FhirConfig
    | FileConfig
    | LogConfig
    | MllpConfig
    | QueueConfig
    | WebhookConfig
)
"""What an action may be in a workflow, told apart by `type`."""

CONFIGS: dict[str, type[Struct]] = {
    str(cls.__struct_config__.tag): cls for cls in get_args(ActionConfig)
}
"""What each action may be told, by its name."""


LATER = frozenset({"athena", "llm_extract", "llm_quality_check"})
"""Actions of the same format that this release does not carry out: refused, never ignored."""


def make(config: ActionConfig, route: str, write: Write, web: Web) -> Sink:  # noqa: PLR0911 - one a kind
    """The sink of an action of this route. Nothing is opened before its first delivery.

    `write` puts a line in the log; `web` is the HTTP client that all actions of a worker share.
    """
    match config:
        case DatabaseConfig():
            return DatabaseSink(config)
        case EmailConfig():
            return EmailSink(config)
        case EventStoreConfig():
            return EventStoreSink(config)
        case ExecConfig():
            return ExecSink(config)
        case FhirConfig():
            return FhirSink(config, web)
        case FileConfig():
            return FileSink(config)
        case LogConfig():
            return LogSink(config, route, write)
        case MllpConfig():
            return MllpSink(config)
        case QueueConfig():
            return QueueSink(config)
        case WebhookConfig():
            return WebhookSink(config, web)
    assert_never(config)
