"""Read snippets: parts of a recording, mono or stereo, at one sample rate."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import AudioError
from datasets.system.files import open_regular
from embedding.audio.config import SnippetConfig
from embedding.audio.source import AudioSource, RecordingFile, on_disk
from embedding.decoding.bitstreams import refuse_bitstream
from embedding.decoding.containers import kind_for_ffmpeg, read_header
from embedding.decoding.ffmpeg import SoundPart, decoded_ahead
from embedding.decoding.readers import AudioReader, FfmpegReader, ShorterError, open_recording

MAX_WINDOWS = 20_000
"""Maximum number of windows of a whole recording: more than a day of 5 s windows."""

SAMPLED_BYTES = 1 << 16
"""Bytes at the beginning, middle and end of a file that enter its fingerprint."""

logger = logging.getLogger("coldtune")

_Made = TypeVar("_Made")

_SHARE = {"start": 0.0, "middle": 0.5, "end": 1.0}


def snippet_starts(
    frames: int, rate: int, snippet: SnippetConfig, recording: bytes = b""
) -> list[int]:
    """Return the first frame of each snippet, ascending and without duplicates.

    Args:
        frames: length of the recording in frames.
        rate: sample rate in Hz.
        snippet: length, position and number of snippets.
        recording: fingerprint of the content (`content_fingerprint`), which seeds random
            positions.

    Returns:
        Start frames that leave room for a whole snippet; [0] if the recording is shorter than one.

    Raises:
        AudioError: the recording ends before ``snippet.at``, or has too many windows.
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
    """Return a SHA-256 digest (32 bytes) that identifies a recording by its content.

    Made from the length and three parts of the content, because reading a long file completely
    takes longer than decoding a snippet of it.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open_regular(path) as stream:
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
"""Minimum length of a recording."""

SILENCE = 1e-7
"""Largest difference between the highest and the lowest sample of a silent part: -140 dB of full
scale, a hundredth of a 16-bit step."""

CANCELLED = 1e-4
"""Channels cancel each other out completely if the range of their mean is at most this share of the
range of all samples."""

OPPOSITE = 0.25
"""Channels are taken for opposite in phase if their mean has less than this share of the power it
has with channels turned over. In stereo: the difference is 6 dB above the mean or more, where in
music it is below."""

QUIET = 10 ** (-36 / 20)
"""Level below which the sound of a snippet is compared with the rest of the recording."""

FAINT = 10 ** (-40 / 20)
"""A snippet says nothing if its level is below this share of that of the recording, …"""

FAINT_AND_STEADY = 10 ** (-16 / 20)
"""… or below this one if it is a steady noise or hum, or no more than a few clicks in what says
nothing."""

STEADY_DB = 1.5
"""A sound is steady if the level of its tenths of seconds varies by no more (standard deviation, in
dB). Noise varies by 0.2 to 1, music in general by 2 to 6."""

PROBES = 24
"""Places in a recording where its level is measured."""

PROBE_SECONDS = 0.5
"""Length of each of these places."""


@dataclass(frozen=True, eq=False)
class Snippet:
    """Part of a recording.

    Examples:
        >>> from embedding.audio import SnippetConfig, load_waveforms
        >>> (snippet,) = load_waveforms(recording, SnippetConfig(seconds=2))
        >>> snippet.start, snippet.recorded_seconds, snippet.samples.shape
        (2.0, 2.0, (1, 44100))
    """

    start: float
    """Start time in the recording, in seconds."""

    recorded_seconds: float
    """Seconds that come from the recording; less than the length of the snippet if a short
    recording was repeated or padded."""

    samples: Float32Array
    """float32 [samples] (mono), or [channels, samples]."""

    recorded_rate: int = 0
    """Sample rate of the recording itself, in Hz."""


def load_snippets(
    source: AudioSource, snippet: SnippetConfig, sample_rate: int
) -> list[Float32Array]:
    """Load the snippets of a recording as mono waveforms (paragraphs 35 and 36).

    No more is decoded than needed. Silent snippets are left out; if all are silent, the loudest
    part of the recording is returned instead, unless ``snippet.at`` is given. A truncated file is
    used as far as it goes.

    Args:
        source: path, bytes or binary file object of a recording in any format that libsndfile (or
            ffmpeg, if installed) reads.
        snippet: length, position and number of snippets.
        sample_rate: sample rate of the result in Hz.

    Returns:
        For each snippet float32 [round(seconds * sample_rate)], in order of time. A recording
        shorter than a snippet gives one snippet, repeated or padded to the full length.

    Raises:
        AudioError: no usable sound; the message names the file and the reason.
        InvalidArgumentError: ``source`` is not a path, bytes or binary file object.

    Examples:
        >>> from embedding.audio import SnippetConfig, load_snippets
        >>> first, second = load_snippets(recording, SnippetConfig(seconds=1, count=2), 22050)
        >>> first.shape
        (22050,)
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
    """Read the snippets of a file, with their start times; see `load_snippets`.

    Args:
        file: the recording.
        snippet: length, position and number of snippets.
        sample_rate: sample rate of the result in Hz.
        channels: 1 for mono, 2 for stereo (Fig. 4C; a mono recording is doubled), None for mono
            or stereo as recorded.

    Raises:
        AudioError: no usable sound; the message names the file and the reason.
    """
    return map_snippets(_itself, file, snippet, sample_rate, channels=channels)


