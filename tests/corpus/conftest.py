"""The real messages, as their manifest names them; every test here is skipped without them."""

import csv
from pathlib import Path
from typing import NamedTuple

import pytest


class Case(NamedTuple):
    """One file of the corpus; `kind` is the manifest's word for it, or `derived`."""

    name: str
    kind: str
    data: bytes


def _rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="session")
def cases(corpus: Path) -> list[Case]:
    """Every file of messages/ and derived/."""
    found = [
        Case(row["file"], row["kind"], (corpus / "messages" / row["file"]).read_bytes())
        for row in _rows(corpus / "MANIFEST.tsv")
    ]
    found += [
        Case(row["file"], "derived", (corpus / row["file"]).read_bytes())
        for row in _rows(corpus / "MANIFEST-derived.tsv")
    ]
    assert len(found) > 1000
    return found


@pytest.fixture(scope="session")
def messages(cases: list[Case]) -> list[Case]:
    """Those the manifest calls messages."""
    return [case for case in cases if case.kind == "message"]
