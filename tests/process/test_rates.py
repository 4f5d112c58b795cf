"""How often one caller may ask, over all workers; and how often a stranger."""

import http.client
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

from fifhir.access import new_key

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|1|P|2.5\rPID|1||9\rPV1|1|I\r"
WORKERS = 4


def ask(port: int, token: str, times: int = 1) -> list[tuple[int, Any]]:
    """Status and headers of so many requests on one connection, made anew when it ends."""
    told = []
    headers = {"Content-Type": "application/hl7-v2", "X-API-Key": token}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        for _ in range(times):
            client.request("POST", "/api/v1/parse", ADMIT, headers)
            with client.getresponse() as answer:
                answer.read()
                told.append((answer.status, answer.headers))
    return told


def in_one_minute(ask_all: Callable[[], list[tuple[int, Any]]]) -> list[tuple[int, Any]]:
    """What is told without a minute's end in between, which the answers show."""
    while True:
        told = ask_all()
        if len({headers["X-RateLimit-Reset"] for _, headers in told}) == 1:
            return told


def test_all_workers_together_let_pass_what_one_key_may(serve: Serve) -> None:
    token, line = new_key("lab", ["parse"])
    daemon = serve("--workers", str(WORKERS), FI_FHIR_AUTH_API_KEYS=f"{line} 300/min")

    def ask_all() -> list[tuple[int, Any]]:
        with ThreadPoolExecutor(WORKERS * 2) as pool:
            told = pool.map(lambda _: ask(daemon.port, token, 50), range(16))
            return [each for some in told for each in some]

    told = in_one_minute(ask_all)
    count = Counter(status for status, _ in told)
    assert 300 <= count[200] < 300 + WORKERS
    assert count[429] == len(told) - count[200]
    first = next(headers for status, headers in told if status == 200)
    assert first["X-RateLimit-Limit"] == "300"
    refused = next(headers for status, headers in told if status == 429)
    assert refused["X-RateLimit-Remaining"] == "0"
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert daemon.metric('fi_fhir_auth_refused_total{reason="limited"}') >= count[429]


def test_a_limit_for_all_is_counted_for_each(serve: Serve) -> None:
    (one, first), (two, second) = (new_key(name, ["parse"]) for name in ("lab", "ward"))
    keys = f"{first}\n{second} 1000/min"
    daemon = serve("--workers", "1", FI_FHIR_AUTH_API_KEYS=keys, FI_FHIR_AUTH_RATE_LIMIT="2")
    told = in_one_minute(lambda: ask(daemon.port, one, 4))
    assert [status for status, _ in told][-2:] == [429, 429]
    assert ask(daemon.port, two)[0][1]["X-RateLimit-Limit"] == "1000"


def test_without_a_limit_no_header_tells_of_one(serve: Serve) -> None:
    token, line = new_key("lab", ["parse"])
    daemon = serve("--workers", "1", FI_FHIR_AUTH_API_KEYS=line)
    for status, headers in ask(daemon.port, token, 3):
        assert (status, headers["X-RateLimit-Limit"]) == (200, None)


def test_an_address_that_has_no_key_is_slowed_down_and_a_key_still_opens(serve: Serve) -> None:
    token, line = new_key("lab", ["parse"])
    daemon = serve("--workers", "2", FI_FHIR_AUTH_API_KEYS=line, FI_FHIR_AUTH_FAILURE_LIMIT="10")
    told = [ask(daemon.port, "fifhir_wrong")[0] for _ in range(40)]
    count = Counter(status for status, _ in told)
    assert count[401] <= 2 * (10 + 1)  # a minute may have ended in between
    assert count[429] >= 40 - 2 * (10 + 1)
    limited = next(headers for status, headers in told if status == 429)
    assert 1 <= int(limited["Retry-After"]) <= 60
    assert ask(daemon.port, token)[0][0] == 200
    assert daemon.metric('fi_fhir_auth_refused_total{reason="unknown"}') == 40
    entry = daemon.entries("authentication failed")[0]
    assert (entry["reason"], entry["peer"]) == ("unknown", "127.0.0.1")
    assert "fifhir_wrong" not in daemon.log.read_text()
