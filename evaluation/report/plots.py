"""Plots of a comparison, as plotly's JSON.

A colour is a name such as ``$accent``: the page puts in the value that its light, dark or print
style gives to the name. Models and controls also differ in shape, so that no plot needs colour.
"""

import math
from typing import Any, NamedTuple

from evaluation.comparison.resampling import Interval

Figure = dict[str, Any]

PALETTE = ("#2F7FC1", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A900",
           "#9A6FB0", "#8C6D46", "#6FBF9B")  # fmt: skip
"""Colours of things that are many: Okabe and Ito (2008), distinct for colour-blind eyes, nearer to
the middle so that they stand out on white and on black, and three more that shapes have to help."""
GREY = "#8A8F98"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
"""Shapes beside the colours; the same pair comes again after 70."""

_ROW = 26
"""Pixels a model takes in an interval plot."""


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
                "error_x": error_bars(chosen, control),
                "marker": marker(control),
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


def error_bars(points: list[Point], control: bool) -> dict[str, Any]:
    """The intervals of points as plotly's error bars; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [_length(point.value.high - point.value.mean) for point in points],
        "arrayminus": [_length(point.value.mean - point.value.low) for point in points],
        "thickness": 1.5,
        "width": 0,
        "color": "$second" if control else "$accent",
    }


def _length(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def marker(control: bool) -> dict[str, Any]:
    """A filled circle for a model, an open diamond for a control."""
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
        "tickangle": 0,
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
