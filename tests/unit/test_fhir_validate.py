"""What `fhir validate` finds: codes R4 requires, and the rules of a profile and of any package."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fifhir.fhir.validate import (
    Finding,
    PackageError,
    bindings,
    check,
    codes,
    outcome,
    package,
    us_core,
)

URL = "http://example.org/StructureDefinition/bed"
PROFILE = {
    "resourceType": "StructureDefinition",
    "url": URL,
    "type": "Location",
    "snapshot": {
        "element": [
            {"id": "Location", "path": "Location", "min": 0, "max": "*"},
            {"id": "Location.name", "path": "Location.name", "min": 1, "max": "1"},
            {
                **{"id": "Location.mode", "path": "Location.mode", "min": 1, "max": "1"},
                "fixedCode": "instance",
            },
            {
                **{"id": "Location.alias", "path": "Location.alias", "min": 0, "max": "1"},
                "base": {"max": "*"},
            },
        ]
    },
}


def bed(**changes: Any) -> dict[str, Any]:
    good = {"resourceType": "Location", "meta": {"profile": [URL]}, "name": "B", "mode": "instance"}
    return {key: value for key, value in (good | changes).items() if value is not None}


def places(findings: list[Finding]) -> list[str]:
    return [each.expression[0] for each in findings]


@pytest.fixture(params=["folder", "archive"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same package as a folder and as npm packs it."""
    text = json.dumps(PROFILE).encode()
    if request.param == "folder":
        (tmp_path / "StructureDefinition-bed.json").write_bytes(text)
        return tmp_path
    path = tmp_path / "bed.tgz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("package/StructureDefinition-bed.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return path


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"name": None}, ["Location.name"]),
        ({"mode": "kind"}, ["Location.mode"]),
        ({"alias": ["a"]}, []),
        ({"alias": ["a", "b"]}, ["Location.alias"]),
        ({"meta": {}, "name": None}, []),
    ],
)
def test_a_package_is_asked_for_what_its_snapshots_say(
    made: Path, changes: dict[str, Any], wrong: list[str]
) -> None:
    assert places(list(check(bed(**changes), package(made)))) == wrong


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    for text in (b"", b"{", b'{"resourceType":"Patient"}'):
        (tmp_path / "a.json").write_bytes(text)
        with pytest.raises(PackageError):
            package(tmp_path)
    with pytest.raises(PackageError, match="no such file"):
        package(tmp_path / "missing.tgz")


@pytest.mark.parametrize(
    ("resource", "wrong"),
    [
        ({"resourceType": "Patient", "gender": "x"}, ["Patient.gender"]),
        ({"resourceType": "Patient", "gender": "female"}, []),
        (
            {"resourceType": "Patient", "name": [{"use": "usual"}, {"use": "x"}]},
            ["Patient.name.use"],
        ),
        ({"resourceType": "Observation", "status": "bogus"}, ["Observation.status"]),
        (
            {"resourceType": "Observation", "valueQuantity": {"comparator": "~"}},
            ["Observation.valueQuantity.comparator"],
        ),
        (
            {"resourceType": "AllergyIntolerance", "category": ["food", "x"]},
            ["AllergyIntolerance.category"],
        ),
        ({"resourceType": "Patient", "gender": 7}, []),
        ({"resourceType": "Basic"}, []),
    ],
)
def test_codes_that_r4_requires_are_asked_for(resource: dict[str, Any], wrong: list[str]) -> None:
    found = list(codes(resource, bindings()))
    assert places(found) == wrong
    assert "bogus" not in json.dumps(outcome(found))


def test_us_core_allows_one_payor() -> None:
    core = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-coverage"
    payors = [{"display": "A"}, {"display": "B"}]
    coverage = {"resourceType": "Coverage", "meta": {"profile": [core]}, "payor": payors}
    assert "Coverage.payor" in places(list(check(coverage, us_core())))