def map_snippets(
    make: Callable[[Snippet], _Made],
    file: RecordingFile,
    snippet: SnippetConfig,
    sample_rate: int,
    *,
    channels: Literal[1, 2] | None = 1,
) -> list[_Made]:
    """Read the snippets of a file, and keep only what is made of each.

    For position ``whole`` it is made as soon as a window is read: of a recording of hours, no more
    than one window's samples are held.

    Args:
        make: function of a snippet, at each of them in order of time.
        file: as in `read_snippets`.
        snippet: as in `read_snippets`.
        sample_rate: as in `read_snippets`.
        channels: as in `read_snippets`.

    Raises:
        AudioError: no usable sound, or `make` raises it; the message names the file and the reason.
    """
    try:
        with open_recording(file.path) as recording:
            found = _audible_snippets(
                recording, _SnippetRequest(file, snippet, sample_rate, channels), make
            )
            for remark in recording.remarks:
                logger.warning("%s: %s", file.name, remark)
            return found
    except AudioError as error:
        raise AudioError(f"{file.name}: {error}") from error.__cause__


def _itself(snippet: Snippet) -> Snippet:
    return snippet


@contextmanager
def snippets_ahead(files: Sequence[RecordingFile], snippet: SnippetConfig) -> Iterator[None]:
    """Decode the snippets of several files that need ffmpeg together.

    Inside the block `read_snippets` finds them decoded. Only files whose headers tell the length
    (m4a, aac) are decoded ahead, and none whole; others are read as ever.

    Args:
        files: recordings that will be read inside the block.
        snippet: length, position and number of snippets, as they will be read.
    """
    parts: list[SoundPart] = []
    for file in files:
        # What is wrong with a file will be said when it is read.
        with suppress(AudioError, OSError, ValueError):
            parts += _parts_ahead(file, snippet)
    with decoded_ahead(parts):
        yield


MAX_SECONDS_AHEAD = 60.0
"""Most that is decoded of a file before it is read, so that little is held in memory."""


def _parts_ahead(file: RecordingFile, snippet: SnippetConfig) -> list[SoundPart]:
    info = None if kind_for_ffmpeg(file.path) is None else read_header(file.path)
    if info is None:
        return []
    recording = FfmpegReader(file.path, info)
    starts = _SnippetRequest(file, snippet, recording.rate, 1).starts(recording)
    parts = recording.parts(starts, round(snippet.seconds * recording.rate))
    return parts if sum(part.seconds or 0.0 for part in parts) <= MAX_SECONDS_AHEAD else []


