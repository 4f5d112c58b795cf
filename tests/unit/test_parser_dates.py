"""Dates and times with the precision and offset of their source. Test ids are the rows T1-T8."""

import pytest

from fifhir import dtm
from fifhir.dtm import Moment

READ = {
    "T1": ("19010213", Moment(1901, 2, 13, None, None, None, "", None)),
    "T2": ("20140311142533", Moment(2014, 3, 11, 14, 25, 33, "", None)),
    "T3-1": ("20140311142533.1", Moment(2014, 3, 11, 14, 25, 33, "1", None)),
    "T3-2": ("20140311142533.01", Moment(2014, 3, 11, 14, 25, 33, "01", None)),
    "T3-3": ("20140311142533.001", Moment(2014, 3, 11, 14, 25, 33, "001", None)),
    "T3-4": ("20140311142533.0001", Moment(2014, 3, 11, 14, 25, 33, "0001", None)),
    "T4-east": ("201403111412+0530", Moment(2014, 3, 11, 14, 12, None, "", 330)),
    "T4-west": ("201403111412-0500", Moment(2014, 3, 11, 14, 12, None, "", -300)),
    "T4-half": ("201403111412-0030", Moment(2014, 3, 11, 14, 12, None, "", -30)),
    "T7": ("20140311142533+00", Moment(2014, 3, 11, 14, 25, 33, "", 0)),
    "T7-two-digits": ("20140311142533-05", Moment(2014, 3, 11, 14, 25, 33, "", -300)),
    "Z": ("20140311142533Z", Moment(2014, 3, 11, 14, 25, 33, "", 0)),
    "year": ("2014", Moment(2014, None, None, None, None, None, "", None)),
    "month": ("201403", Moment(2014, 3, None, None, None, None, "", None)),
    "hour": ("2014031114", Moment(2014, 3, 11, 14, None, None, "", None)),
    "blanks": (" 20140311 ", Moment(2014, 3, 11, None, None, None, "", None)),
    "leap-day": ("20240229", Moment(2024, 2, 29, None, None, None, "", None)),
}
INVALID = (
    "", " ", "2", "201", "20141", "2014131", "20141301", "20140230", "20230229", "19000229",
    "2014031125", "201403111460", "20140311142560", "2014031114253", "20140311142533.",
    "20140311142533.1234567890", "201403111425.5", "20140311142533+1500", "20140311142533+05:30",
    "20140311142533+0560", "20140311142533+053", "00000101", "00000000", "20140300", "2014-03-11",
    "2014031１", "٢٠١٤٠٣١١", "20140311T142533", "20140311 142533", "99999999", "20140311\n", "NP",
    "20140311142533+0530Z", "-20140311", "20140311142533+", "201403112400",
)  # fmt: skip


@pytest.mark.parametrize(("text", "moment"), READ.values(), ids=READ)
def test_a_time_is_read_as_precisely_as_it_was_known(text: str, moment: Moment) -> None:
    assert dtm.read(text) == moment


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_time_is_not_guessed_at(text: str) -> None:
    assert dtm.read(text) is None
    assert dtm.date(text, "Z") is None
    assert dtm.time(text, "Z") is None
    assert dtm.instant(text, "Z") is None


WRITTEN = {
    "T1": ("19010213", "1901-02-13", "1901-02-13", "1901-02-13T00:00:00+02:00"),
    "T2": (
        "20140311142533", "2014-03-11", "2014-03-11T14:25:33+02:00", "2014-03-11T14:25:33+02:00",
    ),
    "T3": (
        "20140311142533.0010", "2014-03-11",
        "2014-03-11T14:25:33.0010+02:00", "2014-03-11T14:25:33.0010+02:00",
    ),
    "T5": ("201403111412", "2014-03-11", "2014-03-11T14:12:00+02:00", "2014-03-11T14:12:00+02:00"),
    "T6": (
        "201403111412-0500", "2014-03-11", "2014-03-11T14:12:00-05:00", "2014-03-11T14:12:00-05:00",
    ),
    "T7": (
        "20140311142533+00", "2014-03-11", "2014-03-11T14:25:33Z", "2014-03-11T14:25:33Z",
    ),
    "T8": (
        "19701004000000+0100", "1970-10-04",
        "1970-10-04T00:00:00+01:00", "1970-10-04T00:00:00+01:00",
    ),
    "month": ("201403", "2014-03", "2014-03", None),
    "year": ("2014", "2014", "2014", None),
    "year-with-offset": ("2014+0100", "2014", "2014", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "date", "time", "instant"), WRITTEN.values(), ids=WRITTEN)
def test_a_time_of_day_always_has_an_offset(
    text: str, date: str, time: str, instant: str | None
) -> None:
    assert dtm.date(text, "+02:00") == date
    assert dtm.time(text, "+02:00") == time
    assert dtm.instant(text, "+02:00") == instant


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("UTC", "202401151200", "2024-01-15T12:00:00Z"),
        ("Z", "202401151200", "2024-01-15T12:00:00Z"),
        ("America/New_York", "202401151200", "2024-01-15T12:00:00-05:00"),
        ("America/New_York", "202407151200", "2024-07-15T12:00:00-04:00"),
        ("America/New_York", "202407151200+0000", "2024-07-15T12:00:00Z"),
        ("Asia/Kolkata", "202401151200", "2024-01-15T12:00:00+05:30"),
        ("America/St_Johns", "202401151200", "2024-01-15T12:00:00-03:30"),
        ("America/New_York", "000101011200", "0001-01-01T12:00:00-04:56"),
        ("Asia/Tokyo", "999912312359", "9999-12-31T23:59:00+09:00"),
    ],
)
def test_a_time_without_an_offset_gets_that_of_its_zone_then(
    name: str, text: str, written: str
) -> None:
    """T5."""
    assert dtm.time(text, dtm.zone(name)) == written


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "a\0b", "é"])
def test_an_unknown_zone_is_said_to_be_unknown(name: str) -> None:
    with pytest.raises(KeyError):
        dtm.zone(name)
