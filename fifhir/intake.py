"""The straight line: bytes to message to event to outcome.

Everything that brings messages in calls this: HTTP, MLLP, files and the benchmark.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct, field, structs

from fifhir import batch
from fifhir.errors import MessageError
from fifhir.event import Event, Warning
from fifhir.extract import extract, extract_json, scribe
from fifhir.journal import Accepted, Journal
from fifhir.message import Message, Scribe, open_message, uuid_text
from fifhir.profile import DEFAULT, Profile
from fifhir.profile.choosing import Choice, Profiles, Sender
from fifhir.store import Recorded
from fifhir.written import Written

_MARKS = (b"MSH", b"FHS", b"BHS", b"BTS", b"FTS")  # what begins or ends a message in a stream
VT, FS = 0x0B, 0x1C  # the bytes of MLLP; as numbers they are found three times as fast

Answer: TypeAlias = Callable[[Written], bytes]
"""What a sender is told of an event that is in the journal."""


class Feed(Struct, frozen=True, kw_only=True):
    """One source: what its events are called after, and how it is read.

    `senders` are those that another profile reads than the rest. `scribe` writes what needs no
    second look, whoever sent it.
    """

    source: str = "unknown"
    profile: Profile = field(default=DEFAULT)
    senders: tuple[Sender, ...] = ()
    scribe: Scribe | None = None

    def __post_init__(self) -> None:
        if not self.senders:
            structs.force_setattr(self, "scribe", _scribe(self.source, self.profile))

    @classmethod
    def of(cls, source: str, profiles: Profiles, profile: str = "") -> "Feed":
        """The source, read by the profile asked for, else as `profiles` says."""
        choice = profiles.choice(source, profile)
        return cls(source=source, profile=choice.profile, senders=choice.senders)

    def reader(self, raw: bytes) -> Profile:
        """The profile that reads this message."""
        return Choice(self.profile, self.senders).of(raw) if self.senders else self.profile


def read(raw: bytes, feed: Feed) -> Event:
    """The event that the message in `raw` means. Raises MessageError if it is not one."""
    message, profile = opened(raw, feed)
    return extract(message, profile, _identity(message, feed.source), feed.source, now())


def read_json(raw: bytes, feed: Feed) -> tuple[str, bytes, tuple[Warning, ...]]:
    """The type, the JSON and the warnings of the event that `read` would give, for less."""
    if feed.scribe and (written := feed.scribe.write(raw, now())):
        return (*written, ())
    return _looked_into(raw, feed)


def _looked_into(raw: bytes, feed: Feed) -> tuple[str, bytes, tuple[Warning, ...]]:
    """The same of a message that the scribe does not write, or was not asked for."""
    message, profile = opened(raw, feed)
    return extract_json(message, profile, _identity(message, feed.source), feed.source, now())


def read_single(raw: bytes, feed: Feed) -> tuple[str, bytes, tuple[Warning, ...]] | None:
    """What `read_json` gives if `raw` is certainly one message, None if only cutting it tells.

    Opening a message tells so for a tenth of what searching its bytes costs.
    """
    if feed.scribe and (written := feed.scribe.write(raw, now())):
        return (*written, ())
    profile = feed.reader(raw)
    try:
        message = _opened(raw, profile)
    except MessageError:
        if batch.is_single(raw):
            raise
        return None
    one = message.census(_MARKS) == (1, 0, 0, 0, 0)
    plain = not message.odd and VT not in raw and FS not in raw
    if not (one and plain) and not batch.is_single(raw):
        return None
    return extract_json(message, profile, _identity(message, feed.source), feed.source, now())


def opened(raw: bytes, feed: Feed) -> tuple[Message, Profile]:
    """The message, and the profile that reads it. Raises MessageError if it is not one."""
    profile = feed.reader(raw)
    return _opened(raw, profile), profile


def _opened(raw: bytes, profile: Profile) -> Message:
    return open_message(raw, profile.charset, profile.guess_charset, profile.tolerate_delimiters)


def read_plain(raw: bytes, feed: Feed) -> Written | None:
    """What `read_written` gives, if `raw` is certainly one message and needs no second look."""
    if feed.scribe and (written := feed.scribe.write(raw, now())):
        return _routable(*written, feed.source)
    return None


def read_closely(raw: bytes, feed: Feed) -> Written:
    """What `read_written` gives, for a message of which `read_plain` has given nothing."""
    name, json, _ = _looked_into(raw, feed)
    return _routable(name, json, feed.source)


def read_written(raw: bytes, feed: Feed) -> Written:
    """The event that `read` would give, ready for a workflow."""
    name, json, _ = read_json(raw, feed)
    return _routable(name, json, feed.source)


def read_alone(given: bytes, feed: Feed) -> tuple[bytes, Written]:
    """The message of a frame or a record, without an envelope around it, and its event.

    Raises MessageError if there are several, or if it cannot be read.
    """
    if plain := read_plain(given, feed):
        return given, plain
    raw = batch.only(given)
    return raw, read_closely(raw, feed)


def _routable(name: str, json: bytes, source: str) -> Written:
    start = len('{"type":"","id":"') + len(name)  # what every event begins with
    return Written(name, json[start : start + 36].decode(), source, json)


async def record(
    messages: Iterable[tuple[bytes, Written]], journal: Journal, answer: Answer
) -> list[Recorded]:
    """Put messages into the journal, from where they are delivered.

    When this returns, they and their `answer` are committed in one commit; of one that was before,
    the answer is told that it had then. Raises StoreError; then nothing is promised.
    """
    return await journal.record(
        [
            Accepted(written, raw, hashlib.sha256(raw).digest(), answer(written))
            for raw, written in messages
        ]
    )


def _identity(message: Message, source: str) -> str:
    """A UUID (RFC 9562, version 8) of the source's name and the message's bytes."""
    named = _named(source).copy()
    named.update(message.raw)
    return uuid_text(named.digest())


@lru_cache(maxsize=1024)
def _named(source: str) -> "hashlib._Hash":
    return hashlib.sha256(source.encode() + b"\0")


@lru_cache(maxsize=1024)
def _scribe(source: str, profile: Profile) -> Scribe | None:
    return scribe(_named(source), source, profile)


def now() -> str:
    """The time in UTC to the millisecond (RFC 3339)."""
    return _written(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)
def _written(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03}Z"
