"""Write workflow-overview.json from the rows below: `make docs`; with --check only look.

A row of ROWS is a row of the dashboard, a panel of it says in words what to do when it looks wrong.
Grafana's own format (schema 39) repeats for every panel what these few lines say once.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).with_name("workflow-overview.json")
RUNBOOK = "https://gitlab.flexinfer.ai/libs/fi-fhir/-/blob/main/docs/RUNBOOK.md"
WIDTH = 24  # columns of Grafana's grid
SELECT = 'namespace=~"$namespace",pod=~"$pod"'
ROUTED = f'{SELECT},route_name=~"$route"'


class Panel(NamedTuple):
    """One panel; `queries` are (expression, legend), `steps` are (from value, colour)."""

    title: str
    kind: str
    unit: str
    width: int
    meaning: str
    queries: tuple[tuple[str, str], ...]
    steps: tuple[tuple[float, str], ...] = ()
    link: str = ""
    log: bool = False
    """Whether its axis is logarithmic: what lies far apart is to be seen together."""


def quantiles(*shares: float) -> tuple[tuple[str, str], ...]:
    """Return the queries of an action's latency at these shares."""
    buckets = (
        f"sum by (le) (rate(workflow_action_duration_seconds_bucket{{{ROUTED}}}[$__rate_interval]))"
    )
    return tuple(
        (f"histogram_quantile({share}, {buckets})", f"p{share * 100:g}") for share in shares
    )


def stages(share: float) -> tuple[tuple[str, str], ...]:
    """Return the query of how long each stage of a message takes at this share."""
    buckets = (
        "sum by (stage, le) "
        f"(rate(fi_fhir_stage_duration_seconds_bucket{{{SELECT}}}[$__rate_interval]))"
    )
    return ((f"histogram_quantile({share}, {buckets})", "{{stage}}"),)


def rate(metric: str, by: str, select: str = SELECT) -> tuple[tuple[str, str], ...]:
    """Return the query of a counter's rate by one label."""
    return ((f"sum by ({by}) (rate({metric}{{{select}}}[$__rate_interval]))", f"{{{{{by}}}}}"),)


