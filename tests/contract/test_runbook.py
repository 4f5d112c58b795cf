"""The operations runbook, line by line, each done as it is written.

runbook.md is the runbook as it was given; runbook.csv says of every line of it which test holds it,
and of commands what they have to print. Commands run in a shell, from a folder as an operator has
it, against a real daemon; cluster.py stands for the programs of Kubernetes. Only what a test cannot
know beforehand is put in: the port of the metrics, the names of a pod and of a revision, and the id
of a trace.
"""

import ast
import csv
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fifhir.config import Settings
from fifhir.delivery.breaker import State
from tests.contract import cluster, loki
from tests.contract.destination import Destination
from tests.contract.stand import ADT, ROOT, Stand, message, name_of
from tests.postgres import Server

HERE = Path(__file__).parent
TEXT = (HERE / "runbook.md").read_text().partition("```text\n")[2].partition("\n```")[0]
TABLE = list(csv.DictReader((HERE / "runbook.csv").read_text().splitlines()))
COMMANDS = [row for row in TABLE if row["says"]]
CLAIM = re.compile(
    r"kubectl|helm |curl|\./fi-fhir|psql|workflow_|FiFhir|\{namespace|dashboards/|^/|--|\.md"
)
TRACE = "5b8aa5a2d2c872e8321cf37308d69df2"
RULES = yaml.safe_load((ROOT / "dashboards/alerting/fi-fhir.rules.yaml").read_text())
DEAD = "http://127.0.0.1:1"


def logical_lines() -> list[str]:
    """The lines of the runbook that are not empty; one that goes on is joined with the next."""
    joined = re.sub(r"\\\n\s*", "", TEXT)
    return [line.strip() for line in joined.splitlines() if line.strip()]


# The table itself.


def test_every_line_of_the_runbook_has_its_row() -> None:
    assert [row["line"] for row in TABLE] == logical_lines()


def test_only_headings_and_talk_have_no_test() -> None:
    assert [row["line"] for row in TABLE if row["test"] == "-" and CLAIM.search(row["line"])] == []


def test_every_test_that_is_named_exists() -> None:
    for name in {row["test"] for row in TABLE} - {"-"}:
        file, _, function = name.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert function in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_every_command_is_run() -> None:
    ran = {row["line"] for row in COMMANDS}
    named = [row for row in TABLE if row["test"].endswith("test_the_line_does_what_it_says")]
    assert {row["line"] for row in named} == ran
    assert len(ran) > 60


# The stand: a daemon that has had trouble, and what an operator has beside it.


def _workflow(url: str) -> str:
    """Routes that fail in the ways the runbook looks for."""
    hook: dict[str, Any] = {"type": "webhook", "timeout": "20s", "retry_max": 0}
    breaks = {"circuit_breaker": True, "circuit_failure_threshold": 1, "circuit_timeout": "10m"}
    token = {"token_url": f"{DEAD}/token", "client_id": "me", "client_secret": "hush"}
    routes = {
        "slow": hook | {"url": f"{url}/slow"},
        "broken": hook | breaks | {"url": f"{DEAD}/in"},
        "locked": hook | token | {"url": f"{url}/in"},
    }
    return json.dumps(
        {"name": "w", "routes": [{"name": name, "actions": [a]} for name, a in routes.items()]}
    )


@pytest.fixture(scope="module")
def troubled() -> Iterator[Destination]:
    found = Destination()
    found.status = 503
    yield found
    found.stop()


