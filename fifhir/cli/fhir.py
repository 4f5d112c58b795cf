"""`fi-fhir fhir`: events and messages as FHIR R4, and whether resources are what they should be."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fifhir.fhir.validate import Finding, Rule

app = typer.Typer(help="FHIR R4 of events, and its validation.", no_args_is_help=True)

Files = Annotated[
    list[str] | None, typer.Argument(help="Files, or - for stdin, which is read without one.")
]


@app.command()
def generate(
    files: Files = None,
    source: Annotated[str, typer.Option("--source", "-s", help="Name of the feed.")] = "unknown",
    strategy: Annotated[
        Literal["put", "conditional_create", "conditional_update", "message"],
        typer.Option("--strategy", help="How entries ask to be idempotent; or a FHIR message."),
    ] = "put",
    profile: Annotated[
        Literal["us-core", "none"],
        typer.Option("--profile", help="Whether resources claim their profiles of US Core."),
    ] = "us-core",
    pretty: Annotated[bool, typer.Option("--pretty", help="Indent the JSON.")] = False,
) -> None:
    """Make a bundle of every HL7 v2 message or event (JSON), one a line.

    Codes that have no place in FHIR are told on stderr. Status 1 if something could not be made.
    """
    from fifhir.errors import MessageError
    from fifhir.fhir.bundle import to_bundle, without_profiles

    failed = False
    for name, event in _events(files, source):
        try:
            if isinstance(event, MessageError):
                raise ValueError(str(event))
            made = to_bundle(event, strategy)
        except ValueError as fault:
            print(f"{name}: {fault}", file=sys.stderr)
            failed = True
            continue
        for issue in made.issues:
            print(f"{name}: {issue.resource}: {issue.code}: {issue.text}", file=sys.stderr)
        bundle = made.bundle if profile == "us-core" else without_profiles(made.bundle)
        typer.echo(json.dumps(bundle, indent=2 if pretty else None))
    raise typer.Exit(int(failed))


@app.command()
def validate(
    files: Files = None,
    profile: Annotated[
        Literal["us-core", "none"],
        typer.Option("--profile", help="Whether US Core 6.1.0 is asked for as well."),
    ] = "us-core",
    package: Annotated[
        list[Path] | None,
        typer.Option("--package", help="A folder or .tgz of an IG whose profiles are asked for."),
    ] = None,
) -> None:
    """Check resources, bundles or lists of them; print an OperationOutcome for each file.

    Status 1 if there is an error in one.
    """
    from fifhir.fhir.validate import PackageError, outcome, us_core
    from fifhir.fhir.validate import package as read_package

    rules: list[Rule] = [*us_core()] if profile == "us-core" else []
    try:
        for path in package or ():
            rules += read_package(path)
    except PackageError as fault:
        print(fault, file=sys.stderr)
        raise typer.Exit(2) from None
    failed = False
    for name, text in _texts(files):
        findings = list(_findings(name, text, rules))
        failed = failed or any(each.severity == "error" for each in findings)
        typer.echo(json.dumps(outcome(findings), indent=2))
    raise typer.Exit(int(failed))


def _findings(name: str, text: bytes, rules: "list[Rule]") -> "Iterator[Finding]":
    from fifhir.fhir.validate import Finding, bindings, check, codes, resources, structure

    try:
        documents = _documents(text)
    except ValueError as fault:
        print(f"{name}: {fault}", file=sys.stderr)
        yield Finding("error", "invalid", "not JSON", ())
        return
    known = bindings()
    for document in documents:
        for resource in resources(document):
            try:
                yield from structure(resource)
            except ImportError:
                said = "R4 itself is not checked: pip install 'fifhir[fhir]'"
                yield Finding("warning", "not-supported", said, ())
            yield from codes(resource, known)
            yield from check(resource, rules)


def _documents(text: bytes) -> list[Any]:
    """One JSON document, a list of them, or one a line."""
    try:
        found = json.loads(text)
    except ValueError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    documents = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in documents):
        raise ValueError("expected a JSON object, a list of them, or one a line")
    return documents


def _events(files: list[str] | None, source: str) -> Iterator[tuple[str, Any]]:
    """Every event of the files: read from HL7 v2, or given as JSON."""
    import msgspec

    from fifhir import batch
    from fifhir.errors import MessageError
    from fifhir.intake import Feed, read

    for name, text in _texts(files):
        if text.lstrip()[:1] in {b"{", b"["}:
            yield from ((name, event) for event in _documents(text))
            continue
        for raw in batch.split(text):
            try:
                yield name, msgspec.to_builtins(read(raw, Feed(source=source)))
            except MessageError as fault:
                yield name, fault


def _texts(files: list[str] | None) -> Iterator[tuple[str, bytes]]:
    for file in files or ["-"]:
        if file == "-":
            yield "stdin", sys.stdin.buffer.read()
            continue
        try:
            yield file, Path(file).read_bytes()
        except OSError as fault:
            print(f"{file}: {(fault.strerror or 'unreadable').lower()}", file=sys.stderr)
            raise typer.Exit(1) from None
