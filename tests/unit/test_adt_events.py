"""Every trigger event of the table becomes its event, both ways, and merges say what was merged."""

import json
from typing import Any

import pytest

from fifhir import tables
from fifhir.errors import MessageError
from fifhir.event import encode
from fifhir.intake import Feed, read, read_json

PATIENT = b"PID|1||7001^^^HERE^MR||Tarn^Odile||19710325|F\r"
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


@pytest.mark.parametrize(("kind", "trigger"), [key for key in tables.TRIGGERS if key[0] == b"ADT"])
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


def test_several_merges_in_one_message_are_not_mixed() -> None:
    raw = message(b"ADT", b"A40", PATIENT, PRIOR, PATIENT.replace(b"7001", b"7002"), PRIOR)
    found = event(raw)
    assert found["type"] == "unmapped_message"
    assert [told["code"] for told in found["parse_warnings"]] == ["MULTIPLE_PATIENTS"]
    assert [each["name"] for each in found["segments"]].count("MRG") == 2


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
