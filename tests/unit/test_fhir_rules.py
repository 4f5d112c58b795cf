"""What a strict validator has against a resource never comes out of ours, whatever was sent."""

from typing import Any

import msgspec
import pytest

from fifhir.fhir import datatypes, vocabulary
from fifhir.fhir.bundle import Mapped, to_bundle
from fifhir.intake import Feed, read

MSH = r"MSH|^~\&|ADT1|NORTH|FIFHIR|X|20260302081500-0500||{}|MSG1|P|2.5.1" + "\r"
PID = "PID|1||4711^^^NORTH^MR||TEAPOT^HAZEL||19700401|F"
ADT = MSH.format("ADT^A01^ADT_A01") + PID + "\r"
ORU = MSH.format("ORU^R01^ORU_R01") + PID + "\r"


def bundle(text: str) -> Mapped:
    return to_bundle(msgspec.to_builtins(read(text.encode(), Feed(source="north"))))


def first(text: str, kind: str) -> dict[str, Any]:
    resources = (each["resource"] for each in bundle(text).bundle["entry"])
    return next(each for each in resources if each["resourceType"] == kind)


def absent(element: dict[str, Any]) -> str:
    return str(element["extension"][0]["valueCode"])


@pytest.mark.parametrize(
    ("number", "valid"),
    [("1234567893", True), ("1234567890", False), ("123456789", False), ("12345678９3", False)],
)
def test_an_npi_has_ten_digits_that_check(number: str, valid: bool) -> None:
    assert datatypes.is_npi(number) is valid


def test_a_number_that_is_no_npi_does_not_claim_to_be_one() -> None:
    pv1 = "PV1|1|I|||||{}^WHISK^FENNEL^^^^^^NPI&2.16.840.1.113883.4.6&ISO^^^^NPI\r"
    right = first(ADT + pv1.format("1234567893"), "Practitioner")
    wrong = first(ADT + pv1.format("90001"), "Practitioner")
    assert right["identifier"][0]["system"] == "http://hl7.org/fhir/sid/us-npi"
    assert wrong["identifier"][0]["system"] != "http://hl7.org/fhir/sid/us-npi"
    assert wrong["identifier"][0]["value"] == "90001"


def test_a_code_that_hl7s_table_does_not_have_is_text() -> None:
    mapped = bundle(ADT.replace("|F\r", "|F||||||||MARRIED\r") + "PV1|1|I||Odd\r")
    patient, encounter = (
        next(
            each["resource"]
            for each in mapped.bundle["entry"]
            if each["resource"]["resourceType"] == kind
        )
        for kind in ("Patient", "Encounter")
    )
    assert patient["maritalStatus"] == {"text": "MARRIED"}
    assert encounter["type"] == [{"text": "Odd"}]
    assert {issue.code for issue in mapped.issues} == {"marital_status", "admission_type"}


def test_a_class_that_hl7s_table_does_not_have_is_words() -> None:
    assert first(ADT + "PV1|1|Odd\r", "Encounter")["class"] == {"display": "Odd"}


def test_a_report_without_its_times_says_that_they_are_not_known() -> None:
    text = "OBR|1|P1|F1|58410-2^CBC^LN|||||||||||||||||||||F\rOBX|1|NM|1^A^L||1||||||F\r"
    report = first(ORU + text, "DiagnosticReport")
    assert report["status"] == "final"
    assert absent(report["_effectiveDateTime"]) == absent(report["_issued"]) == "unknown"


def test_a_period_that_ends_before_it_starts_keeps_only_its_start() -> None:
    pv1 = "PV1|1|I" + "|" * 42 + "20260302081000-0500|20260301\r"
    mapped = bundle(ADT + pv1)
    period = first(ADT + pv1, "Encounter")["period"]
    assert period["start"] == "2026-03-02T08:10:00-05:00"
    assert absent(period["_end"]) == "error"
    assert "period" in {issue.code for issue in mapped.issues}


