"""Learning curves: accuracy as a function of the number of training interactions."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import BoolArray, IntArray, StrArray
from datasets.columns import ITEM_ID, RANK, USER_ID
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from datasets.tables.ids import checked_ids
from evaluation.comparison.comparison import compare
from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS, FEW_SHOT
from evaluation.metrics.ranking import ACCURACY
from evaluation.model import ModelFactory
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split

_DEFAULT_CANDIDATES: Final = {"cold": COLD_ITEMS, "semi-cold": FEW_SHOT}
"""Candidates measured by default, by kind of split; of others the whole catalogue."""

CURVE_COLUMNS: Final = ("model", "fraction", "interactions", "metric", "k", "mean", "low", "high")
"""Columns of the curve."""

_ATTRIBUTE_TYPES: Final = (str, int, float)


def learning_curve(
    models: Mapping[str, ModelFactory],
    dataset: MusicDataset,
    split: Split,
    *,
    fractions: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
    k: int = 10,
    metrics: Sequence[str] = ("ndcg", "recall"),
    candidates: str | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
    resume: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Measure every model after learning from parts of the training interactions.

    The parts are nested: what a smaller one has, a larger one has too. They are drawn by ``seed``
    from the (user, item) pairs, all rows of a pair together; items, texts and recordings stay. The
    test side is the same throughout: the same users, relevant items and candidates. A user with
    nothing left in training is still asked for, and counts 0 with a model that leaves out unknown
    users. Items whose plays are left out of training are not recommended to their users either, as
    they would take the places of test items, the more of them the smaller the part: a model is
    asked for longer lists, and they are removed.

    Args:
        models: {name: factory of a new model}.
        dataset: the whole data set.
        split: a split of it.
        fractions: shares of the pairs to learn from, above 0 and at most 1.
        k: length of the lists.
        metrics: metrics of ``compare`` that have an interval.
        candidates: name of the candidate set (``evaluation.comparison.trial``); by default the
            cold items of a cold split, the items with few interactions of a semi-cold one, and
            otherwise the whole catalogue.
        n_bootstrap: number of bootstrap resamples.
        confidence: level of the intervals.
        seed: seed of all random choices.
        progress: show a progress bar.
        resume: folder where results are stored and read from, as of ``compare``.

    Returns:
        A row for each (model, fraction, metric), in that order: model, fraction, interactions
        (rows learned from), metric, k (none for AUCs), mean, low, high (a bootstrap interval over
        users or items).

    Raises:
        InvalidArgumentError: a fraction outside 0 to 1, or metrics or candidates that the split
            does not have; and what ``compare`` raises.

    Examples:
        >>> from evaluation import Popularity, learning_curve
        >>> curve = learning_curve({"popularity": Popularity}, dataset, split, fractions=(0.5, 1.0),
        ...                        metrics=("ndcg",), n_bootstrap=100)
        >>> curve[["model", "fraction", "metric"]].values.tolist()
        [['popularity', 0.5, 'ndcg'], ['popularity', 1.0, 'ndcg']]
    """
    parts = sorted(set(fractions))
    if not parts or not all(0 < part <= 1 for part in parts):
        raise InvalidArgumentError(f"fractions must lie above 0 and at most at 1, not {fractions}")
    if candidates is None:
        candidates = _DEFAULT_CANDIDATES.get(split.kind, CATALOGUE)
    training = split.training(dataset)
    found = []
    with progress_bar("learning curve", len(parts) * len(models), shown=progress) as advance:
        for fraction in parts:
            thinned = {
                name: _thinned_factory(make, fraction, seed) for name, make in models.items()
            }
            table = compare(
                thinned,
                dataset,
                [split],
                ks=(k,),
                metrics=[name for name in metrics if name in ACCURACY],
                examples=0,
                n_bootstrap=n_bootstrap,
                confidence=confidence,
                seed=seed,
                on_run=lambda *_: advance(1),
                resume=resume,
            ).table
            table = table[table["candidates"] == candidates]
            rows = thinned_rows(training, fraction, seed)
            found.append(table.assign(fraction=fraction, interactions=len(rows)))
    curve = pd.concat(found)
    missing = [metric for metric in metrics if metric not in set(curve["metric"])]
    if missing:
        raise InvalidArgumentError(f"not measured among {candidates!r}: {missing[0]!r}")
    curve = curve[curve["metric"].isin(metrics)]
    order = np.lexsort(
        (
            curve["metric"].map(list(metrics).index),
            curve["fraction"],
            curve["model"].map(list(models).index),
        )
    )
    return curve.iloc[order][list(CURVE_COLUMNS)].reset_index(drop=True)


