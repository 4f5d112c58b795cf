"""Recordings: what a workflow did with which events, and what it would do with them now."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fifhir.cli.feeding import Given
from fifhir.cli.routing import Plan, Ran, through, write_private
from fifhir.errors import ConfigError, Finding
from fifhir.workflow.config import WorkflowConfig
from fifhir.workflow.rehearsal import Invocation
from fifhir.written import posted

OWN_ERRORS = frozenset(("transform", "template"))  # what a workflow gets wrong without the world


class Result(Struct, kw_only=True, omit_defaults=True):
    """What became of an event."""

    route_matches: list[str]
    actions_executed: dict[str, list[str]]
    has_errors: bool
    processing_duration_ns: int
    error_messages: list[str] = []


class Recorded(Struct, kw_only=True, omit_defaults=True):
    """One event of a recording; the file is a JSON list of them."""

    id: str
    event: dict[str, Any]
    event_type: str
    source: str
    recorded_at: str
    processing_result: Result
    metadata: dict[str, Any] = {}


class Difference(Struct, kw_only=True, omit_defaults=True):
    """What is different about one event."""

    event_id: str
    routing_match: bool
    error_match: bool
    added_routes: list[str] = []
    removed_routes: list[str] = []
    original_errors: list[str] = []
    replay_errors: list[str] = []


class Replayed(Struct, kw_only=True):
    """How a replay compares with its recording."""

    total_events: int
    matched_routing: int
    different_routing: int
    matched_errors: int
    different_errors: int
    total_duration_ns: int
    diffs: list[Difference]


def record(done: Iterable[Ran], file: str) -> int:
    """How many events are in the file now, with what became of them."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found = [_recorded(each, each.given, now) for each in done if each.given is not None]
    write_private(file, found)
    return len(found)


def _recorded(ran: Ran, given: Given, now: str) -> Recorded:
    executed: dict[str, list[str]] = {}
    for action in ran.outcome.actions:
        executed.setdefault(action.route, []).append(action.action)
    return Recorded(
        id=f"evt-{given.written.id}-{ran.number}",
        event=given.written.document,
        event_type=given.written.type,
        source=given.written.source,
        recorded_at=now,
        processing_result=Result(
            route_matches=list(ran.outcome.routes_matched),
            actions_executed=executed,
            has_errors=bool(ran.failed),
            error_messages=_errors(ran),
            processing_duration_ns=ran.nanoseconds,
        ),
    )


def _errors(ran: Ran) -> list[str]:
    return [f"{each.route}: {each.error_type}: {each.error}" for each in ran.failed]


def load(file: str) -> list[Recorded]:
    """The recording in the file; ConfigError if it is none."""
    try:
        return msgspec.json.decode(Path(file).read_bytes(), type=list[Recorded])
    except OSError as fault:
        raise ConfigError((Finding(file, (fault.strerror or "unreadable").lower()),)) from None
    except msgspec.DecodeError as fault:
        raise ConfigError((Finding(file, f"not a recording: {fault}"),)) from None


def replay(config: WorkflowConfig, recording: list[Recorded]) -> Replayed:
    """What the workflow would do now with the events of a recording. Nothing real is done.

    Of errors only those are compared that a workflow makes by itself: a destination that was out
    of reach on the day of the recording is no difference.
    """
    inputs = [
        Given(posted(msgspec.json.encode(each.event), each.source), b"") for each in recording
    ]
    invocations: list[Invocation] = []
    done = through(Plan(config, list(inputs)), take=invocations.append)
    compared = [_compared(*pair) for pair in zip(recording, done, strict=True)]
    routing = sum(each.routing_match for each in compared)
    errors = sum(each.error_match for each in compared)
    return Replayed(
        total_events=len(compared),
        matched_routing=routing,
        different_routing=len(compared) - routing,
        matched_errors=errors,
        different_errors=len(compared) - errors,
        total_duration_ns=sum(each.nanoseconds for each in done),
        diffs=[each for each in compared if not (each.routing_match and each.error_match)],
    )


def _compared(recorded: Recorded, ran: Ran) -> Difference:
    before, now = recorded.processing_result.route_matches, list(ran.outcome.routes_matched)
    then, errors = _own(recorded.processing_result.error_messages), _own(_errors(ran))
    return Difference(
        event_id=recorded.id,
        routing_match=before == now,
        error_match=then == errors,
        added_routes=[route for route in now if route not in before],
        removed_routes=[route for route in before if route not in now],
        original_errors=then if then != errors else [],
        replay_errors=errors if then != errors else [],
    )


def _own(messages: list[str]) -> list[str]:
    return [text for text in messages if OWN_ERRORS.intersection(text.split(": ")[:2])]


def show(replayed: Replayed) -> None:
    """The comparison is on stdout, each difference on stderr."""
    print("Replay Summary:")
    for name, text in (
        ("total_events", "Total events"),
        ("matched_routing", "Matched routing"),
        ("different_routing", "Different routing"),
        ("matched_errors", "Matched errors"),
        ("different_errors", "Different errors"),
    ):
        print(f"  {text}: {getattr(replayed, name)}")
    print(f"  Total duration: {replayed.total_duration_ns / 1e6:.1f} ms")
    for each in replayed.diffs:
        for sign, routes in (("+", each.added_routes), ("-", each.removed_routes)):
            for route in routes:
                print(f"{each.event_id}: {sign} route {route}", file=sys.stderr)
        for sign, texts in (("-", each.original_errors), ("+", each.replay_errors)):
            for text in texts:
                print(f"{each.event_id}: {sign} error {text}", file=sys.stderr)
