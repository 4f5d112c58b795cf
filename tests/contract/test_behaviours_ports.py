"""What a user of the runbook would check, 1 to 14: the ports, the metrics, the breakers."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.destination import Destination
from tests.contract.stand import ADT, RAW, Stand, message, name_of, webhook
from tests.postgres import Server
from tests.waiting import until

Make = Callable[..., Stand]
SEVEN = (
    *("workflow_events_processed_total", "workflow_events_in_progress"),
    *("workflow_action_duration_seconds", "workflow_action_errors_total", "workflow_dlq_size"),
    *("workflow_circuit_breaker_state", "workflow_rate_limiter_rejected_total"),
)


@pytest.fixture
def down(postgres: Server, stand: Make) -> Iterator[Stand]:
    """A daemon whose Postgres has gone away under it."""
    made = stand(FI_FHIR_DATABASE_DSN=postgres.database()).start()
    until(lambda: made.ask("GET", "/ready")[0] == 200, seconds=30)
    postgres.stop(signal.SIGINT)
    yield made
    postgres.start()


def test_behaviour_01_health_answers_while_postgres_is_down(down: Stand) -> None:
    status, body = down.ask("GET", "/health")
    assert (status, json.loads(body)["status"]) == (200, "healthy")


def test_behaviour_02_ready_follows_the_database_and_answers_within_3_s(
    down: Stand, postgres: Server
) -> None:
    until(lambda: down.ask("GET", "/ready")[0] == 503, seconds=30)
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert down.ask("GET", "/ready")[0] == 503
        took.append(time.monotonic() - began)
    assert min(took) < 3  # nothing is waited for: what the store last answered is known
    postgres.start()
    until(lambda: down.ask("GET", "/ready")[0] == 200, seconds=60)
    postgres.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Two workers and a workflow that only logs; every message of the module comes here."""
    made = Stand(tmp_path_factory.mktemp("calm"))
    try:
        yield made.start()
        assert made.stop() == 0
    finally:
        made.remove()


def test_behaviour_03_all_seven_metrics_are_there_before_traffic(calm: Stand) -> None:
    found = calm.sh(f"curl -s http://localhost:{calm.operations}/metrics | grep workflow_")
    assert set(SEVEN) <= set(re.findall(r"TYPE (\S+)", found.stdout))


def test_behaviour_04_counters_are_one_sum_and_outlive_a_worker(calm: Stand) -> None:
    before = calm.metric("workflow_events_processed_total")
    for number in range(20):
        assert calm.post(message(f"sum{number}"))[0] == 200
    victim = calm.status()["workers"][0]["pid"]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in [row["pid"] for row in calm.status()["workers"]], seconds=30)
    until(lambda: len([r for r in calm.status()["workers"] if r["state"] == "ready"]) == 2, 30)
    asked = {calm.metric("workflow_events_processed_total", port=calm.api) for _ in range(8)}
    assert asked == {calm.metric("workflow_events_processed_total")} == {before + 20}


def test_behaviour_05_every_event_posted_is_counted_once(calm: Stand) -> None:
    before = calm.metric("workflow_events_processed_total")
    for number in range(7):
        assert calm.post(message(f"once{number}"))[0] == 200
    assert calm.post(b"\r".join(message(f"batch{number}") for number in range(3)))[0] == 200
    assert calm.metric("workflow_events_processed_total") == before + 10


def test_behaviour_06_in_progress_is_zero_again_even_after_a_kill(
    stand: Make, destination: Destination
) -> None:
    made = stand(webhook(f"{destination.url}/in", timeout="50s")).start()
    destination.open.clear()
    sender = threading.Thread(target=_post_and_be_cut_off, args=(made,))
    sender.start()
    until(lambda: made.metric("workflow_events_in_progress") == 1, seconds=30)
    os.kill(made.status()["workers"][0]["pid"], signal.SIGKILL)
    seen = []

    def calm_again() -> bool:
        seen.append(made.metric("workflow_events_in_progress"))
        return seen[-1] == 0

    until(calm_again, seconds=30)
    destination.open.set()
    sender.join(30)
    assert min(seen) >= 0


def _post_and_be_cut_off(made: Stand) -> None:
    with pytest.raises((ConnectionError, OSError)):
        made.ask("POST", "/api/v1/workflow", ADT, RAW)


