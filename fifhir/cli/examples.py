"""An example of every command, and the exit statuses, under its --help."""

import typer
from typer.models import CommandInfo

STATUSES = (
    "Exit status: 0 fine, 1 something was found or failed, 2 wrong usage, 4 a database that must "
    "not be used, 78 bad configuration."
)
SERVING = (
    "Exit status: 0 stopped as told, 1 stopped before its time, 2 wrong usage or a port that is "
    "taken, 3 workers that cannot start, 4 a database that must not be used, 78 bad configuration."
)

EXAMPLES = {
    "parse": "fi-fhir parse --pretty < message.hl7",
    "trace": "fi-fhir trace message.hl7 --workflow workflow.yaml",
    "serve": "fi-fhir serve --workflow workflow.yaml --workers 4",
    "demo": "fi-fhir demo --messages 1000",
    "status": "fi-fhir status --json",
    "top": "fi-fhir top --seconds 60",
    "audit": "fi-fhir audit --since 24h",
    "version": "fi-fhir version",
    "validate message": "fi-fhir validate message message.hl7 --profile lab.yaml",
    "validate profile": "fi-fhir validate profile lab.yaml",
    "workflow validate": "fi-fhir workflow validate workflow.yaml",
    "workflow schema": "fi-fhir workflow schema > workflow.schema.json",
    "workflow run": "fi-fhir workflow run --config workflow.yaml message.hl7",
    "workflow dry-run": "fi-fhir workflow dry-run --config workflow.yaml < events.json",
    "workflow simulate": "fi-fhir workflow simulate --config workflow.yaml message.hl7",
    "workflow record": "fi-fhir workflow record --config workflow.yaml -o today.json message.hl7",
    "workflow replay": "fi-fhir workflow replay --dlq --since 24h --dry-run",
    "workflow test": "fi-fhir workflow test workflow.test.yaml",
    "workflow loadtest": "fi-fhir workflow loadtest --config workflow.yaml --scenario smoke",
    "profile infer": "fi-fhir profile infer samples/*.hl7 > lab.yaml",
    "profile lint": "fi-fhir profile lint lab.yaml --sample message.hl7",
    "profile list": "fi-fhir profile list",
    "fhir generate": "fi-fhir fhir generate message.hl7",
    "fhir validate": "fi-fhir fhir validate bundle.json",
    "config show": "fi-fhir config show --config fi-fhir.yaml",
    "config validate": "fi-fhir config validate fi-fhir.yaml",
    "config env": "fi-fhir config env --section database --format export",
    "config schema": "fi-fhir config schema > settings.schema.json",
    "config init": "fi-fhir config init fi-fhir.yaml --minimal",
    "config key new": "fi-fhir config key new lab --scopes workflow >> keys",
    "dlq list": "fi-fhir dlq list --since 24h --route results",
    "dlq stats": "fi-fhir dlq stats",
    "dlq show": "fi-fhir dlq show ID --payload",
    "dlq replay": "fi-fhir dlq replay --since 24h --error-type timeout",
    "dlq purge": "fi-fhir dlq purge --route results",
    "dlq rotate-key": "fi-fhir dlq rotate-key",
    "list actions": "fi-fhir list actions",
    "docs action": "fi-fhir docs action webhook",
}


def add(app: typer.Typer, path: tuple[str, ...] = ()) -> None:
    """Every command under `app` ends its help with an example and what its status means."""
    for command in app.registered_commands:
        name = " ".join((*path, _name(command)))
        statuses = SERVING if name == "serve" else STATUSES
        command.epilog = f"Example: {EXAMPLES[name]}\n\n{statuses}"
    for group in app.registered_groups:
        if group.typer_instance:
            add(group.typer_instance, (*path, str(group.name)))


def _name(command: CommandInfo) -> str:
    assert command.callback
    return command.name or command.callback.__name__.strip("_").replace("_", "-")
