"""What a worker shows of its work: numbers in its slab, lines in the log, spans for a collector.

Whoever does the work says in a word what it did, and knows nothing of slots, lines and spans.
"""

from collections.abc import Sequence
from time import perf_counter, time

from fifhir.errors import MessageError
from fifhir.families import BREAKER_STATES, FINE, ROWS
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.spans import Spans
from fifhir.workflow.engine import TRANSFORM
from fifhir.workflow.outcome import ActionResult, Outcome
from fifhir.written import Written


class Signs:
    """The signs of one worker.

    Every message gets a line if the log is `chatty`; an action that took `slow` seconds always
    does. Without `spans` nothing is told to a collector.
    """

    def __init__(  # noqa: PLR0913 - each is a place to show something
        self,
        slab: Slab,
        catalogue: Catalogue,
        log: Log,
        *,
        chatty: bool = False,
        slow: float = 0.5,
        spans: Spans | None = None,
    ) -> None:
        self._slab = slab
        self._catalogue = catalogue
        self._log = log
        self._chatty = chatty
        self._slow = slow
        self._spans = spans
        self._stages = catalogue.stages
        self._breakers: dict[str, int] = {}

    # A message's way.

    def parsed(
        self, written: Written, traceparent: str, came: tuple[str, int], began: float
    ) -> None:
        """The event was made of a message since `began`, and belongs to its trace.

        The message `came` over an ingress and has so many bytes.
        """
        now, slab, (ingress, size) = perf_counter(), self._slab, came
        written.traceparent = traceparent
        slab.words[self._catalogue.bytes[ingress]] += size
        slab.observe(self._stages["parse"], now - began, FINE)
        if self._spans:
            trace = written.trace
            told = {"fifhir.message.size": size}
            self._spans.add(
                *("parse", trace, trace.child(1), trace.span_id, (began, now)), attributes=told
            )

    def answered(self, written: Written, ingress: str, began: float) -> None:
        """The message, all of it here since `began`, is about to be answered."""
        now = perf_counter()
        self._slab.observe(self._stages["total"], now - began, FINE)
        if self._spans:
            trace = written.trace
            self._spans.add(
                *("receive", trace, trace.span_id, trace.parent_id, (began, now)),
                kind="server",
                attributes={"fifhir.ingress": ingress},
            )

    def recorded(self, written: Written, began: float) -> None:
        """The event is in the journal since now."""
        now = perf_counter()
        self._slab.observe(self._stages["store"], now - began, FINE)
        if self._spans:
            trace = written.trace
            self._spans.add("store", trace, trace.child(2), trace.span_id, (began, now))

    def arrived(self, seconds: float) -> None:
        """A message came in several reads, the last so long after the first."""
        self._slab.observe(self._stages["receive"], seconds, FINE)

    def claimed(self, recorded_at: float) -> None:
        """A message's actions begin that was recorded then, by the clock on the wall."""
        self._slab.observe(self._stages["journal"], max(0.0, time() - recorded_at), FINE)

    def taken_up(self, what: str, written: Written, began: float) -> None:
        """What the store kept was worked on from then until now; `what` is journal or replay."""
        if self._spans:
            trace = written.trace
            times = began, perf_counter()
            parent = trace.parent_id
            self._spans.add(
                *(what, trace, trace.span_id, parent, times), kind="consumer", link=parent
            )

    def ran(self, written: Written, outcome: Outcome, times: tuple[float, float]) -> None:
        """The event is through the workflow: begun, and its routes found, at these `times`."""
        (began, found), now, slab = times, perf_counter(), self._slab
        slab.observe(self._stages["route"], found - began, FINE)
        slab.observe(self._stages["deliver"], now - found, FINE)
        self._count(written, outcome)
        if now - found >= self._slow:
            self._tell_slow(written, outcome)
        if self._chatty:
            self._tell(written, outcome, now - began)
        if self._spans:
            self._spans.ran(written, outcome, (began, found, now))

    def settle(self, routes: Sequence[str]) -> None:
        """Received and filtered are what they have to be, as of now.

        They follow from what else is counted; to count them for each event would cost an event
        something for every route that does not want it.
        """
        words, routed = self._slab.words, self._catalogue.routed
        offered = words[self._catalogue.offered]
        for route in dict.fromkeys(routes):
            taken = sum(words[routed(route, each)] for each in ("sent", "queued", "errored"))
            words[routed(route, "received")] = offered
            words[routed(route, "filtered")] = max(0.0, offered - taken)

    def _count(self, written: Written, outcome: Outcome) -> None:
        slab, catalogue = self._slab, self._catalogue
        words = slab.words
        success = True
        for each in outcome.actions:
            slab.observe(catalogue.action(each.action, each.route), each.duration_ms / 1000)
            if each.status != "delivered":
                success = False
        words[catalogue.event(written.type, written.source, success or outcome.success)] += 1.0
        words[catalogue.offered] += 1.0
        if outcome.undecided:
            slab.add(catalogue.error("filter"), outcome.undecided)
        worst = {} if success else self._count_failures(outcome)
        for route in outcome.routes_matched:
            words[catalogue.routed(route, worst.get(route, "sent"))] += 1.0

    def _count_failures(self, outcome: Outcome) -> dict[str, str]:
        """What became of each route of which an action failed."""
        slab, catalogue = self._slab, self._catalogue
        worst: dict[str, str] = {}
        for each in outcome.actions:
            if each.status != "delivered":
                slab.add(catalogue.action_error(each.action, each.route, each.error_type))
                slab.add(catalogue.error(_stage(each)))
                failed = each.status == "failed" or worst.get(each.route) == "errored"
                worst[each.route] = "errored" if failed else "queued"
        return worst

    def _tell(self, written: Written, outcome: Outcome, seconds: float) -> None:
        trace = written.trace
        self._log.write(
            *("info", "event processed" if outcome.success else "event processed with errors"),
            event_id=written.id,
            event_type=written.type,
            source=written.source,
            routes=list(outcome.routes_matched),
            kept=sum(each.status == "kept" for each in outcome.actions),
            success=outcome.success,
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            duration_ms=round(seconds * 1000, 3),
        )

    def _tell_slow(self, written: Written, outcome: Outcome) -> None:
        for each in outcome.actions:
            if each.duration_ms >= self._slow * 1000:
                self._log.warn(
                    "slow action",
                    route=each.route,
                    action=each.action,
                    status=each.status,
                    event_id=written.id,
                    trace_id=written.trace.trace_id,
                    duration_ms=round(each.duration_ms, 3),
                )

    # Messages nobody can read.

    def refused(self, fault: MessageError, source: str, trace_id: str) -> None:
        """A message was no message, and its sender is told so."""
        self._slab.add(self._catalogue.error("parse"))
        self._log.warn(
            "message refused",
            reason=fault.reason,
            location=fault.location,
            source=source,
            trace_id=trace_id,
        )

    # Destinations (`courier.Gauges`).

    def breaker(self, endpoint: str, state: int) -> None:
        """The endpoint's breaker is in this state; the log and a counter say so if it is new."""
        before = self._breakers.get(endpoint, 0)
        self._slab.words[self._catalogue.breaker(endpoint)] = float(state)
        if state == before:
            return
        self._breakers[endpoint] = state
        word = BREAKER_STATES[state]
        self._slab.add(self._catalogue.breaker_change(endpoint, word))
        told = {"endpoint": endpoint, "state": word, "before": BREAKER_STATES[before]}
        (self._log.warn if word == "open" else self._log.info)("circuit breaker changed", **told)

    def rejected(self, endpoint: str) -> None:
        """The rate limiter turned a delivery away."""
        self._slab.add(self._catalogue.rejected(endpoint))

    def waited(self, endpoint: str, seconds: float) -> None:
        """A delivery has to wait for its turn."""
        self._slab.add(self._catalogue.limiter_wait(endpoint), seconds)

    def repeated(self, endpoint: str) -> None:
        """A delivery is tried again."""
        self._slab.add(self._catalogue.retries(endpoint))

    def unkept(self) -> None:
        """The store did not take a dead letter."""
        self._slab.add(self._catalogue.unkept)

    # The store (`store.groups.Signs`).

    def committed(self, what: str, rows: int, seconds: float) -> None:
        """So many rows were committed together."""
        self._slab.observe(self._catalogue.commits[what], seconds)
        self._slab.observe(self._catalogue.rows[what], rows, ROWS)

    def waiting(self, what: str, count: int) -> None:
        """So many wait for a commit."""
        self._slab.words[self._catalogue.waiting[what]] = float(count)

    def store_failed(self, kind: str) -> None:
        """The store did not do what it was asked."""
        self._slab.add(self._catalogue.store_fault(kind))

    def pooled(self, open_: int, idle: int) -> None:
        """So many connections to the database are open, and so many of them idle."""
        pool = self._catalogue.pool
        self._slab.words[pool["open"]], self._slab.words[pool["idle"]] = float(open_), float(idle)


def _stage(result: ActionResult) -> str:
    if result.status == "failed":
        return "dlq"
    return TRANSFORM if result.error_type == TRANSFORM else "action"
