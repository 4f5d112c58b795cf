"""The settings of the database and of what is kept in it."""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from fifhir.schema import Duration, Faults
from fifhir.secret import NONE, Secret
from fifhir.store import sealing

DAY = 86400.0


class Database(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Postgres, as soon as `host` or `dsn` is set; else one SQLite file on this machine.

    More than one machine needs Postgres.
    """

    driver: Annotated[
        Literal["", "postgres", "sqlite"],
        Meta(description="Empty: postgres if `host` or `dsn` is set, else sqlite."),
    ] = ""
    dsn: Annotated[
        Secret,
        Meta(description="postgresql://user:password@host:port/name; goes before the single keys."),
    ] = NONE
    host: Annotated[
        str, Meta(description="Where Postgres is: a name, an address, or a socket's folder.")
    ] = ""
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port.")] = 5432
    database: Annotated[
        str, Meta(description="The database's name.", extra={"env": "FI_FHIR_DATABASE_NAME"})
    ] = ""
    username: Annotated[
        str,
        Meta(
            description="Who logs in; FI_FHIR_DATABASE_USER says so too.",
            extra={"alias": "FI_FHIR_DATABASE_USER"},
        ),
    ] = ""
    password: Annotated[Secret, Meta(description="With which password.")] = NONE
    ssl_mode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        Meta(description="As libpq has it. Over a socket's folder there is no TLS."),
    ] = "require"
    max_open_conns: Annotated[
        int, Meta(ge=1, le=10_000, description="Connections of all workers together, at most.")
    ] = 25
    max_idle_conns: Annotated[
        int, Meta(ge=0, le=10_000, description="Connections made at the start and kept.")
    ] = 5
    conn_max_lifetime: Annotated[
        Duration, Meta(ge=1, le=86400, description="A connection idle for so long is closed.")
    ] = 300.0

    @property
    def postgres(self) -> bool:
        return self.driver == "postgres" or (
            self.driver == "" and bool(self.host or self.dsn.reveal())
        )

    def faults(self) -> Faults:
        if self.driver == "postgres" and not (self.host or self.dsn):
            yield ("driver",), "postgres needs database.host or database.dsn"
        if self.dsn and not self.dsn.reveal().startswith(("postgres://", "postgresql://")):
            yield ("dsn",), "expected postgresql://user:password@host:port/name"


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept, for how long, and how it is protected."""

    data_dir: Annotated[
        str,
        Meta(
            description="The folder of the SQLite file; empty: fi-fhir in $XDG_DATA_HOME or "
            "~/.local/share. A disk of this machine, not NFS.",
            extra={"env": "FI_FHIR_DATA_DIR"},
        ),
    ] = ""
    on_start: Annotated[
        Literal["wait", "fail"],
        Meta(
            description="When Postgres cannot be reached at the start: wait until it can, not "
            "ready; or fail."
        ),
    ] = "wait"
    timeout: Annotated[
        Duration,
        Meta(ge=0.1, le=300, description="Longest time for one transaction; then no promise."),
    ] = 5.0
    max_waiting: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Messages of a worker that wait for a commit; more are refused.",
        ),
    ] = 10_000
    duplicate_window: Annotated[
        Duration,
        Meta(ge=0, le=400 * DAY, description="How long a message is known again by its bytes."),
    ] = 7 * DAY
    retention: Annotated[
        Duration,
        Meta(ge=0, le=4000 * DAY, description="How long a delivered message stays in the journal."),
    ] = DAY
    encryption_keys: Annotated[
        Secret,
        Meta(
            description="Keys that messages are encrypted with at rest, one a line: id:base64 of "
            "32 bytes. The first writes, all read; needs the extra `encryption`. Empty: none.",
        ),
    ] = NONE

    @property
    def folder(self) -> Path:
        if self.data_dir:
            return Path(self.data_dir)
        home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        return Path(home) / "fi-fhir"

    def faults(self) -> Faults:
        for fault in sealing.faults(self.encryption_keys.reveal()):
            yield ("encryption_keys",), fault
