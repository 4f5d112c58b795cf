"""`fi-fhir status` and `fi-fhir top`: what the daemon is doing, from its operations port."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

HISTORY = 40  # looks that sparklines show
PLAIN = 120  # columns where there is no terminal

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        help="The daemon's operations port. [default: where the settings have it on this machine]",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", help="A file with an API key of the scope metrics; not needed on loopback."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The JSON of /status itself.")]


def status(url: Url = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """What the daemon is doing now: workers, routes, breakers, dead letters.

    Counts and times are those since its start. Status 1 if the daemon does not answer.
    """
    found = _asked(url or _here(), key_file)
    if as_json:
        typer.echo(json.dumps(found))
        return
    from fifhir.cli.watching import Watch

    _console().print(Watch().look(found, 0.0))


def top(
    url: Url = None,
    key_file: KeyFile = None,
    seconds: Annotated[
        int, typer.Option("--seconds", "-n", min=0, help="Stop after so long; 0 goes on.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="The JSON of /status, a line each second.")
    ] = False,
) -> None:
    """The same, every second: rates, p50 and p99 of the last seconds; stop it with Ctrl-C.

    Piped it is plain text, one picture after another.
    """
    try:
        _follow(url or _here(), key_file, seconds, as_json)
    except KeyboardInterrupt:
        return


def _here() -> str:
    """Where a daemon of these settings answers, asked from this machine."""
    from fifhir import config

    watched = config.load(os.environ.get(config.CONFIG_VARIABLE), os.environ, {}).observability
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(watched.metrics_host, watched.metrics_host)  # noqa: S104
    return f"http://{host}:{watched.metrics_port}"


def _follow(url: str, key_file: Path | None, seconds: int, as_json: bool) -> None:
    """Show what there is each second until the time is up."""
    from rich.live import Live

    from fifhir.cli.watching import Watch

    watch, began, console = Watch(HISTORY), time.monotonic(), _console()
    picture = watch.look(_asked(url, key_file), began)
    live = None if as_json or not sys.stdout.isatty() else Live(picture, console=console)
    with live or _Nothing():
        while not seconds or time.monotonic() - began < seconds:
            time.sleep(1)
            found = _asked(url, key_file)
            if as_json:
                print(json.dumps(found), flush=True)
                continue
            picture = watch.look(found, time.monotonic())
            if live:
                live.update(picture, refresh=True)
            else:
                console.print(picture)


class _Nothing:
    """A block in which nothing is shown."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def _console() -> Any:
    """A terminal as it is, or plain text of a fixed width."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PLAIN, color_system=None)


def _asked(url: str, key_file: Path | None) -> dict[str, Any]:
    request = urllib.request.Request(f"{url.rstrip('/')}/status")  # noqa: S310 - who runs it says
    try:
        if key_file:
            request.add_header("Authorization", f"Bearer {key_file.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except urllib.error.HTTPError as refused:
        refused.close()
        hint = "; give --key-file" if refused.code == 401 else ""
        reason = f"it answers {refused.code}{hint}"
    except (urllib.error.URLError, OSError, ValueError) as fault:
        reason = str(
            getattr(fault, "reason", None) or getattr(fault, "strerror", "") or "no answer"
        )
    print(f"fi-fhir: no daemon answers at {url}: {reason}", file=sys.stderr)
    raise typer.Exit(1)
