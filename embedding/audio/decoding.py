"""Decode audio files: any part of a recording, even if its header gives a wrong length.

wav, flac, ogg, mp3 and the other formats of libsndfile are read directly; all others (m4a, aac, …)
are converted by the ``ffmpeg`` program if it is installed.

libmpg123, with which libsndfile decodes mp3, writes messages straight to the error stream of the
process, harmless ones at nearly every seek. `silence_decoder` keeps them out of progress bars and
logs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from datasets.arrays import Float32Array
from datasets.errors import AudioError

ERROR_STREAM = 2

REMARKS = (
    b"[src/libmpg123/",
    b"Note: ",
    b"Warning: Xing ",
    b"Warning: Big change ",
    b"Warning: Encountered more data ",
)
"""Beginnings of the lines that are dropped; everything else is passed on."""

# State of `silence_decoder`, shared by all threads: the error stream belongs to the process.
_lock = threading.Lock()
_users = 0
_captured: IO[bytes]
_original: int


@contextmanager
def silence_decoder() -> Iterator[None]:
    """Capture the error stream inside the block; afterwards pass on all but decoder messages.

    Several threads may be inside at the same time; the last one to leave passes the rest on.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _captured, _original
    with _lock:
        if _users == 0:
            try:
                _original = os.dup(ERROR_STREAM)
            except OSError:
                # A daemon may have no error stream: nothing to protect.
                return
            _captured = tempfile.TemporaryFile()  # noqa: SIM115  (closed in _leave)
            os.dup2(_captured.fileno(), ERROR_STREAM)
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        if _users == 0:
            return
        _users -= 1
        if _users:
            return
        os.dup2(_original, ERROR_STREAM)
        os.close(_original)
        with _captured:
            _captured.seek(0)
            lines = _captured.read().splitlines(keepends=True)
        rest = b"".join(line for line in lines if line.strip() and not line.startswith(REMARKS))
        if rest:
            os.write(ERROR_STREAM, rest)


MIN_RATE, MAX_RATE = 1000, 768_000
"""Range of sample rates, in Hz, that are accepted."""

MAX_FRAMES = 2**40
"""Lengths in frames from here on mean that the format does not know the length."""

BLOCK_SAMPLES = 1 << 12
"""Samples (of all channels) read at a time when a file is read from its beginning. Small, because
the block in which a damaged file ends is lost."""

FFMPEG_SECONDS = 600
"""Timeout of ffmpeg for one file."""

LIBSNDFILE_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"}
"""Suffixes of formats that libsndfile reads; for other files the error message suggests ffmpeg."""


DAMAGED = "cannot be decoded: it is damaged, or not audio at all"
"""Message for an unreadable file with one of these suffixes, whether ffmpeg is installed or not."""


@contextmanager
def open_recording(path: Path) -> Iterator[AudioReader]:
    """Open a recording for reading, for the duration of the block.

    Raises:
        AudioError: the file cannot be decoded; the message gives the reason but not the file.
    """
    _check_file(path)
    recording = _try_libsndfile(path)
    if recording is not None:
        with silence_decoder():
            yield recording
        return
    with _convert_with_ffmpeg(path) as converted:
        recording = _try_libsndfile(converted)
        if recording is None:
            raise AudioError("cannot be decoded, not by ffmpeg either: no sound in its output")
        yield recording


class ShorterError(Exception):
    """A recording is shorter than its header says; never leaves this package."""


