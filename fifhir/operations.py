"""Port 9090: metrics, status and health, from a small process of its own.

It only reads the scoreboard. When it hangs or dies, traffic does not notice and the supervisor
makes a new one. aiohttp is imported before the fork, so that this costs little memory.
"""

import asyncio
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from socket import socket
from typing import Any

import msgspec
import uvloop
from aiohttp import web
from msgspec import Struct

from fifhir import machine
from fifhir.access import CHALLENGE, Keyring, token
from fifhir.config import Settings
from fifhir.families import (
    ACTION_ERRORS,
    BREAKER,
    BUCKETS,
    DURATION,
    ERROR_TYPES,
    FINE,
    OTHER,
    PROCESSED,
    ROUTED,
)
from fifhir.logs import Log, adopt
from fifhir.metrics import DROPPED, exposition
from fifhir.scoreboard import READY, Scoreboard

BEAT = 0.5  # seconds
LAST_CALL = 0.3  # seconds
IDLE = 15.0  # seconds an idle connection is kept; a scraper comes again each 15 s or later
PAGE = resource.getpagesize()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Desk(Struct, frozen=True):
    """All that the operations process needs; with a `keyring` whoever asks needs a key of it."""

    sock: socket
    board: Scoreboard
    endpoint: str
    log: Log
    keyring: Keyring | None = None

    @classmethod
    def of(cls, sock: socket, board: Scoreboard, settings: Settings, log: Log) -> "Desk":
        watched = settings.observability
        guarded = not (watched.metrics_insecure or machine.is_loopback(watched.metrics_host))
        keyring = Keyring(settings.auth.admitted()) if guarded else None
        return cls(sock, board, watched.metrics_endpoint, log, keyring)

    def admits(self, request: web.Request) -> bool:
        """Whether the request may be answered: it is of this machine, or has a key for it."""
        if self.keyring is None or machine.is_loopback(request.remote or ""):
            return True
        headers = {name.lower().encode(): told.encode() for name, told in request.headers.items()}
        caller = self.keyring.find(token(headers))
        return caller is not None and "metrics" in caller.scopes


def run(desk: Desk, slot: int) -> int:
    """Answer until SIGTERM; the exit status."""
    adopt(desk.log)
    desk.log.dropped = 0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(desk, slot))


async def _serve(desk: Desk, slot: int) -> int:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_stop.set)
    loop.add_signal_handler(signal.SIGUSR1, desk.log.reopen)
    runner = web.AppRunner(
        _application(desk), access_log=None, handle_signals=False, keepalive_timeout=IDLE
    )
    await runner.setup()
    site = web.SockSite(runner, desk.sock, shutdown_timeout=1.0)
    await site.start()
    slab = desk.board.slab(slot)
    slab.state = READY
    while not told_to_stop.is_set():
        slab.beat(time.monotonic())
        slab.set(DROPPED, desk.log.dropped)
        try:
            await asyncio.wait_for(told_to_stop.wait(), BEAT)
        except TimeoutError:
            continue
    await site.stop()
    await asyncio.sleep(LAST_CALL)  # who has just connected has not asked yet
    await runner.cleanup()
    return 0


def _application(desk: Desk) -> web.Application:
    text, json = "text/plain; version=0.0.4", "application/json"
    metrics = _answering(lambda: exposition(desk.board), text)
    told = _answering(lambda: status(desk.board), json)
    application = web.Application(client_max_size=1024)
    application.add_routes(
        [
            web.get(desk.endpoint, _guarded(desk, metrics)),
            web.get("/status", _guarded(desk, told)),
            web.get("/health", _answering(lambda: b'{"status":"healthy"}', json)),
        ]
    )
    return application


def _answering(body: Callable[[], bytes], kind: str) -> Handler:
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-store"}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body(), headers=headers)

    return answer


def _guarded(desk: Desk, answer: Handler) -> Handler:
    async def ask(request: web.Request) -> web.StreamResponse:
        if desk.admits(request):
            return await answer(request)
        return web.Response(status=401, headers=dict([CHALLENGE.split(": ", 1)]))

    return ask


def status(board: Scoreboard) -> bytes:
    """What is running and what it is doing, as JSON (`/status`)."""
    totals = board.totals()
    return msgspec.json.encode(
        {
            "version": board.catalogue.build["version"],
            "supervisor": {"pid": board.supervisor, "uptime_seconds": round(board.uptime(), 3)},
            "workers": [
                {**msgspec.to_builtins(row), "rss_bytes": _rss(row.pid)} for row in board.rows()
            ],
            "events_total": int(
                sum(totals[slot] for slot in board.catalogue.series[PROCESSED].values())
            ),
            "bucket_seconds": BUCKETS,
            "routes": _routes(board, totals),
            "outcomes": _outcomes(board, totals),
            "stage_bucket_seconds": FINE,
            "stages": {
                stage: _histogram(totals, slot, len(FINE))
                for stage, slot in board.catalogue.stages.items()
            },
            "breakers": _breakers(board, totals),
            "dlq_size": int(totals[board.catalogue.dlq_size]),
            "journal": {
                "pending": int(totals[board.catalogue.pending]),
                "oldest_seconds": round(totals[board.catalogue.oldest], 3),
            },
        }
    )


def _routes(board: Scoreboard, totals: Sequence[float]) -> list[dict[str, Any]]:
    """How often each action of each route ran, failed, and how long it took."""
    failures = board.catalogue.series[ACTION_ERRORS]
    return [
        {
            "route": labels[1],
            "action": labels[0],
            "actions_total": (found := _histogram(totals, base, len(BUCKETS)))["count"],
            "errors_total": int(sum(totals[failures[*labels, kind]] for kind in ERROR_TYPES)),
            "seconds_total": found["seconds_total"],
            "buckets": found["buckets"],
        }
        for labels, base in board.catalogue.series[DURATION].items()
        if OTHER not in labels or any(totals[base : base + len(BUCKETS) + 1])
    ]


def _histogram(totals: Sequence[float], base: int, bounds: int) -> dict[str, Any]:
    """What a histogram of so many bounds holds; the last bucket is for what is beyond them."""
    counts = [int(each) for each in totals[base : base + bounds + 1]]
    seconds = round(totals[base + bounds + 1], 6)
    return {"count": sum(counts), "seconds_total": seconds, "buckets": counts}


def _outcomes(board: Scoreboard, totals: Sequence[float]) -> dict[str, dict[str, int]]:
    """How many events each route received, filtered, sent, queued and could not keep."""
    told: dict[str, dict[str, int]] = {}
    for (route, outcome), slot in board.catalogue.series[ROUTED].items():
        if route != OTHER or totals[slot]:
            told.setdefault(route, {})[outcome] = int(totals[slot])
    return told


def _breakers(board: Scoreboard, totals: Sequence[float]) -> list[dict[str, Any]]:
    """The state of each destination's breaker: 0 closed, 1 half-open, 2 open."""
    return [
        {"endpoint": endpoint, "state": int(totals[slot])}
        for (endpoint,), slot in board.catalogue.series[BREAKER].items()
        if endpoint != OTHER
    ]


def _rss(pid: int) -> int:
    """Resident memory of a process in bytes, 0 when it is gone (statm, proc(5))."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0
