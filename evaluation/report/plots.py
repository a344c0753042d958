"""Plotly figures of a report: intervals, scatter plots of two metrics, learning curves, song maps.

A colour is a name such as ``$accent``: the page replaces it by the colour of its light, dark or
print style. Models and controls also differ in shape, so that no plot depends on colour.
"""

import html
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, TITLE
from datasets.texts.safe_text import printable
from evaluation.comparison.bootstrap import Interval

PlotlyFigure = dict[str, Any]
"""A figure as Plotly's JSON: its traces (``data``) and its ``layout``."""

_PALETTE: Final = (
    "#2F7FC1", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A900", "#9A6FB0",
    "#8C6D46", "#6FBF9B",
)  # fmt: skip
"""Colours of genres and of curves: Okabe and Ito (2008), distinct for colour-blind readers, moved
to medium lightness so that they show on white and on black, and three more that need the shapes."""

_GREY: Final = "#8A8F98"

_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
"""Shapes beside the colours; a pair of both repeats after 70."""

_DASHES: Final = ("solid", "dash", "dot")


class Point(NamedTuple):
    """A model's value of one metric."""

    model: str
    control: bool
    """Whether the model is a control."""
    value: Interval


PointPair = tuple[Point, Interval]
"""A model's values of two metrics: x with the model's name, and y."""


# Intervals of one metric


def interval_plot(
    points: list[Point], label: str, reference: tuple[str, float] | None
) -> PlotlyFigure:
    """Plot a dot and an interval for each model.

    Args:
        points: the models, from top to bottom.
        label: name of the metric.
        reference: name and value of a dashed vertical line.
    """
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
                "y": [plotly_text(point.model) for point in chosen],
                "error_x": _error_bars(chosen, control),
                "marker": marker(control),
                "cliponaxis": False,
                "customdata": [[point.value.low, point.value.high] for point in chosen],
                "hovertemplate": (
                    "<b>%{y}</b>: %{x:.3f}<br>%{customdata[0]:.3f} to %{customdata[1]:.3f}"
                    "<extra></extra>"
                ),
            }
        )
    layout = layout_of_rows(label, [plotly_text(point.model) for point in points], row_height=26)
    if reference is not None and min(point.value.low for point in points) > reference[1] / 2:
        layout["xaxis"]["rangemode"] = "normal"
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
                "text": plotly_text(name),
                "showarrow": False,
                "font": {"size": 11, "color": "$muted"},
            }
        ]
    return {"data": traces, "layout": layout}


# Two metrics


def pareto_front(points: Sequence[PointPair], *, lower: bool = False) -> list[str]:
    """Find the models that no other model beats in both metrics, by rising x.

    Controls are left out, and so are models without any hit (y = 0).

    Args:
        points: the models.
        lower: whether a smaller x is better; a larger y always is.

    Returns:
        Names of the models; by falling x where ``lower``.
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


def scatter_plot(
    points: Sequence[PointPair],
    x_label: str,
    y_label: str,
    *,
    front: Sequence[str] = (),
    size: str = "whole",
    zero: bool = True,
) -> PlotlyFigure:
    """Plot each model as a point with two intervals.

    Args:
        points: the models.
        x_label: name of the metric on the x axis.
        y_label: name of the metric on the y axis.
        front: models joined by a dotted line, the ``pareto_front``.
        size: ``"whole"`` or ``"half"`` of the page's width; half has no room for names of controls.
        zero: whether the x axis begins at 0.
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
    positions = dict(
        zip(
            (point.model for point, _ in named),
            _label_positions(points, named, _PLOT_WIDTHS[size], zero),
            strict=True,
        )
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
                "mode": "markers+text" if horizontal[0].model in positions else "markers",
                "name": "controls" if control else "models",
                "x": [point.value.mean for point in horizontal],
                "y": [point.value.mean for point in vertical],
                "text": [plotly_text(point.model) for point in horizontal],
                "textposition": [positions.get(p.model, "top center") for p in horizontal],
                "textfont": {
                    "size": 12,
                    "color": "$muted" if control else "$ink",
                    "weight": [700 if point.model in front else 400 for point in horizontal],
                },
                "cliponaxis": False,
                "error_x": _error_bars(horizontal, control),
                "error_y": _error_bars(vertical, control),
                "marker": marker(control),
                "hovertemplate": (
                    f"<b>%{{text}}</b><br>{x_label}: %{{x:.3f}}<br>{y_label}: %{{y:.3f}}"
                    "<extra></extra>"
                ),
            }
        )
    layout = _layout(x_label, height=380)
    values = [y.mean for _, y in points]
    layout["yaxis"] |= {
        "title": {"text": y_label},
        "rangemode": "tozero" if min(values) < max(values) / 2 else "normal",
        "automargin": True,
    }
    layout["xaxis"]["rangemode"] = "tozero" if zero else "normal"
    layout["margin"] |= {"l": 56, "r": 72}
    return {"data": traces, "layout": layout}


