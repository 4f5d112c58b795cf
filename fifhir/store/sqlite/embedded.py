"""The transactions of one SQLite file: for one machine, however many workers it has.

Everything that touches the file runs in one thread of its own, so that the loop never waits for
the disk. What the loop no longer waits for may still be committed by it: nobody is told so.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection
from time import time
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from fifhir.errors import StoreError
from fifhir.store import Deed
from fifhir.store.rows import deed_of
from fifhir.store.sqlite import journal, letters
from fifhir.store.sqlite.file import File

T = TypeVar("T")
P = ParamSpec("P")
Statements: TypeAlias = Callable[Concatenate[Connection, P], T]
Transaction: TypeAlias = Callable[Concatenate["Embedded", P], Coroutine[Any, Any, T]]


def _reads(work: Statements[P, T]) -> Transaction[P, T]:
    """The statements of `work`, which only read, run in the thread."""

    async def reading(self: "Embedded", /, *args: P.args, **named: P.kwargs) -> T:
        return await self.read(lambda db: work(db, *args, **named))

    return reading


def _writes(work: Statements[P, T]) -> Transaction[P, T]:
    """The statements of `work` as one transaction, run in the thread."""

    async def writing(self: "Embedded", /, *args: P.args, **named: P.kwargs) -> T:
        return await self.write(lambda db: work(db, *args, **named))

    return writing


def _touch(db: Connection) -> None:
    db.execute("UPDATE schema_version SET name = name WHERE version = 1")


def _audit(db: Connection, who: str, what: str, details: str) -> None:
    row = (time(), who, what, details)
    db.execute("INSERT INTO audit_log (at, actor, action, details) VALUES (?, ?, ?, ?)", row)


def _audited(db: Connection, since: float, limit: int) -> list[Deed]:
    rows = db.execute(
        "SELECT at, actor, action, details FROM audit_log WHERE at >= ? ORDER BY id DESC LIMIT ?",
        (since, limit),
    )
    return [deed_of(*row) for row in rows]


class Embedded:
    """The database in `folder`; nothing that is asked of it takes longer than `timeout` seconds."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._file = File(folder)
        self._timeout = timeout
        self._thread: ThreadPoolExecutor | None = None
        self._ready = False

    touch = _writes(_touch)
    record = _writes(journal.record)
    claim = _writes(journal.claim)
    renew = _writes(journal.renew)
    settle = _writes(journal.settle)
    release = _writes(journal.release)
    backlog = _reads(journal.backlog)
    bury = _writes(letters.bury)
    count = _reads(letters.count)
    find = _reads(letters.find)
    get = _reads(letters.get)
    stats = _reads(letters.stats)
    take = _writes(letters.take)
    keep = _writes(letters.keep)
    resolve = _writes(letters.resolve)
    fail_again = _writes(letters.fail_again)
    put_back = _writes(letters.put_back)
    purge = _writes(letters.purge)
    audit = _writes(_audit)
    audited = _reads(_audited)
    rekey = _writes(letters.rekey)
    keys_in_use = _reads(letters.keys_in_use)
    _forget = _writes(journal.forget)

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def pool(self) -> tuple[int, int]:
        return 1, 1

    async def open(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            closing = asyncio.get_running_loop().run_in_executor(thread, self._file.close)
            await asyncio.wait((closing,), timeout=self._timeout)
            thread.shutdown(wait=False)
        self._ready = False

    async def now(self) -> float:
        return time()

    async def forget(self, retention: float, window: float) -> None:
        while await self._forget(retention, window):
            pass
        await self.shrink()

    async def shrink(self) -> None:
        await self._submit(self._file.shrink)

    async def read(self, work: Callable[[Connection], T]) -> T:
        def reading() -> T:
            with self._file.read() as db:
                return work(db)

        return await self._submit(reading)

    async def write(self, work: Callable[[Connection], T]) -> T:
        def writing() -> T:
            with self._file.write() as db:
                return work(db)

        result = await self._submit(writing)
        self._ready = True
        return result

    async def _submit(self, work: Callable[[], T]) -> T:
        """What `work` gives; StoreError if it does not end in time, whatever becomes of it."""
        if self._thread is None:
            raise StoreError("unavailable", "the database is not open")
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done, _ = await asyncio.wait((running,), timeout=self._timeout)
        if not done:
            running.add_done_callback(_forget)
            self._ready = False
            raise StoreError("slow", "the database did not commit in time")
        try:
            return running.result()
        except StoreError:
            self._ready = False
            raise


def _forget(running: asyncio.Future[T]) -> None:
    """Nobody waits for its exception any more."""
    if not running.cancelled():
        running.exception()
