"""How the cost grows with the number of vectors: a table, and a picture with both axes logarithmic.

The picture is an SVG of its own making: the same results give the same text. It brings its own light ground, so that it
can be read on a dark page too.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import NamedTuple

from kinfold.benchmark.tables.cells import Results, made, not_measured, remark, table

PICTURE = "docs/images/growth.svg"
IDENTIFIER = "kmeans-growth"
MERGING = ("agglomerate-10000", "agglomerate-70000", "agglomerate-1000000")

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 72, 48  # margins, the legend stands in the upper one
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6b6b6b"
ASIDE = 3.0  # times that the straight line lies below, so that both are seen
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Points = list[tuple[int, float]]


class Axis(NamedTuple):
    """Whole powers of ten from `low` to `high`, at `start` and at `end` of the picture."""

    low: int
    high: int
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies.

        Examples
        --------
        >>> Axis(2, 4, 0.0, 100.0).at(1000)
        50.0
        """
        return self.start + (self.end - self.start) * (log10(value) - self.low) / (self.high - self.low)


def steps(results: Results) -> str:
    """Cost of a step of k-means by the number of vectors."""
    result = results.get(IDENTIFIER)
    command = f"kinfold benchmark speed --only {IDENTIFIER}"
    if result is None:
        return not_measured(command)
    rows = [
        [
            f"{part['n']:,.0f}", f"{part['steps']:,.0f}", f"{part['cpu_seconds']['mean']:.3g}",
            f"{part['cpu_nanoseconds_a_step_and_row']:,.0f}", f"{part['peak_mb']:,}",
        ]
        for part in sorted(result["parts"].values(), key=lambda part: int(part["n"]))
    ]  # fmt: skip
    head = ["vectors", "steps", "CPU s, steps and assignment", "CPU ns a step and vector", "peak MB"]
    shown = "![Cost by the number of vectors, both axes logarithmic](../images/growth.svg)\n\n"
    return f"{shown}{table(head, rows)}\n{remark(result)}\n" + made(command, f"{IDENTIFIER}.json", "One run.")


def picture(results: Results) -> str | None:
    """The picture as SVG, or None without the result of k-means; merging stands beside it if it was measured."""
    if IDENTIFIER not in results:
        return None
    kmeans = _points(results, IDENTIFIER, "cpu_seconds")
    merging = [_points(results, name, "seconds") for name in MERGING if name in results]
    (first, _), (last, most) = kmeans[0], kmeans[-1]
    straight = [(first, most / ASIDE * first / last), (last, most / ASIDE)]
    everything = [point for line in (kmeans, straight, *merging) for point in line]
    x = _axis([n for n, _ in everything], LEFT, WIDTH - RIGHT)
    y = _axis([seconds for _, seconds in everything], HEIGHT - BOTTOM, TOP)
    legend = [("k-means, 100 clusters, 64 dimensions: CPU seconds a step", BLUE)]
    if merging:
        legend.append(("merging down to 20 clusters, in 3 dimensions beyond 100,000: seconds", ORANGE))
    legend.append(("for comparison: in proportion to the number of vectors", GREY))
    lines = [*_grid(x, y), _path(straight, x, y, GREY, ' stroke-dasharray="6 5"'), *_series(kmeans, x, y, BLUE)]
    for points in merging:
        lines += _series(points, x, y, ORANGE)
    for i, (words, colour) in enumerate(legend):
        lines.append(f'<rect x="{LEFT}" y="{12 + 18 * i}" width="18" height="4" fill="{colour}"/>')
        lines.append(f'<text x="{LEFT + 26}" y="{19 + 18 * i}">{words}</text>')
    return "\n".join([*_opening(), *lines, "</svg>"]) + "\n"


def _points(results: Results, name: str, key: str) -> Points:
    found = results[name]["growth"]
    return list(zip(found["sizes"], found[key], strict=True))


def _axis(values: list[float] | list[int], start: float, end: float) -> Axis:
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return Axis(low, max(high, low + 1), start, end)


def _opening() -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#222222" role="img">',
        "<title>Cost by the number of vectors, both axes logarithmic</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
    ]


def _grid(x: Axis, y: Axis) -> list[str]:
    """A thin line and its number at every power of ten, and what the axes are."""
    lines = []
    for power in range(x.low, x.high + 1):
        at, words = x.at(10.0**power), "10" + str(power).translate(SUPERSCRIPTS)
        lines.append(f'<path d="M{at:.1f} {y.start:.1f}V{y.end:.1f}" stroke="#dddddd"/>')
        lines.append(f'<text x="{at:.1f}" y="{y.start + 18:.1f}" text-anchor="middle">{words}</text>')
    for power in range(y.low, y.high + 1):
        at = y.at(10.0**power)
        lines.append(f'<path d="M{x.start:.1f} {at:.1f}H{x.end:.1f}" stroke="#dddddd"/>')
        lines.append(f'<text x="{x.start - 8:.1f}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    middle = (x.start + x.end) / 2
    return [*lines, f'<text x="{middle:.1f}" y="{HEIGHT - 10}" text-anchor="middle">vectors</text>']


def _path(points: Points, x: Axis, y: Axis, colour: str, more: str = "") -> str:
    way = "L".join(f"{x.at(n):.1f} {y.at(seconds):.1f}" for n, seconds in points)
    return f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2"{more}/>'


def _series(points: Points, x: Axis, y: Axis, colour: str) -> list[str]:
    """A line, and a point for every size that says its numbers."""
    dots = [
        f'<circle cx="{x.at(n):.1f}" cy="{y.at(seconds):.1f}" r="4.5" fill="{colour}">'
        f"<title>{n:,}: {seconds:.3g} s</title></circle>"
        for n, seconds in points
    ]
    return [_path(points, x, y, colour), *dots]
