"""The JSON Schema of events: every event there is keeps to it, and it refuses what is none."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from fifhir import event, event_schema

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.json"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return event_schema.document()


def judge(document: dict[str, Any], event_type: str) -> jsonschema.Draft202012Validator:
    whole = {"$ref": f"#/$defs/{event_type}", "$defs": document["$defs"]}
    return jsonschema.Draft202012Validator(whole)


def test_the_schema_is_one_and_has_every_event(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$defs"].keys() >= event.EVENTS.keys()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_event_keeps_to_it(document: dict[str, Any], path: Path) -> None:
    events = [each for each in json.loads(path.read_text("utf-8")) if "type" in each]
    for each in events:
        told = each | {"received_at": "2026-01-01T00:00:00Z"}  # golden files leave it out
        faults = [fault.json_path for fault in judge(document, each["type"]).iter_errors(told)]
        assert faults == []


def test_it_refuses_a_key_nobody_has_and_a_value_of_the_wrong_kind(
    document: dict[str, Any],
) -> None:
    (told,) = json.loads((GOLDEN[0].parent / "adt_a01.json").read_text("utf-8"))
    told["patient"]["shoe_size"] = "44"
    told["patient"]["date_of_birth"] = "19700401"
    told["timestamp"] = "yesterday"
    places = {fault.json_path for fault in judge(document, told["type"]).iter_errors(told)}
    assert {"$.patient", "$.patient.date_of_birth", "$.timestamp"} <= places


def test_the_fields_of_hl7_stand_in_the_descriptions(document: dict[str, Any]) -> None:
    patient = document["$defs"]["Patient"]["properties"]
    assert patient["date_of_birth"]["description"].startswith("From PID-7")
    assert document["$defs"]["patient_admit"]["description"].startswith("ADT^A01")
