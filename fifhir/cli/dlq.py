"""`fi-fhir dlq`: the dead letters, and what becomes of them."""

import getpass
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fifhir.cli.progress import Bar

if TYPE_CHECKING:
    from fifhir.config import Settings
    from fifhir.store import DeadLetter, Query, Store

T = TypeVar("T")
app = typer.Typer(help="See, replay and purge dead letters.", no_args_is_help=True)

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", envvar="FI_FHIR_CONFIG", help="The settings file (YAML)."),
]
Since = Annotated[str, typer.Option("--since", help="Only what failed in this time: 30m, 24h, 7d.")]
Route = Annotated[str, typer.Option("--route", help="Only this route.")]
Type = Annotated[str, typer.Option("--type", help="Only this event type.")]
Kind = Annotated[str, typer.Option("--error-type", help="Only this kind of error.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines, as when piped.")]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command("list")
def list_(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = "",
    route: Route = "",
    event_type: Type = "",
    error_type: Kind = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """The dead letters, the oldest first; nothing of what is in them."""
    query = select(since, route, event_type, error_type)
    letters = ask(config, lambda store: store.find(query, limit))
    if as_json or not sys.stdout.isatty():
        for letter in letters:
            typer.echo(json.dumps(_summary(letter)))
        return
    _table([_summary(letter) for letter in letters])


@app.command()
def stats(as_json: Json = False, config: Config = None) -> None:
    """How many there are, by route, action and kind of error."""
    import msgspec

    rows = [msgspec.to_builtins(each) for each in ask(config, lambda store: store.stats())]
    for row in rows:
        row |= {name: _moment(row[name]) for name in ("oldest", "newest")}
    if as_json or not sys.stdout.isatty():
        for row in rows:
            typer.echo(json.dumps(row))
        return
    _table(rows)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The id that `dlq list` or an answer told.")],
    payload: Annotated[
        bool, typer.Option("--payload", help="The event and the message too: patient data.")
    ] = False,
    config: Config = None,
) -> None:
    """Everything about one dead letter but what is in it, or that as well."""

    async def look(store: "Store") -> "DeadLetter | None":
        found = await store.get(id)
        if found and payload:
            await store.audit(who(), "dlq show", {"id": id})
        return found

    letter = ask(config, look)
    if letter is None:
        print(f"there is no dead letter {id}", file=sys.stderr)
        raise typer.Exit(1)
    told = _summary(letter) | {"key": letter.key, "bytes": len(letter.raw)}
    if payload:
        told |= {
            "event": json.loads(letter.event),
            "message": letter.raw.decode("utf-8", "replace"),
        }
    typer.echo(json.dumps(told, indent=2))


@app.command()
def replay(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = "",
    route: Route = "",
    event_type: Type = "",
    error_type: Kind = "",
    id: Annotated[str, typer.Option("--id", help="Only this letter.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried.")] = False,
    config: Config = None,
) -> None:
    """Try again what failed: only the action that failed, on the event as it would have had it.

    In a pipe what became of each letter is a line of JSON; a terminal shows how far it is, and what
    was not delivered. Running it twice, or two at once, delivers nothing twice. Status 1 if
    something failed again.
    """
    query = select(since, route, event_type, error_type, id)
    if dry_run:
        letters = ask(config, lambda store: store.find(query, 100_000))
        for letter in letters:
            typer.echo(json.dumps(_summary(letter)))
        print(f"{len(letters)} would be tried", file=sys.stderr)
        return
    raise typer.Exit(_replay(query, config))


