"""Every metric there is: name, labels, buckets, what it tells, and what to do about it.

docs/metrics.md is made of these rows, and dashboards and alerts may ask for nothing else. Labels
have values that the settings, the workflow and this file know; what a message says is never one.
"""

from dataclasses import dataclass
from typing import Literal

from fifhir.errors import DeliveryError, StoreError

OTHER = "other"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
FINE = (25e-6, 50e-6, 1e-4, 2.5e-4, 5e-4, *BUCKETS)  # for what happens within this process
ROWS = (1, 2, 5, 10, 25, 50, 100, 200, 400)  # of one commit

ERROR_TYPES = DeliveryError.KINDS
STAGES = ("ingress", "parse", "filter", "transform", "action", "dlq")
TIMED = ("receive", "parse", "route", "deliver", "store", "journal", "total")
OUTCOMES = ("received", "filtered", "queued", "sent", "errored")
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
LISTENED = ("http", "mllp")
BROKERS = ("kafka", "nats")
INGRESSES = (*LISTENED, *BROKERS)
BROKER_OUTCOMES = ("accepted", "unreadable", "failed")
TLS_REASONS = ("plain", "version", "certificate", "identity", "timeout", "gone", "handshake")
AUTH_REASONS = ("none", "unknown", "token", "unready", "scope", "throttled", "limited")
MLLP_OUTCOMES = ("accepted", "error", "rejected", "failed")
MLLP_REFUSALS = (
    *("garbage", "too_large", "unfinished", "no_cr", "restarted"),
    *("frame_timeout", "overload", "tls"),
)
BREAKER_STATES = ("closed", "half_open", "open")
COMMITS = ("journal", "settle", "dlq", "resolve")
STORE_ERRORS = (*StoreError.KINDS, OTHER)
POOL_STATES = ("open", "idle")