_Box = tuple[float, float, float, float]
"""Left, bottom, right and top of a rectangle, in pixels."""

_PLOT_WIDTHS: Final = {"whole": 640.0, "half": 330.0}
"""Pixels from the smallest to the largest x of a typical plot."""

_PLOT_HEIGHT: Final = 240.0

_LETTER_WIDTH: Final = 6.5
"""Pixels a letter takes."""


def _label_positions(
    points: Sequence[PointPair], named: Sequence[PointPair], width: float, zero: bool
) -> list[str]:
    """Choose a position for the label of each named point so that labels overlap little.

    Greedy: one label after another takes the freest of eight positions around its point, in a plot
    of typical size, as the exact size is known only on the page.
    """
    across = [point.value.mean for point, _ in points]
    start = min([0.0, *across] if zero else across)
    span_x = max(across) - start or 1.0
    span_y = max(y.mean for _, y in points) or 1.0

    def pixel(pair: PointPair) -> tuple[float, float]:
        x, y = pair[0].value.mean, pair[1].mean
        return width * (x - start) / span_x, _PLOT_HEIGHT * y / span_y

    occupied = [(x - 6, y - 6, x + 6, y + 6) for x, y in map(pixel, points)]
    chosen = []
    for point, value in named:
        x, y = pixel((point, value))
        length = _LETTER_WIDTH * len(point.model)
        boxes = {
            f"{vertical} {horizontal}": _label_box(x, y, vertical, horizontal, length)
            for vertical, horizontal in (
                ("top", "right"), ("top", "left"), ("bottom", "right"), ("bottom", "left"),
                ("middle", "right"), ("middle", "left"), ("top", "center"), ("bottom", "center"),
            )
        }  # fmt: skip
        best = min(boxes, key=lambda name: _overlap(boxes[name], occupied, width))
        occupied.append(boxes[best])
        chosen.append(best)
    return chosen


def _label_box(x: float, y: float, vertical: str, horizontal: str, length: float) -> _Box:
    left = {"right": x + 7, "left": x - 7 - length, "center": x - length / 2}[horizontal]
    low = {"top": y + 5, "bottom": y - 19, "middle": y - 7}[vertical]
    return left, low, left + length, low + 14


def _overlap(box: _Box, occupied: list[_Box], width: float) -> float:
    """Area of the box that is covered by others, or outside the plot and its margin."""
    outside = max(0.0, -box[0]) + max(0.0, box[2] - width - 70) + max(0.0, -box[1])
    covered = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in occupied
    )
    return covered + 14 * outside


# New items against what they cost


class Curve(NamedTuple):
    """Points of one model, joined by a line."""

    name: str
    control: bool
    """Whether it is a control."""
    x: list[float]
    y: list[float]
    labels: list[str]
    """A text beside each point; "" for none."""


