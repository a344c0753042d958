"""Run a trained network over images, in batches of windows."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from datasets.arrays import Float32Array, IntArray
from embedding.network.augmentation import covering_windows
from embedding.network.devices import to_tensor
from embedding.network.layers import SongNetwork

WINDOWS_AT_ONCE = 256
"""Windows that the network maps at a time, however wide the images are."""


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
    at_a_time = max(1, WINDOWS_AT_ONCE // len(starts))
    for first in range(0, n, at_a_time):
        own = slice(first, min(n, first + at_a_time))
        batch = images[own] if rows is None else images[rows[own]]
        vectors = []
        for place in range(0, len(starts), WINDOWS_AT_ONCE):
            these = starts[place : place + WINDOWS_AT_ONCE]
            parts = np.concatenate([batch[..., s : s + width] for s in these])
            found = network.windows(to_tensor(parts).to(device))
            vectors.append(found.reshape(len(these), len(batch), -1))
        yield own, vectors[0] if len(vectors) == 1 else torch.cat(vectors)
