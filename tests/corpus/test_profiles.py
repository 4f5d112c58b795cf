"""A profile that asks for everything it can, over every message of the corpus."""

import contextlib
from pathlib import Path

import msgspec
import pytest

from fifhir.batch import split
from fifhir.errors import MessageError
from fifhir.event import encode, event_type
from fifhir.intake import Feed, opened, read, read_json
from fifhir.profile.loading import load
from fifhir.unread import unread
from tests.corpus.conftest import Case

ALL = """
source_profile:
  id: all
  name: All
  hl7v2:
    default_version: "2.5"
    timezone: Europe/Berlin
    datatypes: {xcn_component_count: 4, cx_component_count: 4, xpn_component_count: 3}
    event_classification:
      adt_a01: {default: x, rules: [{condition: "PV1-2 == 'I' && event.id != ''", event: y}]}
  z_segments:
    mappings: {ZPI: [{field: 1, target: a.b}, {field: 2.1, target: a.c, type: float}]}
  identifiers:
    assigning_authority_map: {HOSPITAL: "urn:oid:2.999"}
    primary_id_preference: [{type: PI}, {assigner_contains: H}]
    validation: {npi: {}, mbi: {}, ssn: {}, dea: {}}
    normalization:
      ssn: {strip_dashes: true}
      phone: {strip_country_code: true, normalize_to_digits: true}
      mrn: {strip_leading_zeros: true, uppercase: true}
  terminology:
    mappings: [{source_system: L, target_system: "http://loinc.org", file: codes.csv}]
"""


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    folder: Path = tmp_path_factory.mktemp("profile")
    (folder / "codes.csv").write_text("source_code,target_code\nWBC,6690-2\n")
    (folder / "all.yaml").write_text(ALL)
    return Feed(profile=load(str(folder / "all.yaml")))


def test_every_message_is_read_or_refused(cases: list[Case], feed: Feed) -> None:
    """What cannot be read raises MessageError, and nothing else ever comes out."""
    for case in cases:
        for raw in split(case.data):
            with contextlib.suppress(MessageError):
                look(raw, feed)


def look(raw: bytes, feed: Feed) -> None:
    event = read(raw, feed)
    name, _, warnings = read_json(raw, feed)
    assert (name, warnings) == (event_type(event), event.parse_warnings)
    decoded = msgspec.json.decode(encode(event), type=type(event))
    assert decoded.parse_warnings == warnings
    message, profile = opened(raw, feed)
    for at, field in unread(message, name, profile):
        assert message.cut(at, field, 0)
