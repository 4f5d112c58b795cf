"""Our invented messages and the resources they become, element for element.

`tests/golden/fhir/<name>.json` has one resource a line. After a wanted change:
`GOLDEN=write pytest tests/unit/test_fhir_golden.py`, then read the diff as a reviewer would.
"""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fifhir import intake
from fifhir.batch import split
from fifhir.fhir.bundle import to_bundle
from fifhir.fhir.validate import check, us_core

HERE = Path(__file__).resolve().parent.parent
GOLDEN = HERE / "golden" / "fhir"
NAMES = (
    *("adt_a01", "adt_a03", "adt_a08_nulls", "adt_a40_merge", "bar_p01", "bar_p12", "dft_p03"),
    *("mdm_t02_pdf", "mdm_t02_text", "mdm_t10_orders", "oml_o21_specimens", "omp_o09"),
    *("orm_o01_drug", "orm_o01_two_orders", "oru_document", "oru_two_orders", "ppr_pc1"),
    *("ras_o17", "rde_o11", "rds_o13", "rgv_o15", "several_patients", "siu_s12_full"),
    *("vxu_v04_three_doses",),
)


def resources(name: str) -> list[dict[str, Any]]:
    found = []
    for piece in split((HERE / "messages" / f"{name}.hl7").read_bytes()):
        event = msgspec.to_builtins(intake.read(piece, intake.Feed(source="golden")))
        event["received_at"] = "2026-01-01T00:00:00Z"  # ours, and another each time
        found += [each["resource"] for each in to_bundle(event).bundle["entry"]]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_message_becomes_its_resources(name: str) -> None:
    golden, made = GOLDEN / f"{name}.json", resources(name)
    if os.environ.get("GOLDEN") == "write":
        golden.write_text("".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in made))
    told = [json.loads(line) for line in golden.read_text().splitlines()]
    assert json.loads(json.dumps(made)) == told


@pytest.mark.parametrize("name", NAMES)
def test_what_a_golden_file_says_keeps_us_core(name: str) -> None:
    rules = us_core()
    assert [found for each in resources(name) for found in check(each, rules)] == []
