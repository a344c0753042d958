"""Goals of a composition: class probabilities, or similarity to a song.

A goal has a differentiable loss, and a match in 0 .. 1 that measures how well it is reached.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import logsigmoid

from datasets.arrays import Float32Array
from datasets.errors import InvalidArgumentError
from embedding.encoders.song_encoder import SongEncoder
from embedding.encoders.songs import embed_song
from embedding.network.augmentation import covering_windows


class DifferentiableEncoder:
    """An encoder with gradients with respect to hyper-images.

    The same values as `SongEncoder.predict_proba`, for the first tag, and `SongEncoder.embed`:
    each image is a song, of the windows that it is cut into.

    Args:
        encoder: trained encoder.

    Raises:
        NotFittedError: the encoder is not trained.

    Examples:
        >>> import torch
        >>> from embedding.composition import DifferentiableEncoder
        >>> x = torch.from_numpy(images[:2]).requires_grad_()
        >>> DifferentiableEncoder(encoder).embeddings(x).sum().backward()
        >>> x.grad.shape
        torch.Size([2, 1, 24, 24])
    """

    def __init__(self, encoder: SongEncoder) -> None:
        self._network = encoder.torch_module()
        told = encoder.calibration_.get(encoder.config.tags[0])
        self._temperature = 1.0 if told is None else told.temperature
        self._several_at_once = encoder.config.loss == "binary_cross_entropy"
        assert encoder.image_shape_ is not None
        self._window = encoder.image_shape_[2]

    def log_probabilities(self, images: Tensor) -> Tensor:
        """Map images [n, channels, height, width] to log probabilities [n, classes]."""
        if self._network.sequence is not None:
            return self._logs(self._network.sequence.heads[0](self.embeddings(images)))
        logs = self._logs(self._network(self._parts(images)))
        by_window = logs.reshape(-1, len(images), logs.shape[1])
        mean: Tensor = by_window.logsumexp(dim=0) - math.log(len(by_window))
        return mean

    def embeddings(self, images: Tensor) -> Tensor:
        """Map images [n, channels, height, width] to embeddings [n, dimension]."""
        vectors = self._network.windows(self._parts(images))
        by_window = vectors.reshape(-1, len(images), vectors.shape[1])
        if self._network.sequence is not None:
            return self._network.sequence.pool(by_window.transpose(0, 1))
        return by_window.mean(dim=0)

    def random_window(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Cut the same random window from each of some images wider than the network's window."""
        room = images.shape[-1] - self._window
        if room <= 0:
            return images
        start = int(torch.randint(room + 1, (1,), generator=random))
        return images[..., start : start + self._window]

    def _logs(self, scores: Tensor) -> Tensor:
        scores = scores / self._temperature
        return logsigmoid(scores) if self._several_at_once else scores.log_softmax(dim=1)

    def _parts(self, images: Tensor) -> Tensor:
        """All windows of the images, one after the other: [windows * n, ...]."""
        width, starts = covering_windows(images.detach().numpy(), self._window)
        return torch.cat([images[..., start : start + width] for start in starts])


class Goal(Protocol):
    """Protocol of what can be composed towards.

    Examples:
        >>> from embedding.composition import Goal
        >>> class Loud:  # towards bright images
        ...     def loss(self, network, images):
        ...         return 1 - images.mean(dim=(1, 2, 3))
        ...     def match(self, encoder, images):
        ...         return float(images.mean())
        >>> goal: Goal = Loud()
    """

    def loss(self, network: DifferentiableEncoder, images: Tensor) -> Tensor:
        """Return the loss of hyper-images [n, channels, height, width], of order 1: [n]."""

    def match(self, encoder: SongEncoder, images: Float32Array) -> float:
        """Return how well a recording reaches the goal, given its hyper-images; 1 is perfect."""