@app.command()
def purge(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = "",
    route: Route = "",
    event_type: Type = "",
    error_type: Kind = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Delete dead letters for good. They were promised to their senders: it is noted who did it."""
    query = select(since, route, event_type, error_type)
    count = ask(config, lambda store: store.count(query))
    if not count:
        print("there is nothing to purge", file=sys.stderr)
        return
    if not yes:
        typer.confirm(f"Delete {count} dead letters for good?", abort=True, err=True)

    async def delete(store: "Store") -> int:
        await store.audit(who(), "purge", _details(query))
        with Bar([], count, things="letters", alone=True) as bar:
            return await store.purge(query, _shown(bar))

    print(f"{ask(config, delete)} deleted", file=sys.stderr)


@app.command("rotate-key")
def rotate_key(config: Config = None) -> None:
    """Encrypt everything in the store with the first of store.encryption_keys.

    Put the new key before the old ones, restart the daemon, run this, and then take the old ones
    out. It can be stopped and run again. With no keys at all everything is decrypted; until then
    the old ones have to stay.
    """

    async def rotate(store: "Store") -> int:
        with Bar([], alone=True) as bar:
            changed = await store.rekey(_shown(bar))
        await store.audit(who(), "dlq rotate-key", {"rows": changed})
        return changed

    print(f"{ask(config, rotate)} messages encrypted anew", file=sys.stderr)


def select(
    since: str = "", route: str = "", event_type: str = "", error_type: str = "", id: str = ""
) -> "Query":
    """The query that options mean; a usage error if --since is none."""
    from fifhir.store import Query

    begin = 0.0
    if since:
        if since[-1] not in UNITS or not since[:-1].isdecimal():
            raise typer.BadParameter("expected a number and s, m, h or d, as in 30m, 24h or 7d")
        begin = time.time() - int(since[:-1]) * UNITS[since[-1]]
    return Query(
        since=begin,
        route=route,
        event_types=(event_type,) if event_type else (),
        error_type=error_type,
        ids=(id,) if id else (),
    )


def _details(query: "Query") -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(query)
    return found


def ask(config: str | None, question: "Callable[[Store], Awaitable[T]]") -> T:
    """What the store that the settings name answers."""
    from fifhir.config import load

    return _with_store(load(config, os.environ, {}), question)


def who() -> str:
    """Who sits at the terminal, for the audit log."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _with_store(settings: "Settings", question: "Callable[[Store], Awaitable[T]]") -> T:
    import asyncio

    from fifhir.store.opening import store

    async def run() -> T:
        opened = store(settings.database, settings.store, settings.workflow.most_letters)
        try:
            await opened.open()
            return await question(opened)
        finally:
            await opened.close()

    return asyncio.run(run())


def _replay(query: "Query", config: str | None) -> int:
    from fifhir.cli.workflow_file import read
    from fifhir.config import load
    from fifhir.logs import Log
    from fifhir.replay import Result
    from fifhir.replay import replay as run
    from fifhir.workflow.config import DEFAULT
    from fifhir.workflow.engine import Workflow

    settings = load(config, os.environ, {})
    path = settings.workflow.config_path
    workflow = Workflow(
        read(path, settings.assumed()) if path else DEFAULT, Log(2, "warn", "").write
    )

    async def replay_all(store: "Store") -> Result:
        await store.audit(who(), "replay", _details(query))
        with Bar([], await store.count(query), things="letters", alone=True) as bar:
            try:
                return await run(store, workflow, query, _teller(bar))
            finally:
                await workflow.close()

    result = _with_store(settings, replay_all)
    print(
        f"dlq replay: {result.delivered} delivered, {result.failed} failed again,"
        f" {result.skipped} skipped",
        file=sys.stderr,
    )
    return int(result.delivered < result.total)


def _teller(bar: Bar) -> "Callable[[DeadLetter, str, str], None]":
    """What is told of each letter of a replay: a line of JSON, or at a terminal only the bad."""
    shown, terminal = _shown(bar), sys.stdout.isatty()

    def tell(letter: "DeadLetter", word: str, why: str) -> None:
        told = {"id": letter.id, "route": letter.route, "result": word}
        if not terminal:
            typer.echo(json.dumps(told | ({"error": why} if why else {})))
        elif word != "delivered":
            bar.say(f"{letter.id} (route {letter.route}) {word}{why and ': '}{why}")
        shown(1)

    return tell


def _shown(bar: Bar) -> Callable[[int], None]:
    """Shows so many more, and all of them together."""
    total = 0

    def show(some: int) -> None:
        nonlocal total
        total += some
        bar.advance(some, total)

    return show


def _summary(letter: "DeadLetter") -> dict[str, object]:
    return {
        "id": letter.id,
        "event_type": letter.event_type,
        "source": letter.source,
        "route": letter.route,
        "action": letter.action,
        "error_type": letter.error_type,
        "error": letter.error,
        "attempts": letter.attempts,
        "blocks": letter.blocks,
        "first_failed_at": _moment(letter.first_failed_at),
        "last_failed_at": _moment(letter.last_failed_at),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _table(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print("there are no dead letters", file=sys.stderr)
        return
    table = Table(box=None, header_style="bold")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
