"""One snippet of sound, and what several of its transforms share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datasets.arrays import Float32Array
from embedding.transforms import harmony, melody, rhythm, spectrum, timbre

TOP_DB = 80.0
"""Range of levels that are kept, in dB below the loudest."""

RHYTHM_FLOOR = 0.1
"""Onset strength in dB below which there is no rhythm; in music it is some 1 to 10."""


@dataclass(frozen=True, eq=False)
class SnippetFeatures:
    """A snippet, and what several transforms share, each made once when first asked for."""

    channels: Float32Array
    """Waveform, float32 [channels, samples]."""

    sr: int = 22050
    """Samples a second."""

    n_fft: int = spectrum.N_FFT
    """Samples in a window of the shared spectrogram."""

    hop_length: int = spectrum.HOP
    """Samples between frames."""

    n_mels: int = 128
    """Mel bands."""

    tempogram_frames: int = 192
    """Frames in a window of the tempogram."""

    @cached_property
    def y(self) -> Float32Array:
        """One channel, float32 [samples]: the mean, see :func:`embedding.audio.snippets.to_mono`."""
        if len(self.channels) == 1:
            return self.channels[0]
        from embedding.audio.snippets import to_mono  # here, as transforms need no decoder

        return to_mono(self.channels.T)

    @cached_property
    def power(self) -> Float32Array:
        """The shared power spectrogram."""
        return spectrum.power_spectrogram(self.y, n_fft=self.n_fft, hop_length=self.hop_length)

    @cached_property
    def mel(self) -> Float32Array:
        """Mel-spectrogram, power."""
        return timbre.mel(S=self.power, sr=self.sr, n_mels=self.n_mels)

    @cached_property
    def log_mel(self) -> Float32Array:
        """Mel-spectrogram in dB, ``TOP_DB`` below the loudest at the least."""
        return spectrum.decibels(self.mel, top_db=TOP_DB)

    @cached_property
    def chromagram(self) -> Float32Array:
        """Chromagram."""
        return harmony.chroma(S=self.power, sr=self.sr)

    @cached_property
    def onsets(self) -> Float32Array:
        """Onset strength."""
        return rhythm.onset_strength(
            log_mel=self.log_mel, n_fft=self.n_fft, hop_length=self.hop_length
        )

    @cached_property
    def lags(self) -> Float32Array:
        """Tempogram of the lags up to half the window: beyond, hardly any of it overlaps its
        shifted self."""
        return rhythm.tempogram(
            onsets=self.onsets,
            win_length=self.tempogram_frames,
            n_lags=self.tempogram_frames // 2,
            floor=RHYTHM_FLOOR,
        )

    @cached_property
    def constant_q(self) -> Float32Array:
        """Constant-Q power from C1, seven octaves or what fits below sr/2."""
        n_bins = min(84, harmony.constant_q_bins(self.sr))
        return harmony.constant_q(y=self.y, sr=self.sr, hop_length=self.hop_length, n_bins=n_bins)

    @property
    def octaves(self) -> int:
        """Octaves from 200 Hz whose beginning lies below sr/2, six at most."""
        return min(6, int(np.ceil(np.log2(self.sr / 2 / 200.0))))

    @property
    def pitch(self) -> Float32Array:
        """Cepstral pitch in Hz; NaN throughout where the window is too short for any."""
        # A window must hold two periods.
        lowest = max(melody.PITCH_FMIN, self.sr / (self.n_fft // 2 - 2))
        if lowest > 0.8 * melody.PITCH_FMAX:
            return np.full(self.power.shape[1], np.nan, dtype=np.float32)
        return melody.cepstral_pitch(S=self.power, sr=self.sr, fmin=lowest)
