"""Streams, batches and files cut into messages. Test ids are the rows B1-B12 and L3, L4, M11."""

import pytest

from fifhir.batch import Splitter, split
from fifhir.errors import MessageError
from fifhir.intake import Feed, read_json, read_single
from fifhir.message import open_message


def message(control: int, *segments: bytes) -> bytes:
    return b"\r".join([b"MSH|^~\\&|LAB|||||||%d|P|2.5" % control, *segments]) + b"\r"


ONE, TWO, THREE = message(1, b"PID|1||A"), message(2, b"PID|1||B"), message(3, b"PID|1||C")
FHS, FTS, BHS, BTS = b"FHS|^~\\&|A\r", b"FTS|1\r", b"BHS|^~\\&||ABCHS\r", b"BTS|1\r"
STREAMS = {
    "B1": (BHS + ONE + BTS, ["1"]),
    "B2": (BHS + ONE + TWO + b"BTS|2\r", ["1", "2"]),
    "B3": (ONE + TWO, ["1", "2"]),
    "B4-no-BTS": (BHS + ONE, ["1"]),
    "B4-no-BHS": (ONE + BTS, ["1"]),
    "B6": (BHS + ONE + BHS + TWO + BTS, ["1", "2"]),
    "B7-one": (FHS + BHS + ONE + BTS + FTS, ["1"]),
    "B7-two": (FHS + BHS + ONE + BTS + BHS + TWO + BTS + b"FTS|2\r", ["1", "2"]),
    "B7-no-BHS": (FHS + ONE + FTS, ["1"]),
    "B7-no-FTS": (FHS + BHS + ONE + BTS, ["1"]),
    "B7-empty": (FHS + BHS + BTS + FTS, []),
    "B8": (FHS + ONE + FHS + TWO + FTS, ["1", "2"]),
    "B10": (BHS + ONE + b"BTS|7\r", ["1"]),
    "B12-CRLF": ((BHS + ONE + TWO + BTS).replace(b"\r", b"\r\n"), ["1", "2"]),
    "B12-LF": ((BHS + ONE + TWO + BTS).replace(b"\r", b"\n"), ["1", "2"]),
    "B12-blank-lines": (b"\r\n\r\n" + ONE + b"\r\r\n \t\n" + TWO + b"\r\n\r\n", ["1", "2"]),
    "B12-MLLP": (b"\x0b" + ONE + b"\x1c\r\x0b" + TWO + b"\x1c\r", ["1", "2"]),
    "B12-MLLP-tight": (b"\x0b" + ONE[:-1] + b"\x1c\x0b" + TWO[:-1] + b"\x1c", ["1", "2"]),
    "M10": (b"\0\0\x0b" + ONE + b"\x1c\r\0\0\x0b" + TWO + b"\x1c\r\0", ["1", "2"]),
    "L3": (b"   \n  " + ONE + b"   \n   " + TWO + b"  \n", ["1", "2"]),
    "BOM": (b"\xef\xbb\xbf" + ONE + b"\xef\xbb\xbf" + TWO, ["1", "2"]),
    "three": (ONE + TWO + THREE, ["1", "2", "3"]),
    "foreign-delimiters": (b"MSH$%~\\&$LAB$$$$$$$1\r" + TWO, ["1", "2"]),
    "MSH-in-text": (message(1, b"OBX|1|TX|||see MSH|x") + TWO, ["1", "2"]),
    "MSHX": (message(1, b"MSHX|1") + TWO, ["1", "2"]),
    "nothing": (b"", []),
    "blanks": (b"\r\n \x1c\r\0", []),
}


@pytest.mark.parametrize(("stream", "controls"), STREAMS.values(), ids=STREAMS)
def test_every_message_of_a_stream_is_found_in_order(stream: bytes, controls: list[str]) -> None:
    assert [open_message(piece).get("MSH-10") for piece in split(stream)] == controls


@pytest.mark.parametrize("end", [b"", b"\r", b"\x1c\r", b"\n\n", b"\0"])
@pytest.mark.parametrize(("stream", "controls"), STREAMS.values(), ids=STREAMS)
def test_what_is_read_as_a_single_message_would_not_be_cut(
    stream: bytes, controls: list[str], end: bytes
) -> None:
    try:
        single = read_single(stream + end, Feed())
    except MessageError:
        assert len(controls) == 1
        return
    if single is not None:
        assert len(split(stream + end)) == len(controls) == 1


@pytest.mark.parametrize(
    "between", [b"", b" ", b"\0", b"\xef\xbb\xbf", b"\x0b", b"\x1c\x0b", b"\n"]
)
@pytest.mark.parametrize("mark", [b"MSH", b"FHS", b"BHS", b"BTS", b"FTS"])
def test_no_mark_is_missed_by_reading_a_single_message(mark: bytes, between: bytes) -> None:
    assert read_single(ONE + between + mark + b"|^~\\&|x\r", Feed()) is None
    assert read_single(ONE[:-1] + b"\x1c" + between + mark + b"$%~\\&$x\r", Feed()) is None


