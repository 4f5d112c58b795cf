"""Every metric: its name, its labels, its buckets, once.

A number is a slot of a slab, an array of doubles that one process writes and all may read. The
catalogue says which slot is which. Slots are only ever added, so a slot keeps its meaning over a
reload, and a label nobody announced counts under "other": no message can make the slab grow.
"""

import platform
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from fifhir.errors import DeliveryError

# The first words of every slab, one cache line: what the process is doing now.
HEARTBEAT, PID, STATE, STARTED, CONNECTIONS, IN_FLIGHT, LAG, DROPPED = range(8)
HEADER = 8

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OTHER = "other"
ERROR_TYPES = DeliveryError.KINDS
STAGES = ("ingress", "parse", "filter", "transform", "action", "dlq")
CAUSES = ("exit", "SIGABRT", "SIGBUS", "SIGKILL", "SIGSEGV", "SIGTERM", "watchdog", OTHER)
PATHS = (
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/api/v1/parse",
    "/api/v1/parse/validate",
    "/api/v1/workflow",
    "/api/v1/workflow/replay",
    OTHER,
)
STATUSES = (
    *(200, 202, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 429, 431),
    *(500, 501, 503, 505, 0),  # 0 stands for any other
)
INGRESSES = ("http", "mllp")
TLS_REASONS = ("plain", "version", "certificate", "identity", "timeout", "gone", "handshake")
AUTH_REASONS = ("none", "unknown", "token", "unready", "scope", "throttled", "limited")
MLLP_OUTCOMES = ("accepted", "error", "rejected", "failed")
MLLP_REFUSALS = (
    *("garbage", "too_large", "unfinished", "no_cr", "restarted"),
    *("frame_timeout", "overload", "tls"),
)


class Family(NamedTuple):
    """One metric; `kind` says how the slots of many workers become one number."""

    name: str
    help: str
    kind: Literal["counter", "sum", "max", "histogram"]
    labels: tuple[str, ...] = ()


PROCESSED = Family(
    "workflow_events_processed_total",
    "Events that went through the workflow.",
    "counter",
    ("event_type", "source", "success"),
)
IN_PROGRESS = Family("workflow_events_in_progress", "Events in the workflow now.", "sum")
DURATION = Family(
    "workflow_action_duration_seconds",
    "How long an action took.",
    "histogram",
    ("action_type", "route_name"),
)
ACTION_ERRORS = Family(
    "workflow_action_errors_total",
    "Actions that failed.",
    "counter",
    ("action_type", "route_name", "error_type"),
)
DLQ_SIZE = Family("workflow_dlq_size", "Dead letters waiting for an operator.", "max")
UNKEPT = Family(
    "fi_fhir_dlq_write_failures_total",
    "Dead letters the store did not take; the message was answered as not accepted.",
    "counter",
)
DUPLICATES = Family(
    "fi_fhir_duplicates_total",
    "Messages that were in the journal before and were answered as then.",
    "counter",
)
BREAKER = Family(
    "workflow_circuit_breaker_state",
    "0 closed, 1 half-open, 2 open; the worst of the workers.",
    "max",
    ("endpoint",),
)
REJECTED = Family(
    "workflow_rate_limiter_rejected_total",
    "Deliveries the rate limiter turned away.",
    "counter",
    ("endpoint",),
)
ERRORS = Family(
    "workflow_errors_total", "Errors, by the stage they arose in.", "counter", ("stage",)
)
HTTP = Family(
    "fi_fhir_http_requests_total", "HTTP requests answered.", "counter", ("path", "status")
)
OPEN = Family("fi_fhir_connections", "Open connections of all workers.", "sum")
CAPPED = Family(
    "fi_fhir_connection_cap_reached_total",
    "Times a worker stopped accepting because it held all the connections it may.",
    "counter",
)
MLLP_OPEN = Family(
    "fi_fhir_mllp_connections",
    "Open MLLP connections of all workers, by the address of their listener.",
    "sum",
    ("listener",),
)
MLLP = Family(
    "fi_fhir_mllp_messages_total",
    "Messages that came in MLLP frames, by what became of them.",
    "counter",
    ("outcome",),
)
MLLP_REFUSED = Family(
    "fi_fhir_mllp_frames_refused_total",
    "Beginnings of MLLP frames that did not become messages.",
    "counter",
    ("reason",),
)
MLLP_DROPPED = Family(
    "fi_fhir_mllp_dropped_bytes_total", "Bytes that belonged to no whole MLLP frame.", "counter"
)
LOOKED = Family(
    "fi_fhir_unread_sampled_messages_total",
    "Messages that were looked at for values that no rule reads; at most ten a second a worker.",
    "counter",
)
UNREAD = Family(
    "fi_fhir_unread_fields_total",
    "Fields of those messages with a value that is in no event, by segment.",
    "counter",
    ("segment",),
)
TLS_REFUSED = Family(
    "fi_fhir_tls_connections_refused_total",
    "Connections that did not come about because of TLS, or of who the peer is.",
    "counter",
    ("ingress", "reason"),
)
TLS_EXPIRES = Family(
    "fi_fhir_tls_certificate_expires_seconds",
    "When the certificate of a listener expires, as seconds since 1970.",
    "max",
    ("listener",),
)
REFUSED = Family(
    "fi_fhir_auth_refused_total",
    "Requests that were refused because of who asked, or how often.",
    "counter",
    ("reason",),
)
RESPAWNS = Family(
    "fi_fhir_worker_respawns_total", "Workers replaced after an end.", "counter", ("cause",)
)
RELOADED = Family("fi_fhir_config_reload_success", "1 if the last reload took effect.", "max")
LOOP_LAG = Family("fi_fhir_event_loop_lag_seconds", "The longest recent delay of a loop.", "max")
LOST_LINES = Family("fi_fhir_log_lines_dropped_total", "Log lines nobody took.", "counter")

