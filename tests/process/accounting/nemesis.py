"""What befalls the daemon, its store and its destination while they are accounted for."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.postgres import Server
from tests.process.accounting.house import Daemon
from tests.process.accounting.recorder import Recorder
from tests.proxy import MOODS, WELL, Proxy

CHANCE = random.Random()  # noqa: S311 - no secret


class Nemesis:
    """Kills what can be killed and breaks what can be broken; `done` counts it, by what it was.

    Everything is well again after each act. `server` is None if the store is a file.
    """

    def __init__(
        self,
        daemon: Daemon,
        recorder: Recorder,
        far: Proxy,
        server: Server | None,
        database: Proxy | None,
    ) -> None:
        self._daemon = daemon
        self._recorder = recorder
        self._far = far
        self._server = server
        self._database = database
        self.done: Counter[str] = Counter()
        self.kills = 0
        self._order = self._kinds()

    def kill(self) -> None:
        """One more process that matters is killed."""
        next(self._order)()
        self.kills += 1

    def trouble(self) -> None:
        """Something is wrong for a moment."""
        acts: list[Callable[[], None]] = [self._outage, self._worsen_far, self._stop_worker]
        acts += [self._reload] if CHANCE.random() < 0.3 else []
        acts += [self._worsen_database] if self._database else []
        CHANCE.choice(acts)()

    def _kinds(self) -> Iterator[Callable[[], None]]:
        """Mostly workers; each of the others in every round, however short the run is."""
        others = [self._kill_supervisor, self._kill_everybody]
        others += [self._crash_store, self._stop_store_at_once] if self._server else []
        while True:
            kinds = [self._kill_worker] * (10 - len(others)) + others
            CHANCE.shuffle(kinds)
            yield from kinds

    def _kill_worker(self) -> None:
        self.done["workers killed"] += 1
        if workers := self._daemon.workers():
            self._daemon.signal(CHANCE.choice(workers))

    def _kill_supervisor(self) -> None:
        self.done["supervisors killed"] += 1
        self._daemon.signal(self._daemon.process.pid)
        self._daemon.process.wait()
        self._daemon.start()

    def _kill_everybody(self) -> None:
        self.done["all processes killed at once"] += 1
        self._daemon.kill_all()
        self._daemon.start()

    def _crash_store(self) -> None:
        assert self._server
        self.done["Postgres killed"] += 1
        self._server.crash()
        self._server.start()

    def _stop_store_at_once(self) -> None:
        assert self._server
        self.done["Postgres stopped at once"] += 1
        self._server.stop(signal.SIGQUIT)
        self._server.start()

    def _stop_worker(self) -> None:
        self.done["workers stopped for a moment"] += 1
        for pid in self._daemon.workers()[:1]:
            self._daemon.signal(pid, signal.SIGSTOP)
            _moment()
            self._daemon.signal(pid, signal.SIGCONT)

    def _reload(self) -> None:
        self.done["reloads"] += 1
        with suppress(ProcessLookupError):
            self._daemon.process.send_signal(signal.SIGHUP)
        _moment()

    def _outage(self) -> None:
        self.done["outages of the destination"] += 1
        self._recorder.down = True
        _moment()
        self._recorder.down = False

    def _worsen_far(self) -> None:
        self._worsen(self._far, "destination")

    def _worsen_database(self) -> None:
        assert self._database
        self._worsen(self._database, "Postgres")

    def _worsen(self, proxy: Proxy, what: str) -> None:
        mood = CHANCE.choice(MOODS)
        self.done[f"{what}: {mood}"] += 1
        proxy.feel(mood)
        _moment()
        proxy.feel(WELL)


def _moment() -> None:
    time.sleep(CHANCE.uniform(0.2, 0.8))
