"""FHIR of an event: what the maps of HL7 name, references that resolve, the same ids each time."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fifhir.fhir.bundle import Mapped, to_bundle
from fifhir.fhir.validate import check, outcome, us_core
from fifhir.intake import Feed, read

MSH = r"MSH|^~\&|ADT1|NORTH|FIFHIR|X|20260302081500-0500||{}|MSG1|P|2.5.1" + "\r"
PID = (
    "PID|1||4711^^^NORTH^MR~9990011^^^SSA^SS||TEAPOT^HAZEL^Q^JR^DR^^L|KETTLE|19700401|F|"
    "|2106-3^White^CDCREC|1 Pot Street^^Nowhere^ZZ^00000^USA^H||555-0101^PRN^PH|"
    "|ENG|M||||||H^Hispanic^HL70189|||1\r"
)
PV1 = "PV1|1|I|WARD^301^B^NORTH||||90001^WHISK^FENNEL^^^DR^^^NPI&2.16.840.1.113883.4.6&ISO||"
PV1 += "|MED|||||||||V42|||||||||||||||||||||||||20260302081000-0500\r"
ADT = MSH.format("ADT^A01^ADT_A01") + PID + PV1
ORU = (
    MSH.format("ORU^R01^ORU_R01")
    + PID
    + "OBR|1|P1|F1|58410-2^CBC^LN|||20260302073000-0500|||||||||90001^WHISK|||||"
    "|20260302080000-0500||LAB|F\r"
    "OBX|1|NM|718-7^Hemoglobin^LN||13.4|g/dL|12.0-16.0|N|||F|||20260302073000-0500\r"
    "OBX|2|SN|2160-0^Creatinine^LN||>^1.3|mg/dL||HH|||F\r"
    "OBX|3|CE|882-1^ABO^LN||A^Group A^L||||||F\r"
    "OBX|4|ST|X1^Comment^L||seen||||||?\r"
    "OBX|5|NM|X2^Odd^L||not a number||||||F\r"
    "OBX|6|NM|X3^Missing^L|||||||F\r"
)
MERGE = MSH.format("ADT^A40^ADT_A39") + PID + "MRG|4710^^^NORTH^MR\r"


def bundle(text: str, **more: Any) -> Mapped:
    event = msgspec.to_builtins(read(text.encode(), Feed(source="north")))
    return to_bundle(event, **more)


def made(mapped: Mapped, kind: str) -> list[dict[str, Any]]:
    entries = mapped.bundle["entry"]
    return [each["resource"] for each in entries if each["resource"]["resourceType"] == kind]


def test_a_patient_has_what_the_message_says() -> None:
    (patient,) = made(bundle(ADT), "Patient")
    assert patient["identifier"][0]["value"] == "4711"
    assert patient["identifier"][0]["system"] == "urn:id:NORTH"
    assert patient["identifier"][1]["system"] == "http://hl7.org/fhir/sid/us-ssn"
    assert patient["name"][0] == {
        "use": "official",
        "family": "TEAPOT",
        "given": ["HAZEL", "Q"],
        "prefix": ["DR"],
        "suffix": ["JR"],
    }
    assert (patient["gender"], patient["birthDate"]) == ("female", "1970-04-01")
    assert patient["telecom"] == [{"system": "phone", "value": "555-0101", "use": "home"}]
    assert patient["address"][0]["use"] == "home"
    assert patient["multipleBirthInteger"] == 1
    marital = [each["system"] for each in patient["maritalStatus"]["coding"]]
    assert marital == [
        "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus",
        "http://terminology.hl7.org/CodeSystem/v2-0002",
    ]


def test_race_and_ethnicity_are_extensions_of_us_core() -> None:
    (patient,) = made(bundle(ADT), "Patient")
    found = {each["url"].rpartition("-")[2]: each for each in patient["extension"]}
    race = {each["url"]: each for each in found["race"]["extension"]}
    assert race["ombCategory"]["valueCoding"]["code"] == "2106-3"
    ethnicity = {each["url"]: each for each in found["ethnicity"]["extension"]}
    assert ethnicity["ombCategory"]["valueCoding"]["code"] == "2135-2"
    assert ethnicity["text"]["valueString"] == "Hispanic"
    assert found["mothersMaidenName"]["valueString"] == "KETTLE"


def test_an_encounter_says_what_happened_where_and_with_whom() -> None:
    mapped = bundle(ADT)
    (encounter,) = made(mapped, "Encounter")
    assert (encounter["status"], encounter["class"]["code"]) == ("in-progress", "IMP")
    assert encounter["period"] == {"start": "2026-03-02T08:10:00-05:00"}
    assert encounter["identifier"][0]["value"] == "V42"
    (place,) = made(mapped, "Location")
    assert place["name"] == "NORTH, WARD, Room 301, Bed B"
    (practitioner,) = made(mapped, "Practitioner")
    assert practitioner["name"][0]["family"] == "WHISK"


@pytest.mark.parametrize(
    ("trigger", "status"),
    [("A03", "finished"), ("A05", "planned"), ("A11", "cancelled"), ("A21", "onleave")],
)
def test_the_trigger_decides_the_status_of_the_visit(trigger: str, status: str) -> None:
    (encounter,) = made(bundle(ADT.replace("ADT^A01^ADT_A01", f"ADT^{trigger}")), "Encounter")
    assert encounter["status"] == status


def test_every_reference_resolves_within_the_bundle() -> None:
    for text in (ADT, ORU, MERGE):
        found = bundle(text).bundle
        known = {each["fullUrl"] for each in found["entry"]}
        asked = set(references(found))
        assert asked
        assert asked <= known


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [each for item in value for each in references(item)]
    if not isinstance(value, dict):
        return []
    here = [value["reference"]] if "reference" in value else []
    return here + [each for item in value.values() for each in references(item)]


def test_values_are_of_the_type_they_claim_or_text() -> None:
    observations = made(bundle(ORU), "Observation")
    quantity, bound, concept, text, odd, missing = observations
    ucum = {"system": "http://unitsofmeasure.org", "code": "g/dL"}
    assert quantity["valueQuantity"] == {"value": 13.4, "unit": "g/dL", **ucum}
    assert quantity["referenceRange"][0]["low"]["value"] == 12.0
    assert bound["valueQuantity"]["comparator"] == ">"
    assert bound["interpretation"][0]["coding"][0]["code"] == "HH"
    assert concept["valueCodeableConcept"]["coding"][0]["display"] == "Group A"
    assert text["valueString"] == "seen"
    assert odd["valueString"] == "not a number"
    assert missing["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_an_unknown_code_is_told_and_not_guessed() -> None:
    mapped = bundle(ORU)
    assert [each["status"] for each in made(mapped, "Observation")][3] == "unknown"
    assert ("observation_status", "Observation") in {
        (issue.code, issue.resource) for issue in mapped.issues
    }
    assert "?" not in "".join(issue.text for issue in mapped.issues)


def test_a_report_gathers_the_results_of_its_order() -> None:
    mapped = bundle(ORU)
    (report,) = made(mapped, "DiagnosticReport")
    assert (report["status"], report["issued"]) == ("final", "2026-03-02T08:00:00-05:00")
    assert len(report["result"]) == 6
    (request,) = made(mapped, "ServiceRequest")
    assert {each["value"] for each in request["identifier"]} == {"P1", "F1"}


def test_a_merge_links_the_two_records() -> None:
    survivor, prior = made(bundle(MERGE), "Patient")
    assert survivor["link"][0]["type"] == "replaces"
    assert (prior["active"], prior["link"][0]["type"]) == (False, "replaced-by")
    assert prior["identifier"][0]["value"] == "4710"


def test_the_same_message_makes_the_same_bundle() -> None:
    def timeless(text: str) -> str:
        found = bundle(text).bundle
        for each in made(Mapped(found, ()), "Provenance"):
            each.pop("recorded")
        return json.dumps(found)

    assert timeless(ORU) == timeless(ORU)


def test_two_messages_about_one_patient_write_one_patient() -> None:
    ids = {made(bundle(text), "Patient")[0]["id"] for text in (ADT, ORU, MERGE)}
    assert len(ids) == 1


@pytest.mark.parametrize("strategy", ["put", "conditional_create", "conditional_update"])
def test_every_entry_asks_to_be_written_once(strategy: Any) -> None:
    for each in bundle(ORU, strategy=strategy).bundle["entry"]:
        request = each["request"]
        if strategy == "put":
            assert request["url"] == f"{each['resource']['resourceType']}/{each['resource']['id']}"
        else:
            assert "?" in request["url"] or request["ifNoneExist"]
            assert "id" not in each["resource"]


@pytest.mark.parametrize("text", [ADT, ORU, MERGE])
def test_what_is_made_keeps_the_rules_of_us_core(text: str) -> None:
    for each in bundle(text).bundle["entry"]:
        assert list(check(each["resource"], us_core())) == []


def test_a_rule_that_is_broken_is_told_with_its_place() -> None:
    (patient,) = made(bundle(ADT), "Patient")
    del patient["gender"], patient["identifier"][0]["system"]
    places = [finding.expression[0] for finding in check(patient, us_core())]
    assert places == ["Patient.identifier.system", "Patient.gender"]
    assert outcome(check(patient, us_core()))["issue"][0]["severity"] == "error"


def test_nothing_empty_is_ever_written() -> None:
    def walk(value: Any, seen: Callable[[Any], None]) -> None:
        seen(value)
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list | str):
                walk(each, seen) if not isinstance(each, str) else seen(each)

    def full(value: Any) -> None:
        assert value not in ("", [], {})

    for text in (ADT, ORU, MERGE, MSH.format("ADT^A01") + "PID|1||7\rPV1|1|I\r"):
        walk(bundle(text).bundle, full)


def test_an_event_without_a_patient_is_refused() -> None:
    with pytest.raises(ValueError, match="unmapped_message"):
        bundle(MSH.format("ZZZ^Z01") + "ZZZ|1\r")


VXU = (
    MSH.format("VXU^V04^VXU_V04")
    + PID
    + "ORC|RE||V1\rRXA|0|1|20260302||48^HPV^CVX|0.5|mL^^UCUM||||||||LOT1||||||CP\r"
    "RXR|IM^Intramuscular^HL70162|LD^Left Deltoid^HL70163\r"
)
SIU = (
    MSH.format("SIU^S12^SIU_S12")
    + "SCH|P1^X|F1^X|||||^Checkup|ROUTINE^Checkup|30|min|^^^20260310090000-0500^20260310093000-0500"
    "|||||90001^WHISK\r" + PID
)


def test_a_dose_is_an_immunization() -> None:
    (dose,) = made(bundle(VXU), "Immunization")
    assert (dose["status"], dose["lotNumber"]) == ("completed", "LOT1")
    assert dose["vaccineCode"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/cvx"
    assert dose["doseQuantity"]["value"] == 0.5
    assert dose["occurrenceDateTime"].startswith("2026-03-02")


def test_a_booking_is_an_appointment() -> None:
    (booking,) = made(bundle(SIU), "Appointment")
    assert (booking["status"], booking["start"]) == ("booked", "2026-03-10T09:00:00-05:00")
    assert [each["value"] for each in booking["identifier"]] == ["P1", "F1"]
    (missed,) = made(bundle(SIU.replace("SIU^S12", "SIU^S26")), "Appointment")
    assert missed["status"] == "noshow"


def test_messages_without_a_control_id_do_not_write_over_each_other() -> None:
    nameless = ORU.replace("|MSG1|", "||").replace("|P1|F1|", "|||")
    other = nameless.replace("4711", "4712").replace("9990011", "9990012")
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest", "Provenance"):
        first = {each["id"] for each in made(bundle(nameless), kind)}
        assert first.isdisjoint(each["id"] for each in made(bundle(other), kind))


def test_a_control_id_that_comes_again_does_not_either() -> None:
    first = ORU.replace("|P1|F1|", "|||")
    later = first.replace("4711", "4712").replace("9990011", "9990012")
    mine = {each["id"] for each in made(bundle(first), "Observation")}
    assert mine.isdisjoint(each["id"] for each in made(bundle(later), "Observation"))


def test_a_bare_number_is_the_facilitys() -> None:
    bare = ADT.replace("4711^^^NORTH^MR~9990011^^^SSA^SS", "100")
    ids = {
        made(bundle(text), "Patient")[0]["id"]
        for text in (bare, bare.replace("|ADT1|NORTH|", "|ADT1|SOUTH|"))
    }
    assert len(ids) == 2


def test_several_patients_of_a_message_keep_what_is_theirs() -> None:
    other = PID.replace("4711", "4712").replace("9990011", "9990012").replace("TEAPOT", "KETTLE")
    text = ORU + other + "OBR|1|P2|F2|58410-2^CBC^LN\rOBX|1|NM|718-7^Hemoglobin^LN||9.1|g/dL\r"
    mapped = bundle(text)
    first, second = made(mapped, "Patient")
    assert [each["name"][0]["family"] for each in (first, second)] == ["TEAPOT", "KETTLE"]
    subjects = [each["subject"]["reference"] for each in made(mapped, "Observation")]
    assert subjects == [f"urn:uuid:{first['id']}"] * 6 + [f"urn:uuid:{second['id']}"]
    assert len(made(mapped, "Provenance")) == 1


def test_linked_records_name_each_other() -> None:
    other = PID.replace("4711", "4712").replace("9990011", "9990012")
    linked = bundle(MSH.format("ADT^A24^ADT_A24") + PID + other)
    first, second = made(linked, "Patient")
    assert first["link"] == [
        {"other": {"reference": f"urn:uuid:{second['id']}"}, "type": "seealso"}
    ]
    assert second["link"][0]["other"]["reference"] == f"urn:uuid:{first['id']}"


def test_a_diagnosis_of_an_admission_is_a_condition() -> None:
    (condition,) = made(bundle(ADT + "DG1|1||A15.9^Tuberculosis^I10||20260301|A\r"), "Condition")
    assert condition["code"]["coding"][0]["code"] == "A15.9"


def test_a_document_is_in_the_report_and_in_no_value() -> None:
    told = "OBX|7|ED|X4^Letter^L||SCAN^application^pdf^Base64^JVBERi0x||||||F\r"
    told += "OBX|8|RP|X5^Picture^L||https://pictures.example/1^PACS^image^png||||||F\r"
    mapped = bundle(ORU + told)
    (report,) = made(mapped, "DiagnosticReport")
    assert report["presentedForm"] == [
        {"contentType": "application/pdf", "data": "JVBERi0x", "title": "Letter"},
        {"contentType": "image/png", "url": "https://pictures.example/1", "title": "Picture"},
    ]
    assert "JVBERi0x" not in json.dumps(made(mapped, "Observation"))
