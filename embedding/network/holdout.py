"""Which images are held out to choose the epoch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import IntArray


def choose_validation(
    targets: IntArray, groups: NDArray[Any], fraction: float, seed: int
) -> IntArray:
    """Positions of about ``fraction`` of each class, in whole groups, in ascending order.

    A group goes in whole, and only while every class it holds keeps another group for training;
    so a class of one group (or one image) is trained on and not validated. With one group an
    image this is a stratified split.

    Args:
        targets: class of each image, [n].
        groups: group of each image, [n].
        fraction: wanted share, 0 for none.
        seed: seed of the choice.
    """
    _, group_of = np.unique(groups.astype(str), return_inverse=True)
    counts = np.zeros((group_of.max(initial=-1) + 1, targets.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (group_of, targets), 1)
    room = np.rint(fraction * counts.sum(axis=0)).astype(np.int64)
    groups_left = (counts > 0).sum(axis=0)
    held_out = []
    for group in np.random.default_rng([seed, 1]).permutation(len(counts)):
        present = counts[group] > 0
        # A group a little larger than the room that is left is taken: with few artists a genre
        # nothing would ever fit.
        fits = (counts[group] <= np.maximum(2 * room, 0))[present].all()
        if fits and (groups_left[present] > 1).all():
            held_out.append(group)
            room -= counts[group]
            groups_left -= present
    return np.flatnonzero(np.isin(group_of, held_out)).astype(np.int64)
