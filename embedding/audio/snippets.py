"""Recordings to snippets: the wanted parts of a recording at one sample rate.

Where in a recording its snippets lie.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import AudioError
from embedding.audio.config import SnippetConfig
from embedding.audio.decoding import AudioReader, ShorterError, open_recording
from embedding.audio.source import AudioSource, RecordingFile, on_disk

MAX_WINDOWS = 20_000
"""Most windows that a whole recording is cut into: more than a day of 5 s."""

SAMPLED_BYTES = 1 << 16
"""Bytes of the beginning, the middle and the end by which a recording is told from others."""

_SHARE = {"start": 0.0, "middle": 0.5, "end": 1.0}


def snippet_starts(
    frames: int, rate: int, snippet: SnippetConfig, recording: bytes = b""
) -> list[int]:
    """First frame of each snippet, ascending and each once.

    Args:
        frames: length of the recording in frames.
        rate: frames a second.
        snippet: length, place and number of snippets.
        recording: what tells this recording from others (:func:`fingerprint`); it decides random
            places.

    Returns:
        Frames from which on there is room for a snippet; 0 alone in a recording shorter than one.

    Raises:
        AudioError: the recording ends before the wanted time, or has too many windows.
    """
    length = round(snippet.seconds * rate)
    room = max(0, frames - length)
    if snippet.at is not None:
        start = round(snippet.at * rate)
        if start >= frames:
            raise AudioError(
                f"has {frames / rate:.3g} s of sound; a snippet cannot start at {snippet.at:g} s"
            )
        return [min(start, room)]
    if snippet.position == "whole":
        return _windows(room, round((snippet.hop or snippet.seconds) * rate))
    shares = (
        _generator(snippet.seed, recording).random(snippet.count)
        if snippet.position == "random"
        else _SHARE[snippet.position]
    )
    part = frames / snippet.count
    starts = np.floor(np.arange(snippet.count) * part + shares * (part - length))
    return [int(start) for start in np.unique(np.clip(starts, 0, room))]


def content_fingerprint(path: Path) -> bytes:
    """What tells a recording from others, whatever its file is called: 32 bytes.

    Made from the length and three places of the content, as reading all of a long file would take
    longer than decoding a snippet of it.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for place in (0, (size - SAMPLED_BYTES) // 2, size - SAMPLED_BYTES):
            stream.seek(max(0, place))
            digest.update(stream.read(SAMPLED_BYTES))
    return digest.digest()


def _windows(room: int, hop: int) -> list[int]:
    number = 1 + -(-room // hop)
    if number > MAX_WINDOWS:
        raise AudioError(f"has {number:,} windows; at most {MAX_WINDOWS:,} can be used")
    return [min(window * hop, room) for window in range(number)]


def _generator(seed: int, recording: bytes) -> np.random.Generator:
    digest = hashlib.sha256(seed.to_bytes(8, "big") + recording).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


MIN_SECONDS = 0.05
"""The shortest recording that is used; it is repeated until it fills the snippet."""

SILENCE = 1e-7
"""Difference between the highest and the lowest sample up to which sound counts as silent:
-140 dB of full scale, a hundredth of a step of 16 bit."""

CANCELLED = 1e-4
"""Where the mean of the channels moves this much less than they do, they are opposites."""


@dataclass(frozen=True, eq=False)
class Snippet:
    """A part of a recording."""

    start: float
    """Seconds from the beginning of the recording."""

    recorded_seconds: float
    """Seconds of the recording in it; fewer than it has where a short recording was repeated, or
    silence follows it."""

    samples: Float32Array
    """float32 [samples] (mono), or [2, samples] (left and right)."""


def load_snippets(
    source: AudioSource, snippet: SnippetConfig, sample_rate: int
) -> list[Float32Array]:
    """The snippets of a recording (paragraphs 35 and 36), decoding no more than needed.

    Args:
        source: a recording in any format that libsndfile (or ffmpeg, if installed) reads: a path,
            the content as bytes, or a binary file object.
        snippet: length, place and number of snippets.
        sample_rate: wanted samples a second.

    Returns:
        One float32 array of ``round(seconds * sample_rate)`` samples for each snippet, in order,
        mono. A recording that is shorter than a snippet gives one, repeated until it fills it. A
        silent snippet is left out while others sound; where none sounds, the loudest part of the
        recording is taken, unless a time was given. Of a file that was cut, what is left of it is
        the recording.

    Raises:
        AudioError: no usable sound; the message names the file and says why.
        InvalidArgumentError: ``source`` is none.
    """
    with on_disk([source]) as (file,):
        return [found.samples for found in read_snippets(file, snippet, sample_rate)]


def read_snippets(
    file: RecordingFile,
    snippet: SnippetConfig,
    sample_rate: int,
    *,
    channels: Literal[1, 2] | None = 1,
) -> list[Snippet]:
    """The snippets of a file and when they begin; see :func:`load_snippets`.

    Args:
        file: the recording.
        snippet: length, place and number of snippets.
        sample_rate: wanted samples a second.
        channels: 1 for mono, 2 for left and right (Fig. 4C; of a mono recording both are the same),
            None for mono where the recording is, and else for left and right.

    Raises:
        AudioError: no usable sound; the message names the file and says why.
    """
    try:
        with open_recording(file.path) as recording:
            return _audible_snippets(
                recording, _SnippetRequest(file, snippet, sample_rate, channels)
            )
    except AudioError as error:
        raise AudioError(f"{file.name}: {error}") from error.__cause__


def to_mono(samples: Float32Array) -> Float32Array:
    """Mean of the channels: [frames, channels] to [frames].

    Where the channels cancel each other out (one is the other upside down), the loudest alone.

    Raises:
        AudioError: NaN or infinite samples.
    """
    _check_finite(samples)
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    # A matrix product, since numpy's mean over so short an axis is ten times slower.
    mono: Float32Array = samples @ np.full(channels, 1 / channels, dtype=np.float32)
    if _range(mono) <= CANCELLED * _range(samples):
        return max((samples[:, channel] for channel in range(channels)), key=_range)
    return mono


def to_stereo(samples: Float32Array) -> Float32Array:
    """Left and right: [frames, channels] to [frames, 2]; of one channel twice the same.

    Of more than two channels the first two, which every layout has in front at the left and at
    the right; where those are silent, twice the mean of all.

    Raises:
        AudioError: NaN or infinite samples.
    """
    _check_finite(samples)
    front = samples[:, :2]
    if samples.shape[1] == 1 or is_silent(front):
        return np.repeat(to_mono(samples)[:, None], 2, axis=1)
    return front


def resample(y: Float32Array, rate: int, wanted: int) -> Float32Array:
    """Bring samples [frames] or [frames, channels] to another rate.

    What would alias ends up at least 120 dB down (soxr HQ).
    """
    if rate == wanted:
        return y
    import soxr

    resampled: Float32Array = soxr.resample(y, rate, wanted, quality="HQ")
    return resampled


def is_silent(y: Float32Array) -> bool:
    """Whether nothing can be heard in [frames] or [frames, channels]: in every channel all samples
    are the same, or nearly."""
    # In double precision, where no difference of two samples overflows.
    return bool(np.max(y.max(axis=0).astype(float) - y.min(axis=0)) <= SILENCE)


def _range(y: Float32Array) -> float:
    """From the lowest to the highest sample; a constant offset makes no difference to it."""
    # As Python's floats, where no difference of two samples overflows.
    return float(y.max()) - float(y.min())


def _check_finite(samples: Float32Array) -> None:
    if not np.isfinite(samples).all():
        raise AudioError("contains NaN or infinite samples")


@dataclass(frozen=True)
class _SnippetRequest:
    """What is asked of a recording."""

    file: RecordingFile
    snippet: SnippetConfig
    rate: int
    channels: Literal[1, 2] | None

    def starts(self, recording: AudioReader) -> list[int]:
        """First frames of the snippets."""
        seconds = recording.frames / recording.rate
        if seconds < MIN_SECONDS:
            raise AudioError(f"has {seconds:.3g} s of sound; at least {MIN_SECONDS} s are needed")
        # Only random places depend on the content, so only then it is looked at.
        content = content_fingerprint(self.file.path) if self.snippet.position == "random" else b""
        return snippet_starts(recording.frames, recording.rate, self.snippet, content)

    def mixed(self, part: Float32Array) -> Float32Array:
        """The wanted channels of a part: [frames] or [frames, 2]."""
        mono = part.shape[1] == 1 if self.channels is None else self.channels == 1
        return to_mono(part) if mono else to_stereo(part)

    def finished(self, start: int, rate: int, clip: Float32Array) -> Snippet:
        """A snippet of the wanted rate and of exactly the wanted length."""
        y = resample(clip, rate, self.rate)
        samples = round(self.snippet.seconds * self.rate)
        if len(y) < samples:
            repeated = np.resize(y, (samples, *y.shape[1:]))
            if self.snippet.short == "pad":
                repeated[len(y) :] = 0
            y = repeated
        recorded = min(len(clip) / rate, self.snippet.seconds)
        return Snippet(start / rate, recorded, np.ascontiguousarray(y[:samples].T))


def _audible_snippets(recording: AudioReader, wanted: _SnippetRequest) -> list[Snippet]:
    """The wanted snippets that sound."""
    length = round(wanted.snippet.seconds * recording.rate)
    try:
        found = []
        starts = wanted.starts(recording)
        for start, part in zip(starts, recording.read_parts(starts, length), strict=True):
            clip = wanted.mixed(part)
            if not is_silent(clip):
                # Finished at once, so that of a long recording no more is held than is returned.
                found.append(wanted.finished(start, recording.rate, clip))
    except ShorterError:
        # Once more, now that its real length is known.
        return _audible_snippets(recording, wanted)
    if found:
        return found
    if wanted.snippet.at is not None:
        raise AudioError(f"is silent from {wanted.snippet.at:g} s on")
    start, clip = _loudest(recording, length, wanted.mixed)
    return [wanted.finished(start, recording.rate, clip)]


def _loudest(
    recording: AudioReader, length: int, mixed: Callable[[Float32Array], Float32Array]
) -> tuple[int, Float32Array]:
    """First frame and samples of the loudest of the snippets that follow one another."""
    best, energy, at = None, 0.0, 0
    for part in recording.read_blocks(length):
        clip = mixed(part)
        if not is_silent(clip) and float(np.vdot(clip, clip)) > energy:
            best, energy = (at, clip), float(np.vdot(clip, clip))
        at += len(part)
    if best is None:
        raise AudioError("is silent")
    return best
