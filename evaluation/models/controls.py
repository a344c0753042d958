"""Models that are there to expose a figure: what it would be without what it is praised for.

The names are rules as well: :mod:`evaluation.conclusions.summary` reads "X, shuffled audio" as model X
given somebody else's audio.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.columns import ITEM_ID, SCORE
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
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
"""Controls made of a model, and what may be so where it is not shown to beat them."""

STANDALONE_CONTROLS: Mapping[str, str] = {
    POPULARITY_ORACLE: "knowing what is popular would do as well",
    RANDOM: "chance knows as much of who plays what",
}
"""Controls that need no model."""

_RANKERS = 100
"""Users whose scores are averaged."""
_ROWS_AT_ONCE = 1_000_000
"""Rows of full rankings asked for in one call."""


def control_name(model: str, control: str) -> str:
    """What a control of a model is called: "hybrid, shuffled audio"."""
    return f"{model}, {control}"


def parse_control_name(control: str) -> tuple[str, str] | None:
    """The model that a control is made of and its kind; None for one that stands alone."""
    model, comma, kind = control.rpartition(", ")
    return (model, kind) if comma and kind in MODEL_CONTROLS else None


def shuffled(embeddings: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The same embeddings, dealt out to the items at random; no item keeps its own."""
    n = len(embeddings)
    # One cycle through all items in random order: everybody gets the embedding of the next.
    order = np.random.default_rng(seed).permutation(n)
    rows = np.empty(n, np.intp)
    rows[order] = np.roll(order, 1)
    return embeddings.iloc[rows].set_axis(embeddings.index)


class SameForEverybody(Baseline):
    """A model's ranking for a hundred users on average, given to everybody.

    It has all that the model knows of items, what is popular included, and nothing of whom they
    are for: its item-wise AUC is 0.5 by definition.
    """

    def __init__(self, make: ModelFactory, seed: int = 0) -> None:
        """make: factory of the model, whose scores must mean the same for different users."""
        super().__init__(seed)
        self._model: Any = make()
        self.config = getattr(self._model, "config", None)
        self._score: Float64Array | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        """Fit the model, and choose the users whose scores are averaged."""
        super().fit(dataset)
        self._model.fit(dataset)
        users = sorted(self._seen or ())
        self._rankers = users[:: max(1, len(users) // _RANKERS)][:_RANKERS]
        self._score = None
        return self

    def onboard_many(self, dataset: MusicDataset) -> Self:
        """Add new items to the model, where it takes any."""
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
        """Mean score of every item over the rankers; NaN for an item that no list has."""
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
