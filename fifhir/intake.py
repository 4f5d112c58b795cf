"""The straight line: bytes to message to event to outcome.

Everything that brings messages in calls this: HTTP, MLLP, files and the benchmark.
"""

import hashlib
import time
from functools import lru_cache

from msgspec import Struct, field

from fifhir.event import Event
from fifhir.extract import extract
from fifhir.message import Message, open_message
from fifhir.profile import DEFAULT, Profile
from fifhir.workflow.engine import Outcome, Workflow


class Feed(Struct, frozen=True, kw_only=True):
    """One sender's interface: what its events are called after, and how it is read."""

    source: str = "unknown"
    profile: Profile = field(default=DEFAULT)


def read(raw: bytes, feed: Feed) -> Event:
    """The event that the message in `raw` means. Raises MessageError if it is not one."""
    profile = feed.profile
    message = open_message(raw, profile.charset, profile.guess_charset, profile.tolerate_delimiters)
    return extract(message, profile, _identity(message, feed.source), feed.source, _now())


async def accept(raw: bytes, feed: Feed, workflow: Workflow) -> tuple[Event, Outcome]:
    """Read one message and run every route its event matches; both are told.

    When this returns, every action of every matched route has been tried and the outcome says
    how each one went.
    """
    event = read(raw, feed)
    return event, await workflow.run(event)


def _identity(message: Message, source: str) -> str:
    """A UUID (RFC 9562, version 8) of the source's name and the message's bytes."""
    named = _named(source).copy()
    named.update(message.raw)
    digest = named.hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


@lru_cache(maxsize=1024)
def _named(source: str) -> "hashlib._Hash":
    return hashlib.sha256(source.encode() + b"\0")


_moment: tuple[int, str] = (0, "")


def _now() -> str:
    """The time in UTC to the millisecond (RFC 3339), written out once a millisecond at most."""
    global _moment
    now = time.time_ns() // 1_000_000
    if now != _moment[0]:
        seconds, milliseconds = divmod(now, 1000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _moment = now, f"{text}.{milliseconds:03}Z"
    return _moment[1]
