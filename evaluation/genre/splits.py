"""Cross-validation folds that keep artists, songs or only windows apart.

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


@dataclass(frozen=True)
class GenreSplit:
    """A way to divide recordings into folds."""

    name: str
    """``"artist"``, ``"song"`` or ``"snippet"``."""
    apart: str
    """What never appears in both training and test."""
    leak: str
    """What may appear in both, explained for readers of the report."""


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
"""All splits by name, strictest first."""


def genre_split(name: str) -> GenreSplit:
    """Look up a split by name.

    Args:
        name: ``"artist"``, ``"song"`` or ``"snippet"``.

    Returns:
        The split.

    Raises:
        InvalidArgumentError: there is no split of that name.

    Examples:
        >>> genre_split("song").leak[:17]
        'The artist leaks:'
    """
    if name not in SPLITS:
        raise InvalidArgumentError(f"split must be one of {', '.join(SPLITS)}, not {name!r}")
    return SPLITS[name]


def assign_folds(
    labels: NDArray[Any], groups: NDArray[Any], folds: int, seed: int, *, noun: str
) -> IntArray:
    """Assign rows to folds, keeping each group in one fold and balancing labels.

    Args:
        labels: label of each row, [n].
        groups: group of each row, [n].
        folds: number of folds, at least 2.
        seed: seed of the shuffling.
        noun: what groups are called in error messages, such as ``"artists"``.

    Returns:
        Fold of each row, 0 … folds - 1, [n].

    Raises:
        EvaluationError: there are too few groups, labels or rows of a label for that many folds.
    """
    if folds < 2:
        raise EvaluationError(f"cross-validation takes at least 2 folds, not {folds}")
    n_groups = len(set(groups))
    if n_groups < folds:
        raise EvaluationError(f"{folds} folds need as many {noun}; there are {n_groups}")
    if len(set(labels)) < 2:
        raise EvaluationError("genre accuracy needs recordings of at least two genres")
    most = int(pd.Series(labels).value_counts().iloc[0])
    if most < folds:
        raise EvaluationError(
            f"{folds} folds need {folds} recordings of some genre; the most there are is {most}"
        )
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    text = labels.astype(str)
    # Where every row is its own group both give valid folds, and StratifiedKFold is faster.
    if n_groups == len(groups):
        splitter: Any = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = np.full(len(labels), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # scikit-learn warns about labels with fewer rows than folds; the results report them.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, test) in enumerate(splitter.split(text, text, groups.astype(str))):
            fold[test] = number
    if len(np.unique(fold)) < folds:
        raise EvaluationError(f"the {n_groups} {noun} do not fill {folds} folds; use fewer folds")
    return fold


def single_group_labels(labels: NDArray[Any], groups: NDArray[Any]) -> list[str]:
    """List labels that occur in one group only: when tested, they are missing from training."""
    owners = pd.DataFrame({"label": labels, "group": groups}).groupby("label")["group"].nunique()
    return sorted(str(name) for name in owners.index[owners == 1])
