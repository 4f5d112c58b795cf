"""Our invented messages and the events they mean, key for key.

`tests/golden/<name>.json` is one event a line, without `received_at`. After a wanted change:
`GOLDEN=write pytest tests/unit/test_golden.py`, then read the diff as a reviewer would.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fifhir import intake
from fifhir.batch import split
from fifhir.errors import MessageError
from fifhir.event import encode

HERE = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (HERE / "messages").glob("*.hl7"))


def told(piece: bytes) -> dict[str, Any]:
    try:
        event = json.loads(encode(intake.read(piece, intake.Feed())))
    except MessageError as refusal:
        return {"reason": refusal.reason, "location": refusal.location, "code": refusal.code}
    assert event.pop("received_at").endswith("Z")
    found: dict[str, Any] = event
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_message_means_its_event(name: str) -> None:
    golden = HERE / "golden" / f"{name}.json"
    events = [told(piece) for piece in split((HERE / "messages" / f"{name}.hl7").read_bytes())]
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(json.dumps(events, indent=1, ensure_ascii=False) + "\n")
    assert events == json.loads(golden.read_text())


def test_a_code_with_an_escape_is_looked_up_as_it_reads() -> None:
    raw = (
        b"MSH|^~\\&|A|B|C|D|20260101||RDE^O11^RDE_O11|1|P|2.5.1\rPID|1||7^^^B^MR||TEAPOT\r"
        b"ORC|\\H\\XX|P1\rRXE|1|F8^OE\r"
    )
    built = json.loads(encode(intake.read(raw, intake.Feed())))
    written = json.loads(intake.read_json(raw, intake.Feed())[1])
    assert written | {"received_at": ""} == built | {"received_at": ""}
