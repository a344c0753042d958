"""Which recordings are tested together: by artist, by song, or window by window.

The less is kept apart, the more of what a classifier scores is recognition: of the artist (the
"album effect": Pampalk, Flexer and Widmer, ISMIR 2005), or of the very recording.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import IntArray
from datasets.errors import EvaluationError, InvalidArgumentError

Labels = NDArray[Any]


@dataclass(frozen=True)
class GenreSplit:
    """What a split keeps on one side, and what it lets through."""

    name: str
    apart: str
    """What is never on both sides."""
    leak: str
    """What is on both sides, in words for a reader of the figures."""


SPLITS: Final = {
    split.name: split
    for split in (
        GenreSplit(
            "artist",
            "artists",
            "No leak is known: every artist is on one side only. The figure is what to expect of"
            " music by artists that training never had.",
        ),
        GenreSplit(
            "song",
            "songs",
            "The artist leaks: other songs of an artist under test are in training, and their"
            " genre is mostly the same, so recognising the artist counts as knowing the genre."
            " This is the patent's protocol (ordered by title).",
        ),
        GenreSplit(
            "snippet",
            "windows",
            "The song itself leaks: other windows of a song under test are in training, so"
            " remembering the recording counts as knowing the genre. The figure says nothing of"
            " new songs.",
        ),
    )
}
"""The splits by name, the most honest first."""


def check_split(name: str) -> GenreSplit:
    """The split of that name; raises InvalidArgumentError where there is none."""
    if name not in SPLITS:
        raise InvalidArgumentError(f"split must be one of {', '.join(SPLITS)}, not {name!r}")
    return SPLITS[name]


def assign_folds(label: Labels, group: Labels, folds: int, seed: int, *, noun: str) -> IntArray:
    """Fold of each row, 0 … folds - 1; all of a group in one, labels spread evenly.

    ``label`` and ``group`` are [n]; ``noun`` is what a group is called in a message. Raises
    :class:`~datasets.errors.EvaluationError` where the rows do not make that many folds.
    """
    if folds < 2:
        raise EvaluationError(f"cross-validation takes at least 2 folds, not {folds}")
    n_groups = len(set(group))
    if n_groups < folds:
        raise EvaluationError(f"{folds} folds need as many {noun}; there are {n_groups}")
    if len(set(label)) < 2:
        raise EvaluationError("genre accuracy needs recordings of at least two genres")
    most = int(pd.Series(label).value_counts().iloc[0])
    if most < folds:
        raise EvaluationError(
            f"{folds} folds need {folds} recordings of some genre; the most there are is {most}"
        )
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    text = label.astype(str)
    # Where every row is a group of its own, the general search would only be slower.
    if n_groups == len(group):
        splitter: Any = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = np.full(len(label), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # A label of fewer recordings than folds is no reason to stop, and the result says so.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, test) in enumerate(splitter.split(text, text, group.astype(str))):
            fold[test] = number
    if len(np.unique(fold)) < folds:
        raise EvaluationError(f"the {n_groups} {noun} do not fill {folds} folds; use fewer folds")
    return fold


def labels_of_one_group(label: Labels, group: Labels) -> list[str]:
    """Labels that a single group has: under test they are never in training."""
    owners = pd.DataFrame({"label": label, "group": group}).groupby("label")["group"].nunique()
    return sorted(str(name) for name in owners.index[owners == 1])
