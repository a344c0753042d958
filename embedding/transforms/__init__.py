"""Pictures of sound: pure functions of a waveform or of a power spectrogram already at hand.

Every function takes, in librosa's manner, the waveform ``y`` (float, [samples], mono) or ``S``, the
power spectrogram of :func:`power_spectrogram`, and gives [features, frames] or [frames]; frame t is
centred at sample ``t * hop_length``. Giving all of them one ``S`` is what makes them fast. Given
the same parameters the values equal librosa 0.11's (window Hann, centred, zero padding, tuning 0),
where librosa has the function.

:mod:`embedding.transforms.table` lists them all with their axes and units.
"""

from embedding.transforms.harmony import chroma, constant_q, constant_q_bins, tonnetz
from embedding.transforms.melody import cepstral_pitch, cepstrum, melodic_frequencies, melodic_range
from embedding.transforms.rhythm import cyclic_tempogram, onset_strength, tempogram
from embedding.transforms.spectrum import (
    HOP,
    N_FFT,
    decibels,
    linear_frequencies,
    linear_spectrum,
    log_frequencies,
    log_spectrum,
    power_spectrogram,
)
from embedding.transforms.timbre import centroid, contrast, mel, mfcc
from embedding.transforms.transcription import note_salience, transcribe

__all__ = [
    "HOP",
    "N_FFT",
    "centroid",
    "cepstral_pitch",
    "cepstrum",
    "chroma",
    "constant_q",
    "constant_q_bins",
    "contrast",
    "cyclic_tempogram",
    "decibels",
    "linear_frequencies",
    "linear_spectrum",
    "log_frequencies",
    "log_spectrum",
    "mel",
    "melodic_frequencies",
    "melodic_range",
    "mfcc",
    "note_salience",
    "onset_strength",
    "power_spectrogram",
    "tempogram",
    "tonnetz",
    "transcribe",
]
