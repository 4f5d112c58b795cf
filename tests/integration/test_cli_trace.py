"""`fi-fhir trace`: everything about a message, where it belongs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_cli import fi_fhir

MESSAGE = (
    "MSH|^~\\&|A|B|||20260701||ADT^A01|1|P|2.5\r"
    "PID|1||M1^^^A^MR~123456789^^^^SS||TEAPOT^[red]HAZEL\x1b[2J||1970-01-02\r"
    "ARV|1\r"
)
ORIGINAL = Path(__file__).parents[2] / "examples" / "profiles" / "original.yaml"
ROUTES = """
name: w
routes:
  - {name: all, actions: [{type: log}]}
  - {name: women, filter: {condition: event.patient.gender == 'F'}, actions: [{type: log}]}
  - {name: teapots, filter: {condition: event.patient.mrn == 'M1'}, actions: [{type: log}]}
  - {name: kettles, filter: {condition: event.patient.mrn == 'M2'}, actions: [{type: log}]}
  - {name: labs, filter: {event_type: lab_result, source: lab}, actions: [{type: log}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.hl7"
    path.write_bytes(MESSAGE.encode())
    return path


def test_each_field_has_its_name_its_warnings_and_whether_it_is_read(file: Path) -> None:
    done = fi_fhir("trace", file, "--profile", ORIGINAL)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.lstrip("│├└─ \xa0") for line in done.stdout.splitlines()]
    at = lines.index("PID-3  Patient Identifier List  M1^^^A^MR~123456789^^^^SS")
    assert lines[at + 1].startswith("INVALID_SSN_PATTERN: ")
    at = lines.index("PID-7  Date/Time of Birth  1970-01-02")
    assert lines[at + 1].startswith("INVALID_DTM: ")
    assert lines[1] == "MISSING_PV1: PV1 segment is missing"
    assert "PID-1  Set ID  1  not read" in lines
    assert "ARV-1  1  not read" in lines
    assert '"type": "patient_admit",' in lines


def test_a_value_cannot_steer_the_terminal(file: Path) -> None:
    done = fi_fhir("trace", file, FORCE_COLOR="1")
    assert r"[red]HAZEL\x1b[2J" in done.stdout
    assert "\x1b[2J" not in done.stdout
    assert "\x1b[" in done.stdout
    assert "\x1b" not in fi_fhir("trace", file).stdout


def test_routes_say_why_they_do_not_take_it(file: Path, tmp_path: Path) -> None:
    workflow = tmp_path / "w.yaml"
    workflow.write_text(ROUTES)
    done = fi_fhir("trace", file, "--workflow", workflow)
    assert "route all takes it: log" in done.stdout
    why = "event_type is patient_admit, not lab_result; source is unknown, not lab"
    assert f"route labs does not: {why}" in done.stdout
    assert "route women does not: its condition has no answer for this event: " in done.stdout
    assert "route teapots takes it: log" in done.stdout
    assert "route kettles does not: its condition does not hold" in done.stdout


def test_only_what_is_not_read(file: Path) -> None:
    done = fi_fhir("trace", file, "--unread")
    assert "ARV-1" in done.stdout
    assert "PID-5" not in done.stdout
    assert "patient_admit" not in done.stdout


def test_all_of_it_as_json(file: Path) -> None:
    told: dict[str, Any] = json.loads(fi_fhir("trace", file, "--json").stdout)
    assert told["event"]["type"] == "patient_admit"
    (pid,) = [segment for segment in told["segments"] if segment["path"] == "PID"]
    assert pid["fields"][0] == {"path": "PID-1", "name": "Set ID", "value": "1", "read": False}


def test_a_message_that_cannot_be_read_is_shown_as_far_as_it_can(tmp_path: Path) -> None:
    file = tmp_path / "m.hl7"
    file.write_bytes(b"MSH|^~\\&|A|B|||20260701||ADT^A01|1|P|2.5\rPV1|1|I\rMSH|\r")
    done = fi_fhir("trace", file)
    assert done.returncode == 1
    assert "PID: missing_segment: PID segment not found" in done.stdout
    assert "PV1-2  Patient Class  I" in done.stdout
    assert "message 2 (byte 49)" in done.stdout
