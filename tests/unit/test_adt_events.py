"""Every trigger event of the table becomes its event, both ways, and merges say what was merged."""

import json
from typing import Any

import pytest

from fifhir import tables
from fifhir.errors import MessageError
from fifhir.event import encode
from fifhir.intake import Feed, read, read_json

PATIENT = b"PID|1||7001^^^HERE^MR||Tarn^Odile||19710325|F\r"
BED = b"NPU|4E^412^B^NORTHFIELD|U\r"
VISIT = b"PV1|1|I|4E^412^B^HERE|E|||1990000017^Okonjo^Lysander\r"
PRIOR = b"MRG|6001^^^HERE^MR~900^^^SSA^SS||A5^^^HERE^AN||V5^^^HERE^VN||Tarn^Odette\r"


def message(kind: bytes, trigger: bytes, *segments: bytes) -> bytes:
    header = b"MSH|^~\\&|REG|HERE|||20260302080000||%b^%b|C1|P|2.5.1\rEVN|%b|20260302075500\r"
    return header % (kind, trigger, trigger) + b"".join(segments)


def event(raw: bytes) -> dict[str, Any]:
    """The event as JSON, which is the same whether it came by way of a struct or not."""
    one, other = json.loads(encode(read(raw, Feed()))), json.loads(read_json(raw, Feed())[1])
    assert one | {"received_at": ""} == other | {"received_at": ""}
    return dict(one)


@pytest.mark.parametrize(
    ("kind", "trigger"),
    [key for key in tables.TRIGGERS if key[0] == b"ADT" and key[1] != b"A20"],
)
def test_every_trigger_of_the_table_becomes_its_event(kind: bytes, trigger: bytes) -> None:
    found = event(message(kind, trigger, PATIENT, PRIOR, VISIT))
    assert found["type"] == tables.TRIGGERS[kind, trigger][0].event
    assert found["header"]["trigger_event"] == trigger.decode()
    assert found["patient"]["mrn"] == "7001"
    assert found["encounter"]["location"]["unit"] == "4E"
    assert found["timestamp"].startswith("2026-03-02T0")
    assert "parse_warnings" not in found


@pytest.mark.parametrize("trigger", [b"A18", b"A34", b"A40"])
def test_a_merge_tells_who_remains_and_what_was_merged(trigger: bytes) -> None:
    found = event(message(b"ADT", trigger, PATIENT, PRIOR))
    assert found["patient"]["identifiers"]["primary"]["value"] == "7001"
    assert found["prior"] == {
        "mrn": "6001",
        "identifiers": [
            {"value": "6001", "type": "MR", "assigner": "HERE"},
            {"value": "900", "type": "SS", "assigner": "SSA"},
        ],
        "account_number": "A5",
        "visit_number": "V5",
        "family_name": "Tarn",
        "given_name": "Odette",
    }


def test_a_merge_of_nothing_is_told_of() -> None:
    found = event(message(b"ADT", b"A40", PATIENT))
    assert "prior" not in found
    assert [told["code"] for told in found["parse_warnings"]] == ["MISSING_MRG"]


def test_results_of_nobody_are_told_of_and_kept() -> None:
    found = event(message(b"ORU", b"R01", b"OBR|1||F1|GLU\rOBX|1|NM|GLU||5.4|mmol/L|||||F\r"))
    assert "patient" not in found
    assert found["result"]["value"] == "5.4"
    assert [told["code"] for told in found["parse_warnings"]] == ["MISSING_PID"]


def test_an_admission_of_nobody_is_refused() -> None:
    with pytest.raises(MessageError, match="PID segment not found"):
        read(message(b"ADT", b"A01", VISIT), Feed())


@pytest.mark.parametrize("kind", [b"", b"^"])
def test_a_message_without_a_type_is_told_of(kind: bytes) -> None:
    raw = message(b"", b"", PATIENT).replace(b"||^|", b"||%b|" % kind)
    found = event(raw)
    assert found["type"] == "unmapped_message"
    assert [told["code"] for told in found["parse_warnings"]] == ["MISSING_MESSAGE_TYPE"]


def test_the_status_of_a_bed_is_about_nobody() -> None:
    found = event(message(b"ADT", b"A20", BED))
    assert found["type"] == "bed_status_update"
    assert found["location"] == {"facility": "NORTHFIELD", "unit": "4E", "room": "412", "bed": "B"}
    assert found["status"] == "U"


