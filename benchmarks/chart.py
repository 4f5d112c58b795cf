"""The chart of the README: horizontal bars with their values, legible in light and dark.

An own hundred lines of SVG, because that is less than a plotting library needs to look as plain.
"""

import math
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

WIDTH = 860
LEFT, RIGHT = 112, 560  # where the bars begin, and where the scale ends
ROW, BAR = 27, 17
TITLE_HEIGHT, PANEL_GAP = 56, 30
TIMES = "\N{MULTIPLICATION SIGN}"

STYLE = """
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
  .card { fill: #ffffff; stroke: #d8dee4; }
  .head { font-size: 15px; font-weight: 600; fill: #1f2328; }
  .sub, .tick, .foot { font-size: 11.5px; fill: #656d76; }
  .name { font-size: 13px; fill: #1f2328; }
  .ourname { font-size: 13px; font-weight: 600; fill: #0b6e69; }
  .value { font-size: 12.5px; font-weight: 600; fill: #1f2328; }
  .value, .missing { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; }
  .note { font-size: 12px; font-weight: 400; fill: #656d76; }
  .grid { stroke: #d8dee4; stroke-width: 1; }
  .ours { fill: #0f8b85; }
  .peer { fill: #b6bec8; }
  .bound { fill: none; stroke: #8c959f; stroke-width: 1.2; stroke-dasharray: 4 3; }
  .missing { font-size: 12.5px; font-weight: 600; fill: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; }
    .head, .name, .value { fill: #e6edf3; }
    .value, .missing { stroke: #0d1117; }
    .sub, .tick, .foot, .note { fill: #8d96a0; }
    .ourname { fill: #4fd1c5; }
    .grid { stroke: #262c36; }
    .ours { fill: #2cb5ab; }
    .peer { fill: #545d68; }
    .bound { stroke: #8d96a0; }
    .missing { fill: #f0883e; }
  }
"""


class Bar(NamedTuple):
    """One row: `kind` is ours, peer, bound (a limit, not a competitor) or missing."""

    name: str
    value: float
    note: str
    kind: str


class Panel(NamedTuple):
    """Bars that share a question and a unit."""

    title: str
    subtitle: str
    bars: list[Bar]
    logarithmic: bool = True


class Scale(NamedTuple):
    """Where a value is on the page; `first` and `last` are logarithms if it is logarithmic."""

    first: float
    last: float
    ticks: list[int]
    logarithmic: bool

    def place(self, value: float) -> float:
        at = math.log10(value) if self.logarithmic else value
        return LEFT + (RIGHT - LEFT) * (at - self.first) / (self.last - self.first)


def draw(results: dict[str, Any]) -> str:
    """The chart of all sections there are."""
    panels = _panels(results)
    parts: list[str] = []
    y = 22
    for panel in panels:
        parts += _panel(panel, y)
        y += TITLE_HEIGHT + ROW * len(panel.bars) + PANEL_GAP
    height = y + 20
    foot = _foot(results)
    parts.append(_text(24, height - 18, "foot", foot))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(_summary(panels))}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panels(results: dict[str, Any]) -> list[Panel]:
    panels = []
    if parse := results.get("parse"):
        adt = parse["messages"][0]
        size = f"ADT^A01 of {adt['bytes']:,} bytes, one core"
        missing = [Bar(each["package"], 0, "", "missing") for each in parse["not_run"]]
        panels = [
            Panel(
                "The whole message, messages per second",
                f"{size}, logarithmic scale. fi-fhir writes a finished event as JSON.",
                _parse_bars(adt["whole"]) + missing,
            ),
            Panel(
                "Open and read eight fields, messages per second",
                f"{size}, logarithmic scale. What a router does.",
                _parse_bars(adt["fields"]) + missing,
            ),
        ]
    if http := results.get("http"):
        panels.append(
            Panel(
                "HTTP, requests per second of server CPU",
                "fi-fhir answers each ADT with its event; nginx and aiohttp with as many bytes, "
                "made beforehand.",
                _http_bars(http["servers"]),
                logarithmic=False,
            )
        )
    return panels


