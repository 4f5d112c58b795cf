"""The identity of an event: derived, well-formed, and the same whichever tokenizer is at work."""

import importlib
from types import ModuleType
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fifhir.intake import Feed, read, read_json, read_written

RAW = b"MSH|^~\\&|HERE|THERE|||20260302||ADT^A01|1|P|2.5\rPID|1||7^^^HERE^MR||Tarn^Odile\rPV1|1|I\r"


TWINS = [importlib.import_module(f"fifhir.{name}") for name in ("_hl7parse", "_hl7parse_py")]


@pytest.mark.parametrize("twin", TWINS, ids=["compiled", "python"])
@given(digest=st.binary(min_size=16, max_size=32))
def test_a_digest_becomes_a_custom_uuid(twin: ModuleType, digest: bytes) -> None:
    identity = UUID(twin.uuid_text(digest))
    assert (identity.variant, identity.version) == (RFC_4122, 8)
    kept = bytearray(digest[:16])
    kept[6], kept[8] = 0x80 | kept[6] & 0x0F, 0x80 | kept[8] & 0x3F
    assert identity.bytes == kept


def test_the_same_message_is_the_same_event_whatever_stands_around_it() -> None:
    framed = b"\x0b" + RAW + b"\x1c\r"
    assert read(RAW, Feed(source="a")).id == read(framed, Feed(source="a")).id


def test_another_source_or_another_byte_is_another_event() -> None:
    other = RAW.replace(b"Odile", b"Odila")
    ids = {read(RAW, Feed(source="a")).id, read(RAW, Feed(source="b")).id}
    assert len(ids | {read(other, Feed(source="a")).id}) == 3


def test_both_ways_to_an_event_give_it_the_same_identity() -> None:
    assert read(RAW, Feed()).id.encode() in read_json(RAW, Feed())[1]


def test_what_goes_through_a_workflow_knows_its_own_id() -> None:
    raw = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5.1\rPID|1||7^^^B^MR||TEAPOT\rPV1|1|I\r"
    written = read_written(raw, Feed(source="north"))
    assert written.id == written.document["id"] == read(raw, Feed(source="north")).id
    assert (written.type, written.source) == ("patient_admit", "north")
