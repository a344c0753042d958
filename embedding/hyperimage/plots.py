"""Figures of a recording: waveform, all transforms and hyper-images, together or alone.

US 2018/0276540 A1, Fig. 4A to 4G, 5A, 5B.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from datasets.system.files import atomic_write
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import to_mono
from embedding.audio.source import AudioSource, on_disk
from embedding.audio.waveform import load_waveforms
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.image import hyperimage
from embedding.transforms.snippet import SnippetFeatures
from embedding.transforms.table import TRANSFORMS

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


WAVEFORM_PART = "waveform"
HYPERIMAGES = {
    "hyperimage_stacked": HyperImageConfig(preset="stacked"),
    "hyperimage_waveform": HyperImageConfig(preset="waveform"),
}
"""Settings of the hyper-images, by the name of the part (Fig. 5A, 5B)."""

PICTURED = tuple(t.name for t in TRANSFORMS.values() if t.kind != "waveform")
"""Transforms with a panel of their own."""

PARTS = (WAVEFORM_PART, *PICTURED, *HYPERIMAGES)
"""Parts of the figure, in order."""

_FORMATS = (".png", ".pdf", ".svg")
"""Formats of figures, by suffix."""

COLUMNS = 3
"""Panels in a row."""

PANEL = (6.6, 3.1)
"""Width and height of a panel in inches."""

STYLE = {
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.fonttype": "none",
}


@dataclass(frozen=True, eq=False)
class PlotInput:
    """A snippet with everything that its figure shows."""

    name: str
    """Name of the recording."""

    start: float
    """Start time of the snippet in the recording, in seconds."""

    recorded_seconds: float
    """Seconds that come from the recording; less than the snippet if a short one was repeated."""

    channels: Float32Array
    """Waveform as recorded, float32 [1 or 2, samples]."""

    sound: SnippetFeatures
    """The mono snippet and its transforms."""

    @property
    def seconds(self) -> float:
        """Length of the snippet in seconds."""
        return self.channels.shape[1] / self.sound.sr


def load_plot_input(
    source: AudioSource, snippet: SnippetConfig, sample_rate: int = 22050
) -> PlotInput:
    """Load the first snippet of a recording for drawing.

    Raises:
        AudioError: no usable sound; the message names the recording and the reason.
    """
    with on_disk([source]) as (file,):
        waveform = load_waveforms(file, snippet, sample_rate)[0]
        mono = to_mono(waveform.samples.T)
        return PlotInput(
            name=Path(file.name).name,
            start=waveform.start,
            recorded_seconds=waveform.recorded_seconds,
            channels=waveform.samples,
            sound=SnippetFeatures(mono[None], sr=sample_rate),
        )


def draw(
    source: AudioSource,
    out: Path | str,
    snippet: SnippetConfig | None = None,
    *,
    only: Sequence[str] = (),
) -> None:
    """Draw a snippet of a recording to a file.

    Args:
        source: path, bytes or binary file object.
        out: file with suffix .png, .pdf or .svg; an existing file is replaced.
        snippet: which part of the recording; by default 5 s from the middle. If it has several
            snippets, the first is drawn.
        only: parts to draw, from `PARTS`; by default all.

    Raises:
        AudioError: no usable sound; the message names the recording and the reason.
        InvalidArgumentError: an unknown part, or the file cannot be written.

    Examples:
        >>> from embedding.hyperimage import draw
        >>> draw(recording, folder / "mel.svg", only=["mel"])
        >>> (folder / "mel.svg").is_file()
        True
    """
    out = Path(out)
    check_figure_file(out)
    _check_parts(only)
    figure = draw_sheet(load_plot_input(source, snippet or SnippetConfig()), only=only)
    try:
        with atomic_write(out) as temporary, _styled():
            figure.savefig(temporary, format=out.suffix[1:].lower())
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written: {error.strerror}") from error


def check_figure_file(out: Path) -> None:
    """Raise InvalidArgumentError if a figure cannot be written to a file of this name."""
    if out.suffix.lower() not in _FORMATS:
        raise InvalidArgumentError(f"{out}: a picture is written as {', '.join(_FORMATS)}")
    if out.is_dir():
        raise InvalidArgumentError(f"{out}: is a folder")


def draw_sheet(plotted: PlotInput, *, only: Sequence[str] = ()) -> Figure:
    """Draw all parts, or some, into one figure: waveform, then transforms, then hyper-images.

    Raises:
        InvalidArgumentError: an unknown part.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _check_parts(only)
    parts = [part for part in PARTS if not only or part in only]
    transforms = [part for part in parts if part in PICTURED]
    images = [part for part in parts if part in HYPERIMAGES]
    lanes = len(plotted.channels) if WAVEFORM_PART in parts else 0
    columns = min(COLUMNS, len(transforms)) or 1
    rows = -(-len(transforms) // columns)
    # Separate subfigures, so that long labels in one do not narrow the panels of the others.
    blocks: list[tuple[float, Callable[[SubFigure], None]]] = []
    if lanes:
        blocks.append((0.7 * lanes, lambda block: _draw_waveforms(block, plotted)))
    if transforms:
        blocks.append((rows, lambda block: _draw_transforms(block, plotted, transforms, columns)))
    if images:
        blocks.append((1.7, lambda block: _draw_hyperimages(block, plotted, images)))
    heights = [height for height, _ in blocks]
    width = PANEL[0] * (columns if columns > 1 else 1.5)
    with _styled():
        figure = Figure((width, PANEL[1] * sum(heights) + 0.6), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_title(plotted), fontsize=13, parse_math=False)
        places = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)
        for place, (_, drawn) in zip(places[:, 0], blocks, strict=True):
            drawn(place)
    return figure


