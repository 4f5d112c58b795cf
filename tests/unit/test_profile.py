"""Source profiles: every knob does what it says, or is refused with its place."""

from typing import Any

import msgspec
import pytest

from fifhir.errors import ConfigError, MessageError
from fifhir.intake import Feed, read, read_json
from fifhir.profile import Profile
from fifhir.profile.config import load

MSH = rb"MSH|^~\&|ADT|HERE|||20260701||ADT^A01|1|P|2.5"
PID = b"PID|1||0012^^^HOSP^MR~999-88-7777^^^SSA^SS~B4^^^B^MR||DOE^JO||19700102"
PV1 = b"PV1|1|I|||||1234567890^SMITH^J^^^^^^^^^^NPI"


def message(*segments: bytes) -> bytes:
    return b"".join(segment + b"\r" for segment in segments or (MSH, PID, PV1))


def profile(text: str) -> Profile:
    return Profile(load(f"source_profile:\n  id: test\n  name: Test\n{text}", "test.yaml"))


def event(text: str, raw: bytes = message()) -> Any:
    return msgspec.to_builtins(read(raw, Feed(profile=profile(text))))


def codes(event: Any) -> list[tuple[str, str]]:
    return [(each["code"], each.get("path", "")) for each in event.get("parse_warnings", [])]


def refused(text: str, raw: bytes) -> tuple[str, str]:
    feed = Feed(profile=profile(text))
    with pytest.raises(MessageError) as fault:
        read(raw, feed)
    with pytest.raises(MessageError):
        read_json(raw, feed)
    return fault.value.reason, fault.value.location


def hl7(text: str) -> str:
    return f"  hl7v2:\n    {text}"


def identifiers(text: str) -> str:
    return f"  identifiers:\n    {text}"


def test_times_get_the_offset_of_their_date_and_zone() -> None:
    zoned = hl7("timezone: America/New_York")
    for day, offset in (("20260115", "-05:00"), ("20260715", "-04:00")):
        raw = message(MSH, PID, PV1 + b"|" * 37 + day.encode() + b"1200")
        admitted = event(zoned, raw)["encounter"]["admit_datetime"]
        assert admitted == f"{day[:4]}-{day[4:6]}-{day[6:]}T12:00:00{offset}"


def test_charset_default_reads_messages_that_name_none() -> None:
    raw = message(MSH, PID.replace(b"DOE", b"ZO\xcb"), PV1)
    told = event(hl7("encoding: {charset_default: ISO-8859-1}"), raw)
    assert told["patient"]["family_name"] == "ZO\xcb"
    assert codes(told) == []


def test_without_detection_wrong_bytes_are_refused() -> None:
    raw = message(MSH, PID.replace(b"DOE", b"ZO\xcb"), PV1)
    assert refused(hl7("encoding: {charset_detection: false}"), raw)[0] == "bad_encoding"


def test_default_version_stands_in_for_an_empty_one() -> None:
    raw = message(MSH.removesuffix(b"2.5"), PID, PV1)
    assert event(hl7('default_version: "2.3.1"'), raw)["header"]["version"] == "2.3.1"
    assert event(hl7('default_version: "2.3.1"'))["header"]["version"] == "2.5"


def test_what_a_profile_tolerates_is_a_warning_and_all_else_an_error() -> None:
    raw = message(MSH, PID)
    assert codes(event(hl7("tolerate: {missing_segments: [PV1]}"), raw)) == [("MISSING_PV1", "PV1")]
    assert refused(hl7("tolerate: {missing_segments: []}"), raw) == ("missing_segment", "PV1")


NOTE = b"NTE|1||text"
REFUSED = {
    "line endings": ("encoding: {line_ending_mode: strict}", b"\n".join((MSH, PID, PV1)), "MSH"),
    "delimiters": (
        "tolerate: {non_standard_delimiters: false}",
        message(MSH, PID, PV1).replace(b"^", b"$"),
        "MSH-2",
    ),
    "notes": ("tolerate: {nte_anywhere: false}", message(MSH, PID, NOTE, PV1, NOTE), "NTE(2)"),
    "segments": (
        "tolerate: {unknown_segments: false}",
        message(MSH, PID, PV1, b"XYZ|1"),
        "segment 4",
    ),
    "components": (
        "tolerate: {extra_components: false}\n    datatypes: {xpn_component_count: 1}",
        message(),
        "PID-5",
    ),
}


@pytest.mark.parametrize("knob", REFUSED)
def test_what_is_not_tolerated_is_refused_with_its_place(knob: str) -> None:
    text, raw, place = REFUSED[knob]
    assert refused(hl7(text), raw)[1] == place
    read(raw, Feed())