OTHER = PATIENT.replace(b"7001", b"8001").replace(b"Odile", b"Otto")


@pytest.mark.parametrize("trigger", [b"A17", b"A24", b"A37"])
def test_events_about_two_patients_keep_them_apart(trigger: bytes) -> None:
    there = VISIT.replace(b"4E^412^B", b"5W^501^A")
    found = event(message(b"ADT", trigger, PATIENT, VISIT, OTHER, there))
    assert "patient" not in found
    assert "encounter" not in found
    assert "parse_warnings" not in found
    one, other = found["patients"]
    assert (one["patient"]["mrn"], other["patient"]["mrn"]) == ("7001", "8001")
    assert one["encounter"]["location"]["unit"] == "4E"
    assert other["encounter"]["location"]["unit"] == "5W"


def test_several_merges_in_one_message_are_each_told() -> None:
    prior = PRIOR.replace(b"6001", b"6002")
    found = event(message(b"ADT", b"A40", PATIENT, PRIOR, OTHER, prior))
    told = [(each["patient"]["mrn"], each["prior"]["mrn"]) for each in found["patients"]]
    assert told == [("7001", "6001"), ("8001", "6002")]
    assert "prior" not in found


def test_several_visits_moved_to_one_patient_are_each_told() -> None:
    moved = PRIOR.replace(b"V5", b"V6")
    visit = VISIT.replace(b"4E^412^B", b"5W^501^A")
    found = event(message(b"ADT", b"A45", PATIENT, PRIOR, VISIT, moved, visit))
    told = [
        (each["prior"]["visit_number"], each["encounter"]["location"]["unit"])
        for each in found["moves"]
    ]
    assert told == [("V5", "4E"), ("V6", "5W")]
    assert found["patient"]["mrn"] == "7001"


def test_what_is_known_of_one_patient_is_not_another_ones() -> None:
    allergy, diagnosis = b"AL1|1|DA|A1^Latex^L\r", b"DG1|1||J18.9^Pneumonia^I10\r"
    raw = message(b"ADT", b"A24", PATIENT, allergy, OTHER, diagnosis)
    one, other = event(raw)["patients"]
    assert one["allergies"][0]["allergen"]["text"] == "Latex"
    assert other["conditions"][0]["code"]["text"] == "Pneumonia"
    assert "conditions" not in one
    assert "allergies" not in other


def test_two_patients_where_one_is_meant_are_warned_of() -> None:
    found = event(message(b"ADT", b"A08", PATIENT, VISIT, OTHER, VISIT))
    assert found["type"] == "patient_update"
    assert [warning["code"] for warning in found["parse_warnings"]] == ["MULTIPLE_PATIENTS"]
    assert len(found["patients"]) == 2


def test_vital_signs_are_told_of_by_their_codes() -> None:
    pulse = b"OBX|1|NM|8867-4^Heart rate^LN||72|/min^^UCUM|||||F\r"
    note = b"OBX|2|ST|X1^Mood^L||calm||||||F\rNTE|1||as ever\r"
    found = event(message(b"ADT", b"A01", PATIENT, VISIT, pulse, note))
    assert [each["test"]["description"] for each in found["vital_signs"]] == ["Heart rate"]
    assert [each["result"]["value"] for each in found["observations"]] == ["72", "calm"]
    assert found["observations"][0]["result"]["value_number"] == 72
    assert found["observations"][1]["result"]["notes"] == ["as ever"]


def test_adverse_reactions_are_allergies_too() -> None:
    segments = (b"AL1|1|DA|A1^Latex^L\r", b"IAM|2|FA|A2^Nuts^L|SV|Rash|A\r")
    found = event(message(b"ADT", b"A60", PATIENT, *segments))["allergies"]
    assert [each["allergen"]["text"] for each in found] == ["Latex", "Nuts"]
    assert found[1]["action"] == "A"


def test_notes_belong_to_what_they_stand_behind() -> None:
    kin = b"NK1|1|Tarn^Otto|SPO\rNTE|1||by phone\r"
    raw = message(*(b"ADT", b"A01", PATIENT, b"NTE|1||deaf\r", kin, VISIT, b"NTE|1||window bed\r"))
    found = event(raw)
    assert found["patient"]["notes"] == ["deaf"]
    assert found["next_of_kin"][0]["notes"] == ["by phone"]
    assert found["encounter"]["notes"] == ["window bed"]
