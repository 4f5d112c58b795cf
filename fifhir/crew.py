"""Seats to be filled, the processes that hold them, and how soon a seat is filled again."""

import random
import signal
from dataclasses import dataclass, field

from fifhir.child import Body
from fifhir.families import CAUSES, OTHER

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds between the ends of a crash loop
NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Seat:
    """A place that is to be filled from `due` on; `streak` counts early ends in a row."""

    child: "Child | None" = None
    streak: int = 0
    due: float = 0.0

    def postpone(self, now: float, *, accident: bool = False) -> None:
        """The seat is due at once after an accident or a first early end, then ever later."""
        self.streak = 0 if accident else self.streak + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.streak - 2, 20))
        jitter = random.uniform(0.75, 1.0)  # noqa: S311  # so that seats do not fall into step
        self.due = now if self.streak <= 1 else now + pause * jitter


@dataclass(slots=True, eq=False)
class Child:
    """A process. `heard` is when its heartbeat last changed, on our own clock."""

    pid: int
    slot: int
    seat: Seat
    heard: float
    beat: float
    serving_since: float = NEVER
    kill_at: float = NEVER
    hung: bool = False

    def cause(self, code: int) -> str:
        """Why it ended, as a label of the respawn counter."""
        if self.hung:
            return "watchdog"
        if code >= 0:
            return "exit"
        return next((name for name in CAUSES if getattr(signal, name, None) == -code), OTHER)


@dataclass(slots=True, eq=False)
class Crew:
    """Seats whose holders all do the same."""

    body: Body
    seats: list[Seat] = field(default_factory=list)
    failed: bool = False

    @classmethod
    def of(cls, body: Body, size: int) -> "Crew":
        return cls(body, [Seat() for _ in range(size)])

    def children(self) -> list[Child]:
        return [seat.child for seat in self.seats if seat.child]