def to_mono(samples: Float32Array) -> Float32Array:
    """Mix channels to mono by their mean: [frames, channels] to [frames].

    If channels nearly cancel each other out (opposite phase), some are turned over before; if they
    do so completely, the loudest is used alone.

    Args:
        samples: float32 [frames, channels].

    Returns:
        float32 [frames].

    Raises:
        AudioError: NaN or infinite samples.

    Examples:
        >>> from embedding.audio import to_mono
        >>> stereo = np.array([[0.0, 0.2], [0.4, 0.6]], dtype=np.float32)
        >>> to_mono(stereo).round(3).tolist()
        [0.10000000149011612, 0.5]
    """
    _check_finite(samples)
    channels = samples.shape[1]
    if channels == 1 or not len(samples):
        return samples[:, 0]
    # A matrix product, since numpy's mean over so short an axis is ten times slower.
    mono: Float32Array = samples @ np.full(channels, 1 / channels, dtype=np.float32)
    if not _may_cancel(mono, samples):
        return mono
    weights = _turned(samples)
    if weights is None:
        return mono
    if _range(mono) <= CANCELLED * _range(samples):
        return max((samples[:, channel] for channel in range(channels)), key=_range)
    return samples @ weights


def _may_cancel(mono: Float32Array, samples: Float32Array) -> bool:
    """Whether the mean of the channels is so weak that `_turned` has to look closer."""
    flat = samples.ravel(order="K")
    power = float(np.vdot(flat, flat)) / samples.shape[1]
    mean_power = float(np.vdot(mono, mono)) - float(np.vdot(mono, np.ones_like(mono))) ** 2 / len(
        mono
    )
    # Powers that float32 cannot hold are looked at closer as well.
    return not (0 < power < np.inf and mean_power > OPPOSITE * power)


def _turned(samples: Float32Array) -> Float32Array | None:
    """Weights of the channels, some of them turned over; None if none of them is to be.

    With one channel of a stereo recording upside down the mean is what differs between left and
    right, and after a lossy codec mostly its noise.
    """
    channels = samples.shape[1]
    scale = float(np.abs(samples).max())
    if scale == 0:
        return None
    centred = samples.astype(np.float64) / scale
    centred -= centred.mean(axis=0)
    covariance = centred.T @ centred
    signs = np.where(covariance[int(np.diag(covariance).argmax())] < 0, -1.0, 1.0)
    signs *= signs[0] / channels  # the first channel stays as it is
    if covariance.sum() / channels**2 >= OPPOSITE * (signs @ covariance @ signs):
        return None
    return signs.astype(np.float32)


def to_stereo(samples: Float32Array) -> Float32Array:
    """Convert to left and right: [frames, channels] to [frames, 2].

    A single channel is doubled. Of more than two channels the first two are used, which are front
    left and front right in every layout; if they are silent, the mean of all, doubled.

    Args:
        samples: float32 [frames, channels].

    Returns:
        float32 [frames, 2].

    Raises:
        AudioError: NaN or infinite samples.

    Examples:
        >>> from embedding.audio import to_stereo
        >>> to_stereo(np.array([[0.25], [0.5]], dtype=np.float32)).tolist()
        [[0.25, 0.25], [0.5, 0.5]]
    """
    _check_finite(samples)
    front = samples[:, :2]
    if samples.shape[1] == 1 or is_silent(front):
        return np.repeat(to_mono(samples)[:, None], 2, axis=1)
    return front


def resample(y: Float32Array, rate: int, wanted: int) -> Float32Array:
    """Resample [frames] or [frames, channels] from ``rate`` to ``wanted`` Hz.

    By soxr's HQ filter, which suppresses aliasing by at least 120 dB.

    Args:
        y: float32 [frames] or [frames, channels].
        rate: its sample rate, Hz.
        wanted: the sample rate to convert to, Hz.

    Returns:
        The samples at the other rate, in the shape of `y` but for the number of frames.

    Examples:
        >>> from embedding.audio import resample
        >>> resample(np.zeros(44100, dtype=np.float32), 44100, 22050).shape
        (22050,)
    """
    if rate == wanted:
        return y
    import soxr

    resampled: Float32Array = soxr.resample(y, rate, wanted, quality="HQ")
    return resampled


