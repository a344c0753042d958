"""Compose music by gradient descent on the levels of notes, through hyper-image and network.

US 2018/0276540 A1, paragraph 62, optimises a hyper-image for a label and converts it to sound; see
`embedding.composition.image_inversion`. But few images are hyper-images of any sound, so the
network seldom recognises the label in the resulting sound. Here gradients pass further back,
through the transforms, to the notes of a set of instruments, so that the result is a sound and its
hyper-image exists by construction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from datasets.arrays import Float32Array
from datasets.errors import AudioError, InvalidArgumentError
from datasets.progress import progress_bar
from datasets.settings import Settings
from datasets.system.files import atomic_write
from datasets.system.temporary import temporary_folder
from embedding.audio.microphone import RECORDING_FORMATS
from embedding.composition.goals import DifferentiableEncoder, Goal
from embedding.composition.initial_loop import make_initial_loop
from embedding.composition.instruments import make_instruments
from embedding.composition.loop import NoteGrid, cut_snippet, minimise
from embedding.encoders.song_encoder import SongEncoder
from embedding.hyperimage.differentiable import hyperimages
from embedding.hyperimage.extraction import extract
from embedding.network.devices import limited_threads

PEAK = 0.9
"""Largest sample of the result; full scale is 1."""

FADE_SECONDS = 0.005
"""Length of the fades at both ends, against clicks."""

_STEP_SIZE = 0.2
"""Initial step size, in the logarithm of a level."""

_SPARSITY = 0.02
"""Weight of the sum of all levels, relative to that of the initial loop, in the loss."""

REACHED = 0.9
"""Match with the goal at which no further initial loop is tried."""

NOISE = 1e-4
"""Noise added during optimisation, relative to the peak; more than 16-bit quantisation adds."""

_BLOCK = 65536
"""Frames written at a time; the Vorbis encoder of libsndfile crashes on large blocks."""


class CompositionConfig(Settings):
    """Length, seed and effort of a composition.

    Examples:
        >>> from embedding.composition import CompositionConfig
        >>> CompositionConfig(seconds=30, seed=1).openings
        24
    """

    seconds: float = Field(default=10.0, ge=0.25, le=600.0)
    """Length of the sound in seconds."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the initial loops and all other random choices."""

    steps: int = Field(default=150, ge=1, le=100_000)
    """Steps of gradient descent."""

    openings: int = Field(default=24, ge=1, le=1000)
    """Number of random initial loops; those closest to the goal are optimised."""

    attempts: int = Field(default=3, ge=1, le=100)
    """Maximum number of initial loops that are optimised, until one matches the goal by 0.9; else
    the best is taken."""


@dataclass(frozen=True, eq=False)
class Composition:
    """Result of `compose` or `embedding.composition.dream`.

    Examples:
        >>> from embedding.composition import CompositionConfig, compose, labels
        >>> config = CompositionConfig(seconds=1, steps=2, openings=1, attempts=1)
        >>> composition = compose(encoder, labels(encoder, {"jazz": 1}), config)
        >>> composition.sound.shape, composition.sample_rate, composition.score.levels.shape[0]
        ((8000,), 8000, 32)
    """

    sound: Float32Array
    """float32 [samples], with a peak below 1."""

    sample_rate: int
    """Sample rate in Hz."""

    image: Float32Array
    """The optimised hyper-image, float32 [channels, height, width]."""

    score: NoteGrid | None = None
    """The notes; None for `embedding.composition.dream`."""


def compose(
    encoder: SongEncoder,
    goal: Goal,
    config: CompositionConfig | None = None,
    *,
    progress: bool = False,
) -> Composition:
    """Compose music that an encoder recognises as a goal.

    The random initial loop that is closest to the goal is optimised by gradient descent on the
    levels of all notes, through sound, hyper-image and network; if it does not reach the goal, the
    next one. Each step uses another part of the sound, with a small random shift and noise, so that
    the result does not depend on exact samples. The same seed and machine give the same result.

    Args:
        encoder: trained encoder.
        goal: what to compose towards; see `embedding.composition.labels` and
            `embedding.composition.likeness`.
        config: length, seed and effort.
        progress: show a progress bar.

    Raises:
        NotFittedError: the encoder is not trained.
        InvalidArgumentError: its hyper-images have no differentiable version.

    Examples:
        >>> from embedding.composition import CompositionConfig, compose, labels
        >>> goal = labels(encoder, {"jazz": 0.7, "rock": 0.3})
        >>> config = CompositionConfig(seconds=1, steps=2, openings=1, attempts=1)
        >>> composition = compose(encoder, goal, config)
        >>> composition.image.shape, bool(goal.match(encoder, composition.image[None]) > 0)
        ((1, 24, 24), True)
    """
    config = config or CompositionConfig()
    network = DifferentiableEncoder(encoder)
    image_config = encoder.config.hyperimage
    rate = image_config.sample_rate
    samples = round(config.seconds * rate)
    wanted = round(encoder.config.snippet.seconds * rate)
    repeat = encoder.config.snippet.short == "repeat"
    random = torch.Generator().manual_seed(config.seed)

    def loss(score: NoteGrid) -> torch.Tensor:
        latest = max(0, samples - wanted)
        start = int(torch.randint(latest + 1, (1,), generator=random))
        y = cut_snippet(score.render(), start, samples, wanted, repeat=repeat)
        y = y.roll(int(torch.randint(image_config.n_fft, (1,), generator=random)))
        noise = torch.randn(len(y), generator=random) * (NOISE * y.detach().abs().max())
        images = hyperimages((y + noise)[None], image_config)
        # A single window of a wide image is cheaper, and different steps use different windows.
        return goal.loss(network, network.random_window(images, random)).mean()

    def start(number: int) -> NoteGrid:
        rng = np.random.default_rng([config.seed, number])
        return NoteGrid(
            make_instruments(rate), make_initial_loop(make_instruments(rate), rate, rng)
        )

    def image_of(score: NoteGrid) -> Float32Array:
        """Hyper-image of the middle of the result."""
        middle = max(0, samples - wanted) // 2
        with torch.no_grad():
            y = cut_snippet(score.render(), middle, samples, wanted, repeat=repeat)
            return hyperimages(y[None], image_config)[0].numpy()

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
        best, best_match, left = start(0), -np.inf, config.attempts
        for number in np.argsort(distances, kind="stable")[: config.attempts]:
            score = start(int(number))
            _optimise_levels(score, loss, config.steps, advance)
            left -= 1
            match = goal.match(encoder, image_of(score)[None])
            if match > best_match:
                best, best_match = score, match
            if best_match >= REACHED:
                break
        advance(left * config.steps)
        with torch.no_grad():
            sound = cut_snippet(best.render(), 0, samples, samples).numpy()
        return Composition(normalise_sound(sound, rate), rate, image_of(best), best)


