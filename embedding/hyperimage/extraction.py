"""Extract hyper-images, or other inputs of encoders, from many recordings on all cores."""

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from datasets.arrays import Float32Array, IntArray
from datasets.errors import AudioError, InvalidArgumentError
from datasets.progress import progress_bar
from datasets.system.files import file_digest
from embedding.audio.config import SnippetConfig
from embedding.audio.front_end import FrontEnd
from embedding.audio.snippets import Snippet, map_snippets, snippets_ahead
from embedding.audio.source import AudioSource, RecordingFile, on_disk
from embedding.decoding.sound_digest import sound_digest
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.front_end import HyperImageFrontEnd
from embedding.hyperimage.inputs import AnyInputs, Inputs, InputsCollector
from embedding.hyperimage.store import ImageStore
from embedding.parallel import Crashed, available_cores, in_processes

WAITING = 64
"""Maximum number of recordings that wait in memory for an earlier one."""


class OrderedResults:
    """Collects images that arrive in any order, and keeps them in the order of the recordings.

    Images are kept in the store, or in memory without one.
    """

    def __init__(self, store: ImageStore | None, digests: Sequence[str | None]) -> None:
        """Look up which recordings the store already has.

        Args:
            store: where images are kept; None keeps them in memory.
            digests: digest of the content of each recording; None if it cannot be read.
        """
        self.failures: dict[int, str] = {}
        self._store = store
        self._digests = digests
        self._waiting: dict[int, Float32Array] = {}
        self._next = 0
        self._arrays: dict[int, Float32Array] = {}
        self._rows: dict[int, IntArray] = {}
        if store is not None:
            found = store.find(digest for digest in digests if digest)
            self._rows = {n: found[d] for n, d in enumerate(digests) if d in found}

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def take(self, number: int, result: Float32Array | str) -> None:
        """Add the images of a recording, or the reason why it has none."""
        if isinstance(result, str):
            self.failures[number] = result
        else:
            self._waiting[number] = result
        # Written in the order of the recordings, so that a later run reads consecutive rows.
        while self._is_done(self._next):
            self._write(self._next)
            self._next += 1
        if len(self._waiting) > WAITING:
            self.finish()

    def finish(self) -> None:
        """Write all waiting images, although an earlier recording is missing."""
        for number in sorted(self._waiting):
            self._write(number)

    def _is_done(self, number: int) -> bool:
        places = (self._waiting, self._rows, self._arrays, self.failures)
        return any(number in place for place in places)

    def _write(self, number: int) -> None:
        images = self._waiting.pop(number, None)
        if images is None:
            return
        digest = self._digests[number]
        if self._store is not None and digest:
            # If the disk is full the images are kept in memory.
            with suppress(OSError):
                self._rows[number] = self._store.add(digest, images)
                return
        self._arrays[number] = images

    def images(self, shape: tuple[int, ...]) -> tuple[Float32Array, IntArray]:
        """Return all images as one array [n, *shape], and the recording number of each."""
        numbers = sorted(self._rows.keys() | self._arrays.keys())
        counts = [len(self._rows[n] if n in self._rows else self._arrays[n]) for n in numbers]
        recording = np.repeat(np.array(numbers, dtype=np.int64), counts)
        if not numbers:
            return np.empty((0, *shape), dtype=np.float32), recording
        if self._store is not None and not self._arrays:
            return self._store.images(np.concatenate([self._rows[n] for n in numbers])), recording
        parts = [
            self._store.images(self._rows[n])
            if self._store is not None and n in self._rows
            else self._arrays[n]
            for n in numbers
        ]
        return np.concatenate(parts, dtype=np.float32), recording


FAILURES_NAMED = 3
"""Recordings that an error names where none of them can be used."""

AHEAD_SUFFIXES = frozenset({".m4a", ".m4b", ".mp4", ".aac"})
"""Suffixes of recordings that ffmpeg decodes, and whose length is known without it."""

AHEAD_FILES = 8
"""Recordings that one run of ffmpeg decodes."""

