"""Fuzz the compiled tokenizer alone, for what AddressSanitizer sees: many more inputs a second.

Every value is read and every event built and written; the JSON must be that of the struct, which
is the one judgement that needs no specification. Called by `tests/fuzz/run`, under atheris.
"""

import sys

import msgspec

from fifhir import extract
from fifhir.errors import MessageError
from fifhir.intake import Feed
from fifhir.message import TOKENIZER, Message, write

PLANS = list(extract._PLANS.values())
SIMPLE = extract._SIMPLE
SCRIBE = Feed().scribe
GIVEN = ("id", "received", "source", "hl7v2", "profile")
PATHS = ("MSH-9.2", "PID-3(2).4.2", "PID-5", "OBX(2)-5(3).2", "PV1-44", "MSH-2", "ZZZ-70.70.70")


class Differ(Exception):
    """What was written is not what was built."""


def judge(data: bytes) -> None:
    """Raise Differ if the two ways to the JSON part; memory is the sanitizer's business."""
    if SCRIBE is not None:
        SCRIBE.write(data, "now", len(data) % 2)
    believed = b"|^~\\&" if data[:1] == b"\x01" else b""
    try:
        message = Message(data[len(believed) and 1 :], believed)
    except MessageError:
        return
    for where in PATHS:
        message.get(where)
    for segment in range(len(message)):
        for field in range(message.fields(segment) + 2):
            message.text(segment, field)
            message.cut(segment, field, 2, 2, 2)
    plan = PLANS[len(data) % len(PLANS)]
    value, unread = plan.build(message, (*GIVEN, ()), "Z")
    if "segments" in type(value).__struct_fields__:
        return
    if write(plan, message, GIVEN, "Z") != (msgspec.json.encode(value), unread):
        raise Differ(type(value).__name__)
    SIMPLE.write(message, GIVEN, "Z")


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer's own limits end it; a finding ends the process with a status."""
    import atheris  # noqa: PLC0415 - only there where it was installed

    assert TOKENIZER == "compiled"
    atheris.Setup([sys.argv[0], *arguments], judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