def frontier_plot(
    curves: Sequence[Curve], x_label: str, y_label: str, *, normal: bool
) -> PlotlyFigure:
    """Plot curves of shares of places (x) against what they cost or find (y).

    Args:
        curves: the first is drawn strongest, and with its labels.
        x_label: name of the x axis.
        y_label: name of the y axis.
        normal: whether the y axis fits the values instead of beginning at 0.
    """
    traces: list[dict[str, Any]] = []
    models = controls = 0
    for place, curve in enumerate(curves):
        if not curve.x:
            continue
        if curve.control:
            colour, symbol = "$second", ("diamond-open", "x", "cross")[controls % 3]
            controls += 1
        else:
            colour = "$accent" if place == 0 else _PALETTE[1:][(models - 1) % (len(_PALETTE) - 1)]
            symbol = _SYMBOLS[models % len(_SYMBOLS)]
            models += 1
        text = [plotly_text(label) for label in curve.labels]
        dash = "dot" if curve.control else "solid"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers+text" if any(text) else "lines+markers",
                "name": plotly_text(curve.name),
                "x": curve.x,
                "y": curve.y,
                "line": {"color": colour, "width": 2.5 if place == 0 else 1.5, "dash": dash},
                "marker": {
                    "size": 9 if place == 0 else 7,
                    "symbol": symbol,
                    "color": colour,
                    "line": {"width": 1.5 if curve.control else 0, "color": colour},
                },
                "text": text,
                "textposition": ["top left"] * len(text),
                "textfont": {"size": 12, "color": "$ink", "weight": [700] * len(text)},
                "cliponaxis": False,
                "hovertemplate": (
                    "<b>%{fullData.name}</b><br>%{x:.1f}% of places: %{y:.3g}<extra></extra>"
                ),
            }
        )
    layout = _layout(x_label, height=360 + 18 * len(traces))
    layout["yaxis"] |= {
        "title": {"text": y_label},
        "rangemode": "normal" if normal else "tozero",
        "automargin": True,
        "nticks": 6,
    }
    layout["margin"] |= {"l": 56, "r": 24}
    layout |= {"showlegend": True, "legend": _legend_below(-0.2)}
    return {"data": traces, "layout": layout}


# Learning curve