def test_behaviour_07_a_p99_can_be_made_of_the_action_latency(
    stand: Make, destination: Destination
) -> None:
    made = stand(webhook(f"{destination.url}/in")).start()
    assert made.post(message("p99"))[0] == 200
    text = made.ask("GET", "/metrics", port=made.operations)[1]
    rows = re.findall(
        r'^workflow_action_duration_seconds_bucket\{.*"webhook".*le="([^"]+)".*\} (\S+)$',
        text,
        re.MULTILINE,
    )
    counts = [float(value) for _, value in rows]
    assert counts == sorted(counts)
    assert (rows[-1][0], counts[-1]) == ("+Inf", 1.0)
    assert made.metric("workflow_action_duration_seconds_count", '"webhook"') == 1
    assert made.metric("workflow_action_duration_seconds_sum", '"webhook"') > 0


def test_behaviour_08_a_failing_action_is_one_error_and_one_letter(
    stand: Make, destination: Destination
) -> None:
    destination.status = 503
    made = stand(webhook(f"{destination.url}/in")).start()
    before = made.metric("workflow_dlq_size")
    assert made.post(message("fails"))[0] == 202
    assert made.metric("workflow_action_errors_total") == 1
    assert len(made.letters()) == 1
    until(lambda: made.metric("workflow_dlq_size") == before + 1, seconds=30)


def test_behaviour_09_the_dlq_size_is_the_tables_and_survives_a_restart(
    stand: Make, destination: Destination, postgres: Server
) -> None:
    destination.status = 503
    dsn = postgres.database()
    made = stand(webhook(f"{destination.url}/in"), FI_FHIR_DATABASE_DSN=dsn).start()
    for number in range(3):
        assert made.post(message(f"kept{number}"))[0] == 202
    assert postgres.sql("SELECT count(*) FROM dlq_events", name_of(dsn)) == "3"
    until(lambda: made.metric("workflow_dlq_size") == 3, seconds=30)
    assert made.stop() == 0
    made.start()
    until(lambda: made.metric("workflow_dlq_size") == 3, seconds=30)


BREAKS = {
    "circuit_breaker": True,
    "circuit_failure_threshold": 5,
    "circuit_success_threshold": 2,
    "circuit_timeout": "1s",
}


def _broken(stand: Make, destination: Destination, **keys: object) -> Stand:
    """A daemon whose breaker five answers of 503 have opened."""
    destination.status = 503
    made = stand(webhook(f"{destination.url}/in", **BREAKS | keys)).start()
    for number in range(5):
        assert made.post(message(f"open{number}"))[0] == 202
    return made


def state(made: Stand) -> float:
    return made.metric("workflow_circuit_breaker_state", '"http://127.0.0.1')


def test_behaviour_10_five_failures_in_a_row_open_the_breaker(
    stand: Make, destination: Destination
) -> None:
    made = _broken(stand, destination, circuit_timeout="10m")
    assert len(destination.seen) == 5
    assert state(made) == 2


def test_behaviour_11_after_its_time_it_probes_and_closes(
    stand: Make, destination: Destination
) -> None:
    made = _broken(stand, destination)
    until(lambda: state(made) == 1, seconds=30)
    destination.status = 200
    assert made.post(message("probe1"))[0] == 200
    assert made.post(message("probe2"))[0] == 200
    assert state(made) == 0


def test_behaviour_12_an_open_breaker_lets_nothing_through(
    stand: Make, destination: Destination
) -> None:
    made = _broken(stand, destination, circuit_timeout="10m")
    assert made.post(message("refused"))[0] == 202
    assert len(destination.seen) == 5
    kinds = [letter["error_type"] for letter in made.letters()]
    assert sorted(kinds) == ["circuit_open"] + 5 * ["server_error"]


def test_behaviour_13_a_restart_closes_breakers(stand: Make, destination: Destination) -> None:
    made = _broken(stand, destination, circuit_timeout="10m")
    assert made.stop() == 0
    made.start()
    assert state(made) == 0
    destination.status = 200
    assert made.post(message("again"))[0] == 200


def test_behaviour_14_calls_past_a_limit_that_fails_fast_are_counted(
    stand: Make, destination: Destination
) -> None:
    limit = {"rate_limit": True, "rate_limit_rate": 0.001, "rate_limit_burst": 2}
    made = stand(webhook(f"{destination.url}/in", **limit, rate_limit_wait=False)).start()
    statuses = [made.post(message(f"fast{number}"))[0] for number in range(5)]
    assert statuses == [200, 200, 202, 202, 202]
    assert made.metric("workflow_rate_limiter_rejected_total") == 3
    assert {letter["error_type"] for letter in made.letters()} == {"rate_limited"}


def test_the_forty_are_all_there() -> None:
    numbers = [
        int(number)
        for file in Path(__file__).parent.glob("test_behaviours_*.py")
        for number in re.findall(r"^def test_behaviour_(\d\d)_", file.read_text(), re.MULTILINE)
    ]
    assert sorted(numbers) == list(range(1, 41))
