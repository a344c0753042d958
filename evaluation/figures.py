"""Plots of a comparison, as plotly's JSON.

A colour is a name such as ``$accent``: the page puts in the value that its light, dark or print
style gives to the name. Models and controls also differ in shape, so that no plot needs colour.
"""

from typing import Any, NamedTuple

from evaluation.resampling import Interval

Figure = dict[str, Any]
Box = tuple[float, float, float, float]

_ROW = 26
"""Pixels a model takes in an interval plot."""
_PLANE = (640.0, 240.0)
"""Pixels from the origin to the largest values in a plane plot of typical width."""
_LETTER = 6.5
"""Pixels a letter takes."""


class Point(NamedTuple):
    """One model in a plot."""

    model: str
    control: bool
    value: Interval


def interval_plot(points: list[Point], label: str, reference: tuple[str, float] | None) -> Figure:
    """A dot and an interval for every model, the first on top; ``reference`` is a dashed line."""
    traces = []
    for control in (False, True):
        chosen = [point for point in points if point.control == control]
        if not chosen:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "controls" if control else "models",
                "x": [point.value.mean for point in chosen],
                "y": [point.model for point in chosen],
                "error_x": _bars(chosen, control),
                "marker": _marker(control),
                "cliponaxis": False,
                "customdata": [[point.value.low, point.value.high] for point in chosen],
                "hovertemplate": (
                    "<b>%{y}</b>: %{x:.3f}<br>%{customdata[0]:.3f} to %{customdata[1]:.3f}"
                    "<extra></extra>"
                ),
            }
        )
    layout = base_layout(label, height=_ROW * len(points) + 74)
    if reference is not None and min(point.value.low for point in points) > reference[1] / 2:
        layout["xaxis"]["rangemode"] = "normal"
    layout["yaxis"] |= {
        "categoryorder": "array",
        "categoryarray": [point.model for point in reversed(points)],
        "range": [-0.6, len(points) - 0.4],
        "showgrid": False,
        "ticksuffix": "  ",
        "automargin": True,
    }
    if reference is not None:
        name, value = reference
        layout["shapes"] = [
            {
                "type": "line",
                "x0": value,
                "x1": value,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "$muted", "width": 1, "dash": "dash"},
                "layer": "below",
            }
        ]
        layout["annotations"] = [
            {
                "x": value,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "text": name,
                "showarrow": False,
                "font": {"size": 11, "color": "$muted"},
            }
        ]
    return {"data": traces, "layout": layout}


def plane_plot(points: list[tuple[Point, Interval]], x_label: str, y_label: str) -> Figure:
    """Every model as a point with two intervals: x from the Point, y from the Interval."""
    traces = []
    sides = _sides(points)
    for control in (False, True):
        chosen = [pair for pair in points if pair[0].control == control]
        if not chosen:
            continue
        horizontal = [point for point, _ in chosen]
        vertical = [Point(point.model, control, y) for point, y in chosen]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": "controls" if control else "models",
                "x": [point.value.mean for point in horizontal],
                "y": [point.value.mean for point in vertical],
                "text": [point.model for point in horizontal],
                "textposition": [
                    side
                    for side, (point, _) in zip(sides, points, strict=True)
                    if point.control == control
                ],
                "textfont": {"size": 12, "color": "$ink"},
                "cliponaxis": False,
                "error_x": _bars(horizontal, control),
                "error_y": _bars(vertical, control),
                "marker": _marker(control),
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
    layout["xaxis"]["rangemode"] = "tozero"
    layout["margin"] |= {"l": 56, "r": 72}
    return {"data": traces, "layout": layout}


def _sides(points: list[tuple[Point, Interval]]) -> list[str]:
    """Where each name goes, so that names run over one another as little as they can.

    Names take their places one by one, each the freest of eight around its point, in a plot of
    typical size; exact room is known only on the page.
    """
    span_x = max(point.value.mean for point, _ in points) or 1.0
    span_y = max(y.mean for _, y in points) or 1.0
    spots = [
        (_PLANE[0] * point.value.mean / span_x, _PLANE[1] * y.mean / span_y) for point, y in points
    ]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots]
    chosen = []
    for (x, y), (point, _) in zip(spots, points, strict=True):
        length = _LETTER * len(point.model)
        boxes = {
            f"{up} {side}": _box(x, y, up, side, length)
            for up, side in (
                ("top", "right"), ("top", "left"), ("bottom", "right"), ("bottom", "left"),
                ("middle", "right"), ("middle", "left"), ("top", "center"), ("bottom", "center"),
            )
        }  # fmt: skip
        best = min(boxes, key=lambda name: _crowding(boxes[name], taken))
        taken.append(boxes[best])
        chosen.append(best)
    return chosen


def _box(x: float, y: float, up: str, side: str, length: float) -> Box:
    left = {"right": x + 7, "left": x - 7 - length, "center": x - length / 2}[side]
    low = {"top": y + 5, "bottom": y - 19, "middle": y - 7}[up]
    return left, low, left + length, low + 14


def _crowding(box: Box, taken: list[Box]) -> float:
    """Area of the box that is covered, or outside the plot and its margin."""
    outside = max(0.0, -box[0]) + max(0.0, box[2] - _PLANE[0] - 90) + max(0.0, -box[1])
    covered = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    return covered + 14 * outside


def _bars(points: list[Point], control: bool) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [point.value.high - point.value.mean for point in points],
        "arrayminus": [point.value.mean - point.value.low for point in points],
        "thickness": 1.5,
        "width": 0,
        "color": "$second" if control else "$accent",
    }


def _marker(control: bool) -> dict[str, Any]:
    colour = "$second" if control else "$accent"
    return {
        "size": 9,
        "symbol": "diamond-open" if control else "circle",
        "color": colour,
        "line": {"width": 1.5, "color": colour},
    }


def base_layout(x_label: str, height: int) -> Figure:
    """The layout that all plots share: axes, colours and margins."""
    axis = {
        "gridcolor": "$rule",
        "zerolinecolor": "$rule",
        "linecolor": "$rule",
        "tickfont": {"size": 12, "color": "$ink"},
        "fixedrange": True,
        "nticks": 6,
    }
    return {
        "height": height,
        "showlegend": False,
        "dragmode": False,
        "margin": {"l": 8, "r": 16, "t": 22, "b": 44, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "inherit", "size": 12, "color": "$muted"},
        "hoverlabel": {"bgcolor": "$raised", "bordercolor": "$rule", "font": {"color": "$ink"}},
        "xaxis": {**axis, "title": {"text": x_label, "standoff": 8}, "rangemode": "tozero"},
        "yaxis": {**axis, "nticks": 0},
    }
