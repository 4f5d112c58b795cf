"""`fi-fhir status` and `fi-fhir top`: what the daemon is doing, from its operations port."""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

URL = "http://127.0.0.1:9090"
SPARKS = "▁▂▃▄▅▆▇█"
HISTORY = 40  # seconds shown
BREAKERS = {0: "closed", 1: "half-open", 2: "OPEN"}

Url = Annotated[str, typer.Option("--url", "-u", help="The daemon's operations port.")]


def status(
    url: Url = URL,
    as_json: Annotated[bool, typer.Option("--json", help="The JSON of /status itself.")] = False,
) -> None:
    """What the daemon is doing now: workers, routes, breakers, dead letters.

    Tables at a terminal, JSON when piped. Status 1 if the daemon does not answer.
    """
    found = _asked(url)
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(found))
        return
    from rich.console import Console

    Console().print(_shown(found, [], {}))


def top(
    url: Url = URL,
    seconds: Annotated[
        int, typer.Option("--seconds", "-n", min=0, help="Stop after so long; 0 goes on.")
    ] = 0,
) -> None:
    """The same, every second, with rates; stop it with Ctrl-C."""
    from rich.live import Live

    history: list[float] = []
    before, began = _asked(url), time.monotonic()
    with Live(_shown(before, history, {}), refresh_per_second=4) as live:
        try:
            while not seconds or time.monotonic() - began < seconds:
                time.sleep(1)
                now = _asked(url)
                history.append(float(_events(now) - _events(before)))
                live.update(_shown(now, history[-HISTORY:], _rates(before, now)))
                before = now
        except KeyboardInterrupt:
            return


def _asked(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/status", timeout=5) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except (urllib.error.URLError, OSError, ValueError) as fault:
        reason = getattr(fault, "reason", None) or "no answer"
        print(f"fi-fhir: no daemon answers at {url}: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None


def _events(found: dict[str, Any]) -> int:
    return sum(int(each["events_total"]) for each in found["workers"])


def _rates(before: dict[str, Any], now: dict[str, Any]) -> dict[str, float]:
    """Actions a second of each route, by route and action."""
    known = {(each["route"], each["action"]): each["actions_total"] for each in before["routes"]}
    return {
        f"{each['route']} {each['action']}": each["actions_total"]
        - known.get((each["route"], each["action"]), 0)
        for each in now["routes"]
    }


def _shown(found: dict[str, Any], history: list[float], rates: dict[str, float]) -> "Group":
    from rich.console import Group
    from rich.text import Text

    up = time.strftime("%H:%M:%S", time.gmtime(found["supervisor"]["uptime_seconds"] % 86_400))
    days = int(found["supervisor"]["uptime_seconds"] // 86_400)
    line = Text(f"fi-fhir {found['version']}  pid {found['supervisor']['pid']}  up {days}d {up}")
    letters = Text(f"dead letters {found['dlq_size']}", "bold red" if found["dlq_size"] else "")
    parts: list[Any] = [line, letters]
    if history:
        parts.append(Text(f"{history[-1]:,.0f} events/s  {sparkline(history)}", "cyan"))
    parts += [_workers(found["workers"]), _routes(found["routes"], rates)]
    if found["breakers"]:
        parts.append(_breakers(found["breakers"]))
    return Group(*parts)


def sparkline(values: list[float]) -> str:
    """The values as a row of bars, the largest full."""
    most = max(values) or 1.0
    return "".join(SPARKS[min(int(value / most * 8), 7)] for value in values)


def _workers(rows: list[dict[str, Any]]) -> "Table":
    table = _table("worker", "pid", "state", "connections", "in flight", "events", "memory")
    for each in rows:
        table.add_row(
            str(each["slot"]),
            str(each["pid"]),
            str(each["state"]),
            str(each["connections"]),
            str(each["in_flight"]),
            f"{each['events_total']:,}",
            f"{each['rss_bytes'] / 2**20:.0f} MB",
        )
    return table


def _routes(rows: list[dict[str, Any]], rates: dict[str, float]) -> "Table":
    table = _table("route", "action", "a second", "actions", "errors", "mean")
    for each in rows:
        runs = each["actions_total"]
        mean = each["seconds_total"] / runs * 1000 if runs else 0.0
        rate = rates.get(f"{each['route']} {each['action']}")
        table.add_row(
            each["route"],
            each["action"],
            "" if rate is None else f"{rate:,.0f}",
            f"{runs:,}",
            f"{each['errors_total']:,}",
            f"{mean:.2f} ms",
        )
    return table


def _breakers(rows: list[dict[str, Any]]) -> "Table":
    table = _table("destination", "breaker")
    for each in rows:
        word = BREAKERS.get(int(each["state"]), "?")
        table.add_row(each["endpoint"], word, style="bold red" if word == "OPEN" else "")
    return table


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table
