"""Embed many recordings with an encoder of any kind, and keep what need not be computed again."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import EncoderError
from datasets.progress import progress_bar
from embedding.audio.front_end import lower_rates
from embedding.audio.source import AudioSource, RecordingFile, on_disk
from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
from embedding.encoders.input_vectors import NOT_FINITE, embed_each_input, is_made_elsewhere
from embedding.encoders.loading import check_available
from embedding.encoders.own.callable import CallableEncoder
from embedding.encoders.protocol import Encoder
from embedding.encoders.songs import embed_recordings, embed_songs, mean_by_recording
from embedding.hyperimage.extraction import (
    Extraction,
    Failure,
    content_digests,
    each_inputs,
    extract_inputs,
)
from embedding.hyperimage.inputs import AnyInputs, InputsOnDisk, folder_for_inputs
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
        cache: folder that keeps the embeddings of encoders that were not trained here, by the
            content of the file and the digest of the encoder, and for others the inputs that the
            front end stores, such as hyper-images. Of heads on an encoder that was not trained
            here, its vectors are kept. Those of a function are kept there only if it has a
            version; without, in the encoder itself.
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
    if (
        isinstance(encoder, FineTunedEncoder)
        and not encoder.is_thawed
        and is_made_elsewhere(encoder.backbone)
    ):
        return embed_by_heads(recordings, encoder, workers=workers, cache=cache, progress=progress)
    if front_end.stored_as is None or is_made_elsewhere(encoder):
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


def embed_by_heads(
    recordings: Sequence[AudioSource],
    encoder: FineTunedEncoder,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> EmbeddedRecordings:
    """Embed recordings by heads on a frozen encoder, whose vectors are kept by `embed_each_input`.

    The result is that of `embed_files`, which would run the encoder again for other heads.

    Args:
        recordings: as in `embed_each_input`.
        encoder: trained heads on an encoder that is not thawed.
        workers: as in `embed_each_input`.
        cache: as in `embed_each_input`.
        progress: as in `embed_each_input`.

    Examples:
        >>> from embedding.encoders import FineTunedEncoder, HeadConfig
        >>> tuned = FineTunedEncoder(encoder, HeadConfig(epochs=2)).fit(images, labels)
        >>> embed_by_heads([recording], tuned).embeddings.shape
        (1, 136)
    """
    found = embed_each_input(
        recordings, encoder.backbone, workers=workers, cache=cache, progress=progress
    )
    embeddings, probabilities = encoder.embed_and_predict_vectors(found.vectors)
    n = len(recordings)
    return EmbeddedRecordings(
        mean_by_recording(embeddings, found.recording, n),
        {tag: mean_by_recording(p, found.recording, n) for tag, p in probabilities.items()},
        found.failures,
        found.computed,
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
        elif cache is not None and is_made_elsewhere(encoder):
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
        decoded: dict[int, AnyInputs] = {}

        def embed() -> None:
            nonlocal computed
            if not decoded:
                return
            try:
                vectors, tags = embed_songs(encoder, list(decoded.values()))
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
            for inputs in decoded.values():
                if isinstance(inputs, InputsOnDisk):
                    inputs.remove()
            advance(len(decoded))
            decoded.clear()

        spill = stack.enter_context(folder_for_inputs())
        with closing(each_inputs(waiting, encoder.front_end, workers, spill)) as done:
            for number, result in done:
                if isinstance(result, str):
                    failures[number] = result
                    advance(1)
                    continue
                rates[files[number].name] = result.rate
                if isinstance(result.values, InputsOnDisk):
                    embed()
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


def _and_more(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (or one of {len(names) - 1} more)"
