"""The shared-memory block through which the processes know of each other.

A slab for each process, written by that process alone: heartbeat, state, connections, every
counter. The retired slab is the supervisor's: counts of the dead, and its own. The block is made
before the first fork, so that all processes see the same pages.
"""

import os
import time
from bisect import bisect_left
from mmap import mmap

from msgspec import Struct

from fifhir.families import BUCKETS, MLLP_OPEN, PROCESSED
from fifhir.metrics import (
    CONNECTIONS,
    HEADER,
    HEARTBEAT,
    IN_FLIGHT,
    LAG,
    PID,
    STARTED,
    STATE,
    Catalogue,
)

FREE, STARTING, READY, DRAINING = range(4)
STATES = ("free", "starting", "ready", "draining")

STALE = 0.1  # seconds without a heartbeat after which the accept gate no longer waits for a worker
PATIENCE = 200  # looks at a block that changes under the reader, half a millisecond apart

_SEQUENCE, _SPAN, _STARTED, _SUPERVISOR = range(4)


class Row(Struct, frozen=True):
    """What `/status` tells about one worker."""

    slot: int
    pid: int
    state: str
    connections: int
    in_flight: int
    events_total: int
    heartbeat_age_seconds: float
    lag_seconds: float


class Slab:
    """One process's numbers. Only that process writes them, so no update can be lost."""

    __slots__ = ("words",)

    def __init__(self, words: "memoryview[float]") -> None:
        self.words = words

    def add(self, slot: int, amount: float = 1.0) -> None:
        self.words[slot] += amount

    def set(self, slot: int, value: float) -> None:
        self.words[slot] = value

    def observe(self, base: int, value: float, bounds: tuple[float, ...] = BUCKETS) -> None:
        """One more value is in the histogram that begins at `base` and has these buckets."""
        words = self.words
        words[base + bisect_left(bounds, value)] += 1.0
        words[base + len(bounds) + 1] += value

    def beat(self, now: float) -> None:
        self.words[HEARTBEAT] = now

    @property
    def heartbeat(self) -> float:
        return self.words[HEARTBEAT]

    @property
    def pid(self) -> int:
        return int(self.words[PID])

    @property
    def state(self) -> int:
        return int(self.words[STATE])

    @state.setter
    def state(self, state: int) -> None:
        self.words[STATE] = state

    @property
    def connections(self) -> int:
        return int(self.words[CONNECTIONS])

    @connections.setter
    def connections(self, count: int) -> None:
        self.words[CONNECTIONS] = count

    @property
    def in_flight(self) -> int:
        return int(self.words[IN_FLIGHT])

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self.words[IN_FLIGHT] = count


class Scoreboard:
    """`slots` slabs for workers, then the operations process's, then the retired one."""

    def __init__(self, catalogue: Catalogue, slots: int) -> None:
        self.catalogue = catalogue
        self.slots = slots
        self.operations = slots
        size = catalogue.size
        words = memoryview(mmap(-1, 8 * (HEADER + size * (slots + 2)))).cast("d")
        self._head = words[:HEADER]
        starts = range(HEADER, len(words), size)
        *self._slabs, self.retired = (Slab(words[start : start + size]) for start in starts)
        self._head[_STARTED] = time.monotonic()
        self._head[_SUPERVISOR] = os.getpid()

    def slab(self, slot: int) -> Slab:
        return self._slabs[slot]

    def claim(self, slot: int, now: float) -> Slab:
        """The slot is a starting process's; `pid` is written by the process itself."""
        slab = self._slabs[slot]
        slab.words[HEARTBEAT] = slab.words[STARTED] = now
        slab.words[STATE] = STARTING
        if slot != self.operations:
            self._head[_SPAN] = max(self._head[_SPAN], slot + 1)
        return slab

    def own(self, slot: int) -> Slab:
        """The slot carries the pid of the calling process."""
        slab = self._slabs[slot]
        slab.words[PID] = os.getpid()
        return slab

    def free(self) -> int | None:
        """The lowest slot no worker has, or None when all are taken."""
        taken = (slab.state != FREE for slab in self._slabs[: self.slots])
        return next((slot for slot, busy in enumerate(taken) if not busy), None)

    def fold(self, slot: int) -> None:
        """A dead process's counts are in the retired slab, its gauges are gone, its slot is free.

        An odd sequence number tells a concurrent reader that the block is in between.
        """
        dead, retired = self._slabs[slot].words, self.retired.words
        self._head[_SEQUENCE] += 1
        for index in self.catalogue.slots("counter", "histogram"):
            retired[index] += dead[index]
        dead[:] = memoryview(bytes(dead.nbytes)).cast("d")
        self._head[_SEQUENCE] += 1

    def totals(self) -> list[float]:
        """Every slot over all processes, the dead ones' counts included; never half a fold."""
        for _ in range(PATIENCE):
            before = self._head[_SEQUENCE]
            slabs = [slab.words.tolist() for slab in self._slabs if slab.state != FREE]
            slabs.append(self.retired.words.tolist())
            if before % 2 == 0 and self._head[_SEQUENCE] == before:
                break
            time.sleep(0.0005)
        totals = [sum(column) for column in zip(*slabs, strict=True)]
        for slot in self.catalogue.slots("max"):
            totals[slot] = max(slab[slot] for slab in slabs)
        return totals

    def least(self, now: float, count: int = CONNECTIONS) -> float:
        """The fewest connections any serving worker has; infinite if none is known to serve.

        `count` is the word of a slab that holds the number of one kind of connection.
        A worker that has not been heard of lately is left out, else a hung one would keep all
        others from accepting.
        """
        least = float("inf")
        for slab in self._slabs[: int(self._head[_SPAN])]:
            words = slab.words
            if words[STATE] == READY and now - words[HEARTBEAT] < STALE:
                least = min(least, words[count])
        return least

    def uptime(self) -> float:
        """Seconds since the block was made."""
        return time.monotonic() - self._head[_STARTED]

    def serving(self) -> int:
        """How many workers serve now."""
        return sum(slab.state == READY for slab in self._slabs[: self.slots])

    @property
    def supervisor(self) -> int:
        """The supervisor's pid."""
        return int(self._head[_SUPERVISOR])

    def rows(self) -> list[Row]:
        """One row for each worker there is, in the order of the slots."""
        now, events = time.monotonic(), tuple(self.catalogue.series[PROCESSED].values())
        framed = tuple(self.catalogue.series[MLLP_OPEN].values())
        return [
            Row(
                slot=slot,
                pid=slab.pid,
                state=STATES[slab.state],
                connections=slab.connections + int(sum(slab.words[each] for each in framed)),
                in_flight=slab.in_flight,
                events_total=int(sum(slab.words[event] for event in events)),
                heartbeat_age_seconds=round(now - slab.heartbeat, 3),
                lag_seconds=round(slab.words[LAG], 6),
            )
            for slot, slab in enumerate(self._slabs[: self.slots])
            if slab.state != FREE
        ]
