"""A factorization machine with embedding features in closed form, as an ordinary LightFM model.

The model is *re-expressed* over the features

    [ identity | has embedding | embedding | metadata beside an embedding
               | has none      |             metadata alone               ]

by setting the content rows to the coefficients of a regression of the item vectors on the content,
and subtracting what they contribute from the identity rows. A warm item keeps exactly the
representation it had, a cold one (it has no identity row) gets the regression's prediction.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from datasets.arrays import IntArray
from recsys.config import FMConfig
from recsys.content.mapping import ContentMap
from recsys.sources.base import ItemContent, Vectors
from recsys.sources.fm_features import DenseFeatures, affine_map
from recsys.sources.lightfm_model import feature_vectors, new_model, train

if TYPE_CHECKING:
    from lightfm import LightFM


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
    (:mod:`recsys.sources.fm_features`) and the map that comes back is for the embeddings again.
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
