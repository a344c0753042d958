"""Composition goals that need a fitted model: a song's sound, or the taste of a user."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from datasets.errors import InvalidArgumentError, UnknownUserError
from recsys.content.kernel import KernelMap
from recsys.model.live import LiveModel
from recsys.sources.base import FactorSource
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

    Up to a constant it is `e · direct + profile · u + Σ kernel(e) · weights`, with u the
    standardised embedding at length 1: the first term sums the sources whose content maps are
    affine in e, the second is the content source, the third sums the sources with kernel maps.
    """

    direct: Float32Array
    """float32 [dimension]."""
    profile: Float32Array
    """float32 [dimension]."""
    center: Float32Array
    """float32 [dimension]."""
    inverse_scale: Float32Array
    """float32 [dimension]."""
    kernels: tuple[KernelMap, ...]
    """Kernel maps to one number each, the score."""
    catalogue: Float32Array
    """Scores of all songs with an embedding, float32 [n]."""

    def loss(self, network: "DifferentiableEncoder", images: "Tensor") -> "Tensor":
        """Compute how far the scores of images are below the target, in standard deviations, [n].

        The target is slightly above the best score of the catalogue. Beyond it the loss is zero, as
        the content maps are not reliable far from their training data.
        """
        import torch

        def tensor(values: Float32Array | Float64Array) -> "Tensor":
            return torch.tensor(values, dtype=images.dtype, device=images.device)

        embeddings = network.embeddings(images)
        standard = (embeddings - tensor(self.center)) * tensor(self.inverse_scale)
        unit = torch.nn.functional.normalize(standard, dim=1)
        scores = embeddings @ tensor(self.direct) + unit @ tensor(self.profile)
        for kernel in self.kernels:
            X = (embeddings - tensor(kernel.center)) * tensor(kernel.inverse_scale)
            landmarks = tensor(kernel.landmarks)
            # Not `cdist`, whose gradient at distance 0 is not finite.
            squares = (X**2).sum(1)[:, None] + (landmarks**2).sum(1) - 2 * X @ landmarks.T
            likeness = torch.exp(-kernel.precision * squares.clamp_min(0))
            scores = scores + likeness @ tensor(kernel.weights[:, 0])
        spread = float(self.catalogue.std())
        wanted = float(self.catalogue.max()) + _MARGIN * spread
        below: Tensor = (wanted - scores) / spread
        return below.clamp_min(0)

    def match(self, encoder: "SongEncoder", images: Float32Array) -> float:
        """Return the share of the catalogue's songs that score lower."""
        from embedding.encoders.songs import embed_song

        own = self.score(embed_song(encoder, images)[0][None])
        return float((self.catalogue < own).mean())

    def score(self, embeddings: Float32Array) -> Float32Array:
        """Score songs by their embeddings [n, dimension]; returns [n]."""
        standard = (embeddings - self.center) * self.inverse_scale
        norms = np.linalg.norm(standard, axis=1)
        cosines = np.divide(
            standard @ self.profile, norms, out=np.zeros_like(norms), where=norms > 0
        )
        scores = embeddings @ self.direct + cosines
        for kernel in self.kernels:
            scores = scores + kernel(embeddings.astype(np.float64))[:, 0]
        return np.asarray(scores, np.float32)


def taste_goal(model: LiveModel, user_id: str) -> TasteGoal:
    """Build the goal of composing for a user.

    Args:
        model: a fitted model.
        user_id: the user.

    Raises:
        UnknownUserError: the user is not in the training data.
        InvalidArgumentError: all songs score alike for the user, fewer than two songs have an
            embedding, or a source's content map is a network.
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
    profile, center, inverse_scale = np.zeros_like(direct), np.zeros_like(direct), direct + 1
    kernels = []
    for block in state.blocks:
        source = state.sources[block.name]
        factors = block.cold * user[block.columns]
        if isinstance(source, ContentSource):
            profile = factors.astype(np.float32)
            center, inverse_scale = np.asarray(source.center), np.asarray(source.inverse_scale)
            continue
        map_ = source.map if isinstance(source, FactorSource) else None
        if map_ is None:  # popularity, which sound says nothing about
            continue
        if len(map_.bias):
            raise InvalidArgumentError(
                f"source {block.name!r} maps sound by a network, and a taste to compose for "
                "needs another map: fit with content_map.kind 'kernel', 'ridge', 'low-rank' or "
                "'cosine'"
            )
        direct += map_.weights @ factors
        if len(map_.landmarks):
            weights = map_.kernel.weights @ factors[:, None].astype(np.float64)
            kernels.append(replace(map_.kernel, weights=weights))
    goal = TasteGoal(
        direct, profile, center, inverse_scale, tuple(kernels), np.zeros(0, np.float32)
    )
    scores = goal.score(embeddings)
    if len(scores) < 2 or not scores.std() > 0:
        raise InvalidArgumentError(
            f"nothing is known of what user {user_id!r} likes to hear: all songs score alike"
        )
    return replace(goal, catalogue=scores)


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
