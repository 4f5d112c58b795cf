"""Every law that asks for `twins` is held over both tokenizers at once."""

from types import ModuleType

import pytest

from tests.twins import TOKENIZERS, door_or_skip


@pytest.fixture(scope="session")
def twins() -> tuple[ModuleType, ModuleType]:
    """`fifhir.message` over the specification and over the compiled tokenizer."""
    python, compiled = map(door_or_skip, TOKENIZERS)
    return python, compiled
