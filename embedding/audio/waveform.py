"""Waveforms of recordings, mono or stereo, and their outlines for drawing."""

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
    """Load the waveforms of the snippets of a recording (paragraph 37; Fig. 4A and 4C).

    Args:
        source: path, bytes or binary file object.
        snippet: length, position and number of snippets.
        sample_rate: sample rate of the result in Hz.
        channels: 1 for mono, 2 for stereo; None for mono or stereo as recorded.

    Returns:
        Snippets with their start times; samples are float32 [channels, samples], in most
        recordings between -1 and 1.

    Raises:
        AudioError: no usable sound; the message names the recording and the reason.
        InvalidArgumentError: ``source`` is not a path, bytes or binary file object.

    Examples:
        >>> from embedding.audio import SnippetConfig, load_waveforms
        >>> (snippet,) = load_waveforms(recording, SnippetConfig(seconds=2), channels=2)
        >>> snippet.start, snippet.samples.shape
        (2.0, (2, 44100))
    """
    with on_disk([source]) as (file,):
        return [
            replace(found, samples=np.atleast_2d(found.samples))
            for found in read_snippets(file, snippet, sample_rate, channels=channels)
        ]


def envelope(samples: Float32Array, columns: int) -> Float32Array:
    """Compute the outline of a waveform: minimum and maximum of each of many equal parts.

    Args:
        samples: float [channels, samples] or [samples].
        columns: number of parts, at most the number of samples.

    Returns:
        float32 [channels, 2, columns]: minimum and maximum of each part.

    Raises:
        InvalidArgumentError: ``columns`` < 1 or greater than the number of samples.

    Examples:
        >>> from embedding.audio import envelope
        >>> envelope(np.array([0, 1, -1, 0.5], dtype=np.float32), 2).tolist()
        [[[0.0, -1.0], [1.0, 0.5]]]
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
