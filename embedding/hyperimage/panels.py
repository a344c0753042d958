"""Draw one transform, waveform or hyper-image into one set of matplotlib axes.

Titles, axes and units come from the table of transforms; this module adds the colour scales for
each kind of value and the ticks for each kind of axis.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from datasets.arrays import Float32Array, Float64Array
from embedding.audio.waveform import envelope
from embedding.hyperimage.config import HyperImageConfig
from embedding.transforms.snippet import TOP_DB, SnippetFeatures
from embedding.transforms.table import TRANSFORMS, Axis, Transform

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BLUE = "#24527a"
TIME = "time in the recording (s)"
OUTLINE_COLUMNS = 1500
"""Columns of the outline of a waveform; more than a figure has pixels."""

CLOSEST = 0.07
"""Minimum distance of two ticks, as a share of the height of the panel."""

FEW_ROWS = 12
"""Up to this many rows, every row has a tick."""

_TINY = 1e-30


@dataclass(frozen=True)
class ColourScale:
    """Mapping of values to colours."""

    label: str
    """Label of the colour bar, with unit."""

    colours: str
    """Name of a matplotlib colour map."""

    limits: Callable[[Float32Array], tuple[float, float]]
    """Values of the first and the last colour, from the values drawn."""

    top_db: float | None = None
    """Range in dB below the largest value, if power is drawn in dB; None: values are drawn as they
    are."""


def _symmetric(values: Float32Array) -> tuple[float, float]:
    largest = float(np.abs(values).max()) or 1.0
    return -largest, largest


def _from_zero(values: Float32Array) -> tuple[float, float]:
    return 0.0, float(values.max()) or 1.0


def _shapes(values: Float32Array) -> tuple[float, float]:
    # The first coefficient is the level, far larger than the others.
    largest = float(np.percentile(np.abs(values[1:]), 99.5)) or 1.0
    return -largest, largest


COLOUR_SCALES = {
    "power": ColourScale("dB (loudest = 0)", "magma", lambda _: (-TOP_DB, 0.0), TOP_DB),
    "share of the strongest": ColourScale("share of the strongest", "viridis", _from_zero),
    "autocorrelation": ColourScale("autocorrelation", "viridis", _from_zero),
    "-1 .. 1": ColourScale("position", "RdBu_r", _symmetric),
    "salience": ColourScale("dB (highest = 0)", "magma", lambda _: (-25.0, 0.0), 25.0),
    "dB": ColourScale("dB", "magma", _from_zero),
}
"""Colour scale of each kind of value."""

OWN_COLOUR_SCALES = {"mfcc": ColourScale("dB (coefficient 0 beyond)", "RdBu_r", _shapes)}
"""Colour scales of single transforms, by name; they take precedence over `COLOUR_SCALES`."""

CURVE_LABELS = {"Hz": "frequency (Hz)", "dB": "rise of the level (dB)"}
"""Axis label of each kind of value."""


def draw_transform(axes: Axes, transform: Transform, sound: SnippetFeatures, start: float) -> None:
    """Draw a transform over time, with its unit on the axis or on a colour bar.

    Args:
        axes: matplotlib axes.
        transform: entry of `embedding.transforms.table.TRANSFORMS`, not a waveform.
        sound: the snippet.
        start: start time of the snippet in the recording, in seconds.
    """
    values = transform.compute(sound)
    axes.set_title(transform.title)
    if transform.kind == "curve":
        _curve(axes, transform, values, sound, start)
    else:
        _picture(axes, transform, values, sound, start)
    axes.set_xlim(start, start + sound.channels.shape[1] / sound.sr)
    axes.set_xlabel(TIME)


def draw_waveform(axes: Axes, y: Float32Array, sr: int, start: float, title: str) -> None:
    """Draw one channel as its outline (Fig. 4A)."""
    lowest, highest = envelope(y, min(OUTLINE_COLUMNS, len(y)))[0]
    seconds = start + np.arange(len(lowest)) * (len(y) / sr / len(lowest))
    axes.fill_between(seconds, lowest, highest, color=BLUE, linewidth=0.4)
    axes.set_xlim(start, start + len(y) / sr)
    axes.axhline(0, color="white", linewidth=0.3)
    axes.set_title(title)
    axes.set_ylabel("amplitude (1 = full scale)")
    axes.set_xlabel(TIME)


def _curve(
    axes: Axes, transform: Transform, values: Float32Array, sound: SnippetFeatures, start: float
) -> None:
    seconds = start + np.arange(len(values)) * sound.hop_length / sound.sr
    # Pitches are not joined by lines, which would show pitches that do not occur.
    line = 0 if transform.name == "cepstral_pitch" else 1
    axes.plot(seconds, values, color=BLUE, linewidth=line, marker=".", markersize=3)
    axes.set_ylabel(CURVE_LABELS.get(transform.value, transform.value))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if not np.isfinite(values).any():
        axes.text(0.5, 0.5, "none found", transform=axes.transAxes, ha="center")


def _picture(
    axes: Axes, transform: Transform, values: Float32Array, sound: SnippetFeatures, start: float
) -> None:
    scale = OWN_COLOUR_SCALES.get(transform.name) or COLOUR_SCALES[transform.value]
    if scale.top_db is not None:
        loudest = max(float(values.max()), _TINY)
        values = 10 * np.log10(np.maximum(values / loudest, 10 ** (-scale.top_db / 10)))
    low, high = scale.limits(values)
    frame = sound.hop_length / sound.sr
    rows, columns = values.shape
    image = axes.imshow(
        values,
        origin="lower",
        aspect="auto",
        cmap=scale.colours,
        vmin=low,
        vmax=high,
        # Frames are centred at their times.
        extent=(start - frame / 2, start + (columns - 0.5) * frame, -0.5, rows - 0.5),
    )
    _colour_bar(axes, image, scale.label)
    axis = transform.axis
    # Notes have names instead of numbers.
    unit = "" if axis.unit == "MIDI note" else axis.unit
    axes.set_ylabel(f"{axis.quantity} ({unit})" if unit else axis.quantity)
    positions = transform.positions(sound) if transform.positions else np.arange(float(rows))
    ticks, names = row_ticks(axis, positions)
    axes.set_yticks(ticks, names)
    if axis.unit == "s":
        _tempo_lines(axes, positions)


def row_ticks(axis: Axis, positions: Float64Array) -> tuple[list[float], list[str]]:
    """Return the rows of the ticks, and their labels.

    Args:
        axis: what the rows stand for.
        positions: value of each row on the axis, ascending.
    """
    rows = np.arange(float(len(positions)))
    if axis.names:
        return rows.tolist(), list(axis.names)
    if len(positions) <= FEW_ROWS:
        return rows.tolist(), [_number(place) for place in positions]
    low, high = positions[0], positions[-1]
    named = _note_name if axis.unit == "MIDI note" else _number
    ticks: list[float] = []
    names = []
    # From above: on scales denser than logarithmic at the bottom, labels stay readable.
    for place in reversed(_round_places(axis, low, high)):
        row = float(np.interp(place, positions, rows))
        if low <= place <= high and (not ticks or ticks[-1] - row >= CLOSEST * len(rows)):
            ticks.append(row)
            names.append(named(place))
    return ticks, names


def _round_places(axis: Axis, low: float, high: float) -> list[float]:
    if axis.unit == "MIDI note":
        return [float(note) for note in range(0, 128, 12)]
    if axis.unit == "beats/min":
        return [float(tempo) for tempo in range(10, 1000, 10)]
    if axis.scale == "log" or "mel" in axis.quantity:
        return [step * 10.0**power for power in range(1, 6) for step in (1, 2, 5)]
    return [float(place) for place in MaxNLocator(6).tick_values(low, high)]


def _number(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _note_name(note: float) -> str:
    return f"C{round(note) // 12 - 1}"


def _tempo_lines(axes: Axes, lags: Float64Array) -> None:
    """Mark common tempi on an axis of lags."""
    for tempo in (30, 60, 120, 240):
        if lags[0] < 60 / tempo < lags[-1]:
            row = float(np.interp(60 / tempo, lags, np.arange(len(lags))))
            axes.axhline(row, color="white", linewidth=0.6, linestyle=":")
            axes.annotate(
                f"{tempo} BPM",
                (0.99, row),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                color="white",
                fontsize="x-small",
            )


def _colour_bar(axes: Axes, image: Any, label: str) -> None:
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.06)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")
    bar.outline.set_visible(False)


def draw_hyperimage(
    axes: Axes, image: Float32Array, config: HyperImageConfig, start: float, seconds: float
) -> None:
    """Draw a hyper-image with the names of its bands (Fig. 5A, 5B)."""
    drawn = axes.imshow(
        image[0],
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=1,
        extent=(start, start + seconds, 0, config.height),
    )
    _colour_bar(axes, drawn, "value")
    edges = np.cumsum([0, *config.band_rows()])
    for edge in edges[1:-1]:
        axes.axhline(edge, color="white", linewidth=0.8)
    names = [textwrap.fill(TRANSFORMS[band.transform].title, 18) for band in config.layout]
    axes.set_yticks(((edges[:-1] + edges[1:]) / 2).tolist(), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(TIME)
    axes.set_title(f"Hyper-image “{config.preset}”, {config.height} × {config.width}")
