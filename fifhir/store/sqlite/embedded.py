"""The store in one SQLite file: for one machine, however many workers it has.

Everything that touches the file runs in one thread of its own, so that the loop never waits for
the disk. What the loop no longer waits for may still be committed by it: nobody is told so.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import Connection
from time import time
from typing import TypeVar

import msgspec

from fifhir.errors import StoreError
from fifhir.store import ALL, Claim, Count, DeadLetter, Entry, Query, Recorded, Settlement, Taken
from fifhir.store.capacity import Capacity
from fifhir.store.config import StoreSettings
from fifhir.store.groups import Group
from fifhir.store.sealing import Seal
from fifhir.store.sqlite import journal, letters
from fifhir.store.sqlite.file import File

T = TypeVar("T")


class SqliteStore:
    """`Store` over a file of this machine."""

    def __init__(self, settings: StoreSettings, most_letters: int) -> None:
        self._settings = settings
        self._capacity = Capacity(most_letters)
        self._seal = Seal(settings.encryption_keys.reveal())
        self._file = File(settings.folder)
        self._thread: ThreadPoolExecutor | None = None
        self._ready = False
        waiting, patience = settings.max_waiting, settings.timeout
        self._entries = Group(self._record, _weight, waiting=waiting, patience=patience)
        self._settlements = Group(self._settle, _one, waiting=waiting, patience=patience)
        self._burials = Group(self._bury, len, waiting=waiting, patience=patience)
        self._resolved = Group(self._resolve, _one, waiting=waiting, patience=patience)

    @property
    def ready(self) -> bool:
        return self._ready

    async def open(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        await self._write(self._check_keys)

    async def close(self) -> None:
        for group in (self._entries, self._settlements, self._burials, self._resolved):
            await group.drain()
        thread, self._thread = self._thread, None
        if thread is not None:
            closing = asyncio.get_running_loop().run_in_executor(thread, self._file.close)
            await asyncio.wait((closing,), timeout=self._settings.timeout)
            thread.shutdown(wait=False)
        self._ready = False

    async def health(self) -> None:
        await self._write(_touch)

    async def now(self) -> float:
        return time()

    # The journal.

    async def record(self, entry: Entry) -> Recorded:
        return await self._entries.add(entry)

    async def claim(self, keys: int, entries: int, lease: float) -> list[Claim]:
        return await self._write(lambda db: journal.claim(db, keys, entries, lease, self._seal))

    async def renew(self, claim: Claim, lease: float) -> bool:
        return await self._write(lambda db: journal.renew(db, claim, lease))

    async def settle(
        self, claim: Claim, done: Sequence[int], letters: Sequence[DeadLetter] = ()
    ) -> bool:
        if letters:
            await self._capacity.ask(len(letters), self.count)
        return await self._settlements.add(Settlement(claim, tuple(done), tuple(letters)))

    async def release(self, claim: Claim, delay: float = 0.0) -> None:
        await self._write(lambda db: journal.release(db, claim, delay))

    # The dead letters.

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        await self._capacity.ask(len(letters), self.count)
        await self._burials.add(letters)

    async def count(self, query: Query = ALL) -> int:
        found = await self._read(lambda db: letters.count(db, query))
        if query == ALL:
            self._capacity.known = found
        return found

    async def find(self, query: Query = ALL, limit: int = 100) -> list[DeadLetter]:
        return await self._read(lambda db: letters.find(db, query, limit))

    async def get(self, id_: str) -> DeadLetter | None:
        return await self._read(lambda db: letters.get(db, id_, self._seal))

    async def stats(self, query: Query = ALL) -> list[Count]:
        return await self._read(lambda db: letters.stats(db, query))

    async def take(self, query: Query, limit: int, lease: float) -> list[Taken]:
        return await self._write(lambda db: letters.take(db, query, limit, lease, self._seal))

    async def resolve(self, taken: Taken) -> bool:
        return await self._resolved.add(taken)

    async def fail_again(self, taken: Taken, error: str, error_type: str) -> bool:
        return await self._write(lambda db: letters.fail_again(db, taken, error, error_type))

    async def put_back(self, taken: Taken) -> None:
        await self._write(lambda db: letters.put_back(db, taken))

    async def purge(self, query: Query) -> int:
        purged = 0
        while some := await self._write(lambda db: letters.purge(db, query)):
            purged += some
        if purged:
            await self._submit(self._file.shrink)
        return purged

    # The rest.

    async def audit(self, who: str, what: str, details: Mapping[str, object]) -> None:
        row = (time(), who, what, msgspec.json.encode(details).decode())
        insert = "INSERT INTO audit_log (at, actor, action, details) VALUES (?, ?, ?, ?)"
        await self._write(lambda db: db.execute(insert, row))

    async def rekey(self) -> int:
        changed = 0
        for table, column in (("dlq_events", "id"), ("workflow_events", "event_id")):
            while some := await self._write(
                lambda db, table=table, column=column: letters.rekey(db, table, column, self._seal)  # type: ignore[misc]
            ):
                changed += some
        return changed

    async def maintain(self) -> None:
        settings = self._settings
        retention, window = settings.retention, settings.duplicate_window
        while await self._write(lambda db: journal.forget(db, retention, window)):
            pass
        await self._submit(self._file.shrink)

    # One transaction each, in the thread.

    async def _record(self, entries: list[Entry]) -> list[Recorded]:
        window = self._settings.duplicate_window
        return await self._write(lambda db: journal.record(db, entries, self._seal, window))

    async def _settle(self, settlements: list[Settlement]) -> list[bool]:
        return await self._write(lambda db: journal.settle(db, settlements, self._seal))

    async def _bury(self, many: list[Sequence[DeadLetter]]) -> list[None]:
        together = [letter for some in many for letter in some]
        await self._write(lambda db: letters.bury(db, together, self._seal))
        return [None] * len(many)

    async def _resolve(self, taken: list[Taken]) -> list[bool]:
        return await self._write(lambda db: letters.resolve(db, taken))

    def _check_keys(self, db: Connection) -> None:
        self._seal.check(letters.keys_in_use(db))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def reading() -> T:
            with self._file.read() as db:
                return work(db)

        return await self._submit(reading)

    async def _write(self, work: Callable[[Connection], T]) -> T:
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
        done, _ = await asyncio.wait((running,), timeout=self._settings.timeout)
        if not done:
            running.add_done_callback(_forget)
            self._ready = False
            raise StoreError("slow", "the database did not commit in time")
        try:
            return running.result()
        except StoreError:
            self._ready = False
            raise


def _touch(db: Connection) -> None:
    db.execute("UPDATE schema_version SET name = name WHERE version = 1")


def _weight(entry: Entry) -> int:
    return entry.weight


def _one(_: object) -> int:
    return 1


def _forget(running: asyncio.Future[T]) -> None:
    """Nobody waits for its exception any more."""
    if not running.cancelled():
        running.exception()
