"""`Store` over either database: what waits is committed in groups, and what is large in parts.

A database is known by its transactions. What they say is its own affair; when they are run, and
with what together, is said here, once for both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from fifhir.store import (
    ALL,
    Claim,
    Count,
    DeadLetter,
    Deed,
    Entry,
    Query,
    Recorded,
    Settlement,
    Taken,
)
from fifhir.store.capacity import Capacity
from fifhir.store.config import StoreSettings
from fifhir.store.groups import MOST, MOST_BYTES, Common, Group, Signs
from fifhir.store.sealing import Seal

SEALED = (("dlq_events", "id"), ("workflow_events", "event_id"))
"""The tables with what is encrypted, and the column that a row is sealed as."""


class Transactions(Protocol):
    """What a database does for us, each method in one transaction that is durable when it returns.

    Every method raises StoreError, and after one that says something of the database it is not
    `ready` until something went through again.
    """

    @property
    def ready(self) -> bool: ...
    @property
    def pool(self) -> tuple[int, int]:
        """How many connections are open, and how many of them nobody uses."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def touch(self) -> None: ...
    async def now(self) -> float: ...
    async def record(
        self, entries: Sequence[Entry], seal: Seal, window: float, /
    ) -> list[Recorded]: ...
    async def claim(self, keys: int, entries: int, lease: float, seal: Seal, /) -> list[Claim]: ...
    async def renew(self, claim: Claim, lease: float, /) -> bool: ...
    async def settle(self, settlements: Sequence[Settlement], seal: Seal, /) -> list[bool]: ...
    async def release(self, claim: Claim, delay: float, given_back: bool, /) -> None: ...
    async def backlog(self) -> tuple[int, float]: ...
    async def bury(self, letters: Sequence[DeadLetter], seal: Seal, /) -> None: ...
    async def count(self, query: Query, /) -> int: ...
    async def find(self, query: Query, limit: int, /) -> list[DeadLetter]: ...
    async def get(self, id_: str, seal: Seal, /) -> DeadLetter | None: ...
    async def stats(self, query: Query, /) -> list[Count]: ...
    async def take(self, query: Query, limit: int, lease: float, seal: Seal, /) -> list[Taken]: ...
    async def keep(self, taken: Sequence[Taken], lease: float, /) -> None: ...
    async def resolve(self, taken: Sequence[Taken], /) -> list[bool]: ...
    async def fail_again(self, taken: Taken, error: str, error_type: str, /) -> bool: ...
    async def put_back(self, taken: Sequence[Taken], /) -> None: ...
    async def purge(self, query: Query, /) -> int: ...
    async def audit(self, who: str, what: str, details: str, /) -> None: ...
    async def audited(self, since: float, limit: int, /) -> list[Deed]: ...
    async def rekey(self, table: str, column: str, seal: Seal, /) -> int: ...
    async def keys_in_use(self) -> set[str]: ...
    async def forget(self, retention: float, window: float) -> None: ...
    async def shrink(self) -> None: ...


