"""Training targets from labels, and the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import BoolArray, Float32Array, IntArray
from datasets.errors import InvalidArgumentError

SEPARATOR = ";"
"""Separator of several values of a tag in one label."""


TASTE = "taste"
"""Name of the target that is no tag: the collaborative vector of an image's song."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted of n images: their classes for one tag, or their songs' taste."""

    tag: str
    classes: NDArray[np.str_]
    """Classes of the tag; of taste, numbers of the dimensions."""
    values: Float32Array
    """float32 [n, classes]: 1 for the classes of an image, or for taste a vector of length 1; all 0
    where unknown."""
    is_taste: bool = False

    @property
    def known(self) -> BoolArray:
        """bool [n]: images with a known class."""
        return np.asarray(self.values.any(axis=1))

    def take(self, rows: IntArray) -> Target:
        """Return the target of some images."""
        return replace(self, values=self.values[rows])


def taste_directions(taste: ArrayLike, n: int) -> Float32Array:
    """Check the collaborative vectors of n inputs and scale them to length 1.

    Args:
        taste: [n, r]; rows of NaN where the vector is unknown, as those of zeros.
        n: number of inputs.

    Returns:
        float32 [n, r]; zeros where unknown.

    Raises:
        InvalidArgumentError: not n vectors, or infinite values.
    """
    try:
        values = np.array(taste, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgumentError("taste must be an array of numbers, [n, r]") from None
    if values.ndim != 2 or len(values) != n or values.shape[1] < 2:
        raise InvalidArgumentError(
            f"taste: expected {n} vectors of at least two numbers, one an input; got {values.shape}"
        )
    values[np.isnan(values).all(axis=1)] = 0
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        raise InvalidArgumentError(
            f"taste, row {int(np.argmax(wrong))}: must be finite, or NaN throughout where unknown"
        )
    # Divided by the largest first, so that no square is too large or too small.
    largest = np.abs(values).max(axis=1, keepdims=True)
    values /= np.where(largest > 0, largest, 1)
    return unit_rows(values)


def unit_rows(vectors: ArrayLike) -> Float32Array:
    """Scale vectors [n, r] to length 1; zeros stay zeros."""
    values = np.asarray(vectors)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def make_taste_target(taste: ArrayLike, n: int) -> Target:
    """Return the directions of n images' collaborative vectors as a target.

    Args:
        taste: as in `taste_directions`.
        n: number of images.

    Raises:
        InvalidArgumentError: as `taste_directions`, or no vector is known.
    """
    directions = taste_directions(taste, n)
    if not directions.any():
        raise InvalidArgumentError("taste: no vector is known")
    dimensions = np.arange(directions.shape[1]).astype(np.str_)
    return Target(TASTE, dimensions, directions, is_taste=True)


def make_targets(
    labels: ArrayLike | Mapping[str, ArrayLike],
    n: int,
    tags: tuple[str, ...],
    *,
    several: bool = False,
    classes: Mapping[str, NDArray[np.str_]] | None = None,
) -> list[Target]:
    """Convert the labels of n images to one target for each tag.

    Args:
        labels: n values of the only tag, or a mapping (or table) from each tag to its n values;
            blank values ("", None, NaN) are unknown.
        n: number of images.
        tags: names of the tags.
        several: whether a value may hold several classes, separated by ``;``.
        classes: known classes of each tag, which come first even if they do not occur.

    Raises:
        InvalidArgumentError: a tag is missing, it does not have n values, or it has fewer than two
            classes.
    """
    given: Any = {tags[0]: labels} if _is_vector(labels) else labels
    missing = [tag for tag in tags if tag not in given]
    if missing:
        raise InvalidArgumentError(f"labels: the values of tag {missing[0]!r} are missing")
    targets = []
    for tag in tags:
        names = clean_labels(given[tag], n)
        targets.append(_target(tag, names, several, (classes or {}).get(tag)))
    return targets


def clean_labels(labels: ArrayLike, n: int) -> NDArray[np.str_]:
    """Convert labels to stripped text; "" for missing ones (None, NaN, blank)."""
    values = as_column(labels, n, "labels")
    return np.array(
        ["" if v is None or v != v else str(v).strip() for v in values.tolist()], dtype=np.str_
    )


def known_values(labels: ArrayLike, *, several: bool = False) -> set[str]:
    """Return the values that occur among the labels of a tag.

    Args:
        labels: any number of values; blank ones ("", None, NaN) are unknown.
        several: whether a value may hold several classes, separated by ``;``.
    """
    names = clean_labels(labels, len(np.asarray(labels, dtype=object)))
    return {part for name in names for part in _parts(str(name), several)}


def as_column(values: ArrayLike, n: int, name: str, each: str = "an image") -> NDArray[Any]:
    """Convert `values` to an array of n objects; raise InvalidArgumentError if there are not n."""
    array = np.asarray(values, dtype=object)
    if array.shape != (n,):
        raise InvalidArgumentError(f"{name}: expected {n} values, one {each}; got {array.shape}")
    return array


def _target(
    tag: str, names: NDArray[np.str_], several: bool, first: NDArray[np.str_] | None
) -> Target:
    parts = [_parts(str(name), several) for name in names]
    before = [] if first is None else first.tolist()
    found = sorted({part for row in parts for part in row} - set(before))
    classes = np.array(before + found, dtype=np.str_)
    if len(classes) < 2:
        only = f"only {str(classes[0])!r}" if len(classes) else "none"
        raise InvalidArgumentError(
            f"training needs images of at least two values of {tag!r}; there is {only}"
        )
    column = {str(name): position for position, name in enumerate(classes)}
    values = np.zeros((len(names), len(classes)), dtype=np.float32)
    for row, row_parts in enumerate(parts):
        values[row, [column[part] for part in row_parts]] = 1
    return Target(tag, classes, values)


def _parts(name: str, several: bool) -> list[str]:
    parts = [part.strip() for part in name.split(SEPARATOR)] if several else [name]
    return [part for part in parts if part]


def _is_vector(labels: Any) -> bool:
    """Return whether labels are the values of one tag, not a mapping or table of several."""
    return not isinstance(labels, Mapping) and getattr(labels, "ndim", 1) == 1


def validation_split(
    targets: IntArray, groups: NDArray[Any], fraction: float, seed: int
) -> IntArray:
    """Choose whole groups for validation, about ``fraction`` of each class.

    A group is held out only if each of its classes keeps another group for training; so a class
    with a single group (or image) is trained on and not validated. If each image is its own group,
    this is a stratified split.

    Args:
        targets: int [n], class of each image.
        groups: [n], group of each image.
        fraction: share of the images to hold out; 0 for none.
        seed: random seed.

    Returns:
        Positions of the held-out images, ascending.
    """
    _, group_of = np.unique(groups.astype(str), return_inverse=True)
    counts = np.zeros((group_of.max(initial=-1) + 1, targets.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (group_of, targets), 1)
    room = np.rint(fraction * counts.sum(axis=0)).astype(np.int64)
    groups_left = (counts > 0).sum(axis=0)
    held_out = []
    for group in np.random.default_rng([seed, 1]).permutation(len(counts)):
        present = counts[group] > 0
        # A group may exceed the remaining room by a factor of two: otherwise nothing would fit for
        # genres with few artists.
        fits = (counts[group] <= np.maximum(2 * room, 0))[present].all()
        if fits and (groups_left[present] > 1).all():
            held_out.append(group)
            room -= counts[group]
            groups_left -= present
    return np.flatnonzero(np.isin(group_of, held_out)).astype(np.int64)
