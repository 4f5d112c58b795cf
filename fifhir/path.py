"""HL7 paths, `PID(1)-3(2).4.1`: where a value is, as people write it (HL7 v2 chapter 2, 2.5)."""

import re
from functools import lru_cache
from typing import NamedTuple

_FORM = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:[(\[](\d{1,6})[)\]])?"
    r"-(\d{1,4})(?:[(\[](\d{1,6})[)\]])?(?:\.(\d{1,4})(?:\.(\d{1,4}))?)?"
)


class Path(NamedTuple):
    """Where a value is; 0 is what the path leaves open."""

    segment: bytes
    occurrence: int
    field: int
    repetition: int
    component: int
    subcomponent: int


@lru_cache(maxsize=4096)
def read(text: str) -> Path:
    """The path `text` means; ValueError if it is not one (`PID-5.1`, `PID-3(2).4`, `OBX(3)-5`)."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(f"not an HL7 path: {text!r}; write PID-5.1, PID-3(2).4 or OBX(3)-5")
    return Path(form[1].encode(), *(int(part or 0) for part in form.groups()[1:]))
