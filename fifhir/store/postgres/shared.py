"""The store in Postgres: for any number of machines."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from fifhir.errors import StoreError
from fifhir.store import ALL, Claim, Count, DeadLetter, Entry, Query, Recorded, Settlement, Taken
from fifhir.store.capacity import Capacity
from fifhir.store.config import DAY, Database, StoreSettings
from fifhir.store.groups import Group
from fifhir.store.postgres import journal, letters
from fifhir.store.postgres.session import Connection, Session
from fifhir.store.sealing import Seal

T = TypeVar("T")
_OWN = ("overload",)  # says nothing of the database


class PostgresStore:
    """`Store` over Postgres, with at most `share` connections."""

    def __init__(
        self, database: Database, settings: StoreSettings, most_letters: int, share: int
    ) -> None:
        self._settings = settings
        self._capacity = Capacity(most_letters)
        self._seal = Seal(settings.encryption_keys.reveal())
        self._session = Session(database, share, settings.timeout)
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
        await self._session.open()
        self._seal.check(await self._read(letters.keys_in_use))
        await self._make_partitions()
        await self.health()

    async def close(self) -> None:
        for group in (self._entries, self._settlements, self._burials, self._resolved):
            await group.drain()
        await self._session.close()
        self._ready = False

    async def health(self) -> None:
        await self._write(_touch)

    async def now(self) -> float:
        return await self._read(_now)

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
            with contextlib.suppress(StoreError):  # it is deleted; autovacuum comes by as well
                await self._read(_vacuum)
        return purged

    # The rest.

    async def audit(self, who: str, what: str, details: Mapping[str, object]) -> None:
        row = (who, what, msgspec.json.encode(details).decode())
        insert = "INSERT INTO audit_log (actor, action, details) VALUES ($1, $2, $3)"
        await self._write(lambda db: db.execute(insert, *row))

    async def rekey(self) -> int:
        return await self._rekey("dlq_events", "id") + await self._rekey(
            "workflow_events", "event_id"
        )

    async def maintain(self) -> None:
        await self._make_partitions()
        retention = self._settings.retention
        for name, days in (await self._read(journal.partitions)).items():
            if days * DAY >= retention:
                await self._write(lambda db, name=name: journal.drop_partition(db, name))  # type: ignore[misc]
        await self._write(lambda db: journal.sweep(db, retention))
        window = self._settings.duplicate_window
        while await self._write(lambda db: journal.forget(db, window)):
            pass

    async def _rekey(self, table: str, column: str) -> int:
        changed = 0
        while some := await self._write(lambda db: letters.rekey(db, table, column, self._seal)):
            changed += some
        return changed

    async def _make_partitions(self) -> None:
        for ahead in range(journal.AHEAD):
            await self._write(lambda db, ahead=ahead: journal.make_partition(db, ahead))  # type: ignore[misc]

    # One transaction each.

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

    async def _read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._session.connection() as db:
            return await work(db)

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with self._session.transaction() as db:
                result = await work(db)
        except StoreError as fault:
            self._ready = self._ready and fault.kind in _OWN
            raise
        self._ready = True
        return result


async def _touch(db: Connection) -> None:
    await db.execute("UPDATE schema_version SET name = name WHERE version = 1")


async def _now(db: Connection) -> float:
    return float(await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))


async def _vacuum(db: Connection) -> None:
    await db.execute("VACUUM dlq_events")


def _weight(entry: Entry) -> int:
    return entry.weight


def _one(_: object) -> int:
    return 1
