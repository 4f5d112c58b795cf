"""HL7 date/time values (DTM, TS; v2 chapter 2A) as ISO 8601 text, precision and offset kept.

`YYYY[MM[DD[HH[MM[SS[.F+]]]]]][+/-ZZ[ZZ]]`. A time of day always gets an offset: its own, else
the zone it is read in, because a time without one means nothing to another system.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_FORM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?"
    r"(?:([+-])(\d\d)([0-5]\d)?|(Z))?",
    re.ASCII,
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Moment(NamedTuple):
    """A point in time as precisely as its sender knew it; `None` is what was not said.

    `fraction` holds the digits after the decimal point, `offset` minutes east of UTC.
    """

    year: int
    month: int | None
    day: int | None
    hour: int | None
    minute: int | None
    second: int | None
    fraction: str
    offset: int | None


Zone: TypeAlias = str | Callable[[Moment], str]


def zone(name: str) -> Zone:
    """The zone to read offsetless times in: a suffix (`Z`), or a rule that gives it per moment.

    Raises KeyError for a name the time zone database does not know.
    """
    if name.upper() in ("UTC", "Z", ""):
        return "Z"
    try:
        rules = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        raise KeyError(name) from unknown
    return lambda moment: _suffix_at(moment, rules)


def _suffix_at(moment: Moment, rules: ZoneInfo) -> str:
    local = datetime(
        moment.year,
        moment.month or 1,
        moment.day or 1,
        moment.hour or 0,
        moment.minute or 0,
        tzinfo=rules,
    )
    offset = local.utcoffset()
    return _suffix(round(offset.total_seconds() / 60) if offset else 0)


def _suffix(minutes: int) -> str:
    if not minutes:
        return "Z"
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def read(text: str) -> Moment | None:
    """The moment `text` names, or None if it is not a valid DTM."""
    form = _FORM.fullmatch(text.strip(" "))
    if form is None:
        return None
    numbers = [int(part) if part is not None else None for part in form.groups()[:6]]
    moment = Moment(*numbers, form[7] or "", _offset(form))  # type: ignore[arg-type, call-arg]
    return moment if _is_valid(moment) else None


@lru_cache(maxsize=256)
def _offset_suffix(tail: str) -> str:
    form = _FORM.fullmatch(f"2000{tail}")
    minutes = _offset(form) if form else None
    return "" if minutes is None or abs(minutes) > 840 else _suffix(minutes)


def offset(text: str) -> str:
    """The ISO 8601 offset at the end of a DTM, `-06:00`; "" if it has none."""
    return _offset_suffix(text[-5:]) if text[-5:-4] in ("+", "-") else ""


def _offset(form: re.Match[str]) -> int | None:
    if form[11]:
        return 0
    if form[8] is None:
        return None
    minutes = int(form[9]) * 60 + int(form[10] or 0)
    return -minutes if form[8] == "-" else minutes


def _is_valid(moment: Moment) -> bool:
    year, month, day, hour, minute, second, _, offset = moment
    if year < 1 or (month is not None and not 1 <= month <= 12):
        return False
    if month is not None and day is not None and not 1 <= day <= _days_in(year, month):
        return False
    clock = (hour or 0) < 24 and (minute or 0) < 60 and (second or 0) < 60
    return clock and abs(offset or 0) <= 840


def _days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 if month == 2 and not leap else _DAYS[month - 1]


def date(text: str, _: Zone) -> str | None:
    """The calendar date as the sender wrote it, never moved to another zone: `1970-10-04`."""
    moment = read(text)
    return None if moment is None else _date(moment)


def time(text: str, zone: Zone) -> str | None:
    """Date and time as precise as sent; seconds are filled up once there is an hour."""
    moment = read(text)
    if moment is None:
        return None
    return _date(moment) if moment.hour is None else _date_time(moment, zone)


def instant(text: str, zone: Zone) -> str | None:
    """An RFC 3339 date and time; None where the sender gave less than a day."""
    moment = read(text)
    if moment is None or moment.day is None:
        return None
    return _date_time(moment, zone)


def _date(moment: Moment) -> str:
    parts = (moment.month, moment.day)
    return f"{moment.year:04}" + "".join(f"-{part:02}" for part in parts if part is not None)


def _date_time(moment: Moment, zone: Zone) -> str:
    clock = f"T{moment.hour or 0:02}:{moment.minute or 0:02}:{moment.second or 0:02}"
    fraction = f".{moment.fraction}" if moment.fraction else ""
    return _date(moment) + clock + fraction + _zone_suffix(moment, zone)


def _zone_suffix(moment: Moment, zone: Zone) -> str:
    if moment.offset is not None:
        return _suffix(moment.offset)
    return zone if isinstance(zone, str) else zone(moment)
