"""What a store shows of its work, and what it keeps of a trace, over both databases."""

import asyncio
from collections import Counter

import pytest

from fifhir.errors import StoreError
from fifhir.store import ALL, Store
from fifhir.store.config import StoreSettings
from fifhir.store.opening import store
from tests.stores import Loop, Place, entry, letter

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Seen:
    """Remembers what it is shown."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.faults: list[str] = []
        self.waits: dict[str, int] = {}
        self.pool = (0, 0)

    def committed(self, what: str, rows: int, seconds: float) -> None:
        assert seconds >= 0
        self.rows[what] += rows
        self.commits[what] += 1

    def waiting(self, what: str, count: int) -> None:
        self.waits[what] = count

    def store_failed(self, kind: str) -> None:
        self.faults.append(kind)

    def pooled(self, open_: int, idle: int) -> None:
        self.pool = (open_, idle)


def watched(place: Place, seen: Seen, **settings: float) -> Store:
    given = StoreSettings(**{"data_dir": str(place.folder), "timeout": 30.0, **settings})  # type: ignore[arg-type]
    return store(place.database, given, 100, 5, seen)


def test_commits_are_shown_with_their_rows(place: Place, do: Loop) -> None:
    seen = Seen()
    opened = do.open(watched(place, seen))

    async def together() -> None:
        await asyncio.gather(*(opened.record(entry(str(number))) for number in range(20)))

    do(together())
    assert seen.rows["journal"] == 20
    assert seen.commits["journal"] < 20
    assert seen.waits["journal"] == 0
    do(opened.bury([letter(1)]))
    assert (seen.rows["dlq"], seen.faults) == (1, [])


def test_what_waits_is_counted_with_the_age_of_the_oldest(place: Place, do: Loop) -> None:
    seen = Seen()
    opened = do.open(watched(place, seen))
    assert do(opened.backlog()) == (0, 0.0)
    for number in range(3):
        do(opened.record(entry(str(number))))
    count, oldest = do(opened.backlog())
    assert (count, 0 <= oldest < 60) == (3, True)
    assert seen.pool[0] >= 1
    [claim] = do(opened.claim(10, 10, 60))
    assert do(opened.settle(claim, [each.number for each in claim.entries]))
    assert do(opened.backlog()) == (0, 0.0)


def test_a_refusal_is_shown_by_its_kind(place: Place, do: Loop) -> None:
    seen = Seen()
    opened = do.open(watched(place, seen, max_waiting=1))

    async def too_many() -> None:
        await asyncio.gather(*(opened.record(entry(str(number))) for number in range(9)))

    with pytest.raises(StoreError):
        do(too_many())
    assert set(seen.faults) == {"overload"}


def test_rows_keep_the_trace_they_belong_to(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1", trace=TRACE)))
    do(opened.record(entry("2")))
    [claim] = do(opened.claim(10, 10, 60))
    assert [each.trace for each in claim.entries] == [TRACE, ""]
    do(opened.bury([letter(1, trace=TRACE)]))
    found = do(opened.get("letter-1"))
    assert found
    assert found.trace == TRACE
    do(opened.bury([letter(1, trace=TRACE.replace("-01", "-00"))]))
    [taken] = do(opened.take(ALL, 10, 60))
    assert taken.letter.trace.endswith("-00")
