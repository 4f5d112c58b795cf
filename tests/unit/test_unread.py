"""Which values of a message no rule reads."""

import pytest

from fifhir.event import EVENTS
from fifhir.message import open_message
from fifhir.profile import DEFAULT, Profile
from fifhir.profile.config import SourceProfile, ZMapping, ZSegments
from fifhir.unread import reads, unread

MSH = b"MSH|^~\\&|A|B|||20260701||ADT^A01|1|P|2.5\r"


def paths(raw: bytes, profile: Profile = DEFAULT, kind: str = "patient_admit") -> list[str]:
    message = open_message(raw)
    found = unread(message, kind, profile)
    return [f"{message.name(at).decode()}-{field}" for at, field in found]


def test_a_value_without_a_rule_is_unread() -> None:
    raw = MSH + b"PID|1||M1||TEAPOT^HAZEL\rARV|1\rPV1||I\r"
    assert paths(raw) == ["PID-1", "ARV-1"]


def test_an_unmapped_message_has_everything() -> None:
    assert paths(MSH + b"ACC|20260701\r", kind="unmapped_message") == []


def test_what_a_profile_does_with_z_segments_counts() -> None:
    row = ZMapping(field="2.1", target="a")
    mapped = ZSegments(preserve_raw=False, mappings={"ZPD": (row,)})
    profile = Profile(SourceProfile(id="p", name="P", z_segments=mapped))
    raw = MSH + b"ZPD|1|2\rZAB|1\r"
    assert paths(raw) == []
    assert paths(raw, profile) == ["ZPD-1", "ZAB-1"]


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_reads_who_it_is_from(kind: str) -> None:
    assert {(b"MSH", 3), (b"MSH", 10)} <= reads(kind)


def test_an_event_reads_what_its_structs_and_lists_do() -> None:
    found = reads("lab_result")
    assert {(b"PID", 5), (b"OBR", 16), (b"OBX", 5), (b"OBX", 8), (b"NTE", 3)} <= found
    assert (b"MRG", 1) in reads("patient_merge")
    assert (b"MRG", 1) not in reads("patient_admit")
