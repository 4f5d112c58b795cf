"""`fi-fhir workflow`: what can be done with a workflow file."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fifhir.cli import dlq

if TYPE_CHECKING:
    from fifhir.errors import Finding
    from fifhir.workflow.config import WorkflowConfig

app = typer.Typer(help="Check, try and test workflow files.", no_args_is_help=True)

Workflow = Annotated[str, typer.Option("--config", "-c", help="The workflow file (YAML).")]
Input = Annotated[
    str,
    typer.Argument(help="Events as JSON, or HL7 v2 messages; - reads stdin.", show_default=False),
]
Routes = Annotated[
    list[str] | None, typer.Option("--route", help="Only this route; may be given again.")
]
Source = Annotated[str, typer.Option("--source", "-s", help="Source of events that name none.")]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="FILE", help="Source profile of HL7 messages.")
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command()
def validate(
    file: Annotated[str, typer.Argument(help="The workflow file; - reads stdin.")],
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Status 1 also if there is only a warning.")
    ] = False,
) -> None:
    """Tell every fault of a workflow file with its line and column; status 1 if there is one."""
    from fifhir.cli import findings
    from fifhir.cli.workflow_file import review
    from fifhir.errors import ConfigError

    try:
        config, warnings = review(file)
    except ConfigError as fault:
        if as_json:
            typer.echo(json.dumps({"valid": False, "errors": list(map(_told, fault.findings))}))
        else:
            findings.show(fault.findings)
            count = len(fault.findings)
            print(f"{count} fault{'' if count == 1 else 's'} in {file}", file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        told = [_told(each) | {"severity": "warning"} for each in warnings]
        whole = {"valid": True, "errors": [], "warnings": told, "name": config.name}
        typer.echo(json.dumps(whole))
    else:
        findings.show(findings.warned(warnings))
        _describe(config)
    if strict and warnings:
        raise typer.Exit(1)


def _told(finding: "Finding") -> dict[str, str]:
    from fifhir.workflow.codes import NAMES

    message = finding.text.removeprefix(f"{finding.code} ")
    name = NAMES.get(finding.code, "")
    return {"path": finding.place, "message": message, "severity": "error", "code": finding.code,
            "name": name}  # fmt: skip


def _describe(config: "WorkflowConfig") -> None:
    typer.echo(f"Workflow '{config.name}' is valid.")
    if config.version:
        typer.echo(f"  Version: {config.version}")
    typer.echo(f"  Routes: {len(config.routes)}")
    for route in config.routes:
        kinds = ", ".join(str(action.__struct_config__.tag) for action in route.actions)
        typer.echo(f"    {route.name}: {kinds}")


@app.command()
def schema() -> None:
    """Write the JSON Schema of workflow files, for editors that check while one types."""
    from fifhir.workflow.config import WorkflowConfig
    from fifhir.workflow.jsonschema import document

    typer.echo(json.dumps(document(WorkflowConfig), indent=2))


@app.command()
def run(  # noqa: PLR0913, PLR0917 - each is an option of the command
    config: Workflow,
    file: Input = "-",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")] = False,
    route: Routes = None,
    source: Source = "unknown",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Run events through a workflow, its actions for real; what fails is told, not kept."""
    if dry_run:
        dry(config, file, route, source, profile, as_json)
        return
    from fifhir.cli import routing
    from fifhir.cli.progress import Bar

    todo = routing.plan(config, file, route, source, profile)
    with Bar([], len(todo.inputs)) as bar:
        done = routing.through(todo, bar=bar)
    _finish(*routing.summary(done), as_json=as_json)


