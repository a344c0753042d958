"""A LightFM model with content features: training, embedding features, and the closed form.

Training checks what LightFM does not: that vectors stay bounded.

Embeddings as dense features: LightFM's SGD takes one step size for all features, and embeddings
diverge where features are ten times too large. `EmbeddingFeatures` scales them to a mean square sum
of 1 over the items: together they are as large as an item's identity feature.

Closed form (`as_lightfm`): a trained factorization machine is expressed over the features

    [ identity | has embedding | embedding | metadata of items with an embedding
               | has none                  | metadata of items without one       ]

by setting the rows of the content features to the coefficients of a regression of the item vectors
on the content, and subtracting what they contribute from the identity rows. A warm item keeps
exactly its vector; a cold one, which has no identity row, gets the regression's prediction.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import scipy.sparse as sp

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import ColdtuneError
from datasets.progress import count_steps
from datasets.system.forking import openmp_threads
from recsys.config import FMConfig
from recsys.content.mapping import ContentMap
from recsys.data import ItemContent, TrainingData, Vectors

if TYPE_CHECKING:
    from lightfm import LightFM

_MIN_EPOCHS, _MAX_EPOCHS, _STEPS = 10, 100, 30_000_000

_MAX_NORM = 1e3
"""LightFM catches only NaN and infinity; a longer vector has diverged as well."""

_MIN_VARIATION = 1e-6
"""A column with a deviation below this share of its largest value holds only rounding error."""


def new_model(config: FMConfig, seed: int) -> "LightFM":
    """Create an untrained LightFM model with these settings."""
    from lightfm import LightFM

    return LightFM(
        no_components=config.components,
        loss=config.loss,
        learning_rate=config.learning_rate,
        item_alpha=config.item_penalty,
        user_alpha=config.user_penalty,
        random_state=seed,
    )


def binary_interactions(data: TrainingData, items: IntArray) -> sp.coo_matrix:
    """Return which users played which of the items, as ones: COO float32 [n_users, len(items)]."""
    played = data.plays[:, items].tocoo()
    ones = np.ones(played.nnz, np.float32)
    return sp.coo_matrix((ones, (played.row, played.col)), shape=played.shape)


def n_epochs(config: FMConfig, n_plays: int) -> int:
    """Return the number of epochs for `n_plays` interactions: as configured, or by their number."""
    if config.epochs is not None:
        return config.epochs
    return min(_MAX_EPOCHS, max(_MIN_EPOCHS, _STEPS // max(n_plays, 1)))


def train_model(
    model: "LightFM",
    played: sp.coo_matrix,
    features: sp.csr_matrix,
    *,
    epochs: int,
    threads: int,
) -> Vectors:
    """Continue training; return the vectors of users and items.

    Args:
        model: trained in place.
        played: interactions, COO float32 [n_users, n_items].
        features: item features, CSR float32 [n_items, n_features].
        epochs: passes over the interactions.
        threads: more than one makes results differ from run to run.

    Raises:
        ColdtuneError: training diverged.
    """
    try:
        with count_steps("epochs", epochs) as advance:
            for _ in range(epochs):  # as many calls give what one call with all epochs gives
                model.fit_partial(
                    played, item_features=features, epochs=1, num_threads=openmp_threads(threads)
                )
                advance(1)
    except ValueError as error:
        raise ColdtuneError(f"the factorization machine could not be trained: {error}") from None
    vectors = model_vectors(model, features)
    longest = float(np.linalg.norm(vectors.items[:, :-1].astype(np.float64), axis=1).max())
    if not longest <= _MAX_NORM:  # also catches NaN
        raise ColdtuneError(
            f"the factorization machine diverged (item vectors of length {longest:.3g}): "
            f"lower fm.learning_rate, now {model.learning_rate}"
        )
    return vectors


def model_vectors(model: "LightFM", features: sp.csr_matrix) -> Vectors:
    """Return users [p, 1] and items [q, bias], float32, whose inner products are the scores.

    A user's bias shifts all their scores alike and is dropped.
    """
    users = np.ones((len(model.user_embeddings), model.no_components + 1), np.float32)
    users[:, :-1] = model.user_embeddings
    items = np.empty((features.shape[0], model.no_components + 1), np.float32)
    items[:, :-1] = features @ model.item_embeddings
    items[:, -1] = features @ model.item_biases
    return Vectors(users, items)


def feature_vectors(model: "LightFM") -> Float64Array:
    """Return each item feature's part of item vectors [q, bias]: [n_features, components + 1]."""
    return np.hstack([model.item_embeddings, model.item_biases[:, None]]).astype(np.float64)


