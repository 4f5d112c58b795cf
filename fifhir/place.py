"""Where something is in an event's JSON, as operators write it: `results[0].result.value`.

`results.0` is the same as `results[0]`; `results[*]` is every element.
"""

import re
from typing import Any, TypeAlias

Step: TypeAlias = str | int | None
Path: TypeAlias = tuple[Step, ...]
"""Names of fields and positions in lists; None is every element of a list."""

_FORM = re.compile(r"[A-Za-z_][\w-]*(?:\[(?:\d{1,6}|\*)\]|\.(?:[A-Za-z_][\w-]*|\d{1,6}))*")
_STEP = re.compile(r"\.?([A-Za-z_][\w-]*)|[.\[](\d+|\*)")


def read(text: str) -> Path:
    """The path that the text means; ValueError if it is none."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"not a path: '{text[:60]}'; write patient.mrn or results[0].result.value")
    return tuple(
        name or (None if position == "*" else int(position))
        for name, position in _STEP.findall(text)
    )


def written(path: Path) -> str:
    """The path as an operator writes it."""
    text = ""
    for step in path:
        text += f".{step}" if isinstance(step, str) else f"[{'*' if step is None else step}]"
    return text.removeprefix(".")


def look_up(value: Any, path: Path) -> tuple[bool, Any]:
    """Whether there is something at the path, and what."""
    for step in path:
        in_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not in_list and not (isinstance(value, dict) and step in value):
            return False, None
        value = value[step]
    return True, value
