"""The transactions of Postgres: for any number of machines."""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from fifhir.errors import StoreError
from fifhir.store import Deed, Settlement
from fifhir.store.config import DAY, Database
from fifhir.store.postgres import journal, letters
from fifhir.store.postgres.session import Connection, Session
from fifhir.store.rows import deed_of
from fifhir.store.sealing import Seal

T = TypeVar("T")
P = ParamSpec("P")
Statements: TypeAlias = Callable[Concatenate[Connection, P], Awaitable[T]]
Transaction: TypeAlias = Callable[Concatenate["Shared", P], Coroutine[Any, Any, T]]
_OWN = ("overload",)  # says nothing of the database


def _reads(work: Statements[P, T]) -> Transaction[P, T]:
    """The statements of `work`, which only read, over a connection of the pool."""

    async def reading(self: "Shared", /, *args: P.args, **named: P.kwargs) -> T:
        async with self.session.connection() as db:
            return await work(db, *args, **named)

    return reading


def _writes(work: Statements[P, T]) -> Transaction[P, T]:
    """The statements of `work` as one transaction."""

    async def writing(self: "Shared", /, *args: P.args, **named: P.kwargs) -> T:
        with self.looking():
            async with self.session.transaction() as db:
                return await work(db, *args, **named)

    return writing


def _commits(work: Statements[P, T]) -> Transaction[P, T]:
    """Each statement of `work` by itself: it says itself what its commit waits for.

    So what is done for every message costs one round to the server instead of three.
    """

    async def committing(self: "Shared", /, *args: P.args, **named: P.kwargs) -> T:
        with self.looking():
            async with self.session.connection() as db:
                return await work(db, *args, **named)

    return committing


async def _touch(db: Connection) -> None:
    await db.execute("UPDATE schema_version SET name = name WHERE version = 1")


async def _now(db: Connection) -> float:
    return float(await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))


async def _audit(db: Connection, who: str, what: str, details: str) -> None:
    insert = "INSERT INTO audit_log (actor, action, details) VALUES ($1, $2, $3)"
    await db.execute(insert, who, what, details)


async def _audited(db: Connection, since: float, limit: int) -> list[Deed]:
    rows = await db.fetch(
        "SELECT extract(epoch FROM at)::float8, actor, action, details::text FROM audit_log "
        "WHERE at >= to_timestamp($1) ORDER BY id DESC LIMIT $2",
        *(since, limit),
    )
    return [deed_of(*row) for row in rows]


async def _vacuum(db: Connection) -> None:
    await db.execute("VACUUM dlq_events")


class Shared:
    """The database, over at most `share` connections of this process."""

    def __init__(self, database: Database, share: int, timeout: float) -> None:
        self.session = Session(database, share, timeout)
        self.ready = False

    touch = _writes(_touch)
    now = _reads(_now)
    record = _commits(journal.record)
    claim = _commits(journal.claim)
    renew = _writes(journal.renew)
    _settle = _commits(journal.settle)
    _settle_with_letters = _writes(journal.settle)
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
    _make_partition = _writes(journal.make_partition)
    _partitions = _reads(journal.partitions)
    _drop_partition = _writes(journal.drop_partition)
    _sweep = _writes(journal.sweep)
    _forget = _writes(journal.forget)
    _vacuum = _reads(_vacuum)

    @property
    def pool(self) -> tuple[int, int]:
        return self.session.pool

    async def open(self) -> None:
        await self.session.open()
        await self._make_partitions()

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """What is done here shows whether the database takes what is given to it."""
        try:
            yield
        except StoreError as fault:
            self.ready = self.ready and fault.kind in _OWN
            raise
        self.ready = True

    async def settle(self, settlements: Sequence[Settlement], seal: Seal) -> list[bool]:
        some = any(each.letters for each in settlements)
        settle = self._settle_with_letters if some else self._settle
        return await settle(settlements, seal)

    async def close(self) -> None:
        await self.session.close()
        self.ready = False

    async def forget(self, retention: float, window: float) -> None:
        await self._make_partitions()
        for name, days in (await self._partitions()).items():
            if days * DAY >= retention:
                await self._drop_partition(name)
        await self._sweep(retention)
        while await self._forget(window):
            pass

    async def shrink(self) -> None:
        with contextlib.suppress(StoreError):  # it is deleted; autovacuum comes by as well
            await self._vacuum()

    async def _make_partitions(self) -> None:
        for ahead in range(journal.AHEAD):
            await self._make_partition(ahead)