ROWS: dict[str, tuple[Panel, ...]] = {
    "Overview": (
        Panel(
            *("Events", "stat", "ops", 6),
            "Events through the workflow. Zero while senders send: look at Intake.",
            ((f"sum(rate(workflow_events_processed_total{{{SELECT}}}[$__rate_interval]))", ""),),
        ),
        Panel(
            *("Error rate", "stat", "percentunit", 6),
            "Actions that failed, of events. Over 5 %: find the route under Actions.",
            (
                (
                    f"sum(rate(workflow_action_errors_total{{{SELECT}}}[$__rate_interval]))"
                    f" / sum(rate(workflow_events_processed_total{{{SELECT}}}[$__rate_interval]))",
                    "",
                ),
            ),
            ((0, "green"), (0.01, "orange"), (0.05, "red")),
            "high-error-rate",
        ),
        Panel(
            *("Action p99", "stat", "s", 6),
            "One in a hundred actions takes longer. Over 1 s: compare the routes under Actions.",
            quantiles(0.99),
            ((0, "green"), (0.5, "orange"), (1, "red")),
            "high-latency",
        ),
        Panel(
            *("Dead letters", "stat", "short", 6),
            "Deliveries that wait for an operator. Mend the cause, then replay them.",
            ((f"max(workflow_dlq_size{{{SELECT}}})", ""),),
            ((0, "green"), (1, "orange"), (100, "red")),
            "dead-letter-queue-growing",
        ),
    ),
    "Intake": (
        Panel(
            *("A message by stage, p50", "timeseries", "s", 12),
            "Where the time of a usual message goes: parse is CPU, store a disk, deliver others.",
            stages(0.5),
            link="high-latency",
            log=True,
        ),
        Panel(
            *("A message by stage, p99", "timeseries", "s", 12),
            "The stage that grew is the one to look at. journal: they come faster than they go.",
            stages(0.99),
            link="high-latency",
            log=True,
        ),
        Panel(
            *("HTTP answers by status", "timeseries", "ops", 8),
            "503 is our own trouble and no promise; 422 and 400 are the sender's to mend.",
            rate("fi_fhir_http_requests_total", "status"),
            link="messages-not-promised",
        ),
        Panel(
            *("MLLP messages by outcome", "timeseries", "ops", 8),
            "failed: not acknowledged because of us; error, rejected: the sender's to mend.",
            rate("fi_fhir_mllp_messages_total", "outcome"),
            link="messages-not-promised",
        ),
        Panel(
            *("Events by type", "timeseries", "ops", 8),
            "What comes in. A type that stops coming is a feed that stopped.",
            rate("workflow_events_processed_total", "event_type"),
        ),
        Panel(
            *("Open connections", "timeseries", "short", 8),
            "At the cap a worker accepts no more: raise the open-files limit or add workers.",
            (
                (f"sum(fi_fhir_connections{{{SELECT}}})", "HTTP"),
                (f"sum(fi_fhir_mllp_connections{{{SELECT}}})", "MLLP"),
            ),
            link="connection-cap-reached",
        ),
        Panel(
            *("In the workflow now", "timeseries", "short", 8),
            "Events whose actions have not ended. It rises when a destination is slow.",
            ((f"sum by (pod) (workflow_events_in_progress{{{SELECT}}})", "{{pod}}"),),
            ((0, "green"), (100, "red")),
            "high-latency",
        ),
        Panel(
            *("From brokers by outcome", "timeseries", "ops", 8),
            "failed: tried again because of us; see the store. unreadable: in the dead letters.",
            (
                (
                    "sum by (broker, outcome) "
                    f"(rate(fi_fhir_broker_messages_total{{{SELECT}}}[$__rate_interval]))",
                    "{{broker}} {{outcome}}",
                ),
            ),
            link="ingest-lag",
        ),
        Panel(
            *("Waiting at brokers", "timeseries", "short", 8),
            "Growing: add workers, up to the number of partitions, or find the slow destination.",
            (
                (f"sum(fi_fhir_kafka_lag_messages{{{SELECT}}})", "Kafka"),
                (f"max(fi_fhir_nats_pending_messages{{{SELECT}}})", "NATS"),
            ),
            ((0, "green"), (10000, "red")),
            "ingest-lag",
        ),
        Panel(
            *("Refused for who asked", "timeseries", "ops", 8),
            "unknown, token: a key ran out, or somebody tries keys. limited: more than its rate.",
            rate("fi_fhir_auth_refused_total", "reason"),
        ),
        Panel(
            *("Bytes received", "timeseries", "Bps", 8),
            "Messages that suddenly are large usually carry documents.",
            rate("fi_fhir_received_bytes_total", "ingress"),
        ),
        Panel(
            *("MLLP frames refused", "timeseries", "ops", 8),
            "Bytes that did not become messages, by the reason why.",
            rate("fi_fhir_mllp_frames_refused_total", "reason"),
        ),
    ),
    "Routes": (
        Panel(
            *("Events by source", "timeseries", "ops", 8),
            "Who sends. A source no route names counts as other.",
            rate("workflow_events_processed_total", "source"),
        ),
        Panel(
            *("Sent by route", "timeseries", "ops", 8),
            "Events all of whose destinations confirmed. One that stopped no longer matches.",
            rate("fi_fhir_route_events_total", "route_name", f'{ROUTED},outcome="sent"'),
        ),
        Panel(
            *("Not sent by route", "timeseries", "ops", 8),
            "queued are dead letters to replay; errored were not kept, their senders have them.",
            (
                (
                    "sum by (route_name, outcome) (rate(fi_fhir_route_events_total"
                    f'{{{ROUTED},outcome=~"queued|errored"}}[$__rate_interval]))',
                    "{{route_name}} {{outcome}}",
                ),
            ),
            link="dead-letter-queue-growing",
        ),
        Panel(
            *("What became of events, by route", "table", "short", 24),
            "Of the last hour. filtered is received without the rest: not taken by the filter.",
            (
                (
                    "sum by (route_name, outcome) "
                    f"(increase(fi_fhir_route_events_total{{{ROUTED}}}[1h]))",
                    "",
                ),
            ),
        ),
    ),
    "Actions": (
        Panel(
            *("Latency", "timeseries", "s", 8),
            "How long actions take. Compare the routes beside it.",
            quantiles(0.5, 0.95, 0.99),
            link="high-latency",
        ),
        Panel(
            *("p99 by route", "timeseries", "s", 8),
            "The slow destination is the route on top.",
            (
                (
                    "histogram_quantile(0.99, sum by (route_name, le) "
                    f"(rate(workflow_action_duration_seconds_bucket{{{ROUTED}}}[$__rate_interval])))",
                    "{{route_name}}",
                ),
            ),
            link="high-latency",
        ),
        Panel(
            *("Errors by type", "timeseries", "ops", 8),
            "auth_error: a token ran out. timeout, connection_error: the destination is down.",
            rate("workflow_action_errors_total", "error_type", ROUTED),
            link="high-error-rate",
        ),
    ),
    "Resilience": (
        Panel(
            *("Circuit breakers", "timeseries", "short", 6),
            "0 closed, 1 half-open, 2 open: nothing is sent, events become dead letters.",
            (
                (
                    f"max by (endpoint) (workflow_circuit_breaker_state{{{SELECT}}})",
                    "{{endpoint}}",
                ),
            ),
            ((0, "green"), (1, "orange"), (2, "red")),
            "circuit-breaker-open",
        ),
        Panel(
            *("Breaker changes", "timeseries", "short", 6),
            "open again and again: the destination answers a probe and fails under load.",
            (
                (
                    "sum by (endpoint, state) "
                    f"(increase(fi_fhir_circuit_breaker_changes_total{{{SELECT}}}[15m]))",
                    "{{endpoint}} {{state}}",
                ),
            ),
            link="circuit-breaker-open",
        ),
        Panel(
            *("Tries beyond the first", "timeseries", "ops", 6),
            "A destination that has to be asked again is about to fail for good.",
            rate("fi_fhir_action_retries_total", "endpoint"),
            link="high-error-rate",
        ),
        Panel(
            *("Turned away by the rate limiter", "timeseries", "ops", 6),
            "More comes in than an action's rate_limit_rate lets out.",
            rate("workflow_rate_limiter_rejected_total", "endpoint"),
            link="rate-limited",
        ),
    ),
    "Dead letters": (
        Panel(
            *("Waiting", "timeseries", "short", 12),
            "It falls when they are replayed. Rising: find the error type beside it.",
            ((f"max(workflow_dlq_size{{{SELECT}}})", "dead letters"),),
            ((0, "green"), (100, "red")),
            "dead-letter-queue-growing",
        ),
        Panel(
            *("Errors by stage", "timeseries", "ops", 12),
            "dlq means that a dead letter could not be written: the message was not promised.",
            rate("workflow_errors_total", "stage"),
            link="messages-not-promised",
        ),
    ),
    "Store": (
        Panel(
            *("Commits, p99", "timeseries", "s", 6),
            "Over 100 ms: a slow disk, or a Postgres that is far away or busy.",
            (
                (
                    "histogram_quantile(0.99, sum by (what, le) (rate("
                    f"fi_fhir_store_commit_duration_seconds_bucket{{{SELECT}}}[$__rate_interval])))",
                    "{{what}}",
                ),
            ),
            link="store-slow",
        ),
        Panel(
            *("Rows of a commit", "timeseries", "short", 6),
            "It grows with load. Always 400: commits are what limits you.",
            (
                (
                    "sum by (what) (rate("
                    f"fi_fhir_store_commit_rows_sum{{{SELECT}}}[$__rate_interval])) "
                    "/ sum by (what) "
                    f"(rate(fi_fhir_store_commit_rows_count{{{SELECT}}}[$__rate_interval]))",
                    "{{what}}",
                ),
            ),
            link="store-slow",
        ),
        Panel(
            *("Waiting in the journal", "timeseries", "short", 6),
            "Accepted and not delivered yet. It grows while destinations are slower than senders.",
            ((f"max(fi_fhir_journal_pending{{{SELECT}}})", "messages"),),
            ((0, "green"), (1000, "red")),
            "journal-falling-behind",
        ),
        Panel(
            *("Oldest in the journal", "timeseries", "s", 6),
            "Minutes: a slow destination holds up an order key, or nobody delivers.",
            ((f"max(fi_fhir_journal_oldest_seconds{{{SELECT}}})", "oldest"),),
            ((0, "green"), (300, "red")),
            "journal-falling-behind",
        ),
        Panel(
            *("Store errors", "timeseries", "ops", 12),
            "full: disk or dlq_max_size. slow: disk, locks. unavailable: Postgres.",
            rate("fi_fhir_store_errors_total", "kind"),
            link="messages-not-promised",
        ),
        Panel(
            *("Connections to the database", "timeseries", "short", 12),
            "All open and none idle: raise config.database.maxOpenConns.",
            ((f"sum by (state) (fi_fhir_store_connections{{{SELECT}}})", "{{state}}"),),
            link="high-latency",
        ),
    ),
    "Workers": (
        Panel(
            *("Serving", "timeseries", "short", 6),
            "Workers that serve. Zero: nothing is taken.",
            ((f"sum by (pod) (fi_fhir_workers{{{SELECT}}})", "{{pod}}"),),
            link="workers-end-again-and-again",
        ),
        Panel(
            *("Replaced, by cause", "timeseries", "short", 6),
            "SIGKILL is usually the memory limit.",
            (
                (
                    f"sum by (cause) (increase(fi_fhir_worker_respawns_total{{{SELECT}}}[15m]))",
                    "{{cause}}",
                ),
            ),
            link="workers-end-again-and-again",
        ),
        Panel(
            *("Loop lag", "timeseries", "s", 6),
            "How late a loop was. The CPU limit throttles the pod, or messages are very large.",
            ((f"max by (pod) (fi_fhir_event_loop_lag_seconds{{{SELECT}}})", "{{pod}}"),),
            ((0, "green"), (0.5, "red")),
            "high-latency",
        ),
        Panel(
            *("Log lines dropped", "timeseries", "ops", 6),
            "Whoever reads the log is too slow.",
            ((f"sum(rate(fi_fhir_log_lines_dropped_total{{{SELECT}}}[$__rate_interval]))", ""),),
            link="log-lines-dropped",
        ),
        Panel(
            *("Versions", "table", "short", 18),
            "What runs in each pod. Two versions are a rollout; plain is the slow tokenizer.",
            ((f"fi_fhir_build_info{{{SELECT}}}", ""),),
            link="plain-tokenizer",
        ),
        Panel(
            *("Uptime", "stat", "s", 6),
            "The youngest pod. It falls to zero when one is restarted.",
            ((f"min(fi_fhir_uptime_seconds{{{SELECT}}})", ""),),
        ),
    ),
}
HEIGHTS = {"stat": 4, "timeseries": 8, "table": 6}


