"""LightFM's own training, and what it does not notice: vectors that have grown out of bounds.

Embeddings as dense item features of LightFM, of a size that its training bears.

Its SGD takes one step size for all features, and embeddings grow without bound where features are
ten times too large. An item's dense features here have a mean square sum of 1 over the items that
they are learned from: together they are as large as the item's identity feature.

A factorization machine with embedding features in closed form, as an ordinary LightFM model.

The model is *re-expressed* over the features

    [ identity | has embedding | embedding | metadata beside an embedding
               | has none      |             metadata alone               ]

by setting the content rows to the coefficients of a regression of the item vectors on the content,
and subtracting what they contribute from the identity rows. A warm item keeps exactly the
representation it had, a cold one (it has no identity row) gets the regression's prediction.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import ColdtuneError
from recsys.config import FMConfig
from recsys.content.mapping import ContentMap
from recsys.data import ItemContent, TrainingData, Vectors

if TYPE_CHECKING:
    from lightfm import LightFM

_MOST_EPOCHS, _LEAST_EPOCHS, _STEPS = 100, 10, 30_000_000

_LARGEST_NORM = 1e3
"""LightFM catches only NaN and infinity; a vector longer than this has diverged as surely."""


def new_model(config: FMConfig, seed: int) -> "LightFM":
    """An untrained LightFM model with these settings."""
    from lightfm import LightFM

    return LightFM(
        no_components=config.components,
        loss=config.loss,
        learning_rate=config.learning_rate,
        item_alpha=config.item_penalty,
        user_alpha=config.user_penalty,
        random_state=seed,
    )


def positives(data: TrainingData, items: IntArray) -> sp.coo_matrix:
    """Who has played which of the items, as ones: COO float32 [n_users, len(items)]."""
    played = data.plays[:, items].tocoo()
    ones = np.ones(played.nnz, np.float32)
    return sp.coo_matrix((ones, (played.row, played.col)), shape=played.shape)


def epochs_of(config: FMConfig, n_plays: int) -> int:
    """Passes over ``n_plays`` interactions: as configured, or by their number."""
    if config.epochs is not None:
        return config.epochs
    return min(_MOST_EPOCHS, max(_LEAST_EPOCHS, _STEPS // max(n_plays, 1)))


def train(
    model: "LightFM",
    played: sp.coo_matrix,
    features: sp.csr_matrix,
    *,
    epochs: int,
    threads: int,
) -> Vectors:
    """Train for some epochs, from where the model stands; the vectors of users and items then.

    played: COO [n_users, n_items]; features: CSR float32 [n_items, n_features].
    Raises ColdtuneError where training diverges.
    """
    try:
        model.fit_partial(played, item_features=features, epochs=epochs, num_threads=threads)
    except ValueError as error:
        raise ColdtuneError(f"the factorization machine could not be trained: {error}") from None
    vectors = vectors_of(model, features)
    longest = float(np.linalg.norm(vectors.items[:, :-1].astype(np.float64), axis=1).max())
    if not longest <= _LARGEST_NORM:  # nor NaN, of infinite features that cancel
        raise ColdtuneError(
            f"the factorization machine diverged (item vectors of length {longest:.3g}): "
            f"lower fm.learning_rate, now {model.learning_rate}"
        )
    return vectors


def vectors_of(model: "LightFM", features: sp.csr_matrix) -> Vectors:
    """A model's scores as inner products: users [p, 1], items [q, bias], float32.

    A user's own bias moves all their items alike and is dropped.
    """
    users = np.ones((len(model.user_embeddings), model.no_components + 1), np.float32)
    users[:, :-1] = model.user_embeddings
    items = np.empty((features.shape[0], model.no_components + 1), np.float32)
    items[:, :-1] = features @ model.item_embeddings
    items[:, -1] = features @ model.item_biases
    return Vectors(users, items)


def feature_vectors(model: "LightFM") -> Float64Array:
    """What each item feature adds to an item's vector [q, bias]: [n_features, components + 1]."""
    return np.hstack([model.item_embeddings, model.item_biases[:, None]]).astype(np.float64)


