"""What a user of the runbook would check, 33 to 40: stopping, changing, deploying."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fifhir.metrics import Catalogue, exposition
from fifhir.scoreboard import Scoreboard
from tests.contract.destination import Destination
from tests.contract.stand import ADT, RAW, ROOT, Stand, message, name_of, webhook
from tests.postgres import Server
from tests.waiting import until

Make = Callable[..., Stand]
RULES = ROOT / "dashboards/alerting"
NOBODY = 65532
FOUR = {"HighErrorRate", "DLQBacklog", "HighLatency", "CircuitBreakerOpen"}


def test_behaviour_33_a_drain_loses_nothing_and_a_killed_worker_comes_back(
    stand: Make, destination: Destination
) -> None:
    made = stand(webhook(f"{destination.url}/in"), workers=2).start()
    victim = made.status()["workers"][0]["pid"]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len([w for w in made.status()["workers"] if w["pid"] != victim]) == 2, seconds=60)
    until(lambda: all(w["state"] == "ready" for w in made.status()["workers"]), seconds=60)
    destination.open.clear()
    answers: list[int] = []
    senders = [
        threading.Thread(target=lambda n=n: answers.append(made.post(message(f"drained{n}"))[0]))
        for n in range(5)
    ]
    for sender in senders:
        sender.start()
    until(lambda: destination.now == 5, seconds=60)
    assert made.process
    made.process.send_signal(signal.SIGTERM)
    destination.open.set()
    for sender in senders:
        sender.join(60)
    assert made.process.wait(60) == 0
    assert answers == [200] * 5
    assert len(destination.seen) == 5


def test_behaviour_34_another_workflow_takes_effect_and_no_message_is_dropped(
    stand: Make,
) -> None:
    made = stand().start()
    done, statuses = threading.Event(), []

    def send() -> None:
        while not done.is_set():
            statuses.append(made.ask("POST", "/api/v1/workflow", ADT, RAW)[0])

    sender = threading.Thread(target=send)
    sender.start()
    path = made.folder / "workflow.yaml"
    path.with_suffix(".new").write_text(path.read_text().replace("name: all", "name: renamed"))
    path.with_suffix(".new").rename(path)
    until(lambda: made.post(ADT)[1]["routesMatched"] == ["renamed"], seconds=60)
    done.set()
    sender.join(60)
    assert set(statuses) == {200}


def _chart(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    helm = pytest.importorskip("helm_python", reason="no Helm engine: make deploy-tools")
    texts = helm.Chart.load(ROOT / "deploy/helm/fi-fhir").render(
        values=values, name="fi-fhir", namespace="fi-fhir"
    )
    manifests = (text for path, text in texts.items() if path.endswith(".yaml"))
    made = (each for text in manifests for each in yaml.safe_load_all(text) if each)
    return {each["kind"]: each for each in made}


def test_behaviour_35_the_chart_renders_with_defaults_and_with_the_runbooks_flags() -> None:
    plain = _chart({})
    (container,) = plain["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    database = {"host": "postgres", "name": "fifhir", "username": "fifhir"}
    text = "name: own\nroutes: [{name: a, actions: [{type: log}]}]\n"
    flags = _chart(
        {
            "secrets": {"database": database},
            "config": {"database": {"enabled": True, "maxOpenConns": 50}},
            "autoscaling": {"enabled": True},
            "resources": {"limits": {"memory": "1Gi"}},
            "workflowConfig": text,
        }
    )
    assert flags["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "fi-fhir"
    assert flags["ConfigMap"]["data"]["workflow.yaml"] == text
    (container,) = flags["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert {"name": "FI_FHIR_DATABASE_MAX_OPEN_CONNS", "value": "50"} in container["env"]


CONFINED = """\
set -e
mount --make-rprivate /
mount --bind / / && mount -o remount,ro,bind /
mount -t tmpfs tmpfs {folder}
mkdir {folder}/data && chown {user}:{user} {folder}/data
cd /
exec setpriv --reuid {user} --regid {user} --clear-groups --bounding-set=-all --inh-caps=-all \
    --no-new-privs "$@"
