"""Every query of the dashboard and every alert, asked of a Prometheus that scraped a daemon."""

import contextlib
import http.client
import json
import os
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
WORKFLOW = """\
name: w
routes:
  - name: all
    actions: [{{type: log}}]
  - name: hook
    actions:
      - type: webhook
        url: http://127.0.0.1:{nobody}/in
        retry_max: 1
        retry_delay: 5ms
        circuit_breaker: true
        circuit_failure_threshold: 50
"""
QUIET = frozenset({"Replaced, by cause", "Turned away by the rate limiter", "MLLP frames refused"})
TROUBLE = frozenset({"FiFhirCircuitBreakerOpen", "FiFhirHighErrorRate", "FiFhirDLQBacklog"})
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


def frame(port: int, messages: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
        for number in range(messages):
            sender.sendall(b"\x0b" + ADT % (10_000 + number) + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                answer += sender.recv(65536)
            time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prometheus that has scraped a daemon under load a few times.

    One of the daemon's two destinations does not answer.
    """
    house = tmp_path_factory.mktemp("prometheus")
    log, ports = house / "log", (free_port(), free_port(), free_port())
    (house / "w.yaml").write_text(WORKFLOW.format(nobody=free_port()))
    mllp = free_port()
    environ = os.environ | {
        "FI_FHIR_DATA_DIR": str(house / "data"),
        "FI_FHIR_WORKFLOW_CONFIG_PATH": str(house / "w.yaml"),
        "FI_FHIR_MLLP_ENABLED": "true",
        "FI_FHIR_MLLP_PORT": str(mllp),
    }
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
            [sys.executable, "-m", "fifhir", "serve", *words], stdout=out, stderr=out, env=environ
        )
        watch = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{ports[2]}"], stdout=out, stderr=out
        )
    try:
        until(lambda: b'"ready"' in log.read_bytes(), seconds=60)
        load(ports[0], 400)
        frame(mllp, 100)
        until(lambda: scrapes(ports[2]) >= 4, seconds=60)
        until(lambda: known(ports[2]) == 500, seconds=60)
        yield ports[2]
    finally:
        for process in (daemon, watch):
            process.kill()
            process.wait()


def known(port: int) -> float:
    """How many events Prometheus knows to have gone into the dead letter queue."""
    query = 'sum(fi_fhir_route_events_total{route_name="hook",outcome="queued"})'
    query += ' and sum(fi_fhir_route_events_total{route_name="hook",outcome="received"}) == 500'
    found = ask(port, f"/api/v1/query?query={quote(query)}")["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


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
    if title not in QUIET:  # as long as nothing happens
        assert found["data"]["result"], expression


def test_the_daemons_counts_reach_it(prometheus: int) -> None:
    found = ask(prometheus, "/api/v1/query?query=sum(workflow_events_processed_total)")
    assert float(found["data"]["result"][0]["value"][1]) == 500


def test_the_routes_counts_add_up(prometheus: int) -> None:
    query = 'sum by (outcome) (fi_fhir_route_events_total{route_name="hook"})'
    found = ask(prometheus, f"/api/v1/query?query={quote(query)}")["data"]["result"]
    counted = {each["metric"]["outcome"]: float(each["value"][1]) for each in found}
    assert counted == {"received": 500, "filtered": 0, "sent": 0, "queued": 500, "errored": 0}


def test_no_alert_fires_but_those_of_the_destination_that_is_down(prometheus: int) -> None:
    groups = ask(prometheus, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(re.findall(r"- alert:", RULES.read_text()))
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert {rule["name"] for rule in rules if rule["state"] == "firing"} <= TROUBLE
