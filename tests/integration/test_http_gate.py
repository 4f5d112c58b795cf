"""Connections are spread evenly over the workers that live, and bounded in each."""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

ASK = b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n"


def open_many(house: Any, count: int, held: contextlib.ExitStack) -> list[socket.socket]:
    """Connections that have each been answered."""
    clients = [held.enter_context(house.connect()) for _ in range(count)]
    for client in clients:
        client.sendall(ASK)
    for client in clients:
        assert client.recv(1000).endswith(b"GET /fine 0")
    return clients


def counts(house: Any) -> list[int]:
    return [row.connections for row in house.board.rows()]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_64_connections_are_spread_exactly(
    build: Callable[..., Any], waits: Callable[..., None], workers: int
) -> None:
    house = build(workers)
    for _ in range(3):
        with contextlib.ExitStack() as held:
            open_many(house, 64, held)
            assert counts(house) == [64 // workers] * workers
        waits(lambda: counts(house) == [0] * workers)


def test_a_worker_that_hangs_is_not_waited_for(
    build: Callable[..., Any], waits: Callable[..., None]
) -> None:
    house = build(2)
    os.kill(house.pids[0], signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as held:
            open_many(house, 16, held)
            assert counts(house) == [0, 16]
    finally:
        os.kill(house.pids[0], signal.SIGCONT)
    waits(lambda: counts(house) == [0, 0])


def test_a_worker_that_drains_leaves_connections_to_the_others(
    build: Callable[..., Any], waits: Callable[..., None]
) -> None:
    house = build(2)
    with contextlib.ExitStack() as held:
        idle = open_many(house, 8, held)
        os.kill(house.pids[0], signal.SIGTERM)
        waits(lambda: counts(house)[0] == 0)
        assert (
            sum(
                client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
                for client in idle
                if readable(client)
            )
            == 4
        )
        open_many(house, 8, held)
        assert counts(house) == [0, 12]


def readable(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def test_a_draining_worker_answers_what_it_has_begun(build: Callable[..., Any]) -> None:
    house = build()
    with house.connect() as waiting, house.connect() as half:
        half.sendall(b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha")
        waiting.sendall(ASK)
        assert waiting.recv(1000).endswith(b"GET /fine 0")
        waiting.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        os.kill(house.pids[0], signal.SIGTERM)
        said = b"".join(iter(lambda: waiting.recv(1000), b""))
        assert said.endswith(b"GET /slow 0")
        assert b"Connection: close" in said
        half.sendall(b"lf")
        assert half.recv(1000).endswith(b"POST /half 4")


def test_no_request_sent_before_the_drain_is_reset(build: Callable[..., Any]) -> None:
    house = build()
    with contextlib.ExitStack() as held:
        clients = open_many(house, 50, held)
        os.kill(house.pids[0], signal.SIGSTOP)
        for client in clients:
            client.sendall(ASK)
        os.kill(house.pids[0], signal.SIGTERM)
        os.kill(house.pids[0], signal.SIGCONT)
        for client in clients:
            assert client.recv(1000).endswith(b"GET /fine 0")


def test_past_its_cap_a_worker_says_so_and_serves_on(
    build: Callable[..., Any], waits: Callable[..., None]
) -> None:
    house = build(connections=10)
    with contextlib.ExitStack() as held:
        open_many(house, 10, held)
        assert house.say().startswith(b"HTTP/1.1 503 ")
        assert counts(house) == [10]
        assert house.board.totals()[house.board.catalogue.capped] >= 1
    waits(lambda: counts(house) == [0])
    with contextlib.ExitStack() as held:
        open_many(house, 10, held)


def test_without_descriptors_clients_wait_and_the_worker_rests(
    build: Callable[..., Any], waits: Callable[..., None]
) -> None:
    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    house = build(before=starve)
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(house.connect()) for _ in range(150)]
        waits(lambda: house.board.totals()[house.board.catalogue.capped] >= 3)
        ticks = cpu(house.pids[0])
        for client in clients[:140]:
            client.close()
        for client in clients[140:]:
            client.sendall(ASK)
            assert client.recv(1000).endswith(b"GET /fine 0")
        assert ticks < 100
    waits(lambda: counts(house) == [0])


def cpu(pid: int) -> int:
    """Clock ticks of processor time a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
