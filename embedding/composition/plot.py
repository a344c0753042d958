"""A composition as a picture: its hyper-image, and above it the notes that it is made of."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from datasets.errors import InvalidArgumentError
from datasets.files import atomic_write
from embedding.composition.composer import Composition
from embedding.composition.initial_loop import STEPS
from embedding.composition.instruments import DRUMS, RANGES
from embedding.composition.loop import INAUDIBLE, NoteGrid
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.panels import draw_hyperimage

FORMATS = (".png", ".pdf", ".svg")

COLOURS = dict(zip(RANGES, ("#4c72b0", "#c44e52", "#55a868", "#dd8452"), strict=True))
DRUM_COLOUR = "#555555"
LOWEST = 26
"""MIDI pitch at the lower edge of the notes; drums stand below it, three semitones each."""


def draw_composition(
    composition: Composition, config: HyperImageConfig, seconds: float, title: str, out: Path
) -> None:
    """Draw a composition to a file, replacing one that is there.

    Args:
        composition: what was composed.
        config: how its hyper-image was made.
        seconds: length of the snippet that the hyper-image shows.
        title: one line above the picture.
        out: a file that ends in .png, .pdf or .svg.

    Raises:
        InvalidArgumentError: another ending, or the file cannot be written.
    """
    check_picture(out)
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


def check_picture(out: Path) -> None:
    """Raises InvalidArgumentError where a picture cannot be written to a file of that name."""
    if out.suffix.lower() not in FORMATS:
        raise InvalidArgumentError(f"{out}: a picture is written as {', '.join(FORMATS)}")
    if out.is_dir():
        raise InvalidArgumentError(f"{out}: is a folder")


def _draw_notes(axes: Axes, score: NoteGrid, sample_rate: int) -> None:
    """Each note of the loop as a bar: wider at its step, darker the louder it is."""
    loudness = score.notes()
    level = 20 * np.log10(np.maximum(loudness, 1e-9) / loudness.max())
    shade = np.clip(1 + level / INAUDIBLE, 0, 1)
    named: set[str] = set()
    for step, sound in np.argwhere(loudness > 0):
        name, pitch = score.names[sound], int(score.pitches[sound])
        is_drum = name in DRUMS
        label = "drums" if is_drum else name
        axes.barh(
            LOWEST - 3 * (DRUMS.index(name) + 1) if is_drum else pitch,
            width=0.9,
            left=step,
            height=2.4 if is_drum else 0.9,
            color=DRUM_COLOUR if is_drum else COLOURS[name],
            alpha=float(0.1 + 0.9 * shade[step, sound]),
            label=None if label in named else label,
        )
        named.add(label)
    octaves = list(range(36, 97, 12))
    drums = [LOWEST - 3 * (number + 1) for number in range(len(DRUMS))]
    names = [f"C{pitch // 12 - 1}" for pitch in octaves]
    axes.set_yticks([*drums, *octaves], [*DRUMS, *names], fontsize="small")
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
