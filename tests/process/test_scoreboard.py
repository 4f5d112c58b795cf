"""Numbers shared between processes: exact, and never half folded."""

import os
import time

from fifhir.metrics import Catalogue, exposition
from fifhir.scoreboard import DRAINING, READY, STALE, Scoreboard


def board(slots: int = 4) -> Scoreboard:
    catalogue = Catalogue(
        event_types=("patient_admit", "lab_result"), sources=("epic",), routes=(("all", "log"),)
    )
    return Scoreboard(catalogue, slots)


def forked(scoreboard: Scoreboard, slot: int, events: int) -> int:
    """A child that counts `events` and ends."""
    scoreboard.claim(slot, time.monotonic())
    pid = os.fork()
    if pid == 0:
        slab = scoreboard.own(slot)
        counter = scoreboard.catalogue.event("patient_admit", "epic", True)
        action = scoreboard.catalogue.action("log", "all")
        for _ in range(events):
            slab.add(counter)
            slab.observe(action, 0.02)
        slab.in_flight = 1
        os._exit(0)
    return pid


def test_sums_over_processes_are_exact() -> None:
    scoreboard = board()
    for pid in [forked(scoreboard, slot, 10_000) for slot in range(4)]:
        os.waitpid(pid, 0)
    text = exposition(scoreboard).decode()
    labels = 'event_type="patient_admit",source="epic",success="true"'
    assert f"workflow_events_processed_total{{{labels}}} 40000.0" in text
    assert 'seconds_bucket{action_type="log",le="0.025",route_name="all"} 40000.0' in text
    assert 'seconds_bucket{action_type="log",le="0.01",route_name="all"} 0.0' in text
    assert "workflow_events_in_progress 4.0" in text


def test_fold_keeps_counts_drops_gauges_and_frees_the_slot() -> None:
    scoreboard = board(1)
    os.waitpid(forked(scoreboard, 0, 100), 0)
    assert scoreboard.free() is None
    scoreboard.fold(0)
    text = exposition(scoreboard).decode()
    assert 'source="epic",success="true"} 100.0' in text
    assert "workflow_events_in_progress 0.0" in text
    assert scoreboard.free() == 0
    assert scoreboard.rows() == []


def test_reader_never_sees_half_a_fold() -> None:
    scoreboard = board()
    counter = scoreboard.catalogue.event("patient_admit", "epic", True)
    folder = os.fork()
    if folder == 0:
        for _ in range(3000):  # a worker's whole life: claimed, one event, dead
            scoreboard.claim(0, 0.0)
            scoreboard.slab(0).add(counter)
            scoreboard.fold(0)
        os._exit(0)
    last = 0.0
    while os.waitpid(folder, os.WNOHANG)[0] == 0:
        seen = scoreboard.totals()[counter]
        assert seen >= last
        last = seen
    assert scoreboard.totals()[counter] == 3000


def test_reader_gives_up_on_a_fold_that_never_ends() -> None:
    scoreboard = board()
    counter = scoreboard.catalogue.event("patient_admit", "epic", True)
    scoreboard.retired.add(counter, 7)
    scoreboard._head[0] = 1  # the supervisor was killed in the middle of it
    assert scoreboard.totals()[counter] == 7


def test_gate_sees_the_least_of_those_that_serve() -> None:
    scoreboard, now = board(), 100.0
    assert scoreboard.least(now) == float("inf")
    for slot, connections in enumerate((5, 2, 1, 0)):
        slab = scoreboard.claim(slot, now)
        slab.state, slab.connections = READY, connections
    scoreboard.slab(3).state = DRAINING
    assert scoreboard.least(now) == 1
    scoreboard.slab(2).beat(now - STALE - 0.01)
    assert scoreboard.least(now) == 2


def test_operations_never_count_for_the_gate_or_as_a_worker() -> None:
    scoreboard = board()
    scoreboard.claim(scoreboard.operations, 100.0).state = READY
    assert scoreboard.least(100.0) == float("inf")
    assert scoreboard.serving() == 0
    assert scoreboard.rows() == []
