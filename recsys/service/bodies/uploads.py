"""Uploaded recordings: read for their tags, named by their content, and kept if wanted."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from datasets.errors import AudioError
from datasets.system.files import sync_directory, sync_file
from datasets.system.temporary import room_for, temporary_file, temporary_folder
from datasets.tables.recordings import SUFFIXES
from datasets.tags import RECORDING_MBID, read_file_tags
from datasets.texts.safe_text import printable
from embedding.audio.source import RecordingFile
from embedding.parallel import Crashed
from recsys.service.bodies.schemas import MOST_CHARACTERS, SongTexts
from recsys.service.requests.context import ServiceContext

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Upload:
    """A recording that a client sends."""

    stream: BinaryIO
    name: str
    """The last part of its name, as the client has it; for messages and for its format."""


@dataclass(frozen=True)
class UploadedSong:
    """An uploaded recording on the disk, with its id and texts."""

    file: RecordingFile
    digest: str
    item_id: str
    title: str
    artist: str
    album: str
    genre: str
    tags: dict[str, str]


@contextmanager
def take_upload(
    upload: Upload, context: ServiceContext, given: SongTexts
) -> Iterator[UploadedSong]:
    """Write an upload to a temporary file for the duration of the block, and read its tags.

    What the client does not say of the song comes from the file: its tags, and for the id a digest
    of its content, so that the same file again is the same item.

    Raises:
        AudioError: it is empty, or longer than the service takes.
    """
    suffix = Path(upload.name).suffix.lower()
    suffix = suffix if suffix in SUFFIXES else ""
    with temporary_folder() as folder:
        path = folder / f"upload{suffix}"
        digest = _write(upload.stream, path)
        name = printable(upload.name)
        told = context.worker.run(_describe, path)
        if isinstance(told, Crashed):
            raise AudioError(f"{name}: cannot be read")
        seconds, texts = told
        most = context.settings.max_sound_seconds
        if seconds > most:
            raise AudioError(f"{name}: is {seconds:,.0f} s long, at most {most:,.0f} s are taken")
        own = {
            field: getattr(given, field) or texts.get(field, "")[:MOST_CHARACTERS]
            for field in ("title", "artist", "album", "genre")
        }
        # A file without tags is called by its name, so that a person knows it again in lists.
        own["title"] = own["title"] or printable(Path(upload.name).stem)[:MOST_CHARACTERS]
        yield UploadedSong(
            RecordingFile(path, name, temporary=True),
            digest,
            given.item_id or f"upload-{digest[:16]}",
            **own,
            tags={name: texts[name] for name in (RECORDING_MBID,) if name in texts}
            | dict(given.tags),
        )


@contextmanager
def kept(song: UploadedSong, folder: Path | None) -> Iterator[RecordingFile]:
    """Keep an uploaded recording in a folder, named by its content; removed if the block fails.

    Args:
        song: the upload.
        folder: where to; None keeps nothing.

    Yields:
        The recording, where the model is to know it.
    """
    if folder is None:
        yield song.file
        return
    place = folder.absolute() / f"{song.digest}{song.file.path.suffix}"
    is_new = not place.exists()
    if is_new:
        folder.mkdir(parents=True, exist_ok=True)
        with room_for(folder, "an upload"), temporary_file(place) as temporary:
            shutil.copyfile(song.file.path, temporary)
            sync_file(temporary)
            os.replace(temporary, place)  # noqa: PTH105
            sync_directory(folder)
    try:
        yield RecordingFile(place, song.file.name)
    except BaseException:
        if is_new:
            with suppress(OSError):
                place.unlink()
        raise


def _write(stream: BinaryIO, path: Path) -> str:
    """Copy a stream to a file; return the hex SHA-256."""
    digest = hashlib.sha256()
    with room_for(path.parent, "an upload"), path.open("wb") as target:
        while block := stream.read(_BLOCK):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def _describe(path: Path) -> tuple[float, dict[str, str]]:
    """The length in seconds that a file's head tells, 0 if none, and the texts of its tags."""
    from mutagen import File

    seconds = 0.0
    with suppress(Exception):  # of damaged files, mutagen raises all kinds of errors
        seconds = float(File(path).info.length)
    with suppress(Exception):
        return seconds, dict(read_file_tags(path).texts)
    return seconds, {}