@dataclass(frozen=True)
class EmbeddingFeatures:
    """Features ``(e - center) · projection`` of an embedding e, scaled for SGD."""

    center: Float64Array
    """float64 [e]."""

    projection: Float64Array
    """float64 [e, c]."""

    @classmethod
    def fit(cls, content: ItemContent, config: FMConfig) -> Self:
        """Learn principal components (``pca``) or standardised columns (``dense``) of embeddings.

        Items without an embedding are ignored; with fewer than two others there are no features.
        """
        E = content.embeddings[content.has_embedding].astype(np.float64)
        if len(E) < 2:
            return cls(np.zeros(E.shape[1]), np.zeros((E.shape[1], 0)))
        if config.embedding_features == "pca":
            return cls._principal_components(E, config.pca_components)
        return cls.standardised(E)

    @classmethod
    def standardised(cls, E: Float64Array) -> Self:
        """Divide each column of E [n, e] by its deviation; constant columns become zero."""
        center, deviation = E.mean(axis=0), E.std(axis=0)
        varies = deviation > _MIN_VARIATION * np.abs(E).max(axis=0, initial=0)
        size = np.sqrt(max(int(varies.sum()), 1))
        factors = np.divide(1, deviation * size, out=np.zeros_like(deviation), where=varies)
        return cls(center, np.diag(factors))

    @classmethod
    def _principal_components(cls, E: Float64Array, components: int) -> Self:
        from sklearn.decomposition import PCA

        pca = PCA(min(components, *E.shape), svd_solver="full").fit(E)
        energy = float(pca.explained_variance_.sum()) * (len(E) - 1) / len(E)
        size = np.sqrt(energy) if energy > 0 else np.inf
        return cls(pca.mean_, pca.components_.T / size)

    def transform(self, content: ItemContent) -> Float32Array:
        """Return features, float32 [n_items, c]; zeros (the mean) for items without embedding."""
        features = (content.embeddings - self.center) @ self.projection
        return np.where(content.has_embedding[:, None], features, 0).astype(np.float32)

    def map_to_embeddings(
        self, intercept: Float64Array, rows: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Convert an affine map of the features to one of the embeddings.

        Args:
            intercept: float64 [d].
            rows: weights of the features, float64 [c, d].

        Returns:
            Intercept [d] and weights [e, d].
        """
        weights = self.projection @ rows
        return intercept - self.center @ weights, weights


def feature_matrix(content: ItemContent, scaler: EmbeddingFeatures) -> sp.csr_matrix:
    """Return [identity | metadata | embedding features], CSR float32 [n, n + m + c]."""
    dense = sp.csr_matrix(scaler.transform(content))
    return sp.hstack([identity_matrix(content), dense], format="csr").astype(np.float32)


def identity_matrix(content: ItemContent) -> sp.csr_matrix:
    """Return [identity | metadata], CSR float32 [n, n + m]."""
    identity = sp.identity(len(content), dtype=np.float32, format="csr")
    return sp.hstack([identity, content.metadata], format="csr")


def content_map_of_features(
    rows: Float64Array, n_metadata: int, scaler: EmbeddingFeatures
) -> ContentMap:
    """Express what features other than identity add to an item as a map from its content.

    Args:
        rows: vectors of the metadata values and of the embedding features, float64 [m + c, d].
        n_metadata: m.
        scaler: how embeddings became features.
    """
    effects, d = rows[:n_metadata], rows.shape[1]
    intercept, weights = scaler.map_to_embeddings(np.zeros(d), rows[n_metadata:])
    return ContentMap.affine(intercept, weights, effects, np.zeros(d), effects)


def as_lightfm(
    vectors: Vectors,
    content: ItemContent,
    content_map: ContentMap,
    user_counts: IntArray,
    *,
    config: FMConfig | None = None,
    seed: int = 0,
) -> tuple["LightFM", sp.csr_matrix]:
    """Express a fitted factorization machine as an ordinary LightFM model with content features.

    ``predict`` gives the scores of `vectors`; ``fit_partial`` continues the training with the
    settings of `config`, with Adagrad's sums as at the start of a training.

    Args:
        vectors: vectors of users and items, as `FMSource.fit` returned them.
        content: content of the items.
        content_map: the source's map from content to item vectors.
        user_counts: number of users of each item; only warm items get an identity feature.
        config: settings of LightFM. The default has the right number of components.
        seed: seed of LightFM.

    Returns:
        The model, and the item features to call ``predict`` with, CSR float32
        [n_items, n_items + 2 + e + 2m].

    Raises:
        InvalidArgumentError: the content map is not affine.

    Examples:
        >>> from recsys.config import ContentMapConfig
        >>> from recsys.sources import FMSource
        >>> config = ContentMapConfig(kind="ridge")
        >>> source = FMSource(FMConfig(components=8, epochs=5), config)
        >>> vectors = source.fit(training_data)
        >>> counts = training_data.user_counts
        >>> model, features = as_lightfm(vectors, training_data.content, source.map, counts)
        >>> scores = model.predict(0, np.arange(30), item_features=features)
        >>> bool(np.allclose(scores, vectors.items @ vectors.users[0], atol=1e-4))
        True
    """
    content_map.require_affine("a factorization machine as a LightFM model")
    embedded = content.has_embedding.astype(np.float32)
    identity = sp.diags((user_counts > 0).astype(np.float32), format="csr")
    shared = sp.hstack(
        [
            sp.csr_matrix(embedded[:, None]),
            sp.csr_matrix(content.embeddings * embedded[:, None]),
            sp.diags(embedded) @ content.metadata,
            sp.csr_matrix(1 - embedded[:, None]),
            sp.diags(1 - embedded) @ content.metadata,
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
    own = np.where((user_counts > 0)[:, None], vectors.items - shared @ rows, 0)
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


def tune_model(
    vectors: Vectors,
    content: ItemContent,
    content_map: ContentMap,
    played: sp.coo_matrix,
    config: FMConfig,
    *,
    seed: int,
    threads: int,
) -> tuple[Vectors, ContentMap]:
    """Train the model that `as_lightfm` builds for ``config.tuning_epochs`` further epochs.

    Args:
        vectors: vectors of users and items; all items are warm.
        content: content of the items.
        content_map: map from content to item vectors.
        played: interactions, COO float32 [n_users, n_items].
        config: settings of LightFM.
        seed: seed of LightFM.
        threads: threads for training.

    Returns:
        The tuned vectors, and the tuned map from content to item vectors.

    Raises:
        ColdtuneError: training diverged.
        InvalidArgumentError: the content map is not affine.
    """
    content_map.require_affine("fm.embedding_features 'closed-form+tuning'")
    embeddings = content.embeddings[content.has_embedding].astype(np.float64)
    if not len(embeddings):
        embeddings = np.zeros((1, content.embeddings.shape[1]))
    # Embeddings become features of a size that SGD can train; the result is converted back.
    scaler = EmbeddingFeatures.standardised(embeddings)
    factors = np.diag(scaler.projection)[:, None]
    weights = content_map.weights.astype(np.float64)
    start = ContentMap.affine(
        content_map.intercept + scaler.center @ weights,
        np.divide(weights, factors, out=np.zeros_like(weights), where=factors > 0),
        content_map.effects.astype(np.float64),
        content_map.bare_intercept.astype(np.float64),
        content_map.bare_effects.astype(np.float64),
    )
    n, m = content.metadata.shape
    model, features = as_lightfm(
        vectors,
        replace(content, embeddings=scaler.transform(content)),
        start,
        np.ones(n, np.intp),
        config=config,
        seed=seed,
    )
    tuned = train_model(model, played, features, epochs=config.tuning_epochs, threads=threads)

    rows = feature_vectors(model)[n:]
    embedded, bare = rows[: len(rows) - 1 - m], rows[len(rows) - 1 - m :]
    e = len(weights)
    intercept, weights = scaler.map_to_embeddings(embedded[0], embedded[1 : 1 + e])
    return tuned, ContentMap.affine(
        intercept, weights, embedded[1 + e :], bare[0], bare[1:], content_map.strength
    )
