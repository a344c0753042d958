"""The files of a saved model: immutable generations, and a manifest that names the current one.

    MODEL/manifest.json     format, configuration, versions, and size and digest of every file
    MODEL/g-1f2e.../        the files of one generation
    MODEL/.lock             held by the process that writes
    MODEL/listens.sqlite    what a service keeps there; no save touches it

A save writes a new generation beside the old one and then renames the new manifest into place: a
reader sees the old model or the new one, whenever it looks and whenever the writer is stopped.
Arrays are .npy files that load memory-mapped; nothing is pickled. Large files are hashed in chunks,
on all cores.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from datasets.errors import ArtifactError
from datasets.system.files import (
    UNREADABLE,
    open_array,
    read_text,
    reason_of,
    sync_directory,
    sync_file,
    write_text,
)
from datasets.system.locks import Order, locked, patience
from datasets.system.temporary import room_for
from datasets.versions import package_versions
from embedding.parallel import available_cores

CHUNK = 2**23
"""Bytes of a file that are hashed by one thread."""

_READ = 2**18
"""Bytes read at once: they stay in a core's cache until they are hashed."""


FORMAT_VERSION = 4
"""Since 4: digests of large files are of their chunks' XXH3, in 3 of their CRC-32s. Since 2: they
are of chunks at all, and texts are Arrow files."""


def digest_files(paths: Sequence[Path], version: int = FORMAT_VERSION) -> list[str]:
    """Compute digests of files' contents, which tell whether a file is as it was saved.

    The digest of a file of at most CHUNK bytes is its SHA-256. That of a larger one is the SHA-256
    of the 64-bit XXH3 hashes of its chunks, which cost less than to read them.

    Args:
        paths: the files.
        version: of the format of their model. In 3, chunks have CRC-32s, in 2 SHA-256s; in 1 a
            large file has one as a whole, on one thread.

    Returns:
        One hex digest per file.

    Raises:
        OSError: a file cannot be read.
    """
    parts: list[_Part] = []
    counts = []
    for path in paths:
        size = path.stat().st_size
        step = max(size, 1) if version < 2 else CHUNK
        places = range(0, max(size, 1), step)
        hasher: Callable[[], _Hasher] = hashlib.sha256
        if len(places) > 1 and version >= 3:
            hasher = xxhash.xxh3_64 if version >= 4 else _CRC32
        parts += [_Part(path, place, min(step, size - place), hasher) for place in places]
        counts.append(len(places))
    with ThreadPoolExecutor(min(available_cores(), max(len(parts), 1))) as pool:
        try:
            hashes = iter([*pool.map(_hash, parts)])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    digests = []
    for count in counts:
        own = [next(hashes) for _ in range(count)]
        digests.append(own[0].hex() if count == 1 else hashlib.sha256(b"".join(own)).hexdigest())
    return digests


class _Hasher(Protocol):
    """What hashes bytes."""

    def update(self, content: memoryview, /) -> None:
        """Take in further bytes."""

    def digest(self) -> bytes:
        """Return the hash of all so far."""


class _CRC32:
    """CRC-32, as a hash."""

    def __init__(self) -> None:
        self._checksum = 0

    def update(self, content: memoryview, /) -> None:
        self._checksum = zlib.crc32(content, self._checksum)

    def digest(self) -> bytes:
        return self._checksum.to_bytes(4, "big")


class _Part(NamedTuple):
    """A part of a file that is hashed by itself."""

    path: Path
    place: int
    size: int
    hasher: Callable[[], _Hasher]


def _hash(part: _Part) -> bytes:
    found, size = part.hasher(), part.size
    buffer = memoryview(bytearray(min(_READ, size)))
    with part.path.open("rb", buffering=0) as stream:
        stream.seek(part.place)
        while size:
            count = stream.readinto(buffer[: min(size, len(buffer))])
            if not count:  # cut short meanwhile, so that the digest differs
                break
            found.update(buffer[:count])
            size -= count
    return found.digest()


_FORMAT = "coldtune-model"

MANIFEST = "manifest.json"

LOCK = ".lock"

LISTENS_FILE = "listens.sqlite"
"""File beside the generations in which a service keeps listens of songs that the model lacks."""

LARGEST_MANIFEST = 2**28
"""Bytes. A manifest has a few thousand; a larger file is no manifest."""

_GENERATION = re.compile(r"g-[0-9a-f]{16}")

_FILE_FACTS = {"bytes": int, "sha256": str, "mutable": bool}

