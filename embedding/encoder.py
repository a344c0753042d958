"""SongEncoder: hyper-images or recordings to embeddings and tag scores."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.errors import AudioError, InvalidArgumentError, NotFittedError
from embedding.architecture import parse
from embedding.config import EncoderConfig

if TYPE_CHECKING:
    from embedding.network import SongNetwork

FloatArray = NDArray[np.float32]
BATCH = 256


class SongEncoder:
    """A convolutional network that is trained to tell a tag and gives embeddings.

    US 2018/0276540 A1, paragraphs 53 to 60: the embedding of a hyper-image is the activation of
    the network's last fully connected layer, the score vector that of its output.

    Attributes:
        config: the settings it was made with.
        classes_: the tag's values in the order of the columns of :meth:`predict_proba`.
        history_: one dict an epoch: epoch, loss, accuracy, validation_loss and
            validation_accuracy (where images were held out), seconds.
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = config or EncoderConfig()
        self.dimension: int = parse(self.config.architecture).dimension
        self.classes_: NDArray[np.str_] = np.empty(0, dtype=np.str_)
        self.history_: list[dict[str, float]] = []
        self.image_shape_: tuple[int, int, int] | None = None
        self._network: SongNetwork | None = None

    def fit(
        self,
        images: FloatArray,
        labels: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> Self:
        """Train on hyper-images with one label each, from random weights.

        Args:
            images: float32 [n, channels, height, width], any sizes the architecture can take.
            labels: n tag values; rows whose label is blank ("", None, NaN) are not used.
            groups: n names of what must not be on both sides of the validation split, such as
                the artist; without them every image stands for itself.
            checkpoint: folder for the state every few epochs; the same call with the same folder
                goes on from there and ends as if it had not been interrupted. The folder may be
                shared by any trainings; it keeps the latest few.
            progress: show a progress bar.

        Raises:
            InvalidArgumentError: shapes do not match, fewer than two classes, images too small
                for the architecture, or NaN or infinite values (the row is named).
        """
        from embedding import training
        from embedding.holdout import choose_validation

        shape = self._check_images(images)
        names = clean_labels(labels, len(images))
        known = np.flatnonzero(names != "")
        classes, targets = np.unique(names[known], return_inverse=True)
        if len(classes) < 2:
            found = f"only {str(classes[0])!r}" if len(classes) else "none"
            raise InvalidArgumentError(
                f"training needs images of at least two values of {self.config.tag!r}; "
                f"there is {found}"
            )
        parse(self.config.architecture).shapes(*shape)
        if groups is None:
            groups = np.arange(len(images))
        names_of_groups = _vector(groups, len(images), "groups")
        used = images if len(known) == len(images) else images[known]
        validation = choose_validation(
            targets, names_of_groups[known], self.config.validation_fraction, self.config.seed
        )
        with training.limited_threads(self.config.threads):
            self._network, self.history_ = training.train(
                used,
                targets.astype(np.int64),
                len(classes),
                self.config,
                validation=validation,
                checkpoint=checkpoint,
                progress=progress,
            )
        self.classes_ = classes
        self.image_shape_ = shape
        return self

    def embed(self, images: FloatArray) -> FloatArray:
        """Embeddings of hyper-images.

        Args:
            images: float32 [n, channels, height, width], of the shape trained on.

        Returns:
            float32 [n, dimension], not normalised; no value is negative.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: wrong shape, or NaN or infinite values (the row is named).
        """
        return self._run(images, scores=False)

    def predict_proba(self, images: FloatArray) -> FloatArray:
        """Probability of each of ``classes_``: float32 [n, classes], rows sum to 1.

        Raises: as :meth:`embed`.
        """
        return self._run(images, scores=True)

    def embed_files(
        self,
        paths: Sequence[str | Path],
        *,
        cache: Path | None = None,
        workers: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        progress: bool = False,
    ) -> FloatArray:
        """Embeddings of recordings, each the mean over its snippets.

        Args:
            paths: the recordings.
            cache: folder that keeps hyper-images, see :func:`embedding.extraction.extract`.
            workers: processes that decode, see there.
            on_error: ``"raise"``: a recording that cannot be used is an error. ``"skip"``: its
                row is NaN, and one warning names every such recording with the reason.
            progress: show a progress bar.

        Returns:
            float32 [len(paths), dimension].

        Raises:
            AudioError: a recording cannot be used and ``on_error`` is ``"raise"``.
            NotFittedError: before ``fit`` or ``load``.
        """
        from embedding.extraction import extract

        if on_error not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_error must be 'raise' or 'skip', not {on_error!r}")
        self._fitted()
        extraction = extract(
            paths,
            self.config.snippet,
            self.config.hyperimage,
            workers=workers,
            cache=cache,
            progress=progress,
        )
        if extraction.failures:
            message = "; ".join(failure.message for failure in extraction.failures)
            if on_error == "raise":
                raise AudioError(message)
            warnings.warn(f"recordings left out: {message}", stacklevel=2)
        return mean_by_recording(self.embed(extraction.images), extraction.recording, len(paths))

    def save(self, folder: Path | str) -> None:
        """Write the encoder to a folder; one that is there is replaced in a single step.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            ArtifactError: the folder cannot be written.
        """
        from embedding.storage import save

        save(Path(folder), self._document(), self._weights())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read an encoder that :meth:`save` wrote; its embeddings are the same to the bit.

        Raises:
            ArtifactError: a file is missing or changed, or the format is newer than this library.
        """
        from embedding.storage import load, restore_network

        document, weights = load(Path(folder))
        encoder = cls(EncoderConfig.from_json(document["config"]))
        encoder.classes_ = np.array(document["classes"], dtype=np.str_)
        encoder.history_ = document["history"]
        channels, height, width = document["image_shape"]
        encoder.image_shape_ = (channels, height, width)
        encoder._network = restore_network(
            encoder.config.architecture, encoder.image_shape_, len(encoder.classes_), weights
        )
        return encoder

    def digest(self) -> str:
        """Hex SHA-256 of what decides the embeddings and scores: settings, classes, weights."""
        document = {**self._document(), "history": None}
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
        for name, array in sorted(self._weights().items()):
            digest.update(name.encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def _document(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump(mode="json"),
            "classes": self.classes_.tolist(),
            "image_shape": self.image_shape_,
            "history": self.history_,
        }

    def _weights(self) -> dict[str, FloatArray]:
        return {name: t.contiguous().numpy() for name, t in self._fitted().state_dict().items()}

    def _run(self, images: FloatArray, *, scores: bool) -> FloatArray:
        import torch

        from embedding.training import limited_threads, to_tensor

        network = self._fitted()
        shape = self._check_images(images)
        if shape != self.image_shape_:
            raise InvalidArgumentError(
                f"images are {shape}, the encoder was trained on {self.image_shape_} "
                "(channels, height, width)"
            )
        width = len(self.classes_) if scores else self.dimension
        results = np.empty((len(images), width), dtype=np.float32)
        with torch.inference_mode(), limited_threads(self.config.threads):
            for start in range(0, len(images), BATCH):
                batch = to_tensor(images[start : start + BATCH])
                output = network(batch).softmax(1) if scores else network.embed(batch)
                results[start : start + BATCH] = output.numpy()
        return results

    def _fitted(self) -> SongNetwork:
        if self._network is None:
            raise NotFittedError("this SongEncoder is not trained: call fit, or load a saved one")
        return self._network

    @staticmethod
    def _check_images(images: FloatArray) -> tuple[int, int, int]:
        if not isinstance(images, np.ndarray) or images.ndim != 4 or 0 in images.shape[1:]:
            found = getattr(images, "shape", type(images).__name__)
            raise InvalidArgumentError(
                f"images must be an array [n, channels, height, width]; got {found}"
            )
        if images.dtype.kind not in "fiu":
            raise InvalidArgumentError(f"images must be numbers; got {images.dtype}")
        for start in range(0, len(images), BATCH):
            good = np.isfinite(images[start : start + BATCH]).all(axis=(1, 2, 3))
            if not good.all():
                row = start + int(np.argmin(good))
                raise InvalidArgumentError(f"images, row {row}: contains NaN or infinite values")
        return images.shape[1], images.shape[2], images.shape[3]


def clean_labels(labels: ArrayLike, n: int) -> NDArray[np.str_]:
    """Labels as text without surrounding blanks; "" where there is none (None, NaN, blank)."""
    values = _vector(labels, n, "labels")
    return np.array(
        ["" if v is None or v != v else str(v).strip() for v in values.tolist()], dtype=np.str_
    )


def mean_by_recording(
    vectors: FloatArray, recording: NDArray[np.int64], n_recordings: int
) -> FloatArray:
    """Mean of the rows of each recording: [n_recordings, dimension]; NaN where it has none."""
    totals = np.zeros((n_recordings, vectors.shape[1]))
    np.add.at(totals, recording, vectors)
    counts = np.bincount(recording, minlength=n_recordings)[:, None]
    with np.errstate(invalid="ignore"):
        return (totals / counts).astype(np.float32)


def _vector(values: ArrayLike, n: int, name: str) -> NDArray[Any]:
    array = np.asarray(values, dtype=object)
    if array.shape != (n,):
        raise InvalidArgumentError(f"{name}: expected {n} values, one an image; got {array.shape}")
    return array
