"""`fi-fhir validate`: whether messages and profiles are as they should be."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from fifhir.batch import Miscount
    from fifhir.cli.samples import Sample
    from fifhir.intake import Feed

app = typer.Typer(help="Check messages and source profiles.", no_args_is_help=True)
Told: TypeAlias = dict[str, str | int]
Lenient = Annotated[
    bool,
    typer.Option("--lenient", "--allow-warnings", help="Status 0 although there are warnings."),
]


@app.command()
def message(
    files: Annotated[
        list[str] | None, typer.Argument(help="Files to read; - or none reads stdin.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", metavar="FILE", help="The source profile (YAML)."),
    ] = None,
    lenient: Lenient = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a finding.")] = False,
) -> None:
    """Tell every finding of every message with its place (PID-3.1); status 1 if there is one."""
    from fifhir.cli.parse import read_profile
    from fifhir.cli.samples import end_quietly, unreadable, walk
    from fifhir.intake import Feed

    end_quietly()
    feed, seen, failed = Feed(profile=read_profile(profile)), 0, False
    miscounts: list[Miscount] = []
    for name in files or ["-"]:
        try:
            for sample in walk(name, miscounts.append):
                seen += 1
                for finding in _findings(sample, feed):
                    failed = failed or not lenient or finding["severity"] == "error"
                    typer.echo(_line(finding, json=json))
            for miscount in miscounts:
                failed = failed or not lenient
                typer.echo(_line(_miscounted(name, miscount), json=json))
            miscounts.clear()
        except OSError as fault:
            print(unreadable(name, fault), file=sys.stderr)
            failed = True
    if not seen:
        print("no message in it", file=sys.stderr)
    if failed or not seen:
        raise typer.Exit(1)
    if not json:
        against = f"profile {feed.profile.id}"
        count = "The message is" if seen == 1 else f"All {seen} messages are"
        typer.echo(f"{count} valid against {against}.")


@app.command()
def profile(
    file: Annotated[str, typer.Argument(help="The profile.")],
) -> None:
    """Tell every fault of a source profile with its line and column; status 1 if there is one."""
    from fifhir.cli import findings
    from fifhir.cli.profile import linted

    errors, _ = linted(file)
    if errors:
        findings.show(errors)
        raise typer.Exit(1)
    typer.echo(f"Profile {file} is valid.")


def _findings(sample: "Sample", feed: "Feed") -> Iterator[Told]:
    """What is wrong with one message; never a value of it."""
    from fifhir.errors import MessageError
    from fifhir.intake import read

    place: Told = {"file": sample.title, "message": sample.number}
    try:
        event = read(sample.raw, feed)
    except MessageError as fault:
        told = {"severity": "error", "code": fault.reason, "text": str(fault)}
        yield {**place, "path": fault.location, **told}
        return
    for each in event.parse_warnings:
        told = {"severity": each.severity, "code": each.code, "text": each.message}
        yield {**place, "path": each.path, **told}


def _miscounted(name: str, miscount: "Miscount") -> "Told":
    told = {"severity": "warning", "code": "BATCH_COUNT", "text": str(miscount)}
    return {"file": "stdin" if name == "-" else name, "path": miscount.path, **told}


def _line(finding: Told, *, json: bool) -> str:
    if json:
        import msgspec

        return msgspec.json.encode(finding).decode()
    message = f"message {finding['message']}: " if "message" in finding else ""
    where = f"{finding['file']}: {message}{finding['path'] or '-'}"
    return f"{where}: {finding['severity']} {finding['code']}: {finding['text']}"
