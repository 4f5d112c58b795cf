"""`python -m benchmarks.tuning [--quick] [--out DIR]`: what each knob does to throughput and delay.

Measured on a real daemon with wrk: workers, connections and messages in a request, each with the
answer after the actions and after the store (SQLite, on the disk of this machine, unless
FI_FHIR_DATABASE_DSN names a Postgres). Its one action posts to an nginx that answers 200. The page
is docs/tuning.md, the picture docs/images/tuning.svg, the figures benchmarks/tuning.json.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import curves, rounds, servers
from benchmarks.curves import Curve, Panel
from benchmarks.messages import ADT
from benchmarks.servers import Daemon

ROOT = Path(__file__).parent.parent
SCRIPT = Path(__file__).with_name("tune.lua")
MODES = {"after_actions": "every action confirmed", "after_store": "in the journal"}
CONNECTIONS = 64
PART = re.compile(r"(<!-- measured: tuning -->\n).*?(<!-- end -->)", re.DOTALL)
Row = dict[str, Any]


def main() -> int:
    """Measure, write, print; 0 unless something could not be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--out", type=Path, help="a folder for page, picture and figures")
    asked = parser.parse_args()
    try:
        results = measure(quick=asked.quick)
    except (OSError, RuntimeError, subprocess.SubprocessError) as fault:
        print(f"!!! NOT RUN: tuning: {fault}", file=sys.stderr)
        return 1
    text = "\n".join(_page(results))
    figures, picture = ROOT / "benchmarks/tuning.json", ROOT / "docs/images/tuning.svg"
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        figures, picture = asked.out / "tuning.json", asked.out / "tuning.svg"
        (asked.out / "tuning.md").write_text(text + "\n")
    else:
        page = ROOT / "docs/tuning.md"
        page.write_text(PART.sub(lambda part: f"{part[1]}{text}\n{part[2]}", page.read_text()))
    figures.write_text(json.dumps(results, indent=1) + "\n")
    picture.write_text(curves.draw(_panels(results)))
    print(text)
    return 0


def measure(*, quick: bool) -> dict[str, Any]:
    """Every curve, point by point; `errors` of a point that is not 0 makes it worth nothing."""
    cores = len(rounds.cores())
    seconds = 2 if quick else 8
    workers = sorted({1, 2, cores, 2 * cores})
    connections = (1, 8, 64) if quick else (1, 4, 16, 64, 256)
    batches = (1, 100) if quick else (1, 10, 100, 1000)
    rows: list[Row] = []
    with servers.nginx(b"{}", rounds.cores()[-1]) as nginx:
        for count in workers:
            with _daemon(nginx, count) as daemon:
                rows += [_point("workers", count, daemon, mode, seconds) for mode in MODES]
        with _daemon(nginx, cores) as daemon:
            for held in connections:
                rows += [
                    _point("connections", held, daemon, mode, seconds, connections=held)
                    for mode in MODES
                ]
            for size in batches:
                rows += [
                    _point("batch", size, daemon, mode, seconds, batch=size, connections=8)
                    for mode in MODES
                ]
    return {"machine": rounds.machine(), "seconds": seconds, "rows": rows}


@contextmanager
def _daemon(nginx: Daemon, workers: int) -> Iterator[Daemon]:
    """A daemon whose only action posts to nginx, with a store of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "workflow.yaml")
        action = f"{{type: webhook, url: 'http://127.0.0.1:{nginx.port}/'}}"
        path.write_text(f"name: tuning\nroutes: [{{name: hook, actions: [{action}]}}]\n")
        with servers.delivering(workers, path, Path(folder, "data")) as daemon:
            yield daemon


def _point(  # noqa: PLR0913 - a point has that many coordinates
    curve: str,
    x: int,
    daemon: Daemon,
    mode: str,
    seconds: int,
    *,
    connections: int = CONNECTIONS,
    batch: int = 1,
) -> Row:
    with TemporaryDirectory() as folder:
        body = Path(folder, "body.hl7")
        body.write_bytes(b"\r".join(_numbered(number) for number in range(batch)))
        threads = min(2, connections)
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(SCRIPT), f"http://127.0.0.1:{daemon.port}/api/v1/workflow"]
        command += ["--", str(body), mode, str(int(time.time()) % 1000 * 9000)]
        before, began = daemon.cpu_seconds(), time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        cpu, took = daemon.cpu_seconds() - before, time.monotonic() - began
    told = json.loads(done.stdout.partition("RESULT ")[2])
    return {
        "curve": curve,
        "x": x,
        "mode": mode,
        "messages_per_second": round(1e6 * batch * told["requests"] / told["microseconds"]),
        "p50_milliseconds": round(told["p50"] / 1e3, 2),
        "p99_milliseconds": round(told["p99"] / 1e3, 2),
        "cpu_microseconds": round(1e6 * cpu / max(1, batch * told["requests"]), 1),
        "cores_busy": round(cpu / took, 2),
        "errors": told["errors"],
    }


def _numbered(number: int) -> bytes:
    """The ADT under a control id that wrk makes new for every request."""
    fields = ADT.split(b"|")
    fields[9] = b"########%04d" % number
    return b"|".join(fields)


TITLES = {
    "workers": ("Workers", f"messages a second over workers; {CONNECTIONS} connections"),
    "connections": ("Connections", "messages a second over connections; a worker for each CPU"),
    "batch": ("Messages in a request", "messages a second over the size of the batch"),
}


def _panels(results: dict[str, Any]) -> list[Panel]:
    return [
        Panel(title, subtitle, [_curve(results, curve, mode) for mode in MODES])
        for curve, (title, subtitle) in TITLES.items()
    ]


def _curve(results: dict[str, Any], curve: str, mode: str) -> Curve:
    mine = [row for row in results["rows"] if (row["curve"], row["mode"]) == (curve, mode)]
    return Curve(f"{mode}", [(row["x"], row["messages_per_second"]) for row in mine])


def _page(results: dict[str, Any]) -> Iterator[str]:
    machine = results["machine"]
    yield (
        f"Measured {machine['date']} on {machine['cores']} cores of {machine['processor']}, "
        f"{machine['python']}, load before {machine['load_before']}; {results['seconds']} s a "
        "point. wrk, nginx and the daemon shared the cores."
    )
    for curve, (title, subtitle) in TITLES.items():
        yield f"\n### {title}\n\n{subtitle.capitalize()}.\n"
        yield f"| {curve} | answer | messages/s | p50 ms | p99 ms | CPU µs a message | cores busy |"
        yield "|---|---|---|---|---|---|---|"
        for row in results["rows"]:
            if row["curve"] == curve:
                yield _row(row)


def _row(row: Row) -> str:
    broken = f" ({row['errors']} errors)" if row["errors"] else ""
    return (
        f"| {row['x']} | {MODES[row['mode']]}{broken} | {row['messages_per_second']:,} "
        f"| {row['p50_milliseconds']:g} | {row['p99_milliseconds']:g} "
        f"| {row['cpu_microseconds']:g} | {row['cores_busy']:g} |"
    )


if __name__ == "__main__":
    sys.exit(main())
