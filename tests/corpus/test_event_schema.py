"""Every event of a real message keeps to the published JSON Schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from fifhir import batch, event_schema, intake
from fifhir.errors import MessageError
from fifhir.event import encode
from tests.corpus.conftest import Case

FEED = intake.Feed()
LARGE = 200_000  # bytes; two files repeat what many small ones hold


def forms(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """What of an event a schema can judge: its keys and the form of what they hold."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from forms(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from forms(each, f"{path}[]")
    elif isinstance(value, str) and value[:4].isdigit():
        yield path, re.sub(r"\d", "0", value)
    else:
        yield path, type(value).__name__


@pytest.mark.timeout(300)  # the judge is written in Python
def test_every_event_of_every_file_keeps_to_its_schema(cases: list[Case]) -> None:
    document = event_schema.document()
    judges: dict[str, Any] = {}
    seen: set[tuple[str, str]] = set()
    wrong = set()
    for case in cases:
        for raw in batch.split(case.data) if len(case.data) < LARGE else ():
            try:
                told = json.loads(encode(intake.read(raw, FEED)))
            except MessageError:
                continue
            kind = told["type"]
            new = {(kind + path, form) for path, form in forms(told)} - seen
            if not new:
                continue
            seen |= new
            whole = {"$ref": f"#/$defs/{kind}", "$defs": document["$defs"]}
            judge = judges.setdefault(kind, jsonschema.Draft202012Validator(whole))
            wrong |= {(case.name, fault.json_path) for fault in judge.iter_errors(told)}
    assert wrong == set()
    assert len(judges) > 25
