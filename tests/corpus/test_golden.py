"""The original's own sample files, and what its documents say must come of them.

Where fifhir is better on purpose (times keep their offset, `timestamp` is the source's, unmapped
types are events), the expected value here is fifhir's.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from fifhir import intake
from fifhir.event import encode

EXPECTED: dict[str, dict[str, Any]] = {
    "adt_a01_sample": {
        "type": "patient_admit",
        "source_message_id": "MSG00001",
        "patient.mrn": "123456789",
        "patient.identifiers.identifiers": [
            {"value": "123456789", "type": "MR", "assigner": "HOSPITAL"}
        ],
        "patient.family_name": "DOE",
        "patient.given_name": "JOHN",
        "patient.middle_name": "WILLIAM",
        "patient.date_of_birth": "1980-03-15",
        "patient.gender": "M",
        "encounter.class": "I",
        "encounter.id": "",
        "encounter.location.unit": "ICU",
        "encounter.location.room": "101",
        "encounter.location.bed": "A",
        "encounter.location.facility": "HOSPITAL",
        "encounter.attending_provider.id": "1234567890",
        "encounter.attending_provider.family_name": "SMITH",
        "encounter.attending_provider.given_name": "JANE",
        "patient.phone": "5551234567",
        "patient.address.line1": "123 MAIN ST",
        "patient.address.city": "ANYTOWN",
        "patient.address.state": "VA",
        "patient.address.postal_code": "24101",
        "patient.address.country": "USA",
        "parse_warnings": None,
    },
    "sample-adt-a01": {
        "type": "patient_admit",
        "source_message_id": "MSG001",
        "patient.mrn": "PAT12345",
        "patient.identifiers.identifiers": [{"value": "PAT12345", "type": "MR", "assigner": "MRN"}],
        "patient.family_name": "Smith",
        "patient.given_name": "John",
        "patient.date_of_birth": "1985-03-15",
        "patient.gender": "M",
        "encounter.class": "I",
        "encounter.id": "VN001",
        "encounter.location.unit": "ICU",
        "encounter.location.room": "101",
        "encounter.location.bed": "A",
        "encounter.attending_provider": None,
        "patient.phone": "312-555-1234",
        "patient.address.postal_code": "60601",
        "patient.address.country": None,
    },
    "oru_r01_sample": {
        "type": "lab_result",
        "source_message_id": "LAB001",
        "patient.mrn": "987654321",
        "patient.family_name": "SMITH",
        "patient.given_name": "JANE",
        "patient.middle_name": "A",
        "patient.date_of_birth": None,
        "patient.gender": "F",
        "test.order_id": "LAB456",
        "test.panel": "COMPLETE BLOOD COUNT",
        "test.local_code": "WBC",
        "test.loinc_code": "6690-2",
        "result.value": "12.5",
        "result.unit": "10*3/uL",
        "result.reference_range": "4.5-11.0",
        "result.interpretation": "H",
        "result.status": "F",
        "result.observation_time": "2024-01-15T14:25:00Z",
        "is_critical": False,
        "ordering_provider": None,
    },
    "dft_p03_sample": {
        "type": "financial_transaction",
        "source_message_id": "MSG00004",
        "header.message_type": "DFT",
    },
    "mdm_t02_sample": {
        "type": "document_original",
        "source_message_id": "MSG00001",
        "header.trigger_event": "T02",
    },
}
# Message id: number, assigner, family and given name, birth, sex; class, unit, room, bed, facility.
VENDORS = {
    "EPICMSG001": "MRN12345 EPIC DOE JOHN 1980-01-15 M I 3N 301 1 HOSP",
    "EPICMSG002": "MRN12345 EPIC DOE JOHN 1980-01-15 M",
    "CERNMSG001": "MRN98765 CERNER SMITH JANE 1990-02-20 F O ED 10 A FAC",
    "CERNMSG002": "MRN98765 CERNER SMITH JANE 1990-02-20 F O ED 10 A FAC",
    "CERNMSG003": "MRN98765 CERNER SMITH JANE 1990-02-20 F",
    "MEDMSG001": "MRN55555 MEDITECH DOE RENÉE 1975-12-31 F E ER 1 A FAC",
    "MEDMSG002": "MRN55555 MEDITECH DOE RENÉE 1975-12-31 F",
    "ALLMSG001": "MRN22222 ALLSCRIPTS GARCIA JOSE 1987-07-04 M O CLINIC 1 A FAC",
    "ALLMSG002": "MRN22222 ALLSCRIPTS GARCIA JOSE 1987-07-04 M O CLINIC 1 A FAC",
    "ALLMSG003": "MRN22222 ALLSCRIPTS GARCIA JOSE 1987-07-04 M",
    "golden-control-001": "MRN-GOLDEN-001 HOSP Patient Golden 1980-01-01 F",
}


@pytest.fixture(scope="module")
def samples(corpus: Path) -> Path:
    return corpus / "messages" / "crb2nu__fi-fhir"


def event_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(intake.read(path.read_bytes(), intake.Feed())))
    return found


def at(event: dict[str, Any], key: str) -> Any:
    found: Any = event
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [(name, key, value) for name, keys in EXPECTED.items() for key, value in keys.items()],
)
def test_a_sample_file_means_what_its_documents_say(
    samples: Path, name: str, key: str, value: object
) -> None:
    assert at(event_of(samples / f"{name}.hl7"), key) == value


@pytest.fixture(scope="module")
def vendors(samples: Path) -> dict[str, dict[str, Any]]:
    paths = [*samples.glob("adt_a01_*.hl7"), samples / "input.hl7"]
    events = [event_of(path) for path in paths]
    return {event["source_message_id"]: event for event in events}


@pytest.mark.parametrize(("control", "values"), VENDORS.items())
def test_a_vendors_admission_is_read_alike(
    vendors: dict[str, dict[str, Any]], control: str, values: str
) -> None:
    event = vendors[control]
    patient, encounter = event["patient"], event.get("encounter")
    primary = patient["identifiers"]["primary"]
    told = [patient["mrn"], primary["assigner"], patient["family_name"], patient["given_name"]]
    told += [patient["date_of_birth"], patient["gender"]]
    if encounter:
        place = encounter["location"]
        told += [encounter["class"], *(place[key] for key in ("unit", "room", "bed", "facility"))]
    warned = [warning["code"] for warning in event.get("parse_warnings", ())]
    assert " ".join(told) == values
    assert ("MISSING_PV1" in warned) == (encounter is None)


def test_the_offset_of_the_source_is_kept(vendors: dict[str, dict[str, Any]]) -> None:
    assert vendors["golden-control-001"]["timestamp"] == "2026-07-14T11:59:00-04:00"
