"""Plots of a comparison, as plotly's JSON.

A colour is a name such as ``$accent``: the page puts in the value that its light, dark or print
style gives to the name. Models and controls also differ in shape, so that no plot needs colour.

The plot of a learning curve: how good models are with how much data.

The plot of a map of songs: what is near sounds alike.

Plots of models by two figures at once, with the best compromises between them.
"""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, TITLE
from evaluation.comparison.bootstrap import Interval

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


_DASHES = ("solid", "dash", "dot")


def curve_plot(curve: pd.DataFrame, label: str) -> Figure:
    """A line a model over the number of interactions, from rows of one metric.

    ``curve``: model, interactions, mean, low, high. Lines differ in colour, shape and dashes.
    """
    traces: list[dict[str, Any]] = []
    last = curve.sort_values("interactions").groupby("model")["mean"].last()
    for place, name in enumerate(last.sort_values(ascending=False, kind="stable").index):
        rows = curve[curve["model"] == name].sort_values("interactions")
        colour = PALETTE[place % len(PALETTE)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": str(name),
                "x": rows["interactions"].astype(int).tolist(),
                "y": rows["mean"].tolist(),
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": (rows["high"] - rows["mean"]).tolist(),
                    "arrayminus": (rows["mean"] - rows["low"]).tolist(),
                    "thickness": 1,
                    "width": 0,
                    "color": colour,
                },
                "line": {
                    "color": colour,
                    "width": 2,
                    "dash": _DASHES[place // len(PALETTE) % len(_DASHES)],
                },
                "marker": {"size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)], "color": colour},
                "cliponaxis": False,
                "hovertemplate": (
                    f"<b>%{{fullData.name}}</b><br>%{{x:,}} interactions: {label} %{{y:.3f}}"
                    "<extra></extra>"
                ),
            }
        )
    layout = base_layout("interactions in training", height=400 + 12 * (len(traces) // 4))
    points = sorted(set(curve["interactions"].astype(int)))
    layout["xaxis"] |= {
        "type": "log",
        "rangemode": "normal",
        "tickvals": points,
        "ticktext": [f"{value:,}" for value in points],
    }
    layout["yaxis"] |= {"title": {"text": label}, "rangemode": "tozero", "automargin": True}
    layout["margin"] |= {"l": 56, "r": 40}
    layout |= {"showlegend": True, "legend": legend_below()}
    return {"data": traces, "layout": layout}


def legend_below() -> dict[str, Any]:
    """A legend in rows under a plot, where a telephone has room for it."""
    return {
        "orientation": "h",
        "x": 0,
        "y": -0.16,
        "yanchor": "top",
        "font": {"size": 12, "color": "$ink"},
        "itemsizing": "constant",
    }


DRAWN = 4000
"""The most points that a page draws."""

NAMED = 16
"""Genres with a colour and a shape of their own, the most frequent ones."""

UNKNOWN = "unknown"


def map_sample(songs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """At most ``DRAWN`` rows of a song map: held-out songs first, the rest drawn by ``seed``."""
    if len(songs) <= DRAWN:
        return songs
    random = np.random.default_rng(seed)
    order = random.permutation(len(songs))
    order = order[np.argsort(~songs["cold"].to_numpy(dtype=bool)[order], kind="stable")]
    return songs.iloc[np.sort(order[:DRAWN])]


def map_plot(songs: pd.DataFrame) -> Figure:
    """A point a song, a colour and a shape a genre, larger and outlined where it is held out.

    ``songs``: title, artist, genre, x, y, cold (whether it is held out).
    """
    genres = songs[GENRE].fillna("").astype(str)
    counts = genres[genres != ""].value_counts(sort=False)
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))
    named = sorted(ranked[:NAMED])
    groups: list[tuple[str, str, str, pd.Series[bool]]] = [
        (name, PALETTE[place % len(PALETTE)], SYMBOLS[place % len(SYMBOLS)], genres == name)
        for place, name in enumerate(named)
    ]
    rest = f"{len(ranked) - len(named)} other genres"
    groups.append((rest, GREY, "circle", ~genres.isin(["", *named])))
    groups.append((UNKNOWN, GREY, "circle", genres == ""))
    size = 8 if len(songs) <= 1000 else 5
    cold = songs["cold"].astype(bool)
    traces = []
    # Held-out songs come last, so that they lie on top.
    for held_out in (False, True):
        for name, colour, symbol, chosen in groups:
            part = songs[chosen & (cold == held_out)]
            if len(part) or (chosen.any() and not held_out):
                label = f"{html.escape(name)} ({int(chosen.sum()):,})"
                traces.append(_trace(label, colour, symbol, part, size, held_out=held_out))
    if cold.any():
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "outlined: held out",
                "x": [None],
                "y": [None],
                "marker": {
                    "size": size + 3,
                    "symbol": "circle-open",
                    "color": "$ink",
                    "line": {"width": 1.8, "color": "$ink"},
                },
            }
        )
    layout = base_layout("", height=560 + 14 * (len(traces) // 4))
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {
            "showticklabels": False,
            "showgrid": False,
            "showline": False,
            "zeroline": False,
            "rangemode": "normal",
            "title": {"text": ""},
        }
    layout["yaxis"] |= {"scaleanchor": "x"}
    layout |= {"showlegend": True, "legend": legend_below() | {"y": -0.02}}
    return {"data": traces, "layout": layout}


def _trace(
    name: str, colour: str, symbol: str, songs: pd.DataFrame, size: int, *, held_out: bool
) -> dict[str, Any]:
    """The songs of one genre; those held out go by the legend's entry of the others."""
    texts = [
        f"<b>{html.escape(str(title))}</b><br>{html.escape(str(artist))}"
        + ("<br>held out" if held_out else "")
        for title, artist in zip(songs[TITLE], songs[ARTIST], strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "legendgroup": name,
        "showlegend": not held_out,
        "x": songs["x"].astype(float).round(4).tolist(),
        "y": songs["y"].astype(float).round(4).tolist(),
        "text": texts,
        "hovertemplate": f"%{{text}}<extra>{name}</extra>",
        "marker": {
            "size": size + 3 if held_out else size,
            "symbol": symbol,
            "color": colour,
            "opacity": 0.85 if colour != GREY else 0.5,
            "line": {"width": 1.8 if held_out else 0, "color": "$ink"},
        },
    }


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
