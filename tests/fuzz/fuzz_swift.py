"""Fuzz every reader of foreign bytes, for what AddressSanitizer sees and for the rules each obeys.

Many times as fast as the targets under atheris, since only compiled code is instrumented.
`tests/fuzz/run` builds the driver.
"""

import gc
import sys

from fifhir import dtm, escape, extract
from fifhir._http1 import body_of
from fifhir.batch import Splitter
from fifhir.errors import MessageError
from fifhir.intake import Feed
from fifhir.message import TOKENIZER, Message, write
from fifhir.mllp import Framer

PLANS = [  # an unmapped message is given its segments, too
    plan for plan in extract._PLANS.values() if "segments" not in plan.node[1].__struct_fields__
]
SCRIBE = Feed().scribe
GIVEN = ("id", "received", "source", "hl7v2", "profile")
ZONE = dtm.zone("Europe/Berlin")
FRAME_LIMIT = 200  # bytes
DELIMITERS = b"|^~\\&"


def see_scribe(data: bytes) -> None:
    assert SCRIBE is not None
    SCRIBE.write(data, "now", 0)


def see_tokens(data: bytes) -> None:
    try:
        message = Message(data)
    except MessageError:
        return
    for segment in range(min(len(message), 4)):
        for field in range(min(message.fields(segment) + 1, 12)):
            message.text(segment, field)
            message.cut(segment, field, 2, 2, 2)


def see_plan(data: bytes) -> None:
    try:
        message = Message(data)
    except MessageError:
        return
    write(PLANS[len(data) % len(PLANS)], message, GIVEN, "Z")


def see_date(data: bytes) -> None:
    text = data.decode("latin-1")
    assert (dtm.time(text, ZONE) is None) == (dtm.read(text) is None)
    dtm.date(text, ZONE)
    dtm.offset(text)


def see_escape(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    escape.decode(text.encode(), DELIMITERS)
    assert escape.decode(escape.encode(text, DELIMITERS).encode(), DELIMITERS) == text


def see_frames(data: bytes) -> None:
    """However a stream is cut into chunks, the same messages come out."""
    whole, halves = Framer(FRAME_LIMIT), Framer(FRAME_LIMIT)
    middle = data[0] if data else 0
    assert whole.feed(data) == halves.feed(data[:middle]) + halves.feed(data[middle:])
    assert whole.finish() == halves.finish()


def see_batch(data: bytes) -> None:
    whole, halves = Splitter(), Splitter()
    middle = data[0] if data else 0
    pieces = halves.feed(data[:middle]) + halves.feed(data[middle:]) + halves.finish()
    assert whole.feed(data) + whole.finish() == pieces


def see_head(data: bytes) -> None:
    body_of(data, data[:7], b"\r\n\r\n", FRAME_LIMIT)


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer's own limits end the process; a finding ends it with a status."""
    from tests.fuzz.driver import drive  # noqa: PLC0415 - only there where it was built

    assert TOKENIZER == "compiled"
    gc.freeze()  # a hundred plans need not be looked through again and again
    often = (see_scribe, see_plan, see_scribe, see_tokens, see_plan)  # what is compiled
    drive(
        [sys.argv[0], *arguments], (*often, see_date, see_escape, see_frames, see_batch, see_head)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
