"""HTTP servers in processes of their own, and clients that speak in bytes."""

import asyncio
import contextlib
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from fifhir.ingress.exchange import UNAUTHORIZED, Answer, Fault, Limits, Request, Response
from fifhir.ingress.http import Server
from fifhir.metrics import Catalogue
from fifhir.scoreboard import DRAINING, READY, Scoreboard
from tests.waiting import until

HEAD = b"HTTP/1.1 200 OK\r\n"


class Echo:
    """Answers a target at once; what is under /slow, after 50 ms."""

    def __init__(self) -> None:
        self.failures: list[object] = []

    def admit(self, request: Request) -> Fault | None:
        return UNAUTHORIZED if request.target == b"/locked" else None

    def answer(self, request: Request) -> Answer:
        body = b"%b %b %d" % (request.method, request.target, len(request.body))
        if request.target.startswith(b"/slow"):
            return self._late(Response(200, HEAD, body))
        if request.target == b"/big":
            body = bytes(1 << 20)
        return Response(200, HEAD, body)

    async def _late(self, response: Response) -> Response:
        await asyncio.sleep(0.05)
        return response

    def refuse(self, fault: Fault) -> Response:
        head = b"HTTP/1.1 %d Refused\r\n" % fault.status
        return Response(fault.status, head, fault.reason.encode())

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def complain(self, what: str, reason: str) -> None:
        pass

    def arrived(self, seconds: float) -> None: ...

    def retire(self) -> None:
        pass


class House:
    """Workers that share one socket; `clients` speaks to them."""

    def __init__(self, workers: int, limits: Limits, before: Callable[[], None]) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address: tuple[str, int] = self.sock.getsockname()
        self.board = Scoreboard(Catalogue(event_types=("patient_admit",)), workers)
        self.pids = [self._fork(slot, limits, before) for slot in range(workers)]
        until(lambda: self.board.serving() == workers)

    def stop(self) -> list[int]:
        """The exit statuses of the workers, which have been told to stop."""
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]
        self.sock.close()
        return statuses

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)

    def say(self, *pieces: bytes, finish: bool = False) -> bytes:
        """Everything the server says until it closes, to `pieces` sent one after the other."""
        with self.connect() as client:
            for piece in pieces:
                with contextlib.suppress(ConnectionError):
                    client.sendall(piece)
            if finish:
                client.shutdown(socket.SHUT_WR)
            return rest(client)

    def rss(self, worker: int = 0) -> int:
        """Resident bytes of a worker."""
        with open(f"/proc/{self.pids[worker]}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _fork(self, slot: int, limits: Limits, before: Callable[[], None]) -> int:
        self.board.claim(slot, time.monotonic())
        if pid := os.fork():
            return pid
        status = 1
        try:
            before()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                status = runner.run(self._work(slot, limits))
        except BaseException:  # a forked child must not return into the tests
            traceback.print_exc()
        finally:
            os._exit(status)

    async def _work(self, slot: int, limits: Limits) -> int:
        loop, slab, echo = asyncio.get_running_loop(), self.board.own(slot), Echo()
        loop.set_exception_handler(lambda _, context: echo.failures.append(context))
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        server = Server(self.sock, echo, limits, self.board, slab)

        def beat() -> None:
            slab.beat(time.monotonic())
            loop.call_later(0.05, beat)

        beat()
        slab.state = READY
        await stop.wait()
        slab.state = DRAINING
        await server.drain(5)
        for failure in echo.failures:
            print(failure, flush=True)
        return 3 if echo.failures else 0


def rest(client: socket.socket) -> bytes:
    """What comes until the peer closes."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(1 << 20):
            said += piece
    return said


@pytest.fixture
def build() -> Iterator[Callable[..., House]]:
    """Makes houses; at the end all are stopped, and none may have had a fault of its own."""
    houses: list[House] = []

    def make(workers: int = 1, before: Callable[[], None] = lambda: None, **limits: Any) -> House:
        houses.append(House(workers, Limits(**{"tick": 0.05, **limits}), before))
        return houses[-1]

    yield make
    assert [status for house in houses for status in house.stop()] == [0] * sum(
        len(house.pids) for house in houses
    )


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One worker with ordinary limits, the same for all tests of a module."""
    made = House(1, Limits(tick=0.05), lambda: None)
    yield made
    assert made.stop() == [0]
