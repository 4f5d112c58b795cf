"""Every matching route runs, in order, whatever the others did."""

import asyncio
from typing import Any

import msgspec
import pytest

from fifhir.event import Event, Header, LabResult, PatientAdmit, UnmappedMessage, encode, event_type
from fifhir.workflow.config import DEFAULT, load
from fifhir.workflow.engine import Workflow
from fifhir.workflow.filter import Filter, Index
from fifhir.workflow.outcome import Outcome
from fifhir.written import Written


def event(kind: type[Any], source: str = "north") -> Event:
    made: Event = kind(
        id="1", timestamp="", received_at="", source=source, source_format="hl7v2",
        source_profile_id="", source_message_id="", header=Header(),
    )  # fmt: skip
    return made


class Lines(list[dict[str, object]]):
    """A log that keeps what it was given."""

    def write(self, level: str, message: str, /, **fields: object) -> None:
        self.append({"level": level, "message": message, **fields})


ROUTES = """\
name: hospital
routes:
  - name: admissions
    filter: {event_type: patient_admit}
    actions: [{type: log, message: one}, {type: log, level: error, message: two}]
  - name: north
    filter: {source: [north, south]}
    actions: [{type: log}]
  - name: labs of the south
    filter: {event_type: [lab_result], source: south}
    actions: [{type: log}]
  - name: everything
    actions: [{type: log}]
"""


def run(text: str, given: Event, *, dry_run: bool = False) -> tuple[Outcome, Lines]:
    lines = Lines()
    workflow = Workflow(load(text, "w"), lines.write)
    written = Written(event_type(given), given.id, given.source, encode(given))
    return asyncio.run(workflow.run(written, b"", dry_run=dry_run)), lines


@pytest.mark.parametrize(
    ("kind", "source", "routes"),
    [
        (PatientAdmit, "north", ("admissions", "north", "everything")),
        (PatientAdmit, "west", ("admissions", "everything")),
        (LabResult, "south", ("north", "labs of the south", "everything")),
        (LabResult, "west", ("everything",)),
        (UnmappedMessage, "south", ("north", "everything")),
    ],
)
def test_all_conditions_of_a_filter_must_hold(
    kind: type[Any], source: str, routes: tuple[str, ...]
) -> None:
    outcome, _ = run(ROUTES, event(kind, source))
    assert outcome.routes_matched == routes
    assert outcome.success


def test_actions_run_in_order_and_name_the_event_without_its_contents() -> None:
    outcome, lines = run(ROUTES, event(PatientAdmit, "west"))
    assert [(each.route, each.action, each.status) for each in outcome.actions] == [
        ("admissions", "log", "delivered"),
        ("admissions", "log", "delivered"),
        ("everything", "log", "delivered"),
    ]
    about = {"event_type": "patient_admit", "source": "west", "event_id": "1"}
    traces, spans = ({line.pop(key) for line in lines} for key in ("trace_id", "span_id"))
    assert (len(traces), len(spans)) == (1, 3)
    assert lines == [
        {"level": "info", "message": "one", "route": "admissions", **about},
        {"level": "error", "message": "two", "route": "admissions", **about},
        {"level": "info", "message": "Event processed", "route": "everything", **about},
    ]


def test_a_dry_run_says_what_would_run_and_touches_nothing() -> None:
    outcome, lines = run(ROUTES, event(PatientAdmit), dry_run=True)
    assert outcome.routes_matched == ("admissions", "north", "everything")
    assert len(outcome.actions) == 4
    assert lines == []


def test_no_route_is_a_success() -> None:
    text = "name: n\nroutes: [{name: a, filter: {source: x}, actions: [{type: log}]}]"
    assert run(text, event(PatientAdmit))[0] == Outcome((), ())


TRANSFORMED = """\
name: n
routes:
  - name: changed
    transform: [{set_field: source = elsewhere}, {redact: {fields: [id]}}]
    actions: [{type: log, message: "{{.source}}{{.id}}"}, {type: log, message: fixed}]
  - name: impossible
    transform: [{redact: {fields: [patient.extensions.x]}}, {set_field: "results[9].y = 1"}]
    actions: [{type: log, message: never}]
  - name: untouched
    actions: [{type: log, message: "{{.source}} {{.Type}}"}]
"""


