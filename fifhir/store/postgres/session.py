"""One process's connections to Postgres, and what makes a commit of theirs worth a promise.

A commit is durable if the server runs with `fsync` and `full_page_writes` and the transaction with
`synchronous_commit` on (or stronger). The first two are asked of the server at every new
connection; the third is set in each transaction, because a role, a database or a pooler between
may have set another. Nothing here is made before the fork.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import asyncpg
from asyncpg import exceptions as pg
from asyncpg.pool import PoolConnectionProxy

from fifhir.errors import StoreError
from fifhir.store import migrations
from fifhir.store.config import Database

Connection: TypeAlias = PoolConnectionProxy
"""A connection on loan from the pool."""

_LOCK = 0x66692D66686972  # "fi-fhir": the advisory lock of migrations and upkeep
_CONNECT = 5.0  # seconds
AT_HAND = (
    3  # connections not given back to the pool between two uses, unless somebody waits for one
)
_ACQUIRE = 1.0  # seconds until a busy pool is told as overload


class Session:
    """A pool of at most `share` connections. Every failure is told as StoreError."""

    def __init__(self, database: Database, share: int, timeout: float) -> None:
        self._database = database
        self._share = max(1, share)
        self._timeout = timeout
        self._pool: asyncpg.Pool | None = None
        self._at_hand: list[Connection] = []
        self._waiting = 0

    async def open(self) -> None:
        """The server was reached, is durable and writable, and its schema is this release's."""
        if self._pool is None:
            logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # whoever asks is told
            with _translated():
                self._pool = await asyncio.wait_for(self._make(), 2 * _CONNECT)
        await self._migrate()

    async def close(self) -> None:
        """Every connection is closed, or cut after a moment."""
        while self._at_hand:
            await self._give_back(self._at_hand.pop())
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), self._timeout)
            except (*_FOREIGN, OSError):
                pool.terminate()

    @property
    def pool(self) -> tuple[int, int]:
        """How many connections are open, and how many of them nobody uses."""
        pool = self._pool
        return (pool.get_size(), pool.get_idle_size()) if pool else (0, 0)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that nothing else uses meanwhile; statements commit one by one."""
        if self._pool is None:
            raise StoreError("unavailable", "the database is not open")
        with _translated():
            taken = await self._taken_up() or await self._acquired(self._pool)
            try:
                yield taken
            except BaseException:
                await self._give_back(taken)
                raise
            if self._waiting or len(self._at_hand) >= AT_HAND:
                await self._give_back(taken)
            else:
                self._at_hand.append(taken)

    async def _taken_up(self) -> Connection | None:
        """A connection that is at hand: to have it of the pool costs five times its use."""
        while self._at_hand:
            taken = self._at_hand.pop()
            if not taken.is_closed():
                return taken
            await self._give_back(taken)
        return None

    async def _acquired(self, pool: asyncpg.Pool) -> Connection:
        self._waiting += 1
        try:
            return await pool.acquire(timeout=_ACQUIRE + _CONNECT)
        except TimeoutError as fault:
            raise StoreError(
                "overload", "no connection to the database became free in time"
            ) from fault
        finally:
            self._waiting -= 1

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction whose synchronous commit was confirmed when the block is left."""
        async with self.connection() as connection:
            await connection.execute("BEGIN; SET LOCAL synchronous_commit TO on")
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(Exception):
                    await connection.execute("ROLLBACK")
                raise
            status = await connection.execute("COMMIT")
            if status != "COMMIT":  # a transaction that failed answers ROLLBACK
                raise StoreError("unavailable", "the database did not commit")

    async def _give_back(self, taken: Connection) -> None:
        """Also when whoever took it is cancelled: the pool shields this itself."""
        with contextlib.suppress(*_FOREIGN, OSError):
            assert self._pool is not None
            await self._pool.release(taken, timeout=self._timeout)

    async def _make(self) -> asyncpg.Pool:
        database = self._database
        milliseconds = str(round(self._timeout * 1000))
        return await asyncpg.create_pool(
            **_target(database),
            min_size=min(self._share, database.max_idle_conns),
            max_size=self._share,
            max_inactive_connection_lifetime=database.conn_max_lifetime,
            timeout=_CONNECT,
            command_timeout=self._timeout + 1,  # the server's own limit comes first
            target_session_attrs="read-write",
            init=_check,
            reset=_clean,
            server_settings={
                "application_name": "fi-fhir",
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
            },
        )

    async def _migrate(self) -> None:
        known = migrations.steps("postgres")
        async with self.transaction() as connection:
            await alone(connection)
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, "
                "name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            rows = await connection.fetch("SELECT version FROM schema_version")
            for step in migrations.missing(known, [row[0] for row in rows]):
                await connection.execute(step.sql)
                await connection.execute(
                    "INSERT INTO schema_version (version, name) VALUES ($1, $2)",
                    step.number,
                    step.name,
                )


async def alone(connection: Connection) -> None:
    """Nobody else changes tables until this transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def _check(connection: asyncpg.Connection) -> None:
    for setting in ("fsync", "full_page_writes"):
        if await connection.fetchval(f"SHOW {setting}") != "on":
            raise StoreError(
                "undurable",
                f"Postgres runs with {setting} off, so no commit of it is durable; turn it on",
            )


async def _clean(_: asyncpg.Connection) -> None:
    """A connection is given back as it was: nothing here changes a session but its transaction.

    The pool has ended that by now. Its own way asks the server once more for every transaction.
    """


def _target(database: Database) -> dict[str, Any]:
    """Where to connect to, as asyncpg takes it."""
    if database.dsn:
        return {"dsn": database.dsn.reveal()}
    target: dict[str, Any] = {
        "host": database.host,
        "port": database.port,
        "database": database.database or "postgres",
        "user": database.username or "postgres",
        "ssl": False if database.host.startswith("/") else database.ssl_mode,
    }
    if database.password:
        target["password"] = database.password.reveal()
    return target


_MEANT: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((pg.DiskFullError,), "full", "the disk of Postgres is full"),
    (
        (pg.ReadOnlySQLTransactionError, pg.TargetServerAttributeNotMatched),
        "read_only",
        "Postgres takes no writes: it is a standby, or read-only",
    ),
    (
        (pg.QueryCanceledError, pg.LockNotAvailableError, TimeoutError),
        "slow",
        "Postgres did not finish in time",
    ),
    (
        (pg.InvalidAuthorizationSpecificationError,),
        "unavailable",
        "Postgres refused the user or the password",
    ),
    ((pg.TooManyConnectionsError,), "unavailable", "Postgres has no connection left for us"),
    ((pg.InterfaceError,), "unavailable", "the connection to Postgres was lost"),
)
"""What an exception means, the first that fits: for whoever has to see to it, without a value."""

_FOREIGN = (pg.PostgresError, pg.InterfaceError, pg.InternalClientError)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """What Postgres, its driver or the network say is raised as StoreError."""
    try:
        yield
    except (*_FOREIGN, OSError) as fault:
        raise _told(fault) from fault


def _told(fault: Exception) -> StoreError:
    for kinds, kind, told in _MEANT:
        if isinstance(fault, kinds):
            return StoreError(kind, told)
    if isinstance(fault, pg.PostgresError):
        return StoreError("unavailable", f"Postgres failed (SQLSTATE {fault.sqlstate})")
    reason = os.strerror(fault.errno).lower() if isinstance(fault, OSError) and fault.errno else ""
    return StoreError("unavailable", f"Postgres cannot be reached ({reason or 'no connection'})")
