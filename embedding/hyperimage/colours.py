"""Brightness to red, green and blue by a matplotlib colour map."""

from functools import cache

import numpy as np

from datasets.arrays import Float32Array

_COLOURS = 256
"""Number of brightness steps."""


@cache
def colour_table(name: str) -> Float32Array:
    """Return red, green and blue, 0 .. 1, of each step of brightness: float32 [256, 3].

    Raises:
        ValueError: matplotlib has no colour map of that name.
    """
    import matplotlib  # slow to import, and most images have no colours

    try:
        colours = matplotlib.colormaps[name]
    except KeyError:
        raise ValueError(f"matplotlib has no colour map {name!r}") from None
    table = np.asarray(colours(np.linspace(0, 1, _COLOURS))[:, :3], dtype=np.float32)
    table.flags.writeable = False
    return table


def apply_colour_map(brightness: Float32Array, name: str) -> Float32Array:
    """Map values, clipped to 0 .. 1, to colours: [height, width] to [3, height, width]."""
    steps = np.rint(np.clip(brightness, 0, 1) * (_COLOURS - 1)).astype(np.intp)
    return np.ascontiguousarray(colour_table(name)[steps].transpose(2, 0, 1))
