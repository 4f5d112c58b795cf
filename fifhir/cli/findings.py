"""Configuration faults as an operator wants them: the place, the words, the line and a caret."""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from fifhir.errors import ConfigError, Finding, StoreError

_PLACE = re.compile(r"(.+):(\d+):(\d+)")


def show(findings: Iterable[Finding]) -> None:
    """Every finding is on stderr; one with a line of a file is followed by that line."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    bold, red, plain = ("\033[1m", "\033[31m", "\033[0m") if coloured else ("", "", "")
    for finding in findings:
        print(f"{bold}{finding.place}{plain}: {finding.text}", file=sys.stderr)
        for line in _excerpt(finding.place):
            print(line.replace("^", f"{red}^{plain}") if coloured else line, file=sys.stderr)


def exit_status(fault: ConfigError | StoreError) -> int:
    """78 for settings (EX_CONFIG, sysexits.h), 4 for a database that must not be used, else 1."""
    if isinstance(fault, ConfigError):
        return 78
    return 4 if fault.kind in {"corrupt", "schema"} else 1


def warned(findings: Iterable[Finding]) -> list[Finding]:
    """The findings as warnings."""
    return [Finding(each.place, f"warning: {each.text}") for each in findings]


def _excerpt(place: str) -> tuple[str, ...]:
    """The line a place points to, and a caret under the column."""
    match = _PLACE.fullmatch(place)
    if match is None:
        return ()
    number, column = int(match[2]), int(match[3])
    try:
        line = Path(match[1]).read_text(encoding="utf-8").splitlines()[number - 1]
    except (OSError, ValueError, IndexError):
        return ()
    margin = re.sub(r"[^\t]", " ", line[: column - 1])  # a tab moves the caret as far as the text
    return (f"{number:5} | {line}", f"      | {margin}^")
