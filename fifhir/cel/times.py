"""Timestamps and durations of CEL, to the nanosecond (cel-spec, "Abstract types")."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache, total_ordering
from typing import Any
from zoneinfo import ZoneInfo

from fifhir.errors import CelFault

NANOSECONDS = 1_000_000_000
_FIRST = -62_135_596_800 * NANOSECONDS  # 0001-01-01T00:00:00Z
_LAST = 253_402_300_800 * NANOSECONDS - 1  # 9999-12-31T23:59:59.999999999Z
_LONGEST = 315_576_000_000 * NANOSECONDS  # protobuf: 10,000 years
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d)(?:(:\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:\d\d)?)?", re.A
)
_UNITS = {"h": 3600 * NANOSECONDS, "m": 60 * NANOSECONDS, "s": NANOSECONDS, "ms": 10**6,
          "us": 1000, "µs": 1000, "ns": 1}  # fmt: skip
_DURATION = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns))+|0)", re.A)
_DURATION_PART = re.compile(r"(\d*)\.?(\d*)(h|ms|m|s|us|µs|ns)", re.A)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.A)


@total_ordering
class _Span:
    """A count of nanoseconds that compares only with its own kind."""

    __slots__ = ("nanoseconds",)
    least: int
    most: int

    def __init__(self, nanoseconds: int) -> None:
        if not self.least <= nanoseconds <= self.most:
            raise CelFault(f"a {type(self).__name__.lower()} is out of range")
        self.nanoseconds = nanoseconds

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: Any) -> bool:
        return bool(self.nanoseconds < other.nanoseconds)

    def __hash__(self) -> int:
        return hash(self.nanoseconds)


class Timestamp(_Span):
    """A moment, in nanoseconds since 1970-01-01T00:00:00Z."""

    __slots__ = ()
    least, most = _FIRST, _LAST


class Duration(_Span):
    """A length of time."""

    __slots__ = ()
    least, most = -_LONGEST, _LONGEST


def timestamp(text: str) -> Timestamp:
    """The moment that RFC 3339 text names.

    Beyond CEL, a time without an offset and a date alone are read as UTC, because an event has
    times as exact as its sender wrote them.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise CelFault("timestamp() needs a time as in 2026-01-31T12:00:00Z")
    date, minutes, seconds, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    try:
        moment = datetime.fromisoformat(f"{date}T{minutes or '00:00'}{seconds or ':00'}{zone}")
        whole = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise CelFault("timestamp() was given a day or time that does not exist") from None
    return Timestamp(whole * NANOSECONDS + int((fraction or "").ljust(9, "0")))


def duration(text: str) -> Duration:
    """The length of time that text as Go writes it means: 1h30m, -2.5s, 100ms."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise CelFault("duration() needs a length with its unit, as in 1h30m, 90s or 250ms")
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(match[2]):
        scale = _UNITS[unit]
        total += int(whole or 0) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    return Duration(-total if match[1] == "-" else total)


def duration_text(value: Duration) -> str:
    """The duration in seconds, as protobuf's JSON has it: 5400s, 0.5s."""
    sign = "-" if value.nanoseconds < 0 else ""
    whole, rest = divmod(abs(value.nanoseconds), NANOSECONDS)
    return f"{sign}{whole}{_fraction(rest)}s"


def timestamp_text(value: Timestamp) -> str:
    """The moment in UTC (RFC 3339), with as many decimals as it needs, in threes."""
    whole, rest = divmod(value.nanoseconds, NANOSECONDS)
    moment = _EPOCH + timedelta(seconds=whole)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + _fraction(rest) + "Z"


def _fraction(nanoseconds: int) -> str:
    """Decimals in threes, as protobuf writes them; none if there is nothing to say."""
    text = f"{nanoseconds:09}"
    while text.endswith("000"):
        text = text[:-3]
    return f".{text}" if text else ""


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of that name: of the tz database (Europe/Berlin), or an offset (+05:30)."""
    if offset := _OFFSET.fullmatch(name):
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CelFault("no such time zone; write Europe/Berlin, UTC or +05:30") from None


def local(value: Timestamp, name: str = "UTC") -> datetime:
    """The moment on the calendar of a time zone, to the microsecond."""
    microseconds = value.nanoseconds // 1000
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).astimezone(zone(name))
    except OverflowError:
        raise CelFault("a timestamp is out of range in that time zone") from None
