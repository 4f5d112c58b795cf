"""From a fork to a process of its own: nothing of the supervisor's is left in it."""

import contextlib
import ctypes
import faulthandler
import os
import signal
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeAlias

from fifhir.logs import Log, place
from fifhir.scoreboard import STARTING, Scoreboard

CANNOT_BOOT = 3  # the exit status of a worker that never served; gunicorn's
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

Body: TypeAlias = Callable[[int], int]
"""What a child does: its slot in, its exit status out."""

IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
"""What a terminal sends to everybody; the supervisor decides what it means."""

QUEUED = (*IGNORED, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
"""What the supervisor listens to; blocked around a fork, or a child could take it."""

_prctl = ctypes.CDLL(None).prctl


def become(
    body: Body, slot: int, board: Scoreboard, log: Log, inherited: Iterable[int]
) -> NoReturn:
    """Run `body` in the process just forked, whose signals are blocked, and never return.

    `inherited` are descriptors only the supervisor may hold. When the supervisor dies, the
    kernel sends SIGTERM, so that no orphan keeps the port.
    """
    status = CANNOT_BOOT
    try:
        parent = board.supervisor
        signal.set_wakeup_fd(-1)
        for fd in inherited:
            os.close(fd)
        _reset_signals()
        _prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew that it matters to us
            os._exit(0)
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            faulthandler.enable()  # SIGABRT and crashes leave a stack, which holds no values
        board.own(slot)
        status = body(slot)
    except BaseException as fault:  # a child must not return into its parent's code
        booting = board.slab(slot).state == STARTING
        status = CANNOT_BOOT if booting else 1
        log.error(
            "process ended by an error",
            slot=slot,
            exception=type(fault).__name__,
            place=place(fault.__traceback__),
            error=str(fault) if booting else "",  # later it might hold what a sender wrote
        )
    finally:
        os._exit(status)


def _reset_signals() -> None:
    for signum in QUEUED:
        quiet = signum in IGNORED or signum == signal.SIGUSR1
        signal.signal(signum, signal.SIG_IGN if quiet else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, QUEUED)
