"""Both stores, both real: Postgres from a wheel or from Debian, SQLite in a folder of the test."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from fifhir.secret import Secret
from fifhir.store import Store
from fifhir.store.config import Database
from tests.postgres import Server
from tests.stores import Loop, Place


@pytest.fixture
def do() -> Iterator[Loop]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = Loop(runner)
        yield loop
        for each in loop.opened:
            loop(each.close())


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return Place(Database(), tmp_path)
    server: Server = request.getfixturevalue("postgres")
    return Place(Database(dsn=Secret(server.database())), tmp_path)


@pytest.fixture
def opened(place: Place, do: Loop) -> Store:
    """A store over an empty database."""
    return do.open(place.store())
