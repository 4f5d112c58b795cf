"""Draw docs/images/dashboard.svg: the main panels of the dashboard, from a real Prometheus.

A daemon of two workers is given messages over HTTP and MLLP for two minutes and a half, one of its
destinations is down for a while and its dead letters are replayed; Prometheus scrapes it, and each
panel is what the dashboard's own query says (`python dashboards/picture.py`). Run by hand: the
figures differ from one run to the next.
"""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DASHBOARD = HERE / "grafana" / "workflow-overview.json"
TARGET = HERE.parent / "docs" / "images" / "dashboard.svg"
SECONDS, DOWN = 150, (50, 80)  # of load, and from when to when a destination is down
VARIABLES = {"$__rate_interval": "10s", "$namespace": ".*", "$pod": ".*", "$route": ".*"}
STATS = ("Events", "Error rate", "Action p99", "Dead letters")
CHARTS = (
    *("A message by stage, p50", "p99 by route", "Sent by route"),
    *("Not sent by route", "Circuit breakers", "Waiting"),
    *("HTTP answers by status", "MLLP messages by outcome", "Rows of a commit"),
)
WORKFLOW = """\
name: hospital
routes:
  - name: registry
    filter: {{event_type: patient_admit}}
    actions:
      - &hook {{type: webhook, url: "http://127.0.0.1:{port}/registry", retry_max: 1,
          retry_delay: 20ms, timeout: 2s, circuit_breaker: true, circuit_timeout: 5s}}
  - name: results
    filter: {{event_type: lab_result}}
    actions:
      - {{type: webhook, url: "http://localhost:{port}/results", timeout: 5s}}
  - name: audit
    actions: [{{type: file, path: "{folder}/audit.jsonl"}}]
"""
ADT = (
    "MSH|^~\\&|ADT|WARD|FIFHIR|HERE|20260302070000||ADT^A01|{id}|P|2.5.1\r"
    "PID|1||DEMO1^^^HERE^MR||TEAPOT^HAZEL\rPV1|1|I|WARD1^101^A\r"
)
ORU = (
    "MSH|^~\\&|LAB|LAB|FIFHIR|HERE|20260302070000||ORU^R01|{id}|P|2.5.1\r"
    "PID|1||DEMO1^^^HERE^MR||TEAPOT^HAZEL\rOBR|1|||718-7^Hemoglobin^LN\r"
    "OBX|1|NM|718-7^Hemoglobin^LN||13.2|g/dL|||||F\r"
)


