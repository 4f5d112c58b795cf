"""The `event_store` action: events, one after another, in a table nothing is ever changed in."""

from typing import Annotated

import msgspec
from msgspec import Meta, field

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Faults
from fifhir.secret import Secret
from fifhir.sinks import sql

_COLUMNS = "idempotency_key, stream, event_type, event_id, source, data, metadata"
_POSTGRES = """
    CREATE TABLE IF NOT EXISTS {table} (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        idempotency_key uuid NOT NULL UNIQUE,
        stream text NOT NULL,
        event_type text NOT NULL,
        event_id text NOT NULL,
        source text NOT NULL,
        data jsonb NOT NULL,
        metadata jsonb NOT NULL
    )
"""
_SQLITE = """
    CREATE TABLE IF NOT EXISTS {table} (
        position integer PRIMARY KEY AUTOINCREMENT,
        recorded_at text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        idempotency_key text NOT NULL UNIQUE,
        stream text NOT NULL,
        event_type text NOT NULL,
        event_id text NOT NULL,
        source text NOT NULL,
        data text NOT NULL,
        metadata text NOT NULL
    )
"""


class EventStoreConfig(
    Resilience,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="event_store",
):
    """Append the event to a stream in a table of Postgres or SQLite; the commit confirms it.

    The table is made if it is not there. A repeat of the same delivery is not appended again.
    """

    connection: Annotated[
        Secret,
        Meta(description="postgresql://user:password@host/database, or sqlite:///path/to/file."),
    ]
    stream: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1024,
            description="The stream; may have templates, as in patient-{{.patient.mrn}}.",
            extra={"template": "none"},
        ),
    ]
    table: Annotated[
        str, Meta(pattern=sql.TABLE, description="The table, with its schema if need be.")
    ] = "events"
    event_type: Annotated[
        str, Meta(max_length=256, description="What it is called there; empty: the event's type.")
    ] = ""
    metadata: Annotated[
        dict[str, str],
        Meta(
            description="What is stored beside it; values may have templates.",
            extra={"flat": "metadata_", "template": "none"},
        ),
    ] = field(default_factory=dict)

    def faults(self) -> Faults:
        yield from super().faults()
        if wrong := sql.fault(self.connection.reveal()):
            yield ("connection",), wrong


class EventStoreSink:
    """Carries out one `event_store` action of one route."""

    idempotent = True

    def __init__(self, config: EventStoreConfig) -> None:
        dsn, table = config.connection.reveal(), sql.quoted(config.table)
        postgres = sql.is_postgres(dsn)
        self.destination = sql.destination(dsn)
        self._event_type = config.event_type
        self._stream = template.compile(config.stream, "none")
        self._metadata = {
            name: template.compile(text, "none") for name, text in config.metadata.items()
        }
        places = "$1, $2, $3, $4, $5, $6::jsonb, $7::jsonb" if postgres else "?, ?, ?, ?, ?, ?, ?"
        self._statement = (
            f"INSERT INTO {table} ({_COLUMNS}) VALUES ({places})"  # noqa: S608 - a checked name
            " ON CONFLICT (idempotency_key) DO NOTHING"
        )
        prepare = (_POSTGRES if postgres else _SQLITE).format(table=table)
        self._database = sql.database(config.connection, config.timeout, (prepare,))

    async def deliver(self, parcel: Parcel) -> None:
        """The event is in the table, once."""
        written = parcel.written
        try:
            stream = self._stream.render(written.document)
            metadata = {
                name: each.render(written.document) for name, each in self._metadata.items()
            }
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from fault
        await self._database.execute(
            self._statement,
            *(parcel.key, stream, self._event_type or written.type, written.id, written.source),
            *(written.json.decode(), msgspec.json.encode(metadata).decode()),
        )

    async def close(self) -> None:
        await self._database.close()
