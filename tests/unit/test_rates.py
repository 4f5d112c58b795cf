"""Counting requests over several workers."""

import os

from fifhir.rates import MINUTE, Rates

NOON = 1_790_000_040.0  # the beginning of a minute


def test_no_more_than_the_limit_passes_in_a_minute_whichever_worker_counts() -> None:
    rates = Rates(8)
    meters = [rates.meter(slot, lambda: NOON) for slot in range(8)]
    tickets = [meters[number % 8].take("lab", 20) for number in range(30)]
    assert [ticket.over for ticket in tickets] == [False] * 20 + [True] * 10
    assert [ticket.remaining for ticket in tickets[:20]] == list(range(19, -1, -1))
    assert {(ticket.limit, ticket.reset) for ticket in tickets} == {(20, NOON + MINUTE)}


def test_the_next_minute_begins_anew() -> None:
    clock = [NOON + 59.9]
    meter = Rates(2).meter(0, lambda: clock[0])
    assert [meter.take("lab", 2).over for _ in range(3)] == [False, False, True]
    clock[0] = NOON + 60.0
    assert [meter.take("lab", 2).over for _ in range(3)] == [False, False, True]


def test_a_clock_that_is_put_back_starves_nobody() -> None:
    clock = [NOON]
    meter = Rates(2).meter(0, lambda: clock[0])
    assert [meter.take("lab", 1).over for _ in range(2)] == [False, True]
    clock[0] = NOON - 3600
    assert [meter.take("lab", 1).over for _ in range(2)] == [False, True]


def test_names_are_counted_apart_and_keep_their_rows() -> None:
    rates = Rates(2)
    rates.admit(["lab", "ward"])
    meter = rates.meter(0, lambda: NOON)
    assert [meter.take(name, 1).over for name in ("lab", "ward", "lab")] == [False, False, True]
    rates.admit(["ward", "lab", "pharmacy"])
    assert rates.meter(1, lambda: NOON).take("lab", 1).over
    assert not meter.take("pharmacy", 1).over


def test_what_a_dead_worker_counted_still_counts() -> None:
    rates = Rates(2)
    pid = os.fork()
    if pid == 0:
        rates.meter(1, lambda: NOON).take("lab", 2)
        os._exit(0)
    os.waitpid(pid, 0)
    heir = rates.meter(1, lambda: NOON)
    assert [heir.take("lab", 2).over for _ in range(2)] == [False, True]


def test_a_client_is_told_when_to_come_again() -> None:
    meter = Rates(1).meter(0)
    first, second = meter.take("lab", 1), meter.take("lab", 1)
    assert [line.split(b":")[0] for line in first.headers.splitlines()] == [
        b"X-RateLimit-Limit",
        b"X-RateLimit-Remaining",
        b"X-RateLimit-Reset",
    ]
    assert second.headers.splitlines()[-1] == b"Retry-After: %d" % second.wait
    assert 1 <= second.wait <= MINUTE