class Destination:
    """What the routes deliver to: /results takes a moment, /registry is sometimes down."""

    def __init__(self) -> None:
        self.down = False
        mine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                results = self.path == "/results"
                time.sleep(0.005 if results else 0.003)
                self.send_response(503 if mine.down and not results else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def main() -> None:
    """The picture shows what Prometheus has seen of one run."""
    if not shutil.which("prometheus"):
        sys.exit("there is no prometheus (Debian: apt-get install prometheus)")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as port:
        panels = {
            each["title"]: each
            for each in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
            if each["type"] != "row"
        }
        data = {name: asked(port, panels[name]) for name in (*STATS, *CHARTS)}
    TARGET.write_text(drawn(panels, data), encoding="utf-8")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[int]:
    """Yield the port of a Prometheus that has watched the whole play."""
    destination = Destination()
    (folder / "w.yaml").write_text(WORKFLOW.format(port=destination.port, folder=folder))
    environ = os.environ | {
        "FI_FHIR_DATA_DIR": str(folder / "data"),
        "FI_FHIR_WORKFLOW_CONFIG_PATH": str(folder / "w.yaml"),
        "FI_FHIR_MLLP_ENABLED": "true",
        "FI_FHIR_MLLP_PORT": "0",
    }
    words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "2"]
    log = folder / "log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-m", "fifhir", *words], stdout=out, stderr=out, env=environ
        )
        while not (found := re.search(r'\{[^\n]*"message":"ready"[^\n]*', log.read_text())):
            time.sleep(0.1)
        ready = json.loads(found[0])
        api, operations, mllp = (
            int(ready[key].rsplit(":", 1)[1]) for key in ("address", "operations", "mllp")
        )
        watch, port = watching(folder, operations, out)
    try:
        play(destination, api, mllp)
        yield port
    finally:
        for process in (daemon, watch):
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def watching(folder: Path, operations: int, out: Any) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a Prometheus that scrapes the daemon each second."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    target = f"targets: ['127.0.0.1:{operations}'], labels: {{namespace: fi-fhir, pod: a}}"
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: fi-fhir, static_configs: [{{{target}}}]}}]\n"
    )
    words = [
        *("prometheus", f"--config.file={folder}/prometheus.yml"),
        *(f"--storage.tsdb.path={folder}/db", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    return subprocess.Popen(words, stdout=out, stderr=out), port  # noqa: S603


def play(destination: Destination, api: int, mllp: int) -> None:
    """Messages come for a while, a destination fails, and what it missed is replayed."""
    began = time.monotonic()
    senders = [
        threading.Thread(target=posting, args=(api, began), daemon=True),
        threading.Thread(target=framing, args=(mllp, began), daemon=True),
    ]
    for each in senders:
        each.start()
    time.sleep(DOWN[0])
    destination.down = True
    time.sleep(DOWN[1] - DOWN[0])
    destination.down = False
    time.sleep(25)
    for _ in range(20):
        body = json.dumps({"dryRun": False, "limit": 1000}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{api}/api/v1/workflow/replay",
            body,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            if not json.loads(answer.read())["replayed"]:
                break
    for each in senders:
        each.join()


def posting(port: int, began: float) -> None:
    """Admissions over HTTP, more of them and fewer; now and then a message that is none."""
    client, number = HTTPConnection("127.0.0.1", port, timeout=60), 0
    while (passed := time.monotonic() - began) < SECONDS:
        number += 1
        body = ADT.format(id=number) if number % 60 else "MSH|"
        client.request("POST", "/api/v1/workflow", body, {"Content-Type": "application/hl7-v2"})
        client.getresponse().read()
        time.sleep(0.02 + 0.009 * math.sin(passed / 9))
    client.close()


def framing(port: int, began: float) -> None:
    """Results over MLLP."""
    number = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        while (passed := time.monotonic() - began) < SECONDS:
            number += 1
            sock.sendall(b"\x0b" + ORU.format(id=number).encode() + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                answer += sock.recv(65536)
            time.sleep(0.026 + 0.012 * math.cos(passed / 14))


class Line(NamedTuple):
    """One series of a chart."""

    name: str
    points: list[tuple[float, float]]


def asked(port: int, panel: dict[str, Any]) -> list[Line]:
    """Return the series that a panel's queries give over the whole run."""
    now, found = time.time(), []
    for target in panel["targets"]:
        expression = target["expr"]
        for name, chosen in VARIABLES.items():
            expression = expression.replace(name, chosen)
        query = urllib.parse.urlencode(
            {"query": expression, "start": now - SECONDS + 12, "end": now, "step": 1}
        )
        url = f"http://127.0.0.1:{port}/api/v1/query_range?{query}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            series = json.loads(answer.read())["data"]["result"]
        for each in series:
            legend = target["legendFormat"]
            for label, value in each["metric"].items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            points = [(float(at), float(value)) for at, value in each["values"]]
            kept = [(at, value) for at, value in points if math.isfinite(value)]
            if any(value for _, value in kept):
                found.append(Line(legend or panel["title"], kept))
    return sorted(found, key=lambda line: line.name)


# The drawing: a page of tiles and charts, in the colours that Grafana has.

PAGE, TILE, EDGE, INK, FAINT = "#111217", "#181b1f", "#2c3235", "#d8d9e0", "#8e8e9a"
COLOURS = ("#73bf69", "#5794f2", "#f2cc0c", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#37872d")
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "text": INK}
WIDTH, GAP, HEAD = 1200, 12, 64
STAT, CHART, ACROSS = 84, 236, 3
LEFT, TOP, BOTTOM, LEGEND = 52, 38, 24, 20


def drawn(panels: dict[str, Any], data: dict[str, list[Line]]) -> str:
    """Return the whole picture as SVG."""
    rows = math.ceil(len(CHARTS) / ACROSS)
    height = HEAD + STAT + GAP + rows * (CHART + GAP) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="Inter,Segoe UI,Helvetica,Arial,sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="{PAGE}" rx="6"/>',
        words(GAP + 4, 30, "fi-fhir Workflow Overview", 19, INK, "600"),
        words(GAP + 4, 50, legend_of_run(), 12, FAINT),
    ]
    width = (WIDTH - GAP) / len(STATS) - GAP
    for at, name in enumerate(STATS):
        x = GAP + at * (width + GAP)
        parts.append(stat(panels[name], data[name], x, HEAD, width))
    width = (WIDTH - GAP) / ACROSS - GAP
    for at, name in enumerate(CHARTS):
        x = GAP + at % ACROSS * (width + GAP)
        y = HEAD + STAT + GAP + at // ACROSS * (CHART + GAP)
        parts.append(chart(panels[name], data[name], x, y, width))
    return "\n".join([*parts, "</svg>\n"])


def legend_of_run() -> str:
    """Return what the picture is of."""
    down = DOWN[1] - DOWN[0]
    return (
        f"Two workers, {SECONDS} seconds: admissions over HTTP, results over MLLP. The registry is "
        f"down for {down} seconds; its breaker opens, its events are kept, and are replayed."
    )


def stat(panel: dict[str, Any], lines: list[Line], x: float, y: float, width: float) -> str:
    """Return a tile with the last number, in the colour of its threshold."""
    value = lines[0].points[-1][1] if lines else 0.0
    defaults = panel["fieldConfig"]["defaults"]
    colour = INK
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = NAMED[step["color"]]
    shape = area(lines[0].points, (x, y + 42, width, STAT - 42), colour, 0.16) if lines else ""
    return (
        box(x, y, width, STAT)
        + shape
        + words(x + 12, y + 22, panel["title"], 13, INK, "500")
        + words(x + 12, y + 62, unit(value, defaults["unit"]), 30, colour, "600")
    )


def chart(panel: dict[str, Any], lines: list[Line], x: float, y: float, width: float) -> str:
    """Return a tile with a line for each series, its axes and its legend."""
    defaults = panel["fieldConfig"]["defaults"]
    left, top = x + LEFT, y + TOP
    wide, high = width - LEFT - 12, CHART - TOP - BOTTOM - LEGEND
    room = Room(left, top, wide, high, *axis(lines, "min" not in defaults))
    parts = [box(x, y, width, CHART), words(x + 12, y + 22, panel["title"], 13, INK, "500")]
    for value in room.marks:
        level = room.y(value)
        parts += [
            f'<path d="M{left:.1f} {level:.1f}h{wide:.1f}" stroke="{EDGE}" stroke-width="1"/>',
            words(left - 6, level + 4, unit(value, defaults["unit"]), 11, FAINT, anchor="end"),
        ]
    for second in range(0, int(room.end - room.begin) + 1, 30):
        at = room.x(room.begin + second)
        parts.append(words(at, top + high + 15, f"{second} s", 11, FAINT, anchor="middle"))
    place = x + 14
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        label = line.name.replace("http://", "")
        parts += [
            curve(line.points, room, colour),
            f'<rect x="{place:.1f}" y="{y + CHART - 17:.1f}" width="10" height="4" rx="2" '
            f'fill="{colour}"/>',
            words(place + 13, y + CHART - 11, label, 11, INK),
        ]
        place += 13 + 5.8 * len(label) + 6
    return "".join(parts)


class Room(NamedTuple):
    """Where a chart is drawn, and what of time and number lies in it."""

    left: float
    top: float
    width: float
    height: float
    begin: float
    end: float
    marks: tuple[float, ...]
    is_log: bool

    def x(self, at: float) -> float:
        """Where a moment lies."""
        return self.left + self.width * (at - self.begin) / max(1.0, self.end - self.begin)

    def y(self, value: float) -> float:
        """Where a number lies; nothing falls out of the chart."""
        low, most = self.marks[0], self.marks[-1]
        if self.is_log:
            share = math.log(max(value, low) / low) / math.log(most / low)
        else:
            share = (value - low) / (most - low)
        return self.top + self.height * (1 - min(share, 1.0))


def axis(lines: list[Line], is_log: bool) -> tuple[float, float, tuple[float, ...], bool]:
    """Return when a chart begins and ends, the numbers at its side, and how they are spread."""
    points = [point for line in lines for point in line.points] or [(0.0, 0.0), (1.0, 1.0)]
    begin, end = min(at for at, _ in points), max(at for at, _ in points)
    most = max(value for _, value in points)
    if not is_log:
        top = rounded(most)
        return begin, end, tuple(top * step / 4 for step in range(5)), False
    least = min((value for _, value in points if value > 0), default=most)
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    return begin, end, tuple(10.0**power for power in powers), True


def curve(points: list[tuple[float, float]], room: Room, colour: str) -> str:
    """Return one line, over a shade of itself unless the axis has no foot to stand on."""
    seen = [(room.x(at), room.y(value)) for at, value in points]
    path = "L".join(f"{across:.1f} {down:.1f}" for across, down in seen)
    foot = room.top + room.height
    floor = f"L{seen[-1][0]:.1f} {foot:.1f}L{seen[0][0]:.1f} {foot:.1f}Z"
    shade = "" if room.is_log else f'<path d="M{path}{floor}" fill="{colour}" opacity="0.10"/>'
    return (
        f'{shade}<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6" '
        'stroke-linejoin="round"/>'
    )


def area(
    points: list[tuple[float, float]],
    room: tuple[float, float, float, float],
    colour: str,
    shade: float,
) -> str:
    """Return what a number was over time, as a shade at the foot of its tile."""
    x, y, width, height = room
    begin, end = points[0][0], points[-1][0]
    most = max(value for _, value in points) or 1.0
    path = "L".join(
        f"{x + width * (at - begin) / max(1.0, end - begin):.1f} "
        f"{y + height * (1 - value / most):.1f}"
        for at, value in points
    )
    floor = f"L{x + width:.1f} {y + height:.1f}L{x:.1f} {y + height:.1f}Z"
    return f'<path d="M{path}{floor}" fill="{colour}" opacity="{shade}"/>'


def box(x: float, y: float, width: float, height: float) -> str:
    """Return an empty tile."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="3" '
        f'fill="{TILE}" stroke="{EDGE}"/>'
    )


def words(  # noqa: PLR0913, PLR0917 - a text has that many properties
    x: float, y: float, text: str, size: int, fill: str, weight: str = "400", anchor: str = "start"
) -> str:
    """Return a line of text."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{safe}</text>'
    )


def rounded(value: float) -> float:
    """Return a round number that is not less, for the top of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(each * power for each in (1, 2, 4, 6, 8, 10) if each * power >= value)


def unit(value: float, kind: str) -> str:
    """Return a number as Grafana writes it in this unit."""
    if kind == "percentunit":
        return f"{value * 100:.2g} %"
    if kind == "s":
        for below, factor, name in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
            if value < below:
                return f"{value * factor:.3g} {name}" if value else "0"
        return f"{value:.3g} s"
    text = f"{value:.3g}" if value < 1000 else f"{value / 1000:.3g} k"
    return f"{text}/s" if kind == "ops" and value else text


if __name__ == "__main__":
    main()