def test_more_components_than_a_profile_says_are_a_warning() -> None:
    assert codes(event(hl7("datatypes: {xpn_component_count: 1}"))) == [
        ("EXTRA_COMPONENTS", "PID-5")
    ]
    assert codes(event(hl7("datatypes: {xpn_component_count: 2}"))) == []


Z = """\
  z_segments:
    mappings:
      ZPD:
        - {field: 1, target: visit.reason}
        - {field: 2.2, target: visit.count, type: integer}
        - {field: 3, target: seen, type: datetime}
        - {field: 4, target: vip, type: boolean}
        - {field: 5, target: weight, type: float}
"""


def test_z_fields_become_typed_and_nested_extensions() -> None:
    raw = message(MSH, PID, PV1, b"ZPD|r\\T\\d|a^7|202601021530|Y|80.5", b"ZVN|1^2")
    assert event(Z, raw)["patient"]["extensions"] == {
        "visit": {"reason": "r&d", "count": 7},
        "seen": "2026-01-02T15:30:00Z",
        "vip": True,
        "weight": 80.5,
        "raw_ZVN": "1^2",
    }


def test_a_z_value_of_another_type_is_left_out_with_a_warning() -> None:
    told = event(Z, message(MSH, PID, PV1, b"ZPD||a^seven"))
    assert codes(told) == [("INVALID_Z_VALUE", "ZPD-2.2")]
    assert "extensions" not in told["patient"]


def test_later_z_segments_of_a_mapped_name_are_kept_raw() -> None:
    raw = message(MSH, PID, PV1, b"ZPD|first", b"ZPD|second", b"ZPD|third")
    assert event(Z, raw)["patient"]["extensions"]["raw_ZPD"] == ["second", "third"]


def test_a_z_segment_with_more_than_its_mapping_reads_is_kept_raw_as_well() -> None:
    told = event(Z, message(MSH, PID, PV1, b"ZPD|why||||||more"))["patient"]["extensions"]
    assert told == {"visit": {"reason": "why"}, "raw_ZPD": "why||||||more"}


def test_z_segments_are_dropped_only_where_a_profile_says_so() -> None:
    raw = message(MSH, PID, PV1, b"ZPD|1")
    assert event("", raw)["patient"]["extensions"] == {"raw_ZPD": "1"}
    assert "extensions" not in event("  z_segments: {preserve_raw: false}", raw)["patient"]


def test_an_assigner_gets_its_system() -> None:
    told = event(identifiers("assigning_authority_map: {HOSP: 'urn:oid:1.2.3'}"))
    systems = [each.get("system") for each in told["patient"]["identifiers"]["identifiers"]]
    assert systems == ["urn:oid:1.2.3", None, None]


def test_the_preferred_identifier_is_primary_and_mrn() -> None:
    told = event(identifiers("primary_id_preference: [{assigner_equals: B}, {type: SS}]"))[
        "patient"
    ]
    assert told["identifiers"]["primary"]["value"] == "B4"
    assert told["mrn"] == "B4"
    told = event(identifiers("primary_id_preference: [{assigner_contains: SA}]"))["patient"]
    assert told["identifiers"]["primary"]["type"] == "SS"
    assert told["mrn"] == "0012"


def test_an_invalid_identifier_is_a_warning_an_error_or_a_mark() -> None:
    def ssn(told: Any) -> Any:
        return told["patient"]["identifiers"]["identifiers"][1]

    told = event(identifiers("validation: {ssn: {on_invalid: warn}}"))
    assert codes(told) == [("INVALID_SSN_AREA", "PID-3(2).1")]
    assert ssn(told)["is_valid"] is False
    assert ssn(told)["validation_error"] == "INVALID_SSN_AREA"
    told = event(identifiers("validation: {ssn: {on_invalid: pass}}"))
    assert codes(told) == []
    assert ssn(told)["is_valid"] is False
    assert "is_valid" not in ssn(event(identifiers("validation: {ssn: {enabled: false}}")))
    assert (
        refused(identifiers("validation: {ssn: {on_invalid: error}}"), message())[1] == "PID-3(2).1"
    )


def test_a_providers_npi_is_checked_where_it_was_sent() -> None:
    told = event(identifiers("validation: {npi: {}}"))
    assert codes(told) == [("INVALID_NPI_CHECKSUM", "PV1-7")]


