"""What a user of the runbook would check, 15 to 32: commands, requests and the log."""

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fifhir import config
from tests.contract.destination import Destination
from tests.contract.stand import ADT, JSON, Stand, message, webhook
from tests.waiting import until

Make = Callable[..., Stand]
REPLAY = "./fi-fhir workflow replay --dlq --since 24h"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """A folder for commands; nothing runs."""
    return Stand(tmp_path_factory.mktemp("desk"))


def test_behaviour_15_parse_prints_one_indented_object(desk: Stand) -> None:
    found = desk.sh("./fi-fhir parse --format hl7v2 --pretty < message.hl7")
    assert found.returncode == 0
    assert json.loads(found.stdout)["type"] == "patient_admit"
    assert found.stdout.splitlines()[1].startswith("  ")


@pytest.mark.parametrize("given", ["echo 'PID|1||7'", "echo nothing", "printf ''"])
def test_behaviour_16_what_is_no_message_is_an_error_on_stderr(desk: Stand, given: str) -> None:
    found = desk.sh(f"{given} | ./fi-fhir parse --format hl7v2 --pretty")
    assert found.returncode != 0
    assert (found.stdout, bool(found.stderr)) == ("", True)
    assert "Traceback" not in found.stderr
    assert desk.sh("./fi-fhir parse --format edi < message.hl7").returncode != 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("served"))
    try:
        yield made.start()
        assert made.stop() == 0
    finally:
        made.remove()


def _parse(served: Stand, **body: object) -> tuple[int, dict[str, object]]:
    status, said = served.ask("POST", "/api/v1/parse", json.dumps(body).encode(), JSON)
    return status, json.loads(said)


def test_behaviour_17_parse_answers_events_warnings_and_metadata(served: Stand) -> None:
    status, said = _parse(served, format="hl7v2", data=ADT.decode())
    assert status == 200
    assert {"events", "metadata"} <= said.keys()
    odd = ADT.decode().replace("PV1|", "ZZZ|")
    assert _parse(served, format="hl7v2", data=odd)[1]["warnings"]
    assert _parse(served, format="hl7v2", data="nothing")[0] == 400
    assert served.ask("POST", "/api/v1/parse", b"{", JSON)[0] == 400
    assert _parse(served, format="edi", data="ISA*00")[0] == 415


def test_behaviour_18_workflow_tells_routes_and_actions_and_can_be_dry(
    stand: Make, destination: Destination
) -> None:
    made = stand(webhook(f"{destination.url}/in")).start()
    status, dry = made.post(ADT, X_Dry_Run="true")
    assert (status, dry["dryRun"], dry["routesMatched"]) == (200, True, ["hook"])
    assert destination.seen == []
    status, done = made.post(ADT)
    assert (status, done["success"], done["routesMatched"]) == (200, True, ["hook"])
    assert [(each["action"], each["success"]) for each in done["actionsExecuted"]] == [
        ("webhook", True)
    ]
    assert len(destination.seen) == 1
    event = json.dumps({"event": destination.bodies()[0]}).encode()
    assert made.ask("POST", "/api/v1/workflow", event, JSON)[0] == 200


def test_behaviour_19_a_failed_action_is_told_with_the_letter_that_keeps_it(
    stand: Make, destination: Destination
) -> None:
    """202, not the 422 of the original: 422 would say that the message has to be mended."""
    destination.status = 503
    made = stand(webhook(f"{destination.url}/in")).start()
    status, said = made.post(ADT)
    assert (status, said["kept"]) == (202, "dlq")
    assert [letter["id"] for letter in made.letters()] == [said["dlqId"]]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("name: [", "w.yaml:2:1", "not YAML"),
        ("name: a\nroutes: []\n", "w.yaml:2:9", "at least 1"),
        (
            "name: a\nroutes:\n  - name: b\n    filter: {condition: 'event.'}\n"
            "    actions: [{type: log}]\n",
            "w.yaml:4:",
            "FF2",
        ),
        (
            "name: a\nroutes:\n  - name: b\n    actions: [{type: webhook}]\n",
            "w.yaml:4:",
            "missing field 'url'",
        ),
    ],
)
def test_behaviour_20_a_wrong_workflow_is_told_with_place_and_reason(
    desk: Stand, text: str, place: str, reason: str
) -> None:
    (desk.folder / "w.yaml").write_text(text)
    wrong = desk.sh("./fi-fhir workflow validate w.yaml")
    assert wrong.returncode != 0
    assert place in wrong.stdout + wrong.stderr
    assert reason in wrong.stdout + wrong.stderr
    assert desk.sh("./fi-fhir workflow validate workflow.yaml").returncode == 0


