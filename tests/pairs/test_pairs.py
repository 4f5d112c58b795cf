"""Our FHIR beside that of three other converters, on messages nobody here wrote.

What differs is explained in `explained.csv`: ours is wrong, theirs is wrong, or both have their
reasons. A difference that no row explains fails the test, and so does a share below the floor.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from fifhir import batch
from fifhir.errors import MessageError
from fifhir.fhir.bundle import to_bundle
from fifhir.intake import Feed
from fifhir.intake import read as read_message
from tests.pairs.assertions import judge, read
from tests.pairs.facts import facts

ASSERTED, SAID = 0.85, 0.90  # what has to agree, of assertions and of facts
VERDICTS = {"ours is wrong", "theirs is wrong", "by design"}


class Explained(NamedTuple):
    """Differences by patterns of their origin, place and value; whose they are, and why."""

    origin: str
    place: str
    value: str
    verdict: str
    reason: str

    def covers(self, miss: tuple[str, str, str]) -> bool:
        return all(re.search(one, other) for one, other in zip(self[:3], miss, strict=True))


def _table() -> list[Explained]:
    with Path(__file__).with_name("explained.csv").open(newline="") as lines:
        return [Explained(**row) for row in csv.DictReader(lines)]


TABLE = _table()


@pytest.fixture(scope="module")
def pairs(corpus: Path) -> Path:
    return corpus / "pairs"


def ours(message: Path) -> dict[str, Any] | None:
    """Our bundle of the first message of a file; None where there is nothing to tell."""
    try:
        event = read_message(batch.split(message.read_bytes())[0], Feed())
        return to_bundle(msgspec.to_builtins(event), "message").bundle
    except (MessageError, ValueError, IndexError):
        return None


def asserted(folder: Path) -> Iterator[tuple[tuple[str, str, str], bool]]:
    """Each comparison that LinuxForHealth's tests make and ours has the element for."""
    for file in sorted(folder.glob("*.json")):
        told = json.loads(file.read_bytes())
        bundle = ours(file.with_suffix(".hl7")) if told["scope"] != "shared" else None
        for line in told["assertions"] if bundle else ():
            for each in read(line):
                met = judge(each, bundle or {})
                if met is not None:
                    place = ".".join((each.kind, *each.path))
                    yield (f"LinuxForHealth {file.stem}", place, each.wanted), met


def said(folder: Path) -> Iterator[tuple[tuple[str, str, str], bool]]:
    """Each fact that another converter's bundle tells."""
    for file in sorted(folder.glob("*.json")):
        bundle = ours(file.with_suffix(".hl7"))
        assert bundle, file.name
        mine = facts(bundle)
        for (place, value), count in facts(json.loads(file.read_bytes())).items():
            for number in range(count):
                yield (f"{folder.name} {file.stem}", place, value), number < mine[place, value]


def weigh(found: list[tuple[tuple[str, str, str], bool]], floor: float) -> None:
    """The share is told and is no lower than the floor; every difference is explained."""
    share = sum(met for _, met in found) / len(found)
    misses = [miss for miss, met in found if not met]
    verdicts = Counter(
        next((row.verdict for row in TABLE if row.covers(miss)), "unexplained") for miss in misses
    )
    print(f"{share:.1%} of {len(found)} agree; of the others {dict(verdicts)}")
    assert share >= floor
    assert [miss for miss in misses if not any(row.covers(miss) for row in TABLE)] == []


def test_what_linuxforhealth_asserts_is_so(pairs: Path) -> None:
    weigh([*asserted(pairs / "LinuxForHealth__hl7v2-fhir-converter")], ASSERTED)


def test_what_two_other_converters_say_is_said(pairs: Path) -> None:
    folders = ("CDCgov__trusted-intermediary", "GoogleCloudPlatform__healthcare-data-harmonization")
    weigh([each for folder in folders for each in said(pairs / folder)], SAID)


def test_every_explanation_says_whose_the_difference_is() -> None:
    assert {row.verdict for row in TABLE} <= VERDICTS
    assert all(row.reason for row in TABLE)


@pytest.mark.parametrize(
    ("line", "read_as"),
    [
        (
            'assertThat(obs.getCode().getCoding().get(0).getSystem()).isEqualTo("http://loinc.org");',
            ["Observation.code.coding.system = http://loinc.org"],
        ),
        ("assertThat(patientResource).hasSize(1);", ["Patient. = 1"]),
        ('assertThat(contact.getValue()).hasToString("1");', []),
    ],
)
def test_java_is_read(line: str, read_as: list[str]) -> None:
    assert [str(each) for each in read(line)] == read_as
