"""`fi-fhir audit`: who replayed, purged, reloaded, rotated, or looked at what a letter holds."""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fifhir.cli.dlq import Config, Json, ask, select

if TYPE_CHECKING:
    from fifhir.store import Deed


def audit(
    since: Annotated[str, typer.Option("--since", help="Only of this time: 30m, 24h, 7d.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """What operators did, latest first: when, who, what, and how it went."""
    begin = select(since).since
    deeds = ask(config, lambda store: store.audited(begin, limit))
    as_json = as_json or not sys.stdout.isatty()
    for deed in deeds:
        typer.echo(json.dumps(_told(deed)) if as_json else _line(deed))


def _told(deed: "Deed") -> dict[str, object]:
    return {"at": _moment(deed.at), "who": deed.who, "what": deed.what, **deed.details}


def _line(deed: "Deed") -> str:
    details = " ".join(f"{name}={json.dumps(value)}" for name, value in deed.details.items())
    return f"{_moment(deed.at)}  {deed.who}  {deed.what}  {details}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
