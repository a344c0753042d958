"""Front end of MusiCNN: patches of a mel spectrogram, of three seconds each."""

from typing import Literal

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import AudioError, InvalidArgumentError
from datasets.settings import Settings
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import SILENCE
from embedding.transforms.timbre import mel

_SAMPLE_RATE = 16_000
_FRAMES, _BANDS = 187, 96
_N_FFT, _HOP = 512, 256
_CODE_VERSION = 1
"""Increased whenever the same samples give other values, to invalidate what is stored."""

DEFAULT_SNIPPET = SnippetConfig(seconds=3.0, count=3)


class MusiCNNFrontEnd(Settings):
    """Mel spectrograms of the snippets of a recording, cut into patches of 187 frames (3 s).

    As MusiCNN was trained: 96 bands of 16 kHz mono sound, frames of 512 samples every 256, and
    ``log10(1 + 10000 * power)``, here in float32 throughout. The level of a snippet, and a constant
    offset, make no difference. A snippet shorter than a patch is repeated; what is left over at the
    end of a longer one is not used.

    Examples:
        >>> from embedding.encoders import MusiCNNFrontEnd
        >>> front_end = MusiCNNFrontEnd()
        >>> front_end.snippet.seconds, front_end.snippet.count
        (3.0, 3)
        >>> front_end.inputs(np.sin(np.arange(7 * 16000, dtype=np.float32))).shape
        (2, 187, 96)
    """

    snippet: SnippetConfig = DEFAULT_SNIPPET
    """Which parts of the recording."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that recordings are resampled to."""
        return _SAMPLE_RATE

    @property
    def channels(self) -> Literal[1]:
        """Channels of the samples: mono."""
        return 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(frames, bands) of a patch."""
        return _FRAMES, _BANDS

    @property
    def stored_as(self) -> str:
        """Version of the code and the snippets, on which the values of patches depend."""
        return f"musicnn {_CODE_VERSION} {self.snippet.digest()}"

    def inputs(self, samples: Float32Array) -> Float32Array:
        """Compute the patches of one snippet.

        Args:
            samples: float32 [samples] at 16 kHz.

        Returns:
            float32 [n, 187, 96], at least one.

        Raises:
            AudioError: NaN or infinite samples, or silence.
            InvalidArgumentError: `samples` are not one row, or there are none.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or not samples.size:
            raise InvalidArgumentError(f"a snippet in mono is [samples]; got {samples.shape}")
        lowest, highest = float(samples.min()), float(samples.max())
        if not np.isfinite(lowest + highest):
            raise AudioError("contains NaN or infinite samples")
        if highest - lowest <= SILENCE:
            raise AudioError("is silent")
        samples = _levelled(samples)
        least = _FRAMES * _HOP
        if len(samples) < least:
            samples = np.tile(samples, -(-least // len(samples)))[:least]
        power = mel(y=samples, sr=_SAMPLE_RATE, n_fft=_N_FFT, hop_length=_HOP, n_mels=_BANDS).T
        n = len(power) // _FRAMES
        return np.log10(1 + 10_000 * power[: n * _FRAMES]).reshape(n, _FRAMES, _BANDS)


def _levelled(samples: Float32Array) -> Float32Array:
    """Scale samples to a largest one of 1, about which they are in mastered music.

    The network does not tell loud from near: 20 dB less, or more, and it hears other tags.
    """
    centred = samples - samples.mean(dtype=np.float64)  # in double precision
    return (centred / np.abs(centred).max()).astype(np.float32)
