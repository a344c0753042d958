"""From the inputs of an encoder to one embedding a song: the one place where they are put together.

The mean over a song's inputs, unless the encoder reads them as a sequence.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from embedding.encoders.protocol import Encoder
from embedding.hyperimage.inputs import MAX_BYTES_IN_MEMORY, AnyInputs, InputsOnDisk

Embedded = tuple[Float32Array, dict[str, Float32Array]]
"""Embeddings [songs, dimension], and for each tag probabilities [songs, values]."""


@runtime_checkable
class ReadsSequences(Protocol):
    """An encoder with a way of its own to make one embedding of all inputs of a recording.

    Examples:
        >>> from embedding.encoders.songs import ReadsSequences
        >>> isinstance(encoder, ReadsSequences)
        True
    """

    def embed_recordings(
        self, images: Float32Array, recording: IntArray, n_recordings: int | None = None
    ) -> Embedded:
        """Compute embeddings and probabilities of recordings; see `embed_recordings`."""
        ...


def embed_recordings(
    encoder: Encoder, inputs: Float32Array, recording: IntArray, n_recordings: int
) -> Embedded:
    """Compute the embedding and the tags of recordings from all of their inputs.

    Args:
        encoder: any encoder.
        inputs: float32 [n, *front_end.input_shape], those of a recording in order of time.
        recording: int [n], number of the recording of each input.
        n_recordings: number of recordings.

    Returns:
        float32 [n_recordings, dimension] and, for each tag, float32 [n_recordings, values]; NaN
        for a recording without inputs.

    Raises:
        InvalidArgumentError: `recording` does not fit, or what the encoder raises.

    Examples:
        >>> from embedding.encoders.songs import embed_recordings
        >>> vectors, scores = embed_recordings(encoder, images[:6], np.repeat([0, 1], 3), 2)
        >>> vectors.shape, scores["genre"].shape
        ((2, 8), (2, 2))
    """
    if isinstance(encoder, ReadsSequences):
        return encoder.embed_recordings(inputs, recording, n_recordings)
    recording, n_recordings = checked_recordings(recording, len(inputs), n_recordings)
    vectors, scores = encoder.embed_and_predict(inputs)
    means = {tag: mean_by_recording(own, recording, n_recordings) for tag, own in scores.items()}
    return mean_by_recording(vectors, recording, n_recordings), means


def embed_song(encoder: Encoder, inputs: AnyInputs) -> tuple[Float32Array, dict[str, Float32Array]]:
    """Compute the embedding and the tags of one recording from all of its inputs.

    Args:
        encoder: any encoder.
        inputs: float32 [n, *front_end.input_shape], in order of time. Those on disk are read in
            parts, unless the encoder reads sequences.

    Returns:
        float32 [dimension] and, for each tag, float32 [values].

    Examples:
        >>> from embedding.encoders.songs import embed_song
        >>> embed_song(encoder, images[:3])[0].shape
        (8,)
    """
    number = np.zeros(len(inputs), np.int64)
    if isinstance(inputs, InputsOnDisk) and isinstance(encoder, ReadsSequences):
        (inputs,) = inputs.parts(len(inputs))
    if isinstance(inputs, InputsOnDisk):
        each, of_each = embed_in_parts(encoder, inputs)
        vectors = mean_by_recording(each, number, 1)
        scores = {tag: mean_by_recording(own, number, 1) for tag, own in of_each.items()}
    else:
        vectors, scores = embed_recordings(encoder, inputs, number, 1)
    return vectors[0], {tag: own[0] for tag, own in scores.items()}


def embed_songs(encoder: Encoder, inputs: Sequence[AnyInputs]) -> Embedded:
    """Compute the embeddings and the tags of recordings, each given by its inputs.

    Those in memory are embedded together, and those on disk one by one.

    Args:
        encoder: any encoder.
        inputs: of each recording, as in `embed_song`; at least one recording.

    Returns:
        float32 [recordings, dimension] and, for each tag, float32 [recordings, values].

    Examples:
        >>> embed_songs(encoder, [images[:3], images[3:4]])[0].shape
        (2, 8)
    """
    in_memory = [one for one in inputs if not isinstance(one, InputsOnDisk)]
    alone = [embed_song(encoder, one) for one in inputs if isinstance(one, InputsOnDisk)]
    together: Embedded | None = None
    if in_memory:
        values = in_memory[0] if len(in_memory) == 1 else np.concatenate(in_memory)
        recording = np.repeat(np.arange(len(in_memory)), [len(one) for one in in_memory])
        together = embed_recordings(encoder, values, recording, len(in_memory))
        if not alone:
            return together
    is_alone = np.array([isinstance(one, InputsOnDisk) for one in inputs])

    def merged(of_alone: Sequence[Float32Array], of_others: Float32Array | None) -> Float32Array:
        rows = np.empty((len(inputs), len(of_alone[0])), np.float32)
        rows[is_alone] = np.stack(of_alone)
        if of_others is not None:
            rows[~is_alone] = of_others
        return rows

    vectors, scores = together or (None, {})
    return merged([vector for vector, _ in alone], vectors), {
        tag: merged([own[tag] for _, own in alone], scores.get(tag)) for tag in alone[0][1]
    }


def embed_in_parts(encoder: Encoder, inputs: InputsOnDisk) -> Embedded:
    """Compute embeddings and probabilities of each input of a long recording.

    Args:
        encoder: an encoder of which each input has an embedding of its own.
        inputs: those on disk, of which few are in memory at a time.

    Returns:
        float32 [n, dimension] and, for each tag, float32 [n, values].

    Examples:
        >>> from embedding.hyperimage.inputs import InputsOnDisk
        >>> images.tofile(folder / "inputs")
        >>> found = embed_in_parts(encoder, InputsOnDisk(folder / "inputs", images.shape))
        >>> found[0].shape
        (24, 8)
    """
    # A multiple of what the encoder takes at once, so that it is given the same as of an array.
    batch = int(getattr(encoder, "batch", 1))
    n = max(1, MAX_BYTES_IN_MEMORY // (batch * inputs.bytes_each)) * batch
    parts = [encoder.embed_and_predict(part) for part in inputs.parts(n)]
    vectors = np.concatenate([vectors for vectors, _ in parts])
    return vectors, {
        tag: np.concatenate([scores[tag] for _, scores in parts]) for tag in parts[0][1]
    }


def checked_recordings(
    recording: IntArray, n: int, n_recordings: int | None = None
) -> tuple[IntArray, int]:
    """Check the number of the recording of each of ``n`` inputs; count recordings if not given.

    Raises:
        InvalidArgumentError: there are not ``n`` whole numbers from 0, or one is too large.
    """
    numbers = np.asarray(recording)
    if numbers.shape != (n,) or (n and numbers.dtype.kind not in "iu"):
        raise InvalidArgumentError(
            f"recording: expected {n} whole numbers, one an image; got {numbers.dtype} "
            f"{numbers.shape}"
        )
    numbers = numbers.astype(np.int64)
    least, most = int(numbers.min(initial=0)), int(numbers.max(initial=-1))
    if least < 0 or (n_recordings is not None and most >= n_recordings):
        raise InvalidArgumentError(
            f"recording: numbers from 0 to {'…' if n_recordings is None else n_recordings - 1} are "
            f"expected; there is {least if least < 0 else most}"
        )
    return numbers, most + 1 if n_recordings is None else n_recordings


def mean_by_recording(
    vectors: Float32Array, recording: IntArray, n_recordings: int
) -> Float32Array:
    """Average the rows of each recording.

    Args:
        vectors: float32 [n, dimension].
        recording: int [n], recording of each row.
        n_recordings: number of recordings.

    Returns:
        float32 [n_recordings, dimension]; NaN for a recording without rows.
    """
    totals = np.zeros((n_recordings, vectors.shape[1]))
    np.add.at(totals, recording, vectors)
    counts = np.bincount(recording, minlength=n_recordings)[:, None]
    with np.errstate(invalid="ignore"):
        return (totals / counts).astype(np.float32)
