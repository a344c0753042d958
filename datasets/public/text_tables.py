"""Read lines of text tables, packed or not, and count the lines that cannot be used."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from datasets.errors import DataError
from datasets.public.conversion import (
    DAMAGED_ARCHIVE,
    MissingInputError,
    find_input,
    note_missing,
    read_lines,
    report_skipped,
)

_ARCHIVES: Final = (".tar.gz", ".zip")
_READ_AHEAD: Final = 1 << 20


def read_archived_lines(
    source: Path, name: str, *archives: str, encoding: str = "utf-8-sig"
) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text) of each line of a file that may be in an archive.

    Looks for the file itself, then in the folders that the archives unpack to, then anywhere in
    one of the archives, which is read without unpacking it to disk.

    Args:
        source: the folder with the published files.
        name: name of the table.
        archives: names of archives that may hold it.
        encoding: of the text.

    Raises:
        DataError: if the file is nowhere, or as ``read_lines``.
    """
    folders = [source, *(source / _without_suffix(archive) for archive in archives)]
    for folder in folders:
        if (folder / name).is_file():
            yield from read_lines(folder / name, encoding)
            return
    origin = source / name if not archives else find_input(source, *archives, name)
    if not origin.is_file():
        raise MissingInputError(f"{source} has no {name}")

    def member(raw: IO[bytes]) -> IO[bytes]:
        found = _in_zip(raw, name) if origin.suffix == ".zip" else _in_tar(raw, name)
        if found is None:
            raise MissingInputError(f"{origin} has no {name}")
        return found

    try:
        yield from read_lines(origin, encoding, stream=member)
    except DAMAGED_ARCHIVE as error:
        raise DataError(f"{origin} is damaged or not an archive: {error}") from None


def read_optional_lines(
    source: Path, name: str, *archives: str, cost: str, encoding: str = "utf-8-sig"
) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file as `read_archived_lines`, none if the file is nowhere.

    Args:
        source: the folder with the published files.
        name: name of the table.
        archives: names of archives that may hold it.
        cost: what the data set lacks without the file, for the warning.
        encoding: of the text.
    """
    try:
        yield from read_archived_lines(source, name, *archives, encoding=encoding)
    except MissingInputError as error:
        note_missing(error, cost)


def clean_text(text: str) -> str:
    """Return text with single blanks between words, without NUL characters."""
    return " ".join(text.replace("\0", " ").split())


class SkippedRows:
    """Counts lines that cannot be used, by reason, with the first line of each."""

    def __init__(self, name: str) -> None:
        """Start counting for the table `name`."""
        self._name = name
        self._seen: dict[str, list[int]] = {}

    def add(self, reason: str, line: int) -> None:
        """Count a line, by its number, as skipped for this reason."""
        self._seen.setdefault(reason, [0, line])[0] += 1

    def rows(self) -> list[tuple[str, str]]:
        """Return (table, reason with count and first line), as `report_skipped` takes them."""
        return [
            (self._name, f"{count:,} lines: {reason}; the first is line {first}")
            for reason, (count, first) in self._seen.items()
        ]

    def report(self, target: Path, kept: int, *others: "SkippedRows") -> None:
        """Write `left-out.csv` of this table and others, if any line was skipped.

        Args:
            target: the folder.
            kept: number of lines used.
            others: further tables to report.

        Raises:
            DataError: if no line of this table was used, which means another format.
        """
        rows = self.rows()
        if not kept:
            reason = rows[0][1] if rows else "there are none"
            raise DataError(f"{self._name}: no line can be used: {reason}")
        report_skipped(target, [*rows, *(row for other in others for row in other.rows())])


def _without_suffix(archive: str) -> str:
    return next((archive.removesuffix(end) for end in _ARCHIVES if archive.endswith(end)), archive)


def _in_zip(raw: IO[bytes], name: str) -> IO[bytes] | None:
    archive = zipfile.ZipFile(raw)
    for member in archive.namelist():
        if PurePosixPath(member).name == name:
            return archive.open(member)
    return None


def _in_tar(raw: IO[bytes], name: str) -> IO[bytes] | None:
    archive = tarfile.open(fileobj=raw, mode="r:*")  # noqa: SIM115 (read until the lines end)
    for member in archive:
        if member.isfile() and PurePosixPath(member.name).name == name:
            found = archive.extractfile(member)
            # Unbuffered it reads 8 KiB at a time, which takes longer than unpacking.
            return None if found is None else io.BufferedReader(cast(Any, found), _READ_AHEAD)
    return None
