"""Data augmentation: random changes of training images, against overfitting.

Every random choice is seeded by the seed, the epoch and the position of the image, so that it does
not depend on interruptions or on the number of devices that share a batch.
"""

import numpy as np

from datasets.arrays import Float32Array, IntArray
from embedding.network.config import AugmentationConfig, EncoderConfig

EQUALISER_POINTS = 5


def training_batch(
    images: Float32Array, rows: IntArray, config: EncoderConfig, epoch: int
) -> Float32Array:
    """Augment the images of a batch: a random window of each, changed at random.

    Args:
        images: float32 [n, channels, height, width], all training images.
        rows: positions of the images of the batch.
        config: window, augmentation and seed.
        epoch: number of the epoch.

    Returns:
        float32 [len(rows), channels, height, window], a copy.
    """
    changes = config.augmentation
    batch = []
    for row in rows:
        rng = np.random.default_rng([config.seed, epoch, int(row)])
        window = _random_window(images[row], config.window, changes.stretch, rng)
        image = np.array(window, dtype=np.float32)
        if changes.row_shift:
            image = _shifted(image, int(changes.row_shift * image.shape[1]), rng)
        if changes.equaliser:
            image += _random_curve(image.shape[1], changes.equaliser, rng)[:, None]
        if changes.contrast:
            factor = np.float32(np.exp(rng.uniform(-changes.contrast, changes.contrast)))
            mean = image.mean()
            image = mean + factor * (image - mean)
        if changes.level:
            image += np.float32(rng.uniform(-changes.level, changes.level))
        if changes.noise:
            image += np.float32(changes.noise) * rng.standard_normal(image.shape, np.float32)
        if changes.time_mask or changes.row_mask:
            _mask(image, changes, rng)
        batch.append(image)
    return np.stack(batch)


def mixup_partners(
    size: int, config: EncoderConfig, epoch: int, step: int
) -> tuple[float, IntArray]:
    """Draw the mixup of a batch: the share each image keeps, and the image it is mixed with."""
    rng = np.random.default_rng([config.seed, epoch, step, 1])
    alpha = config.augmentation.mixup
    share = float(rng.beta(alpha, alpha)) if alpha else 1.0
    return share, rng.permutation(size)


def covering_windows(images: Float32Array, window: int | None) -> tuple[int, list[int]]:
    """Return the width and the first columns of windows that cover an image.

    Windows are evenly spaced and overlap by half or a little more. An image that is not wider than
    the window is a single window.

    Args:
        images: [..., width].
        window: width of a window; None: the whole image.
    """
    width = images.shape[-1]
    if window is None or width <= window:
        return width, [0]
    steps = int(np.ceil((width - window) / (window / 2)))
    return window, [int(start) for start in np.rint(np.linspace(0, width - window, steps + 1))]


def _random_window(
    image: Float32Array, window: int | None, stretch: float, rng: np.random.Generator
) -> Float32Array:
    """Random part of ``window`` columns, stretched in time by a random factor."""
    total = image.shape[-1]
    if window is None or total <= window:
        return image
    taken = min(total, round(window * np.exp(rng.uniform(-stretch, stretch))))
    start = int(rng.integers(total - taken + 1))
    if taken == window:
        return image[..., start : start + window]
    columns = start + np.rint(np.linspace(0, taken - 1, window)).astype(int)
    return image[..., columns]


def _shifted(image: Float32Array, farthest: int, rng: np.random.Generator) -> Float32Array:
    """Shift [channels, height, width] up or down by a random number of rows."""
    height = image.shape[1]
    shift = int(rng.integers(-farthest, farthest + 1))
    return image[:, np.clip(np.arange(height) - shift, 0, height - 1)]


def _random_curve(rows: int, size: float, rng: np.random.Generator) -> Float32Array:
    """Smooth random curve over the rows, with values in -size .. size."""
    points = rng.uniform(-size, size, EQUALISER_POINTS)
    places = np.linspace(0, rows - 1, EQUALISER_POINTS)
    return np.interp(np.arange(rows), places, points).astype(np.float32)


def _mask(image: Float32Array, changes: AugmentationConfig, rng: np.random.Generator) -> None:
    """Set random blocks of columns and rows to the mean of the image, in place."""
    blank = image.mean()
    _, height, width = image.shape
    for _ in range(changes.masks):
        columns = int(rng.integers(int(changes.time_mask * width) + 1))
        start = int(rng.integers(width - columns + 1))
        image[:, :, start : start + columns] = blank
        rows = int(rng.integers(int(changes.row_mask * height) + 1))
        start = int(rng.integers(height - rows + 1))
        image[:, start : start + rows] = blank
