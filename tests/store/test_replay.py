"""Replays beside each other, slow ones and ones that die, over both databases."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fifhir import replay
from fifhir.store import ALL, DeadLetter, Taken
from fifhir.workflow import config
from fifhir.workflow.engine import Workflow
from tests.stores import Loop, Place, letter

FILE = """
name: w
routes:
  - name: results
    actions: [{type: webhook, url: "http://127.0.0.1:1/"}]
"""


class Slow(Workflow):
    """Its one destination answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(config.load(FILE, "w.yaml", {}), lambda *_, **__: None)
        self.answers = asyncio.Event()
        self.tried: list[str] = []

    async def redeliver(self, letter: DeadLetter) -> None:
        self.tried.append(letter.id)
        await self.answers.wait()


def nothing(*_: Any) -> None:
    """Nobody is told."""


def test_a_slow_replay_keeps_its_letters(
    place: Place, do: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "RENEWAL", 0.05)
    one, other = do.open(place.store()), do.open(place.store())
    do(one.bury([letter(number) for number in range(100)]))  # more than are tried at once
    kept: list[int] = []
    keep = one.keep

    async def noted(taken: Sequence[Taken], lease: float) -> None:
        assert lease == replay.LEASE
        await keep(taken, lease)
        kept.append(len(taken))

    monkeypatch.setattr(one, "keep", noted)

    async def both() -> tuple[replay.Result, replay.Result]:
        slow, quick = Slow(), Slow()
        quick.answers.set()
        first = asyncio.create_task(replay.replay(one, slow, ALL, nothing))
        async with asyncio.timeout(50):
            while len(kept) < 3:
                await asyncio.sleep(0.01)
        second = await replay.replay(other, quick, ALL, nothing)
        slow.answers.set()
        return await first, second

    first, second = do(both())
    assert (first.delivered, second.total) == (100, 0)
    assert max(kept) == 100


def test_what_a_replay_that_died_had_in_hand_comes_back_with_its_lease(
    place: Place, do: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "LEASE", 0.5)
    dying, other = do.open(place.store()), do.open(place.store())
    do(dying.bury([letter(number) for number in range(3)]))
    do(dying.take(ALL, 10, replay.LEASE))  # and then nothing more is heard of it

    async def after() -> int:
        quick, delivered = Slow(), 0
        quick.answers.set()
        while delivered < 3:
            delivered += (await replay.replay(other, quick, ALL, nothing)).delivered
            await asyncio.sleep(0.05)
        return delivered

    assert do(after()) == 3
    assert do(other.count()) == 0