def test_values_are_written_as_a_profile_wants_and_the_original_kept() -> None:
    told = event(
        identifiers("normalization: {ssn: {strip_dashes: true}, mrn: {strip_leading_zeros: true}}")
    )
    first, ssn, _ = told["patient"]["identifiers"]["identifiers"]
    assert (first["value"], first["original_value"], told["patient"]["mrn"]) == ("12", "0012", "12")
    assert (ssn["value"], ssn["original_value"]) == ("999887777", "999-88-7777")


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ("strip_country_code: true", "(555) 123-4567"),
        ("normalize_to_digits: true", "15551234567"),
        ("strip_country_code: true, normalize_to_digits: true", "5551234567"),
    ],
)
def test_phones_are_written_as_a_profile_wants(rules: str, wanted: str) -> None:
    raw = message(MSH, PID + b"||||||+1 (555) 123-4567", PV1)
    told = event(identifiers(f"normalization: {{phone: {{{rules}}}}}"), raw)["patient"]
    assert told["phone"] == told["phones"][0]["value"] == wanted


CLASSES = """\
  hl7v2:
    event_classification:
      adt_a01:
        default: registration
        rules:
          - {condition: "PV1.2 == 'E' && !(event.patient.family_name == 'PV1.2')", event: emergency}
          - {condition: "PV1-3.1.1 in ['W1', 'W2']", event: ward}
          - {condition: "event.nowhere == 1", event: never}
"""


@pytest.mark.parametrize(
    ("visit", "wanted", "faults"),
    [
        (b"PV1|1|E", "emergency", 0),
        (b"PV1|1|I|W2&x", "ward", 0),
        (b"PV1|1|I", "registration", 1),
    ],
)
def test_a_visit_is_classified_by_the_first_condition_that_holds(
    visit: bytes, wanted: str, faults: int
) -> None:
    told = event(CLASSES, message(MSH, PID, visit))
    assert told["type"] == "patient_admit"
    assert told["encounter"]["classified_event_type"] == wanted
    assert codes(told) == [("CLASSIFICATION_FAULT", "PV1")] * faults


def test_only_the_kinds_that_have_rules_are_classified() -> None:
    raw = message(MSH.replace(b"A01", b"A02"), PID, PV1)
    assert "classified_event_type" not in event(CLASSES, raw)["encounter"]


@pytest.mark.parametrize(
    ("condition", "column"),
    [("PV1.2 = 'I'", 7), ("PV1.2 == 'I' && PV1-44.1 == 'x' && ?", 36), ("'a", 1), ("PV1.2", 0)],
)
def test_a_condition_that_is_none_is_told_with_its_column(condition: str, column: int) -> None:
    rule = f'[{{condition: "{condition}", event: x}}]'
    if not column:
        profile(hl7(f"event_classification: {{adt_a01: {{rules: {rule}}}}}"))
        return
    with pytest.raises(ConfigError) as told:
        profile(hl7(f"event_classification: {{adt_a01: {{rules: {rule}}}}}"))
    (finding,) = told.value.findings
    assert finding.text.startswith(f"character {column}: ")


WRONG = {  # and what the finding points at
    "  hl7v2: {timezone: Mars/Base}": ("Mars", "no such time zone"),
    "  hl7v2: {encoding: {charset_default: EBCDIC-XX}}": ("EBCDIC", "no such character set"),
    "  hl7v2: {encoding: {charset_default: cp037}}": ("cp037", "no such character set"),
    "  hl7v2: {tolerate: {missing_segments: [MSH]}}": ("MSH", "cannot be missing"),
    "  hl7v2: {tolerat: {}}": ("tolerat", "did you mean 'tolerate'"),
    "  edi: {companion_guide: x}": ("edi", "not available yet"),
    "  z_segments: {mappings: {APD: []}}": ("APD", "must match"),
    "  z_segments: {mappings: {ZPD: [{field: 0, target: a}]}}": ("0", "must match"),
    "  z_segments: {mappings: {ZPD: [{field: 1, target: a}, {field: 2, target: a.b}]}}": (
        "a.b",
        "cannot both",
    ),
    "  identifiers: {validation: {ssn: {on_invalid: warm}}}": ("warm", "did you mean 'warn'"),
    "  identifiers: {primary_id_preference: [{}]}": ("{}]", "prefers nothing"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_knob_that_cannot_act_is_refused_with_its_place(text: str) -> None:
    pointed, words = WRONG[text]
    with pytest.raises(ConfigError) as told:
        profile(text)
    (finding,) = told.value.findings
    assert finding.place == f"test.yaml:4:{text.index(pointed) + 1}"
    assert words in finding.text
