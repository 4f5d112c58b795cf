"""`fi-fhir workflow`: tried from outside, on files as an engineer has them before go-live."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from fifhir import cli

ADMIT = '{"type": "patient_admit", "source": "north", "patient": {"mrn": "7", "gender": "F"}}'
RESULT = '{"type": "lab_result", "source": "lab"}'
WORKFLOW = """\
name: hospital
version: "2"
routes:
  - name: women
    filter: {event_type: patient_admit, condition: event.patient.gender == "F"}
    transform: [{set_field: "patient.label = {{.patient.mrn}}-{{.source}}"}]
    actions:
      - {type: log, message: "seen {{.patient.label}}"}
      - {type: webhook, url: "http://127.0.0.1:9/", token: hidden, retry: false}
  - name: all
    actions: [{type: log}]
"""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


FiFhir: TypeAlias = Callable[..., Done]


@pytest.fixture
def fi_fhir(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> FiFhir:
    """The command line in this process: a new one each time costs a second of start."""

    def run(*words: object, given: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["fi-fhir", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    file = tmp_path / "w.yaml"
    file.write_text(WORKFLOW)
    return file


@pytest.mark.parametrize("words", [("run", "--dry-run"), ("dry-run",)])
def test_a_dry_run_says_what_would_run(
    fi_fhir: FiFhir, workflow: Path, words: tuple[str, ...]
) -> None:
    done = fi_fhir("workflow", *words, "--config", workflow, given=f"[{ADMIT}, {RESULT}]")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Dry-run results:\n"
        "Event 1:\n"
        "  Route 'women': MATCH - would run 2 action(s)\n"
        "  Route 'all': MATCH - would run 1 action(s)\n"
        "Event 2:\n"
        "  Route 'women': NO MATCH\n"
        "  Route 'all': MATCH - would run 1 action(s)\n"
    )


def test_events_may_be_a_list_lines_laid_out_or_hl7(
    fi_fhir: FiFhir, workflow: Path, root: Path
) -> None:
    laid_out = json.dumps(json.loads(ADMIT), indent=4)
    message = (root / "examples" / "adt_a01.hl7").read_text()
    for given, count in ((f"{ADMIT}\n{RESULT}\n", 2), (laid_out + RESULT, 2), (message, 1)):
        done = fi_fhir("workflow", "dry-run", "--json", "-c", workflow, given=given)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["event"] for line in lines] == list(range(1, count + 1))
        assert all("all" in line["routes"] for line in lines)


def test_a_run_carries_out_its_actions_and_tells_what_failed(
    fi_fhir: FiFhir, workflow: Path
) -> None:
    done = fi_fhir("workflow", "run", "-c", workflow, given=ADMIT)
    assert done.returncode == 1
    assert done.stdout == "Processed 1 events, 2 route matches, 1 errors\n"
    assert '"message":"seen 7-north"' in done.stderr
    assert "Event 1, route women: webhook: no connection" in done.stderr
    done = fi_fhir("workflow", "run", "-c", workflow, "--route", "all", "--json", given=ADMIT)
    assert (done.returncode, json.loads(done.stdout)["errors"]) == (0, 0)
    done = fi_fhir("workflow", "run", "-c", workflow, "--route", "everyone", given=ADMIT)
    assert (done.returncode, done.stderr) == (
        78,
        "--route: no route 'everyone'; known: women, all\n",
    )


def test_a_simulation_does_nothing_and_shows_every_request(
    fi_fhir: FiFhir, workflow: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    done = fi_fhir("workflow", "simulate", "-v", "-c", workflow, "-o", report, given=ADMIT)
    assert done.returncode == 0
    assert done.stdout.startswith("Simulation Report:\n  Events processed: 1\n  Total actions: 3\n")
    assert '"message": "seen 7-north"' in done.stdout
    assert "hidden" not in done.stdout + report.read_text()
    told = json.loads(report.read_text())
    assert told["actions_by_type"] == {"log": 2, "webhook": 1}
    assert told["invocations"][1]["event"]["patient"]["label"] == "7-north"
    assert report.stat().st_mode & 0o077 == 0


def test_a_recording_replayed_tells_what_another_workflow_would_do(
    fi_fhir: FiFhir, workflow: Path, tmp_path: Path
) -> None:
    recording = tmp_path / "r.json"
    done = fi_fhir("workflow", "record", "-c", workflow, "-o", recording, given=ADMIT + RESULT)
    assert done.stderr.endswith(f"Recorded 2 events to {recording}\n")
    assert json.loads(recording.read_text())[0]["processing_result"]["route_matches"] == [
        "women",
        "all",
    ]
    same = fi_fhir("workflow", "replay", recording, "-c", workflow)
    assert (same.returncode, same.stderr) == (0, "")
    assert "Matched routing: 2\n  Different routing: 0\n" in same.stdout
    workflow.write_text(WORKFLOW.replace('== "F"', '== "M"'))
    other = fi_fhir("workflow", "replay", recording, "-c", workflow, "--json")
    assert other.returncode == 1
    told = json.loads(other.stdout)
    assert (told["matched_routing"], told["different_routing"]) == (1, 1)
    assert told["diffs"][0]["removed_routes"] == ["women"]


def test_the_examples_of_tests_pass(fi_fhir: FiFhir, root: Path) -> None:
    files = sorted((root / "examples").rglob("*.test.yaml"))
    done = fi_fhir("workflow", "test", *files)
    assert (done.returncode, done.stderr) == (0, "8 passed, 0 failed\n")


def test_a_test_that_fails_says_how(fi_fhir: FiFhir, workflow: Path, tmp_path: Path) -> None:
    tests = tmp_path / "t.yaml"
    tests.write_text(
        "workflow: w.yaml\ntests:\n  - name: wrong\n    event: " + ADMIT + "\n    expect:\n"
        "      event: {patient: {mrn: '8', family_name: X}}\n      routes: [all]\n"
        "      requests: [{action: log, message: seen 8}]\n"
    )
    done = fi_fhir("workflow", "test", tests)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FAILED  wrong",
        '          event.patient.mrn: expected "8", got "7"',
        '          event.patient.family_name: expected "X", got nothing',
        "          routes: expected all; got women, all",
        "          requests: expected 1, got 3: log of women, webhook of women, log of all",
        '          requests[0].message: expected "seen 8", got "seen 7-north"',
    ]


def test_findings_are_json_for_machines(fi_fhir: FiFhir, workflow: Path) -> None:
    assert json.loads(fi_fhir("workflow", "validate", "--json", workflow).stdout)["valid"] is True
    workflow.write_text(WORKFLOW.replace("event.patient.gender", "event.patient.gendre"))
    done = fi_fhir("workflow", "validate", "--json", workflow)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "valid": False,
        "errors": [
            {
                "path": f"{workflow}:5:66",
                "message": "unknown field 'patient.gendre', did you mean 'patient.gender'?",
                "severity": "error",
                "code": "FF103",
                "name": "UNKNOWN_FIELD",
            }
        ],
    }


def test_a_load_test_measures_and_judges(fi_fhir: FiFhir, workflow: Path) -> None:
    words = ("--rps", "50", "-d", "400ms", "--warmup", "100ms", "--json")
    done = fi_fhir("workflow", "loadtest", "-c", workflow, *words)
    told = json.loads(done.stdout)
    assert told["events"] == 20
    assert told["errors"] == 0
    assert done.returncode == (0 if told["passed"] else 1)
    assert "smoke" in fi_fhir("workflow", "loadtest", "--list-scenarios").stdout


def test_actions_are_listed_and_explained(fi_fhir: FiFhir) -> None:
    names = [line.split()[0] for line in fi_fhir("list", "actions").stdout.splitlines()]
    assert {"log", "webhook"} <= set(names)
    told = fi_fhir("docs", "action", "webhook").stdout
    assert "- type: webhook" in told
    assert "  retry_max: 3  # " in told
    done = fi_fhir("docs", "action", "webhok")
    assert done.returncode == 2
    assert "did you mean 'webhook'?" in done.stderr


def test_warnings_are_told_and_count_only_if_asked(fi_fhir: FiFhir, workflow: Path) -> None:
    workflow.write_text("name: w\nroutes: [{name: all, actions: [{type: log}]}]\n")
    done = fi_fhir("workflow", "validate", workflow)
    assert done.returncode == 0
    assert f"{workflow}:2:17: warning: FF301 without a filter" in done.stderr
    assert fi_fhir("workflow", "validate", "--strict", workflow).returncode == 1
    told = json.loads(fi_fhir("workflow", "validate", "--json", workflow).stdout)
    assert [(each["name"], each["severity"]) for each in told["warnings"]] == [
        ("MISSING_VERSION", "warning"),
        ("NO_FILTER", "warning"),
    ]
