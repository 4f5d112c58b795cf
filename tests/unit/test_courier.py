"""A courier is patient as its keys say, and no more."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fifhir.delivery import courier
from fifhir.delivery.budget import RESERVE, Budget
from fifhir.delivery.courier import TOGETHER, Courier, Destination, Undelivered
from fifhir.delivery.limiter import Limiter
from fifhir.errors import DeliveryError
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.written import Written

PARCEL = Parcel(Written("patient_admit", "1", "north", b"{}"), b"", "r", "a", 0)
DOWN = DeliveryError("server_error", "the destination answered 503", retryable=True)


class Sink:
    """Answers one after another; the last one for good."""

    destination = "http://there:80"

    def __init__(self, *answers: Exception | None, idempotent: bool = True) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.idempotent = idempotent

    async def deliver(self, parcel: Parcel) -> None:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer:
            raise answer

    async def close(self) -> None: ...


def brought(sink: Sink, to: Destination | None = None, **keys: Any) -> int:
    given = {"retry_delay": 0.001, **keys}
    return asyncio.run(
        Courier(sink, Resilience(**given), to or Destination("there")).deliver(PARCEL)
    )


def test_it_tries_again_and_tells_how_often() -> None:
    sink = Sink(DOWN, DOWN, None)
    assert brought(sink) == 3


def test_after_the_last_try_the_last_failure_is_told() -> None:
    sink = Sink(DOWN)
    with pytest.raises(Undelivered, match="503") as caught:
        brought(sink, retry_max=2)
    assert (caught.value.kind, caught.value.attempts, sink.calls) == ("server_error", 3, 3)


def test_what_fails_for_good_is_tried_once() -> None:
    sink = Sink(DeliveryError("client_error", "the destination answered 422"))
    with pytest.raises(Undelivered):
        brought(sink)
    assert sink.calls == 1


@pytest.mark.parametrize(("idempotent", "calls"), [(True, 4), (False, 1)])
def test_what_may_have_arrived_is_repeated_only_where_a_repeat_is_known(
    idempotent: bool, calls: int
) -> None:
    doubt = DeliveryError("ambiguous", "the connection broke", retryable=True)
    sink = Sink(doubt, idempotent=idempotent)
    with pytest.raises(Undelivered):
        brought(sink)
    assert sink.calls == calls


def test_a_call_has_its_time_and_then_it_is_over() -> None:
    class Hangs(Sink):
        async def deliver(self, parcel: Parcel) -> None:
            await asyncio.sleep(600)

    with pytest.raises(Undelivered) as caught:
        brought(Hangs(None), timeout=0.05, retry_max=0)
    assert caught.value.kind == "timeout"


def test_all_tries_together_have_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "PATIENCE", 0.3)
    sink = Sink(DOWN)
    with pytest.raises(Undelivered):
        brought(sink, retry_delay=60.0, retry_max_delay=60.0, retry_jitter=0.0)
    assert sink.calls == 1


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 4.0), (7.0, 7.0), (0.0, 0.0), (99_999.0, 30.0), (-5.0, 0.0)]
)
def test_the_wait_grows_and_the_destination_has_the_last_word_within_bounds(
    asked: float | None, wait: float
) -> None:
    made = Courier(
        Sink(None), Resilience(), Destination("d"), clock=lambda: 100.0, chance=lambda: 0.0
    )
    assert made._pause(3, asked) == wait


def test_a_wait_is_random_down_to_nothing() -> None:
    made = Courier(
        Sink(None), Resilience(), Destination("d"), clock=lambda: 100.0, chance=lambda: 1.0
    )
    assert made._pause(3, None) == 0.0


def test_a_destination_that_wants_to_be_left_alone_is_by_all() -> None:
    to = Destination("there")
    asked = DeliveryError("rate_limited", "answered 429", retryable=True, retry_after=0.2)

    async def go() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        first = Courier(Sink(asked, None), Resilience(retry_delay=0.001), to)
        other = Courier(Sink(None), Resilience(), to)
        running = asyncio.create_task(first.deliver(PARCEL))
        while to.quiet_until == 0.0:
            await asyncio.sleep(0)
        started = loop.time()
        await other.deliver(PARCEL)
        await running
        return loop.time() - started, to.quiet_until

    waited, _ = asyncio.run(go())
    assert waited >= 0.15


def test_repeats_are_a_share_of_the_first_tries() -> None:
    to = Destination("there")
    sink = Sink(DOWN)
    for _ in range(40):
        with pytest.raises(Undelivered):
            brought(sink, to, retry_max=3, retry_delay=0.0)
    assert sink.calls <= 40 + RESERVE + 40 * 0.2 + 5  # and what came back with time


def test_a_budget_comes_back_with_time() -> None:
    budget = Budget()
    assert sum(budget.repeat(1.0) for _ in range(20)) == RESERVE
    assert not budget.repeat(1.5)
    assert budget.repeat(2.6)


def test_a_destination_that_hangs_takes_up_its_own_places_only() -> None:
    async def go() -> tuple[int, int]:
        free, inside = asyncio.Event(), 0

        class Hangs(Sink):
            async def deliver(self, parcel: Parcel) -> None:
                nonlocal inside
                inside += 1
                await free.wait()

        slow = Courier(Hangs(None), Resilience(), Destination("slow"))
        tasks = [asyncio.create_task(slow.deliver(PARCEL)) for _ in range(TOGETHER + 10)]
        while inside < TOGETHER:
            await asyncio.sleep(0)
        await Courier(Sink(None), Resilience(), Destination("quick")).deliver(PARCEL)
        most = inside
        free.set()
        await asyncio.gather(*tasks)
        return most, inside

    assert asyncio.run(go()) == (TOGETHER, TOGETHER + 10)


def test_the_breaker_opens_as_its_keys_say_and_counts_calls() -> None:
    sink = Sink(DOWN)
    keys: dict[str, Any] = {"circuit_breaker": True, "circuit_failure_threshold": 2, "retry_max": 5}
    with pytest.raises(Undelivered) as caught:
        brought(sink, **keys)
    assert (sink.calls, caught.value.kind) == (2, "circuit_open")


def test_an_answer_that_refuses_does_not_open_the_breaker() -> None:
    sink, to = Sink(DeliveryError("client_error", "answered 422")), Destination("there")
    for _ in range(5):
        with pytest.raises(Undelivered) as caught:
            brought(sink, to, circuit_breaker=True, circuit_failure_threshold=1)
        assert caught.value.kind == "client_error"


def test_a_limit_waits_or_refuses() -> None:
    limiter = Limiter(rate=10, burst=2)
    assert [limiter.take(1.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(0.1)]
    sink, to = Sink(None), Destination("there")
    keys = Resilience(rate_limit=True, rate_limit_burst=1, rate_limit_wait=False, rate_limit_rate=1)
    clock: Callable[[], float] = lambda: 5.0  # noqa: E731
    made = Courier(sink, keys, to, clock=clock)
    asyncio.run(made.deliver(PARCEL))
    with pytest.raises(Undelivered, match="rate limit"):
        asyncio.run(made.deliver(PARCEL))
