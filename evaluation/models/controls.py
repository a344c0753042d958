"""Controls: models that lack one factor, such as the audio, to show what the factor contributes.

The name of a control has a meaning: "X, shuffled audio" is model X with the audio of other items,
and ``evaluation.conclusions.audio_controls`` compares the two.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.columns import ITEM_ID, SCORE
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from datasets.tables.frames import embedding_frame
from evaluation.arguments import generator
from evaluation.model import ModelFactory
from evaluation.models.baselines import Baseline
from evaluation.models.top_k import SharedOrder

SHUFFLED_AUDIO: Final = "shuffled audio"
SAME_FOR_EVERYBODY: Final = "same for everybody"
GENRE_FOR_AUDIO: Final = "genre for audio"
POPULARITY_ORACLE: Final = "popularity oracle"
RANDOM: Final = "random"

MODEL_CONTROLS: Mapping[str, str] = {
    SHUFFLED_AUDIO: "the audio adds nothing: recordings dealt out at random do as well",
    SAME_FOR_EVERYBODY: (
        "the audio says what is liked, and not by whom: one ranking for everybody does as well"
    ),
    GENRE_FOR_AUDIO: "the audio says no more than the genre label",
}
"""Kinds of controls made from a model, and what may be true if the model does not beat them."""

STANDALONE_CONTROLS: Mapping[str, str] = {
    POPULARITY_ORACLE: "knowing what is popular would do as well",
    RANDOM: "chance knows as much of who plays what",
}
"""Controls that stand alone, and what may be true if a model does not beat them."""

_RANKERS = 100
"""Number of users whose scores are averaged."""

_ROWS_AT_ONCE = 1_000_000
"""Rows of full rankings that a model is asked for in one call."""


def control_name(model: str, control: str) -> str:
    """Return the name of a control of a model.

    Args:
        model: name of the model.
        control: kind of control, one of ``MODEL_CONTROLS``.

    Examples:
        >>> control_name("hybrid", SHUFFLED_AUDIO)
        'hybrid, shuffled audio'
    """
    return f"{model}, {control}"


def parse_control_name(control: str) -> tuple[str, str] | None:
    """Split the name of a control into the model and the kind of control.

    Args:
        control: name of a control.

    Returns:
        (model, kind); None for a control that is not made from a model.

    Examples:
        >>> parse_control_name("hybrid, shuffled audio")
        ('hybrid', 'shuffled audio')
        >>> parse_control_name("popularity oracle") is None
        True
    """
    model, comma, kind = control.rpartition(", ")
    return (model, kind) if comma and kind in MODEL_CONTROLS else None


def shuffled(embeddings: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Assign embeddings to other items at random; no item keeps its own.

    Args:
        embeddings: index item_id, one column per dimension; at least two items.
        seed: decides which item gets which embedding.

    Returns:
        A table with the same index and the same rows in another order.

    Examples:
        >>> dealt = shuffled(embeddings, seed=0)
        >>> bool((dealt.index == embeddings.index).all())
        True
        >>> int((dealt.to_numpy() == embeddings.to_numpy()).all(axis=1).sum())
        0
    """
    embeddings = embedding_frame(embeddings)
    n = len(embeddings)
    # One cycle through all items in random order: each item gets the embedding of its neighbour.
    order = generator(seed).permutation(n)
    rows = np.empty(n, np.intp)
    rows[order] = np.roll(order, 1)
    return embeddings.iloc[rows].set_axis(embeddings.index)


class SameForEverybody(Baseline):
    """Give all users the same ranking: a model's scores averaged over a hundred users.

    It knows everything that the model knows of items, popularity included, and nothing of the user:
    its item-wise AUC is 0.5 by definition.

    Args:
        make: factory of the model, whose scores must be comparable between users.
        seed: decides the order of items with equal scores.

    Examples:
        >>> from evaluation.models import Popularity
        >>> model = SameForEverybody(Popularity).fit(dataset)
        >>> lists = model.recommend_many(["u0", "u1"], k=2, exclude_seen=False)
        >>> [group["item_id"].tolist() for _, group in lists.groupby("user_id")]
        [['s27', 's17'], ['s27', 's17']]
    """

    def __init__(self, make: ModelFactory, seed: int = 0) -> None:
        super().__init__(seed)
        self._model: Any = make()
        self.config = getattr(self._model, "config", None)
        self._score: Float64Array | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        """Fit the model and choose the users whose scores are averaged."""
        super().fit(dataset)
        self._model.fit(dataset)
        users = sorted(self._seen or ())
        self._rankers = users[:: max(1, len(users) // _RANKERS)][:_RANKERS]
        self._score = None
        return self

    def onboard_many(self, dataset: MusicDataset) -> Self:
        """Add new items to the model, if it has ``onboard_many``."""
        onboard = getattr(self._model, "onboard_many", None)
        if onboard is not None:
            onboard(dataset)
            super().onboard_many(dataset)
        self._score = None
        return self

    def _order(self, allowed: IntArray) -> SharedOrder:
        if self._score is None:
            self._score = self._average()
        return SharedOrder(self._score, allowed)

    def _average(self) -> Float64Array:
        """Average every item's score over the chosen users, [n_items]; NaN for an unlisted item."""
        n = len(self._items)
        total, count = np.zeros(n), np.zeros(n)
        step = max(1, _ROWS_AT_ONCE // n)
        for start in range(0, len(self._rankers), step):
            lists = self._model.recommend_many(
                self._rankers[start : start + step], n, exclude_seen=False
            )
            rows = self._items.get_indexer(pd.Index(lists[ITEM_ID], dtype=object))
            if (rows < 0).any():
                item = lists[ITEM_ID].iloc[int(rows.argmin())]
                raise EvaluationError(f"leak: recommends the item {item!r}, which it was not given")
            total += np.bincount(rows, weights=lists[SCORE], minlength=n)
            count += np.bincount(rows, minlength=n)
        with np.errstate(invalid="ignore"):
            mean: Float64Array = total / count
        return mean
