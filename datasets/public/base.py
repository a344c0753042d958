"""Describe public data sets (`PublicDataset`), and download, convert and load them (`fetch`)."""

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from datasets.errors import ColdtuneError, DataError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from datasets.public.conversion import collecting_missing, showing_progress
from datasets.public.download import download
from datasets.system.files import cache_folder, open_regular, write_text
from datasets.system.locks import Order, locked, patience

ABOUT_FILE: Final = "about.json"
"""File in a converted folder, written last: what it is, its licence, how to cite it."""

logger = logging.getLogger("coldtune")


@dataclass(frozen=True)
class RemoteFile:
    """One published file: its name, address, checksum and size.

    Examples:
        >>> RemoteFile("songs.zip", "https://example.org/songs.zip", "md5:9e107d9d", None).name
        'songs.zip'
    """

    name: str
    """File name in the folder that `convert` reads."""
    url: str
    checksum: str
    """`sha256:…`, `sha1:…` or `md5:…`; "" if none is published: then later downloads are checked
    against the first."""
    size: int | None
    """Bytes; None if unknown."""


@dataclass(frozen=True)
class PublicDataset:
    """A public data set: what it is, how to cite it, and how to get and convert it.

    Examples:
        >>> from datasets.public import public_dataset
        >>> public_dataset("lastfm-360k").size
        569202935
    """

    name: str
    """Short, lower case; the argument of `coldtune data get`."""
    title: str
    description: str
    citation: str
    licence: str
    """What its publisher allows, in words, or that no licence is stated."""
    homepage: str
    files: tuple[RemoteFile, ...]
    """Files to download; none if they are given on request."""
    convert: Callable[[Path, Path], None]
    """Called with the folder of published files and the folder to write items, audio and
    interactions to, `interactions` last. The second may hold files of an interrupted call."""
    by_hand: str = ""
    """For files given on request: whom to ask, and which files to put into the folder."""
    version: int = 1
    """Increased when `convert` writes something else; older folders are converted again."""

    @property
    def size(self) -> int | None:
        """Bytes to download; None if a file's size is unknown or nothing is downloaded."""
        sizes = [file.size for file in self.files]
        return None if not sizes or None in sizes else sum(size or 0 for size in sizes)

    def terms(self) -> str:
        """Return title, licence, citation and homepage, one per line."""
        return (
            f"{self.title}\n{self.description}\nLicence: {self.licence}\n"
            f"Please cite: {self.citation}\nHomepage: {self.homepage}\n"
        )


Consent = bool | Callable[[PublicDataset], bool]


def fetch(
    dataset: PublicDataset,
    folder: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    accept_licence: Consent = False,
    progress: bool = True,
) -> MusicDataset:
    """Load a public data set; the first call downloads, checks and converts it.

    An interrupted download or conversion is continued by the next call. Recordings that were
    skipped are listed in `left-out.csv` in the folder, each with the reason.

    Args:
        dataset: the data set; `public_dataset(name)` finds it by name.
        folder: where the converted data set is kept: a new or empty folder, or one that holds
            this data set; None: `public/NAME` in the cache (`COLDTUNE_CACHE`).
        source: a folder with the published files, packed or unpacked; nothing is downloaded.
            Needed for data sets that are given on request. A file whose checksum differs from
            the published one is used with a warning; so are plays or recordings without the files
            of names and tags, and the set is made again when a source is given again.
        accept_licence: whether you accept the terms, which are shown before the first download,
            or a function that is called with the data set. The answer is remembered as long as
            the terms stay the same.
        progress: show progress bars.

    Returns:
        The data set.

    Raises:
        InvalidArgumentError: if the terms are not accepted.
        DataError: if a file cannot be downloaded, has another checksum or is not in the
            published format, or if the folder holds something else.

    Examples:
        >>> from datasets.public import text_frame, write_items, write_no_interactions
        >>> def convert(source, target):
        ...     write_items(target, text_frame([("s1", "So What")], ("item_id", "title")))
        ...     write_no_interactions(target)
        >>> toy = PublicDataset("toy", "Toy", "One song.", "A. Author, 2001.", "CC BY 4.0",
        ...                     "https://example.org", files=(), convert=convert)
        >>> len(fetch(toy, folder / "toy", source=folder, progress=False).items)
        1
    """
    target = cache_folder() / "public" / dataset.name if folder is None else Path(folder)
    try:
        if target.resolve() == _downloads(dataset).resolve():
            raise DataError(f"{target} is where downloads are kept; choose a new folder")
        with _alone(target, f"making {dataset.name}", Order.JOB):
            if not _converted(dataset, target, again=source is not None):
                files = _files(dataset, source, accept_licence, progress)
                return _convert(dataset, files, target, progress)
    except OSError as error:
        raise DataError(f"{target} cannot be made: {error}") from None
    return load_folder(target)


