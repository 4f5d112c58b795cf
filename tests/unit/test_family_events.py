"""Every trigger of the tables becomes its event, whichever way the event is made."""

import json
from typing import Any

import pytest

from fifhir import tables
from fifhir.event import encode
from fifhir.intake import Feed, read, read_json
from fifhir.tables import Trigger

HEADER = b"MSH|^~\\&|APP|HERE|HUB|THERE|20260302101500-0600||%b^%b|M-1|P|2.5.1\r"
PATIENT = b"PID|1||7001^^^HERE^MR||Tarn^Odette||19620711|F\r"
CASES = [
    (kind, b"X99" if trigger == tables.ANY_TRIGGER else trigger, case)
    for (kind, trigger), cases in tables.TRIGGERS.items()
    for case in cases
]


def message(kind: bytes, trigger: bytes, case: Trigger) -> bytes:
    """A message with the segments the trigger wants, and what its condition asks for."""
    _, values = tables.PREDICATES[case.when] if case.when else ("", (b"NW",))
    needed = [name for name in case.segments if name not in (b"PID", b"ORC")]
    lines = [PATIENT, b"ORC|%b|PL-1\r" % values[-1], *(b"%b|1\r" % name for name in needed)]
    return HEADER % (kind, trigger) + b"".join(lines)


@pytest.mark.parametrize(("kind", "trigger", "case"), CASES)
def test_a_trigger_becomes_its_event(kind: bytes, trigger: bytes, case: Trigger) -> None:
    raw = message(kind, trigger, case)
    found: dict[str, Any] = json.loads(encode(read(raw, Feed())))
    written = json.loads(read_json(raw, Feed())[1])
    assert found | {"received_at": ""} == written | {"received_at": ""}
    assert found["type"] == case.event
    assert found["timestamp"] == "2026-03-02T10:15:00-06:00"
    assert found["header"]["message_type"] == kind.decode()
    assert "parse_warnings" not in found


@pytest.mark.parametrize("kind", [b"ORM^O01", b"OML^O21", b"RDE^O11"])
def test_an_order_without_a_control_code_is_a_new_one(kind: bytes) -> None:
    raw = HEADER % tuple(kind.split(b"^")) + PATIENT + b"OBR|1|PL-1\rRXE||X^Drug\r"
    found = json.loads(read_json(raw, Feed())[1])
    assert found["type"] in ("order_placed", "lab_ordered", "medication_request")


def test_notes_stay_with_what_they_annotate() -> None:
    raw = (
        HEADER % (b"ORM", b"O01") + PATIENT + b"NTE|1||on the patient\rORC|NW|1\rOBR|1\r"
        b"NTE|1||on the order\rOBX|1|ST|A||x\rNTE|1||on the result\rORC|NW|2\rOBR|2\r"
    )
    first, second = json.loads(read_json(raw, Feed())[1])["orders"]
    assert first["notes"] == ["on the order"]
    assert first["observations"][0]["result"]["notes"] == ["on the result"]
    assert "notes" not in second


def test_amounts_are_numbers_and_what_is_none_stays_as_sent() -> None:
    charges = b"FT1|1||||||||||12.50\rFT1|2||||||||||about 3\rFT1|3||||||||||0.25&USD\r"
    found = json.loads(read_json(HEADER % (b"DFT", b"P03") + PATIENT + charges, Feed())[1])
    assert [each["amount"] for each in found["transactions"]] == [12.5, "about 3", 0.25]
    assert found["total_charge_amount"] == 12.75
