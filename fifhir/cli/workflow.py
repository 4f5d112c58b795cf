"""`fi-fhir workflow`: what can be done with a workflow file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fifhir.workflow.config import WorkflowConfig

app = typer.Typer(help="Check workflow files.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Keeps `validate` a command of its own while it is the only one."""


@app.command()
def validate(
    file: Annotated[str, typer.Argument(help="The workflow file; - reads stdin.")],
) -> None:
    """Tell every fault of a workflow file with its line and column; status 1 if there is one."""
    from fifhir.cli import findings
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


def read(path: str) -> "WorkflowConfig":
    """The workflow in the file; ConfigError also when there is no such file."""
    from fifhir.errors import ConfigError, Finding
    from fifhir.workflow.config import load

    name = "stdin" if path == "-" else path
    try:
        text = (sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()).decode()
    except OSError as fault:
        raise ConfigError((Finding(name, (fault.strerror or "unreadable").lower()),)) from None
    except UnicodeDecodeError as fault:
        raise ConfigError((Finding(name, f"not UTF-8 at byte {fault.start}"),)) from None
    return load(text, name)
