r"""`fi-fhir workflow test`: what has to become of a message, written down and tried.

    workflow: hospital.yaml
    tests:
      - name: an admission goes to admissions
        hl7: |
          MSH|^~\&|...
        expect:
          event: {type: patient_admit, patient: {mrn: "7"}}
          routes: [admissions]
          requests:
            - {action: webhook, url: "https://example.org/admissions"}

What `expect` names has to be so; what it does not name may be anything. No action is carried out.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fifhir import document, schema
from fifhir.cli.feeding import Given, events
from fifhir.cli.routing import Plan, Ran, through
from fifhir.cli.workflow_file import read
from fifhir.errors import ConfigError, MessageError
from fifhir.intake import Feed, read_written
from fifhir.profile import Profile
from fifhir.schema import Fault, Faults
from fifhir.workflow.config import WorkflowConfig
from fifhir.workflow.rehearsal import Invocation
from fifhir.written import posted


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has to come out; a key that is not given is not looked at."""

    event: Annotated[
        dict[str, Any] | None, Meta(description="Fields of the event, as deep as they are named.")
    ] = None
    routes: Annotated[
        tuple[str, ...] | None, Meta(description="All routes it takes, in the file's order.")
    ] = None
    requests: Annotated[
        tuple[dict[str, Any], ...] | None,
        Meta(
            description="All actions that would be carried out, in order: action, route, event, "
            "and the action's keys with their templates rendered."
        ),
    ] = None
    error: Annotated[str, Meta(description="Why it cannot be read: a part of the text.")] = ""


class Trial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message or event, and what has to become of it."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="What is claimed.")]
    hl7: Annotated[str, Meta(description="The message; line ends count as segment ends.")] = ""
    event: Annotated[
        dict[str, Any] | None, Meta(description="The event as JSON, instead of a message.")
    ] = None
    file: Annotated[str, Meta(description="A file with one message or event instead.")] = ""
    source: Annotated[str, Meta(min_length=1, description="Source the event is called after.")] = (
        "test"
    )
    expect: Annotated[Expect, Meta(description="What has to come out.")]

    def faults(self) -> Faults:
        given = [name for name in ("hl7", "event", "file") if getattr(self, name)]
        if len(given) != 1:
            text = f"give exactly one of hl7, event and file; found {' and '.join(given) or 'none'}"
            yield Fault((), text)


class Trials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of tests for one workflow; its paths start where it is."""

    workflow: Annotated[str, Meta(min_length=1, description="The workflow file.")]
    profile: Annotated[str, Meta(description="The source profile that reads messages.")] = ""
    tests: Annotated[
        tuple[Trial, ...],
        Meta(min_length=1, max_length=10_000, extra={"unique": "name"}, description="The tests."),
    ]


class Verdict(Struct, kw_only=True):
    """One test, and how it came out: no difference means it passed."""

    name: str
    passed: bool
    differences: list[str]


def load(name: str) -> Trials:
    """The tests of a file; ConfigError with everything that is wrong with it."""
    from fifhir.cli.workflow_file import text_of

    root, findings = document.compose(text_of(name), name, os.environ)
    trials: Trials | None = None
    if root is not None:
        trials, wrong = schema.read(root, Trials)
        findings += wrong
    if trials is None or findings:
        raise ConfigError(schema.in_order(findings))
    return trials


def judge(name: str) -> list[Verdict]:
    """Every test of the file has been tried."""
    from fifhir.cli.parse import read_profile

    trials, folder = load(name), Path(name).parent
    config = read(str(folder / trials.workflow))
    profile = read_profile(str(folder / trials.profile) if trials.profile else None)
    return [_judged(config, trial, profile, folder) for trial in trials.tests]


def _judged(config: WorkflowConfig, trial: Trial, profile: Profile, folder: Path) -> Verdict:
    feed = Feed(source=trial.source, profile=profile)
    invocations: list[Invocation] = []
    (ran,) = through(Plan(config, [_given(trial, feed, folder)]), take=invocations.append)
    differences = list(_differences(trial.expect, ran, invocations))
    return Verdict(name=trial.name, passed=not differences, differences=differences)


def _given(trial: Trial, feed: Feed, folder: Path) -> Given | MessageError:
    if trial.file:
        return events(str(folder / trial.file), feed)[0]
    try:
        if trial.event is not None:
            return Given(posted(msgspec.json.encode(trial.event), feed.source), b"")
        raw = trial.hl7.replace("\n", "\r").encode()
        return Given(read_written(raw, feed), raw)
    except MessageError as fault:
        return fault


def _differences(expect: Expect, ran: Ran, invocations: list[Invocation]) -> Iterator[str]:
    """What is not as it has to be, one line each."""
    if ran.given is None or expect.error:
        if not expect.error or expect.error not in ran.error:
            wanted = f"an error with '{expect.error}'" if expect.error else "an event"
            yield f"expected {wanted}, got {ran.error or 'an event'}"
        return
    if expect.event is not None:
        yield from compare("event", expect.event, ran.given.written.document)
    if expect.routes is not None and expect.routes != ran.outcome.routes_matched:
        wanted, found = ", ".join(expect.routes), ", ".join(ran.outcome.routes_matched)
        yield f"routes: expected {wanted or 'none'}; got {found or 'none'}"
    for action in ran.failed:
        yield f"route {action.route}: {action.action}: {action.error}"
    if expect.requests is not None:
        yield from _requests(expect.requests, invocations)


def _requests(wanted: tuple[dict[str, Any], ...], invocations: list[Invocation]) -> Iterator[str]:
    if len(wanted) != len(invocations):
        told = ", ".join(f"{each.action_type} of {each.route_name}" for each in invocations)
        yield f"requests: expected {len(wanted)}, got {len(invocations)}: {told or 'none'}"
    for number, (each, made) in enumerate(zip(wanted, invocations, strict=False)):
        about = {"action": made.action_type, "route": made.route_name, "event": made.event}
        yield from compare(f"requests[{number}]", each, {**made.config, **about})


def compare(place: str, wanted: Any, found: Any) -> Iterator[str]:
    """How `found` differs from what is wanted: objects in the keys named, lists as a whole."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key in found:
                yield from compare(f"{place}.{key}", value, found[key])
            elif value is not None:
                yield f"{place}.{key}: expected {_shown(value)}, got nothing"
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from compare(f"{place}[{number}]", one, other)
    elif wanted != found:
        yield f"{place}: expected {_shown(wanted)}, got {_shown(found)}"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