_LIBRARIES = ("coldtune", "numpy", "scipy", "pandas", "implicit", "rectools-lightfm", "annoy",
              "torch", "librosa", "soundfile")  # fmt: skip


def check_destination(folder: Path) -> None:
    """Check that a model may be saved to a folder: a new one, an empty one, or that of a model.

    Raises:
        ArtifactError: no folder, one that cannot be read, or one that holds something else.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ArtifactError(f"{str(folder)!r}: a model's folder needs a name in UTF-8") from None
    try:
        entries = {path.name for path in folder.iterdir()} - {LOCK, LISTENS_FILE}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArtifactError(f"{folder}: a model cannot be saved there: {error.strerror}") from None
    try:
        ours = _parse_manifest(*_manifest_text(folder))["format"] == _FORMAT
    except (ArtifactError, KeyError):
        # A damaged manifest is ours beside a generation, and so is what a killed save left.
        generations = {name for name in entries if _GENERATION.fullmatch(name)}
        rest = {name for name in entries - generations if not name.startswith(f".{MANIFEST}.")}
        ours = not rest or (rest == {MANIFEST} and bool(generations))
    if not ours:
        raise ArtifactError(f"{folder}: is not empty and holds no model; nothing was written")


@contextmanager
def writing(folder: Path, doing: str, *, longer: bool = False) -> Iterator[None]:
    """Hold off other writers of a model folder; wait while one holds it.

    Args:
        folder: the model.
        doing: what for, as in "saving the model".
        longer: wait for longer, as work would be lost otherwise.

    Raises:
        ArtifactError: a model must not be saved there (`check_destination`), or the folder
            cannot be created or written; nothing has been touched.
        BusyError: another writer held it for too long; nothing has been touched.
    """
    check_destination(folder)
    limit = patience(longer=longer)
    held = locked(folder / LOCK, doing, name=str(folder), order=Order.FOLDER, seconds=limit)
    with ExitStack() as lock:
        try:
            lock.enter_context(held)
        except OSError as error:
            raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from None
        yield


@contextmanager
def new_generation(
    folder: Path, document: dict[str, Any], mutable: Collection[str]
) -> Iterator[Path]:
    """Yield an empty folder for a model's files, and make it the current generation at the end.

    If anything fails before the last step, the model is as it was. Call under `writing`.

    Args:
        folder: the model.
        document: what the manifest says besides the files; read at the end.
        mutable: names of files that change after the save, so that their digests are not checked.

    Raises:
        ArtifactError: the model cannot be written.
    """
    generation = folder / f"g-{secrets.token_hex(8)}"
    try:
        generation.mkdir()
        yield generation
        files = {}
        paths = sorted(path for path in generation.rglob("*") if path.is_file())
        for path, digest in zip(paths, digest_files(paths), strict=True):
            sync_file(path)
            name = path.relative_to(generation).as_posix()
            files[name] = {
                "bytes": path.stat().st_size,
                "sha256": digest,
                "mutable": name in mutable,
            }
        for place in (generation, *(path for path in generation.rglob("*") if path.is_dir())):
            sync_directory(place)
        sync_directory(folder)
        content = {
            "format": _FORMAT,
            "format_version": FORMAT_VERSION,
            "generation": generation.name,
            "libraries": library_versions(),
            **document,
            "files": files,
        }
        manifest = json.loads(json.dumps(content))  # as a reader will find it
        manifest["sha256"] = _digest(manifest)
        # Escaped: a name of a file may hold bytes that are no text, which UTF-8 cannot write.
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1))
    except BaseException as error:
        # An interruption may come when the manifest is in place already: then this is the model.
        if not _is_current(folder, generation.name):
            shutil.rmtree(generation, ignore_errors=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"{folder}: the model cannot be written: {error}") from error
        raise
    remove_others(folder, generation.name)


def remove_others(folder: Path, generation: str) -> None:
    """Remove the files of all generations but one, such as what a killed save has left.

    Call under `writing`. Processes that have an older generation open keep what they have mapped.
    """
    try:
        with os.scandir(folder) as entries:
            others = [one.name for one in entries if one.name != generation]
    except OSError:
        return
    for name in others:
        if _GENERATION.fullmatch(name):
            shutil.rmtree(folder / name, ignore_errors=True)
        elif name.startswith(f".{MANIFEST}."):
            with suppress(OSError):
                (folder / name).unlink()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check it against its own digest.

    Raises:
        ArtifactError: no model there, a damaged manifest, or a format newer than this library.
    """
    return _checked_manifest(*_manifest_text(folder))


