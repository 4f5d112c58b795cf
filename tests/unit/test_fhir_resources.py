"""Rules of ours where the guide has no map of a message, and what holds for every resource."""

from typing import Any

import msgspec
import pytest

from fifhir import tables
from fifhir.fhir.bundle import RECIPES, Strategy, to_bundle
from fifhir.fhir.vocabulary import EXTENSIONS, MAPS, SYSTEMS
from fifhir.intake import Feed, read

MSH = r"MSH|^~\&|APP|NORTH|FIFHIR|X|20260302081500-0500||{}|MSG1|P|2.5.1" + "\r"
PID = "PID|1||4711^^^NORTH^MR||TEAPOT^HAZEL||19700401|F\r"
PV1 = "PV1|1|I|||||||||||||||||V42\r"
ADT = MSH.format("ADT^A01^ADT_A01") + PID + PV1


def bundle(text: str, strategy: Strategy = "put") -> dict[str, Any]:
    event = msgspec.to_builtins(read(text.encode(), Feed(source="north")))
    return to_bundle(event, strategy).bundle


def all_of(text: str, kind: str) -> list[dict[str, Any]]:
    resources = (each["resource"] for each in bundle(text)["entry"])
    return [each for each in resources if each["resourceType"] == kind]


def one(text: str, kind: str) -> dict[str, Any]:
    (found,) = all_of(text, kind)
    return found


def test_what_is_sent_of_a_patient_again_is_the_same_resource() -> None:
    told = "NK1|1|KETTLE^IVO|SPO\rAL1|1|DA|70618^Penicillin^RXNORM|SV\r"
    told += "DG1|1||J18.9^Pneumonia^I10||20260301|A\rIN1|1|PPO|44|Mutual||||G1\r"
    first = ADT + told
    later = first.replace("MSG1", "MSG2").replace("ADT^A01^ADT_A01", "ADT^A08^ADT_A01")
    for kind in ("RelatedPerson", "AllergyIntolerance", "Condition", "Coverage"):
        assert one(first, kind)["id"] == one(later, kind)["id"]


def test_two_patients_share_nothing_but_who_treats_them() -> None:
    told = "NK1|1|KETTLE^IVO|SPO\rAL1|1|DA|70618^Penicillin^RXNORM\rIN1|1|PPO|44|Mutual\r"
    mine, other = ADT + told, (ADT + told).replace("4711", "4712").replace("V42", "V43")
    shared = {each["fullUrl"]: each["resource"] for each in bundle(mine)["entry"]}
    kinds = {
        shared[each["fullUrl"]]["resourceType"]
        for each in bundle(other)["entry"]
        if each["fullUrl"] in shared
    }
    assert kinds == {"Organization"}


def test_two_diagnoses_of_one_code_are_both_kept() -> None:
    told = (
        "DG1|1||J18.9^Pneumonia^I10|Left|20260301|W\rDG1|2||J18.9^Pneumonia^I10|Right|20260301|W\r"
    )
    texts = [each["code"]["text"] for each in all_of(ADT + told, "Condition")]
    assert texts == ["Left", "Right"]
    assert len(one(ADT + told, "Encounter")["diagnosis"]) == 2


def test_a_policy_of_the_patients_own_has_the_patient_as_subscriber() -> None:
    own = ADT + "IN1|1|PPO|44|Mutual||||||||||||TEAPOT^HAZEL|SEL\r"
    other = ADT + "IN1|1|PPO|44|Mutual||||||||||||KETTLE^IVO|SPO\r"
    patient = f"urn:uuid:{one(own, 'Patient')['id']}"
    assert one(own, "Coverage")["subscriber"]["reference"] == patient
    assert all_of(own, "RelatedPerson") == []
    subscriber = one(other, "RelatedPerson")
    assert subscriber["name"][0]["family"] == "KETTLE"
    assert one(other, "Coverage")["subscriber"]["reference"].endswith(subscriber["id"])


def test_a_coverage_without_an_insurer_says_that_it_is_not_known() -> None:
    (payor,) = one(ADT + "IN1|1|PPO\r", "Coverage")["payor"]
    assert payor["extension"][0]["valueCode"] == "unknown"


def test_only_charges_are_charged() -> None:
    text = MSH.format("DFT^P03^DFT_P03") + PID + PV1
    text += "FT1|1|T1||20260301|20260301|CG|99213^Visit^C4||||1|90\r"
    text += "FT1|2|T2||20260301|20260301|PY|PAID^Payment^L||||1|90\r"
    event = msgspec.to_builtins(read(text.encode(), Feed(source="north")))
    mapped = to_bundle(event)
    charges = [
        each["resource"]
        for each in mapped.bundle["entry"]
        if each["resource"]["resourceType"] == "ChargeItem"
    ]
    assert [each["identifier"][0]["value"] for each in charges] == ["T1"]
    assert "transaction_type" in {issue.code for issue in mapped.issues}


@pytest.mark.parametrize(
    ("control", "status"), [("NW", "active"), ("DC", "stopped"), ("OC", "cancelled")]
)
def test_the_control_code_of_a_drug_order_is_its_status(control: str, status: str) -> None:
    text = MSH.format("RDE^O11^RDE_O11") + PID + f"ORC|{control}|P1\rRXE||A^Aspirin^L|1||mg\r"
    assert one(text, "MedicationRequest")["status"] == status


