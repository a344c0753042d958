"""Composition goals that need a fitted model: a song's sound, or the taste of a user."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError, UnknownUserError
from recsys.data import ItemContent
from recsys.model.live import LiveModel
from recsys.sources.base import Source
from recsys.sources.content import ContentSource

if TYPE_CHECKING:
    from torch import Tensor

    from embedding import SongEncoder
    from embedding.composition.goals import DifferentiableEncoder, LikenessGoal

_MARGIN = 0.1
"""How far above the catalogue's best song to aim, in standard deviations of its scores."""


@dataclass(frozen=True, eq=False)
class TasteGoal:
    """The score that a model gives a new song for a user, as a function of its embedding e.

    Up to a constant it is `e · direct + profile · (e - center) / |e - center|`: the first term sums
    the sources with content maps, which are affine in e, the second is the content source.
    """

    direct: Float32Array
    """float32 [dimension]."""
    profile: Float32Array
    """float32 [dimension]."""
    center: Float32Array
    """float32 [dimension]."""
    catalogue: Float32Array
    """Scores of all songs with an embedding, float32 [n]."""

    def loss(self, network: "DifferentiableEncoder", images: "Tensor") -> "Tensor":
        """Compute how far the scores of images are below the target, in standard deviations, [n].

        The target is slightly above the best score of the catalogue. Beyond it the loss is zero, as
        the content maps are not reliable far from their training data.
        """
        import torch

        direct, profile, center = (
            torch.tensor(vector, dtype=images.dtype, device=images.device)
            for vector in (self.direct, self.profile, self.center)
        )
        embeddings = network.embeddings(images)
        unit = torch.nn.functional.normalize(embeddings - center, dim=1)
        spread = float(self.catalogue.std())
        wanted = float(self.catalogue.max()) + _MARGIN * spread
        below: Tensor = (wanted - embeddings @ direct - unit @ profile) / spread
        return below.clamp_min(0)

    def match(self, encoder: "SongEncoder", images: Float32Array) -> float:
        """Return the share of the catalogue's songs that score lower."""
        own = self.score(encoder.embed(images).mean(axis=0, keepdims=True))
        return float((self.catalogue < own).mean())

    def score(self, embeddings: Float32Array) -> Float32Array:
        """Score songs by their embeddings [n, dimension]; returns [n]."""
        return _score(embeddings, self.direct, self.profile, self.center)


def taste_goal(model: LiveModel, user_id: str) -> TasteGoal:
    """Build the goal of composing for a user.

    Args:
        model: a fitted model.
        user_id: the user.

    Raises:
        UnknownUserError: the user is not in the training data.
        InvalidArgumentError: all songs score alike for the user, fewer than two songs have an
            embedding, or a source's content map is not affine.
    """
    row = model.users.row(user_id)
    if row is None:
        raise UnknownUserError(
            f"no user {user_id!r} in the training data{model.users.suggestion(user_id)}"
        )
    state = model.state
    user = model.users.vectors(np.array([row]))[0]
    embeddings = np.asarray(state.embeddings[state.has_embedding])
    dimension = embeddings.shape[1]
    direct = np.zeros(dimension, np.float32)
    profile, center = np.zeros_like(direct), np.zeros_like(direct)
    for block in state.blocks:
        source = state.sources[block.name]
        factors = block.cold * user[block.columns]
        if isinstance(source, ContentSource):
            profile, center = factors.astype(np.float32), np.asarray(source.center)
        else:
            probes = np.vstack([np.zeros(dimension), np.eye(dimension)]).astype(np.float32)
            vectors = source.item_vectors(_embeddings_only(probes, model))
            slopes = vectors[1:] - vectors[0]
            if not _is_affine(source, slopes, vectors[0], embeddings[:8], model):
                raise InvalidArgumentError(
                    f"source {block.name!r} maps sound by a network, and a taste to compose for "
                    "needs an affine map: fit with content_map.kind 'ridge', 'low-rank' or 'cosine'"
                )
            direct += slopes @ factors
    scores = _score(embeddings, direct, profile, center)
    if len(scores) < 2 or not scores.std() > 0:
        raise InvalidArgumentError(
            f"nothing is known of what user {user_id!r} likes to hear: all songs score alike"
        )
    return TasteGoal(direct, profile, center, scores)


def likeness_goal(model: LiveModel, encoder: "SongEncoder", item_id: str) -> "LikenessGoal":
    """Build the goal of sounding like a song of the catalogue.

    Args:
        model: a fitted model.
        encoder: its network.
        item_id: the song.

    Raises:
        UnknownItemError: no such item.
        InvalidArgumentError: the item has no recording.
    """
    from embedding.composition.goals import likeness

    vectors, known = model.items.embeddings(model.items.rows([item_id]))
    if not known[0]:
        raise InvalidArgumentError(f"item {item_id!r} has no recording to sound like")
    state = model.state
    fitted = state.embeddings[state.has_embedding]
    center = fitted.mean(axis=0) if len(fitted) else np.zeros_like(vectors[0])
    return likeness(encoder, vectors[0], center)


def _embeddings_only(embeddings: Float32Array, model: LiveModel) -> ItemContent:
    """Describe items by embeddings alone, without metadata."""
    import scipy.sparse as sp

    n = len(embeddings)
    metadata = sp.csr_matrix((n, len(model.state.vocabulary.values)), dtype=np.float32)
    return ItemContent(embeddings, np.ones(n, bool), metadata)


def _is_affine(
    source: Source,
    slopes: Float32Array,
    level: Float32Array,
    embeddings: Float32Array,
    model: LiveModel,
) -> bool:
    """Return whether a source maps these embeddings [n, e] as an affine map would."""
    vectors = source.item_vectors(_embeddings_only(embeddings, model))
    affine = level + embeddings @ slopes
    rounding = 1e-3 * (np.abs(level) + np.abs(embeddings) @ np.abs(slopes) + 1e-30)
    return bool((np.abs(vectors - affine) <= rounding).all())


def _score(
    embeddings: Float32Array, direct: Float32Array, profile: Float32Array, center: Float32Array
) -> Float32Array:
    centred = embeddings - center
    norms = np.linalg.norm(centred, axis=1)
    cosines = np.divide(centred @ profile, norms, out=np.zeros_like(norms), where=norms > 0)
    scores: Float32Array = embeddings @ direct + cosines
    return scores