@pytest.fixture(scope="module")
def dsn(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture(scope="module")
def stood(
    tmp_path_factory: pytest.TempPathFactory, troubled: Destination, dsn: str
) -> Iterator[Stand]:
    made = Stand(
        tmp_path_factory.mktemp("runbook"), _workflow(troubled.url), FI_FHIR_DATABASE_DSN=dsn
    )
    made.environ["PATH"] = f"{made.folder / 'bin'}:{made.environ['PATH']}"
    made.environ["FIFHIR_CLUSTER"] = str(made.folder / "cluster.json")
    made.environ["EDITOR"] = "sed -i 's/all_events/edited/'"
    _furnish(made.folder)
    try:
        made.start()
        for number in range(2):
            assert (
                made.post(message(f"{number}"), traceparent=f"00-{TRACE}-{'1' * 16}-01")[0] == 202
            )
        yield made
        assert made.stop() == 0
    finally:
        made.remove()


def _furnish(folder: Path) -> None:
    """Beside message.hl7, workflow.yaml and events.json: the chart, values, kubectl and helm."""
    (folder / "deploy").symlink_to(ROOT / "deploy")
    shutil.copy(ROOT / "deploy/helm/production-values.yaml", folder)
    (folder / "new-workflow.yaml").write_text(
        "name: new\nroutes: [{name: a, actions: [{type: log}]}]\n"
    )
    (folder / "bin").mkdir()
    for name in ("kubectl", "helm"):
        script = folder / "bin" / name
        script.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -m tests.contract.cluster {name} "$@"\n'
        )
        script.chmod(0o755)


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    pytest.importorskip("helm_python", reason="no Helm engine: make deploy-tools installs it")
    pytest.importorskip("kubernetes_validate", reason="no schemas: make deploy-tools")
    return cluster.render(_values())


def _values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (ROOT / "deploy/helm/production-values.yaml").read_text()
    )
    return found


@pytest.fixture
def operator(stood: Stand, manifests: list[dict[str, Any]], postgres: Server, dsn: str) -> Stand:
    """The stand, with a cluster that no line before has changed: its fourth revision runs."""
    state = {
        "history": [_values()] * 4,
        "objects": manifests,
        "log": str(stood.log_file),
        "workflow": str(stood.folder / "mounted.yaml"),
        "hosts": {
            "postgres:5432": f"127.0.0.1:{stood.api}",
            "fhir-server:443": f"127.0.0.1:{stood.operations}",
        },
        "database": {
            "PGHOST": str(postgres.folder),
            "PGDATABASE": name_of(dsn),
            "PGUSER": "postgres",
            "PGSSLMODE": "disable",
        },
    }
    (stood.folder / "cluster.json").write_text(json.dumps(state))
    return stood


NEEDS = {"jq": "jq", "nc": "netcat-openbsd", "psql": "postgresql-client", "curl": "curl"}


def lacking(line: str) -> str:
    """A program of the line that this machine does not have, with its Debian package."""
    for program, package in NEEDS.items():
        if re.search(rf"\b{program} ", line) and not shutil.which(program):
            return f"NOT RUN: there is no {program} (Debian: {package})"
    return ""


@pytest.mark.parametrize("row", COMMANDS, ids=[row["line"][:70] for row in COMMANDS])
def test_the_line_does_what_it_says(operator: Stand, row: dict[str, str]) -> None:
    if reason := lacking(row["line"]):
        pytest.skip(reason)
    known = {
        "localhost:9090": f"localhost:{operator.operations}",
        "<pod-name>": cluster.POD,
        "<revision>": "2",
        "abc123": TRACE,
    }
    line, says = row["line"], row["says"]
    for written, meant in known.items():
        line, says = line.replace(written, meant), says.replace(written, meant)
    found = operator.sh(line)
    told = found.stdout + found.stderr
    assert re.search(says, told), told[-2000:]
    failed_again = '"result": "failed"' in says  # which a replay tells by its status
    assert found.returncode == (1 if failed_again else 0), told[-2000:]


@pytest.mark.parametrize(
    "query", [row["line"] for row in TABLE if row["line"].startswith("{")], ids=lambda q: q[21:60]
)
def test_a_query_of_loki_finds_its_lines(stood: Stand, query: str) -> None:
    lines = stood.log_file.read_text().splitlines()
    assert loki.stream(query) == ("namespace", cluster.NAMESPACE)
    found = loki.found(query.replace("abc123", TRACE), lines)
    assert found
    assert len(found) < len(lines)


