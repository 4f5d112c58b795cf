"""What a worker shows: per route in Mirth's words, by stage, and in the log."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from fifhir.families import BREAKER_CHANGES, STAGE
from fifhir.logs import Log
from fifhir.metrics import MOST_ROUTES, Catalogue, exposition
from fifhir.scoreboard import Scoreboard
from fifhir.signs import Signs
from fifhir.workflow.outcome import ActionResult, Outcome, Status
from fifhir.written import Written

WRITTEN = Written("patient_admit", "1", "lab", b"{}")
ROUTES = ("a", "b", "c")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


class House:
    """One worker's signs and what is to be seen of them."""

    def __init__(self, fd: int, **words: Any) -> None:
        self.catalogue = Catalogue(
            event_types=("patient_admit",),
            routes=[(name, "log") for name in ROUTES],
            endpoints=["http://there:80"],
        )
        self.board = Scoreboard(self.catalogue, 1)
        self.slab = self.board.claim(0, 0.0)
        self.signs = Signs(self.slab, self.catalogue, Log(fd), **words)

    def routed(self, route: str, outcome: str) -> int:
        return int(self.slab.words[self.catalogue.routed(route, outcome)])


def outcome(**statuses: Status) -> Outcome:
    results = tuple(ActionResult(route, "log", status, 1.0) for route, status in statuses.items())
    return Outcome(tuple(statuses), results)


def read(fd: int) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in os.read(fd, 1 << 20).splitlines()]
    except BlockingIOError:
        return []


def test_each_route_counts_every_event_once(pipe: tuple[int, int]) -> None:
    house = House(pipe[1])
    house.signs.ran(WRITTEN, outcome(a="delivered"), (0.0, 0.0))
    house.signs.ran(WRITTEN, outcome(a="kept", b="delivered"), (0.0, 0.0))
    house.signs.ran(WRITTEN, outcome(b="failed"), (0.0, 0.0))
    house.signs.settle(ROUTES)
    words = ("received", "filtered", "sent", "queued", "errored")
    assert [[house.routed(route, word) for word in words] for route in ROUTES] == [
        [3, 1, 1, 1, 0],
        [3, 1, 1, 0, 1],
        [3, 3, 0, 0, 0],
    ]


def test_the_worst_of_several_actions_counts(pipe: tuple[int, int]) -> None:
    house = House(pipe[1])
    statuses: tuple[Status, ...] = ("failed", "kept", "delivered")
    results = tuple(ActionResult("a", "log", status, 1.0) for status in statuses)
    house.signs.ran(WRITTEN, Outcome(("a",), results), (0.0, 0.0))
    assert (house.routed("a", "errored"), house.routed("a", "queued")) == (1, 0)


def test_stages_have_buckets_for_microseconds(pipe: tuple[int, int]) -> None:
    house = House(pipe[1])
    house.signs.parsed(WRITTEN, "", ("mllp", 100), 0.0)
    house.signs.arrived(0.00003)
    text = exposition(house.board).decode()
    assert f'{STAGE.name}_bucket{{le="2.5e-05",stage="receive"}} 0.0' in text
    assert f'{STAGE.name}_bucket{{le="5e-05",stage="receive"}} 1.0' in text
    assert f'{STAGE.name}_count{{stage="parse"}} 1.0' in text
    assert 'fi_fhir_received_bytes_total{ingress="mllp"} 100.0' in text


def test_messages_are_told_only_when_asked(pipe: tuple[int, int]) -> None:
    House(pipe[1]).signs.ran(WRITTEN, outcome(a="delivered"), (0.0, 0.0))
    assert read(pipe[0]) == []
    House(pipe[1], chatty=True).signs.ran(WRITTEN, outcome(a="delivered"), (0.0, 0.0))
    (line,) = read(pipe[0])
    assert (line["message"], line["routes"], line["success"]) == ("event processed", ["a"], True)
    assert line["trace_id"] == WRITTEN.trace.trace_id
    assert isinstance(line["duration_ms"], float)


def test_a_slow_action_is_told_in_any_case(pipe: tuple[int, int]) -> None:
    house = House(pipe[1], slow=0.5)
    result = ActionResult("a", "log", "delivered", 501.0)
    house.signs.ran(WRITTEN, Outcome(("a",), (result,)), (0.0, 0.0))
    (line,) = read(pipe[0])
    assert (line["message"], line["duration_ms"]) == ("slow action", 501.0)


def test_a_breaker_is_told_when_it_changes_and_then_only(pipe: tuple[int, int]) -> None:
    house = House(pipe[1])
    for state in (0, 2, 2, 1, 0):
        house.signs.breaker("http://there:80", state)
    assert [line["state"] for line in read(pipe[0])] == ["open", "half_open", "closed"]
    counted = house.catalogue.series[BREAKER_CHANGES]
    told = {key[1]: house.slab.words[slot] for key, slot in counted.items() if key[0] != "other"}
    assert told == {"closed": 1, "half_open": 1, "open": 1}


def test_the_number_of_routes_that_have_series_of_their_own_has_an_end() -> None:
    catalogue = Catalogue(event_types=(), routes=((f"r{n}", "log") for n in range(3 * MOST_ROUTES)))
    assert catalogue.routed("r5", "sent") != catalogue.routed("other", "sent")
    assert catalogue.routed(f"r{2 * MOST_ROUTES}", "sent") == catalogue.routed("other", "sent")
