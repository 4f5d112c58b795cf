"""`fi-fhir list actions` and `fi-fhir docs action`: what an action of a workflow may be."""

from inspect import getdoc
from typing import Annotated

import typer

listing = typer.Typer(help="List what there is.", no_args_is_help=True)
docs = typer.Typer(help="Show how something is written.", no_args_is_help=True)


@listing.callback()
@docs.callback()
def _noun() -> None:
    """Keeps the one command of each a command of its own."""


@listing.command("actions")
def list_actions() -> None:
    """Every action a route may have, and what it does."""
    from fifhir.sinks import CONFIGS

    width = max(map(len, CONFIGS))
    for name, cls in sorted(CONFIGS.items()):
        typer.echo(f"{name:{width}}  {(getdoc(cls) or '').splitlines()[0]}")


@docs.command("action")
def show_action(name: Annotated[str, typer.Argument(help="As `list actions` shows it.")]) -> None:
    """What an action does and the keys it has, as YAML to start from."""
    from fifhir import effective, flat, schema
    from fifhir.sinks import CONFIGS

    if name not in CONFIGS:
        raise typer.BadParameter(f"no action '{name}'{schema.suggestion(name, tuple(CONFIGS))}")
    typer.echo(f"{getdoc(CONFIGS[name])}\n\n- type: {name}")
    for item in schema.shape(CONFIGS[name]).fields:
        shown = effective.default(item)
        needed = "Required." if item.required else ""
        told = " ".join(filter(None, (needed, effective.described(item))))
        typer.echo(f"  {item.encode_name}: {shown}".rstrip() + f"  # {told}")
        if prefix := flat.prefix(item, "flat"):
            typer.echo(f"  # {prefix}NAME: each is an entry of {item.encode_name}")
