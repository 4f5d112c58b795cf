"""Keep the workers and the operations process alive; know nothing of what they do.

The law: signal handlers only put a byte into a pipe, and one loop, `Supervisor.run`, does all
the rest. No thread and no event loop is ever made here, so it may fork at any time.
"""

import contextlib
import gc
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fifhir.child import CANNOT_BOOT, QUEUED, Body, become
from fifhir.crew import FIRST_PAUSE, NEVER, Child, Crew, Seat
from fifhir.errors import ConfigError
from fifhir.logs import Log, place
from fifhir.scoreboard import FREE, READY, STARTING, Scoreboard

BOOT_TRIES = 3  # failed boots of one seat in a row, before all have served, that end it all
LAST_WORDS = 1.0  # seconds between SIGABRT, which leaves a stack, and SIGKILL
GRACE = 2.0  # seconds a worker has to leave beyond its own deadline
TICK, QUICK_TICK = 1.0, 0.02  # seconds between looks; quick while somebody starts


def _pass() -> None: ...


def _never() -> bool:
    return False


class Reload(NamedTuple):
    """How a reload ended that `by` asked for: without findings it took effect."""

    by: str
    findings: tuple[str, ...] = ()


class Plan(NamedTuple):
    """Who is to run. `operate` is what the operations process does, if there shall be one.

    `reload` gives the body of the next crew, or raises ConfigError; without it the next crew does
    what the last one did. It is asked for by a signal, or when `changed`, which is asked at every
    turn, says so; `ended` is told what became of it. `ready` is called once, when all serve.
    """

    body: Body
    workers: int
    operate: Body | None = None
    reload: Callable[[], Body] | None = None
    ready: Callable[[], None] = _pass
    changed: Callable[[], bool] = _never
    ended: Callable[[Reload], None] = lambda _: None


class Limits(NamedTuple):
    """Times in seconds."""

    watchdog: float = 10.0  # without a heartbeat, until a child is aborted
    shutdown: float = 10.0  # to drain
    boot: float = 30.0  # for the new workers of a reload
    healthy: float = 1.0  # of service, after which an end is an accident and no crash loop


