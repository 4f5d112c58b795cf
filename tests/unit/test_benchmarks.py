"""A benchmark is believed, so what it measures and shows is tested like everything else."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import chart, curves, floor, report, tuning
from benchmarks.curves import Curve, Panel
from benchmarks.messages import SAMPLES, Sample

ROOT = Path(__file__).parents[2]
MACHINE = {"processor": "a processor", "python": "CPython 3.11", "date": "2026-11-24"}


def leaves(raw: bytes) -> list[dict[str, str]]:
    """Every value that is not empty under its path, segment by segment, the plain way."""
    return [dict(_leaves(line)) for line in raw.decode().split("\r") if line]


def _leaves(line: str) -> list[tuple[str, str]]:
    name, *fields = line.split("|")
    first, fields = (3, fields[1:]) if name == "MSH" else (1, fields)
    return [
        (_path(name, number, repetition, component, subcomponent), value)
        for number, field in enumerate(fields, first)
        for repetition, repeated in enumerate(field.split("~"), 1)
        for component, part in enumerate(repeated.split("^"), 1)
        for subcomponent, value in enumerate(part.split("&"), 1)
        if value
    ]


def _path(name: str, number: int, repetition: int, component: int, subcomponent: int) -> str:
    place = f"{name}-{number}" + (f"({repetition})" if repetition > 1 else "")
    if component > 1 or subcomponent > 1:
        place += f".{component}"
    return place + (f".{subcomponent}" if subcomponent > 1 else "")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_floor_writes_every_value_under_its_path(sample: Sample) -> None:
    written = floor.Floor(floor.build(), sample.raw).json()
    assert json.loads(written) == leaves(sample.raw)


def test_messages_have_the_sizes_the_tables_speak_of() -> None:
    sizes = {sample.name: len(sample.raw) for sample in SAMPLES}
    assert sizes == {"ADT": 1193, "ORU": 4316, "MDM": 200_859}
    assert SAMPLES[1].raw.count(b"\rOBX|") == 30


def _row(name: str, per_second: int, times_ours: float) -> dict[str, object]:
    return {
        "name": name,
        "makes": "a tree",
        "messages_per_second": per_second,
        "best_messages_per_second": per_second,
        "megabytes_per_second": 1.0,
        "microseconds": 1e6 / per_second,
        "times_ours": times_ours,
    }


@pytest.fixture
def results() -> dict[str, object]:
    whole = [_row("fi-fhir", 120_000, 1.0), _row("C floor", 360_000, 1 / 3)]
    fields = [_row("fi-fhir", 500_000, 1.0), _row("hl7kit", 20_000, 24.0)]
    message = {"name": "ADT", "bytes": 1193, "json_bytes": 1, "floor_leaves": 1}
    return {
        "parse": {
            "tokenizer": "compiled",
            "affinity": "pinned to core 1",
            "rounds": 1,
            "machine": MACHINE | {"cores": "2", "system": "Linux", "load_before": "0 0 0"},
            "not_run": [{"package": "hl7apy", "reason": "No module named 'hl7apy'"}],
            "messages": [message | {"whole": whole, "fields": fields}],
        }
    }


def test_a_peer_that_is_missing_is_shown_as_not_run(results: dict[str, object]) -> None:
    words = [node.text or "" for node in ET.fromstring(chart.draw(results)).iter()]  # noqa: S314
    assert words.count("not run: not installed") == 2
    assert "NOT RUN: hl7apy" in report.page(results)


def test_a_target_is_met_at_its_bound_and_not_below(results: dict[str, object]) -> None:
    assert [target.met for target in report.targets(results)] == [True, True, False]


def test_tables_replace_what_stands_between_the_marks() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.insert(page, "new")
    assert once == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    assert report.insert(once, "new") == once
    with pytest.raises(ValueError, match="no part between"):
        report.insert("a page without marks", "new")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_quick_run_writes_figures_tables_and_a_chart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "parse", "--quick", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    assert json.loads((tmp_path / "results.json").read_text())["parse"]["messages"]
    assert "### Parsing" in (tmp_path / "performance.md").read_text()
    ET.parse(tmp_path / "benchmark.svg")  # noqa: S314


def test_curves_are_drawn_with_every_point_and_name() -> None:
    points = [(1.0, 100.0), (10.0, 950.0)]
    panel = Panel("Title", "a <subtitle>", [Curve("one", points), Curve("two", points)])
    picture = ET.fromstring(curves.draw([panel, panel]))  # noqa: S314 - ours
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("one") == texts.count("two") == 2
    assert "1,000" in texts
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 2 * 2 * 3


def test_the_page_has_a_row_for_every_point() -> None:
    results = json.loads((ROOT / "benchmarks/tuning.json").read_text())
    page = "\n".join(tuning._page(results))
    assert page in (ROOT / "docs/tuning.md").read_text()
    assert page.count("every action confirmed") == len(results["rows"]) / 2
