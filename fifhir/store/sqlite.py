"""The embedded store: one SQLite file for all processes of one machine.

SQLite lets one connection write at a time and makes the others sleep and ask again, which can
starve one of them for good. So writers wait in the kernel instead, for a lock on a file beside it.
All work is done on one thread of its own, and a commit takes along whatever was asked for while
the one before it ran.
"""

import asyncio
import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from fifhir.errors import StoreError
from fifhir.store import ALL, Count, DeadLetter, Query, Taken

T = TypeVar("T")
GROUP = 200  # commits that may wait for the same fsync
PATIENCE = 10.0  # seconds anything may take before it is given up

_COLUMNS = (
    "id, original_event_id, event_type, source, route_name, action_type, action_index,"
    " idempotency_key, original_message, payload, error_message, error_type, error_count,"
    " first_failed_at, last_failed_at"
)
_BURY = f"""
    INSERT INTO dlq_events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (original_event_id, route_name, action_index) DO UPDATE SET
        error_message = excluded.error_message, error_type = excluded.error_type,
        error_count = error_count + excluded.error_count, last_failed_at = excluded.last_failed_at
"""  # noqa: S608 - the columns are the constant above
_FIELDS = tuple(name for name in DeadLetter.__struct_fields__ if name != "blocks")
_MATCH = """
    last_failed_at >= :since AND (:until = 0 OR last_failed_at < :until)
    AND (:route = '' OR route_name = :route)
    AND (:event_types = '[]' OR event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:error_type = '' OR error_type = :error_type)
    AND (:ids = '[]' OR id IN (SELECT value FROM json_each(:ids)))
"""


