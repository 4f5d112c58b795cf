"""Every query of the dashboard and every alert, asked of a Prometheus that scraped a daemon."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.waiting import until

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "dashboards/grafana/workflow-overview.json").read_text())
RULES = ROOT / "dashboards/alerting/fi-fhir.rules.yaml"
ADT = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|%d|P|2.5.1\rPID|1||7^^^B^MR||TEAPOT\rPV1|1|I\r"
VARIABLES = {"$__rate_interval": "1m", "$namespace": ".*", "$pod": ".*", "$route": ".*"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not shutil.which("prometheus"), reason="there is no prometheus (Debian: apt-get install it)"
    ),
]


def ask(port: int, path: str) -> Any:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("GET", path)
        return json.loads(client.getresponse().read())
    finally:
        client.close()


def load(port: int, messages: int) -> None:
    headers = {"Content-Type": "application/hl7-v2"}
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(client):
        for number in range(messages):
            client.request("POST", "/api/v1/workflow", ADT % number, headers)
            assert client.getresponse().read()
            time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prometheus that has scraped a daemon under load a few times."""
    house = tmp_path_factory.mktemp("prometheus")
    log, ports = house / "log", (free_port(), free_port(), free_port())
    words = ["--port", str(ports[0]), "--metrics-port", str(ports[1]), "--workers", "2"]
    target = f"targets: ['127.0.0.1:{ports[1]}'], labels: {{namespace: fi-fhir, pod: a}}"
    (house / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
        f"scrape_configs: [{{job_name: fi-fhir, static_configs: [{{{target}}}]}}]\n"
    )
    command = [
        "prometheus",
        f"--config.file={house}/prometheus.yml",
        f"--storage.tsdb.path={house}/db",
    ]
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "fifhir", "serve", *words], stdout=out, stderr=out
        )
        watch = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{ports[2]}"], stdout=out, stderr=out
        )
    try:
        until(lambda: b'"ready"' in log.read_bytes(), seconds=60)
        load(ports[0], 400)
        until(lambda: scrapes(ports[2]) >= 4, seconds=60)
        yield ports[2]
    finally:
        for process in (daemon, watch):
            process.kill()
            process.wait()


def scrapes(port: int) -> int:
    try:
        found = ask(port, f"/api/v1/query?query={quote('count_over_time(up[5m])')}")
    except (OSError, ValueError):
        return 0
    return int(found["data"]["result"][0]["value"][1]) if found["data"]["result"] else 0


def queries() -> list[tuple[str, str]]:
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.mark.parametrize(("title", "expression"), queries(), ids=[title for title, _ in queries()])
def test_a_panel_shows_something(prometheus: int, title: str, expression: str) -> None:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    found = ask(prometheus, f"/api/v1/query?query={quote(expression)}")
    assert found["status"] == "success", found.get("error")
    if "fi_fhir_mllp_" not in expression and title not in {
        "Replaced, by cause",
        "Circuit breakers",
        "Turned away by the rate limiter",
        "Errors by type",
        "Error rate",
        "Not sent by route",
        "Breaker changes",
        "Tries beyond the first",
        "Commits, p99",
        "Rows of a commit",
    }:  # quiet as long as nothing happens, and MLLP as long as it is off
        assert found["data"]["result"], expression


def test_the_daemons_counts_reach_it(prometheus: int) -> None:
    found = ask(prometheus, "/api/v1/query?query=sum(workflow_events_processed_total)")
    assert float(found["data"]["result"][0]["value"][1]) == 400


def test_no_alert_fires_for_a_daemon_that_is_well(prometheus: int) -> None:
    groups = ask(prometheus, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(re.findall(r"- alert:", RULES.read_text()))
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