def curve_plot(curve: pd.DataFrame, label: str) -> PlotlyFigure:
    """Plot a line for each model over the number of interactions.

    Args:
        curve: rows of one metric: model, interactions, mean, low, high.
        label: name of the metric.
    """
    traces: list[dict[str, Any]] = []
    last = curve.sort_values("interactions").groupby("model")["mean"].last()
    for place, name in enumerate(last.sort_values(ascending=False, kind="stable").index):
        rows = curve[curve["model"] == name].sort_values("interactions")
        colour = _PALETTE[place % len(_PALETTE)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plotly_text(name),
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
                    "dash": _DASHES[place // len(_PALETTE) % len(_DASHES)],
                },
                "marker": {"size": 8, "symbol": _SYMBOLS[place % len(_SYMBOLS)], "color": colour},
                "cliponaxis": False,
                "hovertemplate": (
                    f"<b>%{{fullData.name}}</b><br>%{{x:,}} interactions: {label} %{{y:.3f}}"
                    "<extra></extra>"
                ),
            }
        )
    layout = _layout("interactions in training", height=400 + 12 * (len(traces) // 4))
    points = sorted(set(curve["interactions"].astype(int)))
    layout["xaxis"] |= {
        "type": "log",
        "rangemode": "normal",
        "tickvals": points,
        "ticktext": [f"{value:,}" for value in points],
    }
    layout["yaxis"] |= {"title": {"text": label}, "rangemode": "tozero", "automargin": True}
    layout["margin"] |= {"l": 56, "r": 40}
    layout |= {"showlegend": True, "legend": _legend_below(-0.16)}
    return {"data": traces, "layout": layout}


# Map of songs

MAX_SONGS: Final = 4000
"""Most points that a page draws."""

_MAX_GENRES: Final = 16
"""Genres with a colour and shape of their own: the most frequent ones."""

_UNKNOWN: Final = "unknown"


def sample_songs(songs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Take at most ``MAX_SONGS`` rows of a song map: held-out songs first, then a random sample."""
    if len(songs) <= MAX_SONGS:
        return songs
    random = np.random.default_rng(seed)
    order = random.permutation(len(songs))
    order = order[np.argsort(~songs["cold"].to_numpy(dtype=bool)[order], kind="stable")]
    return songs.iloc[np.sort(order[:MAX_SONGS])]


def map_plot(songs: pd.DataFrame) -> PlotlyFigure:
    """Plot songs as points with a colour and shape for each genre; held-out songs are outlined.

    Args:
        songs: title, artist, genre, x, y, cold (whether the song is held out).
    """
    genres = songs[GENRE].fillna("").astype(str)
    counts = genres[genres != ""].value_counts(sort=False)
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))
    named = sorted(ranked[:_MAX_GENRES])
    groups: list[tuple[str, str, str, pd.Series[bool]]] = [
        (name, _PALETTE[place % len(_PALETTE)], _SYMBOLS[place % len(_SYMBOLS)], genres == name)
        for place, name in enumerate(named)
    ]
    rest = f"{len(ranked) - len(named)} other genres"
    groups.append((rest, _GREY, "circle", ~genres.isin(["", *named])))
    groups.append((_UNKNOWN, _GREY, "circle", genres == ""))
    size = 8 if len(songs) <= 1000 else 5
    cold = songs["cold"].astype(bool)
    traces = []
    # Held-out songs come last, so that they are drawn on top.
    for held_out in (False, True):
        for name, colour, symbol, chosen in groups:
            part = songs[chosen & (cold == held_out)]
            if len(part) or (chosen.any() and not held_out):
                label = f"{plotly_text(name)} ({int(chosen.sum()):,})"
                traces.append(_genre_trace(label, colour, symbol, part, size, held_out=held_out))
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
    layout = _layout("", height=560 + 14 * (len(traces) // 4))
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
    layout |= {"showlegend": True, "legend": _legend_below(-0.02)}
    return {"data": traces, "layout": layout}


def _genre_trace(
    name: str, colour: str, symbol: str, songs: pd.DataFrame, size: int, *, held_out: bool
) -> dict[str, Any]:
    """The songs of one genre; held-out songs share the legend entry of the others."""
    texts = [
        f"<b>{plotly_text(title)}</b><br>{plotly_text(artist)}"
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
            "opacity": 0.85 if colour != _GREY else 0.5,
            "line": {"width": 1.8 if held_out else 0, "color": "$ink"},
        },
    }


# What plots share


def plotly_text(text: object) -> str:
    """Escape a name for Plotly, which understands some HTML, and fills in ``%{...}``."""
    return html.escape(printable(text), quote=False).replace("%{", "%&#123;")


def marker(control: bool) -> dict[str, Any]:
    """Return the marker of a model (a filled circle) or of a control (an open diamond)."""
    colour = "$second" if control else "$accent"
    return {
        "size": 9,
        "symbol": "diamond-open" if control else "circle",
        "color": colour,
        "line": {"width": 1.5, "color": colour},
    }


def layout_of_rows(x_label: str, names: list[str], row_height: int) -> PlotlyFigure:
    """Return the layout of a plot with a named row for each entry, ``row_height`` pixels high."""
    layout = _layout(x_label, height=row_height * len(names) + 74)
    layout["yaxis"] |= {
        "categoryorder": "array",
        "categoryarray": names[::-1],
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
        "ticksuffix": "  ",
        "automargin": True,
    }
    return layout


def _layout(x_label: str, height: int) -> PlotlyFigure:
    """Axes, colours and margins of all plots."""
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


def _legend_below(y: float) -> dict[str, Any]:
    """A legend in rows under a plot, where narrow screens have room for it."""
    return {
        "orientation": "h",
        "x": 0,
        "y": y,
        "yanchor": "top",
        "font": {"size": 12, "color": "$ink"},
        "itemsizing": "constant",
    }


def _error_bars(points: list[Point], control: bool) -> dict[str, Any]:
    """The intervals of points as Plotly's error bars, of length 0 where there is no interval."""

    def length(value: float) -> float:
        return 0.0 if math.isnan(value) else value

    return {
        "type": "data",
        "symmetric": False,
        "array": [length(point.value.high - point.value.mean) for point in points],
        "arrayminus": [length(point.value.mean - point.value.low) for point in points],
        "thickness": 1.5,
        "width": 0,
        "color": "$second" if control else "$accent",
    }
