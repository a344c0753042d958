"""Graph filters, SLIM and autoencoders, for comparison with the hybrid on known items.

None of them is part of the library: docs/decisions.md says what each would bring. They learn from
binary plays, and settings are chosen on plays held out of the training side, as those of
`evaluation.models.external` are.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet
from torch import nn
from torch.nn.functional import dropout as drop
from torch.nn.functional import log_softmax, silu

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ITEM_ID, USER_ID
from datasets.linear_algebra import invert_symmetric, largest_eigen
from datasets.music import MusicDataset
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ndcg
from evaluation.models.external import FoldInPeer
from evaluation.splitting.warm import warm_split

HIDDEN, LATENT = 300, 128
"""Lengths of the layers of RecVAE; 600 and 200 in the paper, whose data are far larger."""

BATCH = 200
"""Users in a step of RecVAE."""

EVERY, PATIENCE = 5, 10
"""Rounds of RecVAE between two looks at the held-out plays, and without a gain until it ends."""


class GraphFilter(FoldInPeer):
    """GF-CF: linear and ideal low-pass filter of the item graph (Shen et al., CIKM 2021).

    With plays R, numbers of plays D and the normalised ``N = D_U^-½ R D_I^-½``, a user's plays r
    are scored by ``r (NᵀN + share · D_I^-½ V Vᵀ D_I^½)``, V being the right singular vectors of N
    with the largest singular values.
    """

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "vectors": (128, 256),
        "share": (0.3, 0.1, 1.0),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        users = np.maximum(np.asarray(plays.sum(axis=1)).ravel(), 1)
        items = np.maximum(np.asarray(plays.sum(axis=0)).ravel(), 1)
        self._scale = np.sqrt(items).astype(np.float32)
        self._graph = (sp.diags(users**-0.5) @ plays @ sp.diags(items**-0.5)).tocsr()
        squares, left = largest_eigen(
            (self._graph @ self._graph.T).toarray().astype(np.float64), self.chosen["vectors"]
        )
        right = (self._graph.T @ left) / np.sqrt(np.maximum(squares, 1e-12))
        self._right = np.asarray(right, np.float32)

    def _scores(self, rows: IntArray) -> Float32Array:
        own = self._plays[rows]
        linear = np.asarray((own @ self._graph.T @ self._graph).todense())
        ideal = ((own @ (self._right / self._scale[:, None])) @ self._right.T) * self._scale
        return np.asarray(linear + self.chosen["share"] * ideal, np.float32)


class DenoisingEASE(FoldInPeer):
    """EDLAE: a full linear autoencoder with dropout in closed form (Steck, NeurIPS 2020).

    Dropout of the input with probability p is a ridge penalty of ``λ + p / (1 - p) · plays`` on the
    weights of each item, and emphasis on what was dropped keeps the diagonal zero, as in EASE.
    """

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "dropout": (0.5, 0.25),
        "regularization": (50.0, 20.0, 100.0),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        X = plays.astype(np.float64)
        p = self.chosen["dropout"]
        counts = np.asarray(X.sum(axis=0)).ravel()
        shrink = 1 / (self.chosen["regularization"] + p / (1 - p) * counts)
        # (XᵀX + S⁻¹)⁻¹ = S - S Xᵀ (I + X S Xᵀ)⁻¹ X S, with as many equations as users.
        self._scaled = (X @ sp.diags(shrink)).tocsr()
        core = (self._scaled @ X.T).toarray()
        core.flat[:: len(core) + 1] += 1
        self._half = np.asarray(invert_symmetric(core) @ self._scaled)
        own = np.asarray(self._scaled.multiply(self._half).sum(axis=0)).ravel()
        self._diagonal = shrink - own

    def _scores(self, rows: IntArray) -> Float32Array:
        # For items that the user has not played; the term of S is zero there.
        own = self._plays[rows].astype(np.float64)
        reached = (own @ self._scaled.T).toarray()
        return np.asarray(reached @ self._half / self._diagonal, np.float32)


class SLIM(FoldInPeer):
    """Sparse linear method: non-negative elastic net of each item (Ning and Karypis, ICDM 2011).

    Minimises ``½ |x_j - X w|² + l1 |w| + ½ l2 |w|²`` over w >= 0 with w_j = 0. As plays and weights
    are not negative, only items with more than l1 listeners in common with j can have a weight.
    """

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "l1": (0.3, 1.0),
        "l2": (30.0, 10.0),
    }

    def _learn(self, plays: sp.csr_matrix) -> None:
        X = plays.tocsc().astype(np.float64)
        n_users, n_items = X.shape
        l1, l2 = self.chosen["l1"], self.chosen["l2"]
        model = ElasticNet(
            alpha=(l1 + l2) / n_users,
            l1_ratio=l1 / (l1 + l2),
            positive=True,
            fit_intercept=False,
            max_iter=100,
            tol=1e-3,
            copy_X=False,
        )
        common = (X.T @ X).tocsc()
        columns = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for item in range(n_items):
                start, stop = common.indptr[item], common.indptr[item + 1]
                near = common.indices[start:stop][common.data[start:stop] > l1]
                near = np.sort(near[near != item])
                weights = np.zeros(0)
                if len(near):
                    model.fit(X[:, near], X[:, [item]].toarray().ravel())
                    weights = model.coef_
                column = (weights, (near, np.zeros(len(near), int)))
                columns.append(sp.csc_matrix(column, shape=(n_items, 1)))
        self._weights = sp.hstack(columns, format="csr").astype(np.float32)

    def _scores(self, rows: IntArray) -> Float32Array:
        return np.asarray((self._plays[rows] @ self._weights).toarray(), np.float32)


class RecVAE(FoldInPeer):
    """RecVAE: a variational autoencoder of a user's plays (Shenbin et al., WSDM 2020).

    Input with dropout, residual dense encoder, linear decoder with a softmax over the items; the
    prior is a mixture of a normal distribution, a wide one and the posterior of the round before;
    the divergence counts `weight` times the plays of the user. A round trains the encoder three
    times and the decoder once. Where `weight` is left open, it is chosen together with the round
    after which nDCG@10 on held-out plays no longer grows.
    """

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {
        "weight": (0.05, 0.02),
        "rounds": (40,),
    }

    after_round: Callable[[int], bool] = staticmethod(lambda _: False)
    """Called with the number of rounds after each; True ends the training."""

    def _best(self, dataset: MusicDataset, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the settings, and the number of rounds, with the highest nDCG@10."""
        split = warm_split(dataset, 0.2, self.seed)
        training = split.training(dataset)
        test = dataset.interactions.iloc[split.test_rows][[USER_ID, ITEM_ID]].drop_duplicates()
        found = []
        for point in points:
            model = type(self)(self.seed, self.threads, tuned=False, **(self.given | point))
            curve = model._curve(training, test)
            best = int(np.argmax(curve))
            if "rounds" in point:  # and not given
                point = {**point, "rounds": (best + 1) * EVERY}
            found.append((curve[best], point))
        return max(found, key=lambda pair: pair[0])[1]

    def _curve(self, training: MusicDataset, test: pd.DataFrame) -> list[float]:
        """Train until lists no longer become better; return nDCG@10 of every `EVERY` rounds."""
        users = sorted(set(test[USER_ID]))
        encoder = HitEncoder(users, list(training.items[ITEM_ID]), test)
        curve: list[float] = []

        def no_longer_better(rounds: int) -> bool:
            if rounds % EVERY:
                return False
            hits = encoder.hits(self.recommend_many(users, 10), 10)
            curve.append(float(ndcg(hits, 10).mean()))
            return (len(curve) - 1 - int(np.argmax(curve))) * EVERY >= PATIENCE

        self.after_round = no_longer_better
        self.fit(training)
        return curve

    def _learn(self, plays: sp.csr_matrix) -> None:
        torch.manual_seed(self.seed)
        torch.set_num_threads(self.threads)
        random = np.random.default_rng(self.seed)
        n_users, n_items = plays.shape
        self._encoder, self._decoder = _Encoder(n_items), nn.Linear(LATENT, n_items)
        before = deepcopy(self._encoder)
        steps = {
            side: torch.optim.Adam(side.parameters(), 1e-3)
            for side in (self._encoder, self._decoder)
        }
        for number in range(1, self.chosen["rounds"] + 1):
            for side in (self._encoder,) * 3 + (self._decoder,):
                if side is self._decoder:
                    before.load_state_dict(self._encoder.state_dict())
                for users in np.array_split(random.permutation(n_users), max(n_users // BATCH, 1)):
                    loss = self._loss(plays[users], before, 0.5 if side is self._encoder else 0.0)
                    steps[side].zero_grad()
                    loss.backward()
                    steps[side].step()
            if self.after_round(number):
                break

    def _loss(self, plays: sp.csr_matrix, before: "_Encoder", dropout: float) -> torch.Tensor:
        """Return the mean negative evidence bound of some users."""
        mean, logvar = self._encoder(plays, dropout)
        latent = mean + torch.randn_like(mean) * torch.exp(logvar / 2)
        scores = log_softmax(self._decoder(latent), dim=1)
        rows = torch.from_numpy(np.repeat(np.arange(plays.shape[0]), np.diff(plays.indptr)))
        likelihood = scores[rows, torch.from_numpy(plays.indices).long()].sum() / plays.shape[0]
        with torch.no_grad():
            old_mean, old_logvar = before(plays, 0.0)
        zero = torch.zeros_like(mean)
        prior = torch.stack(
            [
                _log_normal(latent, zero, zero) + np.log(3 / 20),
                _log_normal(latent, old_mean, old_logvar) + np.log(3 / 4),
                _log_normal(latent, zero, zero + 10) + np.log(1 / 10),
            ]
        ).logsumexp(dim=0)
        divergence = (_log_normal(latent, mean, logvar) - prior).sum(dim=1)
        counts = torch.from_numpy(np.diff(plays.indptr)).float()
        return (self.chosen["weight"] * counts * divergence).mean() - likelihood

    def _scores(self, rows: IntArray) -> Float32Array:
        with torch.no_grad():
            return self._decoder(self._encoder(self._plays[rows], 0.0)[0]).numpy()


class _Encoder(nn.Module):
    """Plays of a user to the mean and the log variance of their latent vector."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.first = nn.EmbeddingBag(n_items, HIDDEN, mode="sum")
        nn.init.normal_(self.first.weight, std=n_items**-0.5)
        self.layers = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN) for _ in range(4)])
        self.norms = nn.ModuleList([nn.LayerNorm(HIDDEN, eps=0.1) for _ in range(5)])
        self.mean, self.logvar = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)

    def forward(self, plays: sp.csr_matrix, dropout: float) -> tuple[torch.Tensor, torch.Tensor]:
        counts = np.diff(plays.indptr)
        weights = torch.from_numpy(np.repeat(np.maximum(counts, 1) ** -0.5, counts)).float()
        hidden = self.first(
            torch.from_numpy(plays.indices).long(),
            torch.from_numpy(plays.indptr[:-1]).long(),
            per_sample_weights=drop(weights, dropout),
        )
        total = hidden = self.norms[0](silu(hidden))
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            hidden = norm(silu(layer(hidden) + total))
            total = total + hidden
        return self.mean(hidden), self.logvar(hidden)


def _log_normal(x: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return -0.5 * (logvar + np.log(2 * np.pi) + (x - mean) ** 2 / logvar.exp())


GRAPH_AND_AUTOENCODERS: Mapping[str, type[FoldInPeer]] = {
    "gf-cf": GraphFilter,
    "edlae": DenoisingEASE,
    "slim": SLIM,
    "recvae": RecVAE,
}
"""Every peer of this module by its name in tables."""
