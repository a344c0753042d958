"""Helpers of the converters of public data sets.

Read lines of large files, take files out of archives or unpacked folders, write items and
recordings, and report what was skipped; all with progress bars where `fetch` shows them.
"""

import csv
import io
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Final

import pandas as pd

from datasets import columns as c
from datasets.errors import DataError
from datasets.progress import progress_bar
from datasets.system.files import atomic_write, open_regular, write_text
from datasets.tables.checks import AUDIO_COLUMNS, INTERACTION_COLUMNS, ITEM_COLUMNS
from datasets.tables.read_write import write_table

SKIPPED_FILE: Final = "left-out.csv"

_LINES_A_STEP: Final = 4096

Advance = Callable[[int], None]

logger = logging.getLogger("coldtune")

# Set by `fetch` around a conversion, so that converters need not pass it to every loop.
_shown: ContextVar[bool] = ContextVar("coldtune_conversion_progress", default=False)


@contextmanager
def showing_progress(shown: bool) -> Iterator[None]:
    """Set whether ``conversion_progress`` and ``read_lines`` show a bar in the block."""
    token = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(token)


@contextmanager
def conversion_progress(
    title: str, total: int | None, *, in_bytes: bool = False
) -> Iterator[Advance]:
    """Show a progress bar if `fetch` does; yield a function to call with the amount done."""
    with progress_bar(title, total, shown=_shown.get(), in_bytes=in_bytes) as advance:
        yield advance


class MissingInputError(DataError):
    """A published file is not in the folder of a user."""


_missing: ContextVar[list[str] | None] = ContextVar("_missing", default=None)


@contextmanager
def collecting_missing() -> Iterator[list[str]]:
    """Collect what `note_missing` is told in the block."""
    found: list[str] = []
    token = _missing.set(found)
    try:
        yield found
    finally:
        _missing.reset(token)


def note_missing(error: MissingInputError, cost: str) -> None:
    """Warn that an optional file is missing, and remember it in the converted folder.

    Args:
        error: says which file is missing.
        cost: what the data set lacks without it.
    """
    logger.warning("%s: %s", error, cost)
    found = _missing.get()
    if found is not None:
        found.append(f"{error}: {cost}")


def find_input(source: Path, *names: str) -> Path:
    """Return the first of these names that exists in `source`.

    Args:
        source: folder of the downloaded files.
        *names: names to look for, the preferred one first.

    Raises:
        MissingInputError: if none exists.

    Examples:
        >>> (folder / "songs").mkdir()
        >>> find_input(folder, "songs.zip", "songs").name
        'songs'
    """
    for name in names:
        if (source / name).exists():
            return source / name
    raise MissingInputError(f"{source} has no {' and no '.join(names)}")


def read_lines(
    path: Path,
    encoding: str = "utf-8-sig",
    *,
    stream: Callable[[IO[bytes]], IO[bytes]] | None = None,
) -> Iterator[tuple[int, str]]:
    r"""Yield (number from 1, text without line end) of each line, with progress by bytes.

    Lines end with LF or CR LF. Only one line is in memory at a time.

    Args:
        path: the file.
        encoding: of the text.
        stream: function that unpacks the file, such as `bz2.open` or `gzip.open`.

    Raises:
        DataError: if bytes cannot be decoded (the line is named), or a packed file is damaged.

    Examples:
        >>> _ = (folder / "songs.tsv").write_bytes(b"id\ttitle\r\n1\tSo What\r\n")
        >>> list(read_lines(folder / "songs.tsv"))
        [(1, 'id\ttitle'), (2, '1\tSo What')]
    """
    number = 0
    try:
        size = path.stat().st_size
        with (
            open_regular(path) as raw,
            conversion_progress(path.name, size, in_bytes=True) as advance,
        ):
            done = 0
            for number, line in enumerate(raw if stream is None else stream(raw), start=1):
                if number % _LINES_A_STEP == 0:  # updating the bar costs more than reading a line
                    advance(raw.tell() - done)
                    done = raw.tell()
                # Only a file begins with a byte-order mark.
                codec = "utf-8" if number > 1 and encoding == "utf-8-sig" else encoding
                yield number, line.decode(codec).rstrip("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path}, line {number}: byte 0x{byte:02x} is not {encoding}") from None
    except (OSError, EOFError, zlib.error) as error:
        where = f"{path}, after line {number}," if number else f"{path}"
        problem = getattr(error, "strerror", None) or error
        raise DataError(f"{where} cannot be read: {problem}") from None


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where that is impossible."""
    if target.exists():
        return  # from an interrupted conversion; files are written atomically
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)


def report_skipped(target: Path, left_out: Sequence[tuple[str, str]]) -> None:
    r"""Write (file or id, reason) of everything that was skipped, and log one warning.

    Args:
        target: folder of the data set.
        left_out: (file or id, reason); nothing is written if it is empty.

    Examples:
        >>> report_skipped(folder, [("000123", "has no clip in the archive")])
        >>> (folder / "left-out.csv").read_text()
        'what,why\n000123,has no clip in the archive\n'
    """
    if not left_out:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("what", "why"))
    writer.writerows(left_out)
    write_text(target / SKIPPED_FILE, text.getvalue())
    name, reason = left_out[0]
    more = f" and {len(left_out) - 1:,} more, all in {SKIPPED_FILE}" if len(left_out) > 1 else ""
    logger.warning("left out: %s (%s)%s", name, reason, more)


def text_frame(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows of text as a table with columns of dtype object, as `write_table` expects.

    Args:
        rows: one sequence of texts per row.
        columns: names of the columns.

    Examples:
        >>> text_frame([("s1", "So What")], ("item_id", "title")).to_dict("list")
        {'item_id': ['s1'], 'title': ['So What']}
    """
    parts = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pd.DataFrame(
        {name: pd.Series(part, dtype=object) for name, part in zip(columns, parts, strict=True)}
    )


