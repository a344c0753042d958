"""Decode parts of recordings by the ffmpeg program, safely: no other file is opened or written.

Recordings come from strangers, and ffmpeg reads far more than recordings: playlists and scripts
that name other files, addresses on the network, numbered pictures. So it may open container formats
only (`CONTAINERS`), whatever the name of the file says, and no address but files; it gets the file
that was checked and opened here, not its name.

Samples come through a pipe, as many as are wanted. ffmpeg ends with this process however it ends,
with the caller's interest, after `CPU_SECONDS` of work, or after `SILENT_SECONDS` without a sample;
if it ends in any other way than well, what it wrote so far is not used.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import struct
import subprocess
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import AudioError
from datasets.system.files import open_regular
from datasets.system.processes import FIRST_DESCRIPTOR, running_program
from embedding.decoding.containers import StreamInfo, read_header

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,avi,flv,mpegts,mpeg,ogg,"
    "aac,ac3,eac3,amr,amrnb,amrwb,dts,mp3,"
    "flac,ape,wv,tta,tak,mpc,mpc8,dsf,iff,"
    "wav,w64,aiff,au,caf"
)
"""Demuxers of ffmpeg that may be used: containers of sound, and of video for their sound. Nothing
that names other files: no playlist, script, image sequence, description of a stream."""

CPU_SECONDS = 600
"""Processor seconds after which ffmpeg is ended."""

SILENT_SECONDS = 25.0
"""Seconds after which ffmpeg is ended if it has written nothing in them."""

PREROLL_SECONDS = 0.5
"""What is decoded before the wanted part and dropped: after a jump the first frames of most codecs
are not yet right, since they overlap with, or are predicted from, the ones before."""

SPARE_SECONDS = 0.25
"""What is decoded after the wanted part and dropped, since times are rounded in some formats."""

MAX_CHANNELS = 64

CHUNK_BYTES = 1 << 16

MAX_MESSAGE = 1 << 14
"""Bytes of ffmpeg's messages that are kept, the last ones."""

NOT_INSTALLED = "ffmpeg is needed to decode it, and is not installed"

NO_STREAM = "has no sound: there is no audio stream in it"

_HEAD = struct.Struct(">4sIIIII")
"""Header of Sun AU: magic, its size, size of the data, encoding, rate, channels."""


class NoFfmpegError(AudioError):
    """The ffmpeg program is needed and not installed."""


class UnreadableError(AudioError):
    """ffmpeg found nothing in the file that it can decode."""


class NotARecordingError(AudioError):
    """ffmpeg knows the format, which is none of sound or video."""


@dataclass(frozen=True, eq=False)
class DecodedSound:
    """Samples that ffmpeg decoded.

    Attributes:
        rate: sample rate, Hz.
        samples: float32 [frames, channels].
    """

    rate: int
    samples: Float32Array


def decode_with_ffmpeg(
    path: Path, start: float = 0.0, seconds: float | None = None, *, offset: float = 0.0
) -> DecodedSound:
    """Decode a part of a recording.

    Args:
        path: the file.
        start: where the part begins, in seconds from the first sample.
        seconds: its length; None decodes to the end.
        offset: see `StreamInfo`.

    Returns:
        The part at the file's own rate and channels; shorter, or of no frames, where the recording
        ends before.

    Raises:
        NoFfmpegError: ffmpeg is not installed.
        AudioError: ffmpeg cannot decode the file; the message gives the reason but not the file.
    """
    with decoded_part(SoundPart(path, start, seconds, offset)) as stream:
        samples = np.empty((0, stream.channels), dtype=np.float32)
        blocks = list(stream.blocks)
        return DecodedSound(stream.rate, np.concatenate([samples, *blocks]))


@dataclass(frozen=True, eq=False)
class DecodedStream:
    """Sound that is being decoded.

    Attributes:
        rate: sample rate, Hz.
        channels: number of channels.
        blocks: float32 [frames, channels] arrays of any length, in order. The last one is followed
            by AudioError if ffmpeg did not end well.
    """

    rate: int
    channels: int
    blocks: Iterator[Float32Array]