@dataclass(frozen=True, eq=False, slots=True)
class Family:
    """One metric; `kind` says how the slots of many workers become one number.

    `todo` is what an operator does when the number is not as it should be. Two are the same if
    they are the same object: they are looked up for every message.
    """

    name: str
    help: str
    kind: Literal["counter", "sum", "max", "histogram"]
    labels: tuple[str, ...] = ()
    todo: str = ""
    buckets: tuple[float, ...] = BUCKETS

    @property
    def width(self) -> int:
        """How many slots a series takes: a histogram's buckets, +Inf among them, and its sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


# The seven of the runbook.

PROCESSED = Family(
    "workflow_events_processed_total",
    "Events that went through the workflow.",
    "counter",
    ("event_type", "source", "success"),
    'None for a while, and senders send: look at HTTP and MLLP below. `success="false"`: at least '
    "one action failed and was not kept, so the sender was promised nothing.",
)
IN_PROGRESS = Family(
    "workflow_events_in_progress",
    "Messages being answered now.",
    "sum",
    (),
    "Above 100 for minutes: a destination is slow, see workflow_action_duration_seconds by route.",
)
DURATION = Family(
    "workflow_action_duration_seconds",
    "How long an action took, with its waits and repeats.",
    "histogram",
    ("action_type", "route_name"),
    "p99 over 1 s: look at the destination of that route first, then at CPU and workers.",
)
ACTION_ERRORS = Family(
    "workflow_action_errors_total",
    "Actions that failed after all tries.",
    "counter",
    ("action_type", "route_name", "error_type"),
    "timeout, connection_error, server_error: the destination is down. auth_error: a token or a "
    "password ran out. client_error: it refuses what it is sent; look at a dead letter.",
)
DLQ_SIZE = Family(
    "workflow_dlq_size",
    "Dead letters waiting for an operator.",
    "max",
    (),
    "Mend the cause (`fi-fhir dlq stats`), then `fi-fhir dlq replay`.",
)
BREAKER = Family(
    "workflow_circuit_breaker_state",
    "0 closed, 1 half-open, 2 open; the worst of the workers.",
    "max",
    ("endpoint",),
    "2: the destination failed several times in a row and is left alone; its events are kept.",
)
REJECTED = Family(
    "workflow_rate_limiter_rejected_total",
    "Deliveries the rate limiter turned away.",
    "counter",
    ("endpoint",),
    "More comes in than `rate_limit_rate` lets out: raise it, or let it wait (`rate_limit_wait`).",
)

# A message's way.

ERRORS = Family(
    "workflow_errors_total",
    "Errors, by the stage they arose in.",
    "counter",
    ("stage",),
    "ingress and parse are the sender's to mend, transform and filter the workflow's, action the "
    "destination's, dlq the store's.",
)
STAGE = Family(
    "fi_fhir_stage_duration_seconds",
    "How long one stage of a message took: receive is from its first byte to its last if they "
    "came in several reads, parse from bytes to event, route until its routes were found, deliver "
    "all its actions, store its commit to the journal, journal its wait there until an action "
    "began, total from its last byte to its answer.",
    "histogram",
    ("stage",),
    "Find the stage that grew: parse is CPU, store the disk or Postgres, deliver a destination, "
    "receive a slow sender, journal messages that come faster than they are delivered.",
    FINE,
)
ROUTED = Family(
    "fi_fhir_route_events_total",
    "Events by route: received were offered to it, filtered not taken by its filter, sent "
    "confirmed by all its destinations, queued kept as dead letters, errored neither.",
    "counter",
    ("route_name", "outcome"),
    "Everything filtered: the filter no longer matches what comes. queued: replay once the cause "
    "is mended. errored: the sender still has the message; look at the store.",
)
DUPLICATES = Family(
    "fi_fhir_duplicates_total",
    "Messages that were in the journal before and were answered as then.",
    "counter",
    (),
    "A few follow each restart. Many from one sender: it does not see our answers.",
)
UNKEPT = Family(
    "fi_fhir_dlq_write_failures_total",
    "Dead letters the store did not take; the message was answered as not accepted.",
    "counter",
    (),
    "The store is full or down; senders keep their messages until it is mended.",
)
LOOKED = Family(
    "fi_fhir_unread_sampled_messages_total",
    "Messages that were looked at for values that no rule reads; at most ten a second a worker.",
    "counter",
    (),
    "What the next metric is to be divided by.",
)
UNREAD = Family(
    "fi_fhir_unread_fields_total",
    "Fields of those messages with a value that is in no event, by segment.",
    "counter",
    ("segment",),
    "`fi-fhir trace` shows which; Z-segments are mapped in the source profile.",
)

# Destinations.

RETRIES = Family(
    "fi_fhir_action_retries_total",
    "Tries of deliveries beyond the first.",
    "counter",
    ("endpoint",),
    "A destination that answers only when asked again is about to fail for good.",
)
BREAKER_CHANGES = Family(
    "fi_fhir_circuit_breaker_changes_total",
    "Times a breaker became closed, half_open or open.",
    "counter",
    ("endpoint", "state"),
    "open again and again: the destination answers probes and fails under load.",
)
LIMITER_WAIT = Family(
    "fi_fhir_rate_limiter_wait_seconds_total",
    "Seconds that deliveries waited for their turn under a rate limit.",
    "counter",
    ("endpoint",),
    "A rate near 1 a worker: the limit, not the destination, sets the pace.",
)

# The store.

COMMIT = Family(
    "fi_fhir_store_commit_duration_seconds",
    "How long a commit took, for the group of rows in it.",
    "histogram",
    ("what",),
    "p99 over 100 ms: a slow disk, or Postgres far away or busy (pg_stat_activity).",
)
COMMIT_ROWS = Family(
    "fi_fhir_store_commit_rows",
    "How many messages, settlements or letters were committed together.",
    "histogram",
    ("what",),
    "It grows with load by itself. Always 400: commits are what limits you.",
    ROWS,
)
STORE_FAULTS = Family(
    "fi_fhir_store_errors_total",
    "Failures of the store, by kind.",
    "counter",
    ("kind",),
    "full: disk or dlq_max_size. slow: disk, locks. unavailable: Postgres or the way to it. "
    "overload: more messages wait than store.max_waiting.",
)
STORE_WAITING = Family(
    "fi_fhir_store_waiting",
    "Messages, settlements or letters that wait for a commit now.",
    "sum",
    ("what",),
    "Near store.max_waiting a worker refuses more: see the duration of commits.",
)
STORE_DOWN = Family(
    "fi_fhir_store_unavailable",
    "1 while the store does not answer a worker.",
    "max",
    (),
    "Nothing that needs the store is promised until it answers: see the last error of the log.",
)
POOL = Family(
    "fi_fhir_store_connections",
    "Connections to the database of all workers, open and of those idle.",
    "sum",
    ("state",),
    "open at database.max_open_conns and none idle: raise it (config.database.maxOpenConns).",
)
PENDING = Family(
    "fi_fhir_journal_pending",
    "Messages in the journal that are not delivered yet; counted up to 10,000.",
    "max",
    (),
    "It grows while destinations are slower than senders: see deliver by route, add workers.",
)
OLDEST = Family(
    "fi_fhir_journal_oldest_seconds",
    "How long the oldest of them has waited.",
    "max",
    (),
    "Minutes: an order key is held up, by a slow destination or a worker that died with its lease.",
)

# Ingress.

HTTP = Family(
    "fi_fhir_http_requests_total",
    "HTTP requests answered.",
    "counter",
    ("path", "status"),
    "5xx is our trouble and no promise; 4xx the sender's to mend; 401 a key that ran out.",
)
OPEN = Family("fi_fhir_connections", "Open HTTP connections of all workers.", "sum")
CAPPED = Family(
    "fi_fhir_connection_cap_reached_total",
    "Times a worker stopped accepting because it held all the connections it may.",
    "counter",
    (),
    "Raise the open-files limit or server.max_connections, or add workers.",
)
BYTES = Family(
    "fi_fhir_received_bytes_total",
    "Bytes of the messages that came in, by ingress.",
    "counter",
    ("ingress",),
)
MLLP_OPEN = Family(
    "fi_fhir_mllp_connections",
    "Open MLLP connections of all workers, by the address of their listener.",
    "sum",
    ("listener",),
    "None: the sender cannot reach the port, or TLS turns it away.",
)
TAKEN = Family(
    "fi_fhir_broker_messages_total",
    "Messages taken from a broker, by what became of them.",
    "counter",
    ("broker", "outcome"),
    "failed: tried again, because of us; see the store. unreadable: in the dead letter queue.",
)
HELD = Family(
    "fi_fhir_broker_in_flight",
    "Messages taken from a broker that are not done.",
    "sum",
    ("broker",),
    "At in_flight times the workers: destinations or the store are slower than what comes.",
)
KAFKA_LAG = Family(
    "fi_fhir_kafka_lag_messages",
    "Records of the partitions we have that are not done.",
    "sum",
    (),
    "Growing: add workers, up to the number of partitions, or see why destinations are slow.",
)
NATS_PENDING = Family(
    "fi_fhir_nats_pending_messages",
    "Messages of the stream that no worker has taken yet.",
    "max",
    (),
    "Growing: add workers, or see why destinations are slow.",
)
MLLP = Family(
    "fi_fhir_mllp_messages_total",
    "Messages that came in MLLP frames, by what became of them.",
    "counter",
    ("outcome",),
    "failed: not acknowledged because of us. error, rejected: the sender's to mend.",
)
MLLP_REFUSED = Family(
    "fi_fhir_mllp_frames_refused_total",
    "Beginnings of MLLP frames that did not become messages.",
    "counter",
    ("reason",),
    "garbage: something else speaks to the port. unfinished, frame_timeout: the sender breaks off.",
)
MLLP_DROPPED = Family(
    "fi_fhir_mllp_dropped_bytes_total", "Bytes that belonged to no whole MLLP frame.", "counter"
)
TLS_REFUSED = Family(
    "fi_fhir_tls_connections_refused_total",
    "Connections that did not come about because of TLS, or of who the peer is.",
    "counter",
    ("ingress", "reason"),
    "certificate, identity: the peer's certificate is not one we take. plain: it speaks no TLS.",
)
TLS_EXPIRES = Family(
    "fi_fhir_tls_certificate_expires_seconds",
    "When the certificate of a listener expires, as seconds since 1970.",
    "max",
    ("listener",),
    "Renew it and send HUP; cert-manager does so by itself if it is well.",
)

# Processes.

REFUSED = Family(
    "fi_fhir_auth_refused_total",
    "Requests that were refused because of who asked, or how often.",
    "counter",
    ("reason",),
    "unknown, token: a key or a token that ran out, or somebody who tries keys. scope: a key that "
    "may not ask this. limited: more than its rate. throttled: too many refusals of one address.",
)
RESPAWNS = Family(
    "fi_fhir_worker_respawns_total",
    "Workers replaced after an end.",
    "counter",
    ("cause",),
    "SIGKILL is usually the memory limit; watchdog a worker that hung; SIGSEGV worth a report.",
)
RELOADED = Family(
    "fi_fhir_config_reload_success",
    "1 if the last reload took effect.",
    "max",
    (),
    "0: the settings before it are in force; the log tells every fault with its place.",
)
LOOP_LAG = Family(
    "fi_fhir_event_loop_lag_seconds",
    "The longest recent delay of a loop.",
    "max",
    (),
    "Over 0.5 s: the CPU limit throttles, or messages are very large.",
)
LOST_LINES = Family(
    "fi_fhir_log_lines_dropped_total",
    "Log lines nobody took.",
    "counter",
    (),
    "Whoever reads the log is too slow or gone; messages are not affected.",
)
HIDDEN_LINES = Family(
    "fi_fhir_log_lines_suppressed_total",
    "Log lines that were only counted, because equal ones came in a flood.",
    "counter",
    (),
    "The line itself is in the log, with `repeated`.",
)
SPANS_LOST = Family(
    "fi_fhir_spans_dropped_total",
    "Spans that the collector did not take in time.",
    "counter",
    (),
    "The collector at observability.tracing_endpoint is down or too slow; messages are not "
    "affected. Lower tracing_sampler or mend it.",
)

FAMILIES = (
    *(PROCESSED, IN_PROGRESS, DURATION, ACTION_ERRORS, DLQ_SIZE, BREAKER, REJECTED),
    *(ERRORS, STAGE, ROUTED, DUPLICATES, UNKEPT, LOOKED, UNREAD),
    *(RETRIES, BREAKER_CHANGES, LIMITER_WAIT),
    *(COMMIT, COMMIT_ROWS, STORE_FAULTS, STORE_WAITING, STORE_DOWN, POOL, PENDING, OLDEST),
    *(HTTP, OPEN, CAPPED, BYTES, MLLP_OPEN, MLLP, MLLP_REFUSED, MLLP_DROPPED),
    *(TAKEN, HELD, KAFKA_LAG, NATS_PENDING),
    *(TLS_REFUSED, TLS_EXPIRES, REFUSED),
    *(RESPAWNS, RELOADED, LOOP_LAG, LOST_LINES, HIDDEN_LINES, SPANS_LOST),
)

# What is not counted but asked at a scrape: name, meaning, what to do.
ASKED = (
    ("fi_fhir_uptime_seconds", "How long it has run.", "It falls to zero at a restart."),
    (
        "fi_fhir_workers",
        "Workers that serve now.",
        "Zero: nothing is taken; the log says why the last one ended.",
    ),
    (
        "fi_fhir_build_info",
        "What is running: version, tokenizer, python.",
        "`tokenizer` is not compiled: the installation lacks its compiled modules and is many "
        "times slower.",
    ),
)
