"""The daemon put together: ports, scoreboard, supervisor, and what each of its children does."""

import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import NamedTuple

from fifhir import machine, operations, worker
from fifhir.child import Body
from fifhir.config import Settings
from fifhir.event import EVENT_TYPES
from fifhir.frames import Frames, tell_expiry
from fifhir.logs import Log
from fifhir.message import TOKENIZER
from fifhir.metrics import Catalogue
from fifhir.profile.choosing import Profiles
from fifhir.rates import Rates
from fifhir.scoreboard import Scoreboard
from fifhir.supervisor import Limits, Plan, Supervisor
from fifhir.tls import Door
from fifhir.unread import NAMED
from fifhir.workflow.engine import Workflow

ROOM = 16  # workers there is always room for, if only an operator asks (TTIN)
PORT_TAKEN = 2


class Orders(NamedTuple):
    """All that was read and checked; again at every reload.

    `door` is what the API asks of who comes in, `doors` what each listener for MLLP does.
    """

    settings: Settings
    profiles: Profiles
    workflow: Workflow
    door: Door | None = None
    doors: tuple[Door | None, ...] = ()


def run(
    orders: Orders,
    log: Log,
    *,
    reload: Callable[[], Orders] | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> int:
    """The daemon, from binding its ports to the end of its last process; the exit status.

    `reload` reads the orders again, or raises ConfigError. Ports, the number of workers and the
    log stay what they are until the next start. `ready` is told the URL of the API once all
    workers serve.
    """
    settings = orders.settings
    server, watched = settings.server, settings.observability
    try:
        sock = machine.listen(server.host, server.port)
        frames = Frames.listen(settings.mllp)
        desk = (
            machine.listen(server.host, watched.metrics_port) if watched.metrics_enabled else None
        )
    except OSError as fault:
        print(f"fi-fhir: {fault}", file=sys.stderr)
        return PORT_TAKEN
    machine.raise_file_limit()
    build = {"version": metadata.version("fifhir"), "tokenizer": TOKENIZER}
    catalogue = Catalogue(
        event_types=EVENT_TYPES,
        sources=_sources(orders),
        routes=orders.workflow.actions,
        endpoints=orders.workflow.endpoints,
        listeners=frames.names,
        segments=NAMED,
        build=build,
    )
    workers = server.workers or machine.cpus()
    board = Scoreboard(catalogue, 4 * max(workers, ROOM // 2))
    rates = Rates(board.slots)

    def crew(orders: Orders) -> Body:
        settings, profiles, workflow, door, doors = orders
        places = frames.places(settings.mllp, doors)
        catalogue.admit(_sources(orders), workflow.actions, workflow.endpoints)
        for name, each in ((machine.address(sock), door), *((p.name, p.door) for p in places)):
            tell_expiry(name, each, board, log)
        rates.admit(key.caller.name for key in settings.auth.admitted())
        duty = worker.Duty(sock, board, settings, profiles, workflow, log, places, door, rates)
        return partial(worker.run, duty)

    def tell() -> None:
        where = {"operations": f"http://{machine.address(desk)}"} if desk else {}
        where |= {"mllp": ", ".join(frames.names)} if frames.names else {}
        url = f"{'https' if orders.door else 'http'}://{machine.address(sock)}"
        log.info("ready", address=url, **where, workers=workers, pid=os.getpid(), **build)
        with contextlib.suppress(OSError):  # the terminal is gone, which is no reason to stop
            ready(url)

    plan = Plan(
        crew(orders),
        workers,
        partial(operations.run, operations.Desk(desk, board, watched.metrics_endpoint, log))
        if desk
        else None,
        (lambda: crew(reload())) if reload else None,
        tell,
    )
    return Supervisor(board, log, plan, Limits(shutdown=server.shutdown_timeout)).run()


def _sources(orders: Orders) -> tuple[str, ...]:
    """Every source whose events are counted under its own name."""
    settings, workflow = orders.settings, orders.workflow
    ruled = (rule.source for rule in settings.profiles.rules if rule.source)
    listened = (listener.source for listener in settings.mllp.open().values())
    return (*workflow.sources, *ruled, *listened)
