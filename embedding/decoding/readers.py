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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import soundfile

from datasets.arrays import Float32Array
from datasets.errors import AudioError
from datasets.system.files import open_regular
from datasets.system.locks import Order, ThreadLock
from embedding.decoding.containers import (
    StreamInfo,
    file_version,
    kind_for_ffmpeg,
    may_need_ffmpeg,
)
from embedding.decoding.ffmpeg import (
    DecodedStream,
    NoFfmpegError,
    NotARecordingError,
    SoundPart,
    UnreadableError,
    decoded_part,
    describe_sound,
    measure,
)
from embedding.decoding.file_kinds import describe_other_file
from embedding.decoding.mp3_frames import find_frames, right_frames
from embedding.decoding.ogg_links import ogg_links
from embedding.decoding.spliced import Piece, SplicedFile
from embedding.decoding.wav_chunks import SEARCHED_BYTES, wav_pieces

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

DAMAGED_OR_UNKNOWN = (
    "cannot be decoded: it is damaged, or its codec needs ffmpeg, which is not installed"
)
"""Message where ffmpeg is not installed and might read it."""


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

    @property
    def remarks(self) -> Sequence[str]:
        """What was found wrong with the file while it was read, and what stands for it."""
        ...

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
        """Read the whole recording, ``frames`` at a time.

        Without a number up to the first decoding error; with one, what lies behind damage as well,
        where that is possible.
        """
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
    except (NoFfmpegError, NotARecordingError, UnreadableError) as error:
        if other := describe_other_file(path):
            raise AudioError(f"cannot be decoded: it is {other}") from None
        if isinstance(error, NotARecordingError):
            raise
        kind = kind_for_ffmpeg(path)
        if isinstance(error, UnreadableError):
            # libsndfile knows the format, so what ffmpeg says of its own attempt does not help.
            raise AudioError(DAMAGED if known and kind is None else str(error)) from None
        if kind is None and known:
            raise AudioError(DAMAGED_OR_UNKNOWN if may_need_ffmpeg(path) else DAMAGED) from None
        what = f"it is {kind}" if kind else "libsndfile does not know the format"
        raise AudioError(
            f"{error}: {what}; ffmpeg reads m4a, aac, wma, webm and many others"
        ) from None


SAMPLE_STEPS = {"PCM_U8": 2.0**-7, "PCM_S8": 2.0**-7, "PCM_16": 2.0**-15, "PCM_24": 2.0**-23}
"""Distance of neighbouring sample values, by the subtype of libsndfile."""


