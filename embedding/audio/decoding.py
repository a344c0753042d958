"""Decode audio files: any part of a recording, even if its header gives a wrong length.

wav, flac, ogg, mp3 and the other formats of libsndfile are read directly; all others (m4a, aac, …)
by the ``ffmpeg`` program if it is installed.

libmpg123, with which libsndfile decodes mp3, writes messages straight to the error stream of the
process, harmless ones at nearly every seek. `silence_decoder` keeps them out of progress bars and
logs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import soundfile

from datasets.arrays import Float32Array
from datasets.errors import AudioError
from datasets.files import open_regular
from datasets.locks import Order, ThreadLock
from embedding.audio.containers import StreamInfo, file_version, kind_for_ffmpeg
from embedding.audio.ffmpeg import (
    DecodedStream,
    NoFfmpegError,
    SoundPart,
    UnreadableError,
    decoded_part,
    describe_sound,
    measure,
)

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
_lock = ThreadLock("the error stream of the decoder", Order.PART)
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
    with _lock.held("catching its messages"):
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
    with _lock.held("passing on messages"):
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
    # Without the lock: whoever reads the stream may take their time.
    rest = b"".join(line for line in lines if line.strip() and not line.startswith(REMARKS))
    if rest:
        os.write(ERROR_STREAM, rest)


def _in_child() -> None:
    """Give a forked child its error stream back, which other threads of its parent captured."""
    global _users
    if _users:
        _users = 0
        os.dup2(_original, ERROR_STREAM)
        os.close(_original)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


MIN_RATE, MAX_RATE = 1000, 768_000
"""Range of sample rates, in Hz, that are accepted."""

MAX_FRAMES = 2**40
"""Lengths in frames from here on mean that the format does not know the length."""

BLOCK_SAMPLES = 1 << 12
"""Samples (of all channels) read at a time when a file is read from its beginning. Small, because
the block in which a damaged file ends is lost."""

LIBSNDFILE_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"}
"""Suffixes of formats that libsndfile reads; for other files the error message suggests ffmpeg."""


DAMAGED = "cannot be decoded: it is damaged, or not audio at all"
"""Message for an unreadable file with one of these suffixes, whether ffmpeg is installed or not."""


class AudioReader(Protocol):
    """Reads the samples of one file."""

    rate: int
    """Sample rate in Hz."""

    frames: int
    """Length in frames (samples of one channel): what the header says, or the measured length once
    a part turned out to be missing."""

    is_pcm: bool
    """Whether the samples may be integers that were stored without loss."""

    step: float
    """Distance of neighbouring sample values; 0 if it is not known, or very small."""

    def read_parts(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read several parts of the recording.

        Args:
            starts: first frame of each part, ascending; parts may overlap, no frame is decoded
                twice.
            length: frames in a part.

        Yields:
            float32 [length, channels] for each start; shorter at the end of the recording.

        Raises:
            ShorterError: the file is not as its header says (truncated, or the length was an
                estimate). ``frames`` and ``rate`` are corrected; the caller may want other starts.
        """
        ...

    def read_blocks(self, frames: int | None = None) -> Iterator[Float32Array]:
        """Read the whole recording, ``frames`` at a time, up to the first decoding error."""
        ...


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
    known = path.suffix.lower() in LIBSNDFILE_SUFFIXES
    try:
        yield FfmpegReader(path)
    except NoFfmpegError as error:
        kind = kind_for_ffmpeg(path)
        if kind is None and known:
            raise AudioError(DAMAGED) from None
        what = f"it is {kind}" if kind else "libsndfile does not know the format"
        raise AudioError(
            f"{error}: {what}; ffmpeg reads m4a, aac, wma, webm and many others"
        ) from None
    except UnreadableError as error:
        # libsndfile knows the format, so what ffmpeg says of its own attempt does not help.
        raise AudioError(
            DAMAGED if known and kind_for_ffmpeg(path) is None else str(error)
        ) from None


SAMPLE_STEPS = {"PCM_U8": 2.0**-7, "PCM_S8": 2.0**-7, "PCM_16": 2.0**-15, "PCM_24": 2.0**-23}
"""Distance of neighbouring sample values, by the subtype of libsndfile."""


class ShorterError(Exception):
    """A recording is not as long as its header says; never leaves this package."""


class SndfileReader:
    """Reads the samples of one file by libsndfile; see `AudioReader`.

    Attributes:
        channels: number of channels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as stream:
            self.rate: int = stream.samplerate
            self.frames: int = stream.frames
            self.channels: int = stream.channels
            self.is_pcm: bool = stream.subtype.startswith("PCM_")
            self.step: float = SAMPLE_STEPS.get(stream.subtype, 0.0)
        _checked_rate(self.rate)
        self._no_samples: Float32Array = np.empty((0, self.channels), dtype=np.float32)
        self._length_is_exact = 0 < self.frames < MAX_FRAMES
        if not self._length_is_exact:
            self._measure_length()

    def read_parts(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read several parts; see `AudioReader`."""
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
        # Opened here, as libsndfile would wait for ever on a pipe that came into the file's place.
        with open_regular(self._path) as stream:
            return soundfile.SoundFile(os.dup(stream.fileno()))


JUMP_SECONDS = 20.0
"""Where parts are further apart than this, ffmpeg is started again at the next one: decoding what
lies between would take as long."""

NEARLY_SECONDS = 0.25
"""By so much less than its header says a recording may have without being measured: codecs work in
blocks of up to this length."""


