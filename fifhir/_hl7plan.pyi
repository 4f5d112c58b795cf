"""The compiled plans' surface; what it means is said in `_hl7plan_py.py`."""

from typing import Any

from fifhir import dtm
from fifhir._hl7parse import Tokens

class Plan:
    def __init__(self, slots: tuple[bytes, ...], node: tuple[Any, ...]) -> None: ...
    @property
    def slots(self) -> tuple[bytes, ...]: ...
    @property
    def node(self) -> tuple[Any, ...]: ...
    def build(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[Any, list[tuple[int, int]]]: ...