class SqliteStore:
    """Opened inside the process that uses it; nothing of it may cross a fork."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "fi-fhir.db"
        self._lock_file = folder / "fi-fhir.lock"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._waiting: list[tuple[Sequence[DeadLetter], asyncio.Future[None]]] = []
        self._writing = False
        self._database: sqlite3.Connection | None = None
        self._lock = -1

    # What a Store does.

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """The letters are committed together with whatever else waited."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((letters, done))
        if not self._writing:
            self._writing = True
            asyncio.get_running_loop().create_task(self._write())
        try:
            async with asyncio.timeout(PATIENCE):
                await done
        except TimeoutError as late:
            raise StoreError("slow", "the store did not commit in time") from late

    async def count(self, query: Query = ALL) -> int:
        return await self._run(lambda db: int(self._one(db, "count(*)", query)))

    async def find(self, query: Query = ALL, limit: int = 100) -> list[DeadLetter]:
        letters = await self._run(lambda db: self._select(db, query, limit, ""))
        return [structs.replace(each, raw=b"", event=b"") for each in letters]

    async def get(self, id_: str) -> DeadLetter | None:
        letters = await self._run(lambda db: self._select(db, Query(ids=(id_,)), 1, ""))
        return letters[0] if letters else None

    async def stats(self, query: Query = ALL) -> list[Count]:
        names = ("route", "action", "event_type", "error_type", "letters", "oldest", "newest")
        statement = (
            "SELECT route_name, action_type, event_type, error_type, count(*),"  # noqa: S608
            f" min(first_failed_at), max(last_failed_at) FROM dlq_events WHERE {_MATCH}"
            " GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC"
        )
        return await self._run(
            lambda db: [
                Count(**dict(zip(names, row, strict=True)))
                for row in db.execute(statement, _given(query))
            ]
        )

    async def take(self, query: Query, limit: int, lease: float) -> list[Taken]:
        def take(db: sqlite3.Connection) -> list[Taken]:
            now, token = time.time(), secrets.randbits(62)
            with self._transaction(db):
                found = self._select(db, query, limit, f" AND lease_until < {now!r}")
                db.executemany(
                    "UPDATE dlq_events SET lease_token = ?, lease_until = ? WHERE id = ?",
                    [(token, now + lease, letter.id) for letter in found],
                )
            return [Taken(letter, token) for letter in found]

        return await self._run(take)

    async def resolve(self, taken: Taken) -> bool:
        statement = "DELETE FROM dlq_events WHERE id = ? AND lease_token = ?"
        return await self._change(statement, (taken.letter.id, taken.token)) == 1

    async def fail_again(self, taken: Taken, error: str, error_type: str) -> bool:
        statement = (
            "UPDATE dlq_events SET error_message = ?, error_type = ?, last_failed_at = ?,"
            " error_count = error_count + 1, lease_token = 0, lease_until = 0"
            " WHERE id = ? AND lease_token = ?"
        )
        given = (error, error_type, time.time(), taken.letter.id, taken.token)
        return await self._change(statement, given) == 1

    async def put_back(self, taken: Taken) -> None:
        statement = "UPDATE dlq_events SET lease_until = 0 WHERE id = ? AND lease_token = ?"
        await self._change(statement, (taken.letter.id, taken.token))

    async def purge(self, query: Query) -> int:
        statement = f"DELETE FROM dlq_events WHERE {_MATCH}"  # noqa: S608 - a constant
        return await self._change(statement, _given(query))

    async def audit(self, who: str, what: str, details: Mapping[str, object]) -> None:
        statement = "INSERT INTO audit_log (at, who, what, details) VALUES (?, ?, ?, ?)"
        await self._change(statement, (time.time(), who, what, json.dumps(dict(details))))

    async def close(self) -> None:
        """What was asked for is done, and the file is closed."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
        self._thread.shutdown()

    # On the loop.

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                letters = [letter for group, _ in batch for letter in group]
                try:
                    await self._run(lambda db, rows=letters: self._insert(db, rows))  # type: ignore[misc]
                except StoreError as fault:
                    _settle(batch, fault)
                else:
                    _settle(batch, None)
        finally:
            self._writing = False

    async def _change(self, statement: str, given: Any) -> int:
        def change(db: sqlite3.Connection) -> int:
            with self._transaction(db):
                return db.execute(statement, given).rowcount

        return await self._run(change)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, done on the store's thread; StoreError for whatever goes wrong."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                return await loop.run_in_executor(self._thread, self._guarded, work)
        except TimeoutError as late:
            raise StoreError("slow", "the store did not answer in time") from late

    # On the thread.

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._opened())
        except sqlite3.DatabaseError as fault:
            self._shut()  # after a failed fsync the connection's view of the file is worth nothing
            raise _named(fault, self._file) from fault
        except OSError as fault:
            self._shut()
            reason = (fault.strerror or "unreachable").lower()
            raise StoreError("unavailable", f"{self._file}: {reason}") from fault

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._database = db = sqlite3.connect(
                self._file, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._file.chmod(0o600)
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            with self._transaction(db):
                _migrate(db)
        return self._database

    def _shut(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            os.close(self._lock)
            self._database = None

    @contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _insert(self, db: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
        with self._transaction(db):
            db.executemany(_BURY, [_row(letter) for letter in letters])

    @staticmethod
    def _one(db: sqlite3.Connection, what: str, query: Query) -> Any:
        statement = f"SELECT {what} FROM dlq_events WHERE {_MATCH}"  # noqa: S608 - constants
        return db.execute(statement, _given(query)).fetchone()[0]

    @staticmethod
    def _select(db: sqlite3.Connection, query: Query, limit: int, further: str) -> list[DeadLetter]:
        statement = (
            f"SELECT {_COLUMNS} FROM dlq_events WHERE {_MATCH}{further}"  # noqa: S608 - constants
            " ORDER BY first_failed_at, id LIMIT :limit"
        )
        rows = db.execute(statement, _given(query) | {"limit": limit})
        return [_letter(row) for row in rows]


def _given(query: Query) -> dict[str, Any]:
    given = {name: getattr(query, name) for name in Query.__struct_fields__}
    return given | {name: json.dumps(given[name]) for name in ("event_types", "ids")}


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    now = time.time()
    given = structs.replace(letter, first_failed_at=now, last_failed_at=now)
    return tuple(getattr(given, name) for name in _FIELDS)


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    return DeadLetter(**dict(zip(_FIELDS, row, strict=True)))


def _settle(
    batch: list[tuple[Sequence[DeadLetter], "asyncio.Future[None]"]], fault: StoreError | None
) -> None:
    for _, done in batch:
        if done.done():
            continue
        if fault:
            done.set_exception(fault)
        else:
            done.set_result(None)


def _named(fault: sqlite3.DatabaseError, file: Path) -> StoreError:
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreError(
            "corrupt", f"{file} is damaged: restore it from a backup, or move it away"
        )
    return StoreError(
        "unavailable", f"{file}: {getattr(fault, 'sqlite_errorname', 'SQLITE_ERROR')}"
    )


def _migrate(db: sqlite3.Connection) -> None:
    """Every numbered script that this file has not seen is run, in order."""
    scripts = sorted(
        (each for each in files("fifhir.store").joinpath("schema/sqlite").iterdir()),
        key=lambda script: script.name,
    )
    done = db.execute("PRAGMA user_version").fetchone()[0]
    if done > len(scripts):
        raise StoreError("schema", "the store was written by a newer version of fi-fhir")
    for number, script in enumerate(scripts[done:], done + 1):
        for statement in script.read_text("utf-8").split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {number:d}")
