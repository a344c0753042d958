"""LightFM factorization machine with embedding features in closed form (Kula, 2015; DESIGN).

Training dense embedding features by SGD costs 80 times as much an epoch and generalises worse to
cold items than this: train on [identity | metadata]; regress the resulting item representations on
the content; then *re-express* the model over the features

    [ identity | has embedding | embedding | metadata beside an embedding
               | has none      |             metadata alone               ]

by setting the content rows to the regression's coefficients and subtracting what they contribute
from the identity rows. A warm item keeps exactly the representation it had, a cold one (it has no
identity row) gets the regression's prediction, and the result is an ordinary LightFM model.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from datasets.errors import ColdtuneError
from recsys.config import ContentMapConfig, FMConfig
from recsys.content_map import ContentMap
from recsys.fold_in import least_squares
from recsys.plays import weigh
from recsys.sources.base import Floats, ItemContent, TrainingData, Vectors

if TYPE_CHECKING:
    from lightfm import LightFM

_LARGEST_NORM = 1e3
"""LightFM catches only NaN and infinity; a vector longer than this has diverged as surely."""


class FMSource:
    """User vectors [p, 1] and item vectors [q, bias], so that a score is one inner product.

    A user's own bias moves all their items alike and is dropped.
    """

    def __init__(self, config: FMConfig, content_map: ContentMapConfig) -> None:
        self.config = config
        self.map_config = content_map
        self.map: ContentMap | None = None

    def fit(self, data: TrainingData) -> Vectors:
        """Vectors of length ``config.components + 1``.

        Raises ColdtuneError where training diverges.
        """
        listeners = data.listeners
        warm = np.flatnonzero(listeners > 0)
        # Cold items stay out: WARP would sample them as negatives and teach the model, and every
        # artist and genre of theirs, that nobody wants what nobody has been offered.
        known = data.content.take(warm)
        features = sp.hstack(
            [sp.identity(len(warm), dtype=np.float32, format="csr"), known.metadata], format="csr"
        )
        model = self._train(data, warm, features)

        items = np.zeros((len(listeners), self.config.components + 1), np.float32)
        items[warm, :-1] = features @ model.item_embeddings
        items[warm, -1] = features @ model.item_biases
        users = np.hstack([model.user_embeddings, np.ones((len(model.user_embeddings), 1))])
        self.map = ContentMap.fit(data.content, items, listeners, data.artists, self.map_config)
        cold = np.flatnonzero(listeners == 0)
        items[cold] = self.map.predict(data.content.take(cold))
        return Vectors(users.astype(np.float32), items)

    def _train(
        self, data: TrainingData, warm: NDArray[np.intp], features: sp.csr_matrix
    ) -> "LightFM":
        from lightfm import LightFM

        model = LightFM(
            no_components=self.config.components,
            loss=self.config.loss,
            learning_rate=self.config.learning_rate,
            item_alpha=self.config.item_penalty,
            user_alpha=self.config.user_penalty,
            random_state=data.seed,
        )
        played = data.plays[:, warm].tocoo()
        positives = sp.coo_matrix(
            (np.ones(played.nnz, np.float32), (played.row, played.col)), shape=played.shape
        )
        try:
            model.fit(
                positives,
                item_features=features,
                epochs=self.config.epochs,
                num_threads=data.threads,
            )
        except ValueError as error:
            raise ColdtuneError(
                f"the factorization machine could not be trained: {error}"
            ) from None
        longest = float(np.linalg.norm(features @ model.item_embeddings, axis=1).max())
        if longest > _LARGEST_NORM:
            raise ColdtuneError(
                f"the factorization machine diverged (item vectors of length {longest:.3g}): "
                f"lower fm.learning_rate, now {self.config.learning_rate}"
            )
        return model

    def item_vectors(self, content: ItemContent) -> Floats:
        assert self.map is not None
        return self.map.predict(content)

    def fold_in(self, history: Floats, weights: Floats, gram: NDArray[np.float64]) -> Floats:
        return least_squares(history, weigh(weights, "binary"), gram)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        assert self.map is not None
        return self.map.arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        self.map = ContentMap.from_arrays(arrays)
        return self


def as_lightfm(
    vectors: Vectors, content: ItemContent, content_map: ContentMap, listeners: NDArray[np.intp]
) -> tuple["LightFM", sp.csr_matrix]:
    """The source as an ordinary LightFM model, and the item features to call ``predict`` with.

    The feature matrix is CSR float32 [n_items, n_items + 2 + e + 2m]. Identity entries stand only
    in the rows of warm items (``listeners > 0``).
    """
    from lightfm import LightFM

    heard = content.has_embedding.astype(np.float32)
    identity = sp.diags((listeners > 0).astype(np.float32), format="csr")
    shared = sp.hstack(
        [
            sp.csr_matrix(heard[:, None]),
            sp.csr_matrix(content.embeddings * heard[:, None]),
            sp.diags(heard) @ content.metadata,
            sp.csr_matrix(1 - heard[:, None]),
            sp.diags(1 - heard) @ content.metadata,
        ],
        format="csr",
    )
    rows = np.vstack(
        [
            content_map.intercept,
            content_map.weights,
            content_map.effects,
            content_map.bare_intercept,
            content_map.bare_effects,
        ]
    )
    own = np.where((listeners > 0)[:, None], vectors.items - shared @ rows, 0)
    everything = np.vstack([own, rows]).astype(np.float32)

    model = LightFM(no_components=vectors.items.shape[1] - 1)
    model.item_embeddings = np.ascontiguousarray(everything[:, :-1])
    model.item_biases = np.ascontiguousarray(everything[:, -1])
    model.user_embeddings = np.ascontiguousarray(vectors.users[:, :-1])
    model.user_biases = np.zeros(len(vectors.users), np.float32)
    # predict() hands these to compiled code, which wants them to exist.
    for side in ("item", "user"):
        embeddings, biases = getattr(model, f"{side}_embeddings"), getattr(model, f"{side}_biases")
        setattr(model, f"{side}_embedding_gradients", np.zeros_like(embeddings))
        setattr(model, f"{side}_embedding_momentum", np.zeros_like(embeddings))
        setattr(model, f"{side}_bias_gradients", np.zeros_like(biases))
        setattr(model, f"{side}_bias_momentum", np.zeros_like(biases))
    return model, sp.hstack([identity, shared], format="csr").astype(np.float32)
