"""What every ingress looks at in a sample of its messages."""

from collections.abc import Callable
from time import monotonic

from fifhir.intake import Feed, opened
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.unread import counts

PAUSE = 0.1  # seconds between two messages that are looked at; all of them on a quiet feed


class Sampler:
    """Counts the values that no rule reads, of at most one message each `PAUSE`.

    So it costs a worker a thousandth of its time at most, however many messages there are.
    """

    def __init__(
        self, catalogue: Catalogue, slab: Slab, clock: Callable[[], float] = monotonic
    ) -> None:
        self._catalogue = catalogue
        self._slab = slab
        self._clock = clock
        self._due = 0.0

    def look(self, raw: bytes, feed: Feed, event_type: str) -> None:
        """Perhaps count this message, which has become an event of that type."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + PAUSE
        self._slab.add(self._catalogue.looked)
        message, profile = opened(raw, feed)
        for segment, count in counts(message, event_type, profile).items():
            self._slab.add(self._catalogue.unread(segment), count)
