"""The real messages, as their manifest names them; every test here is skipped without them."""

import csv
import re
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from fifhir import intake
from fifhir.batch import split
from fifhir.errors import MessageError
from fifhir.event import Event

FEED = intake.Feed()
# Messages of the manifest that are refused all the same, and why.
REFUSED = {
    "CDCgov__data-exchange-hl7/Lyme_WithBadDelimiters.hl7": "MSH-2 is &&&&",
    "KeironO__hl7types/test_encoding_characters.L16.hl7": "MSH-2 lost its component delimiter",
    "ruby-hl7__ruby-hl7/adt_a01.hl7": "MSH-2 lost its repetition delimiter",
    "cosyte__hl7/parser-batch.test.L354.hl7": "holds a trailer with its delimiters missing",
}


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


class Naive(NamedTuple):
    """A message cut up with `split` and nothing else."""

    kind: str
    component: str
    segments: list[list[str]]

    def named(self, name: str) -> list[list[str]]:
        return [fields for fields in self.segments if fields[0] == name]


def naive(data: bytes) -> Naive:
    text = data.decode("latin-1").lstrip("\x0b\r\n \t\xef\xbb\xbf").rstrip("\x1c\r\n")
    field, component = text[3], text[4]
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip(" \t")]
    segments = [line.split(field) for line in lines]
    kind = segments[0][8].split(component) if len(segments[0]) > 8 else [""]
    return Naive("^".join(kind[:2]), component, segments)


Read: TypeAlias = tuple[str, Naive, Event]


@pytest.fixture(scope="session")
def read(messages: list[Case]) -> list[Read]:
    """Every message that gives an event, cut up both ways. Only whole ASCII ones."""
    found = []
    for name, _, data in messages:
        if name in REFUSED or not data.isascii() or len(split(data)) != 1:
            continue
        try:
            found.append((name, naive(data), intake.read(data, FEED)))
        except MessageError:
            continue
    assert len(found) > 800
    return found