class AudioReader:
    """Reader of the samples of one file.

    Attributes:
        rate: sample rate in Hz.
        frames: length in frames (samples of one channel): what the header says, or the measured
            length once a part turned out to be missing.
        channels: number of channels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as stream:
            self.rate: int = stream.samplerate
            self.frames: int = stream.frames
            self.channels: int = stream.channels
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise AudioError(
                f"has {self.rate} samples a second; {MIN_RATE} to {MAX_RATE} can be used"
            )
        self._no_samples: Float32Array = np.empty((0, self.channels), dtype=np.float32)
        self._length_is_exact = 0 < self.frames < MAX_FRAMES
        if not self._length_is_exact:
            self._measure_length()

    def read_parts(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read several parts of the recording.

        Args:
            starts: first frame of each part, ascending; parts may overlap, no frame is decoded
                twice.
            length: frames in a part.

        Yields:
            float32 [length, channels] for each start; shorter at the end of the recording.

        Raises:
            ShorterError: the file is shorter than its header says (truncated, or the length was an
                estimate). ``frames`` is corrected; the caller may want other starts.
        """
        return (self._by_seeking if self._length_is_exact else self._from_beginning)(starts, length)

    def read_blocks(self, frames: int | None = None) -> Iterator[Float32Array]:
        """Read the whole recording, ``frames`` at a time, up to the first decoding error."""
        size = frames or max(1, BLOCK_SAMPLES // self.channels)
        try:
            with self._open() as stream:
                while len(block := self._read(stream, size)):
                    yield block
        except soundfile.LibsndfileError:
            return

    def _by_seeking(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        held, at = self._no_samples, 0  # the previous part, and its first frame
        with self._open() as stream:
            for start in starts:
                wanted = min(length, self.frames - start)
                known = held[start - at :]
                try:
                    if start > at + len(held):
                        stream.seek(start)
                    fresh = self._read(stream, wanted - len(known))
                except soundfile.LibsndfileError:
                    fresh = self._no_samples
                held, at = np.concatenate([known, fresh]) if len(known) else fresh, start
                if len(held) < wanted:
                    self._measure_length()
                    raise ShorterError
                yield held

    def _from_beginning(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        blocks = self.read_blocks()
        held, at, read = self._no_samples, 0, 0
        for start in starts:
            pieces = [held[start - at :]]
            while read < start + length and (block := next(blocks, None)) is not None:
                if read + len(block) > start:
                    pieces.append(block[max(0, start - read) :])
                read += len(block)
            held, at = np.concatenate(pieces), start
            yield held[:length]

    def _read(self, stream: soundfile.SoundFile, frames: int) -> Float32Array:
        try:
            part: Float32Array = stream.read(frames, dtype="float32", always_2d=True)
        except ValueError:  # the decoder is already past the end given by the header
            return self._no_samples
        return part

    def _measure_length(self) -> None:
        """Measure the real length by decoding everything once."""
        self._length_is_exact = False
        self.frames = sum(len(block) for block in self.read_blocks())

    def _open(self) -> soundfile.SoundFile:
        # As bytes: a file name need not be valid text.
        return soundfile.SoundFile(os.fsencode(self._path) if os.name == "posix" else self._path)


def _try_libsndfile(path: Path) -> AudioReader | None:
    """Return a reader, or None if libsndfile cannot read the file."""
    with silence_decoder():
        try:
            return AudioReader(path)
        except soundfile.LibsndfileError:
            return None


def _check_file(path: Path) -> None:
    """Raise AudioError unless `path` is a readable, non-empty regular file."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AudioError("is a folder, not a recording")
        if not path.is_file():
            raise AudioError("is not a regular file")
        if size == 0:
            raise AudioError("is empty (0 bytes)")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise AudioError("no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"cannot be read: {reason}") from error


@contextmanager
def _convert_with_ffmpeg(path: Path) -> Iterator[Path]:
    """Convert `path` to a temporary wav file by ffmpeg, for the duration of the block."""
    program = shutil.which("ffmpeg")
    if program is None and path.suffix.lower() not in LIBSNDFILE_SUFFIXES:
        raise AudioError(
            "cannot be decoded: libsndfile does not know the format, and ffmpeg, which reads "
            "m4a, aac and many others, is not installed"
        )
    if program is None:
        raise AudioError(DAMAGED)
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"file:{path.absolute()}", Path(folder) / "converted.wav"
        # Files only: a playlist disguised as a recording must not reach the network.
        command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
        command += ["-i", source, "-map", "0:a:0", "-c:a", "pcm_f32le"]
        command += ["-rf64", "auto", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=FFMPEG_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise AudioError(f"ffmpeg did not decode it within {FFMPEG_SECONDS} s") from None
        # ffmpeg writes what it could decode of a damaged file.
        if not target.is_file() or target.stat().st_size == 0:
            if path.suffix.lower() in LIBSNDFILE_SUFFIXES:
                # libsndfile knows the format, so what ffmpeg says of its own attempt does not help.
                raise AudioError(DAMAGED)
            said = done.stderr.decode(errors="replace").replace(source, "").strip().splitlines()
            reason = said[-1].removeprefix(":").strip() if said else "?"
            raise AudioError(f"cannot be decoded, not by ffmpeg either: {reason}")
        yield target