def panel(made: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return one panel in Grafana's words."""
    steps = made.steps or ((0, "text" if made.kind == "stat" else "green"),)
    data = {"type": "prometheus", "uid": "${datasource}"}
    scale = {"scaleDistribution": {"type": "log", "log": 10}} if made.log else {}
    table = {"format": "table", "instant": True} if made.kind == "table" else {}
    return {
        "id": number,
        "type": made.kind,
        "title": made.title,
        "description": made.meaning,
        "datasource": data,
        "gridPos": {"h": HEIGHTS[made.kind], "w": made.width, "x": x, "y": y},
        "links": [{"title": "Runbook", "url": f"{RUNBOOK}#{made.link}"}] if made.link else [],
        "fieldConfig": {
            "defaults": {
                "unit": made.unit,
                **({} if made.log else {"min": 0}),
                "custom": {"fillOpacity": 10, "showPoints": "never"} | scale
                if made.kind == "timeseries"
                else {},
                "color": {"mode": "thresholds" if made.kind == "stat" else "palette-classic"},
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"value": value or None, "color": colour} for value, colour in steps],
                },
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["last"]}}
        if made.kind == "timeseries"
        else {},
        "targets": [
            {"refId": chr(65 + at), "datasource": data, "expr": expr, "legendFormat": legend}
            | table
            for at, (expr, legend) in enumerate(made.queries)
        ],
    }


