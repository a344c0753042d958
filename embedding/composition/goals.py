"""What a composition is to sound like to the network: a mix of labels, or a song.

A goal has a loss to go down by gradients, and a match in 0 .. 1 that says how far one has come.

An encoder as a differentiable function of hyper-images.
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
from embedding.encoder import SongEncoder
from embedding.network.augmentation import covering_windows


class DifferentiableEncoder:
    """What an encoder makes of hyper-images, with gradients with respect to them.

    The same as :meth:`SongEncoder.predict_proba` for the encoder's first tag, and as
    :meth:`SongEncoder.embed`: of an image wider than the network's window, the mean over windows.

    Raises NotFittedError for an encoder that is not trained.
    """

    def __init__(self, encoder: SongEncoder) -> None:
        self._network = encoder.torch_module()
        self._several_at_once = encoder.config.loss == "binary_cross_entropy"
        assert encoder.image_shape_ is not None
        self._window = encoder.image_shape_[2]

    def log_probabilities(self, images: Tensor) -> Tensor:
        """[n, channels, height, width] to logarithms of probabilities [n, classes]."""
        scores = self._network(self._parts(images))
        logs = logsigmoid(scores) if self._several_at_once else scores.log_softmax(dim=1)
        by_window = logs.reshape(-1, len(images), logs.shape[1])
        mean: Tensor = by_window.logsumexp(dim=0) - math.log(len(by_window))
        return mean

    def embeddings(self, images: Tensor) -> Tensor:
        """[n, channels, height, width] to embeddings [n, dimension]."""
        embeddings = self._network.embed(self._parts(images))
        return embeddings.reshape(-1, len(images), embeddings.shape[1]).mean(dim=0)

    def random_window(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Of images wider than the network's window, the same random window of each."""
        room = images.shape[-1] - self._window
        if room <= 0:
            return images
        start = int(torch.randint(room + 1, (1,), generator=random))
        return images[..., start : start + self._window]

    def _parts(self, images: Tensor) -> Tensor:
        """The windows of the images, one after the other: [windows * n, ...]."""
        width, starts = covering_windows(images.detach().numpy(), self._window)
        return torch.cat([images[..., start : start + width] for start in starts])


class Goal(Protocol):
    """Something to compose towards."""

    def loss(self, listener: DifferentiableEncoder, images: Tensor) -> Tensor:
        """How far hyper-images [n, channels, height, width] are from it, of the order of 1: [n]."""

    def match(self, encoder: SongEncoder, images: Float32Array) -> float:
        """How well a recording meets it, given the hyper-images of its snippets; 1 is perfect."""


@dataclass(frozen=True, eq=False)
class LabelGoal:
    """Probabilities of the encoder's labels.

    shares: float32 [classes], adding to 1.
    """

    shares: Float32Array

    def loss(self, listener: DifferentiableEncoder, images: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the network's probabilities from the shares: [n]."""
        wanted = _like(images, self.shares)
        surprise = -(wanted * listener.log_probabilities(images)).sum(dim=1)
        return surprise - torch.special.entr(wanted).sum()

    def match(self, encoder: SongEncoder, images: Float32Array) -> float:
        """What probabilities and shares have in common; for one label, its probability."""
        probabilities = encoder.predict_proba(images).mean(axis=0)
        return float(np.minimum(probabilities, self.shares).sum())


def labels(encoder: SongEncoder, weights: Mapping[str, float]) -> LabelGoal:
    """The goal of one label, or of a mix in the proportion of the weights.

    >>> labels(encoder, {"jazz": 0.7, "rock": 0.3})                          # doctest: +SKIP

    Raises:
        InvalidArgumentError: no label, one that the encoder does not know, or a weight that is not
            a positive number.
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
    """The embedding of a song.

    wanted, center: float32 [dimension]; likeness is the cosine of what lies beyond the centre, as
    in similar songs by sound.
    """

    wanted: Float32Array
    center: Float32Array

    def loss(self, listener: DifferentiableEncoder, images: Tensor) -> Tensor:
        """1 less the cosine of each image's embedding: [n]."""
        center = _like(images, self.center)
        own = listener.embeddings(images) - center
        wanted = _like(images, self.wanted) - center
        return 1 - torch.nn.functional.cosine_similarity(own, wanted[None])

    def match(self, encoder: SongEncoder, images: Float32Array) -> float:
        """The cosine, and 0 where it is negative."""
        own = encoder.embed(images).mean(axis=0) - self.center
        wanted = self.wanted - self.center
        size = float(np.linalg.norm(own) * np.linalg.norm(wanted))
        return max(0.0, float(own @ wanted) / size) if size else 0.0


def likeness(encoder: SongEncoder, wanted: ArrayLike, center: ArrayLike) -> LikenessGoal:
    """The goal of sounding like a song with an embedding.

    Args:
        encoder: the network that made the embedding.
        wanted: the song's embedding [dimension].
        center: the mean embedding of all songs [dimension].

    Raises:
        InvalidArgumentError: a vector is not of the encoder's dimension, not finite, or the song
            has nothing that sets it apart from the mean.
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
    """A vector with the precision and on the device of the images; a copy, as it may be mapped."""
    return torch.tensor(vector, dtype=images.dtype, device=images.device)