def _draw_waveforms(block: SubFigure, plotted: PlotInput) -> None:
    from embedding.hyperimage.panels import draw_waveform

    lanes = block.subplots(len(plotted.channels), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    sides = ("left", "right") if len(lanes) == 2 else ("one channel",)
    for axes, y, side in zip(lanes, plotted.channels, sides, strict=True):
        draw_waveform(axes, y, plotted.sound.sr, plotted.start, f"Waveform, {side}")
        axes.label_outer()
    limit = 1.05 * float(np.abs(plotted.channels).max())
    lanes[0].set_ylim(-limit, limit)


def _draw_transforms(
    block: SubFigure, plotted: PlotInput, transforms: Sequence[str], columns: int
) -> None:
    from embedding.hyperimage.panels import draw_transform

    rows = -(-len(transforms) // columns)
    panels = block.subplots(rows, columns, squeeze=False).ravel()
    for axes, part in zip(panels, transforms, strict=False):
        draw_transform(axes, TRANSFORMS[part], plotted.sound, plotted.start)
    for axes in panels[len(transforms) :]:
        axes.set_axis_off()
    if len(panels) > len(transforms):
        panels[-1].text(0, 0.95, _facts(plotted.sound), va="top", fontsize=9, linespacing=1.7)


def _draw_hyperimages(block: SubFigure, plotted: PlotInput, images: Sequence[str]) -> None:
    from embedding.hyperimage.panels import draw_hyperimage

    panels = block.subplots(1, len(images), squeeze=False)[0]
    for axes, part in zip(panels, images, strict=True):
        config = HYPERIMAGES[part].replace(sample_rate=plotted.sound.sr)
        y = plotted.channels if config.sound_channels == 2 else plotted.sound.y
        draw_hyperimage(axes, hyperimage(y, config), config, plotted.start, plotted.seconds)


def _facts(sound: SnippetFeatures) -> str:
    """Text on how to read the panels."""
    window, hop = sound.n_fft, sound.hop_length
    return (
        f"Window {window:,} samples ({1000 * window / sound.sr:.0f} ms), "
        f"a frame every {hop:,} ({1000 * hop / sound.sr:.0f} ms).\n"
        "Notes and pitch classes: A4 = 440 Hz.\n"
        "Decibels: below the largest value of the panel.\n"
        "Tempogram: dotted where the beat of a tempo lies;\n"
        "tempi a power of two apart are one in the cyclic one."
    )


def _title(plotted: PlotInput) -> str:
    part = f"{plotted.recorded_seconds:.3g} s from {plotted.start:.4g} s"
    if plotted.recorded_seconds < plotted.seconds:
        part += f", repeated to {plotted.seconds:.3g} s"
    return f"{plotted.name}   ({part}; {plotted.sound.sr:,} samples a second)"


def _check_parts(only: Sequence[str]) -> None:
    for part in only:
        if part not in PARTS:
            raise InvalidArgumentError(f"no part {part!r} to draw; there are {', '.join(PARTS)}")


@contextmanager
def _styled() -> Iterator[None]:
    """Apply the style, and hide warnings about letters that the font lacks."""
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