def panels() -> list[dict[str, Any]]:
    """Return all rows and their panels, laid out from the top."""
    laid: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        grid = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        laid.append(
            {
                "id": len(laid) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": grid,
                "panels": [],
            }
        )
        x, y, height = 0, y + 1, 0
        for made in row:
            if x + made.width > WIDTH:
                x, y = 0, y + height
            laid.append(panel(made, len(laid) + 1, x, y))
            x, height = x + made.width, HEIGHTS[made.kind]
        y += height
    return laid


def variable(name: str, metric: str, label: str) -> dict[str, Any]:
    """Return a variable that offers the values a label has, all of them at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": f"label_values({metric}, {label})", "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> str:
    """Return the whole file."""
    return (
        json.dumps(
            {
                "uid": "fi-fhir-workflow-overview",
                "title": "fi-fhir Workflow Overview",
                "description": "What comes in, what becomes of it, and whether anything needs you.",
                "tags": ["fi-fhir", "hl7", "fhir"],
                "schemaVersion": 39,
                "editable": True,
                "refresh": "30s",
                "time": {"from": "now-3h", "to": "now"},
                "links": [{"title": "Runbook", "type": "link", "url": RUNBOOK}],
                "templating": {
                    "list": [
                        {"name": "datasource", "type": "datasource", "query": "prometheus"},
                        variable("namespace", "fi_fhir_build_info", "namespace"),
                        variable("pod", 'fi_fhir_build_info{namespace=~"$namespace"}', "pod"),
                        variable("route", "workflow_action_duration_seconds_count", "route_name"),
                    ]
                },
                "panels": panels(),
            },
            indent=2,
        )
        + "\n"
    )


def main() -> int:
    """The dashboard is up to date; with --check, 1 if it was not and nothing is written."""
    made = dashboard()
    if DASHBOARD.exists() and DASHBOARD.read_text(encoding="utf-8") == made:
        return 0
    if "--check" in sys.argv:
        print(f"out of date: {DASHBOARD.name}; run make docs", file=sys.stderr)
        return 1
    DASHBOARD.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
