"""What a contract test waits with."""

import time
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def waits() -> Callable[..., None]:
    """Wait until something holds; fail if it does not within the time."""

    def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)

    return until
