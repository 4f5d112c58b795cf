"""The compiled writer's surface; what it means is said in `_hl7json_py.py`."""

from typing import Any, TypeAlias

from fifhir import dtm
from fifhir._hl7parse import Tokens
from fifhir._hl7plan import Plan

def write(
    plan: Plan, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
) -> tuple[bytes, list[tuple[int, int]]]: ...

Condition: TypeAlias = tuple[bytes, int, tuple[bytes, ...]] | None
Case: TypeAlias = tuple[str, Plan, tuple[bytes, ...], Condition]

class Plans:
    def __init__(self, cases: dict[bytes, tuple[Case, ...]]) -> None: ...
    def write(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[str, bytes] | None: ...
