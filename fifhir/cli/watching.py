"""The picture of `fi-fhir status` and `top`: what happened between two looks at a daemon."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

SPARKS = "▁▂▃▄▅▆▇█"
SHOWN = 16  # bars of a row's sparkline
BREAKERS = {0: "closed", 1: "half-open", 2: "OPEN"}
OUTCOMES = ("received", "filtered", "sent", "queued", "errored")
WINDOW = 5  # looks that a quantile goes over

Found = dict[str, Any]


class Watch:
    """Looks at one daemon, and what each number was in the last `history` of them.

    The first look shows counts, rates and quantiles since the daemon's start.
    """

    def __init__(self, history: int = 1) -> None:
        self._history = history
        self._looks: deque[tuple[float, Found]] = deque(maxlen=WINDOW + 1)
        self._sparks: dict[str, deque[float]] = {}

    def look(self, found: Found, now: float) -> Group:
        """The picture of what was found now."""
        live = bool(self._looks)
        self._looks.append((now, found))
        parts: list[Any] = [_title(found)]
        if live:
            parts.append(self._line(found))
        parts += [Text(), self._workers(found, live), Text(), self._routes(found, live)]
        parts += [Text(), self._outcomes(found, live)]
        if found["breakers"]:
            parts += [Text(), _breakers(found["breakers"])]
        return Group(*parts)

    # What a number did.

    def _rate(self, name: str, value: Callable[[Found], int], since: int = -2) -> float:
        """How much a second the number that `value` gives of a look grew since an earlier one."""
        if len(self._looks) < 2:
            return 0.0
        (before, old), (now, new) = self._looks[since], self._looks[-1]
        rate = max(0.0, (value(new) - value(old)) / max(0.001, now - before))
        self._sparks.setdefault(name, deque(maxlen=self._history)).append(rate)
        return rate

    def _spark(self, name: str) -> str:
        return sparkline(list(self._sparks.get(name, ()))[-SHOWN:])

    def _quantiles(
        self, counts: Callable[[Found], list[int]], bounds: Sequence[float]
    ) -> tuple[str, str]:
        """p50 and p99 of a histogram over the last looks, or since the start at the first."""
        new = counts(self._looks[-1][1])
        old = counts(self._looks[0][1]) if len(self._looks) > 1 else [0] * len(new)
        grown = [max(0, now - before) for now, before in zip(new, old, strict=False)]
        return duration(quantile(grown, bounds, 0.5)), duration(quantile(grown, bounds, 0.99))

    # The parts of the picture.

    def _line(self, found: Found) -> Text:
        rate = self._rate("", lambda look: int(look["events_total"]))
        bounds = found["stage_bucket_seconds"]
        half, most = self._quantiles(lambda look: look["stages"]["total"]["buckets"], bounds)
        history = sparkline(list(self._sparks[""]))
        return Text(f"{rate:,.0f} events/s  {history}  answered in {half} (p99 {most})", "cyan")

    def _workers(self, found: Found, live: bool) -> Table:
        table = _table("worker", "pid state", "conns", "in flight", "events/s", "events")
        for name in ("loop late", "memory"):
            table.add_column(name, justify="right")
        table.add_column("")
        for each in found["workers"]:
            rate = self._worker_rate(each) if live else None
            state = each["state"]
            table.add_row(
                str(each["slot"]),
                f"{each['pid']} {state}",
                str(each["connections"]),
                str(each["in_flight"]),
                "" if rate is None else f"{rate:,.0f}",
                f"{each['events_total']:,}",
                duration(each.get("lag_seconds", 0.0)),
                f"{each['rss_bytes'] / 2**20:.0f} MB",
                self._spark(f"worker {each['slot']} {each['pid']}"),
                style="" if state == "ready" else "yellow",
            )
        return table

    def _worker_rate(self, row: Found) -> float:
        slot, pid = row["slot"], row["pid"]

        def events(look: Found) -> int:
            same = (each for each in look["workers"] if (each["slot"], each["pid"]) == (slot, pid))
            return next((int(each["events_total"]) for each in same), 0)

        return self._rate(f"worker {slot} {pid}", events)

    def _routes(self, found: Found, live: bool) -> Table:
        table = _table("route", "action", "a second", "actions", "errors", "p50", "p99")
        table.add_column("")
        for each in found["routes"]:
            key = each["route"], each["action"]
            name = "action {} {}".format(*key)
            rate = self._rate(name, partial(_actions, key))
            half, most = self._quantiles(partial(_buckets, key), found["bucket_seconds"])
            table.add_row(
                each["route"],
                each["action"],
                f"{rate:,.0f}" if live else "",
                f"{each['actions_total']:,}",
                _counted(each["errors_total"]),
                half,
                most,
                self._spark(name) if live else "",
            )
        return table

    def _outcomes(self, found: Found, live: bool) -> Table:
        """What became of events by route: in all, or live a second.

        That is over the last few looks, for some of these numbers move once a second.
        """
        table = _table("route", *(f"{each}/s" if live else each for each in OUTCOMES), left=1)
        for route, told in found["outcomes"].items():
            if not live:
                table.add_row(route, *(f"{told.get(each, 0):,}" for each in OUTCOMES))
                continue
            rates = [
                self._rate(f"{route} {each}", partial(_outcome, route, each), since=0)
                for each in OUTCOMES
            ]
            table.add_row(route, *(f"{rate:,.0f}" for rate in rates))
        return table


def _title(found: Found) -> Text:
    uptime = found["supervisor"]["uptime_seconds"]
    up = time.strftime("%H:%M:%S", time.gmtime(uptime % 86_400))
    line = Text(f"fi-fhir {found['version']}", "bold")
    line.append(f"  pid {found['supervisor']['pid']}  up {int(uptime // 86_400)}d {up}", "not bold")
    letters, journal = found["dlq_size"], found["journal"]
    line.append(f"  dead letters {letters:,}", "bold red" if letters else "not bold")
    waiting = f"  journal {journal['pending']:,}"
    if journal["pending"]:
        waiting += f", oldest {duration(journal['oldest_seconds'])}"
    line.append(waiting, "bold yellow" if journal["oldest_seconds"] > 60 else "not bold")
    return line


def _breakers(rows: list[Found]) -> Table:
    table = _table("destination", "breaker")
    for each in rows:
        word = BREAKERS.get(int(each["state"]), "?")
        style = {"OPEN": "bold red", "half-open": "yellow"}.get(word, "")
        table.add_row(each["endpoint"], word, style=style)
    return table


def _of(look: Found, key: tuple[str, str]) -> Found:
    """The row of a route's action; one without anything if it was not there yet."""
    same = (each for each in look["routes"] if (each["route"], each["action"]) == key)
    none = {"actions_total": 0, "buckets": [0] * (len(look["bucket_seconds"]) + 1)}
    return next(same, none)


