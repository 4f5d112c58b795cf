"""What every ingress counts of an event that ran."""

from collections.abc import Callable
from time import monotonic

from fifhir.intake import Feed, opened
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.unread import counts
from fifhir.workflow.engine import TRANSFORM
from fifhir.workflow.outcome import ActionResult, Outcome
from fifhir.written import Written

PAUSE = 0.1  # seconds between two messages that are looked at; all of them on a quiet feed


def count(slab: Slab, catalogue: Catalogue, written: Written, outcome: Outcome) -> None:
    """The event and each of its actions are in the metrics."""
    slab.add(catalogue.event(written.type, written.source, outcome.success))
    if outcome.undecided:
        slab.add(catalogue.error("filter"), outcome.undecided)
    for each in outcome.actions:
        slab.observe(catalogue.action(each.action, each.route), each.duration_ms / 1000)
        if each.status in {"kept", "failed"}:
            slab.add(catalogue.action_error(each.action, each.route, each.error_type))
            slab.add(catalogue.error(_stage(each)))


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


def _stage(result: ActionResult) -> str:
    if result.status == "failed":
        return "dlq"
    return TRANSFORM if result.error_type == TRANSFORM else "action"
