"""The plot of a map of songs: what is near sounds alike."""

import html
from typing import Any

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, TITLE
from evaluation.figures import GREY, PALETTE, SYMBOLS, Figure, base_layout
from evaluation.figures_curve import legend_below

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
    traces = [
        _trace(name, colour, symbol, songs[chosen], size)
        for name, colour, symbol, chosen in groups
        if chosen.any()
    ]
    if songs["cold"].any():
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
            "zeroline": False,
            "rangemode": "normal",
            "title": {"text": ""},
        }
    layout["yaxis"] |= {"scaleanchor": "x"}
    layout |= {"showlegend": True, "legend": legend_below() | {"y": -0.02}}
    return {"data": traces, "layout": layout}


def _trace(name: str, colour: str, symbol: str, songs: pd.DataFrame, size: int) -> dict[str, Any]:
    # Held-out songs come last, so that they lie on top.
    songs = songs.sort_values("cold", kind="stable")
    cold = songs["cold"].to_numpy(dtype=bool)
    texts = [
        f"<b>{html.escape(str(title))}</b><br>{html.escape(str(artist))}"
        + ("<br>held out" if held_out else "")
        for title, artist, held_out in zip(songs[TITLE], songs[ARTIST], cold, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{html.escape(name)} ({len(songs):,})",
        "x": songs["x"].astype(float).round(4).tolist(),
        "y": songs["y"].astype(float).round(4).tolist(),
        "text": texts,
        "hovertemplate": "%{text}<extra>" + html.escape(name) + "</extra>",
        "marker": {
            "size": [size + 3 if held_out else size for held_out in cold.tolist()],
            "symbol": symbol,
            "color": colour,
            "opacity": 0.85 if colour != GREY else 0.5,
            "line": {
                "width": [1.8 if held_out else 0 for held_out in cold.tolist()],
                "color": "$ink",
            },
        },
    }