def _actions(key: tuple[str, str], look: Found) -> int:
    return int(_of(look, key)["actions_total"])


def _buckets(key: tuple[str, str], look: Found) -> list[int]:
    return list(_of(look, key)["buckets"])


def _outcome(route: str, outcome: str, look: Found) -> int:
    return int(look["outcomes"].get(route, {}).get(outcome, 0))


def _counted(errors: int) -> Text:
    return Text(f"{errors:,}", "red" if errors else "")


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """The duration that this share stays under, as Prometheus guesses it; None of nothing.

    `counts` has one more element than `bounds`, for what is beyond the last of them.
    """
    rank, seen = share * sum(counts), 0
    if not rank:
        return None
    for at, count in enumerate(counts[:-1]):
        if count and seen + count >= rank:
            low = bounds[at - 1] if at else 0.0
            return low + (bounds[at] - low) * (rank - seen) / count
        seen += count
    return bounds[-1]


def duration(seconds: float | None) -> str:
    """A duration in the unit that suits it."""
    if seconds is None:
        return "-"
    for below, factor, name in ((0.001, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < below:
            return f"{seconds * factor:.3g} {name}" if seconds else "0"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def sparkline(values: Sequence[float]) -> str:
    """The values as a row of bars, the largest full."""
    most = max(values, default=0.0) or 1.0
    return "".join(SPARKS[min(int(value / most * 8), 7)] for value in values)


def _table(*columns: str, left: int = 2) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right", no_wrap=True)
    return table