def _optimise_levels(
    score: NoteGrid,
    loss: Callable[[NoteGrid], torch.Tensor],
    steps: int,
    advance: Callable[[int], None],
) -> None:
    """Minimise the loss, plus the sum of all levels, over the levels of the notes, in place."""
    first = float(score.loudness().detach().sum())

    def after(step: int) -> None:
        if step == steps // 2:
            score.drop_inaudible_notes()
        advance(1)

    minimise(
        [score.levels],
        lambda _step: loss(score) + _SPARSITY / first * score.loudness().sum(),
        steps=steps,
        step_size=_STEP_SIZE,
        after=after,
    )


def normalise_sound(sound: Float32Array, sample_rate: int) -> Float32Array:
    """Scale to a peak of `PEAK` and fade in and out: float32 [samples]."""
    fade = min(round(FADE_SECONDS * sample_rate), len(sound) // 2)
    ramp = np.minimum(1, np.arange(len(sound)) / max(fade, 1))
    faded = sound * np.minimum(ramp, ramp[::-1])
    return (PEAK * faded / np.abs(faded).max()).astype(np.float32)


def roundtrip_images(encoder: SongEncoder, composition: Composition) -> Float32Array:
    """Compute the hyper-images of a composition from a file, as of any recording.

    The sound is written to a temporary file, decoded, and cut into snippets.

    Args:
        encoder: encoder whose settings decide the snippets and images.
        composition: the composition.

    Returns:
        float32 [n, channels, height, width], one for each snippet.

    Examples:
        >>> from embedding.composition import CompositionConfig, compose, labels, roundtrip_images
        >>> config = CompositionConfig(seconds=1, steps=2, openings=1, attempts=1)
        >>> composition = compose(encoder, labels(encoder, {"jazz": 1}), config)
        >>> roundtrip_images(encoder, composition).shape
        (1, 1, 24, 24)
    """
    with temporary_folder() as folder:
        path = folder / "composition.wav"
        write_sound(path, composition.sound, composition.sample_rate)
        extraction = extract([path], encoder.config.snippet, encoder.config.hyperimage, workers=0)
    if extraction.failures:
        raise AudioError(extraction.failures[0].message)
    return extraction.images


def write_sound(path: Path, sound: Float32Array, sample_rate: int) -> None:
    """Write a mono sound as 16-bit wav or flac, or as ogg, by the suffix of the file.

    Args:
        path: file to write.
        sound: float32 [samples], -1 to 1.
        sample_rate: sample rate in Hz.

    Raises:
        InvalidArgumentError: unknown suffix, or the file cannot be written.

    Examples:
        >>> from embedding.composition import write_sound
        >>> write_sound(folder / "noise.flac", np.random.default_rng(0).uniform(-1, 1, 8000), 8000)
        >>> (folder / "noise.flac").stat().st_size > 1000
        True
    """
    import soundfile

    check_sound_file(path)
    kind = RECORDING_FORMATS[path.suffix.lower()]
    try:
        with (
            atomic_write(path) as temporary,
            soundfile.SoundFile(temporary, "w", sample_rate, 1, format=kind) as file,
        ):
            for start in range(0, len(sound), _BLOCK):
                file.write(sound[start : start + _BLOCK])
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"{path}: cannot be written: {reason}") from error


def check_sound_file(path: Path) -> None:
    """Raise InvalidArgumentError if sound cannot be written to a file of this name."""
    if path.suffix.lower() not in RECORDING_FORMATS:
        raise InvalidArgumentError(
            f"{path}: a composition is written as {', '.join(RECORDING_FORMATS)}"
        )
    if path.is_dir():
        raise InvalidArgumentError(f"{path}: is a folder")
