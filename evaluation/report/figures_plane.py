"""Plots of models by two figures at once, with the best compromises between them."""

from collections.abc import Sequence
from typing import Any

from evaluation.comparison.resampling import Interval
from evaluation.report.plots import Figure, Point, base_layout, error_bars, marker

Box = tuple[float, float, float, float]
Pair = tuple[Point, Interval]
"""A model: x from the Point, y from the Interval."""

WIDTHS = {"whole": 640.0, "half": 330.0}
"""Pixels from the smallest to the largest value of a typical plot."""
_HEIGHT = 240.0
_LETTER = 6.5
"""Pixels a letter takes."""


def best_compromises(points: Sequence[Pair], *, lower: bool = False) -> list[str]:
    """Models that no other beats by both figures (the Pareto front), from the least x to the most.

    ``lower`` says that a smaller x is better; a larger y always is. Controls are left out, and so
    are models without any hit (y = 0).
    """
    sign = -1.0 if lower else 1.0
    placed = [
        (sign * point.value.mean, y.mean, point.model)
        for point, y in points
        if not point.control and y.mean > 0
    ]
    front = [
        (x, name)
        for x, y, name in placed
        if not any((a >= x and b >= y) and (a > x or b > y) for a, b, _ in placed)
    ]
    return [name for _, name in sorted(front, reverse=lower)]


def plane_plot(
    points: Sequence[Pair],
    x_label: str,
    y_label: str,
    *,
    front: Sequence[str] = (),
    size: str = "whole",
    zero: bool = True,
) -> Figure:
    """Every model as a point with two intervals.

    ``front``: models joined by a line, the best compromises. ``size``: "whole" or "half" of the
    page's width; half has no room for the names of controls. ``zero``: whether the x axis begins
    at 0.
    """
    traces: list[dict[str, Any]] = []
    if len(front) > 1:
        places = {point.model: (point.value.mean, y.mean) for point, y in points}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best compromises",
                "x": [places[name][0] for name in front],
                "y": [places[name][1] for name in front],
                "line": {"color": "$muted", "width": 1.5, "dash": "dot"},
                "hoverinfo": "skip",
            }
        )
    named = [pair for pair in points if size == "whole" or not pair[0].control]
    sides = dict(
        zip((p.model for p, _ in named), _sides(points, named, WIDTHS[size], zero), strict=True)
    )
    for control in (False, True):
        chosen = [pair for pair in points if pair[0].control == control]
        if not chosen:
            continue
        horizontal = [point for point, _ in chosen]
        vertical = [Point(point.model, control, y) for point, y in chosen]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text" if horizontal[0].model in sides else "markers",
                "name": "controls" if control else "models",
                "x": [point.value.mean for point in horizontal],
                "y": [point.value.mean for point in vertical],
                "text": [point.model for point in horizontal],
                "textposition": [sides.get(p.model, "top center") for p in horizontal],
                "textfont": {
                    "size": 12,
                    "color": "$muted" if control else "$ink",
                    "weight": [700 if point.model in front else 400 for point in horizontal],
                },
                "cliponaxis": False,
                "error_x": error_bars(horizontal, control),
                "error_y": error_bars(vertical, control),
                "marker": marker(control),
                "hovertemplate": (
                    f"<b>%{{text}}</b><br>{x_label}: %{{x:.3f}}<br>{y_label}: %{{y:.3f}}"
                    "<extra></extra>"
                ),
            }
        )
    layout = base_layout(x_label, height=380)
    values = [y.mean for _, y in points]
    layout["yaxis"] |= {
        "title": {"text": y_label},
        "rangemode": "tozero" if min(values) < max(values) / 2 else "normal",
        "automargin": True,
    }
    layout["xaxis"]["rangemode"] = "tozero" if zero else "normal"
    layout["margin"] |= {"l": 56, "r": 72}
    return {"data": traces, "layout": layout}


def _sides(points: Sequence[Pair], named: Sequence[Pair], width: float, zero: bool) -> list[str]:
    """Where each name of ``named`` goes, so that names run over one another as little as they can.

    Names take their places one by one, each the freest of eight around its point, in a plot of
    typical size; exact room is known only on the page.
    """
    across = [point.value.mean for point, _ in points]
    start = min([0.0, *across] if zero else across)
    span_x = max(across) - start or 1.0
    span_y = max(y.mean for _, y in points) or 1.0

    def spot(pair: Pair) -> tuple[float, float]:
        x, y = pair[0].value.mean, pair[1].mean
        return width * (x - start) / span_x, _HEIGHT * y / span_y

    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in map(spot, points)]
    chosen = []
    for point, value in named:
        x, y = spot((point, value))
        length = _LETTER * len(point.model)
        boxes = {
            f"{up} {side}": _box(x, y, up, side, length)
            for up, side in (
                ("top", "right"), ("top", "left"), ("bottom", "right"), ("bottom", "left"),
                ("middle", "right"), ("middle", "left"), ("top", "center"), ("bottom", "center"),
            )
        }  # fmt: skip
        best = min(boxes, key=lambda name: _crowding(boxes[name], taken, width))
        taken.append(boxes[best])
        chosen.append(best)
    return chosen


def _box(x: float, y: float, up: str, side: str, length: float) -> Box:
    left = {"right": x + 7, "left": x - 7 - length, "center": x - length / 2}[side]
    low = {"top": y + 5, "bottom": y - 19, "middle": y - 7}[up]
    return left, low, left + length, low + 14


def _crowding(box: Box, taken: list[Box], width: float) -> float:
    """Area of the box that is covered, or outside the plot and its margin."""
    outside = max(0.0, -box[0]) + max(0.0, box[2] - width - 70) + max(0.0, -box[1])
    covered = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    return covered + 14 * outside
