"""A progress bar on stderr that appears only when there is something to wait for."""

import os
import stat
import sys
import time
from types import TracebackType
from typing import Any

SILENT = 0.5  # seconds of work before a bar is worth its place
PAUSE = 0.1  # seconds between two looks of the bar


class Bar:
    """Shows how far the named inputs have been read, or how many of `total` are done, and how fast.

    Without names a total may be unknown. Only for a terminal on stderr, and only while stdout is
    not one: there the events themselves scroll by, unless the bar is `alone`, because nothing is
    written to stdout meanwhile. What is counted besides are `things`.
    """

    def __init__(
        self,
        names: list[str],
        total: int | None = None,
        *,
        things: str = "messages",
        alone: bool = False,
    ) -> None:
        self._names = names
        self._total = total
        self._things = things
        self._wanted = sys.stderr.isatty() and (alone or not sys.stdout.isatty())
        self._started = self._shown = time.monotonic()
        self._read = 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int, messages: int) -> None:
        """So many bytes (or of the total) more are done; `messages` in all."""
        self._read += count
        now = time.monotonic()
        if not self._wanted or now - self._shown < PAUSE or now - self._started < SILENT:
            return
        self._shown = now
        if self._bar is None:
            self._start()
        rate = messages / (now - self._started)
        self._bar.update(self._task, completed=self._read, messages=messages, rate=rate)

    def say(self, text: str) -> None:
        """The text is on stderr, above the bar."""
        if self._bar is None:
            print(text, file=sys.stderr)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            BarColumn(),
            DownloadColumn(binary_units=True) if self._names else MofNCompleteColumn(),
            TextColumn(f"{{task.fields[messages]:,}} {self._things}  {{task.fields[rate]:,.0f}}/s"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(
            "", total=_total(self._names) if self._names else self._total, messages=0, rate=0.0
        )
        self._bar.start()


def _total(names: list[str]) -> int | None:
    """Bytes in all inputs together; None if one of them is a pipe or cannot be asked."""
    total = 0
    for name in names:
        try:
            about = os.fstat(0) if name == "-" else os.stat(name)
        except OSError:
            return None
        if not stat.S_ISREG(about.st_mode):
            return None
        total += about.st_size
    return total
