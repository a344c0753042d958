"""One snippet with the intermediate results that several transforms share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datasets.arrays import Float32Array
from embedding.transforms import harmony, melody, rhythm, spectrum, timbre

TOP_DB = 80.0
"""Range of levels in dB; lower levels are raised to its lower end."""

RHYTHM_FLOOR = 0.1
"""Onset strength in dB below which there is no rhythm; in music it is about 1 to 10."""


@dataclass(frozen=True, eq=False)
class SnippetFeatures:
    """A snippet with the features that several transforms share, each computed on first use."""

    channels: Float32Array
    """Waveform, float32 [channels, samples]."""

    sr: int = 22050
    """Sample rate in Hz."""

    n_fft: int = spectrum.N_FFT
    """Window length of the shared spectrogram, in samples."""

    hop_length: int = spectrum.HOP
    """Samples between frames."""

    n_mels: int = 128
    """Number of mel bands."""

    tempogram_frames: int = 192
    """Window length of the tempogram, in frames."""

    @cached_property
    def y(self) -> Float32Array:
        """Mono waveform, float32 [samples], by `embedding.audio.to_mono`."""
        if len(self.channels) == 1:
            return self.channels[0]
        from embedding.audio.snippets import to_mono  # lazy: it imports the decoders

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
        """Mel-spectrogram in dB, at most ``TOP_DB`` below its maximum."""
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
        """Tempogram of lags up to half the window; at longer lags the overlap is too short."""
        return rhythm.tempogram(
            onsets=self.onsets,
            win_length=self.tempogram_frames,
            n_lags=self.tempogram_frames // 2,
            floor=RHYTHM_FLOOR,
        )

    @cached_property
    def constant_q(self) -> Float32Array:
        """Constant-Q power spectrum from C1, seven octaves or as many as fit below sr/2."""
        n_bins = min(84, harmony.constant_q_bins(self.sr))
        return harmony.constant_q(y=self.y, sr=self.sr, hop_length=self.hop_length, n_bins=n_bins)

    @property
    def octaves(self) -> int:
        """Number of octaves from 200 Hz that begin below sr/2; at most six."""
        return min(6, int(np.ceil(np.log2(self.sr / 2 / 200.0))))

    @property
    def pitch(self) -> Float32Array:
        """Cepstral pitch in Hz; all NaN if the window is too short for any pitch."""
        # A window must hold two periods.
        lowest = max(melody.PITCH_FMIN, self.sr / (self.n_fft // 2 - 2))
        if lowest > 0.8 * melody.PITCH_FMAX:
            return np.full(self.power.shape[1], np.nan, dtype=np.float32)
        return melody.cepstral_pitch(S=self.power, sr=self.sr, fmin=lowest)
