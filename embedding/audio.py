"""Recordings to snippets: decoding only the needed part of a file, mono, one sample rate.

wav, flac, ogg, mp3 and the other formats of libsndfile are read directly; everything else (m4a,
aac, …) through the ``ffmpeg`` program where it is installed.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import AudioError
from embedding.config import SnippetConfig

Array = NDArray[np.float32]

MIN_SECONDS = 0.05
"""The shortest recording that is used; it is repeated until it fills the snippet."""

MIN_RATE, MAX_RATE = 1000, 768_000
"""Sample rates in Hz that a recording can have."""

SILENCE = 1e-7
"""Peak amplitude up to which sound counts as silent: -140 dB of full scale."""

BLOCK = 1 << 16
"""Frames read at a time where a file is read from its beginning."""

FFMPEG_SECONDS = 600
"""Longest time that ffmpeg is given for a file."""


def load_snippets(path: Path | str, snippet: SnippetConfig, sample_rate: int) -> list[Array]:
    """The snippets of a recording, mono, at one sample rate.

    Args:
        path: a recording in any format that libsndfile (or ffmpeg, if installed) reads.
        snippet: length, place and number of snippets.
        sample_rate: wanted samples a second.

    Returns:
        One float32 array of ``round(seconds * sample_rate)`` samples for each snippet, in order;
        one for a recording that is shorter than a snippet, repeated until it fills it. A silent
        snippet is left out while others sound; where none sounds, the loudest part is taken.

    Raises:
        AudioError: no usable sound; the message names the file and says why.
    """
    path = Path(path)
    try:
        with _opened(path) as recording:
            clips = _sounding_clips(recording, snippet)
            rate = recording.rate
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error.__cause__
    samples = round(snippet.seconds * sample_rate)
    return [_filled(resample(clip, rate, sample_rate), samples) for clip in clips]


def to_mono(samples: Array) -> Array:
    """Mean of the channels: [frames, channels] to [frames].

    Where the channels cancel each other out (one is the other upside down), the loudest alone.

    Raises:
        AudioError: NaN or infinite samples.
    """
    if not np.isfinite(samples).all():
        raise AudioError("contains NaN or infinite samples")
    if samples.shape[1] == 1:
        return samples[:, 0]
    # Divided first, so that huge samples do not overflow in the sum.
    mono = (samples / np.float32(samples.shape[1])).sum(axis=1)
    peaks = np.abs(samples).max(axis=0)
    if np.abs(mono).max() <= 1e-4 * peaks.max():
        return samples[:, int(peaks.argmax())]
    return mono


def resample(y: Array, rate: int, wanted: int) -> Array:
    """Bring mono samples to another rate (soxr, high quality: images and aliases below -120 dB)."""
    if rate == wanted:
        return y
    import soxr

    resampled: Array = soxr.resample(y, rate, wanted, quality="HQ")
    return resampled


class _Recording:
    """An opened file that gives any part of itself, whatever its header says."""

    def __init__(self, path: Path) -> None:
        import soundfile

        self._path = path
        self._soundfile = soundfile
        with self._open() as stream:
            self.rate: int = stream.samplerate
            self.frames: int = stream.frames
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise AudioError(
                f"has {self.rate} samples a second; {MIN_RATE} to {MAX_RATE} can be used"
            )
        self._seekable = 0 < self.frames < 2**40
        if not self._seekable:
            self._count()

    def read(self, start: int, frames: int) -> Array:
        """Up to ``frames`` frames from ``start``: float32 [frames, channels]."""
        wanted = min(frames, self.frames - start)
        if self._seekable:
            try:
                with self._open() as stream:
                    stream.seek(start)
                    samples: Array = stream.read(wanted, dtype="float32", always_2d=True)
                if len(samples) == wanted:
                    return samples
            except self._soundfile.LibsndfileError:
                pass
            # The header promised more than there is (a cut file, an estimated length).
            self._count()
            raise _LengthChanged
        return self._read_from_beginning(start, wanted)

    def _count(self) -> None:
        """Learn the real number of frames by decoding all of it, without keeping it."""
        self._seekable = False
        self.frames = sum(len(block) for block in self._blocks())

    def _read_from_beginning(self, start: int, frames: int) -> Array:
        parts, at = [], 0
        for block in self._blocks():
            part = block[max(0, start - at) : max(0, start + frames - at)]
            if len(part):
                parts.append(part)
            at += len(block)
            if at >= start + frames:
                break
        if not parts:
            raise AudioError("has no sound that can be decoded")
        return np.concatenate(parts)

    def _blocks(self) -> Iterator[Array]:
        """Everything that can be decoded; an error in the middle ends it."""
        try:
            with self._open() as stream:
                while len(block := stream.read(BLOCK, dtype="float32", always_2d=True)):
                    yield block
        except self._soundfile.LibsndfileError:
            return

    def _open(self):  # type: ignore[no-untyped-def]
        return self._soundfile.SoundFile(self._path)


class _LengthChanged(Exception):
    """The real length of a recording became known, so snippets must be placed anew."""


@contextmanager
def _opened(path: Path) -> Iterator[_Recording]:
    import soundfile

    _check_file(path)
    try:
        recording = _Recording(path)
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
        with _converted(path, reason) as converted:
            yield _Recording(converted)
        return
    yield recording


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AudioError("is a folder, not a recording")
        if not path.is_file():
            raise AudioError("is not a file")
        if size == 0:
            raise AudioError("is empty (0 bytes)")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise AudioError("no such file") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _converted(path: Path, reason: str) -> Iterator[Path]:
    """A wav file that ffmpeg made of ``path``, for as long as the block lasts."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError(
            f"cannot be decoded ({reason}); if it is m4a, aac or another format that libsndfile "
            "does not read, install ffmpeg"
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "converted.wav"
        command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
        command += ["-i", f"file:{path.absolute()}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
        command += ["-rf64", "auto", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=FFMPEG_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise AudioError(f"ffmpeg did not decode it in {FFMPEG_SECONDS} s") from None
        if not target.is_file() or target.stat().st_size == 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise AudioError(
                f"cannot be decoded, by ffmpeg neither ({said[-1] if said else reason})"
            )
        yield target


def _sounding_clips(recording: _Recording, snippet: SnippetConfig) -> list[Array]:
    try:
        return _place_and_read(recording, snippet)
    except _LengthChanged:
        return _place_and_read(recording, snippet)


def _place_and_read(recording: _Recording, snippet: SnippetConfig) -> list[Array]:
    seconds = recording.frames / recording.rate
    if seconds < MIN_SECONDS:
        raise AudioError(f"has {seconds:.3f} s of sound; at least {MIN_SECONDS} s are needed")
    length = round(snippet.seconds * recording.rate)
    starts = snippet_starts(recording.frames, length, snippet)
    clips = [to_mono(recording.read(start, length)) for start in starts]
    sounding = [clip for clip in clips if not _silent(clip)]
    return sounding or [_loudest(recording, length)]


def snippet_starts(frames: int, length: int, snippet: SnippetConfig) -> list[int]:
    """First frame of each snippet of ``length`` frames in a recording of ``frames``."""
    room = max(0, frames - length)
    if snippet.count == 1:
        return [{"start": 0, "middle": room // 2, "end": room}[snippet.position]]
    # The middles of `count` equal parts, as far as the ends of the recording allow.
    middles = (np.arange(snippet.count) + 0.5) * frames / snippet.count
    starts = np.clip(np.rint(middles - length / 2), 0, room).astype(np.int64)
    return np.unique(starts).tolist()


def _loudest(recording: _Recording, length: int) -> Array:
    """The loudest snippet of a recording whose wanted parts are silent."""
    best: Array | None = None
    for start in range(0, recording.frames, length):
        clip = to_mono(recording.read(start, length))
        if best is None or np.square(clip).sum() > np.square(best).sum():
            best = clip
    if best is None or _silent(best):
        raise AudioError("is silent")
    return best


def _silent(y: Array) -> bool:
    return float(y.max()) - float(y.min()) <= SILENCE


def _filled(y: Array, samples: int) -> Array:
    """Exactly ``samples`` samples: repeated if there are fewer, cut if there are more."""
    if len(y) >= samples:
        return y[:samples]
    return np.tile(y, -(-samples // len(y)))[:samples]
