"""Embed many recordings with an encoder of any kind, and keep what need not be computed again."""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import EncoderError
from datasets.progress import progress_bar
from embedding.audio.front_end import FrontEnd
from embedding.audio.source import AudioSource, RecordingFile, on_disk
from embedding.encoders.callable_encoder import CallableEncoder
from embedding.encoders.loading import check_available
from embedding.encoders.musicnn.encoder import MusiCNN
from embedding.encoders.protocol import Encoder
from embedding.encoders.songs import embed_recordings
from embedding.encoders.waveform_encoder import WaveformEncoder
from embedding.hyperimage.extraction import (
    Extraction,
    Failure,
    Inputs,
    content_digests,
    each_inputs,
    extract_inputs,
)
from embedding.hyperimage.store import ImageStore

TOGETHER = 16
"""Inputs that are collected, over recordings, before the encoder is run."""

logger = logging.getLogger("coldtune")


@dataclass(frozen=True, eq=False)
class EmbeddedRecordings:
    """Result of `embed_files`.

    Examples:
        >>> from embedding.encoders import CallableEncoder, embed_files
        >>> encoder = CallableEncoder(lambda x: x[:, :3], sample_rate=8000, window=1.0)
        >>> found = embed_files([recording, "none.mp3"], encoder)
        >>> found.embeddings.shape, found.failures[0].message
        ((2, 3), 'none.mp3: no such file')
    """

    embeddings: Float32Array
    """float32 [recordings, dimension]; NaN for one that cannot be used."""

    probabilities: dict[str, Float32Array]
    """Of each tag, float32 [recordings, values]; NaN likewise."""

    failures: tuple[Failure, ...]
    """Recordings that cannot be used."""

    computed: int
    """Recordings that the encoder was run on, and not found in the cache."""

    extraction: Extraction | None = None
    """The hyper-images that were embedded; None where an encoder is given something else."""