"""


def test_behaviour_36_it_runs_as_65532_with_nothing_to_write_but_its_store(
    stand: Make,
) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("NOT CONFINED: only root can take itself every right, with setpriv")
    made = stand(FI_FHIR_WORKFLOW_CONFIG_PATH="", PYTHONDONTWRITEBYTECODE="1")
    folder = Path(tempfile.mkdtemp(prefix="fifhir-pod-", dir="/tmp"))  # where all may go in
    folder.chmod(0o755)
    made.environ["FI_FHIR_DATA_DIR"] = str(folder / "data")
    script = CONFINED.format(folder=folder, user=NOBODY)
    words = [sys.executable, "-m", "fifhir", "serve", "--port", "0", "--metrics-port", "0"]
    with made.log_file.open("ab") as out:
        made.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, "sh", *words, "--workers", "2"],
            stdout=out,
            stderr=out,
            env=made.environ,
        )
    until(lambda: b'"ready"' in made.log_file.read_bytes() or made.process_ended(), seconds=60)
    if made.process_ended():
        said = made.log_file.read_text()
        assert "mount" in said or "unshare" in said or "Permission" in said, said
        pytest.skip(f"NOT CONFINED: {said.strip().splitlines()[-1]}")
    (ready,) = made.said("ready")
    made.api = int(ready["address"].rpartition(":")[2])
    made.operations = int(ready["operations"].rpartition(":")[2])
    status = Path(f"/proc/{made.status()['workers'][0]['pid']}/status").read_text()
    assert re.search(rf"^Uid:\t{NOBODY}\t", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert made.post(ADT)[0] == 200
    assert made.metric("workflow_events_processed_total") == 1
    assert made.metric("fi_fhir_workers") == 2


def test_behaviour_37_the_four_alerts_fire_on_crafted_series() -> None:
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool (Debian: apt-get install prometheus)")
    for words in (
        ("check", "rules", "fi-fhir.rules.yaml"),
        ("test", "rules", "fi-fhir.rules.test.yaml"),
    ):
        found = subprocess.run(
            ["promtool", *words],
            cwd=RULES,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
    tested = yaml.safe_load((RULES / "fi-fhir.rules.test.yaml").read_text())["tests"]
    firing = {
        each["alertname"]
        for test in tested
        for each in test.get("alert_rule_test", ())
        if each.get("exp_alerts")
    }
    assert {f"FiFhir{name}" for name in FOUR} <= firing


def test_behaviour_38_every_panel_asks_for_metrics_there_are() -> None:
    board = json.loads((ROOT / "dashboards/grafana/workflow-overview.json").read_text())
    catalogue = Catalogue(
        event_types=("patient_admit",), routes=[("all", "log")], endpoints=["https://a:443"]
    )
    text = exposition(Scoreboard(catalogue, 1)).decode()
    there = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for panel in board["panels"]
        for target in panel.get("targets", ())
        for name in re.findall(r"\b(?:workflow|fi_fhir)_[a-z_]+", target["expr"])
    }
    assert asked
    assert asked <= there
    assert {"title", "uid", "panels", "schemaVersion", "templating"} <= board.keys()


def test_behaviour_39_nc_and_psql_do_in_the_pod_what_the_runbook_asks(
    stand: Make, postgres: Server, destination: Destination
) -> None:
    image = (ROOT / "deploy/docker/Dockerfile").read_text().split()
    assert {"netcat-openbsd", "postgresql-client"} <= set(image)
    dsn = postgres.database()
    made = stand(webhook(f"{destination.url}/in"), FI_FHIR_DATABASE_DSN=dsn).start()
    assert made.post(ADT, X_Ack_When="after_store")[0] == 202
    given = {
        "PGHOST": str(postgres.folder),
        "PGUSER": "postgres",
        "PGDATABASE": name_of(dsn),
    }
    if not shutil.which("psql") or not shutil.which("nc"):
        pytest.skip("there is no psql or nc (Debian: postgresql-client, netcat-openbsd)")
    assert made.sh('psql -c "VACUUM ANALYZE workflow_events;"', **given).stdout == "VACUUM\n"
    assert made.sh(f"nc -zv 127.0.0.1 {made.api}").returncode == 0
    assert made.sh("nc -zv 127.0.0.1 1").returncode != 0


def test_behaviour_40_a_token_that_is_refused_is_renewed_once(
    stand: Make, destination: Destination
) -> None:
    action = {
        "type": "fhir",
        "endpoint": f"{destination.url}/fhir",
        "token_url": f"{destination.url}/token",
        "client_id": "me",
        "client_secret": "hush",
        "retry_max": 0,
    }
    made = stand(
        json.dumps({"name": "w", "routes": [{"name": "fhir", "actions": [action]}]})
    ).start()
    destination.refused_tokens = {"t1"}
    assert made.post(message("renewed"))[0] == 200
    assert len(destination.tokens) == 2
    destination.refused_tokens = {f"t{number}" for number in range(9)}
    status, said = made.post(message("refused"))
    assert status == 202
    (letter,) = made.letters()
    assert (letter["id"], letter["error_type"]) == (said["dlqId"], "auth_error")
    authorised = [headers["Authorization"] for _, headers, _ in destination.seen]
    assert authorised == ["Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]
