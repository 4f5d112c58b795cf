"""Interleaved measurement: every contender once a round, A B C … A B C …, in CPU time.

A machine's speed wanders by a third from minute to minute, so figures of different minutes do
not compare. Within one round they do: a ratio here is the median over the rounds of the ratio
within each round.
"""

import gc
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

Loop = Callable[[int], object]


@dataclass
class Contender:
    """Something that does one unit of work `times` times, and what one unit cost in each round."""

    name: str
    makes: str
    loop: Loop
    nanoseconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.nanoseconds)

    @property
    def best(self) -> float:
        return min(self.nanoseconds)

    def times(self, other: "Contender") -> float:
        """How many times dearer than `other`: the median of the ratios within each round."""
        pairs = zip(self.nanoseconds, other.nanoseconds, strict=True)
        return median(mine / theirs for mine, theirs in pairs)


def repeat(work: Callable[[], object]) -> Loop:
    """A loop around a Python callable."""

    def loop(times: int) -> None:
        for _ in range(times):
            work()

    return loop


def run(contenders: Sequence[Contender], rounds: int, seconds: float) -> None:
    """Fill in every contender's `nanoseconds`, one figure a round, each over about `seconds`."""
    counts = [_count(contender.loop, seconds) for contender in contenders]
    gc.collect()
    gc.freeze()  # as the daemon does before it forks
    for _ in range(rounds):
        for contender, count in zip(contenders, counts, strict=True):
            contender.nanoseconds.append(_cost(contender.loop, count))
    gc.unfreeze()


def _count(loop: Loop, seconds: float) -> int:
    """How often the work is done in about `seconds`; at least once."""
    count = 1
    while (cost := _cost(loop, count) * count / 1e9) < seconds / 8:
        count *= 4
    return max(1, round(count * seconds / cost))


def _cost(loop: Loop, count: int) -> float:
    """CPU nanoseconds for one unit of work, all threads of the process."""
    start = time.process_time_ns()
    loop(count)
    return max(1, time.process_time_ns() - start) / count


@contextmanager
def pinned(core: int) -> Iterator[str]:
    """Keep this process on one core if the machine allows it; yields what came of it, in words."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
        words = f"pinned to core {core}"
    except OSError:
        words = "not pinned"
    try:
        yield words
    finally:
        os.sched_setaffinity(0, before)


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    return {
        "processor": _processor(),
        "cores": str(len(cores())),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
