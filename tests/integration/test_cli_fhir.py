"""`fi-fhir fhir generate` and `fhir validate`, as a user calls them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_cli import fi_fhir

EXAMPLES = Path(__file__).parents[2] / "examples"


def made(*more: str) -> dict[str, Any]:
    done = fi_fhir("fhir", "generate", EXAMPLES / "adt_a01.hl7", *more)
    assert (done.returncode, done.stderr) == (0, "")
    bundle: dict[str, Any] = json.loads(done.stdout)
    return bundle


def test_what_is_generated_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(made()))
    done = fi_fhir("fhir", "validate", file)
    assert done.returncode == 0, done.stdout
    (issue,) = json.loads(done.stdout)["issue"]
    assert issue["severity"] == "information"


def test_profiles_are_claimed_unless_nobody_asks(tmp_path: Path) -> None:
    claimed = {
        kind: [each["resource"].get("meta", {}).get("profile") for each in made(*flags)["entry"]]
        for kind, flags in (("us-core", ()), ("none", ("--profile", "none")))
    }
    assert any(claimed["us-core"])
    assert not any(claimed["none"])


def test_an_event_makes_the_same_bundle_as_its_message(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(fi_fhir("parse", EXAMPLES / "adt_a01.hl7").stdout)
    done = fi_fhir("fhir", "generate", event)
    assert json.loads(done.stdout)["entry"][0] == made()["entry"][0]


@pytest.mark.parametrize(
    ("resource", "flags", "place"),
    [
        ({"resourceType": "Patient", "gender": "x"}, (), "Patient.gender"),
        ({"resourceType": "Patient", "birthDate": "2026-13-01"}, (), "Patient.birthDate"),
        (
            {
                "resourceType": "Patient",
                "meta": {
                    "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]
                },
                "gender": "female",
                "identifier": [{"system": "urn:x", "value": "1"}],
            },
            ("--profile", "us-core"),
            "Patient.name",
        ),
    ],
)
def test_an_error_has_its_place_and_status_1(
    tmp_path: Path, resource: dict[str, Any], flags: tuple[str, ...], place: str
) -> None:
    file = tmp_path / "resource.json"
    file.write_text(json.dumps(resource))
    done = fi_fhir("fhir", "validate", file, *flags)
    assert done.returncode == 1
    outcome = json.loads(done.stdout)
    assert outcome["resourceType"] == "OperationOutcome"
    assert any(place in issue["expression"] for issue in outcome["issue"])


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.json", tmp_path / "package"
    broken.write_text("{")
    empty.mkdir()
    assert fi_fhir("fhir", "validate", broken).returncode == 1
    assert fi_fhir("fhir", "validate", tmp_path / "missing.json").returncode == 1
    done = fi_fhir("fhir", "validate", "--package", empty, broken)
    assert done.returncode == 2
    assert "no StructureDefinition with a snapshot" in done.stderr
