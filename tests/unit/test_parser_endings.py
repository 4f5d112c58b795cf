"""Where segments end, and what stands around a message. Test ids are the rows L1-L7."""

from types import ModuleType

import pytest

SEGMENTS = (rb"MSH|^~\&|LAB|||||||7", b"PID|1||A^^^H~B", b"OBX|1|ST|c||text")
PLAIN = b"\r".join(SEGMENTS) + b"\r"
SAME = {
    "L1-LF": b"\n".join(SEGMENTS),
    "L1-CRLF": b"\r\n".join(SEGMENTS),
    "L1-mixed": SEGMENTS[0] + b"\r\n" + SEGMENTS[1] + b"\n" + SEGMENTS[2] + b"\r",
    "L1-LFCR": b"\n\r".join(SEGMENTS),
    "L1-CRCRLF": b"\r\r\n".join(SEGMENTS),
    "L2-none": b"\r".join(SEGMENTS),
    "L2-one": PLAIN,
    "L2-many": PLAIN + b"\r\r\n\n",
    "L3-before": b"  \r\n\t\n " + PLAIN,
    "L3-blank-lines": b"\r  \r\n\t\n".join(SEGMENTS) + b"\r   \r \t",
    "L5-framed": b"\x0b" + PLAIN + b"\x1c\r",
    "L5-no-CR": b"\x0b" + PLAIN + b"\x1c",
    "L5-open": b"\x0b" + PLAIN,
    "L5-CRLF": b"\x0b" + PLAIN + b"\x1c\r\n",
    "BOM": b"\xef\xbb\xbf" + PLAIN,
    "BOM-framed": b"\x0b\xef\xbb\xbf" + PLAIN + b"\x1c\r",
    "NUL-around": b"\0\0" + PLAIN + b"\0",
}


@pytest.mark.parametrize("raw", SAME.values(), ids=SAME)
def test_endings_and_framing_make_no_difference(door: ModuleType, raw: bytes) -> None:
    assert door.open_message(raw).encode() == PLAIN


def test_a_comment_line_is_a_segment_of_its_own(door: ModuleType) -> None:
    """L4: no comments in messages; nothing of the line is lost and nothing after it either."""
    message = door.open_message(SEGMENTS[0] + b"\r# note\r" + SEGMENTS[1])
    assert message.name(1) == b"# note"
    assert message.get("PID-1") == "1"


def test_an_ending_inside_a_field_loses_no_byte(door: ModuleType) -> None:
    """L6: the rest of the field is a segment that no reader asks for, never part of another."""
    raw = SEGMENTS[0] + b"\rOBX|8|ST|Test\r\r\rString||tail|F\rOBX|9|ST|next||5"
    message = door.open_message(raw)
    names = [message.name(at) for at in range(len(message))]
    assert names == [b"MSH", b"OBX", b"String", b"OBX"]
    assert message.cut(2, 2) == b"tail"
    assert [message.get("OBX(1)-3"), message.get("OBX(2)-5")] == ["Test", "5"]


def test_segment_names_are_case_sensitive(door: ModuleType) -> None:
    """L7: `pid` is kept where it stands, and it is not PID."""
    message = door.open_message(SEGMENTS[0] + b"\rpid|1||A")
    assert message.name(1) == b"pid"
    assert message.get("PID-3") == ""


def test_blanks_at_the_end_of_a_value_stay(door: ModuleType) -> None:
    message = door.open_message(SEGMENTS[0] + b"\rPID|1||A  \rOBX|1 ")
    assert message.get("PID-3") == "A  "
    assert message.get("OBX-1") == "1 "


@pytest.mark.parametrize(
    "octet", [b"\x0b", b"\x1c", b"\0", b"\x85", b"\xe2\x80\xa8", b"\x0c", b"\x1e"]
)
def test_only_CR_and_LF_end_a_segment(door: ModuleType, octet: bytes) -> None:  # noqa: N802
    raw = SEGMENTS[0] + b"\rPID|1||a" + octet + b"b|next"
    message = door.open_message(raw, "cp1252") if octet == b"\x85" else door.open_message(raw)
    assert len(message) == 2
    assert message.get("PID-4") == "next"
    assert len(message.get("PID-3")) == 3


@pytest.mark.parametrize("size", range(8, 48))
def test_a_message_cut_short_keeps_what_came(door: ModuleType, size: int) -> None:
    whole = SEGMENTS[0] + b"\rPID|1||A^^^H~B\rOBX|1"
    message = door.open_message(whole[:size])
    assert whole[:size].rstrip(b"\r") == message.encode().rstrip(b"\r")
