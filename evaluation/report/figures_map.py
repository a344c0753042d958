"""The plot of a map of songs: what is near sounds alike."""

import html
from typing import Any

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, TITLE
from evaluation.report.figures_curve import legend_below
from evaluation.report.plots import GREY, PALETTE, SYMBOLS, Figure, base_layout

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