def is_silent(y: Float32Array, *, step: float = 0.0) -> bool:
    """Return whether [frames] or [frames, channels] is silent: (nearly) constant in every channel.

    Args:
        y: float32 [frames] or [frames, channels].
        step: distance of neighbouring values in the format of the recording. What stays within
            two steps is silence with dither.

    Examples:
        >>> from embedding.audio import is_silent
        >>> is_silent(np.full(100, 0.5, dtype=np.float32))
        True
    """
    if not len(y):
        return True
    # In double precision, where no difference of two float32 samples overflows.
    extent = np.max(y.max(axis=0).astype(float) - y.min(axis=0))
    return bool(extent <= max(SILENCE, 2.001 * step))


def _range(y: Float32Array) -> float:
    """Difference of the highest and the lowest sample, which ignores a constant offset."""
    # In double precision, where no difference of two float32 samples overflows.
    return float(y.max()) - float(y.min())


def _check_finite(samples: Float32Array) -> None:
    if not np.isfinite(samples).all():
        raise AudioError("contains NaN or infinite samples")


@dataclass(frozen=True)
class _SnippetRequest:
    """Which snippets of which file, at which rate, with which channels."""

    file: RecordingFile
    snippet: SnippetConfig
    rate: int
    channels: Literal[1, 2] | None

    def starts(self, recording: AudioReader) -> list[int]:
        """First frames of the snippets."""
        seconds = recording.frames / recording.rate
        if seconds < MIN_SECONDS:
            raise AudioError(f"has {seconds:.3g} s of sound; at least {MIN_SECONDS} s are needed")
        # Only random positions depend on the content.
        content = content_fingerprint(self.file.path) if self.snippet.position == "random" else b""
        return snippet_starts(recording.frames, recording.rate, self.snippet, content)

    @property
    def may_move(self) -> bool:
        """Whether the snippets may be taken elsewhere where they say nothing."""
        return self.snippet.position not in ("at", "whole")

    def mixed(self, part: Float32Array) -> Float32Array:
        """Mix a part to the wanted channels: [frames] or [frames, 2]."""
        mono = part.shape[1] == 1 if self.channels is None else self.channels == 1
        return to_mono(part) if mono else to_stereo(part)

    def finished(self, start: int, rate: int, clip: Float32Array) -> Snippet:
        """Resample a clip and repeat or pad it to exactly the wanted length."""
        y = resample(clip, rate, self.rate)
        samples = round(self.snippet.seconds * self.rate)
        if len(y) < samples:
            repeated = np.resize(y, (samples, *y.shape[1:]))
            if self.snippet.short == "pad":
                repeated[len(y) :] = 0
            y = repeated
        recorded = min(len(clip) / rate, self.snippet.seconds)
        return Snippet(start / rate, recorded, np.ascontiguousarray(y[:samples].T), rate)


class _Loudness(NamedTuple):
    """How loud a part of a recording is."""

    level: float
    """Root mean square of the samples, without a constant offset."""

    is_steady: bool
    """Whether it is quiet, and as steady as noise or hum."""

    usual: float
    """The level that half of its tenths of seconds do not exceed, where it is quiet: of what lies
    between clicks. Otherwise its level."""

    def says_nothing_beside(self, level: float) -> bool:
        """Whether it is next to silent in a recording of this level."""
        is_little = self.is_steady or self.usual < FAINT * level
        faint = FAINT_AND_STEADY if is_little else FAINT
        return self.level < QUIET and self.level < faint * level


