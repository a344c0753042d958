"""SoundStatistics: embeddings of recordings where there are no labels to train a network on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arguments import check_finite_rows
from datasets.arrays import Float32Array
from datasets.errors import ArtifactError, InvalidArgumentError, NotFittedError
from embedding.hyperimage.front_end import HyperImageFrontEnd
from embedding.hyperimage.statistics import image_statistics
from embedding.network.config import EncoderConfig
from embedding.network.storage import (
    Weights,
    describing_encoder,
    encoder_digest,
    read_encoder,
    save_encoder,
)

METHOD = "statistics"
"""What the manifest of a saved one says under "method"; that of a network says nothing."""

_LEAST_DEVIATION = 1e-6
"""Of the largest deviation: what deviates less is the same in all recordings."""


class SoundStatistics:
    """Embeds hyper-images by statistics over time, standardised over a library of recordings.

    The embedding of an image is the mean and deviation of each of its rows and of cepstral
    coefficients (`embedding.hyperimage.statistics.image_statistics`), each less its mean over the
    library and divided by its deviation there. Nothing is learned from labels, and no labels are
    predicted. It takes the place of a `SongEncoder` wherever recordings are embedded.

    Args:
        config: its ``snippet`` and ``hyperimage`` say what images are made of recordings.

    Attributes:
        config: the settings.
        heads_: no tags: {}.
        history_: no training: [].

    Examples:
        >>> encoder = SoundStatistics().fit(images)
        >>> encoder.embed(images).shape, encoder.dimension
        ((24, 108), 108)
        >>> encoder.save(folder / "encoder")
        >>> SoundStatistics.load(folder / "encoder").digest() == encoder.digest()
        True
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = EncoderConfig() if config is None else config
        self.heads_: dict[str, NDArray[np.str_]] = {}
        self.history_: list[dict[str, float]] = []
        self._image_shape: tuple[int, ...] = ()
        self._mean: Float32Array = np.empty(0, np.float32)
        self._deviation: Float32Array = np.empty(0, np.float32)

    def __repr__(self) -> str:
        known = f"{self.dimension} of them" if self._image_shape else "not fitted"
        return f"<SoundStatistics: {known}>"

    @property
    def classes_(self) -> NDArray[np.str_]:
        """No classes: there are no labels."""
        return np.empty(0, dtype=np.str_)

    @property
    def front_end(self) -> HyperImageFrontEnd:
        """What is made of a recording: hyper-images of its snippets."""
        return HyperImageFrontEnd(snippet=self.config.snippet, hyperimage=self.config.hyperimage)

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return len(self._mean)

    def fit(self, images: Float32Array) -> Self:
        """Learn mean and deviation of each statistic.

        Args:
            images: float32 [n, channels, height, width].

        Raises:
            InvalidArgumentError: no images, or values that are not finite.
        """
        if not len(images):
            raise InvalidArgumentError("there are no images to learn from")
        found = _finite_statistics(images).astype(np.float64)
        deviation = found.std(axis=0)
        # Nothing is divided by a deviation that is a rounding error.
        constant = deviation <= _LEAST_DEVIATION * max(float(deviation.max()), 1e-12)
        self._mean = found.mean(axis=0).astype(np.float32)
        self._deviation = np.where(constant, 1, deviation).astype(np.float32)
        self._image_shape = tuple(images.shape[1:])
        return self

    def embed(self, images: Float32Array) -> Float32Array:
        """Compute the embeddings of hyper-images.

        Args:
            images: float32 [n, channels, height, width], of the shape used in fitting.

        Returns:
            float32 [n, dimension].

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: wrong shape, or values that are not finite.
        """
        if not self._image_shape:
            raise NotFittedError("these SoundStatistics are not fitted: call fit")
        if tuple(images.shape[1:]) != self._image_shape:
            raise InvalidArgumentError(
                f"images are {tuple(images.shape[1:])}, these statistics are of images "
                f"{self._image_shape} (channels, height, width)"
            )
        if not len(images):
            return np.empty((0, self.dimension), np.float32)
        return (_finite_statistics(images) - self._mean) / self._deviation

    def embed_and_predict(
        self, images: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute `embed`; the probabilities of tags, of which there are none, are empty."""
        return self.embed(images), {}

    def save(self, folder: Path | str) -> None:
        """Save to a folder, atomically replacing an encoder that is there.

        Raises:
            NotFittedError: before ``fit``.
            ArtifactError: the folder cannot be written.
        """
        if not self._image_shape:
            raise NotFittedError("these SoundStatistics are not fitted: call fit")
        save_encoder(Path(folder), self._document(), self._weights())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load what `save` wrote; its embeddings are bit-identical.

        Raises:
            ArtifactError: a file is missing or changed, or it is something else.
        """
        document, weights = read_encoder(Path(folder))
        if document.get("method") != METHOD:
            raise ArtifactError(f"{folder}: holds a network; load it by SongEncoder.load")
        return cls.restore(Path(folder), document, weights)

    @classmethod
    def restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        """Build them from manifest and weights; see `embedding.encoders.loading`.

        Raises:
            ArtifactError: they do not describe statistics of sound.
        """
        with describing_encoder(folder):
            encoder = cls(EncoderConfig.from_json(document["config"]))
            encoder._image_shape = tuple(int(size) for size in document["image_shape"])
            encoder._mean, encoder._deviation = weights["mean"], weights["deviation"]
            probe = np.zeros((1, *encoder._image_shape), np.float32)
            n = image_statistics(probe).shape[1] if len(encoder._image_shape) == 3 else -1
            if not encoder._mean.shape == encoder._deviation.shape == (n,):
                raise ValueError("its statistics do not fit its images")
            finite = np.isfinite(encoder._mean).all() and np.isfinite(encoder._deviation).all()
            if not finite or (encoder._deviation <= 0).any():
                raise ValueError("a mean or a deviation is no such number")
        return encoder

    def digest(self) -> str:
        """Return the hex SHA-256 of settings and statistics."""
        document = {**self._document(), "config": self.config.identity()}
        return encoder_digest(document, self._weights())

    def summary(self) -> dict[str, Any]:
        """Return method, digest and dimension, as JSON."""
        return {
            "method": "statistics of sound",
            "digest": self.digest(),
            "dimension": self.dimension,
        }

    def _document(self) -> dict[str, Any]:
        return {
            "method": METHOD,
            "config": self.config.model_dump(mode="json"),
            "image_shape": list(self._image_shape),
        }

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {"mean": self._mean, "deviation": self._deviation}


def _finite_statistics(images: Float32Array) -> Float32Array:
    values = image_statistics(images)
    check_finite_rows("images", values)
    return values
