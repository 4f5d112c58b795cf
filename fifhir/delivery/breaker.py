"""A circuit breaker: a destination that fails is left alone for a while.

Closed, it counts failed calls in a row; open, it lets none through; after a while it is half-open
and lets one probe at a time through, until enough in a row were good. One call is one try, not a
loop of them. Time is given from outside, in seconds of a clock that never goes back.
"""

from enum import IntEnum


class State(IntEnum):
    """The numbers of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """The breaker of one destination in one worker.

    A call that may begin gets a pass, which its end has to show: what began before the state
    changed says nothing about the destination as it is now.
    """

    def __init__(self, failures: int, successes: int, pause: float) -> None:
        self._failures = failures
        self._successes = successes
        self._pause = pause
        self._row = 0  # failures while closed, good probes while half-open
        self._until = 0.0
        self._probing = False
        self._state = State.CLOSED
        self._pass = 1  # of the state that is now

    def state(self, now: float) -> State:
        """What it is; an open one becomes half-open by time alone."""
        if self._state is State.OPEN and now >= self._until:
            self._become(State.HALF_OPEN)
        return self._state

    def enter(self, now: float) -> int:
        """The pass of a call that may begin, 0 if none may. Its end is told by `good` or `bad`."""
        match self.state(now):
            case State.OPEN:
                return 0
            case State.HALF_OPEN if self._probing:
                return 0
            case State.HALF_OPEN:
                self._probing = True
        return self._pass

    def good(self, shown: int) -> None:
        """A call went well."""
        if shown != self._pass:
            return
        if self._state is State.CLOSED:
            self._row = 0
            return
        self._probing = False
        self._row += 1
        if self._row >= self._successes:
            self._become(State.CLOSED)

    def bad(self, shown: int, now: float) -> None:
        """A call failed in a way that says the destination is unwell."""
        if shown != self._pass:
            return
        self._row += 1
        if self._state is State.HALF_OPEN or self._row >= self._failures:
            self._become(State.OPEN)
            self._until = now + self._pause

    def _become(self, state: State) -> None:
        self._state, self._row, self._probing = state, 0, False
        self._pass += 1
