"""Recordings given as a path, as bytes, or as a binary file object such as an upload.

Decoders need a file on disk (ffmpeg seeks in it, and other processes have to open it), so bytes and
file objects are first written to a temporary file. All checks of files then apply to them too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from datasets.errors import AudioError, InvalidArgumentError
from datasets.system.temporary import temporary_folder
from datasets.texts.safe_text import printable

AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A recording: the path of a file, its content, or a binary file object, which is read from its
current position to its end."""

MAX_BYTES = 4 << 30
"""Maximum size of a file object, so that an endless one does not fill the disk."""

BLOCK_BYTES = 1 << 20
"""Bytes read from a file object at a time."""

MAX_NAME = 200
"""Maximum length of an upload's name in messages; the end of the name is kept."""


@dataclass(frozen=True)
class RecordingFile:
    """A recording on disk together with its name in messages; usable as a path."""

    path: Path
    """Where the file is."""

    name: str
    """Name of the recording in messages; one line of valid text."""

    temporary: bool = False
    """Whether the file is deleted at the end of the `on_disk` block."""

    def __fspath__(self) -> str:
        return os.fspath(self.path)


@contextmanager
def on_disk(sources: Sequence[AudioSource]) -> Iterator[list[RecordingFile]]:
    """Provide recordings as files for the duration of the block.

    Bytes and file objects are written to a temporary folder. Paths are passed on unchecked.

    Raises:
        AudioError: a file object cannot be read or is too large; the message names it.
        InvalidArgumentError: a source is not a path, bytes or a binary file object.
    """
    with ExitStack() as stack:
        folder: Path | None = None
        files = []
        for number, source in enumerate(sources):
            if isinstance(source, RecordingFile):
                files.append(source)
            elif isinstance(source, str | os.PathLike):
                files.append(RecordingFile(Path(source), printable(source)))
            else:
                if folder is None:
                    folder = stack.enter_context(temporary_folder())
                files.append(_write_temporary(source, folder, number))
        yield files


def _write_temporary(source: bytes | BinaryIO, folder: Path, number: int) -> RecordingFile:
    if isinstance(source, bytes | bytearray | memoryview):
        path = folder / str(number)
        path.write_bytes(source)
        return RecordingFile(path, f"recording of {len(source):,} bytes", temporary=True)
    if not callable(getattr(source, "read", None)):
        raise InvalidArgumentError(
            f"a recording is a path, bytes or a binary file object, not {type(source).__name__}"
        )
    name = _name(source)
    # Some formats are recognised by the suffix alone.
    suffix = Path(name).suffix
    path = folder / (str(number) + (suffix if suffix[1:].isalnum() and suffix.isascii() else ""))
    _copy(source, path, name)
    return RecordingFile(path, name, temporary=True)


def _name(stream: BinaryIO) -> str:
    """Name of a file object; web frameworks call the attribute ``filename``."""
    for attribute in ("filename", "name"):
        name = getattr(stream, attribute, None)
        if isinstance(name, str) and name:
            return printable(name)[-MAX_NAME:]
    return "uploaded recording"


def _copy(stream: BinaryIO, path: Path, name: str) -> None:
    size = 0
    with path.open("wb") as target:
        while block := _read(stream, name):
            size += len(block)
            if size > MAX_BYTES:
                raise AudioError(f"{name}: is larger than {MAX_BYTES >> 30} GiB")
            target.write(block)


def _read(stream: BinaryIO, name: str) -> bytes:
    try:
        block: object = stream.read(BLOCK_BYTES)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: cannot be read: {reason}") from error
    if isinstance(block, bytes | bytearray | memoryview):
        return bytes(block)
    if hasattr(block, "close"):  # a coroutine, which would warn that it was never awaited
        block.close()
    raise InvalidArgumentError(
        f"{name}: reading it gives {type(block).__name__}, not bytes; "
        "a recording is opened in binary mode and not asynchronously"
    )
