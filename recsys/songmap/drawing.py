"""Draw a song map as an interactive HTML page and as a PNG file."""

import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import ArtifactError
from datasets.system.files import atomic_write, write_text
from datasets.texts.safe_text import printable
from recsys.songmap.layout import UNKNOWN, SongMap

# The 3-D symbols that plotly draws well; it draws "x" as a letter.
_SYMBOLS = ("circle", "square", "diamond", "circle-open", "cross", "square-open", "diamond-open")
_MARKERS = ("o", "s", "D", "o", "P", "s", "D")
_OPEN = (3, 5, 6)
"""Shapes drawn as an outline."""

_SMALL_ABOVE = 1500
"""Number of points above which they are drawn smaller."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --back: #ffffff; --ink: #1d2127; --muted: #5d6570;
        --rule: #d9dde3; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171c; --ink: #e8eaed; --muted: #a0a8b3; --rule: #3a414b; }
}
html, body { margin: 0; height: 100%; background: var(--back); color: var(--ink);
             font: 16px/1.4 system-ui, sans-serif; }
body { display: flex; flex-direction: column; }
header { padding: 16px 24px 0; }
h1 { font-size: 22px; margin: 0 0 4px; }
p { margin: 0 0 2px; color: var(--muted); font-size: 14px; }
#map { flex: 1; min-height: 420px; }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p>$facts</p>
<p>Drag to turn, scroll to come nearer. A click on a name hides it, a double click shows it
alone.</p>
</header>
<div id="map" role="img" aria-label="$title"></div>
<script>$library</script>
<script>
const figure = $figure;
const dark = matchMedia("(prefers-color-scheme: dark)");
function coloured(layout) {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  layout.font.color = value("--ink");
  for (const axis of ["xaxis", "yaxis", "zaxis"]) {
    Object.assign(layout.scene[axis], { gridcolor: value("--rule"), color: value("--muted"),
                                        zerolinecolor: value("--rule") });
  }
  layout.modebar.color = value("--muted");
  layout.modebar.activecolor = value("--ink");
  layout.hoverlabel = { bgcolor: value("--back"), bordercolor: value("--muted"),
                        font: { color: value("--ink") } };
  return layout;
}
const place = document.getElementById("map");
Plotly.newPlot(place, figure.data, coloured(figure.layout),
               { responsive: true, displaylogo: false });
dark.addEventListener("change", () => Plotly.react(place, place.data, coloured(place.layout)));
</script>
</body>
</html>
"""


def write_map_html(song_map: SongMap, path: Path) -> None:
    """Write a map as a self-contained HTML page that can be turned and zoomed.

    Examples:
        >>> from recsys.songmap import song_map
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> write_map_html(song_map(load_model(folder / "model")), folder / "map.html")
        >>> (folder / "map.html").read_text()[:15]
        '<!DOCTYPE html>'

    Args:
        song_map: the map.
        path: file to write.

    Raises:
        ArtifactError: it cannot be written.
    """
    from plotly.offline import get_plotlyjs

    figure = {"data": [_trace(song_map, n) for n in range(len(song_map.groups))],
              "layout": _layout(song_map)}  # fmt: skip
    # No text may contain "</script>".
    text = json.dumps(figure, ensure_ascii=False).replace("<", "\\u003c")
    parts = {
        "$title": html.escape(printable(song_map.title)),
        "$facts": html.escape(song_map.facts[:1].upper() + song_map.facts[1:] + "."),
        "$figure": text,
        "$library": get_plotlyjs(),
    }
    head, library, tail = _PAGE.partition("$library")
    for name in ("$title", "$facts"):
        head = head.replace(name, parts[name])
    page = head + parts[library] + tail.replace("$figure", parts["$figure"])
    try:
        write_text(path, page)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror}") from error


