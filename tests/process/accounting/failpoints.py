"""The daemon with points at which it fails on purpose.

They are planted from outside, around what the daemon does at that point: the daemon as it is
shipped has none, so nothing can switch them on and they cost nothing. FAILPOINTS_EVERY says after
how many passes of a point it fails (in each worker a random number about that), FAILPOINTS_LOG
names the file that has a line for each time it did; once there is a file of that name with `.off`
behind it, none fails. Or FAILPOINTS_AT says "POINT WAY TIMES": there, so, the first so many times
it is passed, and nowhere else. FAILPOINTS_LEASE shortens the leases of the journal.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from fifhir import journal
from fifhir.cli import main
from fifhir.delivery.courier import Courier
from fifhir.errors import StoreError
from fifhir.ingress.receiving import Receiver
from fifhir.ingress.running import Runner
from fifhir.journal import Journal
from fifhir.store.books import Books
from fifhir.store.postgres import journal as postgres_journal
from fifhir.store.postgres import shared
from fifhir.store.sqlite import embedded
from fifhir.store.sqlite import journal as sqlite_journal

EVERY = int(os.environ.get("FAILPOINTS_EVERY", "1"))
AT = os.environ.get("FAILPOINTS_AT", "").split()
LEASE = float(os.environ.get("FAILPOINTS_LEASE", "0"))  # seconds
LOG = os.environ["FAILPOINTS_LOG"]
OFF = ".off"  # beside the log: no point fails any more
HANG = 3.0  # seconds


class Point:
    """A place in the daemon; each process has its own luck with it."""

    def __init__(self, name: str, *ways: str, often: float = 1.0) -> None:
        self._name = name
        self._ways = ways
        self._every = max(1, int(EVERY / often))
        self._process = 0
        self._left = 0

    def due(self) -> str:
        """How to fail now; mostly not at all."""
        if AT:
            return self._told()
        if self._process != os.getpid():  # a worker was forked: the supervisor never fails
            self._process = os.getpid()
            self._left = random.randint(1, 2 * self._every)  # noqa: S311 - no secret
        self._left -= 1
        if self._left:
            return ""
        self._left = random.randint(1, 2 * self._every)  # noqa: S311 - no secret
        if os.path.exists(LOG + OFF):
            return ""
        way = random.choice(self._ways)  # noqa: S311 - no secret
        with open(LOG, "a", encoding="ascii") as file:
            file.write(f"{self._name} {way}\n")
        return way

    def _told(self) -> str:
        """How to fail here if it is to fail here, and has not done so often enough."""
        point, way, times = AT
        with open(LOG, "a+", encoding="ascii") as file:
            file.seek(0)
            if point != self._name or len(file.readlines()) >= int(times):
                return ""
            file.write(f"{point} {way}\n")
        return way

    def now(self) -> None:
        """The point is passed, in a thread or where nothing can wait."""
        way = self.due()
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "raise":
            raise StoreError("unavailable", "a failpoint")

    async def passed(self) -> None:
        way = self.due()
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "raise":
            raise StoreError("unavailable", "a failpoint")
        if way == "hang":
            await asyncio.sleep(HANG)


def around(owner: Any, name: str, before: Point | None = None, after: Point | None = None) -> None:
    """The points are passed before and after each call of a coroutine method."""
    method: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def called(*args: Any, **named: Any) -> Any:
        if before:
            await before.passed()
        result = await method(*args, **named)
        if after:
            await after.passed()
        return result

    setattr(owner, name, called)


def in_transactions() -> None:
    """Rows were written and are not committed yet, in both stores."""
    point = Point("before_commit", "kill", "raise")
    record, record_too = sqlite_journal.record, postgres_journal.record

    def sqlite(*args: Any) -> Any:
        result = record(*args)
        point.now()
        return result

    async def postgres(*args: Any) -> Any:
        result = await record_too(*args)
        await point.passed()
        return result

    embedded.Embedded.record = embedded._writes(sqlite)  # type: ignore[arg-type]
    shared.Shared.record = shared._writes(postgres)  # type: ignore[arg-type]


def plant() -> None:
    if LEASE:
        journal.LEASE = LEASE
    in_transactions()
    around(Books, "record_all", after=Point("after_commit", "kill", "raise", "hang"))
    around(Books, "claim", after=Point("after_claim", "kill", often=2))
    around(
        Courier,
        "deliver",
        Point("before_send", "kill", "hang"),
        Point("after_send", "kill", "hang"),
    )
    around(
        Books,
        "settle",
        Point("before_settle", "kill", "raise", "hang", often=4),
        Point("after_settle", "kill", "raise", often=4),
    )
    around(
        Books,
        "bury",
        Point("before_bury", "kill", "raise", often=4),
        Point("after_bury", "kill", "raise", often=4),
    )
    around(Runner, "_run", after=Point("before_answer", "kill", "hang"))
    around(Receiver, "answer", after=Point("before_acknowledgment", "kill", "hang"))
    around(Journal, "retire", Point("in_drain", "kill", "hang", often=EVERY))


if __name__ == "__main__":
    plant()
    main()
