"""A route changes its own copy of an event, or says why it cannot."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fifhir.document import compose
from fifhir.errors import TransformFault
from fifhir.profile.config import CodeMapping
from fifhir.schema import read
from fifhir.workflow.transform import TransformConfig, compile


class Several(msgspec.Struct, frozen=True):
    transform: tuple[TransformConfig, ...]


EVENT: dict[str, Any] = {
    "type": "lab_result",
    "source": "north",
    "patient": {"mrn": "A1", "ssn": "123", "address": {"city": "X"}},
    "test": {"local_code": "GLU"},
    "results": [{"value": "1", "note": "a"}, {"value": "2"}],
}


def changes(text: str) -> tuple[TransformConfig, ...]:
    lines = "".join(f"  - {line}\n" for line in text.strip().splitlines())
    node, findings = compose(f"transform:\n{lines}", "w")
    assert node is not None
    several, wrong = read(node, Several)
    assert [*findings, *wrong] == []
    assert several is not None
    return several.transform


def faults(line: str) -> list[str]:
    node, findings = compose(f"transform:\n  - {line}\n", "w")
    assert node is not None
    _, wrong = read(node, Several)
    return [f"{finding.code} {finding}" for finding in (*findings, *wrong)]


def after(text: str) -> dict[str, Any]:
    before = msgspec.json.encode(EVENT)
    changed = compile(changes(text))(EVENT)
    assert msgspec.json.encode(EVENT) == before, "the document itself is never changed"
    return changed


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("'a = b'", "a = b"),
        ("bare text", "bare text"),
        ("TRUE", True),
        ("nil", None),
        ("-12", -12),
        ("1.50", 1.5),
        ("12abc", "12abc"),
        ("'12'", "12"),
        ("", ""),
        ("{{.patient.mrn}}/{{.source}}", "A1/north"),
    ],
)
def test_a_field_is_set_to_what_was_written(value: str, wanted: object) -> None:
    changed = after(f'set_field: "patient.new = {value}"')
    assert changed == {**EVENT, "patient": {**EVENT["patient"], "new": wanted}}


def test_paths_reach_into_lists_and_make_objects_on_the_way() -> None:
    changed = after(
        """
        set_field: "results[1].value = 9"
        set_field: "results[*].unit = mg"
        set_field: "site.ward.name = B2"
        """
    )
    assert changed["results"] == [
        {"value": "1", "note": "a", "unit": "mg"},
        {"value": 9, "unit": "mg"},
    ]
    assert changed["site"] == {"ward": {"name": "B2"}}


def test_redacted_fields_are_gone_and_absent_ones_no_fault() -> None:
    changed = after(
        "redact: {fields: [patient.ssn, 'results[*].note', 'results[7].x', a.b, source]}"
    )
    assert changed["patient"] == {"mrn": "A1", "address": {"city": "X"}}
    assert changed["results"] == [{"value": "1"}, {"value": "2"}]
    assert "source" not in changed
    assert after("redact: {fields: ['results[0]']}")["results"] == [{"value": "2"}]


def test_rename_moves_and_copy_copies() -> None:
    changed = after(
        """
        rename: {from: patient.mrn, to: patient.medical_record_number}
        copy: {from: patient.address.city, to: city}
        copy: {from: nothing.here, to: x}
        """
    )
    assert "mrn" not in changed["patient"]
    assert changed["patient"]["medical_record_number"] == "A1"
    assert (changed["city"], changed["patient"]["address"]) == ("X", {"city": "X"})
    assert "x" not in changed


def test_codes_are_translated_by_the_mapping_of_both_systems(tmp_path: Path) -> None:
    file = tmp_path / "loinc.csv"
    file.write_text("source_code,target_code,target_display\nGLU,2345-7,Glucose\nNA,2951-2,\n")
    mapping = CodeMapping(source_system="LOCAL", target_system="LOINC", file=str(file))
    change = compile(
        changes("map_terminology: {field: test.local_code, from: LOCAL, to: LOINC}"), [mapping]
    )
    assert change(EVENT)["test"] == {"local_code": "2345-7", "local_code_display": "Glucose"}
    assert change({"test": {"local_code": "NA"}})["test"] == {"local_code": "2951-2"}
    others: list[dict[str, Any]] = [{"test": {"local_code": "?"}}, {"test": {"local_code": 1}}, {}]
    for unchanged in others:
        assert change(unchanged) == unchanged


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('set_field: "source.x = 1"', "no object or list"),
        ('set_field: "results[5].x = 1"', "beyond the end"),
        ('set_field: "patient[0] = 1"', "no object or list"),
        ('set_field: "patient[*] = 1"', "what is no list"),
        ("set_field: 'x = {{.source.y}}'", "set_field: '.y' is asked of something"),
        ("redact: {fields: [source.x]}", "no object or list"),
    ],
)
def test_what_cannot_be_changed_is_a_fault_without_a_value(text: str, words: str) -> None:
    with pytest.raises(TransformFault, match=words.replace("[", "\\[")) as caught:
        compile(changes(text))(EVENT)
    assert "north" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("{}", "FF204 w:2:5: a transform has exactly one of set_field, map_terminology, redact,"),
        ("{set_field: a = 1, redact: {fields: [b]}}", "FF204 w:2:5: a transform has exactly one"),
        ("set_field: patient", "FF203 w:2:16: write path = value"),
        ("set_field: 'a..b = 1'", "FF203 w:2:16: not a path: 'a..b'"),
        ("set_field: a = {{.b", "FF202 w:2:20: this {{ is never closed"),
        ("set_field: 'a = \"{{foo}}\"'", "FF202 w:2:24: unknown function 'foo'"),
        ("redact: {fields: [a, '*']}", "FF203 w:2:26: not a path: '*'"),
        ("redact: {fields: []}", "FF105 w:2:22: needs at least 1 entry"),
        ("rename: {from: a}", "FF104 w:2:13: missing field 'to'"),
    ],
)
def test_a_transform_that_can_never_work_is_refused(line: str, finding: str) -> None:
    assert faults(line)[0].startswith(finding)
