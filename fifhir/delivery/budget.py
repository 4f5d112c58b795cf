"""How many tries may be repeats: what is down is not helped by being asked four times as often."""

SHARE = 0.2  # of all first tries
RESERVE = 10.0  # repeats that are always there after a quiet while
REFILL = 1.0  # repeats a second that come back however little there is to do


class Budget:
    """The repeats that one destination may still be asked for, in one worker."""

    def __init__(self) -> None:
        self._left = RESERVE
        self._seen = 0.0

    def first(self) -> None:
        """A delivery begins."""
        self._left = min(RESERVE, self._left + SHARE)

    def repeat(self, now: float) -> bool:
        """Whether one more try is within the budget; if so it is taken."""
        if self._seen:
            self._left = min(RESERVE, self._left + REFILL * max(0.0, now - self._seen))
        self._seen = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