@dataclass(frozen=True)
class SoundPart:
    """A part of a recording that is to be decoded; see `decode_with_ffmpeg`."""

    path: Path
    start: float = 0.0
    seconds: float | None = None
    offset: float = 0.0
    version: tuple[int, ...] = ()
    """What tells the file from another that takes its place, so that no part of one stands for
    the other's."""

    @property
    def preroll(self) -> float:
        """Seconds that are decoded before the part."""
        return min(self.start, PREROLL_SECONDS)

    def input_options(self) -> list[str]:
        """Options of ffmpeg's input, before ``-i``."""
        jump = self.start - self.preroll
        seek = ["-ss", f"{jump + self.offset:.6f}"] if jump else []
        return ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS, *seek]

    def output_options(self, number: int, target: str) -> list[str]:
        """What ffmpeg is to do with its input of this number."""
        options = ["-map", f"{number}:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1"]
        if self.seconds is not None:
            options += ["-t", f"{self.preroll + self.seconds + SPARE_SECONDS:.6f}"]
        return [*options, "-c:a", "pcm_f32be", "-f", "au", target]

    def opened(self, output: Iterator[bytes]) -> DecodedStream:
        """Read rate and channels of what ffmpeg writes, and prepare to read the samples."""
        head = _Reader(output)
        magic, size, _, _, rate, channels = _HEAD.unpack(head.exactly(_HEAD.size))
        if magic != b".snd" or not 1 <= channels <= MAX_CHANNELS or size < _HEAD.size:
            raise AudioError("cannot be decoded: ffmpeg wrote something that is not sound")
        head.exactly(size - _HEAD.size)
        first = round(self.preroll * rate)
        frames = None if self.seconds is None else round(self.seconds * rate)
        most = None if frames is None else first + frames + rate
        blocks = _part(_frames(head.rest(), channels, most), first, frames)
        return DecodedStream(rate, channels, blocks)


@contextmanager
def decoded_part(part: SoundPart) -> Iterator[DecodedStream]:
    """Decode a part of a recording block by block; see `decode_with_ffmpeg`.

    ffmpeg ends with the ``with`` block.
    """
    ahead = (_ahead.get() or {}).pop(part, None)
    if ahead is not None:
        yield DecodedStream(ahead.rate, ahead.samples.shape[1], iter([ahead.samples]))
        return
    arguments = part.output_options(0, "pipe:1")
    with _running(part.path, part.input_options(), arguments) as output:
        yield part.opened(output)


MAX_AHEAD_BYTES = 1 << 26
"""Most that is kept of one part that is decoded ahead."""

_ahead: ContextVar[dict[SoundPart, DecodedSound] | None] = ContextVar("_ahead", default=None)


@contextmanager
def decoded_ahead(parts: Sequence[SoundPart]) -> Iterator[None]:
    """Decode parts of several recordings by one run of ffmpeg; inside the block they are at hand.

    Starting ffmpeg takes several times as long as decoding a snippet. If the run does not go well,
    each part is decoded by itself when it is asked for, so that one bad file costs time and
    nothing else.
    """
    found: dict[SoundPart, DecodedSound] = {}
    if len(parts) > 1:
        with suppress(AudioError, OSError):
            found = dict(zip(parts, _decode_together(parts), strict=True))
    token = _ahead.set(found)
    try:
        yield
    finally:
        _ahead.reset(token)


def _decode_together(parts: Sequence[SoundPart]) -> list[DecodedSound]:
    found = shutil.which("ffmpeg")
    if found is None or os.name != "posix":
        raise NoFfmpegError(NOT_INSTALLED)
    with ExitStack() as stack:
        command = [found, "-v", "error", "-hide_banner", "-nostdin"]
        outputs: list[str] = []
        inherited: list[int] = []
        ends: dict[int, bytearray] = {}
        targets = []
        for number, part in enumerate(parts):
            recording = stack.enter_context(_opened(part.path))
            address, own = _address(part.path, recording)
            command += [*part.input_options(), "-i", address]
            read, write = os.pipe()
            ends[stack.enter_context(os.fdopen(read, "rb", buffering=0)).fileno()] = bytearray()
            target = stack.enter_context(_high(os.fdopen(write, "wb", buffering=0)))
            outputs += part.output_options(number, f"pipe:{target.fileno()}")
            inherited += [*own, target.fileno()]
            targets.append(target)
        with running_program(
            [*command, *outputs],
            cpu_seconds=CPU_SECONDS,
            environment=_environment(),
            pass_fds=inherited,
        ) as process:
            for target in targets:
                target.close()
            assert process.stderr is not None
            _read_all(ends, process.stderr.fileno())
            if process.wait():
                raise UnreadableError("one of the recordings cannot be decoded")
        sounds = []
        for part, content in zip(parts, ends.values(), strict=True):
            stream = part.opened(iter([bytes(content)]))
            samples = np.concatenate(
                [np.empty((0, stream.channels), dtype=np.float32), *stream.blocks]
            )
            sounds.append(DecodedSound(stream.rate, samples))
        return sounds


