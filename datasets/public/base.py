"""Public data sets: where they are, what one may do with them, and how they become a folder.

Each set is a module with a ``DATASET`` of the class below; ``public_list`` names them all.
"""

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
from datasets.files import cache_folder, locked, write_text
from datasets.folder import load_folder
from datasets.music import MusicDataset
from datasets.public.conversion import showing_progress
from datasets.public.download import download

ABOUT_FILE: Final = "about.json"
"""Written into a converted folder last of all: what it is, its licence, how to cite it."""

logger = logging.getLogger("coldtune")


@dataclass(frozen=True)
class RemoteFile:
    """One file as its publisher offers it."""

    name: str
    """What it is called in the folder of downloads, which is what ``convert`` reads."""
    url: str
    checksum: str
    """``sha256:…``, ``sha1:…`` or ``md5:…``; "" where none is published: then that of the first
    download is kept and counts from then on."""
    size: int | None
    """Bytes, where known."""


@dataclass(frozen=True)
class PublicDataset:
    """A public data set: what it is, how to cite it, how to get it, how to convert it."""

    name: str
    """Short, lower case; what ``coldtune data get`` takes."""
    title: str
    description: str
    citation: str
    licence: str
    """In words: what its publisher allows, or that no licence is stated."""
    homepage: str
    files: tuple[RemoteFile, ...]
    """All that is downloaded; none where the files must be asked for."""
    convert: Callable[[Path, Path], None]
    """(folder of the published files, empty or half-filled folder) → items, audio and
    interactions in the second, ``interactions`` last."""
    by_hand: str = ""
    """Where the files must be asked for: whom, and which files go into the folder."""
    version: int = 1
    """Raised when ``convert`` would give another folder; what older ones made is made again."""

    @property
    def size(self) -> int | None:
        """Bytes to download; None where a file's size is not known, or nothing is downloaded."""
        sizes = [file.size for file in self.files]
        return None if not sizes or None in sizes else sum(size or 0 for size in sizes)

    def terms(self) -> str:
        """Title, licence, citation and homepage, a line each: what is shown before a download."""
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
    """A public data set: downloaded, checked and converted the first time, then read.

    Args:
        dataset: which one; ``public_list.public_dataset(name)`` finds it by its name.
        folder: where the converted set goes: a new or empty folder, or one that holds this set;
            None is ``public/NAME`` in the cache (``COLDTUNE_CACHE``).
        source: a folder that holds the published files already, packed or unpacked; nothing is
            downloaded then. Needed where the files must be asked for. A file that is not the
            published one, by its checksum, is used with a warning.
        accept_licence: whether you accept the terms, which are shown before the first download;
            a function is given the data set and answers. What was accepted once is remembered
            for as long as the terms stay the same.
        progress: show progress bars.

    An interrupted download or conversion is taken up again by the next call. Recordings that a
    conversion left out are listed in ``left-out.csv`` in the folder, each with the reason.

    Raises:
        InvalidArgumentError: if the terms are not accepted.
        DataError: if a file cannot be had, is not the one that was published, is not in the
            format its publisher describes, or the folder holds something else.
    """
    target = cache_folder() / "public" / dataset.name if folder is None else Path(folder)
    try:
        with _alone(target):
            if not _converted(dataset, target):
                files = _files(dataset, source, accept_licence, progress)
                return _convert(dataset, files, target, progress)
    except OSError as error:
        raise DataError(f"{target} cannot be made: {error}") from None
    return load_folder(target)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else makes ``folder``: two at once would write into each other's files."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    path = cache_folder() / "locks" / f"{name}.lock"  # nothing of it beside a user's own folders
    with locked(path):
        yield


def _converted(dataset: PublicDataset, target: Path) -> bool:
    """Whether ``target`` holds this data set; raises if it holds anything else."""
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
    return bool(about.get("version") == dataset.version)


def _files(
    dataset: PublicDataset,
    source: str | os.PathLike[str] | None,
    accept_licence: Consent,
    progress: bool,
) -> Path:
    """The folder with the published files, every one of them checked."""
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
    downloads = cache_folder() / "downloads" / dataset.name
    with _alone(downloads):
        _ask(dataset, downloads / "terms-accepted.txt", accept_licence)
        for file in dataset.files:
            path = downloads / file.name
            download(file.url, path, file.checksum, size=file.size, progress=progress)
    return downloads


def _compare(dataset: PublicDataset, source: Path) -> None:
    """Say which of a user's own files are not those that were published; they are used all the
    same, as a collection that was packed again has the same content."""
    for file in dataset.files:
        kind, _, digest = file.checksum.partition(":")
        path = source / file.name
        if digest and path.is_file():
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, kind).hexdigest()
            if found != digest:
                logger.warning("%s is another file than was published: its %s differs", path, kind)


def _ask(dataset: PublicDataset, record: Path, accept_licence: Consent) -> None:
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
    """Convert in a folder beside ``target``, which is kept if interrupted, and rename that."""
    partial = target.with_name(f".{target.name}.{dataset.name}-{dataset.version}.partial")
    partial.mkdir(exist_ok=True)
    try:
        with showing_progress(progress):
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
    }
    write_text(partial / ABOUT_FILE, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():  # what an older version of the converter made, or an empty folder
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return MusicDataset.from_checked(music.items, music.audio, music.interactions, target)
