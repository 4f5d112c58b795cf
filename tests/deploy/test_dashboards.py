"""The alert rules and the dashboard: run by the real Prometheus on metrics of a real daemon."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fifhir.metrics import Catalogue, exposition
from fifhir.scoreboard import Scoreboard

ROOT = Path(__file__).parents[2]
RULES = ROOT / "dashboards/alerting/fi-fhir.rules.yaml"
TESTS = ROOT / "dashboards/alerting/fi-fhir.rules.test.yaml"
MAKER = ROOT / "dashboards/grafana/make.py"
DASHBOARD = json.loads((ROOT / "dashboards/grafana/workflow-overview.json").read_text())
RUNBOOK = ROOT / "docs/RUNBOOK.md"
NAME = re.compile(r"\b(?:workflow|fi_fhir)_[a-z_]+")

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="there is no promtool (Debian: apt-get install prometheus)"
)


def promtool(*words: str, said: str = "") -> "subprocess.CompletedProcess[str]":
    """What promtool says of something."""
    command = ["promtool", *words]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=60, check=False
    )


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names a scrape has, those of a histogram's three series among them."""
    catalogue = Catalogue(
        event_types=("patient_admit",), routes=[("all", "log")], endpoints=["https://a:443"]
    )
    text = exposition(Scoreboard(catalogue, 1)).decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    return names | {f"{name}_{part}" for name in names for part in ("bucket", "count", "sum")}


@needs_promtool
def test_the_rules_are_rules() -> None:
    found = promtool("check", "rules", str(RULES))
    assert found.returncode == 0, found.stdout + found.stderr


@needs_promtool
def test_every_alert_fires_and_stays_silent() -> None:
    found = promtool("test", "rules", str(TESTS))
    assert found.returncode == 0, found.stdout + found.stderr


@needs_promtool
def test_our_metrics_are_as_prometheus_wants_them() -> None:
    board = Scoreboard(Catalogue(event_types=("patient_admit",), routes=[("all", "log")]), 1)
    found = promtool("check", "metrics", said=exposition(board).decode())
    assert (found.returncode, found.stderr) == (0, "")


def test_every_alert_has_a_test_of_its_own() -> None:
    tested = {test["name"] for test in yaml.safe_load(TESTS.read_text())["tests"]}
    assert tested == {rule["alert"] for rule in alerts()}


def test_the_alerts_of_the_runbook_are_there() -> None:
    names = {rule["alert"] for rule in alerts()}
    wanted = {"HighErrorRate", "DLQBacklog", "CircuitBreakerOpen", "HighLatency"}
    assert {f"FiFhir{name}" for name in wanted} <= names


def test_alerts_and_panels_ask_only_for_metrics_there_are(exported: set[str]) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked <= exported


def test_every_link_leads_to_a_heading_of_the_runbook() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", RUNBOOK.read_text(), re.MULTILINE)
    }
    links = [rule["annotations"]["runbook_url"] for rule in alerts()]
    links += [link["url"] for panel in panels() for link in panel["links"]]
    assert {link.partition("#")[2] for link in links} <= headings


def test_the_dashboard_is_what_its_rows_say() -> None:
    command = [sys.executable, str(MAKER), "--check"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_every_panel_says_what_it_shows_and_in_which_unit() -> None:
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
