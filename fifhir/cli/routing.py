"""What `workflow run`, `dry-run`, `simulate` and `record` share: events through a workflow."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import structs

from fifhir.cli.feeding import Given, events
from fifhir.errors import ConfigError, Finding, MessageError
from fifhir.intake import Feed
from fifhir.logs import Log
from fifhir.schema import suggestion
from fifhir.workflow.config import WorkflowConfig
from fifhir.workflow.engine import Workflow
from fifhir.workflow.outcome import ActionResult, Outcome
from fifhir.workflow.rehearsal import Invocation, Rehearsed

if TYPE_CHECKING:
    from fifhir.cli.progress import Bar


class Ran(NamedTuple):
    """What became of one event of the input, or why there was none."""

    number: int
    given: Given | None
    outcome: Outcome
    error: str
    nanoseconds: int

    @property
    def failed(self) -> list[ActionResult]:
        """The actions that did not do what they should."""
        return [each for each in self.outcome.actions if each.status in ("kept", "failed")]


class Plan(NamedTuple):
    """A workflow and what is to go through it."""

    config: WorkflowConfig
    inputs: list[Given | MessageError]


def plan(config: str, file: str, route: list[str] | None, source: str, profile: str | None) -> Plan:
    """The workflow of the file, with these routes only, and the events of the input."""
    from fifhir.cli.parse import read_profile
    from fifhir.cli.workflow_file import read

    workflow = chosen(read(config), route or [])
    feed = Feed(source=source, profile=read_profile(profile))
    return Plan(workflow, events(file, feed))


def chosen(config: WorkflowConfig, names: list[str]) -> WorkflowConfig:
    """The workflow with only the routes named; all of them if none is."""
    known = [route.name for route in config.routes]
    unknown = [name for name in names if name not in known]
    if unknown:
        text = f"no route '{unknown[0]}'{suggestion(unknown[0], known)}"
        raise ConfigError((Finding("--route", text),))
    routes = tuple(route for route in config.routes if not names or route.name in names)
    return structs.replace(config, routes=routes)


def through(
    todo: Plan,
    *,
    dry_run: bool = False,
    take: Callable[[Invocation], None] | None = None,
    bar: "Bar | None" = None,
) -> list[Ran]:
    """Every event has been through the workflow; with `take` its actions are only written down."""
    log = Log(2)
    rehearse = None if take is None else (lambda action: Rehearsed(action, take))
    workflow = Workflow(todo.config, log.write, rehearse)
    return asyncio.run(_through(workflow, todo.inputs, dry_run=dry_run, bar=bar))


async def _through(
    workflow: Workflow, inputs: list[Given | MessageError], *, dry_run: bool, bar: "Bar | None"
) -> list[Ran]:
    done = []
    try:
        for number, given in enumerate(inputs, start=1):
            done.append(await _one(workflow, number, given, dry_run=dry_run))
            if bar is not None:
                bar.advance(1, number)
    finally:
        await workflow.close()
    return done


async def _one(
    workflow: Workflow, number: int, given: Given | MessageError, *, dry_run: bool
) -> Ran:
    if isinstance(given, MessageError):
        return Ran(number, None, Outcome((), ()), f"{given.location}: {given}", 0)
    started = perf_counter_ns()
    outcome = await workflow.run(given.written, given.raw, dry_run=dry_run)
    return Ran(number, given, outcome, "", perf_counter_ns() - started)


def summary(done: Iterable[Ran]) -> tuple[int, int, int]:
    """Events processed, routes they took, errors; every error is told on stderr."""
    processed = matches = errors = 0
    for each in done:
        processed += each.given is not None
        matches += len(each.outcome.routes_matched)
        if each.error:
            errors += 1
            print(f"Event {each.number}: {each.error}", file=sys.stderr)
        for action in each.failed:
            errors += 1
            told = f"Event {each.number}, route {action.route}: {action.action}: {action.error}"
            print(told, file=sys.stderr)
    return processed, matches, errors


def by_type(invocations: Iterable[Invocation]) -> dict[str, int]:
    """How often each kind of action would have been carried out."""
    return dict(sorted(Counter(each.action_type for each in invocations).items()))


def write_private(name: str, value: object) -> None:
    """The value is in the file as JSON that only its owner may read: events are in it."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    try:
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(text)
    except OSError as fault:
        raise ConfigError((Finding(name, (fault.strerror or "unwritable").lower()),)) from None
