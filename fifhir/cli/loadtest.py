"""`fi-fhir workflow loadtest`: how many events a second a workflow takes, and how long each waits.

Invented HL7 v2 messages are read and routed as the daemon does it, in this one process; actions
are only written down, so what is measured is the workflow, not a destination.
"""

import asyncio
import itertools
import time
from typing import NamedTuple

from msgspec import Struct

from fifhir.cli.progress import Bar
from fifhir.cli.synthetic import messages
from fifhir.errors import MessageError
from fifhir.intake import Feed, read_written
from fifhir.logs import Log
from fifhir.workflow.config import WorkflowConfig
from fifhir.workflow.engine import Workflow
from fifhir.workflow.rehearsal import Invocation, Rehearsed

MESSAGES = 2000  # different ones, sent round and round
REACH = 0.90  # of the wanted rate
ERRORS = 0.01
P99 = 0.010  # seconds


class Scenario(NamedTuple):
    """Seconds of test and warm-up, events a second (0: as fast as it goes), events at once."""

    duration: float
    rate: int
    workers: int
    warmup: float


SCENARIOS = {
    "smoke": Scenario(10, 100, 2, 2),
    "standard": Scenario(60, 1000, 4, 5),
    "stress": Scenario(120, 5000, 8, 10),
    "burst": Scenario(30, 0, 16, 5),
    "soak": Scenario(300, 500, 4, 10),
}


class Report(Struct, kw_only=True):
    """What was measured; latencies in milliseconds, from when an event was due."""

    events: int
    errors: int
    seconds: float
    events_per_second: float
    target_per_second: int
    error_rate: float
    latency_min: float
    latency_mean: float
    latency_p50: float
    latency_p90: float
    latency_p95: float
    latency_p99: float
    latency_p999: float
    latency_max: float
    passed: bool


def measure(config: WorkflowConfig, scenario: Scenario) -> Report:
    """The scenario has been run, its warm-up not counted."""
    return asyncio.run(_measure(config, scenario))


async def _measure(config: WorkflowConfig, scenario: Scenario) -> Report:
    def drop(_: Invocation) -> None: ...

    workflow = Workflow(config, Log(2, "error").write, lambda action: Rehearsed(action, drop))
    load = _Load(workflow, scenario)
    with Bar([], int(scenario.warmup + scenario.duration)) as bar:
        await load.run(scenario.warmup, bar)
        load.forget()
        seconds = await load.run(scenario.duration, bar)
    return report(sorted(load.waits), load.errors, seconds, scenario.rate)


class _Load:
    """Sends messages round and round, `workers` of them at once, each when it is due."""

    def __init__(self, workflow: Workflow, scenario: Scenario) -> None:
        self._workflow = workflow
        self._scenario = scenario
        self._feed = Feed(source="loadtest")
        self._messages = itertools.cycle(list(messages(MESSAGES)))
        self.forget()

    def forget(self) -> None:
        """Nothing has been counted yet."""
        self.waits: list[float] = []
        self.errors = 0

    async def run(self, seconds: float, bar: Bar) -> float:
        """How long it took; every event that was due in the time has been answered."""
        started = time.perf_counter()
        numbers = itertools.count()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._scenario.workers):
                tasks.create_task(self._send(started, seconds, numbers, bar))
        return time.perf_counter() - started

    async def _send(
        self, started: float, seconds: float, numbers: "itertools.count[int]", bar: Bar
    ) -> None:
        rate, shown = self._scenario.rate, started
        for number in numbers:
            now = time.perf_counter()
            due = started + number / rate if rate else now
            if due - started >= seconds:
                return
            await asyncio.sleep(max(0.0, due - now))
            await self._event(due)
            if now - shown >= 1:
                bar.advance(int(now - shown), len(self.waits))
                shown = now

    async def _event(self, due: float) -> None:
        raw = next(self._messages)
        try:
            outcome = await self._workflow.run(read_written(raw, self._feed), raw)
            self.errors += not outcome.success
        except MessageError:
            pass  # some are broken on purpose, and refusing them is no trouble
        self.waits.append(time.perf_counter() - due)


def report(waits: list[float], errors: int, seconds: float, target: int) -> Report:
    """The numbers of a run, and whether it is good enough. `waits` are sorted."""
    count = len(waits)

    def part(share: float) -> float:
        return waits[min(count - 1, int(share * count))] * 1000 if count else 0.0

    rate = count / seconds if seconds else 0.0
    share = errors / count if count else 0.0
    reached = not target or rate >= REACH * target
    return Report(
        events=count,
        errors=errors,
        seconds=round(seconds, 3),
        events_per_second=round(rate, 1),
        target_per_second=target,
        error_rate=round(share, 6),
        latency_min=part(0.0),
        latency_mean=sum(waits) / count * 1000 if count else 0.0,
        latency_p50=part(0.5),
        latency_p90=part(0.9),
        latency_p95=part(0.95),
        latency_p99=part(0.99),
        latency_p999=part(0.999),
        latency_max=part(1.0),
        passed=bool(count) and reached and share <= ERRORS and part(0.99) <= P99 * 1000,
    )


def show(found: Report) -> None:
    """The report is on stdout."""
    wanted = f" of {found.target_per_second}" if found.target_per_second else ""
    print(f"Events:     {found.events} in {found.seconds:.1f} s, {found.errors} errors")
    print(f"Throughput: {found.events_per_second:.1f} events/s{wanted}")
    names = ("min", "mean", "p50", "p90", "p95", "p99", "p999", "max")
    told = "  ".join(f"{name} {getattr(found, f'latency_{name}'):.3f}" for name in names)
    print(f"Latency ms: {told}")
    print("PASSED" if found.passed else "FAILED")
