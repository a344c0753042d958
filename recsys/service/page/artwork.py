"""Covers: a song's hyper-image in colours of its own, or a figure drawn from its vector.

The colours come from where a song's vector points, so that songs that are alike look alike.
"""

import hashlib
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array

_SIDE = 320
"""Pixels of a cover."""

_BARS = 40
"""Rays of a figure."""


def hue_of(vector: Float32Array | None, item_id: str) -> float:
    """Return the hue of a song in degrees: near for vectors that point the same way.

    Args:
        vector: [d], standardised; None where the song has none: its id decides.
        item_id: the song.

    Examples:
        >>> vector = np.array([1.0, 2.0, -1.0], np.float32)
        >>> hue_of(vector, "a") == hue_of(2 * vector, "b")
        True
    """
    if vector is None or not np.any(vector):
        digest = hashlib.sha256(item_id.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:2], "big") * 360 / 65_536
    axes = np.random.default_rng(7).normal(size=(2, len(vector)))
    x, y = axes @ vector
    return math.degrees(math.atan2(y, x)) % 360


def draw_cover(picture: bytes, hue: float) -> bytes:
    """Draw a cover from a hyper-image.

    Args:
        picture: the hyper-image as a PNG.
        hue: in degrees.

    Returns:
        A PNG.
    """
    from matplotlib.image import imread, imsave

    image = np.asarray(imread(io.BytesIO(picture), format="png"), np.float64)
    light = image[..., :3] @ np.array([0.2126, 0.7152, 0.0722]) if image.ndim == 3 else image
    ranks = np.argsort(np.argsort(light, axis=None, kind="stable"), kind="stable")
    # Between the values and their ranks: every song uses most of the colours.
    flat = ranks.reshape(light.shape) / max(light.size - 1, 1)
    light = 0.45 * _scaled(light) + 0.55 * flat
    light = _enlarged(light, _SIDE)
    colours = _palette(hue)[np.clip((light * 255).astype(int), 0, 255)]
    target = io.BytesIO()
    imsave(target, np.ascontiguousarray(colours), format="png")
    return target.getvalue()


def draw_figure(vector: Float32Array | None, item_id: str, hue: float) -> str:
    """Draw a figure in place of a cover, from a song's vector, as SVG.

    Args:
        vector: [d]; None where the song has none: its id decides.
        item_id: the song.
        hue: in degrees.

    Examples:
        >>> draw_figure(None, "<script>", 90)[:4]
        '<svg'
    """
    if vector is None or not np.any(vector):
        digest = hashlib.sha256(item_id.encode("utf-8", "surrogateescape")).digest()
        values = np.frombuffer(digest * 2, np.uint8)[:_BARS].astype(np.float64)
    else:
        places = np.arange(_BARS * max(1, math.ceil(len(vector) / _BARS))) % len(vector)
        values = np.asarray(vector, np.float64)[places].reshape(_BARS, -1).mean(axis=1)
    values = _scaled(values)
    dark, middle, light = (
        "#" + "".join(f"{part:02x}" for part in _palette(hue)[at]) for at in (40, 130, 235)
    )
    rays = []
    for number, value in enumerate(values.tolist()):
        angle = 2 * math.pi * number / _BARS
        x, y = math.sin(angle), -math.cos(angle)
        inner, outer = 26.0, 32.0 + 44.0 * value
        rays.append(
            f'<line x1="{100 + inner * x:.1f}" y1="{100 + inner * y:.1f}" '
            f'x2="{100 + outer * x:.1f}" y2="{100 + outer * y:.1f}"/>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="320" height="320">'
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop stop-color="{middle}"/>'
        f'<stop offset="1" stop-color="{dark}"/></linearGradient></defs>'
        '<rect width="200" height="200" fill="url(#g)"/>'
        f'<g stroke="{light}" stroke-width="5" stroke-linecap="round">{"".join(rays)}</g></svg>'
    )


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values as shares of their range."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)


def _enlarged(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """A picture [h, w] with side x side pixels, interpolated linearly."""
    for axis in (0, 1):
        length = image.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        low = at.astype(int)
        high = np.minimum(low + 1, length - 1)
        part = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        image = image.take(low, axis) * (1 - part) + image.take(high, axis) * part
    return image


def _palette(hue: float) -> NDArray[np.uint8]:
    """256 colours from dark to light around a hue, in steps that look even (OKLCH), [256, 3]."""
    at = np.linspace(0, 1, 256)
    lightness = 0.2 + 0.74 * at
    chroma = 0.05 + 0.13 * np.sin(np.pi * np.clip(at * 0.95 + 0.08, 0, 1))
    angle = np.radians(hue - 35 + 95 * at)
    a, b = chroma * np.cos(angle), chroma * np.sin(angle)
    # Björn Ottosson's OKLab (2020) to linear sRGB.
    parts = np.stack([
        lightness + 0.3963377774 * a + 0.2158037573 * b,
        lightness - 0.1055613458 * a - 0.0638541728 * b,
        lightness - 0.0894841775 * a - 1.2914855480 * b,
    ]) ** 3  # fmt: skip
    matrix: Any = np.array([
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ])  # fmt: skip
    linear = np.clip(matrix @ parts, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(shown.T * 255).astype(np.uint8)
