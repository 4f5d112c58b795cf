"""Line charts as SVG: a few series over a logarithmic axis, as plain as the bars of chart.py."""

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.chart import STYLE, WIDTH

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 230, 76, 660, 58, 36
COLOURS = ("#0f8b85", "#8250df", "#bc4c00")


class Curve(NamedTuple):
    """One series: its name, and what was measured at each place of the axis."""

    name: str
    points: list[tuple[float, float]]


class Panel(NamedTuple):
    """Curves that share both axes; both begin at nothing but the horizontal is logarithmic."""

    title: str
    subtitle: str
    curves: list[Curve]


def draw(panels: list[Panel]) -> str:
    """All panels, one below the other."""
    height = len(panels) * (HEIGHT + 24) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * (HEIGHT + 24) + 8)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    places = sorted({x for curve in panel.curves for x, _ in curve.points})
    highest = _above(max(y for curve in panel.curves for _, y in curve.points))
    bottom = top + HEIGHT - BOTTOM

    span = math.log(places[-1] / places[0]) or 1.0

    def across(x: float) -> float:
        return LEFT + (RIGHT - LEFT) * math.log(x / places[0]) / span

    def up(y: float) -> float:
        return bottom - (bottom - top - TOP) * y / highest

    parts = [
        f'<text class="head" x="24" y="{top + 24}">{escape(panel.title)}</text>',
        f'<text class="sub" x="24" y="{top + 42}">{escape(panel.subtitle)}</text>',
    ]
    for step in range(5):
        value = highest * step / 4
        at = f"{up(value):.1f}"
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{at}" y2="{at}"/>',
            f'<text class="tick" x="{LEFT - 8}" y="{up(value) + 4:.1f}" text-anchor="end">'
            f"{value:,.0f}</text>",
        ]
    parts += [
        f'<text class="tick" x="{across(x):.1f}" y="{bottom + 18}" text-anchor="middle">'
        f"{x:g}</text>"
        for x in places
    ]
    free = 0.0  # the names stand below each other, the highest curve's first
    ordered = sorted(zip(panel.curves, COLOURS, strict=False), key=lambda each: up(_last(each[0])))
    for curve, colour in ordered:
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve.points)
        dots = ((across(x), up(y)) for x, y in curve.points)
        name = max(up(_last(curve)) + 4, free)
        free = name + 16
        parts += [
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in dots),
            f'<circle cx="{RIGHT + 14}" cy="{name - 4:.1f}" r="4" fill="{colour}"/>',
            f'<text class="name" x="{RIGHT + 24}" y="{name:.1f}">{escape(curve.name)}</text>',
        ]
    return parts


def _last(curve: Curve) -> float:
    return curve.points[-1][1]


def _above(value: float) -> float:
    """A round number that is not less."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * step for step in (1, 2, 4, 5, 8, 10) if unit * step >= value)