@pytest.mark.parametrize("name", [b"BTS", b"FTS", b"BHS", b"FHS", b"BTSX|1"])
def test_a_first_line_that_only_begins_like_an_envelope_is_a_piece(name: bytes) -> None:
    assert split(name + b"\r" + ONE) == [name + b"\r", ONE]


def test_a_message_of_its_own_is_read_at_once() -> None:
    for text in (b"", b"OBX|1|TX|||RESULTS SHOW|x\r", b"PID|1||H\xc3\xb6ll\r"):
        single = read_single(ONE + text, Feed())
        assert single is not None
        assert single[0] == read_json(ONE + text, Feed())[0]


BROKEN = {
    "B5-batch": (BHS + b"PID|1||A\r" + ONE + BTS, 0),
    "B5-file": (FHS + b"PID|1||A\r" + ONE + FTS, 0),
    "B5-bare": (b"PID|1||A\r" + ONE, 0),
    "B11-middle": (BHS + TWO + b"MSH|^^^^|broken\rPID|1||A\r" + ONE + BTS, 1),
    "B11-first": (b"MSH|^~|\rPID|1||A\r" + ONE, 0),
    "after-a-batch": (BHS + ONE + BTS + b"PID|1||A\r", 1),
    "L4": (b"# a comment\r\n" + ONE, 0),
    "garbage": (b"\x00\x01\x02 no message at all", 0),
}


@pytest.mark.parametrize(("stream", "index"), BROKEN.values(), ids=BROKEN)
def test_a_piece_that_is_no_message_comes_out_in_its_place(stream: bytes, index: int) -> None:
    """B5, B11: the others are delivered, and the reader refuses this one where it stood."""
    pieces = split(stream)
    for at, piece in enumerate(pieces):
        if at == index:
            with pytest.raises(MessageError):
                open_message(piece)
        else:
            assert open_message(piece).get("MSH-10") in ("1", "2")


def test_no_message_grows_by_what_stood_behind_it() -> None:
    pieces = split(FHS + BHS + ONE + TWO + BTS + FTS + BHS + THREE + BTS)
    assert [open_message(piece).encode() for piece in pieces] == [ONE, TWO, THREE]


def test_pieces_of_a_stream_say_where_they_began() -> None:
    splitter = Splitter()
    stream = BHS + ONE + TWO
    pieces = splitter.feed(stream)
    places = list(splitter.offsets)
    pieces += splitter.finish()
    places += splitter.offsets
    assert [
        stream[at : at + len(piece)] for at, piece in zip(places, pieces, strict=True)
    ] == pieces


def test_a_stream_is_cut_in_bounded_memory() -> None:
    """An endless message comes out as one piece that every reader refuses; the next one is fine."""
    splitter = Splitter(limit=1000)
    pieces = []
    pieces += splitter.feed(ONE + message(9)[:-1])
    for _ in range(100):
        pieces += splitter.feed(b"OBX|1|TX|||" + b"x" * 89)
        assert len(splitter._pending) < 3000
    pieces += splitter.feed(b"\r" + TWO) + splitter.finish()
    sizes = [len(piece) for piece in pieces]
    assert pieces[0] == ONE
    assert pieces[-1] == TWO
    assert sizes[1:-1] == [1001]


COUNTS = {
    "right": (FHS + BHS + ONE + BTS + BHS + TWO + BTS + b"FTS|2\r", []),
    "absent": (FHS + BHS + ONE + b"BTS\rFTS|\r", []),
    "no-BHS": (FHS + ONE + TWO + b"FTS|1\r", []),
    "too-few": (BHS + ONE + b"BTS|7\r", ["BTS-1 counts 7 messages, but 1 came"]),
    "no-messages": (FHS + BHS + BTS + FTS, ["BTS-1 counts 1 messages, but 0 came"]),
    "batches": (
        FHS + BHS + ONE + BTS + BHS + TWO + BTS + FTS,
        ["FTS-1 counts 1 batches, but 2 came"],
    ),
    "no-number": (BHS + ONE + b"BTS|one\r", ["BTS-1 is no number, but 1 came"]),
    "own-delimiter": (b"BHS!^~\\&\r" + ONE + b"BTS!3\r", ["BTS-1 counts 3 messages, but 1 came"]),
}


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(("stream", "wanted"), COUNTS.values(), ids=COUNTS)
def test_a_trailer_that_counts_something_else_is_told(
    stream: bytes, wanted: list[str], size: int
) -> None:
    splitter, told = Splitter(), []
    for start in range(0, len(stream), size):
        splitter.feed(stream[start : start + size])
        told += splitter.miscounts
    splitter.finish()
    assert [str(each) for each in told + splitter.miscounts] == wanted
    for each in told + splitter.miscounts:
        assert stream[each.at :].startswith(each.path[:3].encode())