def test_a_drug_with_a_form_is_a_medication_of_its_own() -> None:
    plain = MSH.format("OMP^O09^OMP_O09") + PID + "ORC|NW|P1\rRXO|A^Aspirin^L|1||mg\r"
    formed = plain.replace("||mg", "||mg|TAB^Tablet^L")
    assert one(plain, "MedicationRequest")["medicationCodeableConcept"]["text"] == "Aspirin"
    drug = one(formed, "Medication")
    assert drug["form"]["text"] == "Tablet"
    assert one(formed, "MedicationRequest")["medicationReference"]["reference"].endswith(drug["id"])


def test_an_order_nothing_came_of_has_no_report() -> None:
    text = MSH.format("ORM^O01^ORM_O01") + PID + "ORC|NW|P1\rOBR|1|P1||718-7^Hemoglobin^LN\r"
    assert one(text, "ServiceRequest")["status"] == "active"
    assert all_of(text, "DiagnosticReport") == []


def test_a_specimen_is_told_by_spm_or_by_obr() -> None:
    oru = MSH.format("ORU^R01^ORU_R01") + PID
    obr = "OBR|1|P1|F1|718-7^Hemoglobin^LN|||||||||||BLD^Blood\rOBX|1|NM|718-7^Hb^LN||9|g/dL\r"
    from_obr = one(oru + obr, "Specimen")
    assert from_obr["type"]["coding"][0]["code"] == "BLD"
    from_spm = one(oru + obr + "SPM|1|S1&LAB||SER^Serum^HL70487\r", "Specimen")
    assert from_spm["type"]["coding"][0]["code"] == "SER"
    observation = one(oru + obr, "Observation")
    assert observation["specimen"]["reference"].endswith(from_obr["id"])


def test_a_report_of_imaging_does_not_claim_to_be_a_laboratorys() -> None:
    text = MSH.format("ORU^R01^ORU_R01") + PID
    text += "OBR|1|P1|F1|36643-5^Chest X-ray^LN||||||||||||||||||||RAD|F\r"
    text += "OBX|1|TX|36643-5^Chest X-ray^LN||Clear.||||||F\r"
    assert "meta" not in one(text, "DiagnosticReport")
    assert one(text, "Observation")["category"][0]["coding"][0]["code"] == "imaging"


def test_a_message_bundle_begins_with_its_header() -> None:
    made = bundle(ADT, "message")
    header = made["entry"][0]["resource"]
    assert (made["type"], header["resourceType"]) == ("message", "MessageHeader")
    assert header["eventCoding"]["code"] == "A01"
    assert made["identifier"]["value"] == "MSG1"
    assert all("request" not in each for each in made["entry"])


def test_who_is_named_twice_is_one_with_all_that_was_said() -> None:
    pv1 = "PV1|1|I|||||1^WHISK^FENNEL||||||||||1^WHISK^FENNEL||V42\r"
    role = "ROL|R1|AD|AT|1^WHISK^FENNEL|||||||9 Mill Lane^^Nowhere\r"
    text = MSH.format("ADT^A01^ADT_A01") + PID + pv1 + role
    assert one(text, "Practitioner")["address"][0]["line"] == ["9 Mill Lane"]
    alone = one(ADT.replace(PV1, pv1), "Practitioner")
    assert "address" not in alone  # what another message said is not this one's


def test_an_unknown_dose_is_no_amount() -> None:
    text = MSH.format("VXU^V04^VXU_V04") + PID + "ORC|RE||V1\rRXA|0|1|20260302||48^HPV^CVX|999\r"
    assert "doseQuantity" not in one(text, "Immunization")


def test_one_order_number_of_two_patients_is_two_orders() -> None:
    text = MSH.format("ORU^R01^ORU_R01") + PID
    text += "OBR|1|P1|F1|718-7^Hemoglobin^LN\rOBX|1|NM|718-7^Hb^LN||9|g/dL\r"
    other = text.replace("4711", "4712")
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest"):
        assert one(text, kind)["id"] != one(other, kind)["id"]


def test_the_rows_and_the_recipes_know_each_other() -> None:
    structs = {row["struct"] for row in tables.family_rows("fhir/elements")}
    named = {row["struct"] for row in tables.rows("fhir/resources.csv")}
    inside = {
        row["arg"]
        for row in tables.family_rows("fhir/elements")
        if row["kind"] in {"flat", "part", "object", "objects", "foremost_object", "self"}
    }
    assert inside <= structs
    referred = {
        row["arg"]
        for row in tables.family_rows("fhir/elements")
        if row["kind"] in {"reference", "references", "foremost_reference", "actors", "named"}
    }
    assert referred <= set(RECIPES)
    assert set(RECIPES) <= named


def test_every_map_and_extension_of_a_row_is_there() -> None:
    maps = set(MAPS) | set(SYSTEMS)
    coded = {"code", "codes", "coding", "concept", "concepts", "flags", "translated", "original"}
    for row in (*tables.family_rows("fhir/elements"), *tables.rows("fhir/extensions.csv")):
        if row["kind"] in coded | {"translations"}:
            assert row["arg"] in maps
        if row["kind"] == "extension":
            assert row["arg"] in EXTENSIONS


def test_an_answer_to_a_query_is_the_patients_that_were_found() -> None:
    head = MSH.format("RSP^K11^RSP_K11") + "MSA|AA|Q1\rQAK|1|OK\rQPD|Z34^Query^L|1\r"
    dose = "ORC|RE||V1\rRXA|0|1|20260302||48^HPV^CVX|0.5|mL\r"
    assert one(head + PID + dose, "Immunization")["status"] == "completed"
    assert len(all_of(head + PID + PID.replace("4711", "4712"), "Patient")) == 2