def _parse_bars(rows: list[dict[str, Any]]) -> list[Bar]:
    bars = []
    for row in rows:
        kind = {"fi-fhir": "ours", "C floor": "bound"}.get(row["name"], "peer")
        notes = [] if row["makes"] == "open + 8 fields" else [row["makes"]]
        if kind == "peer":
            notes.append(f"fi-fhir is {times(row['times_ours'])} as fast")
        bars.append(Bar(row["name"], row["messages_per_second"], "; ".join(notes), kind))
    return sorted(bars, key=lambda bar: -bar.value)


def _http_bars(rows: list[dict[str, Any]]) -> list[Bar]:
    bars = []
    ours = next(row for row in rows if row["name"] == "fi-fhir")
    for row in rows:
        kind = {"fi-fhir": "ours", "nginx": "bound"}.get(row["name"], "peer")
        note = {
            "ours": "parse, event, JSON",
            "bound": "static reply",
            "peer": f"static reply; fi-fhir is {times(ours['of_aiohttp'])} as fast",
        }[kind]
        bars.append(Bar(row["name"], row["requests_per_cpu_second"], note, kind))
    return sorted(bars, key=lambda bar: -bar.value)


def _panel(panel: Panel, y: int) -> list[str]:
    scale = _scale(panel)
    base = y + TITLE_HEIGHT - 10
    bottom = base + ROW * len(panel.bars)
    parts = [_text(24, y + 12, "head", panel.title), _text(24, y + 29, "sub", panel.subtitle)]
    for tick in scale.ticks:
        x = scale.place(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {base}V{bottom}"/>')
        parts.append(_text(x, bottom + 13, "tick", _short(tick), "middle"))
    for row, bar in enumerate(panel.bars):
        parts += _bar(bar, base + ROW * row, scale)
    return parts


def _scale(panel: Panel) -> Scale:
    """Logarithmic from the power of ten below the least bar where the panel is, else from zero."""
    values = [bar.value for bar in panel.bars if bar.value]
    top = max(values)
    if not panel.logarithmic:
        step = 10 ** math.floor(math.log10(top / 2))
        step *= 2 if top / step > 8 else 1
        return Scale(0.0, top, list(range(0, int(top) + 1, step)), logarithmic=False)
    low = math.floor(math.log10(min(values)))
    ticks = [10**power for power in range(low, math.floor(math.log10(top)) + 1)]
    return Scale(low, math.log10(top), ticks, logarithmic=True)


def _bar(bar: Bar, y: int, scale: Scale) -> list[str]:
    middle = y + ROW / 2 + 4.5
    name = _text(LEFT - 10, middle, "ourname" if bar.kind == "ours" else "name", bar.name, "end")
    if bar.kind == "missing":
        return [name, _text(LEFT + 6, middle, "missing", "not run: not installed")]
    width = scale.place(bar.value) - LEFT
    shape = (
        f'<rect class="{bar.kind}" x="{LEFT}" y="{y + (ROW - BAR) / 2}" '
        f'width="{width:.1f}" height="{BAR}" rx="2.5"/>'
    )
    value = (
        f'<text class="value" x="{LEFT + width + 7:.1f}" y="{middle}">{_figure(bar.value)}'
        f'<tspan class="note" dx="7">{escape(bar.note)}</tspan></text>'
    )
    return [name, shape, value]


def _text(x: float, y: float, style: str, text: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text class="{style}" {place}>{escape(text)}</text>'


def _figure(value: float) -> str:
    """Three digits that count."""
    digits = max(0, math.floor(math.log10(value)) - 2)
    return f"{round(value, -digits):,.0f}"


def _short(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)


def times(ratio: float) -> str:
    """A ratio as people read one: two digits, and the sign of multiplication."""
    return f"{ratio:,.{0 if ratio >= 9.95 else 1}f}{TIMES}"


def _foot(results: dict[str, Any]) -> str:
    section = results.get("parse") or results["http"]
    machine = section["machine"]
    return (
        f"Medians of interleaved rounds in one run. {machine['processor']}, "
        f"{machine['python']}, {machine['date']}."
    )


def _summary(panels: list[Panel]) -> str:
    said = []
    for panel in panels:
        bars = "; ".join(f"{bar.name} {bar.value:,.0f}" for bar in panel.bars)
        said.append(f"{panel.title}: {bars}.")
    return " ".join(said)
