"""The compiled scribe's surface; what it means is said in `_hl7scribe_py.py`."""

from hashlib import _Hash
from typing import Any

from fifhir import dtm
from fifhir._hl7json import Plans

class Scribe:
    def __init__(
        self, plans: Plans, begun: _Hash, given: tuple[Any, ...], zone: dtm.Zone
    ) -> None: ...
    def write(self, data: bytes, received_at: str, start: int = 0) -> tuple[str, bytes] | None: ...
