"""`fi-fhir config`: what is set, where it was set, and how it could be."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fifhir.effective import Setting

app = typer.Typer(help="See, check and begin the settings.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(keys, name="key")

File = Annotated[
    str | None,
    typer.Option("--config", "-c", envvar="FI_FHIR_CONFIG", help="The settings file (YAML)."),
]
Output = Annotated[Literal["yaml", "json"], typer.Option("--output", "-o", help="yaml or json.")]
DESTINATION = "fi-fhir.yaml"


@app.command()
def show(config: File = None, output: Output = "yaml") -> None:
    """Print every setting in force, and behind it where it comes from; secrets show as ***.

    The YAML is a settings file again; in JSON, `origins` has the places.
    """
    found = _settings(config)
    if output == "json":
        origins = {f"{each.section}.{each.name}": each.origin for each in found}
        typer.echo(json.dumps({"settings": _tree(found), "origins": origins}, indent=2))
        return
    for section, rows in _sections(found):
        typer.echo(f"{section}:")
        width = max(len(_line(each)) for each in rows)
        for each in rows:
            typer.echo(f"{_line(each):{width}}  # {each.origin}")


@app.command()
def validate(
    file: Annotated[
        str | None, typer.Argument(help="A settings file; without one, what is in force.")
    ] = None,
    config: File = None,
) -> None:
    """Tell every fault of the settings and of the files they name; status 1 if there is one."""
    from fifhir.cli import findings
    from fifhir.cli.serve import profiles
    from fifhir.cli.workflow_file import read
    from fifhir.config import load
    from fifhir.errors import ConfigError
    from fifhir.listener import doors

    try:
        settings = load(file or config, os.environ if file is None else {}, {})
        if settings.workflow.config_path:
            read(settings.workflow.config_path)
        profiles(settings)
        doors(settings.mllp)
    except ConfigError as fault:
        findings.show(fault.findings)
        raise typer.Exit(1) from None
    typer.echo(f"The settings {f'of {file} ' if file else 'in force '}are valid.")


@app.command()
def env(
    output: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="text or json.")
    ] = "text",
) -> None:
    """List every FI_FHIR_ variable with its default and its meaning."""
    from fifhir.effective import defaults

    rows = [
        {"variable": each.variable, "default": each.text, "meaning": each.meaning, "set": is_set}
        for each in defaults()
        for is_set in [each.variable in os.environ]
    ]
    if output == "json":
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['variable']}{'  (set)' if row['set'] else ''}")
        typer.echo(f"    {row['meaning']} [default: {row['default']}]")


@app.command()
def init(
    file: Annotated[str, typer.Argument(help="Where to; - writes to stdout.")] = DESTINATION,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Write a settings file that has every setting, its meaning and its default, commented out."""
    from fifhir.effective import defaults

    text = "# Settings of fi-fhir. What is commented out has the value shown.\n"
    for section, rows in _sections(defaults()):
        text += f"\n#{section}:\n"
        for each in rows:
            text += f"  # {each.meaning}\n  #{each.name}: {each.text}\n"
    if file == "-":
        typer.echo(text, nl=False)
        return
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        print(f"{file} is there already; --force writes over it", file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as fault:
        print(f"{file}: {(fault.strerror or 'cannot be written').lower()}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"wrote {file}; try: fi-fhir config show --config {file}", file=sys.stderr)


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is: letters, digits, . _ -")],
    scopes: Annotated[
        str, typer.Option("--scopes", help="What it opens, of parse, workflow, replay and admin.")
    ] = "parse,workflow",
) -> None:
    """Make an API key: it is shown this once, and the line behind it goes into auth.api_keys.

    The key is on stderr and the line on stdout, so `fi-fhir config key new lab >> keys` adds it.
    """
    from fifhir.access import new_key, read_keys

    token, line = new_key(name, [scope.strip() for scope in scopes.split(",")])
    if faults := read_keys(line)[1]:
        print(faults[0].removeprefix("line 1: "), file=sys.stderr)
        raise typer.Exit(2)
    print(f"API key of {name}, shown this once: {token}", file=sys.stderr)
    typer.echo(line)


def _settings(path: str | None) -> "list[Setting]":
    from fifhir.effective import effective

    return effective(path, os.environ, {})


def _sections(rows: "list[Setting]") -> "list[tuple[str, list[Setting]]]":
    names = dict.fromkeys(each.section for each in rows)
    return [(name, [each for each in rows if each.section == name]) for name in names]


def _tree(rows: "list[Setting]") -> dict[str, dict[str, Any]]:
    return {
        section: {each.name: each.value for each in inner} for section, inner in _sections(rows)
    }


def _line(setting: "Setting") -> str:
    return f"  {setting.name}: {setting.text}"