class FfmpegReader:
    """Reads the samples of one file by ffmpeg; see `AudioReader`.

    Raises:
        NoFfmpegError: ffmpeg is not installed.
        AudioError: ffmpeg cannot open the file, or did not end well.
    """

    def __init__(self, path: Path, info: StreamInfo | None = None) -> None:
        """Find out what the file is, unless that is known."""
        self._path = path
        self.is_pcm, self.step = True, 0.0
        self._version = file_version(path)
        self._measured = self._counted = False
        self.rate: int
        self.frames: int
        self._offset: float
        self._take(info or describe_sound(path))
        if self.frames <= 0:
            self._measure_length()

    def read_parts(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read several parts; see `AudioReader`."""
        if self._counted:
            # As it was counted, so that the parts are where the count says.
            yield from self._near(starts, length, 0)
            return
        for run in self._runs(starts, length):
            yield from self._near(run, length, run[0])

    def parts(self, starts: list[int], length: int) -> list[SoundPart]:
        """Return what `read_parts` has ffmpeg decode."""
        return [self._part(run, length, run[0]) for run in self._runs(starts, length)]

    def _runs(self, starts: list[int], length: int) -> list[list[int]]:
        """Group starts that are near each other."""
        runs: list[list[int]] = []
        for start in starts:
            if not runs or start > runs[-1][-1] + length + JUMP_SECONDS * self.rate:
                runs.append([])
            runs[-1].append(start)
        return runs

    def _part(self, starts: list[int], length: int, first: int) -> SoundPart:
        last = min(starts[-1] + length, self.frames)
        return SoundPart(
            self._path, first / self.rate, (last - first) / self.rate, self._offset, self._version
        )

    def read_blocks(self, frames: int | None = None) -> Iterator[Float32Array]:
        """Read the whole recording, ``frames`` at a time."""
        with decoded_part(SoundPart(self._path)) as stream:
            size = frames or max(1, BLOCK_SAMPLES // stream.channels)
            yield from _of_length(stream, size)

    def _near(self, starts: list[int], length: int, first: int) -> Iterator[Float32Array]:
        """Read parts that are near each other in one go, from a first frame on."""
        with decoded_part(self._part(starts, length, first)) as stream:
            if stream.rate != self.rate:  # the header gives half of it for some kinds of AAC
                self.frames = round(self.frames / self.rate * stream.rate)
                self.rate = _checked_rate(stream.rate)
                raise ShorterError
            held = np.empty((0, stream.channels), dtype=np.float32)
            at = first
            for start in starts:
                wanted = min(length, self.frames - start)
                pieces, end = [held], at + len(held)
                while end < start + wanted and (block := next(stream.blocks, None)) is not None:
                    pieces.append(block)
                    end += len(block)
                held = np.concatenate(pieces)[max(0, start - at) :]
                at = max(at, start)
                if len(held) < wanted and not self._counted:
                    self._correct(end)
                    raise ShorterError
                yield held[:wanted]
            for _ in stream.blocks:  # to its end, as only then it is known whether all went well
                pass

    def _correct(self, end: int) -> None:
        """Find the real length after the sound ended at frame ``end``, too early."""
        missing = self.frames - end
        if not self._measured and 0 < missing <= NEARLY_SECONDS * self.rate and end > 0:
            self.frames, self._measured = end, True
        else:
            self._measure_length()

    def _measure_length(self) -> None:
        """Measure the length by its packets; if that was done and was wrong, by decoding all."""
        if not self._measured:
            before, self._measured = self.frames, True
            self._take(measure(self._path))
            if self.frames > 0 and self.frames != before:
                return
        self._counted = True
        with decoded_part(SoundPart(self._path)) as stream:
            self.rate = _checked_rate(stream.rate)
            self.frames = sum(len(block) for block in stream.blocks)

    def _take(self, info: StreamInfo) -> None:
        self.rate = _checked_rate(info.rate)
        self.frames = min(round(info.seconds * info.rate), MAX_FRAMES)
        self._offset = info.offset


def _of_length(stream: DecodedStream, size: int) -> Iterator[Float32Array]:
    """Cut sound into blocks of one length; the last one may be shorter."""
    pieces: list[Float32Array] = []
    held = 0
    for block in stream.blocks:
        pieces.append(block)
        held += len(block)
        if held >= size:
            whole = np.concatenate(pieces)
            for start in range(0, held - size + 1, size):
                yield whole[start : start + size]
            pieces = [whole[held // size * size :]]
            held = len(pieces[0])
    if held:
        yield np.concatenate(pieces)


def _checked_rate(rate: int) -> int:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"has {rate} samples a second; {MIN_RATE} to {MAX_RATE} can be used")
    return rate


def _try_libsndfile(path: Path) -> SndfileReader | None:
    """Return a reader, or None if libsndfile cannot read the file."""
    with silence_decoder():
        try:
            return SndfileReader(path)
        except soundfile.LibsndfileError:
            return None


def _check_file(path: Path) -> None:
    """Raise AudioError unless `path` is a readable, non-empty regular file."""
    try:
        with open_regular(path) as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                raise AudioError("is empty (0 bytes)")
    except FileNotFoundError:
        raise AudioError("no such file") from None
    except IsADirectoryError:
        raise AudioError("is a folder, not a recording") from None
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(
            reason.replace("not a file", "not a recording")
            if reason.startswith("is a ")
            else f"cannot be read: {reason}"
        ) from error
