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
    """The breaker of one destination in one worker."""

    def __init__(self, failures: int, successes: int, pause: float) -> None:
        self._failures = failures
        self._successes = successes
        self._pause = pause
        self._row = 0  # failures while closed, good probes while half-open
        self._until = 0.0
        self._probing = False
        self._state = State.CLOSED

    def state(self, now: float) -> State:
        """What it is; an open one becomes half-open by time alone."""
        if self._state is State.OPEN and now >= self._until:
            self._state, self._row, self._probing = State.HALF_OPEN, 0, False
        return self._state

    def admits(self, now: float) -> bool:
        """Whether a call may begin. One that may has to be told of with `good` or `bad`."""
        state = self.state(now)
        if state is State.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        return state is State.CLOSED

    def good(self, now: float) -> None:
        """A call went well."""
        if self.state(now) is State.CLOSED:
            self._row = 0
        elif self._state is State.HALF_OPEN:
            self._row, self._probing = self._row + 1, False
            if self._row >= self._successes:
                self._state, self._row = State.CLOSED, 0

    def bad(self, now: float) -> None:
        """A call failed in a way that says the destination is unwell."""
        state, self._row = self.state(now), self._row + 1
        if state is State.HALF_OPEN or (state is State.CLOSED and self._row >= self._failures):
            self._state, self._row, self._until = State.OPEN, 0, now + self._pause