def embed_files(
    recordings: Sequence[AudioSource],
    encoder: Encoder,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> EmbeddedRecordings:
    """Embed recordings with an encoder of any kind.

    The inputs of a recording make one embedding as `embedding.encoders.songs` says: their mean, as
    a rule.

    Recordings are decoded in other processes and embedded in this one. Few are in memory at a time,
    unless their inputs are kept on disk, as hyper-images are.

    Args:
        recordings: paths, bytes, or binary file objects.
        encoder: a trained network, statistics of sound, MusiCNN, a function or an ONNX file.
        workers: as in `embedding.hyperimage.extract`.
        cache: folder that keeps the inputs that the front end stores, such as hyper-images, and the
            embeddings of encoders that were not trained here, by the content of the file and the
            digest of the encoder. Those of a function are kept there only if it has a version;
            without, in the encoder itself.
        progress: show a progress bar.

    Raises:
        EncoderUnavailableError: the encoder is not on this machine.
        EncoderError: the encoder raises an error, or what it returns is no embedding.
        AudioError: a file object cannot be read to its end.

    Examples:
        >>> from embedding.encoders import embed_files
        >>> found = embed_files([recording], encoder)
        >>> found.embeddings.shape, list(found.probabilities)
        ((1, 8), ['genre'])
    """
    front_end = encoder.front_end
    check_available(encoder)
    if front_end.stored_as is None or _is_made_elsewhere(encoder):
        return _embedded_one_by_one(recordings, encoder, workers, cache, progress)
    extraction = extract_inputs(
        recordings, front_end, workers=workers, cache=cache, progress=progress
    )
    embeddings, probabilities = embed_recordings(
        encoder, extraction.images, extraction.recording, len(recordings)
    )
    return EmbeddedRecordings(
        embeddings,
        probabilities,
        extraction.failures,
        len(np.unique(extraction.recording)),
        extraction,
    )


def lower_rates(rates: Mapping[str, int], wanted: int) -> str:
    """Say which recordings hold less than an encoder was made for; "" for none.

    Args:
        rates: sample rates of recordings by their names, Hz.
        wanted: the encoder's sample rate, Hz.

    Examples:
        >>> lower_rates({"phone.wav": 8000, "cd.wav": 44100}, 16000)
        "phone.wav has 8,000 samples a second, the encoder's recordings 16,000: it is resampled, \
and there is nothing above 4,000 Hz in it"
        >>> lower_rates({"cd.wav": 44100}, 44100)
        ''
    """
    low = {name: rate for name, rate in rates.items() if 0 < rate < wanted}
    if not low:
        return ""
    name, rate = min(low.items(), key=lambda pair: pair[1])
    more = f" (so it is with {len(low) - 1:,} more)" if len(low) > 1 else ""
    return (
        f"{name} has {rate:,} samples a second, the encoder's recordings {wanted:,}: it is "
        f"resampled, and there is nothing above {rate // 2:,} Hz in it{more}"
    )


class _KnownEmbeddings:
    """Embeddings and probabilities of recordings as rows of numbers, by digest of the content.

    On disk for an encoder that was not trained here and is known by its digest; a function without
    a version is known only while it is there. What was trained here changes with every fit.
    """

    def __init__(self, encoder: Encoder, cache: Path | None, stack: ExitStack) -> None:
        self._width = encoder.dimension + sum(len(v) for v in encoder.heads_.values())
        self._memory: dict[str, Float32Array] = {}
        self._store: ImageStore | None = None
        if isinstance(encoder, CallableEncoder) and not encoder.version:
            self._memory = encoder.known
        elif cache is not None and _is_made_elsewhere(encoder):
            kind = f"embeddings {encoder.digest()} {encoder.front_end.digest()}"
            self._store = stack.enter_context(ImageStore(cache, kind, (self._width,)))

    def find(self, digests: Sequence[str | None]) -> dict[str, Float32Array]:
        """Return the row of each recording that is known."""
        asked = [digest for digest in digests if digest]
        found = {digest: self._memory[digest] for digest in asked if digest in self._memory}
        if self._store is not None:
            for digest, rows in self._store.find(asked).items():
                found[digest] = np.array(self._store.images(rows)[0])
        return found

    def add(self, digest: str | None, row: Float32Array) -> None:
        """Remember the row of a recording."""
        if not digest:
            return
        if self._store is None:
            self._memory[digest] = row
            return
        with suppress(OSError):  # a full disk costs the cache and not the embeddings
            self._store.add(digest, row[None])


def _embedded_one_by_one(
    recordings: Sequence[AudioSource],
    encoder: Encoder,
    workers: int | None,
    cache: Path | None,
    progress: bool,
) -> EmbeddedRecordings:
    heads = {tag: len(values) for tag, values in encoder.heads_.items()}
    width = encoder.dimension + sum(heads.values())
    rows = np.full((len(recordings), width), np.nan, np.float32)
    failures: dict[int, str] = {}
    rates: dict[str, int] = {}
    computed = 0
    with ExitStack() as stack:
        files = stack.enter_context(on_disk(recordings))
        advance = stack.enter_context(
            progress_bar("embedding recordings", len(files), shown=progress)
        )
        known = _KnownEmbeddings(encoder, cache, stack)
        digests = content_digests(files)
        found = known.find(digests)
        waiting: dict[int, RecordingFile] = {}
        for number, (file, digest) in enumerate(zip(files, digests, strict=True)):
            if digest in found:
                rows[number] = found[digest]
                advance(1)
            else:
                waiting[number] = file
        decoded: dict[int, Float32Array] = {}

        def embed() -> None:
            nonlocal computed
            if not decoded:
                return
            parts = list(decoded.values())
            together = parts[0] if len(parts) == 1 else np.concatenate(parts)
            recording = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            try:
                vectors, tags = embed_recordings(encoder, together, recording, len(parts))
            except EncoderError as error:
                names = [files[number].name for number in decoded]
                raise EncoderError(f"{_and_more(names)}: {error}") from error
            embedded = np.concatenate([vectors, *(tags[tag] for tag in heads)], axis=1)
            for number, row in zip(decoded, embedded, strict=True):
                if np.isfinite(row).all():
                    rows[number] = row
                    known.add(digests[number], row)
                    computed += 1
                else:
                    failures[number] = f"{files[number].name}: {NOT_FINITE}"
            advance(len(decoded))
            decoded.clear()

        with closing(_inputs(waiting, encoder.front_end, workers, cache)) as done:
            for number, result in done:
                if isinstance(result, str):
                    failures[number] = result
                    advance(1)
                    continue
                rates[files[number].name] = result.rate
                decoded[number] = result.values
                if sum(map(len, decoded.values())) >= TOGETHER:
                    embed()
            embed()
        named = tuple(
            Failure(files[number].path, message) for number, message in sorted(failures.items())
        )
    if said := lower_rates(rates, encoder.front_end.sample_rate):
        logger.warning("%s", said)
    bounds = np.cumsum([encoder.dimension, *heads.values()])
    parts = np.split(rows, bounds[:-1], axis=1)
    return EmbeddedRecordings(parts[0], dict(zip(heads, parts[1:], strict=True)), named, computed)


def _inputs(
    files: Mapping[int, RecordingFile], front_end: FrontEnd, workers: int | None, cache: Path | None
) -> Generator[tuple[int, Inputs | str], None, None]:
    """Yield the inputs of each recording, from the store if they are kept there."""
    if front_end.stored_as is None:
        yield from each_inputs(files, front_end, workers)
        return
    found = extract_inputs(list(files.values()), front_end, workers=workers, cache=cache)
    reasons = {failure.path: failure.message for failure in found.failures}
    for position, (number, file) in enumerate(files.items()):
        own = np.flatnonzero(found.recording == position)
        if len(own):
            yield number, Inputs(found.images[own[0] : own[-1] + 1], 0)
        else:
            yield number, reasons.get(file.path, f"{file.name}: cannot be used")


def _is_made_elsewhere(encoder: Encoder) -> bool:
    return isinstance(encoder, WaveformEncoder | MusiCNN)


NOT_FINITE = "the encoder returned NaN or infinite values for it"
"""What is said of a recording that an encoder has no finite numbers for."""


def _and_more(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (or one of {len(names) - 1} more)"
