"""The compiled writer's surface; what it means is said in `_hl7json_py.py`."""

from typing import Any

from fifhir import dtm
from fifhir._hl7parse import Tokens
from fifhir._hl7plan import Plan

def write(
    plan: Plan, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
) -> tuple[bytes, list[tuple[int, int]]]: ...

class Plans:
    def __init__(self, plans: dict[bytes, tuple[str, Plan, tuple[bytes, ...]]]) -> None: ...
    def write(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[str, bytes] | None: ...
