"""Recordings to snippets: the wanted parts of a file, mono, at one sample rate."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import AudioError
from embedding.config import SnippetConfig
from embedding.decoding import Recording, opened, printable

Array = NDArray[np.float32]

MIN_SECONDS = 0.05
"""The shortest recording that is used; it is repeated until it fills the snippet."""

SILENCE = 1e-7
"""Difference between the highest and the lowest sample up to which sound counts as silent:
-140 dB of full scale, a hundredth of a step of 16 bit."""

CANCELLED = 1e-4
"""Where the mean of the channels is this much weaker than they are, they are opposites."""


def load_snippets(path: Path | str, snippet: SnippetConfig, sample_rate: int) -> list[Array]:
    """The snippets of a recording (paragraphs 35 and 36), decoding no more than needed.

    Args:
        path: a recording in any format that libsndfile (or ffmpeg, if installed) reads.
        snippet: length, place and number of snippets.
        sample_rate: wanted samples a second.

    Returns:
        One float32 array of ``round(seconds * sample_rate)`` samples for each snippet, in order,
        mono. A recording that is shorter than a snippet gives one, repeated until it fills it. A
        silent snippet is left out while others sound; where none sounds, the loudest part of the
        recording is taken. Of a file that was cut, what is left of it is the recording.

    Raises:
        AudioError: no usable sound; the message names the file and says why.
    """
    path = Path(path)
    try:
        with opened(path) as recording:
            clips = _sounding(recording, snippet)
            rate = recording.rate
    except AudioError as error:
        raise AudioError(f"{printable(path)}: {error}") from error.__cause__
    samples = round(snippet.seconds * sample_rate)
    return [_filled(resample(clip, rate, sample_rate), samples) for clip in clips]


def snippet_starts(frames: int, length: int, snippet: SnippetConfig) -> list[int]:
    """First frame of each snippet of ``length`` frames in a recording of ``frames``, ascending.

    Several snippets lie around the middles of as many equal parts of the recording, as far as its
    ends allow; so a recording shorter than a snippet has one, from its start.
    """
    room = max(0, frames - length)
    if snippet.count == 1:
        return [{"start": 0, "middle": room // 2, "end": room}[snippet.position]]
    middles = (np.arange(snippet.count) + 0.5) * frames / snippet.count
    starts = np.clip(np.rint(middles - length / 2), 0, room).astype(int)
    return [int(start) for start in np.unique(starts)]


def to_mono(samples: Array) -> Array:
    """Mean of the channels: [frames, channels] to [frames].

    Where the channels cancel each other out (one is the other upside down), the loudest alone.

    Raises:
        AudioError: NaN or infinite samples.
    """
    if not np.isfinite(samples).all():
        raise AudioError("contains NaN or infinite samples")
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    # A matrix product, since numpy's mean over so short an axis is ten times slower.
    mono: Array = samples @ np.full(channels, 1 / channels, dtype=np.float32)
    if np.abs(mono).max() <= CANCELLED * np.abs(samples).max():
        return samples[:, int(np.abs(samples).max(axis=0).argmax())]
    return mono


def resample(y: Array, rate: int, wanted: int) -> Array:
    """Bring mono samples to another rate, with what would alias at least 120 dB down (soxr HQ)."""
    if rate == wanted:
        return y
    import soxr

    resampled: Array = soxr.resample(y, rate, wanted, quality="HQ")
    return resampled


def is_silent(y: Array) -> bool:
    """Whether nothing can be heard: all samples are the same, or nearly."""
    return float(y.max()) - float(y.min()) <= SILENCE


def _sounding(recording: Recording, snippet: SnippetConfig) -> list[Array]:
    """The wanted snippets that sound, mono, at the recording's own rate."""
    length = round(snippet.seconds * recording.rate)
    parts = None
    while parts is None:
        # Once more if the file turns out to be shorter than its header says.
        seconds = recording.frames / recording.rate
        if seconds < MIN_SECONDS:
            raise AudioError(f"has {seconds:.3g} s of sound; at least {MIN_SECONDS} s are needed")
        parts = recording.parts(snippet_starts(recording.frames, length, snippet), length)
    clips = [to_mono(part) for part in parts]
    return [clip for clip in clips if not is_silent(clip)] or [_loudest(recording, length)]


def _loudest(recording: Recording, length: int) -> Array:
    """The loudest of the snippets that follow one another from the start."""
    best, energy = None, 0.0
    for part in recording.blocks(length):
        clip = to_mono(part)
        if not is_silent(clip) and float(clip @ clip) > energy:
            best, energy = clip, float(clip @ clip)
    if best is None:
        raise AudioError("is silent")
    return best


def _filled(y: Array, samples: int) -> Array:
    """Exactly ``samples`` samples: repeated if there are fewer, cut if there are more."""
    return y[:samples] if len(y) >= samples else np.resize(y, samples)
