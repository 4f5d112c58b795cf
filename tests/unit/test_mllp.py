"""MLLP framing: what is a message, what is not, and where reading begins again."""

import pytest

from fifhir.mllp import GARBAGE_LIMIT, Framer, frame

A, B = b"MSH|^~\\&|A\rPID|1\r", b"MSH|^~\\&|B\r"


def fed(*chunks: bytes, limit: int = 1000) -> tuple[Framer, list[bytes]]:
    framer = Framer(limit)
    return framer, [message for chunk in chunks for message in framer.feed(chunk)]


def single(stream: bytes) -> tuple[bytes, ...]:
    return tuple(stream[at : at + 1] for at in range(len(stream)))


def test_a_frame_is_its_payload() -> None:
    assert fed(b"\x0bfoobar\x1c\r")[1] == [b"foobar"]


def test_frame_writes_what_feed_reads() -> None:
    assert frame(A) == b"\x0b" + A + b"\x1c\r"
    assert fed(frame(A))[1] == [A]


def test_two_frames_of_one_packet_come_in_order() -> None:
    assert fed(frame(A) + frame(B))[1] == [A, B]


def test_a_frame_of_single_bytes_is_one_message() -> None:
    assert fed(*single(frame(A)))[1] == [A]


def test_an_empty_frame_is_an_empty_message() -> None:
    assert fed(frame(b""))[1] == [b""]


@pytest.mark.parametrize("between", [b"\0", b"\0\0\0", b"\r\n", b" \t", b"\n"])
def test_nothing_is_made_of_blanks_and_nuls_between_frames(between: bytes) -> None:
    framer, messages = fed(between + frame(A) + between + frame(B) + between)
    assert messages == [A, B]
    assert (framer.dropped, framer.begun, framer.finish()) == (0, False, "")


@pytest.mark.parametrize("stream", [b"foobar", b"foobar\x1c\r", b"\x1c\r"])
def test_what_no_vt_precedes_is_no_message(stream: bytes) -> None:
    framer, messages = fed(stream)
    assert messages == []
    assert framer.dropped == len(stream.replace(b"\r", b""))
    assert framer.finish() == "garbage"


def test_reading_begins_again_at_the_next_vt_after_garbage() -> None:
    framer, messages = fed(b"foobar\x1c\r" + frame(A))
    assert (messages, framer.dropped, framer.fault) == ([A], 7, "")


def test_endless_garbage_is_not_mllp() -> None:
    framer, messages = fed(frame(A) + b"x" * (GARBAGE_LIMIT + 1) + frame(B))
    assert (messages, framer.fault) == ([A], "garbage")
    assert framer.feed(frame(B)) == []


def test_bytes_of_tls_are_no_message() -> None:
    framer, messages = fed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert messages == []
    assert framer.begun


@pytest.mark.parametrize(
    ("stream", "fault"),
    [(b"\x0bfoobar", "unfinished"), (b"\x0bfoobar\x1c", "no_cr"), (b"\x0b", "unfinished")],
)
def test_half_a_frame_is_a_fault_at_the_end(stream: bytes, fault: str) -> None:
    framer, messages = fed(frame(A) + stream)
    assert (messages, framer.begun, framer.finish()) == ([A], True, fault)
    assert framer.dropped == len(stream)


def test_fs_without_cr_belongs_to_the_message() -> None:
    assert fed(b"\x0ba\x1cb\x1c\x1c\r")[1] == [b"a\x1cb\x1c"]


def test_a_sender_that_starts_over_loses_the_half_it_gave_up() -> None:
    framer, messages = fed(b"\x0bMSH|half" + frame(A))
    assert (messages, framer.restarts, framer.dropped) == ([A], 1, 9)


def test_any_other_vt_is_a_line_break_of_some_word_processor() -> None:
    text = b"MSH|^~\\&|A\rOBX|1|TX|||one\x0btwo"
    framer, messages = fed(frame(text))
    assert (messages, framer.restarts) == ([text], 0)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_framed_by_single_bytes(codec: str) -> None:
    sent = A.decode().encode(codec)
    assert fed(*single(frame(sent)))[1] == [sent]


@pytest.mark.parametrize("cut", [False, True])
def test_a_frame_over_the_limit_ends_the_stream(cut: bool) -> None:
    whole, over = b"x" * 20, b"x" * 21
    stream = frame(whole) + frame(over) + frame(A)
    framer, messages = fed(*(single(stream) if cut else [stream]), limit=20)
    assert (messages, framer.fault, framer.begun) == ([whole], "too_large", False)


def test_what_is_held_never_exceeds_the_limit_by_more_than_a_chunk() -> None:
    framer = Framer(1000)
    framer.feed(b"\x0b")
    for _ in range(100):
        framer.feed(b"x" * 100)
        assert framer.held <= 1002