def _read_all(ends: dict[int, bytearray], messages: int) -> None:
    """Read several pipes to their ends, and throw the messages away."""
    with selectors.DefaultSelector() as selector:
        for end in (*ends, messages):
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(SILENT_SECONDS)
            if not ready:
                raise AudioError(f"ffmpeg decoded nothing for {SILENT_SECONDS:g} s")
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fd)
                elif key.fd != messages:
                    ends[key.fd] += chunk
                    if len(ends[key.fd]) > MAX_AHEAD_BYTES:
                        raise AudioError("ffmpeg wrote more than was asked for")


def describe_sound(path: Path) -> StreamInfo:
    """Say what the first audio stream of a file is, by its header or with ffmpeg's help.

    Raises:
        NoFfmpegError: ffmpeg is needed for that and not installed.
        AudioError: ffmpeg cannot open the file; the message gives the reason but not the file.
    """
    return read_header(path) or probe(path)


def probe(path: Path) -> StreamInfo:
    """Read rate and length of the first audio stream from a file's header.

    The length is a guess in formats without one; it may also be wrong.

    Raises:
        NoFfmpegError: ffmpeg is not installed.
        AudioError: ffmpeg cannot open the file; the message gives the reason but not the file.
    """
    if shutil.which("ffprobe") is None:
        return measure(path)
    entries = "stream=sample_rate,start_time,duration:format=duration,format_name"
    arguments = ["-select_streams", "a:0", "-show_entries", entries, "-of", "json"]
    with _running(path, SoundPart(path).input_options(), arguments, program="ffprobe") as output:
        said = json.loads(b"".join(output))
    if not said.get("streams"):
        raise AudioError(NO_STREAM)
    stream, container = said["streams"][0], said.get("format", {})
    seconds = _number(stream.get("duration")) or _number(container.get("duration"))
    if not seconds or container.get("format_name") in _GUESSING:
        return measure(path)
    # Opus and others begin before time 0, with samples that are not part of the sound.
    offset = -min(0.0, _number(stream.get("start_time")))
    return StreamInfo(int(_number(stream.get("sample_rate"))), seconds - offset, offset)


_GUESSING = frozenset({"aac", "ac3", "eac3", "dts", "amr", "mp3", "mpegts", "mpeg", "flac"})
"""Formats without a length in their header, where ffprobe estimates it from the bit rate."""


def measure(path: Path) -> StreamInfo:
    """Measure the length of the first audio stream by reading all packets without decoding them.

    Raises:
        NoFfmpegError: ffmpeg is not installed.
        AudioError: ffmpeg cannot open the file; the message gives the reason but not the file.
    """
    sound = decode_with_ffmpeg(path, 0.0, 0.1)
    arguments = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-c", "copy"]
    arguments += ["-progress", "pipe:1", "-f", "null", "-"]
    last = b""
    with _running(path, SoundPart(path).input_options(), arguments) as output:
        for chunk in output:
            last = (last + chunk)[-CHUNK_BYTES:]
    times = re.findall(rb"out_time_us=(\d+)", last)
    seconds = int(times[-1]) / 1e6 if times else 0.0
    return StreamInfo(sound.rate, seconds)


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0


def _frames(chunks: Iterator[bytes], channels: int, limit: int | None) -> Iterator[Float32Array]:
    """Samples float32 [frames, channels] from big-endian bytes."""
    size, rest, seen = 4 * channels, b"", 0
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) // size * size
        rest = data[whole:]
        block = np.frombuffer(data[:whole], dtype=">f4").astype(np.float32).reshape(-1, channels)
        seen += len(block)
        if limit is not None and seen > limit:
            raise AudioError("cannot be decoded: ffmpeg wrote more than was asked for")
        yield block


def _part(blocks: Iterator[Float32Array], first: int, frames: int | None) -> Iterator[Float32Array]:
    """Drop the first frames and those after the wanted number, but read all."""
    for block in blocks:
        kept = block[first:] if frames is None else block[first : first + frames]
        first = max(0, first - len(block))
        if frames is not None:
            frames -= len(kept)
        if len(kept):
            yield kept


