"""Composition: backward propagation from what a song is to be like to its sound.

US 2018/0276540 A1, paragraph 62, goes from a label back to a hyper-image, and from that to sound;
:mod:`embedding.composition.image_inversion` does so. But few pictures are pictures of a sound, and a
network seldom hears in the sound what it saw in the picture. Here the gradient goes one step
further back, through the transforms to the notes of a small ensemble: what is composed is a sound
from the start, and a picture of it exists by definition.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from datasets.arrays import Float32Array
from datasets.errors import AudioError, InvalidArgumentError
from datasets.files import atomic_write
from datasets.progress import progress_bar
from datasets.settings import Settings
from embedding.audio.microphone import FORMATS
from embedding.composition.goals import DifferentiableEncoder, Goal
from embedding.composition.initial_loop import make_initial_loop
from embedding.composition.instruments import make_instruments
from embedding.composition.loop import NoteGrid, cut_snippet, minimise
from embedding.encoder import SongEncoder
from embedding.hyperimage.differentiable import hyperimages
from embedding.hyperimage.extraction import extract
from embedding.network.devices import limited_threads

PEAK = 0.9
"""Highest sample of a finished sound, of full scale."""

FADE_SECONDS = 0.005
"""At both ends, so that they do not click."""

STEP_SIZE = 0.2
"""Of the logarithm of a level."""

SPARSITY = 0.02
"""Price of as much sound as the opening has, in units of the goal's loss."""

REACHED = 0.9
"""Match with the goal from which on no other opening is tried."""

NOISE = 1e-4
"""Noise added while composing, of the peak: more than 16 bits add."""

BLOCK = 65536
"""Frames written at a time; libsndfile's Vorbis encoder crashes on many more."""


class CompositionConfig(Settings):
    """How to compose."""

    seconds: float = Field(default=10.0, ge=0.25, le=600.0)
    """Length of the sound."""

    seed: int = Field(default=0, ge=0)
    """Decides the openings and all other random choices: another seed, another composition."""

    steps: int = Field(default=150, ge=1, le=100_000)
    """Steps of gradient descent."""

    openings: int = Field(default=24, ge=1, le=1000)
    """Random openings, of which those nearest to the goal are taken up."""

    attempts: int = Field(default=3, ge=1, le=100)
    """Openings that are worked out, one after the other, until one meets the goal by 0.9; where
    none does, the best of them is taken."""


@dataclass(frozen=True, eq=False)
class Composition:
    """A finished composition.

    sound: float32 [samples], peak below 1. sample_rate: samples a second.
    image: the hyper-image that was composed, float32 [channels, height, width].
    score: the notes, where it was made of notes.
    """

    sound: Float32Array
    sample_rate: int
    image: Float32Array
    score: NoteGrid | None = None


def compose(
    encoder: SongEncoder,
    goal: Goal,
    config: CompositionConfig | None = None,
    *,
    progress: bool = False,
) -> Composition:
    """Compose music that is, to the ears of an encoder, what a goal wants.

    Of several random openings the nearest to the goal is changed by gradient descent on the levels
    of all notes, through sound, hyper-image and network; then, where that did not get there, the
    next. Each step hears another part of it, a little shifted and with a little noise, so that it
    is not the exact samples that matter. The same seed and machine give the same composition.

    Raises:
        NotFittedError: the encoder is not trained.
        InvalidArgumentError: its hyper-images have no differentiable version.
    """
    config = config or CompositionConfig()
    listener = DifferentiableEncoder(encoder)
    picture = encoder.config.hyperimage
    rate = picture.sample_rate
    samples = round(config.seconds * rate)
    wanted = round(encoder.config.snippet.seconds * rate)
    repeat = encoder.config.snippet.short == "repeat"
    random = torch.Generator().manual_seed(config.seed)

    def loss(score: NoteGrid) -> torch.Tensor:
        latest = max(0, samples - wanted)
        start = int(torch.randint(latest + 1, (1,), generator=random))
        y = cut_snippet(score.render(), start, samples, wanted, repeat=repeat)
        y = y.roll(int(torch.randint(picture.n_fft, (1,), generator=random)))
        noise = torch.randn(len(y), generator=random) * (NOISE * y.detach().abs().max())
        images = hyperimages((y + noise)[None], picture)
        # One window of a wide picture at a time: the steps see them all, each for a fraction.
        return goal.loss(listener, listener.random_window(images, random)).mean()

    def start(number: int) -> NoteGrid:
        rng = np.random.default_rng([config.seed, number])
        return NoteGrid(
            make_instruments(rate), make_initial_loop(make_instruments(rate), rate, rng)
        )

    def image_of(score: NoteGrid) -> Float32Array:
        """The hyper-image of the middle of the finished piece."""
        middle = max(0, samples - wanted) // 2
        with torch.no_grad():
            y = cut_snippet(score.render(), middle, samples, wanted, repeat=repeat)
            return hyperimages(y[None], picture)[0].numpy()

    total = config.openings + config.attempts * config.steps
    with (
        limited_threads(encoder.config.threads),
        progress_bar("composing", total, shown=progress) as advance,
    ):
        distances = []
        for number in range(config.openings):
            with torch.no_grad():
                distances.append(float(loss(start(number))))
            advance(1)
        best, reached, left = start(0), -np.inf, config.attempts
        for number in np.argsort(distances, kind="stable")[: config.attempts]:
            score = start(int(number))
            _work_out(score, loss, config.steps, advance)
            left -= 1
            match = goal.match(encoder, image_of(score)[None])
            if match > reached:
                best, reached = score, match
            if reached >= REACHED:
                break
        advance(left * config.steps)
        with torch.no_grad():
            sound = cut_snippet(best.render(), 0, samples, samples).numpy()
        return Composition(normalise_sound(sound, rate), rate, image_of(best), best)


