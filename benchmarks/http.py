"""Requests for each second of server CPU: fi-fhir beside an nginx static reply and aiohttp.

fi-fhir parses the ADT, makes an event of it and answers with its JSON; the other two answer with
as many bytes that were made beforehand. Server on one core, wrk on another.
"""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import rounds, servers
from benchmarks.messages import ADT
from benchmarks.servers import Daemon

CONTENT_TYPE = "application/hl7-v2"
CONNECTIONS = 64
SCRIPT = Path(__file__).with_name("post.lua")

Trial = dict[str, float]


def measure(*, quick: bool) -> dict[str, object]:
    """The section `http` of the results."""
    cores = rounds.cores()
    server_core, client_core = cores[0], cores[-1]
    seconds, trials = (1, 2) if quick else (4, 7)
    with _all_servers(server_core) as (daemons, reply_bytes):
        for daemon in daemons:
            _trial(daemon, client_core, 1)
        found: dict[str, list[Trial]] = {daemon.name: [] for daemon in daemons}
        for _ in range(trials):
            for daemon in daemons:
                found[daemon.name].append(_trial(daemon, client_core, seconds))
    return {
        "affinity": f"servers on core {server_core}, wrk on core {client_core}",
        "connections": CONNECTIONS,
        "trials": trials,
        "seconds": seconds,
        "request_bytes": len(ADT),
        "reply_bytes": reply_bytes,
        "servers": [_row(name, found) for name in found],
    }


@contextmanager
def _all_servers(core: int) -> Iterator[tuple[list[Daemon], int]]:
    with ExitStack() as stack:
        ours = stack.enter_context(servers.fi_fhir(workers=1, core=core))
        size = len(_reply(ours))
        filler = b"x" * size
        nginx = stack.enter_context(servers.nginx(filler, core))
        aiohttp = stack.enter_context(servers.aiohttp(filler, core))
        yield [ours, nginx, aiohttp], size


def _reply(daemon: Daemon) -> bytes:
    """What fi-fhir answers, checked: a figure for wrong answers would be worth nothing."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}/api/v1/parse",
        data=ADT,
        headers={"Content-Type": CONTENT_TYPE},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
    if b'"patient_admit"' not in body or b'"Winterbourne"' not in body:
        raise RuntimeError("fi-fhir did not answer with the event of the ADT")
    return body


def _trial(daemon: Daemon, core: int, seconds: int) -> Trial:
    with TemporaryDirectory() as folder:
        message = Path(folder, "adt.hl7")
        message.write_bytes(ADT)
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        command += ["-s", str(SCRIPT), f"http://127.0.0.1:{daemon.port}/api/v1/parse"]
        command += ["--", str(message), CONTENT_TYPE]
        before, began = daemon.cpu_seconds(), time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        after, ended = daemon.cpu_seconds(), time.monotonic()
    result: dict[str, Any] = json.loads(done.stdout.partition("RESULT ")[2])
    return {
        "cpu_microseconds": 1e6 * (after - before) / result["requests"],
        "wall_requests_per_second": 1e6 * result["requests"] / result["microseconds"],
        "busy": (after - before) / (ended - began),
        "p50": result["p50"],
        "p99": result["p99"],
        "errors": result["errors"],
    }


def _row(name: str, found: dict[str, list[Trial]]) -> dict[str, object]:
    mine = found[name]
    cost = [trial["cpu_microseconds"] for trial in mine]
    return {
        "name": name,
        "cpu_microseconds": round(median(cost), 2),
        "requests_per_cpu_second": round(1e6 / median(cost)),
        "best_requests_per_cpu_second": round(1e6 / min(cost)),
        "wall_requests_per_second": round(median(t["wall_requests_per_second"] for t in mine)),
        "p50_milliseconds": round(median(trial["p50"] for trial in mine) / 1e3, 2),
        "p99_milliseconds": round(median(trial["p99"] for trial in mine) / 1e3, 2),
        "busy": round(median(trial["busy"] for trial in mine), 2),
        "errors": sum(int(trial["errors"]) for trial in mine),
        **{
            f"of_{other}": round(
                median(
                    theirs["cpu_microseconds"] / ours["cpu_microseconds"]
                    for ours, theirs in zip(mine, found[other], strict=True)
                ),
                3,
            )
            for other in ("nginx", "aiohttp")
        },
    }