class _Reader:
    """Reads exact numbers of bytes from chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def exactly(self, size: int) -> bytes:
        """Return the next bytes. Raises AudioError if there are not so many."""
        while len(self._held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise UnreadableError("cannot be decoded, not by ffmpeg either: no sound in it")
            self._held += chunk
        found, self._held = self._held[:size], self._held[size:]
        return found

    def rest(self) -> Iterator[bytes]:
        """Return all further chunks."""
        yield self._held
        yield from self._chunks


@contextmanager
def _running(
    path: Path, options: Sequence[str], arguments: Sequence[str], *, program: str = "ffmpeg"
) -> Iterator[Iterator[bytes]]:
    """Run ffmpeg on a file and yield what it writes; it is ended with the block.

    Args:
        path: the recording.
        options: options of the input.
        arguments: everything after the input.
        program: ``ffmpeg`` or ``ffprobe``.
    """
    found = shutil.which(program)
    if found is None:
        raise NoFfmpegError(NOT_INSTALLED)
    with _opened(path) as recording:
        address, inherited = _address(path, recording)
        command = [found, "-v", "error", "-hide_banner"]
        command += ["-nostdin"] if program == "ffmpeg" else []
        command += [*options, "-i", address, *arguments]
        with running_program(
            command, cpu_seconds=CPU_SECONDS, environment=_environment(), pass_fds=inherited
        ) as process:
            output = _output(process, address)
            try:
                yield output
            finally:
                output.close()


def _environment() -> dict[str, str]:
    environment = os.environ | {"AV_LOG_FORCE_NOCOLOR": "1"}
    environment.pop("FFREPORT", None)  # would write a file
    return environment


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with open_regular(path) as stream, _high(stream) as high:
        yield high


@contextmanager
def _high(stream: Any) -> Iterator[Any]:
    """Provide a stream under a descriptor that a program can inherit."""
    if os.name != "posix":
        yield stream
        return
    import fcntl

    descriptor = fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    with stream, os.fdopen(descriptor, stream.mode, buffering=0) as high:
        stream.close()
        yield high


def _address(path: Path, recording: BinaryIO) -> tuple[str, tuple[int, ...]]:
    """Return ffmpeg's address of a file, and the descriptors that ffmpeg needs for it."""
    descriptor = recording.fileno()
    if Path(f"/dev/fd/{descriptor}").exists():
        return f"file:/dev/fd/{descriptor}", (descriptor,)
    return f"file:{path.absolute()}", ()


def _output(process: subprocess.Popen[bytes], address: str) -> Generator[bytes, None, None]:
    """Yield what the program writes; raise AudioError if it stops, fails, or is ended."""
    messages: deque[bytes] = deque()
    kept = 0
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        silent_since = time.monotonic()
        while selector.get_map():
            for key, _ in selector.select(
                max(0.0, SILENT_SECONDS + silent_since - time.monotonic())
            ):
                pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
                chunk = os.read(pipe.fileno(), CHUNK_BYTES)
                if not chunk:
                    selector.unregister(pipe)
                elif pipe is process.stdout:
                    yield chunk
                    silent_since = time.monotonic()
                else:
                    messages.append(chunk)
                    kept += len(chunk)
                    while kept - len(messages[0]) >= MAX_MESSAGE:
                        kept -= len(messages.popleft())
            if time.monotonic() - silent_since > SILENT_SECONDS:
                raise AudioError(f"ffmpeg decoded nothing of it for {SILENT_SECONDS:g} s")
    code = process.wait()
    if code:
        raise _failure(b"".join(messages), address, code)


def _failure(said: bytes, address: str, code: int) -> AudioError:
    """Say in one line why ffmpeg failed."""
    text = said.decode(errors="replace").replace(address, "")
    lines = [line for line in map(_cleaned, text.splitlines()) if line]
    if any("Format not on whitelist" in line for line in lines):
        return NotARecordingError(
            "is not a recording: it is in none of the formats that are decoded"
        )
    if any("matches no streams" in line or "not contain any stream" in line for line in lines):
        return AudioError(NO_STREAM)
    ended = -code if code < 0 else code - 128
    if 0 < ended < 65 and code != 255:
        return AudioError(f"cannot be decoded: ffmpeg was ended by signal {ended}")
    said_last = lines[-1] if lines else f"exit code {code}"
    return UnreadableError(f"cannot be decoded, not by ffmpeg either: {said_last}")


def _cleaned(line: str) -> str:
    line = re.sub(r"\[[^\]]*? @ 0x[0-9a-f]+\]", "", line).strip().removeprefix(":").strip()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)[:300]
