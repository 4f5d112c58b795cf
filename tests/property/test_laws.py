"""What holds for every input: no other error than MessageError, and nothing lost on the way."""

import re
from itertools import pairwise
from types import ModuleType
from typing import TypeAlias

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fifhir import ack, dtm, escape, intake
from fifhir.batch import Splitter, split
from fifhir.errors import MessageError
from fifhir.event import EVENT_TYPES, encode, event_type
from fifhir.message import open_message
from tests.property.messages import delimiters, dirt, messages

Twins: TypeAlias = tuple[ModuleType, ModuleType]
CHARSETS = st.sampled_from(["utf-8", "cp1252", "iso8859-15", "iso2022_jp", "utf-16", "big5"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(raw=dirt(), charset=CHARSETS, guess=st.booleans(), mend=st.booleans())
@example(raw=b"\xff\xfeM\0S\0H\0|", charset="utf-8", guess=True, mend=True)
@example(raw=b"MSH|^~&|\x1b$B;3ED", charset="utf-8", guess=False, mend=True)
@example(raw=b"MSH|^~\\\\&|x\r\x1b$", charset="iso2022_jp", guess=False, mend=True)
def test_any_bytes_give_a_message_or_a_message_error(
    raw: bytes, charset: str, guess: bool, mend: bool
) -> None:
    try:
        message = open_message(raw, charset, guess=guess, mend=mend)
    except MessageError:
        return
    assert message.name(0) == b"MSH"


HEADS = st.lists(st.sampled_from([*"|^\r\nAB9\x1b\xe9", "|", "|", "\\"]), max_size=40).map("".join)


@given(raw=st.one_of(dirt(), messages(), HEADS.map(lambda text: f"MSH|^~\\&|{text}".encode())))
@example(raw=b"\x80")
def test_a_sender_is_known_by_the_same_names_however_they_are_read(raw: bytes) -> None:
    fields = ack.header(raw).fields
    assert ack.names(raw) == (fields[3], fields[4], fields[10])


@given(raw=st.one_of(dirt(), messages()))
@example(raw=b"MSH|^~\\&|LAB||||2024||ADT^A01|7\rPID|1||\xff")
def test_any_bytes_give_an_event_or_a_message_error(raw: bytes) -> None:
    try:
        event = intake.read(raw, intake.Feed())
    except MessageError:
        return
    assert event_type(event) in EVENT_TYPES
    assert encode(event).startswith(b'{"type":"')


@given(raw=messages(), kind=st.sampled_from([b"ADT^A01", b"ADT^A08", b"ORU^R01"]))
def test_any_segments_give_an_event_or_a_message_error(raw: bytes, kind: bytes) -> None:
    head = b"MSH|^~\\&|A|B|C|D|20240102||" + kind + b"|7|P|2.5\rPID|1||5\r"
    body = raw[raw.find(b"|", 9) + 1 :] if raw.startswith(b"MSH|") else raw
    try:
        event = intake.read(head + body, intake.Feed())
    except MessageError:
        return
    assert encode(event)


@given(text=TEXT, found=delimiters(), charset=CHARSETS)
@example(text="\r\n", found=b"|^~\\&", charset="utf-16")
@example(text="\r\n\x0b\x1c\0", found=b"|^~\\&", charset="iso2022_jp")
def test_decoding_undoes_encoding(text: str, found: bytes, charset: str) -> None:
    encoded = escape.encode(text, found)
    assert not re.search(r"[\r\n]", encoded)
    assert not any(chr(octet) in encoded for octet in found if octet != found[3])
    assert escape.decode(encoded.encode(), found, charset) == text


@given(text=TEXT, found=delimiters())
def test_encoded_text_is_read_back_from_a_message(twins: Twins, text: str, found: bytes) -> None:
    assume(text not in ("", '""'))
    field, component = found[:1], found[1:2]
    value = escape.encode(text, found).encode()
    raw = b"MSH" + found[:1] + found[1:] + field + b"LAB\rOBX" + field + component + value + field
    for door in twins:
        assert door.open_message(raw).get("OBX-1.2") == text


@given(sent=TEXT, found=delimiters(), charset=CHARSETS)
def test_decoding_is_total(sent: str, found: bytes, charset: str) -> None:
    assert isinstance(escape.decode(sent.encode(), found, charset), str)


@given(raw=messages())
def test_spans_hold_every_byte_but_the_endings(twins: Twins, raw: bytes) -> None:
    for door in twins:
        message = door.Message(raw)
        spans = [message.span(at) for at in range(len(message))]
        between = message.raw
        for start, end in reversed(spans):
            between = between[:start] + between[end:]
        assert not between.strip(b"\r\n \t")
        assert all(a[1] < b[0] for a, b in pairwise(spans))


@given(raw=messages())
def test_an_encoded_message_opens_to_itself(twins: Twins, raw: bytes) -> None:
    for door in twins:
        once = door.Message(raw)
        twice = door.Message(once.encode())
        assert twice.encode() == once.encode()
        assert [twice.name(at) for at in range(len(twice))] == [
            once.name(at) for at in range(len(once))
        ]


@given(
    stream=st.lists(
        st.one_of(
            messages(),
            st.sampled_from(
                [b"\r", b"\n", b"\x1c\r", b"\x0b", b" " * 40, b"\n" + b" " * 50, b"\0"]
            ),
            st.sampled_from([b"FHS|^~\\&|\r", b"BHS|^~\\&|\r", b"BTS|1\r", b"FTS|1", b"PID|1\r"]),
        ),
        max_size=5,
    ).map(b"".join),
    cuts=st.lists(st.integers(0, 600), max_size=4),
)
@example(stream=b"MSH|^~\\&|A\r" + b" " * 60 + b"MSH|^~\\&|B\r", cuts=[41])
@example(stream=b"MSH|^~\\&|A\rBHS|^~\\&|B\r", cuts=[])
def test_messages_survive_any_split_of_the_stream(stream: bytes, cuts: list[int]) -> None:
    whole = split(stream)
    splitter = Splitter()
    pieces = []
    start = 0
    for cut in [*sorted(cuts), len(stream)]:
        pieces += splitter.feed(stream[start:cut])
        start = max(start, cut)
    assert pieces + splitter.finish() == whole


@given(text=st.one_of(st.text(max_size=30), st.from_regex(r"\A\d{4,14}(\.\d{1,4})?([+-]\d{4})?\Z")))
@example(text="99991231235959.999999999+1400")
@example(text="00010101000000-1400")
@pytest.mark.parametrize("name", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
def test_reading_a_time_never_raises(name: str, text: str) -> None:
    zone = dtm.zone(name)
    for written in (dtm.date(text, zone), dtm.time(text, zone), dtm.instant(text, zone)):
        assert written is None or re.fullmatch(
            r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d))?)?)?", written
        )