def thinned_rows(dataset: MusicDataset, fraction: float, seed: int) -> IntArray:
    """Draw the interactions of a fraction of the (user, item) pairs, at least of one.

    With the same seed, those of a smaller fraction are among those of a larger one, whatever the
    order of the rows.

    Returns:
        Positions of the rows of ``dataset.interactions``, ascending.

    Examples:
        >>> len(thinned_rows(dataset, 0.5, seed=0)) / len(dataset.interactions)
        0.5
    """
    pairs = UserItemPairs.from_dataset(dataset)
    return np.flatnonzero(_kept_pairs(pairs, fraction, seed)[pairs.row_pairs])


def _kept_pairs(pairs: UserItemPairs, fraction: float, seed: int) -> BoolArray:
    order = np.random.default_rng(seed).permutation(len(pairs))
    kept = np.zeros(len(pairs), dtype=bool)
    kept[order[: max(1, int(np.floor(len(pairs) * fraction + 0.5)))]] = True
    return kept


def _thinned_factory(make: ModelFactory, fraction: float, seed: int) -> ModelFactory:
    return lambda: _ThinnedModel(make(), fraction, seed)


class _ThinnedModel:
    """Wraps a model so that it learns from a part of the interactions."""

    def __init__(self, model: Any, fraction: float, seed: int) -> None:
        self._model = model
        self._fraction = fraction
        self._seed = seed
        plain = {
            name: value
            for name, value in getattr(model, "__dict__", {}).items()
            if isinstance(value, _ATTRIBUTE_TYPES)
        }
        # Read by the cache of results: this class and name do not tell which model it is.
        self._identity = f"{type(model).__module__}.{type(model).__qualname__} {plain}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)  # onboard_many, update and config, where there are any

    def fit(self, dataset: MusicDataset) -> None:
        """Fit on a part, and remember the pairs that are not in it."""
        pairs = UserItemPairs.from_dataset(dataset)
        kept = _kept_pairs(pairs, self._fraction, self._seed)
        removed = ~kept & pairs.played
        self._users, self._items = pairs.user_ids, pairs.item_ids
        self._removed = pairs.user[removed] * pairs.n_items + pairs.item[removed]  # ascending
        self._model.fit(dataset.take_interactions(np.flatnonzero(kept[pairs.row_pairs])))

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Recommend items without those the user played in all of the training side."""
        users = np.array(checked_ids("user_ids", user_ids), dtype=object)
        extra = self._n_removable(users, only) if exclude_seen else np.zeros(len(users), np.int64)
        # As many more as may have to be removed, rounded up to powers of two: a call for each
        # number would be slow, and the largest number for all users too.
        longer = np.where(extra > 0, 2 ** np.ceil(np.log2(np.maximum(extra, 1))), 0).astype(int)
        lists = [
            self._without_removed(
                self._model.recommend_many(
                    users[longer == more].tolist(),
                    k + int(more),
                    exclude_seen=exclude_seen,
                    only=only,
                ),
                k,
            )
            if more
            else self._model.recommend_many(
                users[longer == 0].tolist(), k, exclude_seen=exclude_seen, only=only
            )
            for more in np.unique(longer)
        ]
        return pd.concat(lists, ignore_index=True)

    def _n_removable(self, users: StrArray, only: Sequence[str] | None) -> IntArray:
        """How many items to remove could be in each user's list."""
        user, item = np.divmod(self._removed, max(len(self._items), 1))
        if only is not None:
            user = user[self._items.isin(checked_ids("only", only))[item]]
        count = np.append(np.bincount(user, minlength=len(self._users)), 0)
        possible: IntArray = count[self._users.get_indexer(pd.Index(users, dtype=object))]
        return possible

    def _without_removed(self, lists: pd.DataFrame, k: int) -> pd.DataFrame:
        """Lists of at most ``k``; ranks move up by the number of items removed above them.

        So a gap or a repetition that the model made is still there to be found.
        """
        if not {USER_ID, RANK, ITEM_ID} <= set(lists.columns):
            return lists  # refused where it is measured
        user = self._users.get_indexer(pd.Index(lists[USER_ID], dtype=object))
        item = self._items.get_indexer(pd.Index(lists[ITEM_ID], dtype=object))
        gone = (user >= 0) & (item >= 0)
        gone &= np.isin(user * len(self._items) + item, self._removed)
        order = np.lexsort((lists[RANK].to_numpy(), user))
        total = np.cumsum(gone[order])
        before: IntArray = (total - gone[order])[np.searchsorted(user[order], user[order])]
        above = np.empty(len(order), np.int64)
        above[order] = total - before
        lists = lists.assign(**{RANK: lists[RANK] - above})
        return lists[~gone & (lists[RANK].to_numpy() <= k)]
