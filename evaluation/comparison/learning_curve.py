"""How the figures of models grow with the number of interactions they learn from."""

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
from evaluation.comparison.comparison import compare
from evaluation.comparison.trial import CATALOGUE, COLD, THIN
from evaluation.metrics.ranking import ACCURACY
from evaluation.model import ModelFactory
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split

_MAIN: Final = {"cold": COLD, "semi-cold": THIN}
"""Candidates of a kind of split where they are not the whole catalogue."""

CURVE: Final = ("model", "fraction", "interactions", "metric", "k", "mean", "low", "high")
"""Columns of the curve."""

_PLAIN: Final = (str, int, float)


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
    """Measure every model after learning from a part of the training interactions.

    The parts are nested: what a smaller one has, a larger one has too. They are drawn by ``seed``
    from the (user, item) pairs, all rows of a pair together; items, texts and recordings stay.
    The test side is the same throughout: the same users, relevant items and candidates. A user
    with nothing left in training is still asked for, and counts 0 with a model that leaves users
    out whom it does not know. Plays left out of training are not recommended either, as they would
    take the places of what is tested, the more of them the smaller the part: a model is asked
    for longer lists, and they are struck out.

    ``candidates``: the set that lists are made of, one of :mod:`evaluation.comparison.trial`; by
    default the cold items of a cold split, the thin items of a semi-cold one, and otherwise the
    whole catalogue. ``metrics``: those of :func:`~evaluation.comparison.comparison.compare` with an interval;
    the AUCs have no k. ``resume``: a folder where every outcome is kept and taken from, as there.

    Returns a row for each (model, fraction, metric), in that order: model, fraction, interactions
    (rows learned from), metric, k, mean, low, high (a bootstrap interval over users or items).

    Raises :class:`~datasets.errors.InvalidArgumentError` for a fraction outside 0 to 1 and for
    metrics or candidates that the split does not have, and what
    :func:`~evaluation.comparison.comparison.compare` raises.
    """
    parts = sorted(set(fractions))
    if not parts or not (parts[0] > 0 and parts[-1] <= 1):
        raise InvalidArgumentError(f"fractions must lie above 0 and at most at 1, not {fractions}")
    if candidates is None:
        candidates = _MAIN.get(split.kind, CATALOGUE)
    training = split.training(dataset)
    found = []
    with progress_bar("learning curve", len(parts) * len(models), shown=progress) as advance:
        for fraction in parts:
            thinned = {name: _thinning(make, fraction, seed) for name, make in models.items()}
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
    return curve.iloc[order][list(CURVE)].reset_index(drop=True)


def thinned_rows(dataset: MusicDataset, fraction: float, seed: int) -> IntArray:
    """Positions of the interactions of ``fraction`` of the (user, item) pairs, ascending.

    At least one pair; with the same seed, those of a smaller fraction are among those of a larger
    one, whatever the order of the rows.
    """
    pairs = UserItemPairs.from_dataset(dataset)
    return np.flatnonzero(_kept(pairs, fraction, seed)[pairs.row_pairs])


def _kept(pairs: UserItemPairs, fraction: float, seed: int) -> BoolArray:
    order = np.random.default_rng(seed).permutation(len(pairs))
    kept = np.zeros(len(pairs), dtype=bool)
    kept[order[: max(1, int(np.floor(len(pairs) * fraction + 0.5)))]] = True
    return kept


def _thinning(make: ModelFactory, fraction: float, seed: int) -> ModelFactory:
    return lambda: _Thinned(make(), fraction, seed)


class _Thinned:
    """A model that gets a part of the interactions, and otherwise is the model it was made of."""

    def __init__(self, model: Any, fraction: float, seed: int) -> None:
        self._model = model
        self._fraction = fraction
        self._seed = seed
        plain = {
            name: value
            for name, value in getattr(model, "__dict__", {}).items()
            if isinstance(value, _PLAIN)
        }
        # Read where outcomes are kept: this class and name say too little of which model it is.
        self._identity = f"{type(model).__module__}.{type(model).__qualname__} {plain}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)  # onboard_many, update and config, where there are any

    def fit(self, dataset: MusicDataset) -> None:
        """Fit on a part, and remember the plays that are not in it."""
        pairs = UserItemPairs.from_dataset(dataset)
        kept = _kept(pairs, self._fraction, self._seed)
        struck = ~kept & pairs.played
        self._users, self._items = pairs.user_ids, pairs.item_ids
        self._struck = pairs.user[struck] * pairs.n_items + pairs.item[struck]  # ascending
        self._model.fit(dataset.take_interactions(np.flatnonzero(kept[pairs.row_pairs])))

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Lists without what the user played in all of the training side."""
        users = np.array(list(user_ids), dtype=object)
        extra = self._possible(users, only) if exclude_seen else np.zeros(len(users), np.int64)
        # As many more as may have to go, by powers of two: a call for each number would be slow,
        # and the most for everybody too.
        longer = np.where(extra > 0, 2 ** np.ceil(np.log2(np.maximum(extra, 1))), 0).astype(int)
        lists = [
            self._without_struck(
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

    def _possible(self, users: StrArray, only: Sequence[str] | None) -> IntArray:
        """How many plays out of training could be in each user's list."""
        user, item = np.divmod(self._struck, max(len(self._items), 1))
        if only is not None:
            user = user[self._items.isin(list(only))[item]]
        count = np.append(np.bincount(user, minlength=len(self._users)), 0)
        possible: IntArray = count[self._users.get_indexer(pd.Index(users, dtype=object))]
        return possible

    def _without_struck(self, lists: pd.DataFrame, k: int) -> pd.DataFrame:
        """Lists of at most ``k``; ranks move up by what is struck out above them, and no further.

        So a gap or a repetition that the model made is still there for the judge to find.
        """
        if not {USER_ID, RANK, ITEM_ID} <= set(lists.columns):
            return lists  # for the judge to refuse
        user = self._users.get_indexer(pd.Index(lists[USER_ID], dtype=object))
        item = self._items.get_indexer(pd.Index(lists[ITEM_ID], dtype=object))
        gone = (user >= 0) & (item >= 0)
        gone &= np.isin(user * len(self._items) + item, self._struck)
        order = np.lexsort((lists[RANK].to_numpy(), user))
        total = np.cumsum(gone[order])
        before: IntArray = (total - gone[order])[np.searchsorted(user[order], user[order])]
        above = np.empty(len(order), np.int64)
        above[order] = total - before
        lists = lists.assign(**{RANK: lists[RANK] - above})
        return lists[~gone & (lists[RANK].to_numpy() <= k)]
