"""Table of all transforms: title, axis, unit and computation of each.

Hyper-images and figures use this table, so that a transform added here can be stacked and drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from embedding.transforms import filters, harmony, melody, rhythm, spectrum, timbre, transcription
from embedding.transforms.snippet import SnippetFeatures

N_MFCC = 20


@dataclass(frozen=True)
class Axis:
    """Axis of the rows of a transform."""

    quantity: str
    """Quantity, such as ``frequency``; "" for a curve."""

    unit: str
    """``Hz``, ``MIDI note``, ``s``, ``beats/min``; "" if there is none."""

    scale: Literal["linear", "log"] = "linear"
    """Whether successive rows have equal differences or equal ratios."""

    names: tuple[str, ...] = ()
    """Names of the rows, if they have any."""


@dataclass(frozen=True)
class Transform:
    """One entry of the table."""

    name: str
    """Key, as in the layout of a hyper-image."""

    title: str
    """Title in figures."""

    kind: Literal["picture", "curve", "waveform"]
    """``picture``: [rows, frames]; ``curve``: [frames]; ``waveform``: [samples]."""

    axis: Axis
    """Axis of the rows."""

    value: str
    """Kind of the values, with unit: ``power``, ``dB``, ``Hz``, …"""

    source: str
    """Paragraphs and figures of US 2018/0276540 A1."""

    compute: Callable[[SnippetFeatures], Float32Array]
    """Compute the values."""

    positions: Callable[[SnippetFeatures], Float64Array] | None = None
    """Compute the value of each row on the axis, in its unit; None: rows count from 0."""


PITCH_CLASSES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
TONNETZ = ("fifth x", "fifth y", "minor x", "minor y", "major x", "major y")
_HZ = Axis("frequency", "Hz")
_LOG_HZ = Axis("frequency", "Hz", "log")
_NOTE = Axis("note", "MIDI note")
_CURVE = Axis("", "")


def _mel_centres(sound: SnippetFeatures) -> Float64Array:
    return filters.mel_centres(sound.sr, sound.n_mels)


def _contrast_edges(sound: SnippetFeatures) -> Float64Array:
    return np.array([0.0, *(200.0 * 2.0**octave for octave in range(sound.octaves))], np.float64)


def _constant_q_notes(sound: SnippetFeatures) -> Float64Array:
    return np.arange(24.0, 24 + len(sound.constant_q), dtype=np.float64)


def _side(number: int) -> Callable[[SnippetFeatures], Float32Array]:
    # A mono recording has the same channel on both sides.
    return lambda sound: sound.channels[min(number, len(sound.channels) - 1)]


_ALL = (
    Transform(
        "waveform_left",
        "Waveform, left",
        "waveform",
        _CURVE,
        "amplitude",
        "37, Fig. 4A, 5B",
        _side(0),
    ),
    Transform(
        "waveform_right",
        "Waveform, right",
        "waveform",
        _CURVE,
        "amplitude",
        "37, Fig. 4C, 5B",
        _side(1),
    ),
    Transform(
        "linear",
        "Linear-frequency power spectrum",
        "picture",
        _HZ,
        "power",
        "38, Fig. 4B, 5B",
        lambda sound: sound.power,
        lambda sound: spectrum.linear_frequencies(sound.sr, sound.n_fft),
    ),
    Transform(
        "log",
        "Log-frequency power spectrum",
        "picture",
        _LOG_HZ,
        "power",
        "37 to 41, Fig. 4B",
        lambda sound: spectrum.log_spectrum(S=sound.power, sr=sound.sr),
        lambda sound: spectrum.log_frequencies(sound.sr),
    ),
    Transform(
        "constant_q_note",
        "Constant-Q power spectrum (note)",
        "picture",
        _NOTE,
        "power",
        "37 to 41, Fig. 4B",
        lambda sound: sound.constant_q,
        _constant_q_notes,
    ),
    Transform(
        "constant_q_hz",
        "Constant-Q power spectrum (Hz)",
        "picture",
        _LOG_HZ,
        "power",
        "37 to 41, Fig. 4B",
        lambda sound: sound.constant_q,
        lambda sound: filters.C1 * 2 ** (np.arange(len(sound.constant_q)) / 12),
    ),
    Transform(
        "chroma",
        "Chromagram",
        "picture",
        Axis("pitch class", "", names=PITCH_CLASSES),
        "share of the strongest",
        "39, Fig. 4D",
        lambda sound: sound.chromagram,
    ),
    Transform(
        "tempogram",
        "Tempogram",
        "picture",
        Axis("lag", "s"),
        "autocorrelation",
        "39, Fig. 4E",
        lambda sound: sound.lags,
        lambda sound: np.arange(sound.tempogram_frames // 2) * sound.hop_length / sound.sr,
    ),
    Transform(
        "cyclic_tempogram",
        "Cyclic tempogram",
        "picture",
        Axis("tempo", "beats/min", "log"),
        "autocorrelation",
        "39",
        lambda sound: rhythm.cyclic_tempogram(
            lags=sound.lags, sr=sound.sr, hop_length=sound.hop_length
        ),
        lambda sound: 60.0 * 2 ** (np.arange(60) / 60),
    ),
    Transform(
        "mel",
        "Mel-spectrogram",
        "picture",
        Axis("mel frequency", "Hz"),
        "power",
        "40",
        lambda sound: sound.mel,
        _mel_centres,
    ),
    Transform(
        "mfcc",
        "MFCC",
        "picture",
        Axis("coefficient", ""),
        "dB",
        "51",
        lambda sound: timbre.mfcc(log_mel=sound.log_mel, n_mfcc=N_MFCC),
    ),
    Transform(
        "contrast",
        "Spectral contrast",
        "picture",
        Axis("octave from", "Hz"),
        "dB",
        "52",
        lambda sound: timbre.contrast(S=sound.power, sr=sound.sr, n_bands=sound.octaves),
        _contrast_edges,
    ),
    Transform(
        "tonnetz",
        "Tonnetz",
        "picture",
        Axis("tonal centroid", "", names=TONNETZ),
        "-1 .. 1",
        "52",
        lambda sound: harmony.tonnetz(chromagram=sound.chromagram),
    ),
    Transform(
        "centroid",
        "Spectral centroid",
        "curve",
        _CURVE,
        "Hz",
        "48 to 52",
        lambda sound: timbre.centroid(S=sound.power, sr=sound.sr),
    ),
    Transform(
        "onset_strength",
        "Onset likelihood",
        "curve",
        _CURVE,
        "dB",
        "41",
        lambda sound: sound.onsets,
    ),
    Transform(
        "cepstral_pitch",
        "Cepstral pitch",
        "curve",
        _CURVE,
        "Hz",
        "48 to 52",
        lambda sound: sound.pitch,
    ),
    Transform(
        "melodic_range",
        "Melodic-range spectrogram (log)",
        "picture",
        _LOG_HZ,
        "power",
        "56, Fig. 5B",
        lambda sound: melody.melodic_range(S=sound.power, sr=sound.sr),
        lambda sound: melody.melodic_frequencies(sound.sr, sound.n_fft),
    ),
    Transform(
        "melodic_range_linear",
        "Melodic-range spectrogram (linear)",
        "picture",
        _HZ,
        "power",
        "56, Fig. 5B",
        lambda sound: melody.melodic_range(S=sound.power, sr=sound.sr, scale="linear"),
        lambda sound: melody.melodic_frequencies(sound.sr, sound.n_fft, scale="linear"),
    ),
    Transform(
        "notes",
        "Note transcription",
        "picture",
        _NOTE,
        "salience",
        "48 to 52",
        lambda sound: transcription.note_salience(
            y=sound.y, sr=sound.sr, hop_length=sound.hop_length
        ),
        lambda sound: transcription.LOWEST + np.arange(float(transcription.note_count(sound.sr))),
    ),
)

TRANSFORMS = MappingProxyType({transform.name: transform for transform in _ALL})
"""All transforms by name, in the order in which they are drawn."""
