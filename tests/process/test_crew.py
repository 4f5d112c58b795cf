"""How soon a seat is filled again, and what its holder is said to have died of."""

import signal

import pytest

from fifhir.crew import LONGEST_PAUSE, Child, Seat


def test_accident_and_first_early_end_are_made_good_at_once() -> None:
    seat = Seat()
    seat.postpone(100.0, accident=True)
    assert seat.due == 100.0
    seat.postpone(100.0)
    assert seat.due == 100.0


def test_crash_loop_waits_ever_longer_up_to_a_limit() -> None:
    seat, pauses = Seat(), []
    for _ in range(1000):
        seat.postpone(0.0)
        pauses.append(seat.due)
    assert 0.075 <= pauses[1] <= 0.1
    assert all(0.75 * 0.1 * 2**n <= pauses[n + 1] <= 0.1 * 2**n for n in range(8))
    assert all(0.75 * LONGEST_PAUSE <= pause <= LONGEST_PAUSE for pause in pauses[10:])


def test_seats_of_one_crash_loop_do_not_fall_into_step() -> None:
    seats = [Seat(streak=5) for _ in range(20)]
    for seat in seats:
        seat.postpone(0.0)
    assert len({seat.due for seat in seats}) > 10


@pytest.mark.parametrize(
    ("code", "cause"),
    [(0, "exit"), (3, "exit"), (-signal.SIGKILL, "SIGKILL"), (-35, "other"), (-64, "other")],
)
def test_cause_is_one_of_few_labels(code: int, cause: str) -> None:
    assert Child(1, 0, Seat(), 0.0, 0.0).cause(code) == cause


def test_whoever_the_watchdog_ended_died_of_it() -> None:
    assert Child(1, 0, Seat(), 0.0, 0.0, hung=True).cause(-signal.SIGABRT) == "watchdog"
