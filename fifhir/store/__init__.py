"""What must not be lost: the journal of accepted messages, the dead letters, and the audit log.

`Store` is what the rest of the house knows; `store/sqlite/` and `store/postgres/` keep it, and one
set of tests holds them equal. A method that writes returns once the database has confirmed a
synchronous commit, and raises StoreError if that is in any doubt. Times are seconds since 1970 by
the database's clock, which is the only clock that leases go by.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol, TypeAlias

from msgspec import Struct, structs


class Entry(Struct, frozen=True, kw_only=True, dict=True):
    """One accepted message, to be delivered from the journal, unless it is not `wanted`.

    Entries with the same `order_key` are delivered in the order they were recorded; with an empty
    one in no order. `tenant`, `application` (MSH-3), `facility` (MSH-4) and `control_id` (MSH-10)
    tell a repeat of the same bytes, whose SHA-256 is `digest`; without a control id none is looked
    for. `answer` is what the sender is told, now and at every repeat.
    """

    event_id: str
    event_type: str
    source: str
    order_key: str
    raw: bytes
    event: bytes
    answer: bytes = b""
    tenant: str = ""
    application: str = ""
    facility: str = ""
    control_id: str = ""
    digest: bytes = b""
    wanted: bool = True
    trace: str = ""
    """A traceparent, if its event's id does not say as much (`fifhir.tracing`)."""

    @cached_property
    def identity(self) -> bytes | None:
        """Sixteen bytes that stand for who sent it under which control id."""
        if not self.control_id:
            return None
        parts = (self.tenant, self.application, self.facility, self.control_id)
        return hashlib.sha256("\0".join(parts).encode(errors="replace")).digest()[:16]

    @property
    def lane(self) -> str:
        """The order key, or one of a few that entries without one are spread over."""
        return self.order_key or f"~{zlib.crc32(self.event_id.encode(errors='replace')) % 32}"

    @property
    def weight(self) -> int:
        """Bytes, about."""
        return len(self.raw) + len(self.event) + len(self.answer)


class Fresh(Struct, frozen=True):
    """The entry is in the journal. `reused`: other bytes came under the same control id before."""

    reused: bool = False


class Repeat(Struct, frozen=True):
    """The same message was recorded before; nothing was written. This was its answer."""

    answer: bytes


Recorded: TypeAlias = Fresh | Repeat


class Pending(Struct, frozen=True, kw_only=True):
    """An entry to deliver. `attempts` counts the tries begun, with the one about to begin."""

    number: int
    event_id: str
    event_type: str
    source: str
    raw: bytes
    event: bytes
    recorded_at: float
    attempts: int
    trace: str = ""


