"""However a stream is cut, the same messages come out, and the same is lost."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fifhir.mllp import Framer, frame

LIMIT = 40
parts = st.sampled_from(
    [
        *(b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\x0bMSH", b"MSH|^~\\&|A\r", b"\0", b"\n", b"x"),
        *(b"\x0bMSH|a\x1c\r", b"\x0bM", b"SH", b"x" * 39, b"y" * 5000),
    ]
)
streams = st.lists(parts | st.binary(max_size=8), max_size=20).map(b"".join)


def read(chunks: list[bytes]) -> tuple[list[bytes], str, int, bool]:
    framer = Framer(LIMIT)
    messages = [message for chunk in chunks for message in framer.feed(chunk)]
    begun = framer.begun
    return messages, framer.finish(), framer.restarts, begun


@given(streams, st.lists(st.integers(0, 200), max_size=30))
def test_messages_survive_any_split_of_the_stream(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(places)]
    assert read(chunks) == read([stream])
    assert read([stream[at : at + 1] for at in range(len(stream))]) == read([stream])


@given(st.lists(st.binary(max_size=LIMIT).filter(lambda m: b"\x1c\r" not in m), max_size=8))
def test_what_is_framed_is_read_back(messages: list[bytes]) -> None:
    wanted = [m for m in messages if b"\x0bMSH" not in m and not m.endswith(b"\x1c")]
    framer = Framer(LIMIT)
    assert framer.feed(b"".join(map(frame, wanted))) == wanted
    assert framer.finish() == ""


@given(streams)
def test_every_byte_is_in_a_message_dropped_or_framing(stream: bytes) -> None:
    framer = Framer(1 << 20)
    messages = framer.feed(stream)
    if framer.fault:
        return
    framer.finish()
    known = sum(map(len, messages)) + 3 * len(messages) + framer.dropped
    assert known <= len(stream) <= known + sum(stream.count(blank) for blank in b"\0\r\n \t")
