"""Goals to compose towards that only a recommender knows: a song's sound, one listener's taste."""

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

MARGIN = 0.1
"""How far above the best song of the catalogue to aim, in standard deviations of its scores."""


@dataclass(frozen=True, eq=False)
class TasteGoal:
    """One listener's score of a song that nobody has played, by nothing but its embedding e.

    All sources speak, as for any new song: the content maps are affine in e, so that their part is
    ``e · direct``; the content source gives ``profile · (e - center) / |e - center|``. A constant
    is left out.

    direct, profile, center: float32 [dimension].
    catalogue: the same score of every song that was heard, float32 [n].
    """

    direct: Float32Array
    profile: Float32Array
    center: Float32Array
    catalogue: Float32Array

    def loss(self, network: "DifferentiableEncoder", images: "Tensor") -> "Tensor":
        """How far each image's score is below the best of the catalogue: [n].

        In standard deviations of the catalogue's scores, and nothing once it is above: further out,
        the maps know nothing any more.
        """
        import torch

        direct, profile, center = (
            torch.tensor(vector, dtype=images.dtype, device=images.device)
            for vector in (self.direct, self.profile, self.center)
        )
        embeddings = network.embeddings(images)
        unit = torch.nn.functional.normalize(embeddings - center, dim=1)
        spread = float(self.catalogue.std())
        wanted = float(self.catalogue.max()) + MARGIN * spread
        below: Tensor = (wanted - embeddings @ direct - unit @ profile) / spread
        return below.clamp_min(0)

    def match(self, encoder: "SongEncoder", images: Float32Array) -> float:
        """Share of the catalogue's songs that suit the listener less."""
        own = self.score(encoder.embed(images).mean(axis=0, keepdims=True))
        return float((self.catalogue < own).mean())

    def score(self, embeddings: Float32Array) -> Float32Array:
        """Scores [n] of songs with these embeddings [n, dimension]."""
        return _score(embeddings, self.direct, self.profile, self.center)


def taste_goal(library: LiveModel, user_id: str) -> TasteGoal:
    """The goal of suiting a listener.

    Raises:
        UnknownUserError: nobody of that id is in the training data.
        InvalidArgumentError: nothing is known of the user, no two songs were heard, or a source's
            content map is not affine.
    """
    row = library.users.row(user_id)
    if row is None:
        raise UnknownUserError(f"no user {user_id!r} in the training data")
    state = library.state
    user = library.users.vectors(np.array([row]))[0]
    embeddings = np.asarray(state.embeddings[state.has_embedding])
    dimension = embeddings.shape[1]
    direct = np.zeros(dimension, np.float32)
    profile, center = np.zeros_like(direct), np.zeros_like(direct)
    for block in state.blocks:
        source, own = state.sources[block.name], block.cold * user[block.columns]
        if isinstance(source, ContentSource):
            profile, center = own.astype(np.float32), np.asarray(source.center)
        else:
            probes = np.vstack([np.zeros(dimension), np.eye(dimension)]).astype(np.float32)
            vectors = source.item_vectors(_by_sound_alone(probes, library))
            slopes = vectors[1:] - vectors[0]
            if not _is_affine(source, slopes, vectors[0], embeddings[:8], library):
                raise InvalidArgumentError(
                    f"source {block.name!r} maps sound by a network, and a taste to compose for "
                    "needs an affine map: fit with content_map.kind 'ridge', 'low-rank' or 'cosine'"
                )
            direct += slopes @ own
    scores = _score(embeddings, direct, profile, center)
    if len(scores) < 2 or not scores.std() > 0:
        raise InvalidArgumentError(
            f"nothing is known of what user {user_id!r} likes to hear: all songs score alike"
        )
    return TasteGoal(direct, profile, center, scores)


def likeness_goal(library: LiveModel, encoder: "SongEncoder", item_id: str) -> "LikenessGoal":
    """The goal of sounding like a song of the catalogue.

    Raises UnknownItemError, and InvalidArgumentError for an item without a recording.
    """
    from embedding.composition.goals import likeness

    vectors, known = library.items.embeddings(library.items.rows([item_id]))
    if not known[0]:
        raise InvalidArgumentError(f"item {item_id!r} has no recording to sound like")
    state = library.state
    fitted = state.embeddings[state.has_embedding]
    center = fitted.mean(axis=0) if len(fitted) else np.zeros_like(vectors[0])
    return likeness(encoder, vectors[0], center)


def _by_sound_alone(embeddings: Float32Array, library: LiveModel) -> ItemContent:
    """Items of which nothing is known but these embeddings."""
    import scipy.sparse as sp

    n = len(embeddings)
    metadata = sp.csr_matrix((n, len(library.state.vocabulary.values)), dtype=np.float32)
    return ItemContent(embeddings, np.ones(n, bool), metadata)


def _is_affine(
    source: Source,
    slopes: Float32Array,
    level: Float32Array,
    embeddings: Float32Array,
    library: LiveModel,
) -> bool:
    """Whether a source maps these embeddings [n, e] as an affine map would."""
    vectors = source.item_vectors(_by_sound_alone(embeddings, library))
    straight = level + embeddings @ slopes
    rounding = 1e-3 * (np.abs(level) + np.abs(embeddings) @ np.abs(slopes) + 1e-30)
    return bool((np.abs(vectors - straight) <= rounding).all())


def _score(
    embeddings: Float32Array, direct: Float32Array, profile: Float32Array, center: Float32Array
) -> Float32Array:
    centred = embeddings - center
    norms = np.linalg.norm(centred, axis=1)
    cosines = np.divide(centred @ profile, norms, out=np.zeros_like(norms), where=norms > 0)
    scores: Float32Array = embeddings @ direct + cosines
    return scores