FEW_FILES = 8
"""Up to this many files are read in this process; starting others would take longer."""


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used; see `Extraction`.

    Examples:
        >>> from embedding.hyperimage import HyperImageConfig, extract
        >>> from embedding.audio import SnippetConfig
        >>> extract(["none.mp3"], SnippetConfig(), HyperImageConfig()).failures[0].message
        'none.mp3: no such file'
    """

    path: Path
    """The file; for bytes and file objects a temporary file that no longer exists."""

    message: str
    """One line with the name of the recording and the reason."""


@dataclass(frozen=True, eq=False, repr=False)
class Extraction:
    """Result of `extract`.

    Examples:
        >>> from embedding.audio import SnippetConfig
        >>> from embedding.hyperimage import HyperImageConfig, extract
        >>> found = extract([recording], SnippetConfig(count=2), HyperImageConfig())
        >>> found.images.shape, found.recording.tolist()
        ((2, 1, 128, 128), [0, 0])
    """

    images: Float32Array
    """float32 [n_images, channels, height, width], in the order of the recordings. With a cache it
    is memory-mapped if possible, so it may be larger than the memory. Of `extract_inputs`: the
    inputs [n, *input_shape] of its front end."""

    recording: IntArray
    """Position of the recording of each image in the list given to `extract`."""

    failures: tuple[Failure, ...]
    """Recordings without images."""

    extracted: int
    """Number of recordings that were decoded and not read from the cache."""

    def __repr__(self) -> str:
        return (
            f"<Extraction: {len(self.images):,} images; {len(self.failures):,} recordings could "
            "not be used>"
        )

    def none_usable(self) -> str:
        """Return a message that none of the recordings can be used, with the first reasons."""
        return none_usable([failure.message for failure in self.failures])


def none_usable(reasons: Sequence[str]) -> str:
    """Return a message that none of some recordings can be used, with the first reasons."""
    more = len(reasons) - FAILURES_NAMED
    rest = [f"and {more:,} more"] if more > 0 else []
    said = "; ".join([*reasons[:FAILURES_NAMED], *rest])
    return f"none of the {len(reasons):,} recordings can be used: {said}"


def extract(
    recordings: Sequence[AudioSource],
    snippet: SnippetConfig,
    hyperimage: HyperImageConfig,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Extraction:
    """Compute the hyper-images of recordings.

    A recording that cannot be used is reported in the result instead of raising.

    Args:
        recordings: paths, bytes, or binary file objects.
        snippet: which parts of each recording.
        hyperimage: size and bands of the images.
        workers: number of decoding processes; even a crash in a decoder then affects only one
            file. None: one a core, or this process alone for a few files. 0: this process.
        cache: folder of an `embedding.hyperimage.ImageStore` that keeps the images, keyed
            by the content of the file and the settings. A second run decodes nothing, and an
            interrupted run is continued. `embedding.hyperimage.prune` limits its size.
        progress: show a progress bar.

    Raises:
        AudioError: a file object cannot be read to its end.
        InvalidArgumentError: ``workers`` is negative, or a source is not a path, bytes or file
            object.
        ArtifactError: the cache folder cannot be created.

    Examples:
        >>> from embedding.audio import SnippetConfig
        >>> from embedding.hyperimage import HyperImageConfig, extract
        >>> cache = folder / "cache"
        >>> for _ in range(2):
        ...     found = extract([recording], SnippetConfig(), HyperImageConfig(), cache=cache)
        ...     print(found.images.shape, found.extracted)
        (1, 1, 128, 128) 1
        (1, 1, 128, 128) 0
    """
    front_end = HyperImageFrontEnd(snippet=snippet, hyperimage=hyperimage)
    return extract_inputs(recordings, front_end, workers=workers, cache=cache, progress=progress)


def extract_inputs(
    recordings: Sequence[AudioSource],
    front_end: FrontEnd,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Extraction:
    """Compute the inputs of an encoder for many recordings, as `extract` does for hyper-images.

    Args:
        recordings: as in `extract`.
        front_end: that of the encoder. Inputs that it does not store are all held in memory.
        workers: as in `extract`.
        cache: as in `extract`; used for what the front end stores.
        progress: as in `extract`.

    Raises:
        AudioError, InvalidArgumentError, ArtifactError: as `extract`.
    """
    if workers is not None and workers < 0:
        raise InvalidArgumentError(f"workers must be 0 or more, not {workers}")
    shape, kind = front_end.input_shape, front_end.stored_as
    with ExitStack() as stack:
        files = stack.enter_context(on_disk(recordings))
        advance = stack.enter_context(
            progress_bar("reading recordings", len(files), shown=progress)
        )
        store = None
        digests: list[str | None] = [None] * len(files)
        if cache is not None and kind is not None:
            store = stack.enter_context(ImageStore(cache, kind, shape))
            digests = content_digests(files)
        collected = OrderedResults(store, digests)
        jobs = [
            _ExtractionJob(number, file, front_end)
            for number, file in enumerate(files)
            if number not in collected
        ]
        advance(len(files) - len(jobs))
        try:
            for job, result in _run(jobs, workers):
                collected.take(
                    job.number, result if isinstance(result, str) else _in_memory(result)
                )
                advance(1)
        finally:
            collected.finish()
        images, recording = collected.images(shape)
        failures = tuple(
            Failure(files[number].path, message)
            for number, message in sorted(collected.failures.items())
        )
    return Extraction(images, recording, failures, len(jobs) - len(failures))


class RecordingJob(Protocol):
    """One recording from which snippets are to be read."""

    @property
    def file(self) -> RecordingFile:
        """The recording."""
        ...

    @property
    def snippet(self) -> SnippetConfig:
        """Which snippets; the same in all jobs that are given together."""
        ...

    def is_known(self) -> bool:
        """Return whether nothing need be decoded."""
        ...


_Job = TypeVar("_Job", bound=RecordingJob)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class DecodingJob:
    """One recording to be decoded by `decode_recording` in another process."""

    file: RecordingFile
    front_end: FrontEnd
    known: frozenset[str] = frozenset()
    """Digests of contents whose inputs are not needed."""
    folder: Path | None = None
    """Where the inputs of a long recording are written; None keeps them in memory."""

    @property
    def snippet(self) -> SnippetConfig:
        """Which snippets are read."""
        return self.front_end.snippet

    def is_known(self) -> bool:
        """Return whether the inputs of this recording are not needed."""
        try:
            return bool(self.known) and file_digest(self.file.path) in self.known
        except (OSError, ValueError):
            return False


@dataclass(frozen=True, eq=False)
class DecodedRecording:
    """Result of `decode_recording`."""

    digest: str
    """Hex SHA-256 of the content."""

    inputs: AnyInputs | None
    """float32 [n, *input_shape] of the front end; None if the content is in ``known``."""

    sound: str = ""
    """Digest of its audio without tags; see `embedding.decoding.sound_digest`."""

    rate: int = 0
    """Sample rate of the file, Hz."""


def decode_recording(job: DecodingJob) -> DecodedRecording | str:
    """Return digests of a recording and the inputs of its encoder, or an error naming it."""
    digest = sound = ""
    before = None
    # What is wrong with a file that cannot be read is for decoding to report.
    with suppress(OSError, ValueError):
        if job.file.path.is_file():  # opening a pipe would wait
            before = job.file.path.stat()
            digest = file_digest(job.file.path)
    if digest in job.known:
        return DecodedRecording(digest, None)
    heard = _images_or_reason(_ExtractionJob(0, job.file, job.front_end, job.folder))
    if isinstance(heard, str):
        return heard
    with suppress(OSError, ValueError):
        sound = sound_digest(job.file.path)
        after = job.file.path.stat()
        if before is None or (before.st_size, before.st_mtime_ns) != (
            after.st_size,
            after.st_mtime_ns,
        ):
            return f"{job.file.name}: was changed while it was read"
    return DecodedRecording(digest, heard.values, sound, heard.rate)


def in_processes_ahead(
    function: Callable[[_Job], _Result], jobs: Sequence[_Job], workers: int
) -> Generator[tuple[_Job, _Result | Crashed], None, None]:
    """Apply a function to recordings in several processes, as `in_processes` does.

    Recordings that need ffmpeg are decoded several at a time, as starting it takes several times
    as long as decoding a snippet.

    Args:
        function: importable function of one job, which reads the snippets of its recording.
        jobs: the recordings.
        workers: number of processes.

    Yields:
        (job, result) in order of completion.
    """
    one_by_one = functools.partial(_one_by_one, function)
    with closing(in_processes(one_by_one, _groups(jobs, workers), workers)) as done:
        for group, results in done:
            if not isinstance(results, Crashed):
                yield from zip(group, results, strict=True)
                continue
            # One of them crashes the process; the others can be used.
            for job in group:
                yield from in_processes(function, [job], 1) if len(group) > 1 else [(job, results)]


def _one_by_one(function: Callable[[_Job], _Result], group: Sequence[_Job]) -> list[_Result]:
    with _decoded_ahead(group):
        return [function(job) for job in group]


def _decoded_ahead(group: Sequence[_Job]) -> AbstractContextManager[None]:
    if len(group) == 1:
        return nullcontext()
    return snippets_ahead([job.file for job in group if not job.is_known()], group[0].snippet)


def _groups(jobs: Sequence[_Job], workers: int) -> list[tuple[_Job, ...]]:
    """Put recordings that need ffmpeg together, by their names; each of the others alone."""
    together = [job for job in jobs if job.file.path.suffix.lower() in AHEAD_SUFFIXES]
    size = max(1, min(AHEAD_FILES, -(-len(together) // workers)))
    groups = [tuple(together[start : start + size]) for start in range(0, len(together), size)]
    first = {id(group[0]): group for group in groups}
    taken = {id(job) for job in together}
    # In their order, so that results do not wait long for earlier ones.
    return [first.get(id(job), (job,)) for job in jobs if id(job) in first or id(job) not in taken]


def crash_message(file: RecordingFile) -> str:
    """Return the error message for a recording whose decoding crashed the process."""
    return f"{file.name}: the decoder crashed on it"


@dataclass(frozen=True)
class _ExtractionJob:
    """One recording of an extraction."""

    number: int
    file: RecordingFile
    front_end: FrontEnd
    folder: Path | None = None
    """Where the inputs of a long recording are written; None keeps them in memory."""

    @property
    def snippet(self) -> SnippetConfig:
        """Which snippets are read."""
        return self.front_end.snippet

    def is_known(self) -> bool:
        """Return False: what is known is left out before."""
        return False


def content_digests(files: Sequence[RecordingFile]) -> list[str | None]:
    """Return the digest of each file; None if it cannot be read, which decoding will report."""

    def digest(file: RecordingFile) -> str | None:
        try:
            return file_digest(file.path)
        except (OSError, ValueError):
            return None

    # Threads are enough: hashing and reading release the GIL.
    with ThreadPoolExecutor(available_cores()) as threads:
        return list(threads.map(digest, files))


def _run(
    jobs: list[_ExtractionJob], workers: int | None
) -> Generator[tuple[_ExtractionJob, "Inputs | str"], None, None]:
    if not jobs:
        return
    if workers == 0 or (workers is None and len(jobs) <= FEW_FILES):
        with threadpool_limits(1):
            for group in _groups(jobs, 1):
                with _decoded_ahead(group):
                    for job in group:
                        yield job, _images_or_reason(job)
        return
    workers = min(workers or available_cores(), len(jobs))
    with closing(in_processes_ahead(_images_or_reason, jobs, workers)) as done:
        for job, result in done:
            if isinstance(result, Crashed):
                yield job, crash_message(job.file)
            else:
                yield job, result


def each_inputs(
    files: Mapping[int, RecordingFile],
    front_end: FrontEnd,
    workers: int | None,
    folder: Path | None = None,
) -> Generator[tuple[int, Inputs | str], None, None]:
    """Decode recordings one after the other, so that few are in memory at a time.

    Args:
        files: the recordings, by any numbers.
        front_end: that of the encoder.
        workers: as in `extract`.
        folder: where the inputs of long recordings are written, for the caller to remove; None
            keeps them in memory.

    Yields:
        The number of each recording, in order of completion, with its inputs or the reason why
        there are none.
    """
    if workers is not None and workers < 0:
        raise InvalidArgumentError(f"workers must be 0 or more, not {workers}")
    jobs = [_ExtractionJob(number, file, front_end, folder) for number, file in files.items()]
    with closing(_run(jobs, workers)) as done:
        for job, result in done:
            yield job.number, result


def _in_memory(inputs: Inputs) -> Float32Array:
    """Return the values of inputs that were not written to a file."""
    assert isinstance(inputs.values, np.ndarray)
    return inputs.values


def _images_or_reason(job: _ExtractionJob) -> Inputs | str:
    """Return the inputs [n, *input_shape] of a recording, or an error message."""
    wanted, collector = job.front_end, InputsCollector(job.folder)

    def take(found: Snippet) -> tuple[slice, int]:
        return collector.add(wanted.inputs(found.samples)), found.recorded_rate

    try:
        parts = map_snippets(
            take, job.file, wanted.snippet, wanted.sample_rate, channels=wanted.channels
        )
        inputs = collector.collected([part for part, _ in parts])
    except AudioError as error:
        collector.remove()
        return str(error)
    except Exception as error:
        # One odd file must not end the extraction of all others.
        collector.remove()
        return f"{job.file.name}: cannot be used ({type(error).__name__}: {error})"
    return Inputs(inputs, parts[0][1])
