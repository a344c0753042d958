"""Figures of compositions: the hyper-image and, above it, the notes."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from datasets.errors import InvalidArgumentError
from datasets.system.files import atomic_write
from embedding.composition.composer import Composition
from embedding.composition.initial_loop import STEPS
from embedding.composition.instruments import LOOP_DRUMS, RANGES
from embedding.composition.loop import INAUDIBLE, NoteGrid
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.panels import draw_hyperimage
from embedding.hyperimage.plots import check_figure_file

_COLOURS = dict(zip(RANGES, ("#4c72b0", "#c44e52", "#55a868", "#dd8452"), strict=True))
DRUM_COLOUR = "#555555"
_LOWEST = 26
"""MIDI pitch at the lower edge of the notes; drums are drawn below it, three semitones each."""


def draw_composition(
    composition: Composition, config: HyperImageConfig, seconds: float, title: str, out: Path
) -> None:
    """Draw a composition to a file; an existing file is replaced.

    Args:
        composition: the composition.
        config: settings of its hyper-image.
        seconds: length of the snippet that the hyper-image shows.
        title: title of the figure.
        out: file with suffix .png, .pdf or .svg.

    Raises:
        InvalidArgumentError: unknown suffix, or the file cannot be written.

    Examples:
        >>> from embedding.composition import Composition, draw_composition
        >>> config = encoder.config.hyperimage
        >>> composition = Composition(np.zeros(8000, np.float32), config.sample_rate, images[0])
        >>> draw_composition(composition, config, 1.0, "Jazz", folder / "jazz.png")
        >>> (folder / "jazz.png").is_file()
        True
    """
    check_figure_file(out)
    with_notes = composition.score is not None
    figure = Figure(figsize=(9, 9 if with_notes else 5), layout="constrained", dpi=90)
    figure.suptitle(title)
    panels = figure.subplots(2 if with_notes else 1, 1, squeeze=False)[:, 0]
    if composition.score is not None:
        _draw_notes(panels[0], composition.score, composition.sample_rate)
    draw_hyperimage(panels[-1], composition.image, config, 0.0, seconds)
    try:
        with atomic_write(out) as temporary:
            figure.savefig(temporary, format=out.suffix[1:].lower())
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written: {error.strerror}") from error


def _draw_notes(axes: Axes, score: NoteGrid, sample_rate: int) -> None:
    """Draw each note of the loop as a bar, darker the louder it is."""
    loudness = score.notes()
    level = 20 * np.log10(np.maximum(loudness, 1e-9) / loudness.max())
    shade = np.clip(1 + level / INAUDIBLE, 0, 1)
    named: set[str] = set()
    for step, sound in np.argwhere(loudness > 0):
        name, pitch = score.names[sound], int(score.pitches[sound])
        is_drum = name in LOOP_DRUMS
        label = "drums" if is_drum else name
        axes.barh(
            _LOWEST - 3 * (LOOP_DRUMS.index(name) + 1) if is_drum else pitch,
            width=0.9,
            left=step,
            height=2.4 if is_drum else 0.9,
            color=DRUM_COLOUR if is_drum else _COLOURS[name],
            alpha=float(0.1 + 0.9 * shade[step, sound]),
            label=None if label in named else label,
        )
        named.add(label)
    octaves = list(range(36, 97, 12))
    drums = [_LOWEST - 3 * (number + 1) for number in range(len(LOOP_DRUMS))]
    names = [f"C{pitch // 12 - 1}" for pitch in octaves]
    axes.set_yticks([*drums, *octaves], [*LOOP_DRUMS, *names], fontsize="small")
    axes.set_xticks(range(0, STEPS + 1, 4), [str(beat + 1) for beat in range(STEPS // 4)] + [""])
    axes.set_xlim(0, STEPS)
    axes.grid(axis="x", color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("beat of the loop")
    axes.set_title(
        f"Notes, {60 * sample_rate / score.hop / 4:.0f} beats a minute", fontsize="medium"
    )
    legend = axes.legend(loc="upper right", fontsize="small", ncols=len(named))
    for patch in legend.get_patches():
        patch.set_alpha(1.0)
