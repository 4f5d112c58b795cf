"""The messages in a body: one, or a batch walked through without holding up others."""

import asyncio
from collections.abc import AsyncIterator

from msgspec import Struct

from fifhir.batch import Miscount, Splitter
from fifhir.errors import MessageError
from fifhir.event import Warning
from fifhir.ingress.answers import Problem

SLICE = 128 << 10  # bytes of a batch between two turns of the loop, a few milliseconds' work


class Broken(Struct, frozen=True):
    """A message that could not be read; `index` counts the messages of the body from 0."""

    index: int
    error: str
    message: str
    location: str


def broken(index: int, fault: MessageError) -> Broken:
    """The fault as the sender is told of it."""
    return Broken(index, fault.reason, str(fault), fault.location)


async def walk(body: bytes, warnings: list[Warning]) -> AsyncIterator[bytes]:
    """Every message of a batch, in order; `warnings` has a trailer's wrong count when it ends."""
    splitter, view = Splitter(), memoryview(body)
    for start in range(0, len(body), SLICE):
        for raw in splitter.feed(bytes(view[start : start + SLICE])):
            yield raw
        warnings += map(_miscounted, splitter.miscounts)
        await asyncio.sleep(0)
    for raw in splitter.finish():
        yield raw
    warnings += map(_miscounted, splitter.miscounts)


def _miscounted(miscount: Miscount) -> Warning:
    return Warning("envelope", "BATCH_COUNT", str(miscount), miscount.path)


def unreadable(faults: list[Broken], *, any_hl7: bool) -> Problem:
    """None of the messages can be taken: 422, or 400 if the body is something else altogether."""
    if any_hl7:
        return Problem(422, "parse_error", "The messages told in errors are broken.", errors=faults)
    return Problem(400, "not_hl7", "The body holds no HL7 v2 message.")
