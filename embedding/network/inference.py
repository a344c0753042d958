"""Run a trained network over images and songs, in batches of windows.

On a CPU a window has the same vector to the bit whatever it is computed beside: compiled kernels
differ by the number of rows in the last digits, so they are always given as many (`in_blocks`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from datasets.arrays import Float32Array, IntArray
from embedding.network.augmentation import covering_windows
from embedding.network.config import EncoderConfig
from embedding.network.devices import inference_device, limited_threads, to_tensor
from embedding.network.layers import SongNetwork
from embedding.network.optimisation import probabilities
from embedding.network.sequence.heads import read_sequences

WINDOWS_AT_ONCE = 32
"""Windows that the network maps at a time, however wide the images are. More are no faster on a
CPU, and the first layer of the recipe ``modern`` makes 800 kB of each."""

WINDOWS_AT_ONCE_ELSEWHERE = 256
"""The same on a GPU, which many keep busy."""

BLOCK = 8
"""Rows that a layer is given at a time on a CPU, missing ones filled with zeros. With 8, the
networks of both recipes are as fast as with 32; one image alone takes 10 ms longer."""


def in_blocks(function: Callable[[Tensor], Tensor], rows: Tensor, block: int = BLOCK) -> Tensor:
    """Map rows [n, ...] one by one; on a CPU, each to the same bits whatever the others are.

    Args:
        function: maps each row by itself, as the layers of a network do in evaluation mode.
        rows: float [n, ...].
        block: rows at a time on a CPU; 1 for products of few columns, of which a row differs in the
            last digits by its place among others.

    Examples:
        >>> import torch
        >>> from embedding.network.inference import in_blocks
        >>> rows, layer = torch.rand(11, 50), torch.nn.Linear(50, 20)
        >>> bool((in_blocks(layer, rows)[10:] == in_blocks(layer, rows[10:])).all())
        True
    """
    n = len(rows)
    if rows.device.type != "cpu" or not n:
        return function(rows)
    missing = -n % block
    if missing:
        rows = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])
    # Each a tensor of its own: compiled products also differ by how their rows lie in memory.
    parts = [rows] if len(rows) == block else [part.clone() for part in torch.split(rows, block)]
    found = [function(part) for part in parts]
    return found[0][:n] if len(found) == 1 else torch.cat(found)[:n]


def window_vectors(
    network: SongNetwork,
    images: Float32Array,
    window: int | None,
    device: torch.device,
    rows: IntArray | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Compute the vectors of the windows that cover images.

    Args:
        network: the network, on the device and in evaluation mode.
        images: float32 [n, channels, height, width].
        window: width of a window; None: the whole image.
        device: the device.
        rows: positions of the images in the order wanted; None for all.

    Yields:
        Which images (of ``rows``), and the vectors of their windows, [windows, images, dimension].
    """
    n = len(images) if rows is None else len(rows)
    width, starts = covering_windows(images, window)
    at_once = WINDOWS_AT_ONCE if device.type == "cpu" else WINDOWS_AT_ONCE_ELSEWHERE
    at_a_time = max(1, at_once // len(starts))
    for first in range(0, n, at_a_time):
        own = slice(first, min(n, first + at_a_time))
        batch = images[own] if rows is None else images[rows[own]]
        vectors = []
        for place in range(0, len(starts), at_once):
            these = starts[place : place + at_once]
            parts = np.concatenate([batch[..., s : s + width] for s in these])
            found = in_blocks(network.windows, to_tensor(parts).to(device))
            vectors.append(found.reshape(len(these), len(batch), -1))
        yield own, vectors[0] if len(vectors) == 1 else torch.cat(vectors)


@dataclass(frozen=True)
class NetworkOutputs:
    """Embeddings, probabilities of tags and taste vectors, by a trained network.

    Outputs are named by the number of their head: tags in the order of the settings, then taste;
    None stands for the embedding.
    """

    network: SongNetwork
    config: EncoderConfig
    width: int
    """Columns of a window."""
    temperatures: Sequence[float]
    """One for each tag."""

    def of_images(self, images: Float32Array, heads: Sequence[int | None]) -> list[Float32Array]:
        """Compute outputs of each image, the means over its windows.

        Args:
            images: float32 [n, channels, height, width].
            heads: the outputs wanted.

        Returns:
            For each of them, float32 [n, length].
        """
        if self.network.sequence is not None:
            return self.of_songs(images, heads, np.arange(len(images)), len(images))
        results = self._empty_results(len(images), heads)
        with self._on_device() as device:
            for rows, vectors in window_vectors(self.network, images, self.width, device):
                for head, result in zip(heads, results, strict=True):
                    values = vectors
                    if head is not None:
                        activated = self._activated(head, self.network.heads[head])
                        values = in_blocks(activated, vectors.flatten(0, 1), 1)
                        values = values.reshape(*vectors.shape[:2], -1)
                    result[rows] = values.mean(dim=0).cpu().numpy()
        return results

    def of_songs(
        self,
        images: Float32Array,
        heads: Sequence[int | None],
        recording: IntArray,
        n_recordings: int,
    ) -> list[Float32Array]:
        """Compute outputs of each recording by the head that reads all of its windows.

        Args:
            images: float32 [n, channels, height, width]; those of a recording in order of time.
            heads: the outputs wanted.
            recording: int [n], number of the recording of each image.
            n_recordings: number of recordings.

        Returns:
            For each output, float32 [n_recordings, length]; NaN for a recording without images.
        """
        sequence = self.network.sequence
        assert sequence is not None
        results = self._empty_results(n_recordings, heads)
        # As a rule they are in order, and are read from the disk in slices.
        order = None if (np.diff(recording) >= 0).all() else np.argsort(recording, kind="stable")
        sorted_recording = recording if order is None else recording[order]
        with self._on_device() as device:
            # On a CPU each song alone, so that its vector is the same whatever the others are.
            starts = np.flatnonzero(np.diff(sorted_recording, prepend=-1))
            bounds = [*starts.tolist(), len(images)] if device.type == "cpu" else [0, len(images)]
            for first, end in pairwise(bounds):
                own = slice(first, end)
                rows_of = np.arange(first, end) if order is None else order[own]
                parts = (
                    (
                        vectors.transpose(0, 1).flatten(0, 1),
                        np.repeat(sorted_recording[own][rows], len(vectors)),
                    )
                    for rows, vectors in window_vectors(
                        self.network, images, self.width, device, rows_of
                    )
                )
                for songs, embeddings in read_sequences(sequence, parts):
                    for head, result in zip(heads, results, strict=True):
                        values = embeddings
                        if head is not None:
                            values = self._activated(head, sequence.heads[head])(embeddings)
                        result[songs] = values.cpu().numpy()
        return results

    def logits_of_windows(self, images: Float32Array, head: int) -> Float32Array:
        """Compute what a tag's probabilities are made of, float32 [n, windows, classes]."""
        with self._on_device() as device:
            found = [
                self.network.heads[head](vectors).transpose(0, 1).cpu().numpy()
                for _, vectors in window_vectors(self.network, images, self.width, device)
            ]
        return np.concatenate(found)

    def logits_of_songs(
        self, images: Float32Array, head: int, recording: IntArray, n_recordings: int
    ) -> Float32Array:
        """Compute the same of recordings read as sequences, float32 [n_recordings, 1, classes]."""
        sequence = self.network.sequence
        assert sequence is not None
        (vectors,) = self.of_songs(images, [None], recording, n_recordings)
        with torch.inference_mode():
            return np.asarray(sequence.heads[head](torch.from_numpy(vectors)).numpy()[:, None])

    @contextmanager
    def _on_device(self) -> Iterator[torch.device]:
        device = inference_device(self.config)
        with torch.inference_mode(), limited_threads(self.config.threads):
            self.network.to(device)
            yield device
            self.network.to("cpu")

    def _activated(
        self, head: int, scores: Callable[[Tensor], Tensor]
    ) -> Callable[[Tensor], Tensor]:
        """What gives a tag's probabilities, by its temperature; of taste, the vectors."""
        if head == len(self.temperatures):
            return scores
        return lambda rows: probabilities(self.config.loss, scores(rows) / self.temperatures[head])

    def _empty_results(self, n: int, heads: Sequence[int | None]) -> list[Float32Array]:
        sizes = [
            self.config.dimension if head is None else self.network.output_sizes[head]
            for head in heads
        ]
        return [np.full((n, size), np.nan, dtype=np.float32) for size in sizes]
