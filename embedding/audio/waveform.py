"""The waveform of a recording as data: one or two channels, whole or as its outline."""

from dataclasses import replace
from typing import Literal

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import Snippet, read_snippets
from embedding.audio.source import AudioSource, on_disk


def load_waveforms(
    source: AudioSource,
    snippet: SnippetConfig,
    sample_rate: int = 22050,
    *,
    channels: Literal[1, 2] | None = None,
) -> list[Snippet]:
    """Waveforms of the snippets of a recording (paragraph 37; Fig. 4A one channel, 4C two).

    Args:
        source: a path, bytes or a binary file object.
        snippet: length, place and number of snippets.
        sample_rate: wanted samples a second.
        channels: 1 or 2; None: as recorded, and of more than two channels two.

    Returns:
        For each snippet when it begins and its samples, float32 [channels, samples], -1 to 1 in
        most recordings.

    Raises:
        AudioError: no usable sound; the message names the recording and says why.
        InvalidArgumentError: ``source`` is none.
    """
    with on_disk([source]) as (file,):
        return [
            replace(found, samples=np.atleast_2d(found.samples))
            for found in read_snippets(file, snippet, sample_rate, channels=channels)
        ]


def envelope(samples: Float32Array, columns: int) -> Float32Array:
    """Outline of a waveform: the lowest and highest sample of each of many equal parts.

    Args:
        samples: float [channels, samples] or [samples].
        columns: number of parts, at most as many as there are samples.

    Returns:
        float32 [channels, 2, columns]: lowest, highest. Their extremes are those of the waveform.

    Raises:
        InvalidArgumentError: fewer samples than columns, or no column.
    """
    samples = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    if not 1 <= columns <= samples.shape[1]:
        raise InvalidArgumentError(
            f"columns must be 1 to {samples.shape[1]}, the number of samples, not {columns}"
        )
    starts = np.arange(columns) * samples.shape[1] // columns
    lowest = np.minimum.reduceat(samples, starts, axis=1)
    highest = np.maximum.reduceat(samples, starts, axis=1)
    return np.stack([lowest, highest], axis=1)
