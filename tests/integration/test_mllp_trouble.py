"""Own trouble is not answered: the connection is closed, and what was answered before arrives."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from fifhir import machine, worker
from fifhir.config import Settings
from fifhir.errors import FifhirError
from fifhir.event import EVENT_TYPES
from fifhir.ingress import mllp, mllp_connection
from fifhir.listener import ListenerSettings
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.mllp import frame
from fifhir.profile.choosing import Profiles
from fifhir.scoreboard import Scoreboard
from fifhir.signs import Signs
from fifhir.workflow.config import DEFAULT
from fifhir.workflow.engine import Workflow

PLAIN = ListenerSettings()
ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|%d|P|2.5\rPID|1||9\rPV1|1|I\r"


class Full(FifhirError):
    """What a destination says that cannot take more."""


def failing_at(number: int, error: Exception) -> Callable[..., None]:
    """Return a log that fails at its `number`-th line."""
    lines = iter(range(1, 100))

    def write(*_: Any, **__: Any) -> None:
        if next(lines) == number:
            raise error

    return write


def served(
    write: Callable[..., None],
    talk: Callable[[int, mllp.Listener], Awaitable[None]],
    settings: ListenerSettings = PLAIN,
) -> Catalogue:
    """Let `talk` speak to a listener of which the workflow logs through `write`; its counts."""
    catalogue = Catalogue(event_types=EVENT_TYPES, listeners=["here"])
    board = Scoreboard(catalogue, 1)
    sock = machine.listen("127.0.0.1", 0)
    log = Log(2, "error", "json")
    place = mllp.Place("here", sock, settings)
    duty = worker.Duty(sock, board, Settings(), Profiles(), Workflow(DEFAULT, write), log)

    async def run() -> None:
        slab = board.slab(0)
        listener = mllp.serve(duty, place, slab, Signs(slab, catalogue, log), None)
        await asyncio.wait_for(talk(sock.getsockname()[1], listener), 20)
        await listener.drain(5)
        assert listener.held == 0

    with sock, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    totals = board.slab(0).words
    catalogue.mllp = {name: int(totals[slot]) for name, slot in catalogue.mllp.items()}
    return catalogue


async def said(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("error", [Full("the destination is full"), RuntimeError("a mistake")])
def test_a_failed_action_closes_without_an_answer(error: Exception) -> None:
    async def talk(port: int, _: mllp.Listener) -> None:
        answer = await said(port, b"".join(frame(ADMIT % number) for number in range(1, 6)))
        assert answer.count(b"MSA|AA|") == 2
        assert b"MSA|AA|1\r" in answer
        assert b"MSA|AA|2\r" in answer
        assert b"MSA|AA|1\r" in await said_once(port)  # others are served on

    counts = served(failing_at(3, error), talk).mllp
    assert (counts["accepted"], counts["failed"]) == (3, 1)


async def said_once(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(frame(ADMIT % 1))
    answer = await reader.readuntil(b"\x1c\r")
    writer.close()
    return answer


def test_a_message_that_runs_too_long_is_cut_off_and_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mllp_connection, "DEADLINE", 0.1)

    async def talk(port: int, listener: mllp.Listener) -> None:
        started = asyncio.Event()

        async def slow(_: bytes) -> bytes | None:
            started.set()
            await asyncio.sleep(60)
            return b""

        monkeypatch.setattr(listener.receiver, "answer", slow)
        assert await said(port, frame(ADMIT % 1) + frame(ADMIT % 2)) == b""
        assert started.is_set()

    counts = served(lambda *_, **__: None, talk).mllp
    assert (counts["accepted"], counts["failed"]) == (0, 1)
