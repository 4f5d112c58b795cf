"""`fi-fhir profile`: write, check and list source profiles."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fifhir.errors import Finding
    from fifhir.profile.sampling import Samples

app = typer.Typer(help="Write, check and list source profiles.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Most = Annotated[int, typer.Option("--max-files", help="Read at most so many files.")]


@app.command()
def infer(  # noqa: PLR0913, PLR0917 - each is an option of the command
    files: Annotated[list[str], typer.Argument(help="Samples: files, or folders of them.")],
    id_: Annotated[str, typer.Option("--id", help="The profile's id.")] = "inferred_profile",
    name: Annotated[str, typer.Option("--name", help="Its name.")] = "Inferred Profile",
    version: Annotated[str, typer.Option("--version", help="Its version.")] = "0.1.0",
    timezone: Annotated[str, typer.Option("--timezone", help="Where the source is.")] = "UTC",
    out: Annotated[str | None, typer.Option("--out", "-o", help="Write it to this file.")] = None,
    max_files: Most = 200,
) -> None:
    """Write the profile that samples of a source ask for, with comments on what was seen."""
    from fifhir.profile.config import load
    from fifhir.profile.inferring import infer as written

    samples = _samples(files, max_files)
    if not samples.messages:
        print("no message in these files", file=sys.stderr)
        raise typer.Exit(1)
    text = written(samples, id=id_, name=name, version=version, timezone=timezone)
    load(text, out or "profile")  # an id or a time zone of the options may be none
    if out is None:
        typer.echo(text, nl=False)
        return
    Path(out).write_text(text, encoding="utf-8")
    print(f"wrote {out} from {samples.messages} messages", file=sys.stderr)


@app.command()
def lint(
    file: Annotated[str, typer.Argument(help="The profile.")],
    sample: Annotated[
        list[str] | None,
        typer.Option("--sample", "--samples", help="Messages it should fit; a file or a folder."),
    ] = None,
    lenient: Annotated[
        bool,
        typer.Option("--lenient", "--allow-warnings", help="Status 0 although there are warnings."),
    ] = False,
    max_files: Most = 200,
    json: Json = False,
) -> None:
    """Tell what is wrong with a profile and what it leaves open; status 1 if there is anything."""
    from fifhir.cli import findings

    samples = _samples(sample, max_files) if sample else None
    errors, warnings = linted(file, samples)
    ok = not errors and (lenient or not warnings)
    if json:
        _print_json(file, errors, warnings, samples, ok=ok)
    else:
        findings.show(errors)
        findings.show(findings.warned(warnings))
        if ok:
            typer.echo(f"Profile {file} passed lint.")
    if not ok:
        raise typer.Exit(1)


@app.command("list")
def list_(
    path: Annotated[
        str | None, typer.Argument(help="A profile or a folder of them; else as the settings say.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", envvar="FI_FHIR_CONFIG", help="The settings file (YAML)."),
    ] = None,
    json: Json = False,
) -> None:
    """List all profiles there are: id, version, name."""
    import os

    import msgspec

    from fifhir.cli.serve import profiles
    from fifhir.config import load
    from fifhir.profile.loading import load_all

    known = load_all(path) if path else profiles(load(config, os.environ, {})).known
    told = [(p.id, p.settings.version, p.settings.name) for p in known.values()]
    if json:
        rows = [dict(zip(("id", "version", "name"), row, strict=True)) for row in told]
        typer.echo(msgspec.json.encode(rows))
        return
    width = max(len(id_) for id_, _, _ in told)
    for id_, version, name in told:
        typer.echo(f"{id_:{width}}  {version or '-':8}  {name}")


def linted(
    file: str, samples: "Samples | None" = None
) -> "tuple[tuple[Finding, ...], tuple[Finding, ...]]":
    """The errors in a profile's file, and if there are none, the warnings."""
    from fifhir.errors import ConfigError
    from fifhir.profile.linting import lint
    from fifhir.profile.loading import load
    from fifhir.schema import in_order

    try:
        profile = load(file)
    except ConfigError as fault:
        return fault.findings, ()
    text = Path(file).read_text(encoding="utf-8")
    return (), in_order(lint(text, file, profile.settings, samples))


def _samples(names: list[str], most: int) -> "Samples":
    from fifhir.cli.samples import files, unreadable, walk
    from fifhir.profile.sampling import Samples

    samples = Samples()
    for name in files(names, most):
        try:
            for sample in walk(name):
                samples.add(sample.raw)
        except OSError as fault:
            print(unreadable(name, fault), file=sys.stderr)
            raise typer.Exit(1) from None
    return samples


def _print_json(
    file: str,
    errors: "tuple[Finding, ...]",
    warnings: "tuple[Finding, ...]",
    samples: "Samples | None",
    *,
    ok: bool,
) -> None:
    import msgspec

    told = {"ok": ok, "profile": file, "format": "hl7v2", "errors": errors, "warnings": warnings}
    if samples:
        told["sample_stats"] = {
            "message_count": samples.messages,
            "versions": samples.versions,
            "charsets": samples.charsets,
            "message_types": samples.types,
            "z_segments": samples.own,
            "has_lf": samples.with_lf > 0,
            "has_cr": samples.with_cr > 0,
        }
    typer.echo(msgspec.json.encode(told))
