"""The `database` action: one row for each event, inserted or put over the one that is there."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fifhir.errors import DeliveryError
from fifhir.parcel import Parcel
from fifhir.place import Path, look_up, read
from fifhir.resilience import Resilience
from fifhir.schema import Faults
from fifhir.secret import Secret
from fifhir.sinks import sql

RAW, KEY = "__raw__", "__key__"


class DatabaseConfig(
    Resilience,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="database",
):
    """Write a row into a table of Postgres or SQLite; the commit confirms it.

    Values are converted to the types of their columns by the database. An `insert` whose answer
    was lost is not repeated by itself, for it might be there twice; an `upsert` is.
    """

    connection: Annotated[
        Secret,
        Meta(description="postgresql://user:password@host/database, or sqlite:///path/to/file."),
    ]
    table: Annotated[
        str, Meta(pattern=sql.TABLE, description="The table, with its schema if need be.")
    ]
    mapping: Annotated[
        dict[str, str],
        Meta(
            min_length=1,
            max_length=256,
            description="Column: path of its value in the event, as in patient.mrn or "
            "results[0].result.value. __raw__ is the whole event, __key__ what stays the same at "
            "every try. What is missing is NULL.",
            extra={"keys": sql.IDENTIFIER, "flat": "mapping_", "path": (RAW, KEY)},
        ),
    ]
    operation: Annotated[
        Literal["insert", "upsert"], Meta(description="What is done if the row is there.")
    ] = "insert"
    conflict_on: Annotated[
        str,
        Meta(
            description="Columns that tell a row is there, with commas; they have a unique index."
        ),
    ] = ""

    def faults(self) -> Faults:
        yield from super().faults()
        if wrong := sql.fault(self.connection.reveal()):
            yield ("connection",), wrong
        if not self.mapping:
            yield ("mapping",), "needs at least one column"
        if (self.operation == "upsert") != bool(self.conflict_on):
            yield ("conflict_on",), "goes with operation: upsert"
        elif strangers := [name for name in self.conflicts() if name not in self.mapping]:
            yield ("conflict_on",), f"'{strangers[0]}' is no column of mapping"

    def conflicts(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.conflict_on.split(",") if part.strip())


class DatabaseSink:
    """Carries out one `database` action of one route."""

    def __init__(self, config: DatabaseConfig) -> None:
        dsn = config.connection.reveal()
        self._paths = [
            (name, path if path in (RAW, KEY) else read(path))
            for name, path in config.mapping.items()
        ]
        self._postgres = sql.is_postgres(dsn)
        self._statement = _statement(config, self._postgres)
        self._database = sql.database(config.connection, config.timeout)
        self.destination = sql.destination(dsn)
        self.idempotent = config.operation == "upsert" or KEY in config.mapping.values()

    async def deliver(self, parcel: Parcel) -> None:
        """The row is committed."""
        row = {name: _value(parcel, path) for name, path in self._paths}
        if self._postgres:
            text = msgspec.json.encode(row).decode()
            await self._database.execute(self._statement, text)
        else:
            await self._database.execute(self._statement, *map(_plain, row.values()))

    async def close(self) -> None:
        await self._database.close()


def _statement(config: DatabaseConfig, postgres: bool) -> str:
    """Postgres makes the row of JSON itself, so that a text becomes a date where one is wanted."""
    table, names = sql.quoted(config.table), [sql.quoted(name) for name in config.mapping]
    columns = ", ".join(names)
    if postgres:
        source = f"SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1::jsonb)"  # noqa: S608
    else:
        source = f"VALUES ({', '.join('?' * len(names))})"
    statement = f"INSERT INTO {table} ({columns}) {source}"
    if not config.conflict_on:
        return statement
    keys = [sql.quoted(name) for name in config.conflicts()]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    return f"{statement} ON CONFLICT ({', '.join(keys)}) DO {action}"


def _value(parcel: Parcel, path: str | Path) -> Any:
    if path == RAW:
        return msgspec.Raw(parcel.written.json)
    if path == KEY:
        return parcel.key
    assert not isinstance(path, str)
    return look_up(parcel.written.document, path)[1]


def _plain(value: Any) -> Any:
    """What SQLite can hold; anything that is not a scalar becomes JSON."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise DeliveryError("client_error", "database: a number is too large")
    return value
