"""Every test that asks for `door` runs over both tokenizers."""

from types import ModuleType

import pytest

from tests.twins import TOKENIZERS, door_or_skip


@pytest.fixture(scope="session", params=TOKENIZERS)
def door(request: pytest.FixtureRequest) -> ModuleType:
    """`fifhir.message` over one of the two tokenizers."""
    return door_or_skip(request.param)
