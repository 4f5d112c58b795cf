"""A workflow file, from disk or stdin, read as the daemon would with the settings in force."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fifhir.destinations import Assumed
    from fifhir.errors import Finding
    from fifhir.workflow.config import WorkflowConfig


def read(path: str, assumed: "Iterable[Assumed] | None" = None) -> "WorkflowConfig":
    """The workflow in the file; ConfigError also when there is no such file.

    What its actions do not say is `assumed`, by default what FI_FHIR_CONFIG and the other
    variables say.
    """
    return review(path, assumed)[0]


def review(
    path: str, assumed: "Iterable[Assumed] | None" = None
) -> "tuple[WorkflowConfig, tuple[Finding, ...]]":
    """The same, and what to think about in it."""
    from fifhir import config
    from fifhir.workflow.config import review

    if assumed is None:
        assumed = config.load(os.environ.get(config.CONFIG_VARIABLE), os.environ, {}).assumed()
    return review(text_of(path), "stdin" if path == "-" else path, assumed=assumed)


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
