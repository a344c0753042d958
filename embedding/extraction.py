"""Recordings to hyper-images on all cores, with a cache on disk."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from datasets.errors import ArtifactError, AudioError, InvalidArgumentError
from embedding.audio import snippets_of
from embedding.cache import ImageCache, read_entry, write_entry
from embedding.config import HyperImageConfig, SnippetConfig
from embedding.hyperimage import hyperimage
from embedding.pool import Crashed, in_processes
from embedding.progress import progress_bar
from embedding.recording_source import RecordingFile, Source, on_disk

Array = NDArray[np.float32]

CODE_VERSION = 1
"""Raised whenever the same settings give other values, so that old cache entries are not used."""

FEW_FILES = 8
"""Up to so many files are read in this process: starting others would take longer."""


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used."""

    path: Path
    """The file; for bytes and file objects a temporary one, which is gone."""

    message: str
    """One line that names the recording and says why."""


@dataclass(frozen=True, eq=False)
class Extraction:
    """Hyper-images of recordings."""

    images: Array
    """float32 [n_images, channels, height, width], in the order of the recordings."""

    recording: NDArray[np.int64]
    """For each image the position of its recording among those that were given."""

    failures: tuple[Failure, ...]
    """Recordings without images."""

    extracted: int
    """Recordings that were decoded, as opposed to read from the cache."""


def extract(
    recordings: Sequence[Source],
    snippet: SnippetConfig,
    hyperimage: HyperImageConfig,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Extraction:
    """Hyper-images of recordings; one that cannot be used is reported, not raised.

    Args:
        recordings: paths, contents as bytes, or binary file objects.
        snippet: which parts of them.
        hyperimage: which picture.
        workers: processes that decode, so that not even a crash in a decoder costs more than its
            file. None: one for each core, or this process alone for a few files. 0: this process.
        cache: folder that keeps the images, keyed by the content of the file and the settings; a
            second run decodes nothing, an interrupted one goes on where it was.
        progress: show a progress bar.

    Raises:
        AudioError: a file object cannot be read to its end.
        InvalidArgumentError: ``workers`` is negative, or something is no recording.
        ArtifactError: the cache's folder cannot be made.
    """
    if workers is not None and workers < 0:
        raise InvalidArgumentError(f"workers must be 0 or more, not {workers}")
    results: dict[int, Array | str] = {}
    with (
        on_disk(recordings) as files,
        progress_bar("reading recordings", len(files), shown=progress) as advance,
    ):
        jobs = []
        for job, cached in _look_up(files, snippet, hyperimage, cache):
            if cached is None:
                jobs.append(job)
            else:
                results[job.number] = cached
                advance(1)
        extracted = 0
        for job, result in _run(jobs, workers):
            results[job.number] = result
            extracted += not isinstance(result, str)
            advance(1)
    return _assembled(files, results, hyperimage, extracted)


@dataclass(frozen=True)
class _Job:
    """One recording to be decoded."""

    number: int
    file: RecordingFile
    snippet: SnippetConfig
    hyperimage: HyperImageConfig
    entry: Path | None
    """Where its images are kept."""


def _look_up(
    files: list[RecordingFile], snippet: SnippetConfig, config: HyperImageConfig, cache: Path | None
) -> Iterator[tuple[_Job, Array | None]]:
    """The job of each file, and its images if the cache has them."""
    if cache is None:
        for number, file in enumerate(files):
            yield _Job(number, file, snippet, config, None), None
        return
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"{cache}: the cache cannot be made there: {error.strerror}") from error
    images = ImageCache(Path(cache), f"{CODE_VERSION} {snippet.digest()} {config.digest()}")
    shape = (config.channels, config.height, config.width)

    def look_up(number: int) -> tuple[_Job, Array | None]:
        try:
            entry = images.entry(files[number].path)
        except (OSError, ValueError):
            # Reported with its reason when it is decoded.
            return _Job(number, files[number], snippet, config, None), None
        return _Job(number, files[number], snippet, config, entry), read_entry(entry, shape)

    # Threads are enough: hashing and reading release Python's lock.
    with ThreadPoolExecutor(available_cores()) as threads:
        yield from threads.map(look_up, range(len(files)))


def _run(jobs: list[_Job], workers: int | None) -> Iterator[tuple[_Job, Array | str]]:
    if not jobs:
        return
    if workers == 0 or (workers is None and len(jobs) <= FEW_FILES):
        with threadpool_limits(1):
            for job in jobs:
                yield job, _images_or_reason(job)
        return
    workers = min(workers or available_cores(), len(jobs))
    for job, result in in_processes(_images_or_reason, jobs, workers):
        if isinstance(result, Crashed):
            yield job, f"{job.file.name}: the decoder crashed on it"
        else:
            yield job, result


def _images_or_reason(job: _Job) -> Array | str:
    """Images [n, channels, height, width] of a recording, or why there are none."""
    try:
        wanted = job.hyperimage
        snippets = snippets_of(
            job.file, job.snippet, wanted.sample_rate, channels=wanted.sound_channels
        )
        try:
            images = np.stack([hyperimage(found.samples, wanted) for found in snippets])
        except AudioError as error:
            return f"{job.file.name}: {error}"
    except AudioError as error:
        return str(error)
    except Exception as error:
        # Whatever else an odd file brings about, it must not cost the other thousand.
        return f"{job.file.name}: cannot be used ({type(error).__name__}: {error})"
    if job.entry:
        # A full disk costs the cache, not the images.
        with suppress(OSError):
            write_entry(job.entry, images)
    return images


def _assembled(
    files: list[RecordingFile],
    results: dict[int, Array | str],
    config: HyperImageConfig,
    extracted: int,
) -> Extraction:
    good = [n for n in range(len(files)) if not isinstance(results[n], str)]
    parts = [np.asarray(results[n], dtype=np.float32) for n in good]
    empty = np.empty((0, config.channels, config.height, config.width), dtype=np.float32)
    return Extraction(
        images=np.concatenate(parts) if parts else empty,
        recording=np.repeat(np.array(good, dtype=np.int64), [len(part) for part in parts]),
        failures=tuple(
            Failure(files[n].path, message)
            for n in range(len(files))
            if isinstance(message := results[n], str)
        ),
        extracted=extracted,
    )


def available_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