def read_generation(folder: Path) -> str:
    """Return the generation that the manifest names, checked as `read_manifest` checks it.

    The file is read each time, and parsed and checked only where it is not as it was.

    Raises:
        ArtifactError: as `read_manifest`.
    """
    return _generation_in(*_manifest_text(folder))


@lru_cache(maxsize=16)
def _generation_in(path: Path, text: str) -> str:
    return str(_checked_manifest(path, text)["generation"])


def _checked_manifest(path: Path, text: str) -> dict[str, Any]:
    manifest = _parse_manifest(path, text)
    if manifest.get("format") != _FORMAT:
        raise ArtifactError(f"{path}: is not the manifest of a coldtune model")
    found = manifest.get("format_version")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: the model has format {found}, this library reads up to {FORMAT_VERSION}; "
            "update coldtune"
        )
    if manifest.get("sha256") != _digest(manifest):
        raise ArtifactError(f"{path}: has been changed or damaged")
    generation, files = manifest.get("generation"), manifest.get("files")
    if not isinstance(generation, str) or not _GENERATION.fullmatch(generation):
        raise ArtifactError(f"{path}: names no folder of the model: {generation!r}")
    if not isinstance(files, dict) or not all(_is_file_entry(entry) for entry in files.values()):
        raise ArtifactError(f"{path}: does not say which files the model has")
    return manifest


def verify_files(folder: Path, manifest: dict[str, Any]) -> Path:
    """Check every file of the current generation; return its folder.

    A mutable file only has to exist; its owner checks its content.

    Raises:
        ArtifactError: names a file that is missing, changed, or outside the folder.
    """
    generation = folder / str(manifest["generation"])
    if not _inside(generation, folder):
        raise ArtifactError(f"{generation}: is outside the model's folder")
    fixed = {}
    for name, expected in manifest["files"].items():
        path = generation / name
        if not _inside(path, generation):
            raise ArtifactError(f"{folder / MANIFEST}: names a file outside the model: {name!r}")
        _check_size(path, expected)
        if not expected["mutable"]:
            fixed[path] = expected["sha256"]
    for path, found in zip(fixed, file_digests([*fixed], manifest), strict=True):
        if found != fixed[path]:
            raise ArtifactError(f"{path}: has been changed or damaged")
    return generation


def file_digests(paths: Sequence[Path], manifest: dict[str, Any]) -> list[str]:
    """Compute digests of files as the format of this manifest defines them.

    Raises:
        ArtifactError: a file cannot be read.
    """
    try:
        return digest_files(paths, manifest["format_version"])
    except OSError as error:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror}") from None


def save_array(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Write an array to ``name``.npy.

    Raises:
        DiskFullError: the disk has no room for it.
    """
    with room_for(folder, f"{name}.npy", array.nbytes):
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_array(folder: Path, name: str) -> NDArray[Any]:
    """Open an array that `save_array` wrote, memory-mapped and read-only.

    Raises:
        ArtifactError: the file cannot be read.
    """
    path = folder / f"{name}.npy"
    try:
        return open_array(path)
    except UNREADABLE as error:
        raise ArtifactError(
            f"{path}: cannot be read: {str(error) or type(error).__name__}"
        ) from None


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that a model depends on."""
    return dict.fromkeys(_LIBRARIES, "not installed") | package_versions(_LIBRARIES)


def _manifest_text(folder: Path) -> tuple[Path, str]:
    """The manifest of a folder, and what stands in it."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ArtifactError(f"{path}: is too large for the manifest of a model")
        return path, read_text(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path.parent}: there is no model here (no {MANIFEST})") from None
    except NotADirectoryError:
        raise ArtifactError(f"{path.parent}: is no folder; a model is one") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {reason_of(error)}") from None


def _parse_manifest(path: Path, text: str) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: cannot be read: {reason_of(error)}") from None
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{path}: is not the manifest of a coldtune model")
    return manifest


def _is_file_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(fact), kind) for fact, kind in _FILE_FACTS.items()
    )


def _check_size(path: Path, expected: dict[str, Any]) -> None:
    try:
        if not path.is_file():
            raise ArtifactError(f"{path}: a file of the model is missing")
        if expected["mutable"]:
            return
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise ArtifactError(
                f"{path}: has {size:,} bytes instead of {expected['bytes']:,}; the model is damaged"
            )
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None


def _is_current(folder: Path, generation: str) -> bool:
    try:
        return read_generation(folder) == generation
    except ArtifactError:
        return False


def _inside(path: Path, folder: Path) -> bool:
    try:
        place, root = path.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, or a name that cannot exist
        return False
    return place.is_relative_to(root) and place != root


def _digest(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
