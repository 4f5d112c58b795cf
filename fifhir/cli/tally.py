"""What became of the demo's messages, kept as numbers and drawn as a picture or as plain lines."""

import json
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

_PROCESSED = re.compile(r'^workflow_events_processed_total\{.*?event_type="(\w+)".*\} ([0-9.e+]+)$')
_SPARKS = "▁▂▃▄▅▆▇█"
_TOLD = 5  # refusals worth a line each
_BAR = 28  # columns of the longest bar


class Tally:
    """Counts of one demo: answers as they came, and the daemon's own numbers.

    The messages are spread over `seconds`. `failed` counts those the daemon had trouble with;
    that it refuses a broken one is no trouble.
    """

    def __init__(self, messages: int, seconds: float) -> None:
        self.messages = messages
        self.seconds = seconds
        self.started = time.monotonic()
        self.took: list[float] = []
        self.refused: list[str] = []
        self.unanswered: list[str] = []
        self.failed = 0
        self.events: Counter[str] = Counter()
        self.shares: list[tuple[int, int, int]] = []
        self.rates: list[float] = []
        self._looked = (self.started, 0)

    def due(self, number: int) -> float:
        """When a message is sent: in two waves, so that the rate has a shape."""
        part = number / self.messages
        return self.started + self.seconds * (part + 0.06 * math.sin(4 * math.pi * part))

    def answered(self, number: int, status: int, body: bytes, took: float) -> None:
        self.took.append(took)
        self.failed += status >= 500
        if status >= 300:
            self.refused.append(f"message {number + 1}: {status} {_reason(body)}")

    def lost(self, number: int, reason: str) -> None:
        self.failed += 1
        self.unanswered.append(f"message {number + 1}: {reason}")

    def look(self, metrics: str, status: dict[str, Any]) -> None:
        """Take the daemon's own counts: events by type, and each worker's share."""
        events: Counter[str] = Counter()
        for line in metrics.splitlines():
            if match := _PROCESSED.match(line):
                events[match[1]] += int(float(match[2]))
        self.events = +events
        self.shares = [
            (worker["slot"], worker["pid"], worker["events_total"]) for worker in status["workers"]
        ]
        (then, count), now = self._looked, time.monotonic()
        self._looked = now, len(self.took)
        self.rates.append((len(self.took) - count) / max(now - then, 0.001))

    @property
    def rate(self) -> float:
        """Answers a second from the first to the last look."""
        return len(self.took) / max(self._looked[0] - self.started, 0.001)

    def quantile(self, part: float) -> float:
        """Milliseconds within which this part of the answers came."""
        if not self.took:
            return 0.0
        return 1000 * sorted(self.took)[min(len(self.took) - 1, int(part * len(self.took)))]


def _reason(body: bytes) -> str:
    """What a refusal says, in its own words: of its first message if it names any."""
    told = json.loads(body) if body.startswith(b"{") else {}
    first = (told.get("errors") or [told])[0]
    return f"{first.get('error', '')}: {first.get('message', '')}"


def lines(tally: Tally) -> Iterator[tuple[str, str, str]]:
    """The picture's rows: what, how much, and a bar or a remark."""
    most = max(tally.events.values(), default=1)
    for name, count in tally.events.most_common():
        yield name, f"{count}", "█" * max(1, round(_BAR * count / most))
    yield "refused", f"{len(tally.refused)}", "two were broken on purpose"
    if tally.unanswered:
        yield "no answer", f"{len(tally.unanswered)}", tally.unanswered[0]
    total = sum(count for _, _, count in tally.shares) or 1
    for slot, pid, count in tally.shares:
        yield f"worker {slot} (pid {pid})", f"{count}", f"{100 * count / total:.0f} %"
    yield "answers a second", f"{tally.rate:.0f}", sparkline(tally.rates)
    yield "answered in", f"{tally.quantile(0.5):.1f} ms", f"p99 {tally.quantile(0.99):.1f} ms"


def sparkline(values: list[float]) -> str:
    """One character a value, as high as the value is."""
    most = max(values, default=0.0) or 1.0
    return "".join(_SPARKS[min(7, int(8 * value / most))] for value in values[-_BAR:])


@contextmanager
def picture(tally: Tally, url: str) -> Iterator[Callable[[], None]]:
    """Draws on call: live at a terminal; elsewhere nothing until the end, then plain lines."""
    title = f"{tally.messages} invented messages to {url}/api/v1/workflow"
    if not sys.stdout.isatty():
        print(title)
        yield lambda: None
        for what, count, remark in lines(tally):
            print(f"  {what:24} {count:>9}  {remark}")
    else:
        from rich.live import Live

        with Live(_table(tally, title), auto_refresh=False) as live:
            yield lambda: live.update(_table(tally, title), refresh=True)
    told = (*tally.refused, *tally.unanswered)
    for text in told[:_TOLD]:
        print(f"  {text}")
    if len(told) > _TOLD:
        print(f"  ... and {len(told) - _TOLD} more")


def _table(tally: Tally, title: str) -> "RenderableType":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold", min_width=24)
    table.add_column(justify="right", min_width=9)
    table.add_column(style="cyan", min_width=_BAR, no_wrap=True)
    for row in lines(tally):
        table.add_row(*row)
    return table