# What the tables of the runbook say.


def test_what_it_says_of_the_service_is_so() -> None:
    settings = Settings()
    assert (settings.server.port, settings.observability.metrics_port) == (8080, 9090)
    chart = yaml.safe_load((ROOT / "deploy/helm/fi-fhir/Chart.yaml").read_text())
    assert (chart["name"], f"Repository{chart['home']}" in logical_lines()) == ("fi-fhir", True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/metrics"),
        ("POST", "/api/v1/parse"),
        ("POST", "/api/v1/workflow"),
    ],
)
def test_the_endpoints_answer(stood: Stand, method: str, path: str) -> None:
    headers = {"Content-Type": "application/hl7-v2"} if method == "POST" else {}
    status, _ = stood.ask(method, path, ADT if headers else b"", headers)
    assert status == (202 if path.endswith("workflow") else 200)


@pytest.mark.parametrize(
    ("metric", "threshold"),
    [
        ("workflow_events_processed_total", ""),
        ("workflow_events_in_progress", "> 100"),
        ("workflow_action_duration_seconds", "> 1"),
        ("workflow_action_errors_total", "> 0.0"),
        ("workflow_dlq_size", "> 100"),
        ("workflow_circuit_breaker_state", "== 2"),
        ("workflow_rate_limiter_rejected_total", "> 10"),
    ],
)
def test_the_metrics_and_their_thresholds_are_there(
    stood: Stand, metric: str, threshold: str
) -> None:
    text = stood.ask("GET", "/metrics", port=stood.operations)[1]
    assert f"# TYPE {metric} " in text
    expressions = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    mine = [each for each in expressions if re.search(rf"\b{metric}(_bucket)?\b", each)]
    assert not threshold or [each for each in mine if threshold in each]


def test_the_states_of_a_breaker_have_the_runbooks_numbers() -> None:
    assert {state.name: int(state) for state in State} == {"CLOSED": 0, "HALF_OPEN": 1, "OPEN": 2}


# Our own runbook, docs/RUNBOOK.md: its commands, wherever they stand in it.

OURS = (ROOT / "docs/RUNBOOK.md").read_text()
PROGRAMS = r"(?:kubectl|helm|curl|fi-fhir)\b"


def commands() -> list[str]:
    """Those of its blocks, of its indented lines, and those between backticks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", OURS, re.MULTILINE | re.DOTALL)
    indented = re.findall(rf"^ {{4,}}({PROGRAMS}.*)$", OURS, re.MULTILINE)
    inline = re.findall(rf"`({PROGRAMS}[^`]*)`", OURS)
    lines = [line for block in blocks for line in block.splitlines() if line]
    whole = [line.removesuffix(" &") for line in [*lines, *indented, *inline]]
    return list(dict.fromkeys(line for line in whole if " " in line and "..." not in line))


@pytest.mark.parametrize("line", commands(), ids=[line[:70] for line in commands()])
def test_the_commands_of_our_runbook_work(operator: Stand, line: str) -> None:
    if reason := lacking(line):
        pytest.skip(reason)
    known = {
        "127.0.0.1:9090": f"127.0.0.1:{operator.operations}",
        "127.0.0.1:8080": f"127.0.0.1:{operator.api}",
        "pod POD": f"pod {cluster.POD}",
        "logs POD": f"logs {cluster.POD}",
        "HOST PORT": "postgres 5432",
        "--route NAME": "--route nobody",
    }
    for written, meant in known.items():
        line = line.replace(written, meant)
    port = str(operator.operations)
    found = operator.sh(re.sub(r"^fi-fhir", "./fi-fhir", line), FI_FHIR_METRICS_PORT=port)
    told = found.stdout + found.stderr
    replays = line.endswith("--dlq --since 24h")  # here its destinations are still down
    assert found.returncode == (1 if replays else 0), told[-2000:]
    assert "Traceback" not in told
