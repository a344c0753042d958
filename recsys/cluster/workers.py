"""What runs in the workers' processes: models and encoders, opened once in each and checked."""

import os
import socket
import tarfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.errors import ArtifactError, ClusterError
from datasets.versions import package_versions
from recsys.model.artifact import library_versions
from recsys.recommender import Recommender

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from embedding.encoders.protocol import Encoder
    from recsys.audio.recordings import RecordingEmbedder


@dataclass(frozen=True)
class SharedFolder:
    """A folder that every worker can open: on a file system that all have, or sent to each."""

    path: str
    """Where it is; for one that was sent, its name among the session's files."""

    sent: bool = False
    """Whether the engine has copied it to the workers."""

    def here(self) -> Path:
        """Where it is on this machine.

        Raises:
            ClusterError: it is not here.
        """
        from pyspark import SparkFiles

        found = Path(SparkFiles.get(self.path)) if self.sent else Path(self.path)
        if not found.is_dir():
            raise ClusterError(
                f"{found}: there is no such folder on the worker {socket.gethostname()}; put it on "
                "a file system that all workers have, or have it sent to them (ship)"
            )
        return found


def shared_folder(spark: "SparkSession", folder: str | Path, *, ship: bool) -> SharedFolder:
    """Make a folder available to all workers.

    Args:
        spark: the session.
        folder: the folder, on this machine.
        ship: have the engine copy it to every executor; else all machines see it by its path.

    Raises:
        ClusterError: it cannot be sent.
    """
    place = Path(folder).absolute()
    if not ship:
        return SharedFolder(str(place))
    name = f"coldtune-{os.getpid()}-{abs(hash((str(place), place.stat().st_mtime_ns))):x}"
    # Among the session's own files: workers ask for it when they begin, and so it has to stay.
    archive = Path(spark.sparkContext._temp_dir) / f"{name}.tar"
    with tarfile.open(archive, "w") as tar:  # not compressed: arrays hardly shrink
        for path in sorted(place.iterdir()):
            if path.name != ".lock":
                tar.add(path, arcname=path.name)
    spark.sparkContext.addArchive(f"{archive}#{name}")
    return SharedFolder(name, sent=True)


@dataclass(frozen=True)
class SharedModel:
    """A saved model, in one state, as workers open it."""

    folder: SharedFolder
    generation: str | None
    revision: tuple[str, int]
    """Of the song database: what it holds since the fit."""
    versions: tuple[tuple[str, str], ...]
    """Libraries that the result may depend on."""

    @classmethod
    def of(cls, model: Recommender, folder: SharedFolder) -> "SharedModel":
        """Describe the state of a model that was loaded from the folder."""
        live = model.live
        return cls(folder, live.generation, live.revision, versions())

    def open(self) -> Recommender:
        """Return the model, opened once in each process.

        Raises:
            ClusterError: it is not here, it is another one or in another state, or this machine
                has other libraries.
        """
        return _opened_model(self)


@dataclass(frozen=True)
class SharedEncoder:
    """A saved encoder, or that of a saved model, as workers open it."""

    folder: SharedFolder | None
    """None for one that is known by name."""
    name: str
    digest: str
    versions: tuple[tuple[str, str], ...]

    def open(self) -> "RecordingEmbedder":
        """Return what embeds recordings by it, opened once in each process.

        Raises:
            ClusterError: it is not here, it is another one, or this machine has other libraries.
            EncoderUnavailableError: a part of it is not here.
        """
        return _opened_encoder(self)


def versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the libraries that embeddings and lists depend on."""
    found = {**library_versions(), **package_versions(["coldtune"])}
    return tuple(sorted(found.items()))


def check_versions(wanted: tuple[tuple[str, str], ...]) -> None:
    """Raise ClusterError if this machine has other versions than the program that asks."""
    here = dict(versions())
    for name, version in wanted:
        if here.get(name) != version:
            raise ClusterError(
                f"the worker {socket.gethostname()} has {name} {here.get(name, 'not installed')}, "
                f"and the program that asks {version}: results would differ; install the same"
            )


def one_thread() -> AbstractContextManager[Any]:
    """Limit this process to one thread: the engine runs as many tasks as there are cores."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


@cache
def _opened_model(wanted: SharedModel) -> Recommender:
    check_versions(wanted.versions)
    _one_core()
    folder = wanted.folder.here()
    try:
        model = Recommender.load(folder)
    except ArtifactError as error:
        raise ArtifactError(f"on the worker {socket.gethostname()}: {error}") from None
    live = model.live
    if (live.generation, live.revision) != (wanted.generation, wanted.revision):
        raise ClusterError(
            f"{folder}: the model on the worker {socket.gethostname()} is not in the state in "
            "which the job was started: it was changed since, or is an older copy; start again"
        )
    return model


@cache
def _opened_encoder(wanted: SharedEncoder) -> "RecordingEmbedder":
    from recsys.audio.recordings import RecordingEmbedder

    check_versions(wanted.versions)
    _one_core()
    encoder = open_shared_encoder(None if wanted.folder is None else wanted.folder.here(),
                                  wanted.name)  # fmt: skip
    if encoder.digest() != wanted.digest:
        raise ClusterError(
            f"{wanted.name}: the encoder on the worker {socket.gethostname()} is another one than "
            "that of the program that asks"
        )
    import torch

    torch.set_num_threads(1)
    embedder = RecordingEmbedder(encoder)
    embedder.check()
    return embedder


def open_shared_encoder(folder: Path | None, name: str) -> "Encoder":
    """Open an encoder by its folder, or by its name."""
    from embedding.encoders.loading import named_encoder
    from recsys.model.storage import open_encoder

    return named_encoder(name) if folder is None else open_encoder(folder)


def _one_core() -> None:
    """Have what counts cores count one: tasks are what runs side by side."""
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
