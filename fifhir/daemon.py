"""The daemon put together: ports, scoreboard, supervisor, and what each of its children does."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from itertools import islice
from socket import socket
from typing import NamedTuple

from fifhir import machine, operations, worker
from fifhir.bearer import Verifier
from fifhir.child import Body
from fifhir.config import Observability, Settings
from fifhir.errors import ConfigError
from fifhir.event import EVENT_TYPES
from fifhir.frames import Frames, tell_expiry
from fifhir.logs import Log
from fifhir.message import TOKENIZER
from fifhir.metrics import Catalogue
from fifhir.notices import Notices, operator
from fifhir.profile.choosing import Profiles
from fifhir.rates import Rates
from fifhir.scoreboard import Scoreboard
from fifhir.supervisor import Limits, Plan, Reload, Supervisor
from fifhir.tls import Door
from fifhir.unread import NAMED
from fifhir.watching import Watch
from fifhir.workflow.engine import Workflow

ROOM = 16  # workers there is always room for, if only an operator asks (TTIN)
PORT_TAKEN = 2
NAMED_CALLERS = 32  # keys whose names are sources of their own in the metrics
TOLD = 20  # files, or findings, that an entry of the audit log names
FIXED = {
    "server": ("host", "port", "workers", "shutdown_timeout", "reload_on_change"),
    "observability": ("metrics_enabled", "metrics_host", "metrics_port", "log_format"),
}
"""What takes effect at a start only."""


class Orders(NamedTuple):
    """All that was read and checked; again at every reload.

    `door` is what the API asks of who comes in, `doors` what each listener for MLLP does; `bearer`
    reads tokens.
    """

    settings: Settings
    profiles: Profiles
    workflow: Workflow
    door: Door | None = None
    doors: tuple[Door | None, ...] = ()
    bearer: Verifier | None = None


def run(
    orders: Orders,
    log: Log,
    *,
    reload: Callable[[], Orders] | None = None,
    watch: Watch | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> int:
    """The daemon, from binding its ports to the end of its last process; the exit status.

    `reload` reads the orders again, or raises ConfigError; it is asked to by HUP, and when `watch`
    sees that a file has changed. `FIXED` settings stay what they are until the next start. `ready`
    is told the URL of the API once all workers serve.
    """
    server, watched = orders.settings.server, orders.settings.observability
    frames = Frames()
    try:
        sock = machine.listen(server.host, server.port)
        frames.places(orders.settings.mllp, orders.doors)
        desk = _desk(watched) if watched.metrics_enabled else None
    except OSError as fault:
        if watched.log_format == "json":
            log.error("cannot start", reason=str(fault))
        else:
            print(f"fi-fhir: {fault}", file=sys.stderr)
        return PORT_TAKEN
    except ConfigError as fault:
        for finding in fault.findings:
            print(f"fi-fhir: {finding.text}", file=sys.stderr)
        return PORT_TAKEN
    frames.take()
    machine.raise_file_limit()
    return _Daemon(orders, log, Ports(sock, desk, frames), watch).run(reload, ready)


def _desk(watched: Observability) -> socket:
    return machine.listen(watched.metrics_host, watched.metrics_port)


class Ports(NamedTuple):
    """Where it listens: for the API, for operations if at all, for MLLP."""

    api: socket
    desk: socket | None
    frames: Frames


class _Daemon:
    """What outlives every crew: ports, scoreboard, counts, notices."""

    def __init__(self, orders: Orders, log: Log, ports: Ports, watch: Watch | None) -> None:
        self._orders, self._log, self._ports, self._watch = orders, log, ports, watch
        self._build = {"version": metadata.version("fifhir"), "tokenizer": TOKENIZER}
        self._catalogue = Catalogue(
            event_types=EVENT_TYPES,
            sources=_sources(orders),
            routes=orders.workflow.actions,
            endpoints=orders.workflow.endpoints,
            listeners=ports.frames.names,
            segments=NAMED,
            build=self._build,
        )
        self._workers = orders.settings.server.workers or machine.cpus()
        self._board = Scoreboard(self._catalogue, 4 * max(self._workers, ROOM // 2))
        self._rates = Rates(self._board.slots)
        self._notices = Notices()
        self._coming = orders
        self._changed: tuple[str, ...] = ()

    def run(self, reload: Callable[[], Orders] | None, ready: Callable[[str], None]) -> int:
        settings, desk = self._orders.settings, self._ports.desk
        if self._watch:
            self._watch.reset()
        plan = Plan(
            self._crew(self._orders),
            self._workers,
            (lambda slot: self._operate(desk, slot)) if desk else None,
            (lambda: self._reload(reload)) if reload else None,
            lambda: self._tell(ready),
            self._watch.changed if self._watch and settings.server.reload_on_change else _never,
            self._ended,
        )
        limits = Limits(shutdown=settings.server.shutdown_timeout)
        return Supervisor(self._board, self._log, plan, limits).run()

    def _operate(self, sock: socket, slot: int) -> int:
        """What the operations process does, by the orders there are when it is forked."""
        desk = operations.Desk.of(sock, self._board, self._orders.settings, self._log)
        return operations.run(desk, slot)

    def _crew(self, orders: Orders) -> Body:
        """What every worker of a crew does that works by these orders."""
        settings, profiles, workflow, door, doors, bearer = orders
        ports, log = self._ports, self._log
        places = ports.frames.places(settings.mllp, doors)
        self._catalogue.admit(
            _sources(orders),
            workflow.actions,
            workflow.endpoints,
            [place.name for place in places],
        )
        doors_by_name = {machine.address(ports.api): door, **{p.name: p.door for p in places}}
        for name, each in doors_by_name.items():
            tell_expiry(name, each, self._board, log)
        self._rates.admit(key.caller.name for key in settings.auth.admitted())
        duty = worker.Duty(
            *(ports.api, self._board, settings, profiles, workflow, log, places, door),
            *(self._rates, self._notices, bearer),
        )

        def body(slot: int) -> int:
            ports.frames.leave(places)
            return worker.run(duty, slot)

        return body

    def _reload(self, read: Callable[[], Orders]) -> Body:
        # What is written while we read is seen by the next look.
        self._changed = self._watch.reset() if self._watch else ()
        orders = read()
        body = self._crew(orders)
        self._coming = orders
        self._log.level(orders.settings.observability.log_level)  # before the fork: it is copied
        return body

    def _ended(self, reload: Reload) -> None:
        """A reload is over: ports are those of the crew that serves, and the audit log knows."""
        taken = not reload.findings
        (self._ports.frames.take if taken else self._ports.frames.drop)()
        details: dict[str, object] = {
            "by": reload.by,
            "result": "taken" if taken else "refused",
            "files": self._changed[:TOLD],
        }
        if taken:
            details |= self._differences(self._orders.settings, self._coming.settings)
            self._orders = self._coming
        else:
            details["findings"] = reload.findings[:TOLD]
            self._log.level(self._orders.settings.observability.log_level)
        who = operator()
        self._log.info("audit", actor=who, action="reload", **details)
        if not self._notices.post(who, "reload", details):
            self._log.warn("no room for the audit log", action="reload")

    def _differences(self, old: Settings, new: Settings) -> dict[str, object]:
        """Which keys came and went; what has changed but waits for a start is told."""
        for section, names in FIXED.items():
            for name in names:
                was, now = (getattr(getattr(each, section), name) for each in (old, new))
                if was != now:
                    text = "this setting changes at the next start only"
                    self._log.warn(text, setting=f"{section}.{name}")
        keys = [{key.caller.name: key for key in each.auth.admitted()} for each in (old, new)]
        changed = sorted(name for name in keys[1] if keys[1][name] != keys[0].get(name))
        gone = sorted(keys[0].keys() - keys[1].keys())
        return {"keys_added": changed[:TOLD], "keys_removed": gone[:TOLD]}

    def _tell(self, ready: Callable[[str], None]) -> None:
        ports, names = self._ports, self._ports.frames.names
        where = {"operations": f"http://{machine.address(ports.desk)}"} if ports.desk else {}
        where |= {"mllp": ", ".join(names)} if names else {}
        url = f"{'https' if self._orders.door else 'http'}://{machine.address(ports.api)}"
        told = {**where, "workers": self._workers, "pid": os.getpid(), **self._build}
        self._log.info("ready", address=url, **told)
        with contextlib.suppress(OSError):  # the terminal is gone, which is no reason to stop
            ready(url)


def _never() -> bool:
    return False


def _sources(orders: Orders) -> Iterator[str]:
    """Every source whose events are counted under its own name."""
    settings = orders.settings
    yield from orders.workflow.sources
    yield from (rule.source for rule in settings.profiles.rules if rule.source)
    yield from (listener.source for listener in settings.mllp.open().values())
    yield from (each.source for each in (settings.kafka, settings.nats) if each.enabled)
    yield from (key.caller.name for key in islice(settings.auth.admitted(), NAMED_CALLERS))
