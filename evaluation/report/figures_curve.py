"""The plot of a learning curve: how good models are with how much data."""

from typing import Any

import pandas as pd

from evaluation.report.plots import PALETTE, SYMBOLS, Figure, base_layout

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
