"""`fi-fhir config`: what is set, where it was set, and how it could be."""

import json
import os
import shlex
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
Output = Annotated[
    Literal["yaml", "json"],
    typer.Option("--output", "-o", "--format", "-f", help="yaml or json."),
]
DESTINATION = "fi-fhir.yaml"
USUAL = (
    *("server.host", "server.port", "auth.api_keys", "workflow.config_path"),
    *("database.host", "database.database", "database.username", "database.password"),
    *("store.data_dir", "observability.log_level"),
)


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
    from fifhir.cli.serve import profiles, verifier
    from fifhir.cli.workflow_file import read
    from fifhir.config import load
    from fifhir.errors import ConfigError
    from fifhir.listener import doors

    try:
        settings = load(file or config, os.environ if file is None else {}, {})
        if settings.workflow.config_path:
            read(settings.workflow.config_path, settings.assumed())
        profiles(settings)
        doors({("server",): settings.server, **settings.mllp.open()})
        verifier(settings)
    except ConfigError as fault:
        findings.show(fault.findings)
        raise typer.Exit(1) from None
    typer.echo(f"The settings {f'of {file} ' if file else 'in force '}are valid.")


@app.command()
def env(
    output: Annotated[
        Literal["text", "json", "export", "markdown"],
        typer.Option("--output", "-o", "--format", "-f", help="text, json, export or markdown."),
    ] = "text",
    section: Annotated[
        str, typer.Option("--section", "-s", help="Only this section: server, database, ...")
    ] = "",
) -> None:
    """List every FI_FHIR_ variable with its default and its meaning.

    `export` writes lines for a shell, with the defaults; `markdown` a table.
    """
    from fifhir.effective import defaults

    found = [each for each in defaults() if section in ("", each.section)]
    if not found:
        names = ", ".join(dict.fromkeys(each.section for each in defaults()))
        raise typer.BadParameter(f"there is no section '{section}'; there are {names}")
    match output:
        case "json":
            typer.echo(json.dumps([_row(each) for each in found], indent=2))
        case "markdown":
            typer.echo("| variable | meaning | default |\n|---|---|---|")
            for each in found:
                typer.echo(f"| `{each.variable}` | {each.meaning} | `{each.text}` |")
        case "export":
            for each in found:
                typer.echo(f"export {each.variable}={shlex.quote(_bare(each))}  # {each.meaning}")
        case "text":
            for each in found:
                typer.echo(f"{each.variable}{'  (set)' if each.variable in os.environ else ''}")
                typer.echo(f"    {each.meaning} [default: {each.text}]")


@app.command()
def schema() -> None:
    """Write the JSON Schema of the settings file, for editors that check while one types."""
    from fifhir.config import Settings
    from fifhir.workflow.jsonschema import settings

    typer.echo(json.dumps(settings(Settings), indent=2))


@app.command()
def init(
    file: Annotated[str, typer.Argument(help="Where to; - writes to stdout.")] = DESTINATION,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    minimal: Annotated[
        bool, typer.Option("--minimal", "-m", help="Only what most installations set.")
    ] = False,
) -> None:
    """Write a settings file that has every setting, its meaning and its default, commented out."""
    from fifhir.effective import defaults

    text = "# Settings of fi-fhir. What is commented out has the value shown.\n"
    chosen = [each for each in defaults() if not minimal or _usual(each)]
    for section, rows in _sections(chosen):
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
        str,
        typer.Option(
            "--scopes", help="What it opens, of parse, workflow, replay, admin and metrics."
        ),
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


def _usual(setting: "Setting") -> bool:
    return f"{setting.section}.{setting.name}" in USUAL


def _row(setting: "Setting") -> dict[str, object]:
    return {
        "variable": setting.variable,
        "default": setting.text,
        "meaning": setting.meaning,
        "set": setting.variable in os.environ,
    }


def _bare(setting: "Setting") -> str:
    """The default as a variable has it: without YAML's quotes."""
    return setting.value if isinstance(setting.value, str) else setting.text


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
