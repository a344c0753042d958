"""Front ends: what a decoding process makes of a recording, as the input of an encoder."""

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from pydantic import Field

from datasets.arrays import Float32Array
from datasets.errors import AudioError, InvalidArgumentError
from datasets.settings import Settings
from embedding.audio.config import SnippetConfig


class FrontEnd(Protocol):
    """Which parts of a recording an encoder hears, and in which form.

    Decoding processes are given one, so it can be pickled, and compute `inputs`; the encoder runs
    in the process that asked. Implementations are frozen settings (`datasets.settings.Settings`,
    which have `digest`).

    Examples:
        >>> from embedding.audio import SnippetConfig, WaveformFrontEnd
        >>> front_end: FrontEnd = WaveformFrontEnd(sample_rate=16000, window=2.0)
        >>> front_end.inputs(np.ones(5 * 16000, dtype=np.float32)).shape
        (3, 32000)
    """

    @property
    def snippet(self) -> SnippetConfig:
        """Which parts of the recording."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that recordings are resampled to."""
        ...

    @property
    def channels(self) -> Literal[1, 2]:
        """Channels of the samples: 1 is mono, 2 stereo."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        ...

    @property
    def stored_as(self) -> str | None:
        """Name of this kind of inputs in the store on disk; None: they are not stored.

        A text of everything that their values depend on.
        """
        ...

    def inputs(self, samples: Float32Array) -> Float32Array:
        """Compute the inputs of the encoder from one snippet.

        Args:
            samples: float32 [samples], or [2, samples] in stereo, at ``sample_rate``.

        Returns:
            float32 [n, *input_shape], at least one.

        Raises:
            AudioError: the snippet cannot be used, such as silence.
        """
        ...

    def digest(self) -> str:
        """Return the hex SHA-256 of everything that the inputs depend on."""
        ...


class WaveformFrontEnd(Settings):
    """Samples, cut into windows: the front end of encoders that compute their own features.

    Windows follow one another without a gap; the last ends with the snippet, and overlaps the one
    before where the snippet is no multiple of the window. A snippet shorter than a window is
    repeated until it fills one.

    Examples:
        >>> from embedding.audio import WaveformFrontEnd
        >>> WaveformFrontEnd(sample_rate=48000, window=10.0).input_shape
        (480000,)
        >>> WaveformFrontEnd(sample_rate=16000, window=1.0, channels=2).input_shape
        (2, 16000)
    """

    sample_rate: int = Field(ge=1000, le=384_000)
    """Sample rate in Hz that recordings are resampled to."""

    window: float = Field(ge=0.01, le=3600.0)
    """Seconds of a window."""

    channels: Literal[1, 2] = 1
    """1: mono; 2: stereo."""

    snippet: SnippetConfig = SnippetConfig()
    """Which parts of the recording."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(samples,), or (2, samples) in stereo."""
        samples = round(self.window * self.sample_rate)
        return (samples,) if self.channels == 1 else (2, samples)

    @property
    def stored_as(self) -> None:
        """Windows of samples are not stored: that would be the recordings, uncompressed."""
        return

    def inputs(self, samples: Float32Array) -> Float32Array:
        """Cut one snippet into windows; see `FrontEnd.inputs`.

        Raises:
            AudioError: NaN or infinite samples.
            InvalidArgumentError: `samples` have another number of channels, or there are none.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if samples.shape[:-1] != self.input_shape[:-1] or not samples.size:
            raise InvalidArgumentError(
                f"a snippet in {'mono' if self.channels == 1 else 'stereo'} is "
                f"{'[samples]' if self.channels == 1 else '[2, samples]'}; got {samples.shape}"
            )
        if not np.isfinite(samples).all():
            raise AudioError("contains NaN or infinite samples")
        length, size = self.input_shape[-1], samples.shape[-1]
        if size < length:
            samples = np.tile(samples, -(-length // size))[..., :length]
            size = length
        starts = np.minimum(np.arange(-(-size // length)) * length, size - length)
        return np.stack([samples[..., start : start + length] for start in starts])


def lower_rates(rates: Mapping[str, int], wanted: int) -> str:
    """Say which recordings hold less than an encoder was made for; "" for none.

    Args:
        rates: sample rates of recordings by their names, Hz.
        wanted: the encoder's sample rate, Hz.

    Examples:
        >>> lower_rates({"phone.wav": 8000, "cd.wav": 44100}, 16000)
        "phone.wav has 8,000 samples a second, the encoder's recordings 16,000: it is resampled, \
and there is nothing above 4,000 Hz in it"
        >>> lower_rates({"cd.wav": 44100}, 44100)
        ''
    """
    low = {name: rate for name, rate in rates.items() if 0 < rate < wanted}
    if not low:
        return ""
    name, rate = min(low.items(), key=lambda pair: pair[1])
    more = f" (so it is with {len(low) - 1:,} more)" if len(low) > 1 else ""
    return (
        f"{name} has {rate:,} samples a second, the encoder's recordings {wanted:,}: it is "
        f"resampled, and there is nothing above {rate // 2:,} Hz in it{more}"
    )
