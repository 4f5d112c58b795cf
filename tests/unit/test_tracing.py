"""Traces are continued as W3C Trace Context says, and begun so that they can be found again."""

import pytest

from fifhir import tracing
from fifhir.parcel import Parcel
from fifhir.written import Written

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EVENT = "f0e1d2c3-b4a5-8697-8879-6a5b4c3d2e1f"


def test_the_trace_of_the_sender_goes_on() -> None:
    trace = tracing.begin(f"00-{TRACE}-{SPAN}-01")
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, SPAN, True)
    assert trace.span_id not in (SPAN, "0" * 16)
    assert trace.parent() == f"00-{TRACE}-{trace.span_id}-01"


def test_what_the_sender_does_not_record_we_do_not_either() -> None:
    trace = tracing.begin(f"00-{TRACE}-{SPAN}-00")
    assert trace.sampled is False
    assert trace.parent().endswith("-00")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "x" * 5000,
    ],
)
def test_what_is_no_traceparent_begins_a_trace_of_our_own(given: str) -> None:
    assert tracing.text(given.encode()) == ""
    trace = tracing.begin(given)
    assert trace.trace_id != TRACE
    assert (len(trace.trace_id), len(trace.span_id), trace.parent_id) == (32, 16, "")


def test_a_later_version_may_say_more() -> None:
    assert tracing.begin(f"01-{TRACE}-{SPAN}-01-more").trace_id == TRACE


def test_a_trace_begun_here_is_named_after_its_event() -> None:
    first, second = tracing.begin("", EVENT), tracing.begin("", EVENT)
    assert first.trace_id == second.trace_id == EVENT.replace("-", "")
    assert first.span_id != second.span_id
    posted = tracing.begin("", "an id of theirs").trace_id
    assert posted == tracing.begin("", "an id of theirs").trace_id
    assert len(posted) == 32


def test_each_delivery_has_a_span_of_its_own_that_stays_the_same() -> None:
    written = Written("patient_admit", EVENT, "lab", b"{}", f"00-{TRACE}-{SPAN}-01")
    changed = written.changed({"a": 1})
    one, other = (Parcel(changed, b"", "r", "webhook", index) for index in (0, 1))
    assert one.traceparent == one.traceparent != other.traceparent
    assert one.traceparent.split("-")[1] == written.trace.trace_id == TRACE


def test_an_event_nobody_asked_about_keeps_no_link() -> None:
    written = Written("patient_admit", EVENT, "lab", b"{}")
    assert written.link == ""
    assert written.trace.trace_id in written.link
