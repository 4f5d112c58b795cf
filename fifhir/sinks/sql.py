"""One database behind a DSN, Postgres or a file of SQLite; its failures named for what they mean.

Every value is bound, never put into a statement. Names of tables and columns come from the
workflow alone, are plain words and are quoted.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol
from urllib.parse import unquote, urlsplit

import asyncpg

from fifhir.errors import DeliveryError
from fifhir.secret import Secret

POOL = 10  # connections of one action in one worker
IDLE = 600.0  # seconds after which an unused one is closed
CONNECT = 10.0  # seconds

IDENTIFIER = r"[a-z_][a-z0-9_]{0,62}"
TABLE = rf"^{IDENTIFIER}(\.{IDENTIFIER})?$"
_AGAIN = ("08", "40", "53", "55", "57", "58")  # classes of SQLSTATE that pass with time
_POSTGRES = ("postgres", "postgresql")
_PREPARED = (  # another worker was faster, or an administrator has done it
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateTableError,
    asyncpg.InsufficientPrivilegeError,
)


def fault(dsn: str) -> str:
    """What is wrong with a DSN; empty if nothing is."""
    try:
        parts = urlsplit(dsn)
        _ = parts.port
    except ValueError:
        return "not a DSN"
    if parts.scheme in _POSTGRES:
        return "" if parts.hostname or "host=" in parts.query else "names no host"
    if parts.scheme in {"sqlite", "file"}:
        return "" if parts.path.startswith("/") else "expected sqlite:///path/to/file"
    return "expected postgresql://user@host/database or sqlite:///path/to/file"


def is_postgres(dsn: str) -> bool:
    return urlsplit(dsn).scheme in _POSTGRES


def destination(dsn: str) -> str:
    """The database without user, password or query."""
    parts = urlsplit(dsn)
    if is_postgres(dsn):
        return f"postgresql://{parts.hostname or 'local'}:{parts.port or 5432}"
    return f"sqlite://{unquote(parts.path)}"


def quoted(name: str) -> str:
    """A checked name as SQL has it."""
    return ".".join(f'"{part}"' for part in name.split("."))


class Database(Protocol):
    """Carries out one statement at a time; what it did is committed when it returns."""

    async def execute(self, statement: str, *values: object) -> None: ...
    async def close(self) -> None: ...


def database(dsn: Secret, timeout: float, prepare: Sequence[str] = ()) -> Database:
    """Not opened yet. `prepare` are statements for the first connection, such as CREATE TABLE."""
    if is_postgres(dsn.reveal()):
        return _Postgres(dsn, timeout, prepare)
    return _Sqlite(unquote(urlsplit(dsn.reveal()).path), timeout, prepare)


class _Postgres:
    def __init__(self, dsn: Secret, timeout: float, prepare: Sequence[str]) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._prepare = prepare
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def execute(self, statement: str, *values: object) -> None:
        try:
            pool = self._pool or await self._opened()
            async with pool.acquire(timeout=self._timeout) as connection:
                await connection.execute(statement, *values)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as raised:
            raise _postgres(raised) from raised

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool:
            pool.terminate()

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self._dsn.reveal(),
                    min_size=0,
                    max_size=POOL,
                    max_inactive_connection_lifetime=IDLE,
                    timeout=CONNECT,
                    command_timeout=self._timeout,
                    server_settings={"application_name": "fi-fhir"},
                )
                for statement in self._prepare:
                    with suppress(*_PREPARED):
                        await pool.execute(statement)
                self._pool = pool
            return self._pool


def _postgres(raised: Exception) -> DeliveryError:
    match raised:
        case TimeoutError():
            return DeliveryError("timeout", "database: no answer in time", retryable=True)
        case asyncpg.PostgresConnectionError() | ConnectionError():
            return DeliveryError("ambiguous", "database: the connection broke", retryable=True)
        case asyncpg.PostgresError():
            state = raised.sqlstate or "XX000"
            kind = "auth_error" if state.startswith("28") else "client_error"
            again = state.startswith(_AGAIN)
            text = f"database: refused with SQLSTATE {state}"
            return DeliveryError("server_error" if again else kind, text, retryable=again)
        case OSError():
            return DeliveryError("connection_error", "database: no connection", retryable=True)
    return DeliveryError("client_error", "database: the statement cannot be sent")


class _Sqlite:
    """A thread of its own, with one connection: SQLite has one writer at a time anyway."""

    def __init__(self, path: str, timeout: float, prepare: Sequence[str]) -> None:
        self._path = path
        self._timeout = timeout
        self._prepare = prepare
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def execute(self, statement: str, *values: object) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._execute, statement, values)
        except sqlite3.OperationalError as raised:
            raise DeliveryError(
                "server_error", f"database: {raised.sqlite_errorname}", retryable=True
            ) from raised
        except sqlite3.Error as raised:
            name = getattr(raised, "sqlite_errorname", "refused")
            raise DeliveryError("client_error", f"database: {name}") from raised

    async def close(self) -> None:
        if self._thread:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
            self._thread.shutdown()
            self._thread = None

    # In the thread.

    def _execute(self, statement: str, values: Sequence[object]) -> None:
        try:
            self._opened().execute(statement, values)
        except sqlite3.OperationalError:
            self._shut()
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=self._timeout, isolation_level=None
            )
            self._connection.execute("PRAGMA synchronous = FULL")
            for statement in self._prepare:
                self._connection.execute(statement)
        return self._connection

    def _shut(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()
