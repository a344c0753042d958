"""From the inputs of an encoder to one embedding a song: the one place where they are put together.

The mean over a song's inputs, unless the encoder reads them as a sequence.
"""

from typing import Protocol, runtime_checkable

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from embedding.encoders.protocol import Encoder

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


def embed_song(
    encoder: Encoder, inputs: Float32Array
) -> tuple[Float32Array, dict[str, Float32Array]]:
    """Compute the embedding and the tags of one recording from all of its inputs.

    Args:
        encoder: any encoder.
        inputs: float32 [n, *front_end.input_shape], in order of time.

    Returns:
        float32 [dimension] and, for each tag, float32 [values].

    Examples:
        >>> from embedding.encoders.songs import embed_song
        >>> embed_song(encoder, images[:3])[0].shape
        (8,)
    """
    vectors, scores = embed_recordings(encoder, inputs, np.zeros(len(inputs), np.int64), 1)
    return vectors[0], {tag: own[0] for tag, own in scores.items()}


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