class Books:
    """`Store` over the transactions of a database."""

    def __init__(
        self, database: Transactions, settings: StoreSettings, most_letters: int, signs: Signs
    ) -> None:
        self._signs = signs
        self._database = database
        self._settings = settings
        self._capacity = Capacity(most_letters)
        self._seal = Seal(settings.encryption_keys.reveal())
        common: Common = {
            "waiting": settings.max_waiting,
            "patience": settings.timeout,
            "signs": signs,
        }
        self._entries = Group(self._record, _of_entries, what="journal", **common)
        self._settlements = Group(self._settle, _of_one, what="settle", **common)
        self._burials = Group(self._bury, _of_letters, what="dlq", **common)
        self._resolved = Group(database.resolve, _of_one, what="resolve", **common)

    @property
    def ready(self) -> bool:
        return self._database.ready

    async def open(self) -> None:
        await self._database.open()
        self._seal.check(await self._database.keys_in_use())
        await self.health()

    async def close(self) -> None:
        for group in (self._entries, self._settlements, self._burials, self._resolved):
            await group.drain()
        await self._database.close()

    async def health(self) -> None:
        await self._database.touch()

    async def now(self) -> float:
        return await self._database.now()

    # The journal.

    async def record(self, entry: Entry) -> Recorded:
        return (await self._entries.add((entry,)))[0]

    async def record_all(self, entries: Sequence[Entry]) -> list[Recorded]:
        return await self._entries.add(entries)

    async def claim(self, keys: int, entries: int, lease: float) -> list[Claim]:
        return await self._database.claim(keys, entries, lease, self._seal)

    async def renew(self, claim: Claim, lease: float) -> bool:
        return await self._database.renew(claim, lease)

    async def settle(
        self,
        claim: Claim,
        done: Sequence[int],
        letters: Sequence[DeadLetter] = (),
        *,
        release: bool = False,
    ) -> bool:
        if letters:
            await self._capacity.ask(len(letters), self.count)
        settlement = Settlement(claim, tuple(done), tuple(letters), release)
        return await self._settlements.add(settlement)

    async def backlog(self) -> tuple[int, float]:
        self._signs.pooled(*self._database.pool)
        return await self._database.backlog()

    async def release(self, claim: Claim, delay: float = 0.0, *, given_back: bool = False) -> None:
        await self._database.release(claim, delay, given_back)

    # The dead letters.

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        await self._capacity.ask(len(letters), self.count)
        await self._burials.add(letters)

    async def count(self, query: Query = ALL) -> int:
        found = await self._database.count(query)
        if query == ALL:
            self._capacity.known = found
        return found

    async def find(self, query: Query = ALL, limit: int = 100) -> list[DeadLetter]:
        return await self._database.find(query, limit)

    async def get(self, id_: str) -> DeadLetter | None:
        return await self._database.get(id_, self._seal)

    async def stats(self, query: Query = ALL) -> list[Count]:
        return await self._database.stats(query)

    async def take(self, query: Query, limit: int, lease: float) -> list[Taken]:
        return await self._database.take(query, limit, lease, self._seal)

    async def keep(self, taken: Sequence[Taken], lease: float) -> None:
        await self._database.keep(taken, lease)

    async def resolve(self, taken: Taken) -> bool:
        return await self._resolved.add(taken)

    async def fail_again(self, taken: Taken, error: str, error_type: str) -> bool:
        return await self._database.fail_again(taken, error, error_type)

    async def put_back(self, taken: Sequence[Taken]) -> None:
        await self._database.put_back(taken)

    async def purge(self, query: Query, tell: Callable[[int], None] = lambda some: None) -> int:
        purged = 0
        while some := await self._database.purge(query):
            purged += some
            tell(some)
        if purged:
            await self._database.shrink()
        return purged

    # The rest.

    async def audit(self, who: str, what: str, details: Mapping[str, object]) -> None:
        await self._database.audit(who, what, msgspec.json.encode(details).decode())

    async def audited(self, since: float, limit: int) -> list[Deed]:
        return await self._database.audited(since, limit)

    async def rekey(self, tell: Callable[[int], None] = lambda some: None) -> int:
        changed = 0
        for table, column in SEALED:
            while some := await self._database.rekey(table, column, self._seal):
                changed += some
                tell(some)
        return changed

    async def maintain(self) -> None:
        settings = self._settings
        await self._database.forget(settings.retention, settings.duplicate_window)

    # What groups do, one transaction each.

    async def _record(self, many: Sequence[Sequence[Entry]]) -> list[list[Recorded]]:
        together = [entry for some in many for entry in some]
        window = self._settings.duplicate_window
        came = iter(await self._database.record(together, self._seal, window))
        return [[next(came) for _ in some] for some in many]

    async def _settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._database.settle(settlements, self._seal)

    async def _bury(self, many: Sequence[Sequence[DeadLetter]]) -> list[None]:
        together = [letter for some in many for letter in some]
        await self._database.bury(together, self._seal)
        return [None] * len(many)


# What part of a transaction something takes.


def _of_entries(entries: Sequence[Entry]) -> float:
    return sum([max(1 / MOST, entry.weight / MOST_BYTES) for entry in entries])


def _of_letters(letters: Sequence[DeadLetter]) -> float:
    return sum([max(1 / MOST, each.weight / MOST_BYTES) for each in letters])


def _of_one(_: object) -> float:
    return 1 / MOST
