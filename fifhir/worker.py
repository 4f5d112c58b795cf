"""One worker: an event loop made after the fork, and HTTP and MLLP on the inherited sockets.

It runs until SIGTERM, then answers what it has begun and leaves. The supervisor knows it by its
heartbeat alone.
"""

import asyncio
import ctypes
import math
import resource
import signal
import time
from socket import socket

import uvloop
from msgspec import Struct

from fifhir import machine
from fifhir.bearer import Verifier
from fifhir.config import Settings
from fifhir.ingress import api, mllp, subscriptions
from fifhir.ingress.jwks import Fetcher
from fifhir.journal import Journal
from fifhir.logs import Log, adopt
from fifhir.metrics import DROPPED, LAG
from fifhir.notices import Notices
from fifhir.profile.choosing import Profiles
from fifhir.rates import Rates
from fifhir.scoreboard import DRAINING, READY, Scoreboard, Slab
from fifhir.signs import Signs
from fifhir.spans import Spans
from fifhir.store import Store
from fifhir.store.opening import store as store_of
from fifhir.tls import Door
from fifhir.upkeep import Upkeep
from fifhir.workflow.engine import Workflow

BEAT = 0.05  # seconds; half of what the accept gate takes for a sign of life
LAG_WORTH_TELLING = 0.1  # seconds
PR_SET_DUMPABLE = 4  # <linux/prctl.h>


class Duty(Struct, frozen=True):
    """All that a worker needs; made before the fork and shared by every worker of a crew.

    `places` are where it listens for MLLP; with a `door` it speaks TLS on `sock`.
    """

    sock: socket
    board: Scoreboard
    settings: Settings
    profiles: Profiles
    workflow: Workflow
    log: Log
    places: tuple[mllp.Place, ...] = ()
    door: Door | None = None
    rates: Rates | None = None
    notices: Notices | None = None
    bearer: Verifier | None = None


def run(duty: Duty, slot: int) -> int:
    """Serve until SIGTERM; the exit status."""
    forbid_cores()
    adopt(duty.log)
    duty.log.dropped = duty.log.hidden = 0  # what the supervisor dropped is the supervisor's count
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(duty, slot))


def forbid_cores() -> None:
    """A crash leaves no core file: it would hold whole messages."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


async def _serve(duty: Duty, slot: int) -> int:
    loop = asyncio.get_running_loop()
    slab, patience = duty.board.slab(slot), duty.settings.server.shutdown_timeout
    told_to_stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_stop.set)
    loop.add_signal_handler(signal.SIGUSR1, duty.log.reopen)
    signs, spans = _signs(duty, slab)
    store = _store(duty.settings, signs)
    upkeep = Upkeep(store, duty.workflow, duty.board.catalogue, slab, duty.log)
    duty.workflow.open(store, signs)
    telling = loop.create_task(spans.run()) if spans else None
    watch = loop.create_task(upkeep.run())
    await upkeep.settled(needed=duty.settings.store.on_start == "fail")
    journal = Journal(store, duty.workflow, signs, duty.log) if store else None
    delivery = loop.create_task(journal.run()) if journal else watch
    writing = set[asyncio.Task[None]]()
    if store and duty.notices:
        writing.add(loop.create_task(duty.notices.write(store, told_to_stop)))
    # What is done within this process is done when it is answered: no journal is needed for it.
    early = journal if duty.workflow.endpoints else None
    fetching = _fetching(duty)
    server = api.serve(duty, slot, signs, upkeep, early)
    listeners = [mllp.serve(duty, place, slab, signs, early) for place in duty.places]
    taken = subscriptions.serve(duty, slab, signs, store, early)
    Pulse(loop, slab, duty, spans).beat()
    settling = loop.create_task(_settle(signs, duty.workflow))
    slab.state = READY
    await told_to_stop.wait()
    # The kernel ends a drain that hangs, even when no supervisor is left to do it.
    signal.alarm(math.ceil(patience) + 1)
    slab.state = DRAINING
    until = loop.time() + patience
    others = (each.drain(patience) for each in (*listeners, *taken))
    await asyncio.gather(server.drain(patience), *others)
    delivery.cancel()
    if journal:
        await journal.retire(max(0.0, until - loop.time()))
    if writing:
        await asyncio.wait(writing, timeout=max(0.0, until - loop.time()))
    for ended in (watch, settling, *fetching):
        ended.cancel()
    signs.settle(duty.workflow.routes)
    await duty.workflow.close()
    if spans and telling:
        telling.cancel()
        await spans.flush()
    if store:
        await store.close()
    return 0


def _signs(duty: Duty, slab: Slab) -> tuple[Signs, Spans | None]:
    """What the worker shows of itself, and the spans among it if they are wanted."""
    watched, catalogue = duty.settings.observability, duty.board.catalogue
    spans = None
    if watched.tracing_enabled:
        version = catalogue.build["version"]
        spans = Spans(watched.tracing_endpoint, watched.tracing_sampler, version)
    signs = Signs(
        *(slab, catalogue, duty.log),
        chatty=watched.log_messages or watched.log_level == "debug",
        slow=watched.log_slow,
        spans=spans,
    )
    return signs, spans


async def _settle(signs: Signs, workflow: Workflow) -> None:
    """Once a second the numbers that follow from others follow."""
    while True:
        signs.settle(workflow.routes)
        await asyncio.sleep(1)


def _fetching(duty: Duty) -> set[asyncio.Task[None]]:
    """What keeps the keys that tokens are checked with, if they are somewhere else."""
    auth = duty.settings.auth
    if duty.bearer is None or not auth.jwt_jwks_url:
        return set()
    fetcher = Fetcher(auth.jwt_jwks_url, auth.jwt_ca_file, auth.jwt_refresh, duty.log)
    return {asyncio.get_running_loop().create_task(fetcher.run(duty.bearer))}


def _store(settings: Settings, signs: Signs) -> Store | None:
    """One worker's door to the store, not opened yet; None if nothing is to be kept."""
    if not settings.workflow.dlq_enabled:
        return None
    workers = settings.server.workers or machine.cpus()
    most = settings.workflow.most_letters
    return store_of(settings.database, settings.store, most, workers, signs)


class Pulse:
    """The heartbeat of a loop: shows that it turns, and how late it was."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, slab: Slab, duty: Duty, spans: Spans | None
    ) -> None:
        self._loop = loop
        self._slab = slab
        self._log = duty.log
        self._spans = spans
        self._catalogue = duty.board.catalogue
        self._expected = time.monotonic()

    def beat(self) -> None:
        """The heartbeat is now; the next one comes in `BEAT` seconds."""
        now, words = time.monotonic(), self._slab.words
        lag = max(0.0, now - self._expected)
        self._slab.beat(now)
        words[LAG] = max(lag, words[LAG] * 0.98)  # the worst of about the last two seconds
        words[DROPPED] = self._log.dropped
        words[self._catalogue.hidden_lines] = self._log.hidden
        words[self._catalogue.spans_lost] = self._spans.lost if self._spans else 0
        if lag > LAG_WORTH_TELLING:
            self._log.warn("event loop was blocked", duration_ms=round(lag * 1000))
        self._expected = now + BEAT
        self._loop.call_later(BEAT, self.beat)
