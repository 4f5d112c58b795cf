"""`python -m benchmarks SECTION [--quick] [--out DIR]`, or `all` for every section.

A full run is published: its table into docs/performance.md, its figures into
benchmarks/results.json, its chart into docs/images/benchmark.svg. A quick one, or one with
`--out`, writes the three into a folder and leaves those alone. Sections not measured this time
keep the figures they had.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import (
    accept,
    chart,
    durable,
    fhir,
    http,
    memory,
    mllp,
    parse,
    report,
    rounds,
    routing,
)

ROOT = Path(__file__).parent.parent
SECTIONS: dict[str, Callable[..., dict[str, object]]] = {
    "parse": parse.measure,
    "fhir": fhir.measure,
    "routing": routing.measure,
    "http": http.measure,
    "mllp": mllp.measure,
    "durable": durable.measure,
    "accept": accept.measure,
    "memory": memory.measure,
}


class Places(NamedTuple):
    """Where the results go. The page is made where there is none."""

    figures: Path
    page: Path
    picture: Path


PUBLISHED = Places(
    ROOT / "benchmarks/results.json",
    ROOT / "docs/performance.md",
    ROOT / "docs/images/benchmark.svg",
)


def main() -> int:
    """Measure, write, print; 0 whatever the figures are, 1 if a section could not be measured."""
    wanted, quick, places = _arguments()
    results = _before(places)
    failed = False
    for name in wanted:
        _say(f"measuring {name} ...")
        machine = rounds.machine()
        try:
            results[name] = {**SECTIONS[name](quick=quick), "machine": machine}
        except (OSError, RuntimeError, subprocess.SubprocessError) as fault:
            _say(f"!!! NOT RUN: {name}: {fault}")
            results.pop(name, None)
            failed = True
    _write(results, places)
    print(report.page(results))
    sections = (results.get(name, {}) for name in ("parse", "fhir"))
    for missing in (each for section in sections for each in section.get("not_run", ())):
        _say(f"!!! NOT RUN: {missing['package']}: {missing['reason']}")
    _say(f"written: {', '.join(map(str, places))}")
    return int(failed)


def _arguments() -> tuple[list[str], bool, Places]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("section", nargs="?", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; rough")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write there, publish nothing")
    given = parser.parse_args()
    out = given.out or (ROOT / "build/bench" if given.quick else None)
    places = PUBLISHED
    if out:
        out.mkdir(parents=True, exist_ok=True)
        places = Places(out / "results.json", out / "performance.md", out / "benchmark.svg")
    return list(SECTIONS) if given.section == "all" else [given.section], given.quick, places


def _before(places: Places) -> dict[str, Any]:
    if not places.figures.exists():
        return {}
    results: dict[str, Any] = json.loads(places.figures.read_text())
    return results


def _write(results: dict[str, Any], places: Places) -> None:
    places.figures.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    empty = f"{report.BEGIN}\n{report.END}\n"
    page = places.page.read_text() if places.page.exists() else empty
    places.page.write_text(report.insert(page, report.page(results)))
    if "parse" in results or "http" in results:
        places.picture.parent.mkdir(parents=True, exist_ok=True)
        places.picture.write_text(chart.draw(results))


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
