"""Recommenders of other libraries and from papers, with tuned settings, for comparison.

Each learns from binary plays only, and knows nothing of items that nobody has played. A setting
that is not given is chosen by nDCG@10 on plays held out of the training side.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from datasets.arguments import check_whole
from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import EvaluationError, InvalidArgumentError, NotFittedError
from datasets.linear_algebra import invert_symmetric
from datasets.music import MusicDataset, check_dataset
from datasets.system.forking import openmp_threads
from datasets.tables.checks import Origin, check_interactions
from datasets.tables.ids import checked_ids
from datasets.texts.suggestions import did_you_mean
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ndcg
from evaluation.models.top_k import RankedLists, lists_to_frame, rows_of_items, top_k_per_row
from evaluation.splitting.interactions import played_pairs
from evaluation.splitting.warm import warm_split

_CELLS = 4_000_000
"""Cells (users * items) scored at once."""


class Peer(ABC):
    """Base of the peers: choice of settings, fitting, and lists from matrices of scores.

    Subclasses declare their ``grid``, and implement ``_learn`` (fit on a matrix of plays) and
    ``_scores`` (score all items for some users).

    Args:
        seed: random seed of the model and of the plays held out to choose settings.
        threads: number of threads.
        tuned: choose the settings that are not given; else take the first of each ``grid`` entry.
        **given: values of settings.

    Raises:
        InvalidArgumentError: there is no such setting.

    Examples:
        >>> model = PEERS["item-knn"](tuned=False, neighbours=5).fit(dataset)
        >>> model.chosen
        {'weighting': 'cosine', 'neighbours': 5}
        >>> model.recommend_many(["u0"], k=3)["rank"].tolist()
        [1, 2, 3]
    """

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """The values that each setting may take, the default first."""

    def __init__(self, seed: int = 0, threads: int = 1, tuned: bool = True, **given: Any) -> None:
        if unknown := sorted(given.keys() - self.grid.keys()):
            hint = did_you_mean(unknown[0], self.grid)
            raise InvalidArgumentError(
                f"{type(self).__name__} has no setting {unknown[0]!r}{hint}; "
                f"there are: {', '.join(self.grid) or 'none'}"
            )
        self.seed = seed
        self.threads = threads
        self.tuned = tuned
        self.given = given
        self.chosen: dict[str, Any] = {}
        self._users: pd.Index[str] | None = None

    def __repr__(self) -> str:
        fitted = "not fitted" if self._users is None else f"fitted on {len(self._users):,} users"
        settings = "".join(f", {n} {v!r}" for n, v in (self.chosen or self.given).items())
        return f"<{type(self).__name__}: {fitted}; seed {self.seed}{settings}>"

    def fit(self, dataset: MusicDataset) -> Self:
        """Choose the settings that are not given, then learn from all plays."""
        check_dataset(dataset)
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
        """Return the users who played anything, and their binary plays, CSR [n_users, n_items]."""
        played = played_pairs(interactions)
        users = pd.Index(played[USER_ID].unique(), dtype=object)
        rows = users.get_indexer(pd.Index(played[USER_ID], dtype=object))
        columns = self._items.get_indexer(pd.Index(played[ITEM_ID], dtype=object))
        plays = sp.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, columns)),
            shape=(len(users), len(self._items)),
        )
        plays.sort_indices()
        return users, plays

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return the best ``k`` items for each user; unknown users are left out.

        Args:
            user_ids: users.
            k: length of the lists.
            exclude_seen: leave out what the user has played.
            only: ids of the items that may be recommended; None: all.

        Returns:
            Columns user_id, rank (from 1), item_id, score.

        Raises:
            NotFittedError: before ``fit``.
            InvalidArgumentError: ``k`` < 1, or something that is no id.
            UnknownItemError: ``only`` has an unknown id.
        """
        if self._users is None:
            raise NotFittedError(f"{type(self).__name__} recommends after fit, not before")
        check_whole("k", k)
        allowed = rows_of_items(self._items, only)
        users = pd.Index(checked_ids("user_ids", user_ids), dtype=object)
        rows = self._users.get_indexer(users)
        users, rows = users[rows >= 0], rows[rows >= 0]
        step = max(1, _CELLS // max(len(self._items), 1))
        blocks = []
        for start in range(0, max(len(rows), 1), step):
            found = self._block(rows[start : start + step], k, exclude_seen, allowed)
            blocks.append(found._replace(user=found.user + start))
        return lists_to_frame(blocks, users.to_numpy(), self._items.to_numpy())

    def _block(self, rows: IntArray, k: int, exclude_seen: bool, allowed: IntArray) -> RankedLists:
        """Make the lists of some users (rows)."""
        scores = np.asarray(self._scores(rows), np.float32)
        if exclude_seen:
            scores[self._plays[rows].nonzero()] = -np.inf
        if len(allowed) < scores.shape[1]:
            scores = scores[:, allowed]
        user, column = top_k_per_row(scores, k)
        return RankedLists(user, allowed[column], scores[user, column])

    def _best(self, dataset: MusicDataset, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the settings with the highest nDCG@10 on a fifth of each user's items."""
        try:
            split = warm_split(dataset, 0.2, self.seed)
        except EvaluationError:  # too little to hold anything out
            return points[0]
        training = split.training(dataset)
        test = dataset.interactions.iloc[split.test_rows][[USER_ID, ITEM_ID]].drop_duplicates()
        users = sorted(set(test[USER_ID]))
        encoder = HitEncoder(users, list(training.items[ITEM_ID]), test)
        found = []
        for point in points:
            model = type(self)(self.seed, self.threads, tuned=False, **(self.given | point))
            answer = model.fit(training).recommend_many(users, 10)
            found.append(float(ndcg(encoder.hits(answer, 10), 10).mean()))
        return points[int(np.argmax(found))]

    @abstractmethod
    def _learn(self, plays: sp.csr_matrix) -> None:
        """Fit the model to binary plays, CSR float32 [n_users, n_items]."""

    @abstractmethod
    def _scores(self, rows: IntArray) -> Float32Array:
        """Score all items for some users (rows), [n_rows, n_items]; the array may be changed."""


class FoldInPeer(Peer):
    """Base of the peers that score from a user's plays alone: new users are folded in."""

    def update(self, interactions: pd.DataFrame) -> Self:
        """Add the plays of users who came after ``fit``.

        Args:
            interactions: user_id, item_id, weight; of new users, with known items.

        Raises:
            NotFittedError: before ``fit``.
            DataError: the table is wrong, or an item unknown.
            InvalidArgumentError: a user was in training; learning from more plays needs ``fit``.
        """
        if self._users is None:
            raise NotFittedError(f"{type(self).__name__} takes in plays after fit, not before")
        checked = check_interactions(interactions, Origin("interactions"), self._items.to_series())
        users, plays = self._encoded(checked)
        known = users[users.isin(self._users)]
        if len(known):
            raise InvalidArgumentError(f"user {known[0]!r} was in training")
        self._users = self._users.append(users)
        self._plays = sp.vstack([self._plays, plays], format="csr")
        return self


class ImplicitALS(Peer):
    """Alternating least squares of the library implicit (Hu, Koren and Volinsky, 2008)."""

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
                num_threads=openmp_threads(self.threads),
            )
            self._model.fit(plays, show_progress=False)

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = self._model.user_factors[rows] @ self._model.item_factors.T
        return scores


class ImplicitBPR(Peer):
    """Bayesian personalised ranking of the library implicit (Rendle et al., 2009)."""

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "factors": (32,),
        "learning_rate": (0.05,),
        "regularization": (0.05, 0.1, 0.2),
        "iterations": (500,),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        self._model = BayesianPersonalizedRanking(
            random_state=self.seed, num_threads=openmp_threads(self.threads), **self.chosen
        )
        self._model.fit(plays, show_progress=False)

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = self._model.user_factors[rows] @ self._model.item_factors.T
        return scores


class LightFMWarp(Peer):
    """LightFM with WARP loss and without features (Kula, 2015)."""

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
        self._model.fit(
            plays.tocoo(), epochs=self.chosen["epochs"], num_threads=openmp_threads(self.threads)
        )

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = self._model.user_embeddings[rows] @ self._model.item_embeddings.T
        return scores + self._model.item_biases


class ItemKNN(FoldInPeer):
    """Item-based nearest neighbours of the library implicit (cosine, TF-IDF or BM25 weights)."""

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
            K=self.chosen["neighbours"], num_threads=openmp_threads(self.threads)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # implicit warns of a conversion that it makes itself
            model.fit(plays, show_progress=False)
        self._similarity = model.similarity

    def _scores(self, rows: IntArray) -> Float32Array:
        scores: Float32Array = (self._plays[rows] @ self._similarity).toarray()
        return scores


class FullEASE(FoldInPeer):
    """EASE with its full item-item matrix (Steck, 2019); memory grows with the square of the items.

    With fewer users than items it is computed from the users' side by the Woodbury identity, which
    is exact and inverts the smaller matrix.
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
            core = invert_symmetric((wide @ wide.T).toarray() + penalty * np.eye(wide.shape[0]))
            half = np.asarray((wide.T @ core).astype(np.float64))
            diagonal = (1 - np.asarray(wide.T.multiply(half).sum(axis=1)).ravel()) / penalty
            self._weights = None
            self._learned = wide.T
            self._half, self._diagonal, self._penalty = half, diagonal, penalty
        else:
            inverse = invert_symmetric((wide.T @ wide).toarray() + penalty * np.eye(wide.shape[1]))
            weights = -inverse / np.diag(inverse)
            np.fill_diagonal(weights, 0)
            self._weights = weights

    def _scores(self, rows: IntArray) -> Float32Array:
        own = self._plays[rows].astype(np.float64)
        if self._weights is not None:
            return np.asarray(own @ self._weights, np.float32)
        # x P for items that are not in x: the identity's part is left out.
        product = -(self._learned @ (own @ self._half).T).T / self._penalty
        return np.asarray(-product / self._diagonal, np.float32)


PEERS: Mapping[str, type[Peer]] = {
    "implicit-als": ImplicitALS,
    "bpr": ImplicitBPR,
    "lightfm-warp": LightFMWarp,
    "item-knn": ItemKNN,
    "ease-full": FullEASE,
}
"""Every peer by its name in reports and in ``coldtune evaluate --models``."""
