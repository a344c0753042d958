"""Composition as the patent has it: from a label back to a hyper-image, and from that to sound.

US 2018/0276540 A1, paragraph 62. The picture is optimised freely, so it meets the goal easily, but
its bands need not belong to one sound: only the mel band is used to make it audible, with the
phases guessed by Griffin and Lim's algorithm (1984).
"""

import numpy as np
import torch

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from embedding.composition.composer import Composition, CompositionConfig, normalise_sound
from embedding.composition.goals import DifferentiableEncoder, Goal
from embedding.composition.loop import minimise
from embedding.encoder import SongEncoder
from embedding.hyperimage.config import HyperImageConfig
from embedding.network.devices import limited_threads
from embedding.transforms import filters
from embedding.transforms.snippet import TOP_DB

STEP_SIZE = 0.02
ROUGHNESS = 2.0
"""Price of the mean difference between neighbouring points, in units of the goal's loss."""

SHIFT = 3
"""The network sees the picture moved by up to so many columns, so that no single one matters."""

GRIFFIN_LIM_ROUNDS = 64


def dream(
    encoder: SongEncoder,
    goal: Goal,
    config: CompositionConfig | None = None,
    *,
    progress: bool = False,
) -> Composition:
    """A hyper-image that is, to an encoder, what a goal wants; and the sound of its mel band.

    The picture starts as smooth noise and goes down the gradient of the goal's loss and of its own
    roughness (total variation), kept within 0 .. 1. ``config.openings`` is not used. The sound is
    as long as the encoder's snippet, repeated or cut to ``config.seconds``.

    Raises:
        NotFittedError: the encoder is not trained.
        InvalidArgumentError: its hyper-images have no mel band.
    """
    config = config or CompositionConfig()
    listener = DifferentiableEncoder(encoder)
    picture = encoder.config.hyperimage
    mel_rows(picture)
    random = torch.Generator().manual_seed(config.seed)
    image = _smooth_noise((picture.channels, picture.height, picture.width), random)
    image.requires_grad_()

    def loss(_step: int) -> torch.Tensor:
        shift = int(torch.randint(-SHIFT, SHIFT + 1, (1,), generator=random))
        roughness = sum(image.diff(dim=axis).abs().mean() for axis in (1, 2))
        return goal.loss(listener, image.roll(shift, 2)[None]).mean() + ROUGHNESS * roughness

    with (
        limited_threads(encoder.config.threads),
        progress_bar("composing", config.steps, shown=progress) as advance,
    ):

        def after(_step: int) -> None:
            with torch.no_grad():
                image.clamp_(0, 1)
            advance(1)

        minimise([image], loss, steps=config.steps, step_size=STEP_SIZE, after=after)
    composed = image.detach().numpy()
    sound = invert_mel_band(composed, picture, encoder.config.snippet.seconds, config.seed)
    wanted = round(config.seconds * picture.sample_rate)
    sound = normalise_sound(np.resize(sound, wanted), picture.sample_rate)
    return Composition(sound, picture.sample_rate, composed)


def invert_mel_band(
    image: Float32Array, config: HyperImageConfig, seconds: float, seed: int
) -> Float32Array:
    """A sound whose mel-spectrogram is the mel band of a hyper-image, as nearly as there is one.

    Args:
        image: float32 [channels, height, width].
        config: how hyper-images are made.
        seconds: length of the snippet that the picture shows.
        seed: of the phases that Griffin-Lim starts from.

    Returns:
        float32 [seconds * config.sample_rate], of any level.

    Raises:
        InvalidArgumentError: the hyper-images have no mel band.
    """
    import librosa

    rows = mel_rows(config)
    samples = round(seconds * config.sample_rate)
    frames = 1 + samples // config.hop_length
    band = image[0, rows]
    band = filters.resize_bank(len(band), config.n_mels) @ band
    band = band @ filters.resize_bank(config.width, frames).T
    power = 10 ** ((band - 1) * TOP_DB / 10)
    # What was cut off at the bottom of the scale is silence, not noise of that level.
    power[band <= 0] = 0
    magnitude = librosa.feature.inverse.mel_to_stft(
        power, sr=config.sample_rate, n_fft=config.n_fft, power=2.0
    )
    sound: Float32Array = librosa.griffinlim(
        magnitude,
        n_iter=GRIFFIN_LIM_ROUNDS,
        hop_length=config.hop_length,
        n_fft=config.n_fft,
        length=samples,
        random_state=seed,
    )
    return sound


def mel_rows(config: HyperImageConfig) -> slice:
    """The rows of the hyper-image's mel band. Raises InvalidArgumentError where it has none."""
    ends = np.cumsum(config.band_rows())
    for band, rows, end in zip(config.layout, config.band_rows(), ends, strict=True):
        if band.transform == "mel":
            return slice(int(end) - rows, int(end))
    raise InvalidArgumentError("sound is made from the mel band, and these hyper-images have none")


def _smooth_noise(shape: tuple[int, int, int], random: torch.Generator) -> torch.Tensor:
    """Noise around one half, each point the mean of its surroundings."""
    noise = torch.rand(shape, generator=random)
    smooth = torch.nn.functional.avg_pool2d(noise[None], 5, 1, 2, count_include_pad=False)[0]
    return (0.5 + 3 * (smooth - 0.5)).clamp(0, 1)
