"""Draw a song map as an interactive HTML page and as a PNG file."""

import base64
import json
import os
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from datasets.columns import ALBUM, ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import ArtifactError
from datasets.system.files import atomic_write, write_text
from datasets.texts.safe_text import printable
from recsys.songmap.layout import SongMap

# circle, square, diamond, ring, cross, open square, open diamond; as map.js draws them
_MARKERS = ("o", "s", "D", "o", "P", "s", "D")
_OPEN = (3, 5, 6)
"""Shapes drawn as an outline."""

_SMALL_ABOVE = 1500
"""Number of points above which they are drawn smaller."""

_EDGE = 32_767
"""The largest coordinate on the page: two bytes each, finer than any screen."""


def write_map_html(song_map: SongMap, path: Path) -> None:
    """Write a map as an HTML page: to turn, to come near, to find songs in, and to hear them.

    The page is one file that needs no other, and 60 bytes larger for each song with the usual
    texts. Recordings are not put into it: it plays them from where they are, as seen from `path`.

    Examples:
        >>> from recsys.songmap import song_map
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> write_map_html(song_map(load_model(folder / "model")), folder / "map.html")
        >>> (folder / "map.html").read_text()[:15]
        '<!doctype html>'

    Args:
        song_map: the map.
        path: file to write.

    Raises:
        ArtifactError: it cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("recsys.songmap"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(str(value)),
    )
    folder = resources.files("recsys.songmap") / "templates"
    # No text may contain "</script>".
    songs = json.dumps(_page_data(song_map, path), ensure_ascii=False, separators=(",", ":"))
    page = environment.get_template("map.html").render(
        title=song_map.title,
        facts=song_map.facts[:1].upper() + song_map.facts[1:] + ".",
        by=song_map.by,
        style=Markup((folder / "map.css").read_text(encoding="utf-8")),
        script=Markup((folder / "map.js").read_text(encoding="utf-8")),
        songs=Markup(songs.replace("<", "\\u003c")),
    )
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


def _page_data(song_map: SongMap, path: Path) -> dict[str, Any]:
    """What map.js draws; points and groups are packed, as there may be very many."""
    points = song_map.projection.points
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    largest = max(float(np.abs(points).max()), 1e-12)
    group = np.zeros(len(points), np.uint8)
    for number, one in enumerate(song_map.groups):
        group[one.rows] = number
    data: dict[str, Any] = {
        "axes": song_map.axes,
        "groups": [
            {
                "name": printable(one.name),
                "n": len(one.rows),
                "colour": one.colour,
                "shape": one.shape,
                "named": one.named,
            }
            for one in song_map.groups
        ],
        "points": _packed(np.rint(points / largest * _EDGE).astype("<i2")),
        "group": _packed(group),
    }
    for name in (ITEM_ID, TITLE):
        texts = [printable(text) for text in song_map.songs[name]]
        data["id" if name == ITEM_ID else name] = {"values": texts}
    for name in (ARTIST, ALBUM, GENRE):
        rows, values = pd.factorize(song_map.songs[name])
        data[name] = {"values": [printable(text) for text in values], "rows": rows.tolist()}
    return data | _recordings(song_map, path)


def _packed(numbers: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _recordings(song_map: SongMap, path: Path) -> dict[str, Any]:
    """Addresses of the recordings, as seen from the page; the part they share comes once."""
    if not song_map.recordings:
        return {}
    start = path.absolute().parent
    files = {item: os.path.relpath(file, start) for item, file in song_map.recordings.items()}
    shared = os.path.commonpath([os.path.dirname(file) for file in files.values()])  # noqa: PTH120
    prefix = len(shared) + 1 if shared else 0
    return {
        "folder": quote(os.fsencode(shared + "/")) if shared else "",
        "recording": [
            quote(os.fsencode(files[item][prefix:])) if item in files else ""
            for item in song_map.songs[ITEM_ID]
        ],
    }


def _escape_tex(text: str) -> str:
    """Escape a text for matplotlib, which understands some TeX."""
    return printable(text).replace("$", r"\$")