def test_behaviour_21_a_dry_run_lists_matches_and_does_nothing(
    stand: Make, destination: Destination
) -> None:
    made = stand(webhook(f"{destination.url}/in"))
    found = made.sh("./fi-fhir workflow run --dry-run --config workflow.yaml < events.json")
    assert found.returncode == 0
    assert "hook" in found.stdout
    assert destination.seen == []


@pytest.fixture
def kept(stand: Make, destination: Destination) -> Stand:
    """A daemon of two actions of which the second failed; there is one letter of it."""
    workflow = json.loads(webhook(f"{destination.url}/bad"))
    good = {"type": "webhook", "url": f"{destination.url}/good"}
    workflow["routes"][0]["actions"].insert(0, good)
    made = stand(json.dumps(workflow)).start()
    destination.open.set()
    destination.status = 503
    assert made.post(message("kept"))[0] == 202
    destination.seen.clear()
    return made


def _attempts(made: Stand) -> list[int]:
    return [letter["attempts"] for letter in made.letters()]


def test_behaviour_22_a_preview_of_a_replay_changes_nothing(kept: Stand) -> None:
    before = kept.letters()
    found = kept.sh(f"{REPLAY} --dry-run")
    assert found.returncode == 0
    told = [json.loads(line)["id"] for line in found.stdout.splitlines()]
    assert sorted(told) == sorted(letter["id"] for letter in before)
    assert kept.letters() == before


def test_behaviour_23_a_replay_runs_only_what_failed_and_twice_is_once(
    kept: Stand, destination: Destination
) -> None:
    before = _attempts(kept)
    assert kept.sh(REPLAY).returncode == 1
    assert _attempts(kept) == [count + 1 for count in before]
    destination.seen.clear()
    destination.status = 200
    together = kept.sh(f"{REPLAY} & {REPLAY} & wait; {REPLAY}")
    assert together.returncode == 0, together.stderr
    paths = sorted(at for at, _, _ in destination.seen)
    assert paths == sorted(set(paths))
    assert len(paths) == len(before)
    assert kept.letters() == []


def test_behaviour_24_since_leaves_out_what_is_older(kept: Stand) -> None:
    for since in ("24h", "30m", "7d"):
        found = kept.sh(f"./fi-fhir workflow replay --dlq --since {since} --dry-run")
        assert (found.returncode, bool(found.stdout)) == (0, True)
    old = time.time() - 2 * 3600
    with sqlite3.connect(kept.folder / "data/store.db") as database:
        database.execute(
            "UPDATE dlq_events SET last_failed_at = ?, first_failed_at = ?", (old,) * 2
        )
    assert kept.sh("./fi-fhir workflow replay --dlq --since 30m --dry-run").stdout == ""
    assert kept.sh("./fi-fhir workflow replay --dlq --since 24h --dry-run").stdout
    assert kept.sh("./fi-fhir workflow replay --dlq --since yesterday").returncode == 2


def test_behaviour_25_show_has_what_is_in_force_and_no_secret(desk: Stand) -> None:
    given = {"FI_FHIR_DATABASE_PASSWORD": "CANARY", "FI_FHIR_SERVER_PORT": "8099"}
    found = desk.sh("./fi-fhir config show", **given)
    assert found.returncode == 0
    assert re.search(r"port: 8099 +# FI_FHIR_SERVER_PORT", found.stdout)
    assert "CANARY" not in found.stdout + found.stderr
    assert "***" in found.stdout


def test_behaviour_26_validate_without_an_argument_judges_what_is_in_force(desk: Stand) -> None:
    assert desk.sh("./fi-fhir config validate").returncode == 0
    wrong = desk.sh("./fi-fhir config validate", FI_FHIR_SERVER_PORT="70000")
    assert wrong.returncode != 0
    assert "FI_FHIR_SERVER_PORT: must be between 0 and 65535" in wrong.stderr