class Claim(Struct, frozen=True):
    """The next entries of one order key, for their one owner to deliver one after another.

    `token` is the fence: whoever claims the key after this lease has run out gets another one,
    and what the earlier owner then settles is refused.
    """

    order_key: str
    token: int
    entries: tuple[Pending, ...]


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One action of one route that could not be carried out, with all it takes to do so later.

    `raw` are the whole original bytes (empty if there were none) and `event` is the JSON that the
    `raw` are the whole original bytes (empty if there were none) and `event` is the JSON that the
    action would have received. There is at most one letter for an event, route and index: burying
    it again adds to its attempts. `trace` is the traceparent of the delivery that failed. While
    there is a letter that `blocks` an order key, nothing else of that key is handed out. The times
    are set by the store.
    """

    id: str
    event_id: str
    event_type: str
    source: str
    route: str
    action: str
    action_index: int
    key: str
    raw: bytes
    event: bytes
    error: str
    error_type: str
    attempts: int = 1
    blocks: str = ""
    trace: str = ""
    first_failed_at: float = 0.0
    last_failed_at: float = 0.0

    @property
    def weight(self) -> int:
        """Bytes, about."""
        return len(self.raw) + len(self.event)


class Settlement(Struct, frozen=True):
    """What came of a claim's entries: the numbers of those that are done, and dead letters.

    `release`: that was all of it, and others may claim the order key.
    """

    claim: Claim
    done: tuple[int, ...]
    letters: tuple[DeadLetter, ...]
    release: bool


class Taken(Struct, frozen=True):
    """A dead letter that nobody else replays until its lease has run out; `token` is the fence."""

    letter: DeadLetter
    token: int


class Query(Struct, frozen=True, kw_only=True):
    """Which dead letters: those that last failed from `since` to before `until`, and so on.

    What is empty does not choose.
    """

    since: float = 0.0
    until: float = 0.0
    route: str = ""
    event_types: tuple[str, ...] = ()
    error_type: str = ""
    ids: tuple[str, ...] = ()


class Count(Struct, frozen=True, kw_only=True):
    """How many letters share a route, an action, an event type and an error type."""

    route: str
    action: str
    event_type: str
    error_type: str
    letters: int
    oldest: float
    newest: float


class Deed(Struct, frozen=True, kw_only=True):
    """One row of the audit log: who did what when, in seconds since 1970."""

    at: float
    who: str
    what: str
    details: dict[str, object]


ALL = Query()
MOST_COUNTED = 10_000  # entries that wait; past that nobody needs to know how many more


def text(value: str) -> str:
    """The text as both databases can hold it: no NUL, no half of a surrogate pair."""
    if value.isascii() and "\0" not in value:
        return value
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")


def merged(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """The letters with those of the same action made one, in an order all processes share."""
    known: dict[tuple[str, str, int], DeadLetter] = {}
    for letter in letters:
        place = (letter.event_id, letter.route, letter.action_index)
        before = known.get(place)
        attempts = letter.attempts + (before.attempts if before else 0)
        known[place] = structs.replace(letter, attempts=attempts)
    return [known[place] for place in sorted(known)]


class Store(Protocol):
    """One process's door to the database; opened after the fork, in the loop that uses it."""

    @property
    def ready(self) -> bool:
        """Whether the last thing asked of the database was done."""

    async def open(self) -> None:
        """The schema is the one this release knows, made or migrated if need be."""

    async def close(self) -> None:
        """What was being committed is committed; nothing is held any more."""

    async def health(self) -> None:
        """The database takes writes; StoreError says why not. Sets `ready`."""

    async def now(self) -> float:
        """The database's clock."""

    async def record(self, entry: Entry) -> Recorded:
        """The entry is durably in the journal, once; committed together with whatever waited."""

    async def record_all(self, entries: Sequence[Entry]) -> list[Recorded]:
        """All entries are in the journal, each once and in their order; or none of them."""

    async def claim(self, keys: int, entries: int, lease: float) -> list[Claim]:
        """Up to `keys` order keys with up to `entries` each, nobody else's for `lease` seconds.

        The attempt at each claim's first entry is counted and committed before this returns. After
        an owner has vanished with its lease, the entries it held come one at a time, so that the
        one it died of is found by its attempts.
        """

    async def renew(self, claim: Claim, lease: float) -> bool:
        """The claim holds for `lease` seconds from now; False: it is somebody else's."""

    async def settle(
        self,
        claim: Claim,
        done: Sequence[int],
        letters: Sequence[DeadLetter] = (),
        *,
        release: bool = False,
    ) -> bool:
        """The entries of these numbers are done and the letters buried, in one transaction.

        With `release` the claim has ended too, as `release` ends it. False: the claim was lost and
        nothing was written; whoever has it now delivers them.
        """

    async def release(self, claim: Claim, delay: float = 0.0, *, given_back: bool = False) -> None:
        """Others may claim the order key, no sooner than `delay` seconds from now.

        `given_back`: nothing came of the claim, but nobody died of it; the attempt is not counted.
        """

    async def backlog(self) -> tuple[int, float]:
        """How many entries wait, counted up to `MOST_COUNTED`; seconds the oldest of them has."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """All letters are in the dead letter queue."""

    async def count(self, query: Query = ALL) -> int:
        """How many letters there are."""

    async def find(self, query: Query = ALL, limit: int = 100) -> list[DeadLetter]:
        """The letters that failed last, latest first, with `raw` and `event` left empty."""

    async def get(self, id_: str) -> DeadLetter | None:
        """The whole letter."""

    async def stats(self, query: Query = ALL) -> list[Count]:
        """The letters counted by what they share, most first."""

    async def take(self, query: Query, limit: int, lease: float) -> list[Taken]:
        """Letters to replay, oldest first, nobody else's for `lease` seconds."""

    async def keep(self, taken: Sequence[Taken], lease: float) -> None:
        """These letters, unless somebody else has them by now, are held `lease` seconds more."""

    async def resolve(self, taken: Taken) -> bool:
        """The action was carried out and the letter is gone; False: it was somebody else's."""

    async def fail_again(self, taken: Taken, error: str, error_type: str) -> bool:
        """One more attempt failed, and the letter may be taken again."""

    async def put_back(self, taken: Sequence[Taken]) -> None:
        """The letters were not tried and may be taken again."""

    async def purge(self, query: Query, tell: Callable[[int], None] = ...) -> int:
        """The letters are deleted, and their space is given back; how many there were.

        `tell` is given how many more there were after each part of it.
        """

    async def audit(self, who: str, what: str, details: Mapping[str, object]) -> None:
        """The audit log says so. `details` hold no field's value."""

    async def audited(self, since: float, limit: int) -> list[Deed]:
        """What the audit log says from then on, latest first."""

    async def rekey(self, tell: Callable[[int], None] = ...) -> int:
        """Everything is encrypted with the newest key; how many rows had another, or none."""

    async def maintain(self) -> None:
        """What has outlived its time is gone, and its space with it. Often enough: hourly."""
