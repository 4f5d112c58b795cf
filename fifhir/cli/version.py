"""`fi-fhir version`: what is running, in words a report of a fault needs."""

import sys

import typer

LIBRARIES = ("uvloop", "httptools", "msgspec", "aiohttp", "asyncpg", "prometheus-client", "pyyaml")


def version() -> None:
    """Show the version, which tokenizer is at work, and what it runs on."""
    import platform
    from importlib import metadata

    from fifhir.message import TOKENIZER

    typer.echo(f"fi-fhir {metadata.version('fifhir')}")
    typer.echo(f"tokenizer: {TOKENIZER}")
    typer.echo(f"python: {platform.python_version()} ({platform.system()} {platform.machine()})")
    for library in LIBRARIES:
        typer.echo(f"{library}: {metadata.version(library)}")
    if TOKENIZER != "compiled":
        print(
            "WARNING: the compiled tokenizer is not in use; everything works, many times slower",
            file=sys.stderr,
        )