class Supervisor:
    """Forks what the plan asks for, and sees to it.

    A crew takes at most half of the scoreboard's slots, so that the next one finds room beside it.
    """

    def __init__(self, board: Scoreboard, log: Log, plan: Plan, limits: Limits) -> None:
        self._board, self._log, self._plan, self._limits = board, log, plan, limits
        self._most = board.slots // 2
        self._crew = Crew.of(plan.body, min(plan.workers, self._most))
        self._former: Crew | None = None
        self._desk = Crew.of(plan.operate, 1) if plan.operate else None
        self._children: dict[int, Child] = {}
        self._status: int | None = None
        self._served = self._again = False
        self._by = ""
        self._switch_by = self._woke = 0.0
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._acts: dict[int, Callable[[], None]] = {
            signal.SIGTERM: lambda: self._stop(signal.SIGTERM),
            signal.SIGINT: lambda: self._stop(signal.SIGINT),
            signal.SIGQUIT: lambda: self._quit(signal.SIGQUIT),
            signal.SIGHUP: lambda: self._replace("SIGHUP"),
            signal.SIGTTIN: lambda: self._resize(+1),
            signal.SIGTTOU: lambda: self._resize(-1),
            signal.SIGUSR1: self._reopen,
            signal.SIGCHLD: _pass,
        }

    def run(self) -> int:
        """Every child has ended; the exit status.

        0 after a drain, 1 if a worker did not end well in it, 3 when workers cannot boot,
        128 + signal after a quick stop.
        """
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for queued in QUEUED:
            signal.signal(queued, lambda *_: None)
        self._board.retired.set(self._board.catalogue.reloaded, 1)
        gc.collect()
        gc.freeze()  # what is there now is never looked at again, so its pages stay shared
        self._woke = time.monotonic()
        while self._status is None or self._children:
            self._fill(time.monotonic())
            for signum in self._wait():
                self._acts.get(signum, _pass)()
            if self._served and not self._former and self._plan.changed():
                self._replace("changed files")
            now = time.monotonic()
            self._reap(now)
            self._watch(now)
            self._switch(now)
            self._close_desk()
        return self._status

    def _wait(self) -> Iterator[int]:
        """Sleep until a signal comes or something is due; the signals that came.

        Time in which we were stopped ourselves (a paused container) is nobody's silence.
        """
        starting = any(self._state(child) == STARTING for child in self._children.values())
        due = [child.kill_at for child in self._children.values()]
        if self._status is None:
            due += [seat.due for seat, _ in self._seats() if seat.child is None]
        pause = min([*due, NEVER]) - time.monotonic()
        poll = select.poll()
        poll.register(self._pipe[0], select.POLLIN)
        poll.poll(1000 * max(0.005, min(pause, QUICK_TICK if starting else TICK)))
        woke = time.monotonic()
        if woke - self._woke > 2 * TICK:
            for child in self._children.values():
                child.heard += woke - self._woke
        self._woke = woke
        with contextlib.suppress(BlockingIOError):
            return iter(os.read(self._pipe[0], 1024))
        return iter(b"")

    # What signals ask for.

    def _stop(self, signum: signal.Signals) -> None:
        """Everybody may finish; the second time, it ends at once."""
        if self._status is not None:
            self._quit(signum)
            return
        self._status = 0
        self._log.info("stopping", signal=signum.name)
        for child in tuple(self._children.values()):
            if child.slot != self._board.operations:
                self._retire(child)

    def _quit(self, signum: signal.Signals) -> None:
        self._log.warn("stopping at once", signal=signum.name)
        self._status = 128 + signum
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)

    def _resize(self, step: int) -> None:
        """One worker more or less, but at least one, and no more than there is room for."""
        seats = self._crew.seats
        if step > 0 and len(seats) < self._most:
            seats.append(Seat())
        elif step < 0 and len(seats) > 1:
            seat = seats.pop()
            if seat.child:
                self._retire(seat.child)
        self._log.info("workers wanted", workers=len(seats))

    def _reopen(self) -> None:
        self._log.reopen()
        for child in self._children.values():
            os.kill(child.pid, signal.SIGUSR1)

    def _replace(self, by: str) -> None:
        """A new crew boots beside the old one, which serves on until the new one does."""
        if self._status is not None or self._former:
            self._again = self._former is not None
            return
        self._by = by
        try:
            body = self._plan.reload() if self._plan.reload else self._crew.body
        except ConfigError as fault:
            self._refuse("configuration", [str(finding) for finding in fault.findings])
        except Exception as fault:  # the old crew works; a mistake in a reload must not end it
            self._refuse(type(fault).__name__, [place(fault.__traceback__)])
        else:
            self._log.info("reloading", workers=len(self._crew.seats), by=by)
            self._former, self._crew = self._crew, Crew.of(body, len(self._crew.seats))
            self._switch_by = time.monotonic() + self._limits.boot

    def _refuse(self, reason: str, findings: list[str]) -> None:
        self._board.retired.set(self._board.catalogue.reloaded, 0)
        for finding in findings:
            self._log.write("error", "reload refused", reason=reason, finding=finding)
        self._plan.ended(Reload(self._by, tuple(findings)))

    # The life of a child.

    def _seats(self) -> Iterator[tuple[Seat, Crew]]:
        for crew in filter(None, (self._crew, self._desk)):
            for seat in crew.seats:
                yield seat, crew

    def _state(self, child: Child) -> int:
        return self._board.slab(child.slot).state

    def _fill(self, now: float) -> None:
        for seat, crew in self._seats():
            if self._status is None and seat.child is None and now >= seat.due:
                self._spawn(seat, crew, now)

    def _spawn(self, seat: Seat, crew: Crew, now: float) -> None:
        """A new process holds the seat, unless there is no slot or no process to be had."""
        board = self._board
        slot = board.operations if crew is self._desk else board.free()
        if slot is None or board.slab(slot).state != FREE:
            seat.due = now + FIRST_PAUSE
            return
        beat = board.claim(slot, now).heartbeat
        before = signal.pthread_sigmask(signal.SIG_BLOCK, QUEUED)
        try:
            pid = os.fork()
            if pid == 0:
                become(crew.body, slot, board, self._log, self._pipe)
            seat.child = self._children[pid] = Child(pid, slot, seat, now, beat)
        except OSError as fault:
            board.fold(slot)
            seat.postpone(now)
            self._log.error("cannot fork", error=fault.strerror)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _retire(self, child: Child) -> None:
        """The child is asked to finish and leave; its seat no longer waits for it."""
        child.seat.child = None
        child.kill_at = time.monotonic() + self._limits.shutdown + GRACE
        os.kill(child.pid, signal.SIGTERM)

    def _watch(self, now: float) -> None:
        """Whoever was silent for too long, or stays after its time, is ended."""
        for child in self._children.values():
            slab = self._board.slab(child.slot)
            if slab.heartbeat != child.beat:
                child.beat, child.heard = slab.heartbeat, now
            if slab.state == READY:
                child.serving_since = min(child.serving_since, now)
            if now >= child.kill_at:
                child.kill_at = NEVER
                os.kill(child.pid, signal.SIGKILL)
            elif now - child.heard > self._limits.watchdog and not child.hung:
                child.hung = True
                child.kill_at = now + LAST_WORDS
                self._log.error("no heartbeat, aborting", pid=child.pid, slot=child.slot)
                os.kill(child.pid, signal.SIGABRT)

    def _reap(self, now: float) -> None:
        """Every process that has ended is accounted for, strangers too: we may be process 1."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                child = self._children.pop(ended[0], None)
                if child is not None:
                    self._bury(child, os.waitstatus_to_exitcode(ended[1]), now)

    def _bury(self, child: Child, code: int, now: float) -> None:
        seat, booted = child.seat, self._state(child) != STARTING
        self._board.fold(child.slot)
        if seat.child is not child:  # it was asked to leave
            if self._status == 0 and code not in (0, -signal.SIGTERM):
                self._status = 1
            return
        seat.child = None
        seat.postpone(now, accident=now - child.serving_since >= self._limits.healthy)
        cause = child.cause(code)
        if child.slot != self._board.operations:
            self._board.retired.add(self._board.catalogue.respawn(cause))
        again = round(1000 * (seat.due - now))
        fields = {"pid": child.pid, "slot": child.slot, "cause": cause, "status": code}
        self._log.write("error", "process died", **fields, again_ms=again)
        if not booted and seat in self._crew.seats:
            self._give_up(seat)

    def _give_up(self, seat: Seat) -> None:
        """A worker could not boot: a reload ends, and so does a start that leads nowhere."""
        self._crew.failed = True
        if not self._served and seat.streak >= BOOT_TRIES:
            self._log.error("workers cannot boot, giving up")
            self._stop(signal.SIGTERM)
            self._status = CANNOT_BOOT

    # The end of a reload and of everything.

    def _switch(self, now: float) -> None:
        """Once all of a new crew serve, the old one leaves; if one cannot, the new one does."""
        crew, former = self._crew, self._former
        serving = all(seat.child and self._state(seat.child) == READY for seat in crew.seats)
        if serving and not self._served:
            self._served = True
            self._plan.ready()
        if former is None or self._status is not None:
            return
        if serving:
            self._board.retired.set(self._board.catalogue.reloaded, 1)
            self._log.info("reloaded", by=self._by)
            self._plan.ended(Reload(self._by))
        elif crew.failed or now > self._switch_by:
            self._refuse("new workers cannot boot", ["the old ones stay"])
            self._crew, former = former, crew
        else:
            return
        self._former = None
        for child in (*former.children(), *(self._desk.children() if self._desk else ())):
            self._retire(child)
        if self._again:
            self._again = False
            self._replace("SIGHUP")

    def _close_desk(self) -> None:
        """Operations leave last, so that a drain can be watched."""
        if self._status is not None and self._desk and len(self._children) == 1:
            for child in self._desk.children():
                self._retire(child)
