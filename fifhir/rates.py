"""How often somebody has asked in the minute that runs, counted over all workers.

A block of shared memory made before the first fork: a row for each who is counted, in it a cell
for each worker, which that worker alone writes. A cell holds the minute and the count, so nothing
is ever reset, and what a dead worker counted still counts. Workers that count the same at the same
moment may let through one more each than the limit, and no more than that.
"""

import time
from collections.abc import Callable, Iterable
from mmap import mmap

from msgspec import Struct

MINUTE = 60
SPAN = 1 << 24  # of counts in a cell: minutes since 1970 times this fits a double exactly
NAMED = 1024  # rows of those who are known before they ask
HASHED = 1 << 14  # rows of all others, by a hash that nobody outside can compute
_LINES = b"X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n"


class Ticket(Struct, frozen=True):
    """What is left of a minute's requests; `reset` is when the next begins, since 1970."""

    limit: int
    remaining: int
    reset: int
    over: bool = False

    @property
    def headers(self) -> bytes:
        """As the client is told, each line with its CRLF."""
        told = _LINES % (self.limit, self.remaining, self.reset)
        return b"%bRetry-After: %d\r\n" % (told, self.wait) if self.over else told

    @property
    def wait(self) -> int:
        """Seconds until it is worth asking again."""
        return max(1, min(MINUTE, self.reset - int(time.time())))


class Rates:
    """The block. Whoever is announced by `admit` has a row alone; others may share theirs."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._rows: dict[str, int] = {}
        self._words = memoryview(mmap(-1, 8 * slots * (NAMED + HASHED))).cast("d")

    def admit(self, names: Iterable[str]) -> None:
        """Each of these has a row, which it keeps; to be called before a fork."""
        for name in names:
            if len(self._rows) < NAMED:
                self._rows.setdefault(name, len(self._rows))

    def meter(self, slot: int, clock: Callable[[], float] = time.time) -> "Meter":
        """What the worker in this slot counts with."""
        return Meter(self._words, self._rows, self._slots, slot, clock)


class Meter:
    """One worker's way to count. Rows of the same name are the same to all workers."""

    def __init__(
        self,
        words: "memoryview[float]",
        rows: dict[str, int],
        slots: int,
        slot: int,
        clock: Callable[[], float],
    ) -> None:
        self._words = words
        self._rows = rows
        self._slots = slots
        self._slot = slot
        self._clock = clock

    def take(self, name: str, limit: int) -> Ticket:
        """One more has been counted, unless that would be more than `limit`."""
        minute = int(self._clock()) // MINUTE
        start = self._row(name) * self._slots
        base, reset = minute * SPAN, (minute + 1) * MINUTE
        cells = self._words[start : start + self._slots].tolist()
        count = int(sum(cell - base for cell in cells if base <= cell < base + SPAN))
        if count >= limit:
            return Ticket(limit, 0, reset, over=True)
        mine = cells[self._slot]  # of another minute, even a later one, once the clock was set
        self._words[start + self._slot] = (mine if base <= mine < base + SPAN else base) + 1
        return Ticket(limit, limit - count - 1, reset)

    def _row(self, name: str) -> int:
        row = self._rows.get(name)
        return row if row is not None else NAMED + hash(name) % HASHED
