"""How evenly the workers share 64 connections that come at once or one after the other."""

import socket
import time
from contextlib import ExitStack
from statistics import median

from benchmarks import servers
from benchmarks.servers import Daemon

CONNECTIONS = 64
SETTLES_WITHIN = 10.0  # seconds


def measure(*, quick: bool) -> dict[str, object]:
    """The section `accept` of the results."""
    trials = 2 if quick else 5
    rows = []
    for workers in (2, 4):
        with servers.fi_fhir(workers=workers) as daemon:
            for arrival, pause in (("burst", 0.0), ("2 ms apart", 0.002)):
                found = [_trial(daemon, pause) for _ in range(trials)]
                rows.append(_row(workers, arrival, found))
    return {"connections": CONNECTIONS, "trials": trials, "rows": rows}


def _row(workers: int, arrival: str, found: list[tuple[list[int], float]]) -> dict[str, object]:
    spreads = [max(held) / (sum(held) / len(held)) for held, _ in found]
    return {
        "workers": workers,
        "arrival": arrival,
        "per_worker": [held for held, _ in found],
        "worst_max_over_mean": round(max(spreads), 3),
        "median_max_over_mean": round(median(spreads), 3),
        "milliseconds": round(1e3 * median(took for _, took in found), 1),
    }


def _trial(daemon: Daemon, pause: float) -> tuple[list[int], float]:
    """Connections of each worker once all are accepted, and the seconds that took."""
    began = time.monotonic()
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), timeout=5))
            if pause:
                time.sleep(pause)
        _settle(daemon, CONNECTIONS)
        took = time.monotonic() - began
        held = _held(daemon)
    _settle(daemon, 0)
    return held, took


def _held(daemon: Daemon) -> list[int]:
    return [int(row["connections"]) for row in daemon.workers()]


def _settle(daemon: Daemon, connections: int) -> None:
    def settled() -> bool:
        return sum(_held(daemon)) == connections

    servers.wait_until(settled, f"{connections} connections", SETTLES_WITHIN)
