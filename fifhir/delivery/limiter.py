"""A token bucket: how many calls a second, and how many at once."""


class Limiter:
    """The bucket of one action in one worker; it starts full. Time is given from outside."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._seen = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next call may begin; 0 if it may now."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def take(self, now: float) -> float:
        """A call is reserved; the seconds it has to wait for its turn."""
        waiting = self.wait(now)
        self._tokens -= 1.0
        return waiting

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._seen) if self._seen else 0.0
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._seen = now
