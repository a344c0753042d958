"""Training and testing of cross-validation folds, in processes, with results kept on disk."""

import hashlib
import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float64Array, IntArray, StrArray
from datasets.errors import ArtifactError, EvaluationError
from datasets.system.files import atomic_write
from evaluation.neighbours import retrieval_precision

_NEIGHBOURS: Final = 10
"""Nearest neighbours of each tested recording."""

_DIGEST_FORMAT: Final = 1


class GenreClassifier(Protocol):
    """Anything that learns labels of images, such as ``embedding.SongEncoder``.

    If its ``fit`` takes ``recording`` (the recording that each image is a window of),
    ``checkpoint`` (a folder) or ``progress`` (a bool), they are passed. If it has a method
    ``embed_recordings``, as `embedding.SongEncoder` has it, the nearest neighbours of the tested
    recordings are measured as well; with an attribute ``reads_sequences = True``, all windows of a
    recording are given to it together, for the probabilities too. If it has an attribute
    ``gives_probabilities = False``, the values of ``predict_proba`` are only used to rank labels,
    and no loss is computed.

    Examples:
        >>> from evaluation import genre_cross_validation
        >>> class Commonest:
        ...     def fit(self, images, labels, groups=None):
        ...         self.classes_, counts = np.unique(labels.astype(str), return_counts=True)
        ...         self.shares = counts / counts.sum()
        ...     def predict_proba(self, images):
        ...         return np.tile(self.shares, (len(images), 1))
        >>> result = genre_cross_validation(images, labels, list(range(24)), Commonest, folds=3)
        >>> result.mean["precision@3"]
        1.0
    """

    @property
    def classes_(self) -> Iterable[str]:
        """Labels in the order of the columns of ``predict_proba``."""

    def fit(self, images: NDArray[Any], labels: Any, groups: Any = None) -> Any:
        """Train on images [n, channels, height, width] with a label and a group (artist) each."""

    def predict_proba(self, images: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Predict the probability of every class, [n, n_classes]."""


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Class probabilities predicted for the images of one test fold."""

    classes: list[str]
    probability: Float64Array
    """[n_test_images, n_classes], in the order of the images."""
    calibrated: bool
    """Whether these are probabilities, rather than values that only rank."""
    seconds: float
    """Duration of training and testing."""
    neighbours: float = float("nan")
    """See ``genre_cross_validation``; NaN for a classifier without embeddings."""
    kept: bool = False
    """Whether the result was read from disk rather than computed now."""


@dataclass(frozen=True, eq=False)
class FoldJob:
    """One fold to train and test."""

    number: int
    """From 1."""
    images: NDArray[Any] | Path
    """All images, or an .npy file of them that another process maps into memory."""
    labels: StrArray
    """Label of every image."""
    groups: StrArray
    """Artist of every image."""
    training: IntArray
    """Rows of the training images."""
    test: IntArray
    """Rows of the test images."""
    recording: IntArray
    """Recording that each image is a window of; what is tested together."""
    factory: Callable[[], GenreClassifier]
    """Makes an untrained classifier."""
    file: Path | None = None
    """File that keeps the result; None to keep nothing."""
    progress: bool = False


def run_folds(
    jobs: list[FoldJob], workers: int, images_file: Callable[[], Path]
) -> Iterator[tuple[FoldJob, FoldScores]]:
    """Train and test folds, and yield results as they are ready; results on disk come first.

    Args:
        jobs: the folds.
        workers: processes; with 1 the work is done in this process.
        images_file: writes the images to an .npy file for other processes; called only if needed.

    Yields:
        Each job and its result.

    Raises:
        EvaluationError: a process died.
    """
    waiting = []
    for job in jobs:
        stored = None if job.file is None else read_scores(job.file, len(job.test))
        if stored is None:
            waiting.append(job)
        else:
            yield job, stored
    if workers <= 1 or len(waiting) <= 1:
        for job in waiting:
            yield job, run_fold(job)
        return
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
    """Train on one part of the images, predict the rest, and write the result to ``job.file``."""
    images = np.load(job.images, mmap_mode="r") if isinstance(job.images, Path) else job.images
    started = time.perf_counter()
    classifier = job.factory()
    parameters = inspect.signature(classifier.fit).parameters
    options: dict[str, Any] = {}
    checkpoint = None if job.file is None else job.file.with_suffix(".training")
    if "checkpoint" in parameters and checkpoint is not None:
        options["checkpoint"] = checkpoint
    if "progress" in parameters:
        options["progress"] = job.progress
    if "recording" in parameters:
        options["recording"] = job.recording[job.training]
    classifier.fit(
        images[job.training], job.labels[job.training], groups=job.groups[job.training], **options
    )
    scores = FoldScores(
        [str(name) for name in classifier.classes_],
        np.asarray(_probability(classifier, images[job.test], job), dtype=np.float64),
        getattr(classifier, "gives_probabilities", True),
        time.perf_counter() - started,
        _neighbours(classifier, images, job),
    )
    if job.file is not None:
        write_scores(job.file, scores)
        shutil.rmtree(job.file.with_suffix(".training"), ignore_errors=True)
    return scores


def _probability(
    classifier: GenreClassifier, images: NDArray[Any], job: FoldJob
) -> NDArray[np.floating[Any]]:
    """Probabilities of the tested images: [n, n_classes]."""
    if not getattr(classifier, "reads_sequences", False):
        return classifier.predict_proba(images)
    _, position = np.unique(job.recording[job.test], return_inverse=True)
    _, scores = classifier.embed_recordings(images, position)  # type: ignore[attr-defined]
    of_recordings: NDArray[np.floating[Any]] = next(iter(scores.values()))
    return of_recordings[position]


def _neighbours(classifier: GenreClassifier, images: NDArray[Any], job: FoldJob) -> float:
    """Mean share of a tested recording's nearest by other artists that have its label."""
    embed = getattr(classifier, "embed_recordings", None)
    if embed is None:
        return float("nan")
    rows = np.sort(np.concatenate([job.training, job.test]))
    _, first, position = np.unique(job.recording[rows], return_index=True, return_inverse=True)
    vectors, _ = embed(images[rows], position)
    found = retrieval_precision(
        vectors - vectors.mean(axis=0),
        job.labels[rows[first]],
        _NEIGHBOURS,
        groups=job.groups[rows[first]],
        queries=np.unique(position[np.isin(rows, job.test)]),
    )
    return float(found.precision.mean()) if found.precision.size else float("nan")


def write_scores(path: Path, scores: FoldScores) -> None:
    """Write a fold's result to disk.

    Raises:
        ArtifactError: the file cannot be written.
    """
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                classes=np.array(scores.classes, dtype=np.str_),
                probability=scores.probability,
                calibrated=np.array(scores.calibrated),
                seconds=np.array(scores.seconds),
                neighbours=np.array(scores.neighbours),
            )
    except OSError as error:
        raise ArtifactError(f"{path}: the fold cannot be kept there: {error.strerror}") from error


