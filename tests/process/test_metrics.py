"""The names a runbook greps for, and labels that no message can multiply."""

import shutil
import subprocess

import pytest

from fifhir.families import OTHER, PROCESSED
from fifhir.metrics import Catalogue, exposition
from fifhir.scoreboard import Scoreboard

RUNBOOK = (
    "workflow_events_processed_total",
    "workflow_events_in_progress",
    "workflow_action_duration_seconds",
    "workflow_action_errors_total",
    "workflow_dlq_size",
    "workflow_circuit_breaker_state",
    "workflow_rate_limiter_rejected_total",
)


def catalogue() -> Catalogue:
    return Catalogue(
        event_types=("patient_admit",),
        sources=("epic",),
        routes=(("all", "log"),),
        endpoints=("https://fhir.example.org",),
        build={"version": "1.2.3"},
    )


@pytest.mark.parametrize("name", RUNBOOK)
def test_the_runbooks_metrics_exist_from_the_start(name: str) -> None:
    text = exposition(Scoreboard(catalogue(), 1)).decode()
    assert f"# HELP {name} " in text
    assert any(line.startswith(name) and line.endswith(" 0.0") for line in text.splitlines())


def test_the_runbooks_error_query_finds_something() -> None:
    text = exposition(Scoreboard(catalogue(), 1)).decode()
    for stem in ("workflow_errors", "workflow_dlq", "workflow_circuit"):
        assert stem in text


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_accepts_the_exposition() -> None:
    text = exposition(Scoreboard(catalogue(), 1))
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


def test_unknown_labels_count_as_other() -> None:
    known = catalogue()
    size = known.size
    assert known.event("patient_admit", "' OR 1=1", True) == known.event(
        "patient_admit", OTHER, True
    )
    assert known.action("exec", "nowhere") == known.action(OTHER, OTHER)
    assert known.action_error("log", "all", "novel") == known.action_error("log", "all", "unknown")
    assert known.http("/../etc/passwd", 299) == known.http(OTHER, 0)
    assert known.respawn("SIGXCPU") == known.respawn(OTHER)
    assert known.size == size


def test_slots_keep_their_meaning_when_a_reload_adds_routes() -> None:
    known = catalogue()
    before = {family: dict(series) for family, series in known.series.items()}
    known.admit(("cerner",), (("new", "log"),))
    assert all(series.items() <= known.series[family].items() for family, series in before.items())
    assert known.event("patient_admit", "cerner", True) not in before[PROCESSED].values()
    assert known.action("log", "new") != known.action(OTHER, OTHER)


def test_past_its_room_a_reload_counts_as_other() -> None:
    known = catalogue()
    known.admit((f"source{n}" for n in range(10_000)), ((f"r{n}", "log") for n in range(10_000)))
    last = known.event("patient_admit", "source9999", True)
    assert last == known.event("patient_admit", OTHER, True)
    assert known.action("log", "r9999") == known.action(OTHER, OTHER)
    assert max(known.slots("counter", "histogram", "max", "sum")) < known.size


def test_every_slot_has_one_meaning() -> None:
    slots = catalogue().slots("counter", "histogram", "max", "sum")
    assert len(set(slots)) == len(slots)
