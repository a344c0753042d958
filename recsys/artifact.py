"""A saved model on disk: immutable generations, and a manifest that names the current one.

    MODEL/manifest.json     format, configuration, versions, and size and SHA-256 of every file
    MODEL/g-1f2e.../        the files of one generation
    MODEL/.lock             held by the one process that writes

A save writes a new generation beside the old one and then renames the new manifest into place: a
reader sees the old model or the new one, whenever it looks and whenever the writer is stopped.
Arrays are .npy files that load memory-mapped; nothing is pickled.
"""

import fcntl
import hashlib
import json
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import ArtifactError
from datasets.files import file_digest, sync_directory, sync_file, write_text

FORMAT = "coldtune-model"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_LIBRARIES = ("coldtune", "numpy", "scipy", "pandas", "implicit", "rectools-lightfm", "annoy",
              "torch", "librosa", "soundfile")  # fmt: skip


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold a model folder against other writers; wait while one holds it.

    Raises ArtifactError when the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def new_generation(
    folder: Path, document: dict[str, Any], mutable: Collection[str]
) -> Iterator[Path]:
    """Yield an empty folder to put a model's files in; make it the current one at the end.

    document: what the manifest says besides the files. mutable: names of files that change after
    the save, so that their digest is only that of the moment. Where anything goes wrong before the
    last step, the model is as it was. Call under :func:`writing`.
    """
    existing = [path for path in folder.iterdir() if path.name != ".lock"]
    if existing and not (folder / MANIFEST).exists() and any(not _ours(path) for path in existing):
        raise ArtifactError(f"{folder}: is not empty and holds no model; nothing was written")
    generation = folder / f"g-{secrets.token_hex(8)}"
    generation.mkdir()
    try:
        yield generation
        files = {}
        for path in sorted(path for path in generation.rglob("*") if path.is_file()):
            sync_file(path)
            name = path.relative_to(generation).as_posix()
            files[name] = {
                "bytes": path.stat().st_size,
                "sha256": file_digest(path),
                "mutable": name in mutable,
            }
        for place in (generation, *(path for path in generation.rglob("*") if path.is_dir())):
            sync_directory(place)
        sync_directory(folder)
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "generation": generation.name,
            "libraries": library_versions(),
            **document,
            "files": files,
        }
        manifest["sha256"] = _digest(manifest)
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
    except BaseException as error:
        shutil.rmtree(generation, ignore_errors=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"{folder}: the model cannot be written: {error}") from error
        raise
    for old in folder.glob("g-*"):
        if old != generation:
            shutil.rmtree(old, ignore_errors=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, checked against its own digest.

    Raises ArtifactError: no model there, a damaged manifest, or a format newer than this library.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: there is no model here (no {MANIFEST})") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path}: is not the manifest of a coldtune model")
    found = manifest.get("format_version")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: the model has format {found}, this library reads up to {FORMAT_VERSION}; "
            "update coldtune"
        )
    if manifest.get("sha256") != _digest(manifest):
        raise ArtifactError(f"{path}: has been changed or damaged")
    return manifest


def verify_files(folder: Path, manifest: dict[str, Any]) -> Path:
    """Check every file of the current generation; return its folder.

    A mutable file only has to be there; its owner checks its content.
    Raises ArtifactError naming the file that is missing, changed, or outside the folder.
    """
    generation = folder / str(manifest["generation"])
    if not _inside(generation, folder):
        raise ArtifactError(f"{folder / MANIFEST}: names a folder outside the model")
    for name, expected in manifest["files"].items():
        path = generation / name
        if not _inside(path, generation):
            raise ArtifactError(f"{folder / MANIFEST}: names a file outside the model: {name!r}")
        if not path.is_file():
            raise ArtifactError(f"{path}: a file of the model is missing")
        if expected["mutable"]:
            continue
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise ArtifactError(
                f"{path}: has {size:,} bytes instead of {expected['bytes']:,}; the model is damaged"
            )
        if file_digest(path) != expected["sha256"]:
            raise ArtifactError(f"{path}: has been changed or damaged")
    return generation


def save_array(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Write ``name``.npy."""
    np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_array(folder: Path, name: str) -> NDArray[Any]:
    """An array that :func:`save_array` wrote, memory-mapped and read-only."""
    path = folder / f"{name}.npy"
    try:
        # An empty array cannot be mapped, but it costs nothing to read.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    return array


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a model is."""
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def _ours(path: Path) -> bool:
    return path.name.startswith("g-") or path.name.startswith(f".{MANIFEST}")


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve()) and path.resolve() != folder.resolve()


def _digest(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
