"""Which slot of shared memory holds which number, and how they are told to Prometheus.

A number is a slot of a slab, an array of doubles that one process writes and all may read. The
catalogue says which slot is which; `families` has the names. Slots are only ever added, so a slot
keeps its meaning over a reload, and a label nobody announced counts under "other": no message can
make the slab grow.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from fifhir.families import (
    ACTION_ERRORS,
    ASKED,
    AUTH_REASONS,
    BREAKER,
    BREAKER_CHANGES,
    BREAKER_STATES,
    BROKER_OUTCOMES,
    BROKERS,
    BYTES,
    CAPPED,
    CAUSES,
    COMMIT,
    COMMIT_ROWS,
    COMMITS,
    DLQ_SIZE,
    DUPLICATES,
    DURATION,
    ERROR_TYPES,
    ERRORS,
    FAMILIES,
    HELD,
    HIDDEN_LINES,
    HTTP,
    IN_PROGRESS,
    INGRESSES,
    KAFKA_LAG,
    LIMITER_WAIT,
    LISTENED,
    LOOKED,
    LOOP_LAG,
    LOST_LINES,
    MLLP,
    MLLP_DROPPED,
    MLLP_OPEN,
    MLLP_OUTCOMES,
    MLLP_REFUSALS,
    MLLP_REFUSED,
    NATS_PENDING,
    OLDEST,
    OPEN,
    OTHER,
    OUTCOMES,
    PATHS,
    PENDING,
    POOL,
    POOL_STATES,
    PROCESSED,
    REFUSED,
    REJECTED,
    RELOADED,
    RESPAWNS,
    RETRIES,
    ROUTED,
    SPANS_LOST,
    STAGE,
    STAGES,
    STATUSES,
    STORE_DOWN,
    STORE_ERRORS,
    STORE_FAULTS,
    STORE_WAITING,
    TAKEN,
    TIMED,
    TLS_EXPIRES,
    TLS_REASONS,
    TLS_REFUSED,
    UNKEPT,
    UNREAD,
    Family,
)

# The first words of every slab, one cache line: what the process is doing now.
HEARTBEAT, PID, STATE, STARTED, CONNECTIONS, IN_FLIGHT, LAG, DROPPED = range(8)
HEADER = 8

MOST_ROUTES = 1000  # routes, and as many actions, that are counted under their own names


class Catalogue:
    """Which slot of a slab holds which number; complete before the first fork.

    `routes` are pairs of route name and action type; values of `segments` are counted under their
    names; `listeners` are the addresses for MLLP; `build` says version and tokenizer. `size` leaves
    room for as many series again, so that a reload may add sources and routes; past that they
    count under "other".
    """

    def __init__(  # noqa: PLR0913 - each gives a label its values
        self,
        *,
        event_types: Iterable[str],
        sources: Iterable[str] = (),
        routes: Iterable[tuple[str, str]] = (),
        endpoints: Iterable[str] = (),
        segments: Iterable[str] = (),
        listeners: Iterable[str] = (),
        build: Mapping[str, str] | None = None,
    ) -> None:
        self.build = {"version": "", "tokenizer": "", **(build or {})}
        self.series: dict[Family, dict[tuple[str, ...], int]] = {family: {} for family in FAMILIES}
        self.series[IN_PROGRESS][()] = IN_FLIGHT
        self.series[OPEN][()] = CONNECTIONS
        self.series[LOOP_LAG][()] = LAG
        self.series[LOST_LINES][()] = DROPPED
        self.size = 1 << 31  # no limit yet
        self._used = HEADER
        self._event_types = tuple(event_types)
        self._events: dict[tuple[str, str, bool], int] = {}
        self.offered = self._hidden()
        self.dlq_size = self._slot(DLQ_SIZE)
        self.unkept = self._slot(UNKEPT)
        self.duplicates = self._slot(DUPLICATES)
        self.capped = self._slot(CAPPED)
        self.hidden_lines = self._slot(HIDDEN_LINES)
        self.spans_lost = self._slot(SPANS_LOST)
        self.store_down = self._slot(STORE_DOWN)
        self.waiting = {what: self._slot(STORE_WAITING, what) for what in COMMITS}
        self.pending = self._slot(PENDING)
        self.oldest = self._slot(OLDEST)
        self.pool = {state: self._slot(POOL, state) for state in POOL_STATES}
        self.stages = {stage: self._slot(STAGE, stage) for stage in TIMED}
        self.commits = {what: self._slot(COMMIT, what) for what in COMMITS}
        self.rows = {what: self._slot(COMMIT_ROWS, what) for what in COMMITS}
        self.bytes = {ingress: self._slot(BYTES, ingress) for ingress in INGRESSES}
        self._store_faults = {kind: self._slot(STORE_FAULTS, kind) for kind in STORE_ERRORS}
        self.reloaded = self._slot(RELOADED)
        self.tls_refused = {
            (ingress, reason): self._slot(TLS_REFUSED, ingress, reason)
            for ingress in LISTENED
            for reason in TLS_REASONS
        }
        self.auth_refused = {reason: self._slot(REFUSED, reason) for reason in AUTH_REASONS}
        self.taken = {
            (broker, outcome): self._slot(TAKEN, broker, outcome)
            for broker in BROKERS
            for outcome in BROKER_OUTCOMES
        }
        self.held = {broker: self._slot(HELD, broker) for broker in BROKERS}
        self.kafka_lag = self._slot(KAFKA_LAG)
        self.nats_pending = self._slot(NATS_PENDING)
        self.mllp_dropped = self._slot(MLLP_DROPPED)
        self.mllp = {outcome: self._slot(MLLP, outcome) for outcome in MLLP_OUTCOMES}
        self.mllp_refused = {reason: self._slot(MLLP_REFUSED, reason) for reason in MLLP_REFUSALS}
        self.looked = self._slot(LOOKED)
        self._unread = {name: self._slot(UNREAD, name) for name in (OTHER, *segments)}
        self._requests = {
            (path, status): self._slot(HTTP, path, str(status or OTHER))
            for path in PATHS
            for status in STATUSES
        }
        self._stages = {stage: self._slot(ERRORS, stage) for stage in STAGES}
        self._causes = {cause: self._slot(RESPAWNS, cause) for cause in CAUSES}
        reached = (OTHER, *endpoints)
        self.admit((OTHER, *sources), ((OTHER, OTHER), *routes), reached, (OTHER, *listeners))
        self.size = -(-self._used * 2 // 8) * 8

    def admit(
        self,
        sources: Iterable[str],
        routes: Iterable[tuple[str, str]],
        endpoints: Iterable[str] = (),
        listeners: Iterable[str] = (),
    ) -> None:
        """Every label set of these has its slots, as far as there is room."""
        for listener in listeners:
            self._slot(MLLP_OPEN, listener)
        for endpoint in endpoints:
            for family in (BREAKER, REJECTED, RETRIES, LIMITER_WAIT):
                self._slot(family, endpoint)
            for state in BREAKER_STATES:
                self._slot(BREAKER_CHANGES, endpoint, state)
        for source in sources:
            for event_type in self._event_types:
                for success in (True, False):
                    slot = self._slot(PROCESSED, event_type, source, str(success).lower())
                    if slot:
                        self._events[event_type, source, success] = slot
        for route, action_type in routes:
            room = self.size - self._used - DURATION.width - len(ERROR_TYPES) - len(OUTCOMES)
            if room >= 0 and len(self.series[DURATION]) <= MOST_ROUTES:
                self._slot(DURATION, action_type, route)
                for error_type in ERROR_TYPES:
                    self._slot(ACTION_ERRORS, action_type, route, error_type)
                for outcome in OUTCOMES:
                    self._slot(ROUTED, route, outcome)

    def _hidden(self) -> int:
        """A slot that only its own process reads."""
        self._used += 1
        return self._used - 1

    def _slot(self, family: Family, *labels: str) -> int:
        """The slot of this series, made if it is new; 0 if there is no room for it."""
        known = self.series[family]
        if labels in known:
            return known[labels]
        slot, width = self._used, family.width
        if slot + width > self.size:
            return 0
        self._used += width
        known[labels] = slot
        return slot

    def event(self, event_type: str, source: str, success: bool) -> int:
        """The counter of events like this one."""
        slot = self._events.get((event_type, source, success))
        return slot or self._events[event_type, OTHER, success]

    def action(self, action_type: str, route: str) -> int:
        """The first slot of this action's histogram, for `Slab.observe`."""
        known = self.series[DURATION]
        return known.get((action_type, route)) or known[OTHER, OTHER]

    def action_error(self, action_type: str, route: str, error_type: str) -> int:
        """The counter of this action's failures of one kind."""
        kind = error_type if error_type in ERROR_TYPES else "unknown"
        known = self.series[ACTION_ERRORS]
        return known.get((action_type, route, kind)) or known[OTHER, OTHER, kind]

    def http(self, path: str, status: int) -> int:
        """The counter of requests of this path that got this status."""
        slot = self._requests.get((path, status))
        return (
            slot
            or self._requests[path if path in PATHS else OTHER, status if status in STATUSES else 0]
        )

    def error(self, stage: str) -> int:
        """The counter of errors that arose in this stage, one of `STAGES`."""
        return self._stages[stage]

    def respawn(self, cause: str) -> int:
        """The counter of workers replaced because of `cause`, one of `CAUSES` or "other"."""
        return self._causes.get(cause, self._causes[OTHER])

    def unread(self, segment: str) -> int:
        """The counter of values in this segment that no rule reads."""
        return self._unread.get(segment) or self._unread[OTHER]

    def mllp_connections(self, listener: str) -> int:
        """The gauge of the connections of this listener; a reload may add listeners."""
        known = self.series[MLLP_OPEN]
        return known.get((listener,)) or known[OTHER,]

    def expires(self, listener: str) -> int:
        """The gauge of this listener's certificate; 0 if it is new and there is no room for it."""
        return self._slot(TLS_EXPIRES, listener)

    def breaker(self, endpoint: str) -> int:
        """The gauge of this endpoint's breaker."""
        return self._of(BREAKER, endpoint)

    def breaker_change(self, endpoint: str, state: str) -> int:
        """The counter of the times this endpoint's breaker went into `state`."""
        known = self.series[BREAKER_CHANGES]
        return known.get((endpoint, state)) or known[OTHER, state]

    def rejected(self, endpoint: str) -> int:
        """The counter of this endpoint's rate limiter."""
        return self._of(REJECTED, endpoint)

    def limiter_wait(self, endpoint: str) -> int:
        """The counter of seconds waited for this endpoint's rate limiter."""
        return self._of(LIMITER_WAIT, endpoint)

    def retries(self, endpoint: str) -> int:
        """The counter of this endpoint's repeated tries."""
        return self._of(RETRIES, endpoint)

    def _of(self, family: Family, label: str) -> int:
        known = self.series[family]
        return known.get((label,)) or known[OTHER,]

    def store_fault(self, kind: str) -> int:
        """The counter of the store's failures of this kind."""
        return self._store_faults.get(kind, self._store_faults[OTHER])

    def routed(self, route: str, outcome: str) -> int:
        """The counter of this route's events with this outcome, one of `OUTCOMES`."""
        known = self.series[ROUTED]
        return known.get((route, outcome)) or known[OTHER, outcome]

    def slots(self, *kinds: str) -> list[int]:
        """Every slot in use whose numbers are combined in one of these ways."""
        return [
            slot + step
            for family, series in self.series.items()
            if family.kind in kinds
            for slot in series.values()
            for step in range(family.width)
        ]


