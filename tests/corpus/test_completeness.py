"""Nothing of a real message is left behind: lists, identifiers, visits and times, read anew here.

What is wanted is cut out of the bytes with `split`; none of our tables has a say in it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from fifhir.event import encode, event_type
from fifhir.event.admission import Registration
from fifhir.event.result import Results
from tests.corpus.conftest import Naive, Read

LISTS = {
    "NK1": "next_of_kin",
    "OBX": "observations",
    "DG1": "conditions",
    "PR1": "procedures",
    "IN1": "insurance_info",
    "GT1": "guarantors",
}
DTM = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?(\.\d{1,4})?)?([+-]\d{4})?")


def field(message: Naive, segment: str, number: int, component: int = 1) -> str:
    """The first repetition of a field of the first such segment; "" for a null, too."""
    fields = (message.named(segment) or [[]])[0]
    number -= segment == "MSH"
    whole = fields[number] if len(fields) > number else ""
    parts = whole.split("~")[0].split(message.component)
    value = parts[component - 1].split("&")[0] if len(parts) >= component else ""
    return "" if value == '""' else value


def plain(read: list[Read]) -> Iterator[tuple[str, Naive, dict[str, Any]]]:
    """Events of messages about one patient with the usual delimiters and no escapes, as JSON."""
    for name, message, event in read:
        text = "|".join("|".join(fields) for fields in message.segments)
        is_usual = "^~\\&" in message.segments[0][1] and text.count("\\") == 1
        if is_usual and len(message.named("PID")) == 1 and event_type(event) != "unmapped_message":
            yield name, message, json.loads(encode(event))


def whole(told: dict[str, Any], key: str) -> int:
    """How many things a list holds, those of several patients together."""
    found = sum(whole(each, key) for each in told.get("patients", ()))
    return found + len(told.get(key, ()))


def test_a_registration_has_as_many_of_each_thing_as_were_sent(read: list[Read]) -> None:
    seen = dict.fromkeys(LISTS, 0)
    for name, message, event in read:
        if not isinstance(event, Registration):
            continue
        told = json.loads(encode(event))
        for segment, key in LISTS.items():
            sent = len(message.named(segment))
            assert whole(told, key) == sent, name
            seen[segment] += sent
        allergies = len(message.named("AL1")) + len(message.named("IAM"))
        assert whole(told, "allergies") == allergies, name
    assert all(seen.values())


def test_results_have_every_order_and_every_specimen(read: list[Read]) -> None:
    seen = 0
    for name, message, event in read:
        if isinstance(event, Results):
            told = json.loads(encode(event))
            assert whole(told, "results") == len(message.named("OBX")), name
            assert whole(told, "orders") == len(message.named("OBR")), name
            assert whole(told, "specimens") == len(message.named("SPM")), name
            seen += len(message.named("SPM"))
    assert seen > 20


def test_every_dose_is_told(read: list[Read]) -> None:
    seen = 0
    for name, message, event in read:
        if event_type(event) == "immunization":
            told = json.loads(encode(event))
            assert len(told.get("immunizations", ())) == len(message.named("RXA")), name
            seen += len(message.named("RXA"))
    assert seen > 40


def test_there_is_a_patient_where_there_is_one(read: list[Read]) -> None:
    seen = 0
    for name, message, told in plain(read):
        pid = message.named("PID")[0]
        is_somebody = any(value not in ("", '""') for value in (*pid[3:4], *pid[5:6]))
        if is_somebody and told["type"] not in ("query_response", "query"):  # they list records
            assert "patient" in told, name
            seen += 1
    assert seen > 600


def test_every_identifier_is_told_with_its_type_and_assigner(read: list[Read]) -> None:
    seen = 0
    for name, message, told in plain(read):
        if "patient" not in told:
            continue
        pid = [*message.named("PID")[0], *[""] * 4]
        sent = [repetition.split(message.component) + [""] * 5 for repetition in pid[3].split("~")]
        wanted = [
            (cx[0].split("&")[0], cx[3].split("&")[0]) for cx in sent if any(cx) and cx[0] != '""'
        ]
        found = [
            (each.get("value") or "", each.get("assigner") or "")
            for each in told["patient"]["identifiers"].get("identifiers", ())
            if each.get("value") is not None or each.get("assigner")
        ]
        assert found == [each for each in wanted if any(each)], name
        seen += len(wanted)
    assert seen > 900


@pytest.mark.parametrize(
    ("segment", "number", "key"),
    [("PV1", 19, "id"), ("PV1", 2, "class"), ("PV1", 10, "service_type")],
)
def test_the_visit_is_the_one_sent(read: list[Read], segment: str, number: int, key: str) -> None:
    seen = 0
    for name, message, told in plain(read):
        if "encounter" in told and len(message.named("PV1")) == 1:
            assert (told["encounter"].get(key) or "") == field(message, segment, number), name
            seen += 1
    assert seen > 300


def moment(sent: str, fallback: str) -> str | None:
    """An HL7 time as ISO 8601, to the day if that is all; None for what is not one."""
    found = DTM.fullmatch(sent)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if hour is None:
        return None if offset else f"{year}-{month}-{day}"
    offset = offset or fallback
    zone = f"{offset[:3]}:{offset[3:]}" if offset and offset[1:] != "0000" else "Z"
    return f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction or ''}{zone}"


@pytest.mark.parametrize(
    ("segment", "number", "path"),
    [
        ("MSH", 7, "header.sent_at"),
        ("PID", 7, "patient.date_of_birth"),
        ("PV1", 44, "encounter.admit_datetime"),
        ("PV1", 45, "encounter.discharge_datetime"),
        ("EVN", 2, "occurrence.recorded_at"),
    ],
)
def test_times_are_those_sent(read: list[Read], segment: str, number: int, path: str) -> None:
    seen = 0
    parent, key = path.split(".")
    for name, message, told in plain(read):
        tail = field(message, "MSH", 7)[-5:]
        sent = field(message, segment, number)
        wanted = moment(sent, tail if tail[:1] in ("+", "-") else "")
        if wanted is None or parent not in told or len(message.named(segment)) != 1:
            continue
        if key == "date_of_birth":
            wanted = wanted[:10]
        assert told[parent].get(key) == wanted, name
        seen += 1
    assert seen > 15