_STILL = 1e-6
"""A column that varies less than this beside its size says nothing but rounding."""


@dataclass(frozen=True)
class DenseFeatures:
    """Dense features ``(e - center) · projection`` of an embedding e; none where there is none.

    center [e], projection [e, c].
    """

    center: Float64Array
    projection: Float64Array

    @classmethod
    def learn(cls, content: ItemContent, config: FMConfig) -> Self:
        """Principal components for the scheme ``pca``, else every column standardised.

        Learned from the items of ``content`` that have an embedding; no features where fewer than
        two have one.
        """
        E = content.embeddings[content.has_embedding].astype(np.float64)
        if len(E) < 2:
            return cls(np.zeros(E.shape[1]), np.zeros((E.shape[1], 0)))
        if config.embedding_features == "pca":
            return cls._principal(E, config.pca_components)
        return cls.standardised(E)

    @classmethod
    def standardised(cls, E: Float64Array) -> Self:
        """Each column by its own deviation; one that stands still becomes zero. E: [n, e]."""
        center, deviation = E.mean(axis=0), E.std(axis=0)
        moves = deviation > _STILL * np.abs(E).max(axis=0, initial=0)
        size = np.sqrt(max(int(moves.sum()), 1))
        factors = np.divide(1, deviation * size, out=np.zeros_like(deviation), where=moves)
        return cls(center, np.diag(factors))

    @classmethod
    def _principal(cls, E: Float64Array, components: int) -> Self:
        from sklearn.decomposition import PCA

        pca = PCA(min(components, *E.shape), svd_solver="full").fit(E)
        energy = float(pca.explained_variance_.sum()) * (len(E) - 1) / len(E)
        size = np.sqrt(energy) if energy > 0 else np.inf
        return cls(pca.mean_, pca.components_.T / size)

    def of(self, content: ItemContent) -> Float32Array:
        """float32 [n, c]; zero rows, which are the mean, for items without an embedding."""
        features = (content.embeddings - self.center) @ self.projection
        return np.where(content.has_embedding[:, None], features, 0).astype(np.float32)

    def unfold(
        self, intercept: Float64Array, rows: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Intercept [d] and weights [e, d] for the embeddings themselves, from those for the
        features: [d] and [c, d]."""
        weights = self.projection @ rows
        return intercept - self.center @ weights, weights


def dense_matrix(content: ItemContent, features: DenseFeatures) -> sp.csr_matrix:
    """[identity | metadata | dense features], CSR float32 [n, n + m + c]."""
    return sp.hstack(
        [identity_matrix(content), sp.csr_matrix(features.of(content))], format="csr"
    ).astype(np.float32)


def identity_matrix(content: ItemContent) -> sp.csr_matrix:
    """[identity | metadata], CSR float32 [n, n + m]."""
    identity = sp.identity(len(content), dtype=np.float32, format="csr")
    return sp.hstack([identity, content.metadata], format="csr")


def dense_map(rows: Float64Array, n_metadata: int, features: DenseFeatures) -> ContentMap:
    """What the features other than identity say of an item, as a map from its content.

    rows: [m + c, d], the vectors of the metadata values and of the dense features.
    """
    d = rows.shape[1]
    intercept, weights = features.unfold(np.zeros(d), rows[n_metadata:])
    return affine_map(intercept, weights, rows[:n_metadata], np.zeros(d), rows[:n_metadata])


def affine_map(
    intercept: Float64Array,
    weights: Float64Array,
    effects: Float64Array,
    bare_intercept: Float64Array,
    bare_effects: Float64Array,
    strength: float = np.inf,
) -> ContentMap:
    """Build an affine content map from its parts (shapes as in `ContentMap`)."""
    return ContentMap.from_arrays(
        {
            "intercept": np.ascontiguousarray(intercept, np.float32),
            "weights": np.ascontiguousarray(weights, np.float32),
            "effects": np.ascontiguousarray(effects, np.float32),
            "bare_intercept": np.ascontiguousarray(bare_intercept, np.float32),
            "bare_effects": np.ascontiguousarray(bare_effects, np.float32),
            "strength": np.array(strength),
        }
    )


def as_lightfm(
    vectors: Vectors,
    content: ItemContent,
    content_map: ContentMap,
    listeners: IntArray,
    *,
    config: FMConfig | None = None,
    seed: int = 0,
) -> tuple["LightFM", sp.csr_matrix]:
    """The source as an ordinary LightFM model, and the item features to call ``predict`` with.

    The feature matrix is CSR float32 [n_items, n_items + 2 + e + 2m]. Identity entries stand only
    in the rows of warm items (``listeners > 0``). ``fit_partial`` goes on training it, by the
    settings of ``config``, with Adagrad's sums as at the start of a training.

    Raises InvalidArgumentError where the content map is not affine.
    """
    content_map.require_affine("a factorization machine as a LightFM model")
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

    model = new_model(config or FMConfig(components=vectors.items.shape[1] - 1), seed)
    model.item_embeddings = np.ascontiguousarray(everything[:, :-1])
    model.item_biases = np.ascontiguousarray(everything[:, -1])
    model.user_embeddings = np.ascontiguousarray(vectors.users[:, :-1])
    model.user_biases = np.zeros(len(vectors.users), np.float32)
    for side in ("item", "user"):
        for kind, values in (("embedding", "embeddings"), ("bias", "biases")):
            parameters = getattr(model, f"{side}_{values}")
            setattr(model, f"{side}_{kind}_gradients", np.ones_like(parameters))
            setattr(model, f"{side}_{kind}_momentum", np.zeros_like(parameters))
    return model, sp.hstack([identity, shared], format="csr").astype(np.float32)


def tune(
    vectors: Vectors,
    content: ItemContent,
    content_map: ContentMap,
    played: sp.coo_matrix,
    config: FMConfig,
    *,
    seed: int,
    threads: int,
) -> tuple[Vectors, ContentMap]:
    """Train the re-expressed model ``config.tuning_epochs`` further; its vectors and content map.

    All items are warm. Embeddings become features of a size that SGD bears
    (:mod:`recsys.sources.lightfm_model`) and the map that comes back is for the embeddings again.
    Raises ColdtuneError where training diverges, InvalidArgumentError where the map is not affine.
    """
    content_map.require_affine("fm.embedding_features 'closed-form+tuning'")
    heard = content.embeddings[content.has_embedding].astype(np.float64)
    if not len(heard):
        heard = np.zeros((1, content.embeddings.shape[1]))
    scaled = DenseFeatures.standardised(heard)
    factors = np.diag(scaled.projection)[:, None]
    weights = content_map.weights.astype(np.float64)
    start = affine_map(
        content_map.intercept + scaled.center @ weights,
        np.divide(weights, factors, out=np.zeros_like(weights), where=factors > 0),
        content_map.effects.astype(np.float64),
        content_map.bare_intercept.astype(np.float64),
        content_map.bare_effects.astype(np.float64),
    )
    n, m = content.metadata.shape
    model, features = as_lightfm(
        vectors,
        replace(content, embeddings=scaled.of(content)),
        start,
        np.ones(n, np.intp),
        config=config,
        seed=seed,
    )
    tuned = train(model, played, features, epochs=config.tuning_epochs, threads=threads)

    rows = feature_vectors(model)[n:]
    by_ear, by_label = rows[: len(rows) - 1 - m], rows[len(rows) - 1 - m :]
    e = len(weights)
    intercept, weights = scaled.unfold(by_ear[0], by_ear[1 : 1 + e])
    return tuned, affine_map(
        intercept, weights, by_ear[1 + e :], by_label[0], by_label[1:], content_map.strength
    )