class Board(Protocol):
    """What an exposition needs to know of the scoreboard, which stands above this file."""

    @property
    def catalogue(self) -> Catalogue: ...
    def totals(self) -> Sequence[float]: ...
    def uptime(self) -> float: ...
    def serving(self) -> int: ...


def exposition(board: Board) -> bytes:
    """All metrics of all workers, dead ones' counts included, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(board))
    return generate_latest(registry)


class _Collector:
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        totals = self._board.totals()
        for family, series in self._board.catalogue.series.items():
            yield _metric(family, series, totals)
        build = {**self._board.catalogue.build, "python": platform.python_version()}
        found: tuple[tuple[dict[str, str], float], ...] = (
            ({}, self._board.uptime()),
            ({}, self._board.serving()),
            (build, 1),
        )
        for (name, text, _), (labels, value) in zip(ASKED, found, strict=True):
            asked = GaugeMetricFamily(name, text, labels=list(labels))
            asked.add_metric(list(labels.values()), value)
            yield asked


def _metric(family: Family, series: dict[tuple[str, ...], int], totals: Sequence[float]) -> Metric:
    if family.kind == "histogram":
        return _histogram(family, series, totals)
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels)
    for labels, slot in series.items():
        metric.add_metric(labels, totals[slot])
    return metric


def _histogram(
    family: Family, series: dict[tuple[str, ...], int], totals: Sequence[float]
) -> Metric:
    """Slots hold each bucket's own count; the format wants them cumulated."""
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, slot in series.items():
        count, buckets = 0.0, []
        for step, bound in enumerate((*map(str, family.buckets), "+Inf")):
            count += totals[slot + step]
            buckets.append((bound, count))
        metric.add_metric(labels, buckets, totals[slot + family.width - 1])
    return metric
