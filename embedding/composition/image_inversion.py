"""Composition as in the patent: optimise a hyper-image for a goal, then convert it to sound.

US 2018/0276540 A1, paragraph 62. The free image reaches the goal easily, but its bands need not
belong to the same sound. Only the mel band is made audible, with phases estimated by the algorithm
of Griffin and Lim (1984).
"""

import numpy as np
import torch

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from embedding.composition.composer import Composition, CompositionConfig, normalise_sound
from embedding.composition.goals import DifferentiableEncoder, Goal
from embedding.composition.loop import minimise
from embedding.encoders.song_encoder import SongEncoder
from embedding.hyperimage.config import HyperImageConfig
from embedding.network.devices import limited_threads
from embedding.transforms import filters
from embedding.transforms.snippet import TOP_DB

_STEP_SIZE = 0.02
ROUGHNESS = 2.0
"""Weight of the mean difference between neighbouring pixels in the loss."""

SHIFT = 3
"""Maximum random shift of the image in columns, so that the result does not depend on one."""

GRIFFIN_LIM_ROUNDS = 64


def dream(
    encoder: SongEncoder,
    goal: Goal,
    config: CompositionConfig | None = None,
    *,
    progress: bool = False,
) -> Composition:
    """Optimise a hyper-image for a goal, and convert its mel band to sound.

    The image starts as smooth noise and is optimised for the loss of the goal plus its total
    variation, within 0 .. 1. The sound of one snippet is repeated or cut to ``config.seconds``.

    Args:
        encoder: trained encoder.
        goal: what to compose towards.
        config: length, seed and steps; ``openings`` and ``attempts`` are not used.
        progress: show a progress bar.

    Raises:
        NotFittedError: the encoder is not trained.
        InvalidArgumentError: its hyper-images have no mel band.

    Examples:
        >>> from embedding.composition import CompositionConfig, dream, labels
        >>> config = CompositionConfig(seconds=1, steps=2)
        >>> dream(encoder, labels(encoder, {"jazz": 1}), config).image.shape
        (1, 24, 24)
    """
    config = config or CompositionConfig()
    network = DifferentiableEncoder(encoder)
    image_config = encoder.config.hyperimage
    mel_rows(image_config)  # raises if there is no mel band
    random = torch.Generator().manual_seed(config.seed)
    shape = (image_config.channels, image_config.height, image_config.width)
    image = _smooth_noise(shape, random)
    image.requires_grad_()

    def loss(_step: int) -> torch.Tensor:
        shift = int(torch.randint(-SHIFT, SHIFT + 1, (1,), generator=random))
        roughness = sum(image.diff(dim=axis).abs().mean() for axis in (1, 2))
        return goal.loss(network, image.roll(shift, 2)[None]).mean() + ROUGHNESS * roughness

    with (
        limited_threads(encoder.config.threads),
        progress_bar("composing", config.steps, shown=progress) as advance,
    ):

        def after(_step: int) -> None:
            with torch.no_grad():
                image.clamp_(0, 1)
            advance(1)

        minimise([image], loss, steps=config.steps, step_size=_STEP_SIZE, after=after)
    composed = image.detach().numpy()
    sound = invert_mel_band(composed, image_config, encoder.config.snippet.seconds, config.seed)
    wanted = round(config.seconds * image_config.sample_rate)
    sound = normalise_sound(np.resize(sound, wanted), image_config.sample_rate)
    return Composition(sound, image_config.sample_rate, composed)


def invert_mel_band(
    image: Float32Array, config: HyperImageConfig, seconds: float, seed: int
) -> Float32Array:
    """Estimate a sound whose mel spectrogram is the mel band of a hyper-image.

    Args:
        image: float32 [channels, height, width].
        config: settings of the hyper-image.
        seconds: length of the snippet that the image shows.
        seed: seed of the initial phases of Griffin-Lim.

    Returns:
        float32 [seconds * config.sample_rate], at any level.

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
    # Values at the bottom of the scale were clipped: they mean silence.
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
    """Return the rows of the mel band; raise InvalidArgumentError if there is none."""
    ends = np.cumsum(config.band_rows())
    for band, rows, end in zip(config.layout, config.band_rows(), ends, strict=True):
        if band.transform == "mel":
            return slice(int(end) - rows, int(end))
    raise InvalidArgumentError("sound is made from the mel band, and these hyper-images have none")


def _smooth_noise(shape: tuple[int, int, int], random: torch.Generator) -> torch.Tensor:
    """Noise around one half, smoothed by a 5 x 5 mean."""
    noise = torch.rand(shape, generator=random)
    smooth = torch.nn.functional.avg_pool2d(noise[None], 5, 1, 2, count_include_pad=False)[0]
    return (0.5 + 3 * (smooth - 0.5)).clamp(0, 1)