@dataclass(frozen=True, eq=False)
class LabelGoal:
    """Goal of given class probabilities; see `labels`.

    Examples:
        >>> from embedding.composition import labels
        >>> labels(encoder, {"jazz": 1, "rock": 3}).shares.tolist()
        [0.25, 0.75]
    """

    shares: Float32Array
    """float32 [classes], summing to 1."""

    def loss(self, network: DifferentiableEncoder, images: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the network's probabilities from the shares: [n]."""
        wanted = _like(images, self.shares)
        surprise = -(wanted * network.log_probabilities(images)).sum(dim=1)
        return surprise - torch.special.entr(wanted).sum()

    def match(self, encoder: SongEncoder, images: Float32Array) -> float:
        """Overlap of probabilities and shares; for a single label, its probability."""
        _, scores = embed_song(encoder, images)
        probabilities = scores[encoder.config.tags[0]]
        return float(np.minimum(probabilities, self.shares).sum())


def labels(encoder: SongEncoder, weights: Mapping[str, float]) -> LabelGoal:
    """Return the goal of one label, or of a mixture of labels.

    Args:
        encoder: trained encoder; the labels are classes of its first tag.
        weights: weight of each label, in any unit.

    Raises:
        InvalidArgumentError: no label, an unknown label, or a weight that is not positive.

    Examples:
        >>> from embedding.composition import labels
        >>> goal = labels(encoder, {"jazz": 0.7, "rock": 0.3})
        >>> 0 <= goal.match(encoder, images) <= 1
        True
    """
    classes = encoder.classes_.tolist()
    if not weights:
        raise InvalidArgumentError("a composition needs at least one label to go towards")
    shares = np.zeros(len(classes))
    for name, weight in weights.items():
        if name not in classes:
            raise InvalidArgumentError(
                f"the network knows no {name!r}; it tells {', '.join(classes)}"
            )
        if not np.isfinite(weight) or weight <= 0:
            raise InvalidArgumentError(f"the weight of {name!r} must be above 0, not {weight}")
        shares[classes.index(name)] = weight
    return LabelGoal((shares / shares.sum()).astype(np.float32))


@dataclass(frozen=True, eq=False)
class LikenessGoal:
    """Goal of similarity to the embedding of a song; see `likeness`.

    Similarity is the cosine of the centred embeddings, as in similar songs by sound.

    Examples:
        >>> from embedding.composition import likeness
        >>> vectors = encoder.embed(images)
        >>> likeness(encoder, vectors[0], vectors.mean(axis=0)).wanted.shape
        (8,)
    """

    wanted: Float32Array
    """Embedding of the song, float32 [dimension]."""

    center: Float32Array
    """Mean embedding of all songs, float32 [dimension]."""

    def loss(self, network: DifferentiableEncoder, images: Tensor) -> Tensor:
        """1 minus the cosine for each image: [n]."""
        center = _like(images, self.center)
        own = network.embeddings(images) - center
        wanted = _like(images, self.wanted) - center
        return 1 - torch.nn.functional.cosine_similarity(own, wanted[None])

    def match(self, encoder: SongEncoder, images: Float32Array) -> float:
        """The cosine; 0 if it is negative."""
        own = embed_song(encoder, images)[0] - self.center
        wanted = self.wanted - self.center
        size = float(np.linalg.norm(own) * np.linalg.norm(wanted))
        return max(0.0, float(own @ wanted) / size) if size else 0.0


def likeness(encoder: SongEncoder, wanted: ArrayLike, center: ArrayLike) -> LikenessGoal:
    """Return the goal of sounding like a song.

    Args:
        encoder: encoder that made the embeddings.
        wanted: embedding of the song, [dimension].
        center: mean embedding of all songs, [dimension].

    Raises:
        InvalidArgumentError: a vector has not the encoder's dimension or is not finite, or the
            embedding of the song equals the mean.

    Examples:
        >>> from embedding.composition import likeness
        >>> vectors = encoder.embed(images)
        >>> goal = likeness(encoder, vectors[0], vectors.mean(axis=0))
        >>> round(goal.match(encoder, images[:1]), 3)
        1.0
    """
    vectors = {"wanted": wanted, "center": center}
    checked = {name: np.asarray(vector, np.float32) for name, vector in vectors.items()}
    for name, vector in checked.items():
        if vector.shape != (encoder.dimension,) or not np.isfinite(vector).all():
            raise InvalidArgumentError(
                f"{name}: must be {encoder.dimension} finite numbers; got shape {vector.shape}"
            )
    if np.allclose(checked["wanted"], checked["center"]):
        raise InvalidArgumentError("the song's embedding is the mean of all: nothing to go towards")
    return LikenessGoal(**checked)


def _like(images: Tensor, vector: Float32Array) -> Tensor:
    """Copy a vector to the precision and device of the images; it may be memory-mapped."""
    return torch.tensor(vector, dtype=images.dtype, device=images.device)
