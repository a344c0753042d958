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
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        image = np.asarray(opened.convert("L"), np.float64)[::-1]  # low pitches first
    ranks = np.argsort(np.argsort(image, axis=None, kind="stable"), kind="stable")
    # Between the values and their ranks: every song uses most of the colours.
    light = 0.4 * _scaled(image) + 0.6 * ranks.reshape(image.shape) / max(image.size - 1, 1)
    light = _around(light, _SIDE)
    cover = Image.fromarray(np.clip(light * 127, 0, 127).astype(np.uint8), "P")
    cover.putpalette(_palette(hue)[::2].tobytes())
    target = io.BytesIO()
    cover.save(target, format="PNG", optimize=True)
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


def _around(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """A picture [pitch, time] laid around the middle of a square: pitch outwards, time around.

    Time runs down one half and back on the other, so that nothing is cut.
    """
    at = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(at, at)
    height, width = image.shape
    pitch = np.clip(np.hypot(x, y) / 1.3, 0, 1) * (height - 1)
    time = np.abs(np.arctan2(x, -y)) / np.pi * (width - 1)
    low, early = np.floor(pitch).astype(int), np.floor(time).astype(int)
    high, late = np.minimum(low + 1, height - 1), np.minimum(early + 1, width - 1)
    up, on = pitch - low, time - early
    inner = image[low, early] * (1 - on) + image[low, late] * on
    outer = image[high, early] * (1 - on) + image[high, late] * on
    return inner * (1 - up) + outer * up


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