def _loudness(y: Float32Array, rate: int) -> _Loudness:
    level = _level(y)
    tenth = max(1, rate // 10)
    parts = len(y) // tenth
    if not level < QUIET or parts < 4:
        return _Loudness(level, False, level)
    levels = y[: parts * tenth].reshape(parts, -1).std(axis=1)
    spread = np.log10(np.maximum(levels, np.finfo(np.float32).tiny)).std()
    return _Loudness(level, 20 * float(spread) <= STEADY_DB, float(np.median(levels)))


def _level(y: Float32Array) -> float:
    """Root mean square without a constant offset; infinity where float32 cannot hold the power."""
    flat = y.reshape(-1)
    if not flat.size:
        return 0.0
    # Taken out before squaring: beside the square of a large offset a click would be rounded away.
    flat = flat - np.float32(flat.mean(dtype=np.float64))
    power = float(np.vdot(flat, flat)) / flat.size
    return power**0.5 if np.isfinite(power) else np.inf


def _level_of_recording(recording: AudioReader, length: int) -> float:
    """Level of the loud places of a recording, found by looking at a few of them.

    The second loudest counts, so that a click in one of them does not.
    """
    length = min(length, round(PROBE_SECONDS * recording.rate))
    places = np.linspace(0, max(0, recording.frames - length), PROBES)
    starts = [int(start) for start in np.unique(places.astype(np.int64))]
    levels = [_level(part) for part in recording.read_parts(starts, length) if part.size]
    return sorted([0.0, 0.0, *(level for level in levels if np.isfinite(level))])[-2]


def _audible_snippets(
    recording: AudioReader, wanted: _SnippetRequest, make: Callable[[Snippet], _Made]
) -> list[_Made]:
    """Read the wanted snippets that say something; if none does, the loudest part."""
    length = round(wanted.snippet.seconds * recording.rate)
    try:
        found: list[Snippet] = []
        loudness, made = [], []
        starts = wanted.starts(recording)
        for start, part in zip(starts, recording.read_parts(starts, length), strict=True):
            if recording.is_pcm:
                refuse_bitstream(part)
            clip = wanted.mixed(part)
            if not is_silent(clip, step=recording.step):
                # Resampled at once, so that no more of a long recording is held than is returned.
                finished = wanted.finished(start, recording.rate, clip)
                if wanted.may_move:
                    found.append(finished)
                    loudness.append(_loudness(clip, recording.rate))
                else:
                    made.append(make(finished))
        if loudness:
            level = max(loud.level for loud in loudness)
            if level < QUIET and recording.frames > length:
                level = max(level, _level_of_recording(recording, length))
            faint = [loud.says_nothing_beside(level) for loud in loudness]
            found = [
                snippet for snippet, left_out in zip(found, faint, strict=True) if not left_out
            ]
    except ShorterError:
        # The real length is known now, so that this cannot happen again.
        return _audible_snippets(recording, wanted, make)
    made += [make(snippet) for snippet in found]
    if made:
        return made
    if wanted.snippet.at is not None:
        raise AudioError(f"is silent from {wanted.snippet.at:g} s on")
    start, clip = _loudest(recording, length, wanted.mixed)
    snippet = wanted.finished(start, recording.rate, clip)
    logger.warning(
        "%s: there is no more than silence or faint noise at %.1f s; heard from %.1f s on instead",
        wanted.file.name,
        starts[0] / recording.rate,
        snippet.start,
    )
    return [make(snippet)]


def _loudest(
    recording: AudioReader, length: int, mixed: Callable[[Float32Array], Float32Array]
) -> tuple[int, Float32Array]:
    """Start frame and samples of the loudest of the consecutive parts of ``length`` frames."""
    best, energy, at = None, 0.0, 0
    for part in recording.read_blocks(length):
        clip = mixed(part)
        # The last one may be short. A constant offset is no sound.
        own = _level(clip) ** 2 * len(clip)
        if own > energy and not is_silent(clip, step=recording.step):
            best, energy = (at, clip), own
        at += len(part)
    if best is None:
        raise AudioError("is silent")
    return best