@app.command("dry-run")
def dry(  # noqa: PLR0913, PLR0917 - each is an option of the command
    config: Workflow,
    file: Input = "-",
    route: Routes = None,
    source: Source = "unknown",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Say which routes each event takes; no action is carried out."""
    from fifhir.cli import routing

    todo = routing.plan(config, file, route, source, profile)
    done = routing.through(todo, dry_run=True)
    counts = {each.name: len(each.actions) for each in todo.config.routes}
    if as_json:
        for each in done:
            taken = list(each.outcome.routes_matched)
            told = {"event": each.number, "routes": taken, "undecided": each.outcome.undecided}
            typer.echo(json.dumps(told | ({"error": each.error} if each.error else {})))
    else:
        typer.echo("Dry-run results:")
        for each in done:
            typer.echo(f"Event {each.number}:" + (f" {each.error}" if each.error else ""))
            for name, count in {} if each.error else counts.items():
                hit = name in each.outcome.routes_matched
                would = f"MATCH - would run {count} action(s)" if hit else "NO MATCH"
                typer.echo(f"  Route '{name}': {would}")
    if any(each.error for each in done):
        raise typer.Exit(1)


@app.command()
def simulate(  # noqa: PLR0913, PLR0917 - each is an option of the command
    config: Workflow,
    file: Input = "-",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write a JSON report.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every action with its keys.")
    ] = False,
    route: Routes = None,
    source: Source = "unknown",
    profile: Profile = None,
) -> None:
    """Run events through a workflow whose actions are only written down: nothing real is done."""
    from fifhir.cli import routing
    from fifhir.workflow.rehearsal import Invocation

    todo = routing.plan(config, file, route, source, profile)
    taken: list[Invocation] = []
    done = routing.through(todo, take=taken.append)
    processed, _, errors = routing.summary(done)
    typer.echo("Simulation Report:")
    typer.echo(f"  Events processed: {processed}\n  Total actions: {len(taken)}\n  By type:")
    for name, count in routing.by_type(taken).items():
        typer.echo(f"    {name}: {count}")
    for each in taken if verbose else ():
        typer.echo(f"  {each.route_name}: {each.action_type} {json.dumps(each.config)}")
    if output:
        report = {
            "total_actions": len(taken),
            "actions_by_type": routing.by_type(taken),
            "errors": [f"{a.route}: {a.action}: {a.error}" for each in done for a in each.failed],
            "invocations": taken,
        }
        routing.write_private(output, report)
    if errors:
        raise typer.Exit(1)


@app.command()
def record(  # noqa: PLR0913, PLR0917 - each is an option of the command
    config: Workflow,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The recording.")],
    file: Input = "-",
    route: Routes = None,
    source: Source = "unknown",
    profile: Profile = None,
) -> None:
    """Run events through a workflow for real, and record what became of each."""
    from fifhir.cli import recording, routing

    done = routing.through(routing.plan(config, file, route, source, profile))
    counts = routing.summary(done)
    count = recording.record(done, output)
    print(f"Recorded {count} events to {output}", file=sys.stderr)
    _finish(*counts)


@app.command()
def replay(  # noqa: PLR0913, PLR0917 - each is an option of the command
    recording: Annotated[
        str | None, typer.Argument(help="A recording: compare what would be done now.")
    ] = None,
    dead_letters: Annotated[
        bool, typer.Option("--dlq", help="Replay dead letters instead, for real.")
    ] = False,
    since: dlq.Since = "",
    route: dlq.Route = "",
    event_type: dlq.Type = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried.")] = False,
    as_json: Json = False,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="The workflow file; the settings file with --dlq.",
            envvar="FI_FHIR_CONFIG",
        ),
    ] = None,
) -> None:
    """Compare a recording with what a workflow would do now, or try dead letters again (--dlq)."""
    if dead_letters:
        dlq.replay(since=since, route=route, event_type=event_type, dry_run=dry_run, config=config)
        return
    if recording is None or config is None:
        raise typer.BadParameter("name a recording and the workflow (--config), or say --dlq")
    import msgspec

    from fifhir.cli import recording as recordings
    from fifhir.cli.routing import chosen
    from fifhir.cli.workflow_file import read

    found = recordings.load(recording)
    found = [each for each in found if event_type in ("", each.event_type)]
    replayed = recordings.replay(chosen(read(config), [route] if route else []), found)
    if as_json:
        typer.echo(msgspec.json.encode(replayed).decode())
    else:
        recordings.show(replayed)
    if replayed.diffs:
        raise typer.Exit(1)


@app.command("test")
def try_tests(
    files: Annotated[list[str], typer.Argument(help="Files of tests (YAML).")],
    as_json: Json = False,
) -> None:
    """Try whether messages become the events, routes and requests that a file of tests says."""
    import msgspec

    from fifhir.cli import trials

    verdicts = [verdict for file in files for verdict in trials.judge(file)]
    for each in verdicts:
        if as_json:
            typer.echo(msgspec.json.encode(each).decode())
        else:
            typer.echo(f"{'ok    ' if each.passed else 'FAILED'}  {each.name}")
            for text in each.differences:
                typer.echo(f"          {text}")
    failed = sum(not each.passed for each in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def loadtest(  # noqa: PLR0913, PLR0917 - each is an option of the command
    config: Annotated[str, typer.Option("--config", "-c", help="The workflow file.")] = "",
    scenario: Annotated[
        str | None, typer.Option("--scenario", "-s", help="See --list-scenarios.")
    ] = None,
    duration: Annotated[str, typer.Option("--duration", "-d", help="As in 30s or 5m.")] = "",
    rate: Annotated[
        int | None, typer.Option("--rps", "-r", min=0, help="Events a second; 0: unlimited.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, max=1000, help="Events at once.")
    ] = None,
    warmup: Annotated[str, typer.Option("--warmup", help="As in 5s; not counted.")] = "",
    list_scenarios: Annotated[bool, typer.Option("--list-scenarios")] = False,
    as_json: Json = False,
) -> None:
    """Send invented messages through a workflow; its actions are only written down."""
    import msgspec

    from fifhir.cli import loadtest as load
    from fifhir.cli.workflow_file import read

    if list_scenarios:
        for name, each in load.SCENARIOS.items():
            typer.echo(
                f"{name:9} {each.duration:4g}s  {each.rate or 'unlimited':>9} events/s  "
                f"{each.workers:2} at once  {each.warmup:2g}s warm-up"
            )
        return
    if not config:
        raise typer.BadParameter("name the workflow (--config)")
    if scenario not in (None, *load.SCENARIOS):
        raise typer.BadParameter(f"no scenario '{scenario}'; --list-scenarios shows them")
    base = load.SCENARIOS[scenario] if scenario else load.Scenario(30, 1000, 4, 5)
    asked = load.Scenario(
        _seconds(duration, base.duration),
        base.rate if rate is None else rate,
        workers or base.workers,
        _seconds(warmup, base.warmup),
    )
    found = load.measure(read(config), asked)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        load.show(found)
    if not found.passed:
        raise typer.Exit(1)


def _seconds(text: str, otherwise: float) -> float:
    from fifhir.schema import duration

    try:
        return duration(text) if text else otherwise
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None


def _finish(processed: int, matches: int, errors: int, *, as_json: bool = False) -> None:
    if as_json:
        typer.echo(json.dumps({"events": processed, "matches": matches, "errors": errors}))
    else:
        typer.echo(f"Processed {processed} events, {matches} route matches, {errors} errors")
    if errors:
        raise typer.Exit(1)
