"""Other libraries' recommenders, and closed forms from papers, as models to be held against.

Each learns from plays alone, as 0 or 1, and knows nothing of items without listeners. A setting
that is left open is chosen by nDCG@10 on plays held out of the training side.
"""

import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError, InvalidArgumentError, NotFittedError, UnknownItemError
from datasets.music import MusicDataset
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ndcg
from evaluation.models.top_k import RankedLists, lists_to_frame, top_k_per_row
from evaluation.splitting.warm import warm_split

_CELLS = 4_000_000
"""Users × items scored at once."""


class Peer:
    """Fitting, list making and the choice of settings that all peers share."""

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Values that a setting may take, the usual one first."""

    def __init__(self, seed: int = 0, threads: int = 1, tuned: bool = True, **given: Any) -> None:
        """tuned: choose the settings that are not given on held-out plays; else take the usual.

        Raises InvalidArgumentError for a setting that there is not.
        """
        if unknown := sorted(given.keys() - self.grid.keys()):
            raise InvalidArgumentError(f"{type(self).__name__} has no setting {unknown[0]!r}")
        self.seed = seed
        self.threads = threads
        self.tuned = tuned
        self.given = given
        self.chosen: dict[str, Any] = {}
        self._users: pd.Index[str] | None = None

    def fit(self, dataset: MusicDataset) -> Self:
        """Learn from the plays; choose open settings first."""
        self.chosen = {name: values[0] for name, values in self.grid.items()} | self.given
        free = {name: values for name, values in self.grid.items() if name not in self.given}
        points = [dict(zip(free, values, strict=True)) for values in product(*free.values())]
        if self.tuned and len(points) > 1:
            self.chosen |= self._best(dataset, points)
        self._items = pd.Index(dataset.items[ITEM_ID], dtype=object)
        self._users, self._plays = self._encoded(dataset.interactions)
        self._learn(self._plays)
        return self

    def _encoded(self, interactions: pd.DataFrame) -> "tuple[pd.Index[str], sp.csr_matrix]":
        """The users who played anything, and their plays as 0 or 1, [n_users, n_items]."""
        played = interactions.loc[interactions[WEIGHT] > 0, [USER_ID, ITEM_ID]]
        users = pd.Index(played[USER_ID].unique(), dtype=object)
        rows = users.get_indexer(pd.Index(played[USER_ID], dtype=object))
        columns = self._items.get_indexer(pd.Index(played[ITEM_ID], dtype=object))
        plays = sp.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, columns)),
            shape=(len(users), len(self._items)),
        )
        plays.sum_duplicates()
        plays.data[:] = 1
        return users, plays

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The best ``k`` items for each user: user_id, rank, item_id, score.

        Users who were not in training are left out. Raises NotFittedError before ``fit``,
        InvalidArgumentError for k < 1 and UnknownItemError for an unknown id in ``only``.
        """
        if self._users is None:
            raise NotFittedError(f"{type(self).__name__} recommends after fit, not before")
        if k < 1:
            raise InvalidArgumentError(f"k must be at least 1, not {k}")
        allowed = np.arange(len(self._items))
        if only is not None:
            allowed = self._items.get_indexer(pd.Index(list(only), dtype=object))
            if (allowed < 0).any():
                name = list(only)[int(allowed.argmin())]
                raise UnknownItemError(f"no item {name!r} in the catalogue")
            allowed = np.unique(allowed)
        users = pd.Index(list(user_ids), dtype=object)
        rows = self._users.get_indexer(users)
        users, rows = users[rows >= 0], rows[rows >= 0]
        step = max(1, _CELLS // max(len(self._items), 1))
        blocks = []
        for start in range(0, max(len(rows), 1), step):
            found = self._block(rows[start : start + step], k, exclude_seen, allowed)
            blocks.append(found._replace(user=found.user + start))
        return lists_to_frame(blocks, users.to_numpy(), self._items.to_numpy())

    def _block(self, rows: IntArray, k: int, exclude_seen: bool, allowed: IntArray) -> RankedLists:
        scores = np.asarray(self._scores(rows), np.float32)
        if exclude_seen:
            scores[self._plays[rows].nonzero()] = -np.inf
        if len(allowed) < scores.shape[1]:
            scores = scores[:, allowed]
        user, column = top_k_per_row(scores, k)
        return RankedLists(user, allowed[column], scores[user, column])

    def _best(self, dataset: MusicDataset, points: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            split = warm_split(dataset, 0.2, self.seed)
        except EvaluationError:  # too little to hold anything out
            return points[0]
        training = split.training(dataset)
        test = dataset.interactions.iloc[split.test_rows][[USER_ID, ITEM_ID]].drop_duplicates()
        users = sorted(set(test[USER_ID]))
        judge = HitEncoder(users, list(training.items[ITEM_ID]), test)
        found = []
        for point in points:
            model = type(self)(self.seed, self.threads, tuned=False, **(self.given | point))
            answer = model.fit(training).recommend_many(users, 10)
            found.append(float(ndcg(judge.hits(answer, 10), 10).mean()))
        return points[int(np.argmax(found))]

    def _learn(self, plays: sp.csr_matrix) -> None:
        raise NotImplementedError

    def _scores(self, rows: IntArray) -> Float32Array:
        """Scores [len(rows), n_items] of users by row, an array that may be written to."""
        raise NotImplementedError


class FoldInPeer(Peer):
    """A peer that scores by what a user played, whoever it is: new users need no learning."""

    def update(self, interactions: pd.DataFrame) -> Self:
        """Take in the plays of users who came after ``fit``.

        Raises NotFittedError before ``fit``, and InvalidArgumentError for a user of the training
        data, of whom it would have to learn.
        """
        if self._users is None:
            raise NotFittedError(f"{type(self).__name__} takes in plays after fit, not before")
        users, plays = self._encoded(interactions)
        known = users[users.isin(self._users)]
        if len(known):
            raise InvalidArgumentError(f"user {known[0]!r} was in training")
        self._users = self._users.append(users)
        self._plays = sp.vstack([self._plays, plays], format="csr")
        return self


class ImplicitALS(Peer):
    """implicit's alternating least squares (Hu, Koren and Volinsky, 2008)."""

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "factors": (64, 128),
        "alpha": (10.0, 20.0),
        "ratio": (2.0, 3.5, 5.0, 7.0),  # L2 penalty in units of alpha
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            self._model = AlternatingLeastSquares(
                factors=self.chosen["factors"],
                regularization=self.chosen["ratio"] * self.chosen["alpha"],
                alpha=self.chosen["alpha"],
                random_state=self.seed,
                num_threads=self.threads,
            )
            self._model.fit(plays, show_progress=False)

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = self._model.user_factors[rows] @ self._model.item_factors.T
        return scores


class ImplicitBPR(Peer):
    """implicit's Bayesian personalised ranking (Rendle et al., 2009)."""

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "factors": (32,),
        "learning_rate": (0.05,),
        "regularization": (0.05, 0.1, 0.2),
        "iterations": (500,),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        self._model = BayesianPersonalizedRanking(
            random_state=self.seed, num_threads=self.threads, **self.chosen
        )
        self._model.fit(plays, show_progress=False)

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = self._model.user_factors[rows] @ self._model.item_factors.T
        return scores


class LightFMWarp(Peer):
    """LightFM with WARP on identities (Kula, 2015)."""

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "no_components": (64, 128),
        "epochs": (15, 30, 60),
        "learning_rate": (0.05, 0.02),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        from lightfm import LightFM

        self._model = LightFM(
            no_components=self.chosen["no_components"],
            learning_rate=self.chosen["learning_rate"],
            loss="warp",
            random_state=self.seed,
        )
        self._model.fit(plays.tocoo(), epochs=self.chosen["epochs"], num_threads=self.threads)

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = self._model.user_embeddings[rows] @ self._model.item_embeddings.T
        return scores + self._model.item_biases


class ItemKNN(FoldInPeer):
    """implicit's nearest neighbours of items (cosine, TF-IDF or BM25)."""

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "weighting": ("cosine", "tfidf", "bm25"),
        "neighbours": (20, 100, 500),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        from implicit.nearest_neighbours import (
            BM25Recommender,
            CosineRecommender,
            TFIDFRecommender,
        )

        kinds = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}
        model = kinds[self.chosen["weighting"]](
            K=self.chosen["neighbours"], num_threads=self.threads
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a conversion that implicit makes itself
            model.fit(plays, show_progress=False)
        self._similarity = model.similarity

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = (self._plays[rows] @ self._similarity).toarray()
        return scores


class FullEASE(FoldInPeer):
    """EASE with its whole item-item matrix (Steck, 2019); memory grows with the items' square.

    Computed from the users' side, which is exact and takes an inverse of the smaller matrix.
    """

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "regularization": (100.0, 20.0, 50.0, 200.0, 400.0)
    }

    _weights: Float64Array | None

    def _learn(self, plays: sp.csr_matrix) -> None:
        penalty = self.chosen["regularization"]
        wide = plays.astype(np.float64)
        if wide.shape[0] < wide.shape[1]:
            # Woodbury: (XᵀX + λI)⁻¹ = (I - Xᵀ (XXᵀ + λI)⁻¹ X) / λ
            core = np.linalg.inv((wide @ wide.T).toarray() + penalty * np.eye(wide.shape[0]))
            half = np.asarray((wide.T @ core).astype(np.float64))
            diagonal = (1 - np.asarray(wide.T.multiply(half).sum(axis=1)).ravel()) / penalty
            self._weights = None
            self._learned = wide.T
            self._half, self._diagonal, self._penalty = half, diagonal, penalty
        else:
            inverse = np.linalg.inv((wide.T @ wide).toarray() + penalty * np.eye(wide.shape[1]))
            weights = -inverse / np.diag(inverse)
            np.fill_diagonal(weights, 0)
            self._weights = weights

    def _scores(self, rows: IntArray) -> Float32Array:
        own = self._plays[rows].astype(np.float64)
        if self._weights is not None:
            return np.asarray(own @ self._weights, np.float32)
        # x·P for items that are not in x: the identity's part is left out.
        product = -(self._learned @ (own @ self._half).T).T / self._penalty
        return np.asarray(-product / self._diagonal, np.float32)


PEERS: Mapping[str, type[Peer]] = {
    "implicit-als": ImplicitALS,
    "bpr": ImplicitBPR,
    "lightfm-warp": LightFMWarp,
    "item-knn": ItemKNN,
    "ease-full": FullEASE,
}
"""Every peer by the name that reports print and ``coldtune evaluate --models`` takes."""