def _work_out(
    score: NoteGrid,
    loss: Callable[[NoteGrid], torch.Tensor],
    steps: int,
    advance: Callable[[int], None],
) -> None:
    """Change a score's levels, in place, down the gradient of the loss and of its own sum."""
    first = float(score.loudness().detach().sum())

    def after(step: int) -> None:
        if step == steps // 2:
            score.drop_inaudible_notes()
        advance(1)

    minimise(
        [score.levels],
        lambda _step: loss(score) + SPARSITY / first * score.loudness().sum(),
        steps=steps,
        step_size=STEP_SIZE,
        after=after,
    )


def normalise_sound(sound: Float32Array, sample_rate: int) -> Float32Array:
    """A sound with a peak of :data:`PEAK` and ends that do not click: float32 [samples]."""
    fade = min(round(FADE_SECONDS * sample_rate), len(sound) // 2)
    ramp = np.minimum(1, np.arange(len(sound)) / max(fade, 1))
    faded = sound * np.minimum(ramp, ramp[::-1])
    return (PEAK * faded / np.abs(faded).max()).astype(np.float32)


def roundtrip_images(encoder: SongEncoder, composition: Composition) -> Float32Array:
    """Hyper-images of a composition by the whole path: written to a file and read from it.

    Returns:
        float32 [n, channels, height, width], one for each snippet of the encoder's settings.
    """
    with tempfile.TemporaryDirectory(prefix="coldtune-") as folder:
        path = Path(folder) / "composition.wav"
        write_sound(path, composition.sound, composition.sample_rate)
        extraction = extract([path], encoder.config.snippet, encoder.config.hyperimage, workers=0)
    if extraction.failures:
        raise AudioError(extraction.failures[0].message)
    return extraction.images


def write_sound(path: Path, sound: Float32Array, sample_rate: int) -> None:
    """Write a mono sound as wav or flac of 16 bits, or as ogg, by the end of the file's name.

    Raises:
        InvalidArgumentError: another ending, or the file cannot be written.
    """
    import soundfile

    check_sound_file(path)
    kind = FORMATS[path.suffix.lower()]
    try:
        with (
            atomic_write(path) as temporary,
            soundfile.SoundFile(temporary, "w", sample_rate, 1, format=kind) as file,
        ):
            for start in range(0, len(sound), BLOCK):
                file.write(sound[start : start + BLOCK])
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"{path}: cannot be written: {reason}") from error


def check_sound_file(path: Path) -> None:
    """Raises InvalidArgumentError where sound cannot be written to a file of that name."""
    if path.suffix.lower() not in FORMATS:
        raise InvalidArgumentError(f"{path}: a composition is written as {', '.join(FORMATS)}")
    if path.is_dir():
        raise InvalidArgumentError(f"{path}: is a folder")