def test_behaviour_27_env_lists_every_variable(desk: Stand) -> None:
    found = desk.sh("./fi-fhir config env").stdout
    for variable, _, name in config.variables():
        assert variable.removesuffix("_FILE" if name.endswith("_file") else "") in found
    assert found.count("[default:") == len(re.findall(r"^FI_FHIR_", found, re.MULTILINE))


def test_behaviour_28_variables_go_over_the_file_and_the_file_over_defaults(stand: Make) -> None:
    made = stand()
    (made.folder / "c.yaml").write_text("server: {read_timeout: 7s}\nmllp: {source: file}\n")
    shown = made.sh("./fi-fhir config show -c c.yaml", FI_FHIR_MLLP_SOURCE="variable").stdout
    assert re.search(r"read_timeout: 7s +# c.yaml", shown)
    assert re.search(r"source: variable +# FI_FHIR_MLLP_SOURCE", shown)
    assert re.search(r"write_timeout: 30s +# default", shown)
    quiet = stand(FI_FHIR_LOG_LEVEL="info").start()
    loud = stand(FI_FHIR_LOG_LEVEL="debug").start()
    for each in (quiet, loud):
        assert each.post(ADT)[0] == 200
    assert quiet.said("event processed") == []
    until(lambda: len(loud.said("event processed")) == 1, seconds=30)


def test_behaviour_29_version_is_told_in_one_line(desk: Stand) -> None:
    found = desk.sh("./fi-fhir version")
    assert found.returncode == 0
    assert len(re.findall(r"^fi-fhir \d+\.\d+\.\d+", found.stdout, re.MULTILINE)) == 1


def test_behaviour_30_every_line_of_the_log_is_json(stand: Make, destination: Destination) -> None:
    destination.status = 503
    oauth = {"token_url": "http://127.0.0.1:1/token", "client_id": "a", "client_secret": "b"}
    made = stand(webhook(f"{destination.url}/in", **oauth)).start()
    assert made.post(message("logged"))[0] == 202
    assert made.stop() == 0
    lines = made.lines()
    assert all({"timestamp", "level", "message"} <= line.keys() for line in lines)
    assert {line["level"] for line in lines} <= {"debug", "info", "warn", "error"}
    assert "error" in {line["level"] for line in lines}
    durations = [line["duration_ms"] for line in lines if "duration_ms" in line]
    assert durations
    assert all(isinstance(each, int | float) for each in durations)


def test_behaviour_31_a_request_is_followed_by_its_trace_id(
    stand: Make, destination: Destination
) -> None:
    destination.status = 503
    made = stand(webhook(f"{destination.url}/in"), workers=2).start()
    trace = os.urandom(16).hex()
    for number in range(4):
        made.post(message(f"traced{number}"), traceparent=f"00-{trace}-{'1' * 16}-01")
    made.post(message("other"))
    mine = [line for line in made.said("dlq") if line.get("trace_id") == trace]
    assert len(mine) == 4
    assert len(made.said("event moved to dlq")) == 5


def test_behaviour_32_dlq_and_oauth_are_told_without_the_secret(
    stand: Make, destination: Destination
) -> None:
    keys = {"token_url": f"{destination.url}/token", "client_id": "me", "client_secret": "CANARY"}
    made = stand(webhook(f"{destination.url}/in", **keys)).start()
    destination.status = 503
    assert made.post(message("told"))[0] == 202
    body = json.dumps({"source": "dlq", "dryRun": False}).encode()
    assert made.ask("POST", "/api/v1/workflow/replay", body, JSON)[0] == 200
    assert made.said("event moved to dlq")
    assert made.said("dlq replay")
    assert made.said("oauth token fetched")
    text = made.log_file.read_text()
    assert "CANARY" not in text
    assert "t1" not in re.findall(r'"t\d+"', text)


def test_what_a_pod_says_before_it_ends_is_json_too(stand: Make, tmp_path: Path) -> None:
    made = stand(FI_FHIR_SERVER_PRT="1")
    found = made.sh("./fi-fhir serve")
    assert (found.returncode, found.stderr) == (78, "")
    (line,) = map(json.loads, found.stdout.splitlines())
    assert (line["level"], "FI_FHIR_SERVER_PORT" in line["reason"]) == ("error", True)
