"""The breaker against a plain model of what it promises, and each of its rules alone."""

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import data, floats, integers

from fifhir.delivery.breaker import Breaker, State


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, successes=1, pause=10)
    for good in (False, False, True, False, False):
        shown = breaker.enter(0)
        breaker.good(shown) if good else breaker.bad(shown, 0)
    assert breaker.state(0) is State.CLOSED
    breaker.bad(breaker.enter(0), 0)
    assert breaker.state(0) is State.OPEN
    assert breaker.enter(9.9) == 0


def test_half_open_lets_one_probe_through_at_a_time() -> None:
    breaker = Breaker(failures=1, successes=2, pause=10)
    breaker.bad(breaker.enter(0), 0)
    first = breaker.enter(10)
    assert first
    assert breaker.enter(10) == 0
    breaker.good(first)
    assert breaker.state(10) is State.HALF_OPEN
    second = breaker.enter(11)
    breaker.good(second)
    assert breaker.state(11) is State.CLOSED


def test_a_failed_probe_opens_it_for_the_whole_pause_again() -> None:
    breaker = Breaker(failures=1, successes=1, pause=10)
    breaker.bad(breaker.enter(0), 0)
    breaker.bad(breaker.enter(10), 12)
    assert breaker.state(21.9) is State.OPEN
    assert breaker.state(22) is State.HALF_OPEN


def test_calls_from_before_it_opened_say_nothing_afterwards() -> None:
    breaker = Breaker(failures=1, successes=1, pause=10)
    slow, failed = breaker.enter(0), breaker.enter(0)
    breaker.bad(failed, 0)
    breaker.good(slow)
    assert breaker.state(0) is State.OPEN
    probe = breaker.enter(10)
    breaker.bad(slow, 10)
    assert breaker.state(10) is State.HALF_OPEN
    assert breaker.enter(10) == 0
    breaker.good(probe)
    assert breaker.state(10) is State.CLOSED


class Model(RuleBasedStateMachine):
    """Calls begin and end in any order while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(failures=3, successes=2, pause=5)
        self.running: list[int] = []
        self.opened_at: float | None = None

    @rule(seconds=floats(0, 7))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        before = self.breaker.state(self.now)
        shown = self.breaker.enter(self.now)
        assert before is not State.OPEN or not shown
        if shown:
            self.running.append(shown)

    @precondition(lambda self: self.running)
    @rule(choice=data(), good=integers(0, 1))
    def end(self, choice: object, good: int) -> None:
        index = choice.draw(integers(0, len(self.running) - 1))  # type: ignore[attr-defined]
        shown, before = self.running.pop(index), self.breaker.state(self.now)
        if good:
            self.breaker.good(shown)
        else:
            self.breaker.bad(shown, self.now)
        after = self.breaker.state(self.now)
        if before is State.OPEN:
            assert after is State.OPEN
        if after is State.OPEN and before is not State.OPEN:
            assert not good
            self.opened_at = self.now

    @invariant()
    def it_stays_open_exactly_as_long_as_it_should(self) -> None:
        state = self.breaker.state(self.now)
        if state is State.OPEN:
            assert self.opened_at is not None
            assert self.now < self.opened_at + 5

    @invariant()
    def at_most_one_probe_runs(self) -> None:
        if self.breaker.state(self.now) is State.HALF_OPEN:
            newest = max(self.running, default=0)
            assert sum(shown == newest for shown in self.running) <= max(1, len(self.running))
            if self.breaker.enter(self.now):
                assert self.breaker.enter(self.now) == 0
                self.running.append(self.breaker._pass)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
