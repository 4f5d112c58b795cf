"""Every real message as FHIR: judged by a validator nobody here wrote, and by US Core itself."""

import json
import os
from pathlib import Path
from typing import Any

import fhirkit
import msgspec
import pytest

from fifhir import batch
from fifhir.errors import MessageError
from fifhir.fhir.bundle import to_bundle
from fifhir.fhir.validate import Rule, bindings, check, codes, package, us_core
from fifhir.intake import Feed, read


@pytest.fixture(scope="module")
def resources(messages: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """The resources of all messages that have a patient, each with its file."""
    found = []
    for case in messages:
        for raw in batch.split(case.data):
            try:
                event = msgspec.to_builtins(read(raw, Feed()))
                made = to_bundle(event)
            except (MessageError, ValueError):
                continue
            found += [(case.name, each["resource"]) for each in made.bundle["entry"]]
    assert len(found) > 10_000
    return found


def test_every_resource_is_valid_r4(resources: list[tuple[str, dict[str, Any]]]) -> None:
    wrong = {
        (name, issue.path)
        for name, resource in resources
        for issue in fhirkit.validate(json.dumps(resource))
    }
    assert wrong == set()


def test_every_resource_keeps_its_profile(resources: list[tuple[str, dict[str, Any]]]) -> None:
    rules = us_core()
    wrong = {
        (name, finding.expression)
        for name, resource in resources
        for finding in check(resource, rules)
    }
    assert wrong == set()


def test_every_code_that_r4_requires_is_one(resources: list[tuple[str, dict[str, Any]]]) -> None:
    known = bindings()
    wrong = {
        (name, finding.expression)
        for name, resource in resources
        for finding in codes(resource, known)
    }
    assert wrong == set()


def test_our_table_of_us_core_says_what_its_snapshots_say() -> None:
    folder = Path(
        os.environ.get("FIFHIR_US_CORE", Path(__file__).parents[3] / "shared/us-core/6.1.0")
    )
    if not folder.is_dir():
        pytest.skip(f"no US Core in {folder}, and FIFHIR_US_CORE names none")
    claimed = {rule.profile for rule in us_core()}
    theirs = {rule for rule in map(_hashable, package(folder)) if rule[0] in claimed}
    assert set(map(_hashable, us_core())) == theirs


def _hashable(rule: Rule) -> tuple[str, str, int, int | None, str]:
    return rule.profile, rule.path, rule.least, rule.most, json.dumps(rule.pattern)