def write_map_png(song_map: SongMap, path: Path) -> None:
    """Write a map as a PNG file: a view in three dimensions and two projections.

    Examples:
        >>> from recsys.model import load_model
        >>> from recsys.songmap import song_map
        >>> recommender.save(folder / "model")
        >>> write_map_png(song_map(load_model(folder / "model")), folder / "map.png")

    Args:
        song_map: the map.
        path: file to write.

    Raises:
        ArtifactError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.75, 1))
    space = figure.add_subplot(grid[:, 0], projection="3d")
    sides = [(figure.add_subplot(grid[0, 1]), 1), (figure.add_subplot(grid[1, 1]), 2)]
    points, axes = song_map.projection.points, song_map.axes
    area = 30 if len(points) <= _SMALL_ABOVE else 8
    for group in song_map.groups:
        shown = points[group.rows]
        style: dict[str, Any] = {
            "marker": _MARKERS[group.shape], "s": area, "linewidths": 0.9,
            "facecolors": "none" if group.shape in _OPEN else group.colour,
            "edgecolors": group.colour if group.shape in _OPEN else "white",
        }  # fmt: skip
        if group.shape not in _OPEN:
            style["linewidths"] = 0.3
        if not group.named:
            style |= {"alpha": 0.5, "zorder": 0}
        label = _escape_tex(f"{group.name} ({len(group.rows):,})")
        space.scatter(*shown.T, label=label, depthshade=False, **style)
        for side, other in sides:
            side.scatter(shown[:, 0], shown[:, other], **style)
    spans = np.ptp(points, axis=0)
    space.set_box_aspect(np.maximum(spans, 0.3 * max(spans.max(), 1e-9)), zoom=0.92)
    space.set(xlabel=axes[0], ylabel=axes[1], zlabel=axes[2])
    for side, other in sides:
        side.set(xlabel=axes[0], ylabel=axes[other])
        side.grid(color="#e3e6ea", linewidth=0.6)
        side.set_axisbelow(True)
        side.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{_escape_tex(song_map.title)}\n{song_map.facts}", fontsize=13)
    columns = min(6, len(song_map.groups))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=10)
    try:
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format="png")
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror}") from error


def _trace(song_map: SongMap, number: int) -> dict[str, Any]:
    group = song_map.groups[number]
    points = song_map.projection.points[group.rows].astype(float).round(5)
    songs = song_map.songs.iloc[group.rows]
    small = len(song_map.songs) > _SMALL_ABOVE
    texts = []
    columns = (songs[name].tolist() for name in (ITEM_ID, TITLE, ARTIST, GENRE))
    for item, title, artist, genre in zip(*columns, strict=True):
        lines = map(_escape_html, (title or item, artist, genre or UNKNOWN))
        texts.append("<b>{}</b><br>{}<br>{}".format(*lines))
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": _escape_html(f"{group.name} ({len(group.rows):,})"),
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "z": points[:, 2].tolist(),
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "size": 3 if small else 6,
            "symbol": _SYMBOLS[group.shape],
            "color": group.colour,
            "opacity": 0.9 if group.named else 0.5,
        },
    }


def _layout(song_map: SongMap) -> dict[str, Any]:
    axes = {
        name: {
            "title": {"text": title},
            "showbackground": False,
            "showspikes": False,
            "nticks": 6,
        }
        for name, title in zip(("xaxis", "yaxis", "zaxis"), song_map.axes, strict=True)
    }
    return {
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {
            "itemsizing": "constant",
            "title": {"text": _escape_html(song_map.by)},
            "y": 0.94,
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)"},
        "scene": {
            **axes,
            "aspectmode": "data",
            "camera": {"eye": {"x": 1.15, "y": 1.3, "z": 0.7}, "center": {"z": -0.12}},
        },
    }


def _escape_html(text: str) -> str:
    """Escape a text for plotly, which understands some HTML."""
    return html.escape(printable(text), quote=False)


def _escape_tex(text: str) -> str:
    """Escape a text for matplotlib, which understands some TeX."""
    return printable(text).replace("$", r"\$")
