"""Statistics of hyper-images: what a recording sounds like, without a network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array

N_CEPSTRUM = 20
"""Number of cepstral coefficients; the first is the level."""


def image_statistics(images: NDArray[Any]) -> Float32Array:
    """Summarise images over time: means and deviations of rows and of cepstral coefficients.

    Args:
        images: [n, channels, height, width]; rows are frequencies and columns are times.

    Returns:
        float32 [n, d]: mean and standard deviation of every row, and, for the first 20 cepstral
        coefficients (discrete cosine transform along the rows), mean, standard deviation, and
        standard deviation of the change from column to column.

    Examples:
        >>> image_statistics(images).shape  # 24 rows, 20 coefficients
        (24, 108)
    """
    from scipy.fft import dct

    rows = []
    for image in images:
        picture = image.astype(np.float32)
        cepstrum = dct(picture, axis=1, norm="ortho")[:, :N_CEPSTRUM]
        parts = (picture.mean(axis=2), picture.std(axis=2), *statistics_over_time(cepstrum))
        rows.append(np.concatenate([part.ravel() for part in parts]))
    return np.stack(rows).astype(np.float32)


def statistics_over_time(
    values: NDArray[np.floating[Any]],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean, standard deviation, and standard deviation of the change along the last axis."""
    # An image of one column does not change.
    change = np.diff(values, axis=-1) if values.shape[-1] > 1 else np.zeros_like(values)
    return values.mean(axis=-1), values.std(axis=-1), change.std(axis=-1)