SAMPLE_BYTES = {
    "PCM_U8": 1, "PCM_S8": 1, "ULAW": 1, "ALAW": 1,
    "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
"""Bytes of a sample, by the subtype of libsndfile."""

DAMAGE = 1024
"""Frames by which damage in a FLAC file is stepped over; its blocks have 4,096 mostly."""


class ShorterError(Exception):
    """A recording is not as long as its header says; never leaves this package."""


class SndfileReader:
    """Reads the samples of one file by libsndfile; see `AudioReader`.

    Attributes:
        channels: number of channels.
        format, subtype: names of libsndfile for the container and the kind of samples.
    """

    def __init__(self, path: Path, pieces: Sequence[Piece] | None = None) -> None:
        """Open a file.

        Args:
            path: the file.
            pieces: what libsndfile is to read in its place; see `SplicedFile`.
        """
        self._path, self._pieces = path, pieces
        self.remarks: list[str] = []
        with self._open() as stream:
            self.rate: int = stream.samplerate
            self.frames: int = stream.frames
            self.channels: int = stream.channels
            self.format: str = stream.format
            self.subtype: str = stream.subtype
        # What was converted to floating point has the values of the integers still.
        self.is_pcm = self.subtype.startswith("PCM_") or self.subtype in ("FLOAT", "DOUBLE")
        self.step = SAMPLE_STEPS.get(self.subtype, 0.0)
        _checked_rate(self.rate)
        self._no_samples: Float32Array = np.empty((0, self.channels), dtype=np.float32)
        self._length_is_exact = 0 < self.frames < MAX_FRAMES
        self._is_repaired = False
        if not self._length_is_exact:
            self._measure_length()

    def read_parts(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read several parts; see `AudioReader`."""
        return (self._by_seeking if self._length_is_exact else self._from_beginning)(starts, length)

    def read_blocks(self, frames: int | None = None) -> Iterator[Float32Array]:
        """Read the whole recording, ``frames`` at a time; see `AudioReader`."""
        size = frames or max(1, BLOCK_SAMPLES // self.channels)
        at = 0
        with suppress(soundfile.LibsndfileError), self._open() as stream:
            while len(block := self._read(stream, size)):
                yield block
                at += len(block)
        if frames is not None and self.format == "FLAC" and self._length_is_exact:
            while at < self.frames:
                stop = min(at + frames, self.frames)
                block, end = self._around_damage(at, stop)
                if end > at:
                    yield block[: end - at]
                if end < stop:
                    return
                at = stop

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
                    break
                yield held
            else:
                return
        if self.format == "FLAC":
            yield from self._over_damage(starts[starts.index(start) :], length)
            return
        if not self._without_damage():
            before = self.frames
            self._measure_length()
            self._say_cut_off(before)
        raise ShorterError

    def _without_damage(self) -> bool:
        """Leave out what lies between the frames of an mp3; return whether that was possible."""
        if self.format != "MP3" or self._is_repaired:
            return False
        self._is_repaired = True
        found = find_frames(self._path)
        if found is None:
            return False
        before, rate, channels = self.frames, self.rate, self.channels
        old, self._pieces = self._pieces, found.pieces()
        try:
            with self._open() as stream:
                self.frames = stream.frames
                same = (stream.samplerate, stream.channels) == (rate, channels)
        except soundfile.LibsndfileError:
            same = False
        if not same or not 0 < self.frames < MAX_FRAMES:
            self._pieces, self.frames = old, before
            return False
        if len(found.runs) > 1:
            self.remarks.append(
                f"is damaged in {len(found.runs) - 1} places, which are left out: "
                f"{self.frames / rate:.1f} s of {before / rate:.1f} s remain"
            )
        else:
            self._say_cut_off(before)
        return True

    def _over_damage(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read parts of a FLAC file, with silence where a frame is damaged.

        libsndfile ends at such a frame, but finds its way again behind it.
        """
        if self._pieces is None:
            # An unfinished download may end with zeros, in which libsndfile searches for seconds.
            self._pieces = [range(_end_of_content(self._path))]
        for start in starts:
            stop = min(start + length, self.frames)
            part, end = self._around_damage(start, stop)
            if end < stop:
                before = self.frames
                self.frames = end if end > start else self._last_readable(start)
                self._say_cut_off(before)
                raise ShorterError
            yield part

    def _around_damage(self, start: int, stop: int) -> tuple[Float32Array, int]:
        """Read from one frame to another, and say where the sound ends if it does before."""
        part = np.zeros((stop - start, self.channels), dtype=np.float32)
        at = start
        while at < stop:
            for block in self._good_blocks(at, stop):
                part[at - start : at - start + len(block)] = block
                at += len(block)
            if at >= stop:
                break
            behind = self._behind_damage(at)
            if behind is None:
                return part, at
            if not self.remarks:
                self.remarks.append(
                    f"is damaged at {at / self.rate:.1f} s; silence stands for what is lost"
                )
            at = behind
        return part, stop

    def _good_blocks(self, start: int, stop: int) -> Iterator[Float32Array]:
        """Read blocks from one frame on up to another, or to the first error."""
        with suppress(soundfile.LibsndfileError), self._open() as stream:
            stream.seek(start)
            while start < stop and len(block := self._read(stream, min(DAMAGE, stop - start))):
                yield block
                start += len(block)

    def _behind_damage(self, at: int) -> int | None:
        """First frame after a damaged one that can be read; None if none can."""
        step = DAMAGE
        while at + step < self.frames:
            if any(len(block) for block in self._good_blocks(at + step, at + step + 1)):
                return at + step
            step += max(DAMAGE, step - 12 * DAMAGE)  # faster and faster after a few blocks
        return None

    def _last_readable(self, end: int) -> int:
        """Length in frames of what can be read before a frame behind which nothing can."""
        start = 0
        while end - start > DAMAGE:
            middle = (start + end) // 2
            if any(len(block) for block in self._good_blocks(middle, middle + 1)):
                start = middle
            else:
                end = middle
        return start + sum(len(block) for block in self._good_blocks(start, end + DAMAGE))

    def _say_cut_off(self, before: int) -> None:
        if 0 < self.frames < before - self.rate // 2 and before < MAX_FRAMES:
            self.remarks = [
                f"is cut off or damaged: {self.frames / self.rate:.1f} s of "
                f"{before / self.rate:.1f} s can be decoded"
            ]

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

    def measure(self) -> None:
        """Measure the real length by decoding everything once, if that was not done before."""
        if self._length_is_exact:
            self._measure_length()

    def _measure_length(self) -> None:
        self._length_is_exact = False
        self.frames = sum(len(block) for block in self.read_blocks())

    def _open(self) -> soundfile.SoundFile:
        # Opened here, as libsndfile would wait for ever on a pipe that came into the file's place.
        if self._pieces is not None:
            return soundfile.SoundFile(SplicedFile(open_regular(self._path), self._pieces))
        with open_regular(self._path) as stream:
            return soundfile.SoundFile(os.dup(stream.fileno()))


def _end_of_content(path: Path) -> int:
    """Place behind the last byte of a file that is not zero."""
    with open_regular(path) as stream:
        end = stream.seek(0, 2)
        while end > 0:
            start = max(0, end - (1 << 16))
            stream.seek(start)
            data = stream.read(end - start).rstrip(b"\0")
            if data:
                return start + len(data)
            end = start
    return 0


class LinkedReader:
    """Reads recordings that follow one another in a chained file as one; see `AudioReader`.

    All are read at the rate and with the channels of the first one.
    """

    def __init__(self, links: Sequence[SndfileReader]) -> None:
        self._links = links
        self.rate, self.channels = links[0].rate, links[0].channels
        self.is_pcm, self.step = False, 0.0
        self._starts = self._measured()

    @property
    def remarks(self) -> Sequence[str]:
        """What was found wrong with the links."""
        return list(dict.fromkeys(remark for link in self._links for remark in link.remarks))

    def read_parts(self, starts: list[int], length: int) -> Iterator[Float32Array]:
        """Read several parts; see `AudioReader`."""
        for start in starts:
            try:
                yield self._part(start, min(start + length, self.frames))
            except ShorterError:
                for link in self._links:
                    link.measure()
                self._starts = self._measured()
                raise

    def read_blocks(self, frames: int | None = None) -> Iterator[Float32Array]:
        """Read the whole recording; see `AudioReader`."""
        size = frames or round(self.rate)
        yield from self.read_parts(list(range(0, self.frames, size)), size)

    def _measured(self) -> list[int]:
        """First frame of each link; sets the length of them all."""
        lengths = [round(link.frames / link.rate * self.rate) for link in self._links]
        *starts, self.frames = np.cumsum([0, *lengths]).tolist()
        return starts

    def _part(self, start: int, stop: int) -> Float32Array:
        pieces = []
        for first, link in zip(self._starts, self._links, strict=True):
            begin = max(0, start - first)
            end = min(stop - first, round(link.frames / link.rate * self.rate))
            if begin < end:
                pieces.append(self._from(link, begin, end))
        return np.concatenate(pieces)

    def _from(self, link: SndfileReader, begin: int, end: int) -> Float32Array:
        """Frames of a link, counted at the rate of the first one, float32 [end - begin, c]."""
        share = link.rate / self.rate
        at = min(round(begin * share), link.frames - 1)
        (found,) = link.read_parts([at], max(1, round((end - begin) * share)))
        if link.rate != self.rate:
            import soxr

            found = soxr.resample(found, link.rate, self.rate, quality="HQ")
        if link.channels != self.channels:
            wide = link.channels > self.channels > 1
            mono = found.mean(axis=1, keepdims=True)
            found = found[:, : self.channels] if wide else np.repeat(mono, self.channels, axis=1)
        missing = max(0, end - begin - len(found))
        return np.pad(found[: end - begin], ((0, missing), (0, 0)), mode="edge")


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
        self.remarks: list[str] = []
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


def _try_libsndfile(path: Path) -> SndfileReader | LinkedReader | None:
    """Return a reader, or None if libsndfile cannot read the file."""
    with silence_decoder():
        try:
            recording = SndfileReader(path)
        except soundfile.LibsndfileError:
            return _in_spite_of_its_header(path)
        if recording.format == "OGG" and (links := ogg_links(path)):
            readers = [reader for part in links if (reader := _reader_of(path, [part]))]
            return LinkedReader(readers) if len(readers) > 1 else recording
        pieces: Sequence[Piece] | None = None
        if recording.format == "MP3":
            frames = right_frames(path, recording.frames)
            pieces = frames.pieces() if frames else None
        elif recording.format in ("WAV", "WAVEX", "RF64") and _is_most_left_out(recording, path):
            pieces = wav_pieces(path)
        return (pieces and _reader_of(path, pieces)) or recording


def _in_spite_of_its_header(path: Path) -> SndfileReader | None:
    """Return a reader of a wav or mp3 file that libsndfile does not recognise."""
    if kind_for_ffmpeg(path) is not None:
        return None
    for pieces in (wav_pieces(path), _behind_garbage(path)):
        if pieces is not None and (reader := _reader_of(path, pieces)):
            return reader
    frames = find_frames(path)
    # Other formats may hold some frames as well.
    if frames is None or 4 * sum(map(len, frames.runs)) < path.stat().st_size:
        return None
    return _reader_of(path, frames.pieces())


def _behind_garbage(path: Path) -> list[Piece] | None:
    """Return the part of a file that begins as flac or ogg does, if that is not at its start."""
    with open_regular(path) as stream:
        end = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(SEARCHED_BYTES)
    places = [head.find(b"fLaC\0\0\0\x22"), head.find(b"OggS\0\2")]
    start = next((at for at in places if at > 0), None)
    return None if start is None else [range(start, end)]


def _reader_of(path: Path, pieces: Sequence[Piece]) -> SndfileReader | None:
    try:
        reader = SndfileReader(path, pieces)
    except soundfile.LibsndfileError:
        return None
    return reader if reader.frames else None


def _is_most_left_out(recording: SndfileReader, path: Path) -> bool:
    """Whether a wav file is longer than the samples that libsndfile finds in it."""
    size = SAMPLE_BYTES.get(recording.subtype, 0)
    if not size:
        return not recording.frames
    return recording.frames * recording.channels * size < 0.9 * path.stat().st_size - 4096


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
