"""Vectors of every input of many recordings, kept on disk: what heads are trained on."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import EncoderError
from datasets.progress import progress_bar
from embedding.audio.front_end import lower_rates
from embedding.audio.source import AudioSource, RecordingFile, on_disk
from embedding.encoders.loading import check_available
from embedding.encoders.musicnn.encoder import MusiCNN
from embedding.encoders.own.callable import CallableEncoder
from embedding.encoders.own.waveform import WaveformEncoder
from embedding.encoders.protocol import Encoder
from embedding.encoders.songs import embed_in_parts
from embedding.hyperimage.extraction import (
    Failure,
    OrderedResults,
    content_digests,
    each_inputs,
    extract_inputs,
)
from embedding.hyperimage.inputs import AnyInputs, InputsOnDisk, folder_for_inputs
from embedding.hyperimage.store import ImageStore

_ROWS_AT_ONCE = 256

NOT_FINITE = "the encoder returned NaN or infinite values for it"
"""What is said of a recording that an encoder has no finite numbers for."""

logger = logging.getLogger("coldtune")


def is_made_elsewhere(encoder: Encoder) -> bool:
    """Return whether an encoder was not trained here, so that what it computed is worth keeping."""
    return isinstance(encoder, WaveformEncoder | MusiCNN)


@dataclass(frozen=True, eq=False)
class InputVectors:
    """Result of `embed_each_input`."""

    vectors: Float32Array
    """float32 [n, dimension]: of each input, such as each snippet or window."""

    recording: IntArray
    """int [n]: position of its recording in the list given."""

    failures: tuple[Failure, ...]
    """Recordings that cannot be used."""

    computed: int
    """Recordings that the encoder was run on, and not found in the cache."""


def embed_each_input(
    recordings: Sequence[AudioSource],
    encoder: Encoder,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> InputVectors:
    """Embed every input of recordings; unlike `embed_files` without means over a recording.

    Args:
        recordings: files.
        encoder: an encoder of any kind.
        workers: as in `embedding.hyperimage.extract`.
        cache: folder that keeps the vectors, by the content of the file and the digest of the
            encoder, and what the front end of a network trained here stores. The vectors of a
            function without a version are kept in the encoder itself.
        progress: show progress bars.

    Raises:
        EncoderUnavailableError: the encoder is not on this machine.
        EncoderError: the encoder raises an error, or what it returns is no embedding.

    Examples:
        >>> from embedding.encoders import CallableEncoder
        >>> encoder = CallableEncoder(lambda x: x[:, :3], sample_rate=8000, window=1.0)
        >>> found = embed_each_input([recording], encoder)
        >>> found.vectors.shape, found.recording.tolist()
        ((3, 3), [0, 0, 0])
    """
    front_end = encoder.front_end
    check_available(encoder)
    with ExitStack() as stack:
        files = stack.enter_context(on_disk(recordings))
        digests = content_digests(files)
        memory: dict[str, Float32Array] | None = None
        store = None
        if isinstance(encoder, CallableEncoder) and not encoder.version:
            memory = encoder.known
        elif cache is not None:
            kind = f"vectors {encoder.digest()} {front_end.digest()}"
            shape = (encoder.dimension,)
            store = stack.enter_context(ImageStore(cache, kind, shape))
        collected = OrderedResults(store, digests)
        waiting: dict[int, RecordingFile] = {}
        for number, file in enumerate(files):
            known = None if memory is None else memory.get(f"each input of {digests[number]}")
            if known is not None:
                collected.take(number, known)
            elif number not in collected:
                waiting[number] = file

        computed = 0
        rates: dict[str, int] = {}

        def take(number: int, inputs: AnyInputs) -> None:
            nonlocal computed
            try:
                vectors = _embedded(encoder, inputs)
            except EncoderError as error:
                raise EncoderError(f"{files[number].name}: {error}") from error
            computed += 1
            if not np.isfinite(vectors).all():
                collected.take(number, f"{files[number].name}: {NOT_FINITE}")
                return
            if memory is not None and digests[number]:
                memory[f"each input of {digests[number]}"] = vectors
            collected.take(number, vectors)

        if front_end.stored_as is None or is_made_elsewhere(encoder):
            spill = stack.enter_context(folder_for_inputs())
            advance = stack.enter_context(
                progress_bar("embedding recordings", len(waiting), shown=progress)
            )
            with closing(each_inputs(waiting, front_end, workers, spill)) as done:
                for number, result in done:
                    if isinstance(result, str):
                        collected.take(number, result)
                    else:
                        rates[files[number].name] = result.rate
                        take(number, result.values)
                    advance(1)
            if said := lower_rates(rates, front_end.sample_rate):
                logger.warning("%s", said)
        elif waiting:
            numbers = list(waiting)
            extraction = extract_inputs(
                [files[number] for number in numbers],
                front_end,
                workers=workers,
                cache=cache,
                progress=progress,
            )
            messages = {failure.path: failure.message for failure in extraction.failures}
            bounds = np.searchsorted(extraction.recording, np.arange(len(numbers) + 1))
            advance = stack.enter_context(
                progress_bar("embedding recordings", len(numbers), shown=progress)
            )
            for position, number in enumerate(numbers):
                first, end = bounds[position], bounds[position + 1]
                if first == end:
                    path = files[number].path
                    collected.take(number, messages.get(path, f"{path.name}: cannot be used"))
                else:
                    take(number, extraction.images[first:end])
                advance(1)
        collected.finish()
        vectors, recording = collected.images((encoder.dimension,))
        failures = tuple(
            Failure(files[number].path, message)
            for number, message in sorted(collected.failures.items())
        )
    return InputVectors(vectors, recording, failures, computed)


def _embedded(encoder: Encoder, inputs: AnyInputs) -> Float32Array:
    if isinstance(inputs, InputsOnDisk):
        vectors, _ = embed_in_parts(encoder, inputs)
        inputs.remove()
        return vectors.astype(np.float32, copy=False)
    parts = [
        encoder.embed_and_predict(inputs[first : first + _ROWS_AT_ONCE])[0]
        for first in range(0, len(inputs), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float32, copy=False)
