"""The command line: one file per noun, and here only what they are called.

stdout is data, stderr is talk. Nothing is imported before it is needed: `--help` reads typer and
nothing of the daemon.
"""

import sys

import typer

from fifhir.cli import (
    actions,
    audit,
    config,
    demo,
    dlq,
    examples,
    fhir,
    findings,
    parse,
    profile,
    serve,
    status,
    trace,
    validate,
    version,
    workflow,
)
from fifhir.errors import ConfigError, StoreError

app = typer.Typer(
    name="fi-fhir",
    help="HL7 v2 in, semantic events out.",
    epilog=examples.STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("parse")(parse.parse)
app.command("trace")(trace.trace)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.command("top")(status.top)
app.command("audit")(audit.audit)
app.command("version")(version.version)
app.add_typer(validate.app, name="validate")
app.add_typer(workflow.app, name="workflow")
app.add_typer(profile.app, name="profile")
app.add_typer(fhir.app, name="fhir")
app.add_typer(config.app, name="config")
app.add_typer(dlq.app, name="dlq")
app.add_typer(actions.listing, name="list")
app.add_typer(actions.docs, name="docs")
examples.add(app)


@app.callback(invoke_without_command=True)
def _root(
    show_version: bool = typer.Option(False, "--version", help="As the command `version`."),
) -> None:
    if show_version:
        version.version()
        raise typer.Exit


def main() -> None:
    """Run the command that was given, and leave with its exit status."""
    try:
        app()
    except ConfigError as fault:
        findings.show(fault.findings)
        sys.exit(findings.exit_status(fault))
    except StoreError as fault:
        print(f"fi-fhir: {fault}", file=sys.stderr)
        sys.exit(findings.exit_status(fault))
