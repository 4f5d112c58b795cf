"""What is written in one call is what the long way writes, and both scribes write the same."""

from pathlib import Path
from types import ModuleType

from hypothesis import example, given
from hypothesis import strategies as st

from fifhir.event import encode
from fifhir.intake import Feed, read
from fifhir.message import Scribe
from tests.property.messages import messages
from tests.twins import scribe

MESSAGES = sorted((Path(__file__).parent.parent / "messages").glob("*.hl7"))
REAL = [path.read_bytes() for path in MESSAGES]
ONE = next(raw for path, raw in zip(MESSAGES, REAL, strict=True) if path.stem == "adt_a02")


@st.composite
def mended(draw: st.DrawFn) -> bytes:
    """A real message with a few bytes of it changed, left out or doubled."""
    raw = bytearray(draw(st.sampled_from(REAL)))
    words = [
        *b"\r\n|^~\\&\x0b\x1c\x00\"'\xffZ",
        b"\rMSH|",
        b"\rPID|",
        b"\rZPI|1",
        b"\\X41\\",
        b'""',
    ]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        size = draw(st.integers(0, 3))
        word = draw(st.sampled_from(words))
        raw[at : at + size] = word if isinstance(word, bytes) else bytes([word])
    return bytes(raw)


@given(raw=st.one_of(mended(), messages()), before=st.binary(max_size=40))
@example(raw=ONE, before=b"")
@example(raw=ONE.rstrip(), before=b"POST")
@example(raw=b"", before=b"MSH|^~\\&|")
def test_twins_write_the_same(
    twins: tuple[ModuleType, ModuleType], raw: bytes, before: bytes
) -> None:
    scribes = map(scribe, twins)
    python, compiled = (each.write(before + raw, "now", len(before)) for each in scribes)
    assert compiled == python


@given(raw=mended())
@example(raw=ONE)
def test_the_short_way_writes_what_the_long_way_does(raw: bytes) -> None:
    feed = Feed(source="feed")
    assert isinstance(feed.scribe, Scribe)
    written = feed.scribe.write(raw, "now")
    if written is not None:
        event = read(raw, feed)
        expected = encode(event).replace(event.received_at.encode(), b"now")
        assert written[1].replace(event.received_at.encode(), b"now") == expected
        assert not event.parse_warnings


def test_the_short_way_is_the_usual_one() -> None:
    feed = Feed(source="feed")
    assert feed.scribe is not None
    assert feed.scribe.write(ONE, "now") is not None
    for other in (b"", b" " + ONE, b"\x0b" + ONE, ONE + b"\x1c\r", ONE + ONE, ONE[3:]):
        assert feed.scribe.write(other, "now") is None
    for start in (-1, len(ONE), len(ONE) + 1):
        assert feed.scribe.write(ONE, "now", start) is None