FAMILIES = (
    *(
        PROCESSED,
        IN_PROGRESS,
        DURATION,
        ACTION_ERRORS,
        DLQ_SIZE,
        UNKEPT,
        DUPLICATES,
        BREAKER,
        REJECTED,
        ERRORS,
    ),
    *(MLLP_OPEN, MLLP, MLLP_REFUSED, MLLP_DROPPED, TLS_REFUSED, TLS_EXPIRES, REFUSED),
    *(LOOKED, UNREAD),
    *(HTTP, OPEN, CAPPED, RESPAWNS, RELOADED, LOOP_LAG, LOST_LINES),
)


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
        self.dlq_size = self._slot(DLQ_SIZE)
        self.unkept = self._slot(UNKEPT)
        self.duplicates = self._slot(DUPLICATES)
        self.capped = self._slot(CAPPED)
        self.reloaded = self._slot(RELOADED)
        self.tls_refused = {
            (ingress, reason): self._slot(TLS_REFUSED, ingress, reason)
            for ingress in INGRESSES
            for reason in TLS_REASONS
        }
        self.auth_refused = {reason: self._slot(REFUSED, reason) for reason in AUTH_REASONS}
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
            self._slot(BREAKER, endpoint)
            self._slot(REJECTED, endpoint)
        for source in sources:
            for event_type in self._event_types:
                for success in (True, False):
                    slot = self._slot(PROCESSED, event_type, source, str(success).lower())
                    if slot:
                        self._events[event_type, source, success] = slot
        for route, action_type in routes:
            if self._used + len(BUCKETS) + 2 + len(ERROR_TYPES) <= self.size:
                self._slot(DURATION, action_type, route)
                for error_type in ERROR_TYPES:
                    self._slot(ACTION_ERRORS, action_type, route, error_type)

    def _slot(self, family: Family, *labels: str) -> int:
        """The slot of this series, made if it is new; 0 if there is no room for it."""
        known = self.series[family]
        if labels in known:
            return known[labels]
        slot, width = self._used, len(BUCKETS) + 2 if family.kind == "histogram" else 1
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
        known = self.series[BREAKER]
        return known.get((endpoint,)) or known[OTHER,]

    def rejected(self, endpoint: str) -> int:
        """The counter of this endpoint's rate limiter."""
        known = self.series[REJECTED]
        return known.get((endpoint,)) or known[OTHER,]

    def slots(self, *kinds: str) -> list[int]:
        """Every slot in use whose numbers are combined in one of these ways."""
        return [
            slot + step
            for family, series in self.series.items()
            if family.kind in kinds
            for slot in series.values()
            for step in range(len(BUCKETS) + 2 if family.kind == "histogram" else 1)
        ]


def bucket(seconds: float) -> int:
    """How far from a histogram's first slot the bucket of this duration lies."""
    return bisect_left(BUCKETS, seconds)


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
        yield _gauge("fi_fhir_uptime_seconds", "How long it has run.", self._board.uptime())
        yield _gauge("fi_fhir_workers", "Workers that serve now.", self._board.serving())
        build = {**self._board.catalogue.build, "python": platform.python_version()}
        info = GaugeMetricFamily("fi_fhir_build_info", "What is running.", labels=list(build))
        info.add_metric(list(build.values()), 1)
        yield info


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


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
        for step, bound in enumerate((*map(str, BUCKETS), "+Inf")):
            count += totals[slot + step]
            buckets.append((bound, count))
        metric.add_metric(labels, buckets, totals[slot + len(BUCKETS) + 1])
    return metric
