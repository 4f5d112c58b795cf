"""A workflow file, from disk or stdin."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fifhir.workflow.config import WorkflowConfig


def read(path: str) -> "WorkflowConfig":
    """The workflow in the file; ConfigError also when there is no such file."""
    from fifhir.workflow.config import load

    return load(text_of(path), "stdin" if path == "-" else path)


def text_of(path: str) -> str:
    """The text of a file, `-` for stdin; ConfigError if there is none."""
    from fifhir.errors import ConfigError, Finding

    name = "stdin" if path == "-" else path
    try:
        return (sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()).decode()
    except OSError as fault:
        raise ConfigError((Finding(name, (fault.strerror or "unreadable").lower()),)) from None
    except UnicodeDecodeError as fault:
        raise ConfigError((Finding(name, f"not UTF-8 at byte {fault.start}"),)) from None
