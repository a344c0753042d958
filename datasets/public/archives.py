"""Taking files out of an archive, or out of the folder that somebody unpacked it to."""

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from datasets.errors import DataError
from datasets.files import atomic_write
from datasets.public.conversion import place, tracked

TargetOf = Callable[[str], Path | None]
"""Name of a member, with ``/`` → where it goes; None where it is not wanted."""


def take_files(origin: Path, target_of: TargetOf) -> dict[str, Path]:
    """Write the wanted files of ``origin``, a folder or a zip or tar archive; name → where.

    What is there already in its full size, from a conversion that was interrupted, is left alone.
    Names are only ever handed to ``target_of``, so that a member cannot choose where it goes;
    links and directories are passed over. Raises DataError for a damaged archive.
    """
    if origin.is_dir():
        return _from_folder(origin, target_of)
    with _readable(origin):
        if zipfile.is_zipfile(origin):
            return _from_zip(origin, target_of)
        return _from_tar(origin, target_of)


@contextmanager
def open_member(origin: Path, name: str) -> Iterator[IO[bytes]]:
    """A file within a zip archive, or within the folder that it was unpacked to.

    Raises DataError where it is not there.
    """
    if origin.is_dir():
        if not (origin / name).is_file():
            raise DataError(f"{origin} has no {name}")
        with (origin / name).open("rb") as stream:
            yield stream
        return
    with _readable(origin), zipfile.ZipFile(origin) as archive:
        if name not in archive.namelist():
            raise DataError(f"{origin} has no {name}")
        with archive.open(name) as stream:
            yield stream


@contextmanager
def _readable(origin: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as e:
        raise DataError(f"{origin} is damaged or not an archive: {e}") from None


def _from_folder(folder: Path, target_of: TargetOf) -> dict[str, Path]:
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    taken = {}
    with tracked(folder.name, len(names)) as advance:
        for name in names:
            target = target_of(name)
            if target is not None:
                place(folder / name, target)
                taken[name] = target
            advance(1)
    return taken


def _from_zip(path: Path, target_of: TargetOf) -> dict[str, Path]:
    taken = {}
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        total = sum(member.file_size for member in members)
        with tracked(path.name, total, in_bytes=True) as advance:
            for member in members:
                target = target_of(member.filename)
                if target is not None:
                    taken[member.filename] = target
                    if not _there(target, member.file_size):
                        with archive.open(member) as stream:
                            _write(stream, target)
                advance(member.file_size)
    return taken


def _from_tar(path: Path, target_of: TargetOf) -> dict[str, Path]:
    taken = {}
    size = path.stat().st_size
    with (
        path.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*") as archive,
        tracked(path.name, size, in_bytes=True) as advance,
    ):
        done = 0
        for member in archive:  # in the order of the file: a compressed one has no index
            target = target_of(member.name.removeprefix("./")) if member.isfile() else None
            if target is not None:
                taken[member.name.removeprefix("./")] = target
                stream = archive.extractfile(member)
                if stream is not None and not _there(target, member.size):
                    _write(stream, target)
            advance(raw.tell() - done)
            done = raw.tell()
    return taken


def _there(target: Path, size: int) -> bool:
    return target.exists() and target.stat().st_size == size


def _write(stream: IO[bytes], target: Path) -> None:
    with atomic_write(target) as temporary, temporary.open("wb") as out:
        shutil.copyfileobj(stream, out)
