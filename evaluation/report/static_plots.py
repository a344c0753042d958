"""Plots of a report as .png files, drawn by matplotlib from the Plotly figures.

Only what ``evaluation.report.plots`` makes is supported: traces of type "scatter" with markers,
text, lines and error bars, straight lines as shapes, and two axes of which y may be categorical.
"""

import html
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from datasets.errors import InvalidArgumentError
from datasets.system.files import atomic_write
from evaluation.report.plots import PlotlyFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI: Final = 144
_PIXELS = 96
"""Pixels per inch on a page."""
_WIDTH = {True: 960, False: 620}
"""Width in pixels of plots as wide as the page (True) and of others."""
_MARKERS: Final = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "x": "X",
    "star": "*", "circle-open": "o", "diamond-open": "D",
}  # fmt: skip
_DASHES: Final = {"solid": "-", "dash": "--", "dot": ":"}


def write_plot(figure: PlotlyFigure, path: Path, *, whole: bool) -> None:
    """Write a plot as a .png file on white.

    Args:
        figure: the plot.
        path: the file.
        whole: whether the plot is as wide as the page.

    Raises:
        InvalidArgumentError: the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    painted = apply_colours(figure, light_colours())
    size = (_WIDTH[whole] / _PIXELS, painted["layout"]["height"] / _PIXELS)
    with matplotlib.rc_context({"font.size": 9, "text.parse_math": False}):
        sheet = Sheet(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(sheet)
        axes = sheet.add_subplot()
        _prepare(axes, painted["layout"])
        for trace in painted["data"]:
            _draw(axes, trace)
        _finish(axes, painted)
        try:
            with atomic_write(path) as temporary:
                sheet.savefig(temporary, format="png")
        except OSError as error:
            message = f"{path}: cannot be written: {error.strerror}"
            raise InvalidArgumentError(message) from error


def light_colours() -> dict[str, str]:
    """Read the named colours of the page's light style from its style sheet."""
    style = resources.files("evaluation").joinpath("templates", "report.css")
    first = style.read_text(encoding="utf-8").split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", first))


def apply_colours(node: Any, colours: Mapping[str, str]) -> Any:
    """Replace each ``$name`` in a figure by its colour, and HTML entities by their characters."""
    if isinstance(node, str):
        if node.startswith("$") and node[1:] in colours:
            return colours[node[1:]]
        return html.unescape(node)
    if isinstance(node, list):
        return [apply_colours(inner, colours) for inner in node]
    if isinstance(node, dict):
        return {key: apply_colours(value, colours) for key, value in node.items()}
    return node


def _prepare(axes: "Axes", layout: Mapping[str, Any]) -> None:
    x, y = layout["xaxis"], layout["yaxis"]
    rule = y["gridcolor"]
    axes.set_axisbelow(True)
    if x.get("showgrid", True):
        axes.grid(axis="x", color=rule, linewidth=0.8)
    if y.get("showgrid", True):
        axes.grid(axis="y", color=rule, linewidth=0.8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=x["tickfont"]["color"])
    axes.set_xlabel(x["title"]["text"])
    axes.set_ylabel(y.get("title", {}).get("text", ""))
    if "categoryarray" in y:
        axes.set_yticks(range(len(y["categoryarray"])), y["categoryarray"])
        axes.set_ylim(*y["range"])
    if x.get("type") == "log":
        axes.set_xscale("log")
        axes.set_xticks(x["tickvals"], x["ticktext"])
        axes.set_xticks([], minor=True)
    if y.get("scaleanchor"):
        axes.set_aspect("equal", adjustable="datalim")
    for axis, shown in ((axes.xaxis, x), (axes.yaxis, y)):
        if not shown.get("showticklabels", True):
            axis.set_ticklabels([])


def _draw(axes: "Axes", trace: Mapping[str, Any]) -> None:
    x, y = trace["x"], trace["y"]
    if y and isinstance(y[0], str):
        names = [label.get_text() for label in axes.get_yticklabels()]
        y = [names.index(name) for name in y]
    if "lines" in trace["mode"]:
        line = trace["line"]
        axes.plot(x, y, color=line["color"], lw=line["width"], ls=_DASHES[line["dash"]], zorder=2)
    for name, along in (("error_x", "xerr"), ("error_y", "yerr")):
        if name in trace:
            bars = trace[name]
            ends: dict[str, Any] = {along: [bars["arrayminus"], bars["array"]]}
            axes.errorbar(x, y, fmt="none", ecolor=bars["color"], elinewidth=1.4, zorder=2, **ends)
    if "markers" in trace["mode"]:
        _marks(axes, x, y, trace)
    if "text" in trace["mode"]:
        _names(axes, x, y, trace)


def _marks(axes: "Axes", x: Sequence[float], y: Sequence[float], trace: Mapping[str, Any]) -> None:
    marker = trace["marker"]
    hollow = marker["symbol"].endswith("-open")
    line = marker.get("line", {})
    sizes = marker["size"] if isinstance(marker["size"], list) else [marker["size"]] * len(x)
    axes.scatter(
        [float("nan") if value is None else value for value in x],
        [float("nan") if value is None else value for value in y],
        # matplotlib takes the area of a marker in square points, Plotly its width in pixels.
        s=[(0.75 * size) ** 2 for size in sizes],
        marker=_MARKERS[marker["symbol"]],
        facecolors="white" if hollow else marker["color"],
        edgecolors=line.get("color", marker["color"]),
        linewidths=line.get("width", 0),
        alpha=marker.get("opacity", 1.0),
        zorder=3,
        clip_on=trace.get("cliponaxis", True),
        label=trace["name"] if trace.get("showlegend", True) else "_nolegend_",
    )


def _names(axes: "Axes", x: Sequence[float], y: Sequence[float], trace: Mapping[str, Any]) -> None:
    font = trace["textfont"]
    across = {"right": (6, "left"), "left": (-6, "right"), "center": (0, "center")}
    along = {"top": (3, "bottom"), "bottom": (-3, "top"), "middle": (0, "center")}
    for place, text in enumerate(trace["text"]):
        up, side = trace["textposition"][place].split()
        axes.annotate(
            text,
            (x[place], y[place]),
            xytext=(across[side][0], along[up][0]),
            textcoords="offset points",
            ha=across[side][1],
            va=along[up][1],
            color=font["color"],
            weight=font["weight"][place],
            fontsize=8.5,
            zorder=4,
        )


def _finish(axes: "Axes", figure: PlotlyFigure) -> None:
    layout = figure["layout"]
    for shape in layout.get("shapes", []):
        line = shape["line"]
        axes.axvline(shape["x0"], color=line["color"], lw=1, ls=_DASHES[line["dash"]], zorder=1)
    for note in layout.get("annotations", []):
        axes.annotate(
            note["text"], (note["x"], 1), xycoords=("data", "axes fraction"),
            xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", color=note["font"]["color"], fontsize=8,
        )  # fmt: skip
    if layout["xaxis"].get("rangemode") == "tozero":
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]) if _negative(figure, "x") else 0.0)
    if layout["yaxis"].get("rangemode") == "tozero" and "categoryarray" not in layout["yaxis"]:
        axes.set_ylim(bottom=0.0)
    if layout.get("showlegend"):
        sheet = axes.get_figure()
        assert sheet is not None
        scale = 1.6 if layout["yaxis"].get("scaleanchor") else 1.0
        sheet.legend(
            loc="outside lower left", ncols=4, frameon=False, fontsize=8.5, markerscale=scale
        )


def _negative(figure: PlotlyFigure, axis: str) -> bool:
    return any(value is not None and value < 0 for trace in figure["data"] for value in trace[axis])