def read_scores(path: Path, n: int) -> FoldScores | None:
    """Read a fold's result; None unless the file is intact and holds ``n`` test images."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            classes, probability = stored["classes"].tolist(), stored["probability"]
            calibrated, seconds = bool(stored["calibrated"]), float(stored["seconds"])
            neighbours = float(stored["neighbours"])
    except Exception:
        # Whatever is wrong with the file, the fold is simply computed again.
        return None
    if probability.shape != (n, len(classes)):
        return None
    return FoldScores(classes, probability, calibrated, seconds, neighbours, kept=True)


def data_digest(images: NDArray[Any], *columns: NDArray[Any]) -> str:
    """Compute the hex SHA-256 of images and of columns that describe them."""
    digest = hashlib.sha256(json.dumps([_DIGEST_FORMAT, images.shape, images.dtype.str]).encode())
    for start in range(0, len(images), 256):
        digest.update(np.ascontiguousarray(images[start : start + 256]).tobytes())
    for column in columns:
        digest.update(json.dumps([str(value) for value in column.tolist()]).encode())
    return digest.hexdigest()


def available_memory() -> int | None:
    """Return how many bytes this process can still allocate; None if the system does not say."""
    limits = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        limits += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    with suppress(OSError, ValueError):  # the limit of a container
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        limits.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    if not limits:
        with suppress(OSError, ValueError, AttributeError):
            limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    return min(limits, default=None)
