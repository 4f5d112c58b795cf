"""`fi-fhir serve --check-destination`: whether the FHIR servers keep what is sent twice once."""

import asyncio
import sys
from collections.abc import Iterator

import typer

from fifhir.sinks.fhir import FhirConfig
from fifhir.sinks.http import Web
from fifhir.sinks.proving import prove
from fifhir.workflow.config import WorkflowConfig


def check_all(workflow: WorkflowConfig) -> int:
    """Every `fhir` action was tried: 0 if all servers do what it relies on, else 1.

    Two inactive Organizations are written to each server and removed again. 2 without any action.
    """
    actions = dict(_actions(workflow))
    if not actions:
        print("no route of the workflow has a `fhir` action: nothing to check", file=sys.stderr)
        return 2
    failed = asyncio.run(_check(actions))
    proven = len(actions) - failed
    typer.echo(f"{proven} of {len(actions)} FHIR destinations proven")
    return int(bool(failed))


def _actions(workflow: WorkflowConfig) -> Iterator[tuple[FhirConfig, str]]:
    """Each destination once, with the last route that goes there."""
    for route in workflow.routes:
        for action in route.actions:
            if isinstance(action, FhirConfig):
                yield action, route.name


async def _check(actions: dict[FhirConfig, str]) -> int:
    web, failed = Web(_silent), 0
    try:
        for config, route in actions.items():
            typer.echo(f"{config.endpoint} (route {route}, operation {config.operation})")
            well = True
            async for step in prove(config, web):
                seen = f": {step.seen}" if step.seen else ""
                typer.echo(f"  {'ok' if step.well else 'FAILED':8}{step.asked}{seen}")
                well = well and step.well
            failed += not well
    finally:
        await web.close()
    return failed


def _silent(*_: object, **__: object) -> None:
    """The steps say all there is; tokens need no line of a log."""