def test_a_route_sees_its_own_changes_and_no_other_route_does() -> None:
    outcome, lines = run(TRANSFORMED, event(LabResult))
    assert sorted(str(line["message"]) for line in lines) == [
        "elsewhere",
        "fixed",
        "north lab_result",
    ]
    assert [(each.route, each.status, each.error_type) for each in outcome.actions] == [
        ("changed", "delivered", ""),
        ("changed", "delivered", ""),
        ("impossible", "failed", "transform"),
        ("untouched", "delivered", ""),
    ]


def test_a_condition_without_an_answer_is_no_match_told_once_a_minute() -> None:
    text = (
        "name: n\nroutes:\n  - name: a\n    filter: {condition: 'event.patient.gender == \"F\"'}\n"
        "    actions: [{type: log}]\n"
    )
    lines = Lines()
    workflow = Workflow(load(text, "w"), lines.write)
    written = Written("patient_admit", "1", "north", encode(event(PatientAdmit)))
    for _ in range(3):
        outcome = asyncio.run(workflow.run(written, b""))
        assert (outcome.routes_matched, outcome.undecided, outcome.success) == ((), 1, True)
    assert lines == [
        {
            "level": "warn",
            "message": "condition had no answer",
            "route": "a",
            "reason": "there is no field 'event.patient.gender'",
            "trace_id": written.trace.trace_id,
        }
    ]


def test_a_workflow_names_what_metrics_may_be_labelled_with() -> None:
    workflow = Workflow(load(ROUTES, "w"), Lines().write)
    assert workflow.routes == ("admissions", "north", "labs of the south", "everything")
    assert workflow.actions[:2] == (("admissions", "log"), ("admissions", "log"))
    assert workflow.sources == ("north", "south")
    assert Workflow(DEFAULT, Lines().write).actions == (("all_events", "log"),)


def written(kind: str, source: str, **fields: object) -> Written:
    return Written(kind, "id", source, msgspec.json.encode({"type": kind, **fields}))


def test_conditions_are_asked_only_of_events_that_could_take_the_route() -> None:
    index = Index(
        [
            (Filter(event_type="a", condition="event.n > 1"), "above"),
            (Filter(event_type="a", condition="event.n <= 1"), "below"),
            (Filter(event_type="a", condition="has(event.n)"), "has"),
            (Filter(event_type="b"), "plain"),
            (Filter(), "all"),
        ]
    )
    plain = written("b", "s")
    assert index.find(plain) == (("plain", "all"), ())
    assert plain._document is None, "nobody had to look into it"
    partly = written("a", "s", n=2)
    index.find(partly)
    assert partly._document is None, "nobody had to look at all of it"
    assert index.find(written("a", "s", n=2)) == (["above", "has", "all"], [])
    assert index.find(written("a", "s", n=1)) == (["below", "has", "all"], [])
    taken, undecided = index.find(written("a", "s"))
    assert taken == ["all"]
    assert undecided == [
        ("above", "there is no field 'event.n'"),
        ("below", "there is no field 'event.n'"),
    ]


def test_the_index_agrees_with_asking_every_route() -> None:
    filters = [
        Filter(event_type=types, source=sources)
        for types in ((), "a", ("a", "b"), ("c",))
        for sources in ((), "x", ("x", "y"))
    ]
    index = Index([(each, number) for number, each in enumerate(filters)])
    for kind in ("a", "b", "c", "d"):
        for source in ("x", "y", "z"):
            assert index.find(written(kind, source))[0] == tuple(
                number
                for number, each in enumerate(filters)
                if (not each.event_types or kind in each.event_types)
                and (not each.sources or source in each.sources)
            )


def test_two_hundred_routes_are_found_in_the_same_two_steps_as_five() -> None:
    class Counted(dict[str, Any]):
        looked = 0

        def get(self, key: str, default: Any = None) -> Any:
            Counted.looked += 1
            return super().get(key, default)

    for count in (5, 200):
        index = Index([(Filter(event_type=f"t{n}", source=f"s{n}"), n) for n in range(count)])
        index._by_type = Counted(index._by_type)
        for table in index._by_type.values():
            table.by_source = Counted(table.by_source)
        Counted.looked = 0
        assert index.find(written("t4", "s4")) == ((4,), ())
        assert Counted.looked == 2