@contextmanager
def _alone(folder: Path, doing: str, order: Order) -> Iterator[None]:
    """Hold `folder` against other processes, which would write into the same files."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    path = cache_folder() / "locks" / f"{name}.lock"  # not beside a user's folders
    with locked(path, doing, name=str(folder), order=order, seconds=patience(longer=True)):
        yield


def _downloads(dataset: PublicDataset) -> Path:
    return cache_folder() / "downloads" / dataset.name


def _converted(dataset: PublicDataset, target: Path, *, again: bool) -> bool:
    """Return whether `target` holds this data set; raise if it holds anything else.

    again: a set that was made without some of its files is to be made again.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    about: Any = {}
    try:
        about = json.loads((target / ABOUT_FILE).read_text(encoding="utf-8"))
        known = about["name"] == dataset.name
    except (OSError, ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise DataError(f"{target} holds something else than {dataset.name}; choose a new folder")
    incomplete = again and bool(about.get("missing"))
    return bool(about.get("version") == dataset.version) and not incomplete


def _files(
    dataset: PublicDataset,
    source: str | os.PathLike[str] | None,
    accept_licence: Consent,
    progress: bool,
) -> Path:
    """Return the folder with the published files, after checking them."""
    if source is not None:
        found = Path(source)
        if not found.is_dir():
            raise DataError(f"{found} is not a folder")
        _compare(dataset, found)
        return found
    if not dataset.files:
        raise InvalidArgumentError(
            f"{dataset.name} must be asked for. {dataset.by_hand} Then give the folder as source"
        )
    downloads = _downloads(dataset)
    with _alone(downloads, f"downloading {dataset.name}", Order.FOLDER):
        _ask(dataset, downloads / "terms-accepted.txt", accept_licence)
        for file in dataset.files:
            path = downloads / file.name
            download(file.url, path, file.checksum, size=file.size, progress=progress)
    return downloads


def _compare(dataset: PublicDataset, source: Path) -> None:
    """Warn about files in a user's folder that differ from the published ones.

    They are used all the same: a collection that was packed again has the same content.
    """
    for file in dataset.files:
        kind, _, digest = file.checksum.partition(":")
        path = source / file.name
        if digest and path.is_file():
            with open_regular(path) as stream:
                found = hashlib.file_digest(stream, kind).hexdigest()
            if found != digest:
                logger.warning("%s is another file than was published: its %s differs", path, kind)


def _ask(dataset: PublicDataset, record: Path, accept_licence: Consent) -> None:
    """Show the terms and ask for consent, unless it was given before."""
    terms = dataset.terms()
    if record.exists() and record.read_text(encoding="utf-8") == terms:
        return
    sys.stderr.write(terms)
    accepted = accept_licence if isinstance(accept_licence, bool) else accept_licence(dataset)
    if not accepted:
        raise InvalidArgumentError(
            f"the terms of {dataset.name} were not accepted: accept_licence=True, or"
            " --accept-licence, accepts them"
        )
    write_text(record, terms)


def _convert(dataset: PublicDataset, files: Path, target: Path, progress: bool) -> MusicDataset:
    """Convert into a folder beside `target`, kept if interrupted, and rename it at the end."""
    partial = target.with_name(f".{target.name}.{dataset.name}-{dataset.version}.partial")
    partial.mkdir(exist_ok=True)
    try:
        with showing_progress(progress), collecting_missing() as missing:
            dataset.convert(files, partial)
        music = load_folder(partial)
    except ColdtuneError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    about = {
        "name": dataset.name,
        "version": dataset.version,
        "title": dataset.title,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "homepage": dataset.homepage,
        "files": [{"name": file.name, "url": file.url} for file in dataset.files],
        "missing": missing,
    }
    write_text(partial / ABOUT_FILE, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():  # what an older version of the converter made, or an empty folder
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return MusicDataset.from_checked(music.items, music.audio, music.interactions, target)