def write_items(target: Path, items: pd.DataFrame) -> None:
    r"""Write `items.csv`; missing standard columns are blank.

    Args:
        target: folder of the data set.
        items: column item_id, and any others of `items.csv`.

    Raises:
        DataError: if there are no items.

    Examples:
        >>> write_items(folder, text_frame([("s1", "So What")], ("item_id", "title")))
        >>> (folder / "items.csv").read_text()
        'item_id,title,artist,album,genre\ns1,So What,,,\n'
    """
    blank = [name for name in ITEM_COLUMNS if name not in items.columns]
    _write(items.assign(**dict.fromkeys(blank, "")), target / "items.csv", ITEM_COLUMNS)


def write_audio(target: Path, audio: pd.DataFrame) -> None:
    """Write `audio.csv`; a missing title or genre is blank.

    Args:
        target: folder of the data set.
        audio: columns item_id and path, and any others of `audio.csv`.

    Raises:
        DataError: if there are no recordings.

    Examples:
        >>> write_audio(folder, text_frame([("s1", "audio/s1.mp3")], ("item_id", "path")))
    """
    blank = [name for name in AUDIO_COLUMNS if name not in audio.columns]
    _write(audio.assign(**dict.fromkeys(blank, "")), target / "audio.csv", AUDIO_COLUMNS)


def write_no_interactions(target: Path) -> None:
    """Write an `interactions.csv` without rows.

    Args:
        target: folder of the data set.

    Examples:
        >>> write_no_interactions(folder)
    """
    write_text(target / "interactions.csv", ",".join(INTERACTION_COLUMNS) + "\n")


def _write(table: pd.DataFrame, path: Path, first: Sequence[str]) -> None:
    if table[c.ITEM_ID].empty:
        raise DataError(f"{path.parent} would hold no data: nothing was found to convert")
    names = [*first, *(name for name in table.columns if name not in first)]
    write_table(table[names].astype(object), path)


ChooseTarget = Callable[[str], Path | None]
"""Maps a member's name, with `/`, to the path to write; None if it is not wanted."""


def extract_files(origin: Path, choose_target: ChooseTarget) -> dict[str, Path]:
    """Write the wanted files of a folder or a zip or tar archive.

    Files that exist in full size, from an interrupted conversion, are kept. Names are only passed
    to `choose_target`, so that an archive cannot choose where its members go; links and
    directories are skipped.

    Args:
        origin: the folder or archive.
        choose_target: maps a member's name to the path to write, or None.

    Returns:
        The path of each member that was wanted.

    Raises:
        DataError: if the archive is damaged.
    """
    if origin.is_dir():
        return _from_folder(origin, choose_target)
    with _readable(origin):
        if zipfile.is_zipfile(origin):
            return _from_zip(origin, choose_target)
        return _from_tar(origin, choose_target)


@contextmanager
def open_member(origin: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file in a zip archive, or in the folder it was unpacked to.

    Raises:
        DataError: if there is no such file.
    """
    if origin.is_dir():
        if not (origin / name).is_file():
            raise DataError(f"{origin} has no {name}")
        with open_regular(origin / name) as stream:
            yield stream
        return
    with _readable(origin), zipfile.ZipFile(origin) as archive:
        if name not in archive.namelist():
            raise DataError(f"{origin} has no {name}")
        with archive.open(name) as stream:
            yield stream


DAMAGED_ARCHIVE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""What reading an archive raises that is damaged, encrypted, or packed in a way of its own."""


@contextmanager
def _readable(origin: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGED_ARCHIVE as e:
        raise DataError(f"{origin} is damaged or not an archive: {e}") from None


def _from_folder(folder: Path, choose_target: ChooseTarget) -> dict[str, Path]:
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    taken = {}
    with conversion_progress(folder.name, len(names)) as advance:
        for name in names:
            target = choose_target(name)
            if target is not None:
                link_or_copy(folder / name, target)
                taken[name] = target
            advance(1)
    return taken


def _from_zip(path: Path, choose_target: ChooseTarget) -> dict[str, Path]:
    taken = {}
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        total = sum(member.file_size for member in members)
        with conversion_progress(path.name, total, in_bytes=True) as advance:
            for member in members:
                target = choose_target(member.filename)
                if target is not None:
                    taken[member.filename] = target
                    if not _is_complete(target, member.file_size):
                        with archive.open(member) as stream:
                            _write_member(stream, target)
                advance(member.file_size)
    return taken


def _from_tar(path: Path, choose_target: ChooseTarget) -> dict[str, Path]:
    taken = {}
    size = path.stat().st_size
    with (
        open_regular(path) as raw,
        tarfile.open(fileobj=raw, mode="r:*") as archive,
        conversion_progress(path.name, size, in_bytes=True) as advance,
    ):
        done = 0
        for member in archive:  # in the order of the file: a compressed one has no index
            target = choose_target(member.name.removeprefix("./")) if member.isfile() else None
            if target is not None:
                taken[member.name.removeprefix("./")] = target
                stream = archive.extractfile(member)
                if stream is not None and not _is_complete(target, member.size):
                    _write_member(stream, target)
            advance(raw.tell() - done)
            done = raw.tell()
    return taken


def _is_complete(target: Path, size: int) -> bool:
    return target.exists() and target.stat().st_size == size


def _write_member(stream: IO[bytes], target: Path) -> None:
    with atomic_write(target) as temporary, temporary.open("wb") as out:
        shutil.copyfileobj(stream, out)