@pytest.mark.parametrize(
    ("start", "end", "right"),
    [
        ("2026-03-02T08:10:00-05:00", "2026-03-02T14:00:00+01:00", False),
        ("2026-03-02T08:10:00-05:00", "2026-03-02", True),
        ("2026-03", "2026-02-28", False),
        ("2026", "2026-02", True),
    ],
)
def test_times_are_compared_as_far_as_both_are_known(start: str, end: str, right: bool) -> None:
    assert datatypes.in_order(start, end) is right


def test_a_booking_without_times_stays_booked_and_says_so() -> None:
    booking = first(MSH.format("SIU^S12^SIU_S12") + "SCH|P1|F1\r" + PID + "\r", "Appointment")
    assert booking["status"] == "booked"
    assert absent(booking["_start"]) == absent(booking["_end"]) == "unknown"


def test_only_what_can_be_an_oid_is_one() -> None:
    assert vocabulary.uri("2.16.840.1.113883.4.1") == "urn:oid:2.16.840.1.113883.4.1"
    assert vocabulary.uri("1.2.3") == "urn:id:1.2.3"


def test_a_day_that_no_calendar_has_stays_text() -> None:
    obx = "OBR|1|P1|F1|1^A^L\rOBX|1|DT|1^A^L||{}||||||F\r"
    assert first(ORU + obx.format("20260229"), "Observation")["valueString"] == "20260229"
    assert first(ORU + obx.format("20260228"), "Observation")["valueDateTime"] == "2026-02-28"


def test_a_race_is_coded_only_by_a_code_that_checks() -> None:
    def codes(sent: str) -> list[str]:
        text = ADT.replace("|F\r", f"|F||{sent}^Whatever^CDCREC\r")
        parts = first(text, "Patient")["extension"][0]["extension"]
        return [each["valueCoding"]["code"] for each in parts if "valueCoding" in each]

    assert codes("2106-3") == ["2106-3"]
    assert codes("2106-4") == []


@pytest.mark.parametrize(("sent", "tag"), [("EN", "en"), ("SPA", "es"), ("pt-BR", "pt-BR")])
def test_a_language_is_a_tag(sent: str, tag: str) -> None:
    (found,) = first(ADT.replace("|F\r", f"|F|||||||{sent}\r"), "Patient")["communication"]
    assert found["language"]["coding"][0]["code"] == tag


def test_a_number_beyond_what_is_measured_has_its_comparator_and_unit() -> None:
    obx = "OBR|1|P1|F1|1^A^L\rOBX|1|NM|1^A^L||<15|mL/min||||F\r"
    quantity = first(ORU + obx, "Observation")["valueQuantity"]
    assert (quantity["comparator"], quantity["value"], quantity["unit"]) == ("<", 15, "mL/min")


def test_a_report_is_never_named_by_one_of_its_results() -> None:
    obx = "OBR|1|P1|F1|\rOBX|1|NM|HR^Heart rate^L||68|/min||||F\r"
    assert absent(first(ORU + obx, "DiagnosticReport")["code"]) == "unknown"


def test_a_sender_who_lends_a_code_from_a_table_of_hl7_does_not_get_its_system() -> None:
    nk1 = "NK1|1|TEAPOT^ROSE|Mother^Mother^HL70063\r"
    person = first(ADT + nk1, "RelatedPerson")
    codings = [each for concept in person["relationship"] for each in concept["coding"]]
    assert [each for each in codings if each.get("code") == "Mother"] == [
        {"code": "Mother", "display": "Mother"}
    ]


def test_a_visit_number_is_never_a_medical_record_number() -> None:
    pv1 = "PV1|1|I|||||||||||||||||V42\r"
    (identifier,) = first(ADT + pv1, "Encounter")["identifier"]
    assert identifier["type"]["coding"][0]["code"] == "VN"


def test_a_document_without_content_says_that_it_is_not_known() -> None:
    mdm = MSH.format("MDM^T01^MDM_T01") + PID + "\rTXA|1|CN|TX|20260301||||||||DOC1|||||AU\r"
    (content,) = first(mdm, "DocumentReference")["content"]
    assert absent(content["attachment"]["_url"]) == "unknown"
