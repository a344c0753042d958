"""One fold after the other or several at once, each kept on disk as soon as it is done."""

import hashlib
import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float64Array, IntArray
from datasets.errors import ArtifactError, EvaluationError
from datasets.files import atomic_write

Images = NDArray[Any]
FORMAT = 1


class Encoder(Protocol):
    """What is cross-validated: anything that learns labels of images, such as a SongEncoder.

    Where its ``fit`` takes ``checkpoint`` (a folder) or ``progress`` (a truth value), it is given
    them. Where it has ``gives_probabilities = False``, what ``predict_proba`` returns only ranks,
    and no loss is computed of it.
    """

    @property
    def classes_(self) -> Iterable[str]:
        """Labels in the order of the columns of ``predict_proba``."""

    def fit(self, images: Images, labels: Any, groups: Any = None) -> Any:
        """Learn from images [n, channels, height, width], a label and a group each."""

    def predict_proba(self, images: Images) -> NDArray[np.floating[Any]]:
        """Probability of every class, [n, classes]."""


@dataclass(frozen=True, eq=False)
class FoldScores:
    """What a classifier said of one fold's windows."""

    classes: list[str]
    probability: Float64Array
    """[windows tested, classes], in the order of the windows."""
    calibrated: bool
    """Whether they are probabilities, and not numbers that only rank."""
    seconds: float
    """Time that training and testing took."""
    kept: bool = False
    """Whether it was read from the disk and not computed now."""


@dataclass(frozen=True, eq=False)
class FoldJob:
    """One fold to be trained and tested."""

    number: int
    """From 1."""
    images: Images | Path
    """All images, or an .npy file of them for another process to map."""
    labels: NDArray[Any]
    """Of every image."""
    groups: NDArray[Any]
    training: IntArray
    """Positions of images."""
    test: IntArray
    factory: Callable[[], Encoder]
    entry: Path | None = None
    """Where the result is kept."""
    progress: bool = False


def run_folds(
    jobs: list[FoldJob], workers: int, images_file: Callable[[], Path]
) -> Iterator[tuple[FoldJob, FoldScores]]:
    """Results as they are ready; those that were kept come first.

    ``workers``: processes; with 1 the work is done in this one. ``images_file`` writes the images
    where other processes can map them; it is asked only where that is needed.
    """
    waiting = []
    for job in jobs:
        kept = None if job.entry is None else read_scores(job.entry, len(job.test))
        if kept is None:
            waiting.append(job)
        else:
            yield job, kept
    if workers <= 1 or len(waiting) <= 1:
        for job in waiting:
            yield job, run_fold(job)
        return
    from dataclasses import replace

    from embedding.parallel import Crashed, in_processes

    shared = images_file()
    sent = [replace(job, images=shared, progress=False) for job in waiting]
    for job, result in in_processes(run_fold, sent, min(workers, len(sent))):
        if isinstance(result, Crashed):
            raise EvaluationError(
                f"fold {job.number}: its process died, perhaps for want of memory; finished folds"
                " are kept, and fewer jobs at once need less"
            )
        yield job, result


def run_fold(job: FoldJob) -> FoldScores:
    """Train on some images, predict the others, and keep the result where that is asked for."""
    images = np.load(job.images, mmap_mode="r") if isinstance(job.images, Path) else job.images
    started = time.perf_counter()
    encoder = job.factory()
    taken = inspect.signature(encoder.fit).parameters
    options: dict[str, Any] = {}
    checkpoint = None if job.entry is None else job.entry.with_suffix(".training")
    if "checkpoint" in taken and checkpoint is not None:
        options["checkpoint"] = checkpoint
    if "progress" in taken:
        options["progress"] = job.progress
    encoder.fit(
        images[job.training], job.labels[job.training], groups=job.groups[job.training], **options
    )
    probability = np.asarray(encoder.predict_proba(images[job.test]), dtype=np.float64)
    scores = FoldScores(
        [str(name) for name in encoder.classes_],
        probability,
        getattr(encoder, "gives_probabilities", True),
        time.perf_counter() - started,
    )
    if job.entry is not None:
        write_scores(job.entry, scores)
        shutil.rmtree(job.entry.with_suffix(".training"), ignore_errors=True)
    return scores


def write_scores(entry: Path, scores: FoldScores) -> None:
    """Keep a fold's result. Raises ArtifactError where it cannot be written."""
    try:
        with atomic_write(entry) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                classes=np.array(scores.classes, dtype=np.str_),
                probability=scores.probability,
                calibrated=np.array(scores.calibrated),
                seconds=np.array(scores.seconds),
            )
    except OSError as error:
        raise ArtifactError(f"{entry}: the fold cannot be kept there: {error.strerror}") from error


def read_scores(entry: Path, n: int) -> FoldScores | None:
    """A fold's result; None where there is none of ``n`` windows that can be read."""
    try:
        with np.load(entry, allow_pickle=False) as stored:
            classes, probability = stored["classes"].tolist(), stored["probability"]
            calibrated, seconds = bool(stored["calibrated"]), float(stored["seconds"])
    except Exception:
        # Whatever is wrong with it: what cannot be read is computed again.
        return None
    if probability.shape != (n, len(classes)):
        return None
    return FoldScores(classes, probability, calibrated, seconds, kept=True)


def data_digest(images: Images, *columns: NDArray[Any]) -> str:
    """Hex SHA-256 of images and of what is known of them."""
    digest = hashlib.sha256(json.dumps([FORMAT, images.shape, images.dtype.str]).encode())
    for start in range(0, len(images), 256):
        digest.update(np.ascontiguousarray(images[start : start + 256]).tobytes())
    for column in columns:
        digest.update(json.dumps([str(value) for value in column.tolist()]).encode())
    return digest.hexdigest()


def available_memory() -> int | None:
    """Bytes that this process could still take; None where the system does not say."""
    limits = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        limits += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    with suppress(OSError, ValueError):  # what a container is allowed
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        limits.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    if not limits:
        with suppress(OSError, ValueError, AttributeError):
            limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    return min(limits, default=None)
