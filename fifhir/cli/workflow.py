"""`fi-fhir workflow`: what can be done with a workflow file."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fifhir.cli import dlq

if TYPE_CHECKING:
    pass

app = typer.Typer(help="Check workflow files.", no_args_is_help=True)


@app.command()
def validate(
    file: Annotated[str, typer.Argument(help="The workflow file; - reads stdin.")],
) -> None:
    """Tell every fault of a workflow file with its line and column; status 1 if there is one."""
    from fifhir.cli import findings
    from fifhir.cli.workflow_file import read
    from fifhir.errors import ConfigError

    try:
        config = read(file)
    except ConfigError as fault:
        findings.show(fault.findings)
        count = len(fault.findings)
        print(f"{count} fault{'' if count == 1 else 's'} in {file}", file=sys.stderr)
        raise typer.Exit(1) from None
    typer.echo(f"Workflow '{config.name}' is valid.")
    if config.version:
        typer.echo(f"  Version: {config.version}")
    typer.echo(f"  Routes: {len(config.routes)}")
    for route in config.routes:
        kinds = ", ".join(str(action.__struct_config__.tag) for action in route.actions)
        typer.echo(f"    {route.name}: {kinds}")


@app.command()
def replay(  # noqa: PLR0913, PLR0917 - each is an option of the command
    dead_letters: Annotated[
        bool, typer.Option("--dlq", help="Replay dead letters: what there is to replay.")
    ] = False,
    since: dlq.Since = "",
    route: dlq.Route = "",
    event_type: dlq.Type = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried.")] = False,
    config: dlq.Config = None,
) -> None:
    """Try dead letters again; the same as `dlq replay`."""
    if not dead_letters:
        raise typer.BadParameter("say what to replay: --dlq")
    dlq.replay(since=since, route=route, event_type=event_type, dry_run=dry_run, config=config)
