"""SongEncoder: hyper-images or recordings to embeddings and tag scores."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.errors import AudioError, InvalidArgumentError, NotFittedError
from embedding.network.architecture import parse
from embedding.network.augmentation import covering_windows
from embedding.network.checkpoints import Pretrained
from embedding.network.config import EncoderConfig
from embedding.network.targets import Target, as_column, make_targets, validation_split

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource
    from embedding.network.layers import SongNetwork

BATCH = 256


class SongEncoder:
    """A convolutional network that is trained to tell tags and gives embeddings.

    US 2018/0276540 A1, paragraphs 53 to 60 and 71: the embedding of a hyper-image is the activation
    of the network's last fully connected layer, the score vectors are those of its outputs, one
    a tag.

    Attributes:
        config: the settings it was made with.
        heads_: of each tag, its values in the order of the columns of :meth:`predict_proba`.
        history_: one dict an epoch: epoch, loss, accuracy (of the first tag), validation_loss and
            validation_accuracy (where images were held out), seconds.
        image_shape_: (channels, height, width) that the network sees at a time.
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = config or EncoderConfig()
        self.dimension: int = parse(self.config.architecture).dimension
        self.heads_: dict[str, NDArray[np.str_]] = {}
        self.history_: list[dict[str, float]] = []
        self.image_shape_: tuple[int, int, int] | None = None
        self._network: SongNetwork | None = None

    @property
    def classes_(self) -> NDArray[np.str_]:
        """Values of the first tag, in the order of the columns of :meth:`predict_proba`."""
        return self.heads_.get(self.config.tags[0], np.empty(0, dtype=np.str_))

    def fit(
        self,
        images: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> Self:
        """Train on labelled hyper-images, from random weights.

        Args:
            images: float32 [n, channels, height, width], any sizes the architecture can take.
                With ``config.window`` they may be wider than that.
            labels: n values of the tag; for several tags a mapping (or table) from each to its n
                values. A blank one ("", None, NaN) is unknown; images of which nothing is known
                are not used.
            groups: n names of what must not be on both sides of the validation split, such as
                the artist; without them every image stands for itself.
            checkpoint: folder for the state every few epochs; the same call with the same folder
                goes on from there and ends as if it had not been interrupted. The folder may be
                shared by any trainings; it keeps the latest few.
            progress: show a progress bar.

        Raises:
            InvalidArgumentError: shapes do not match, fewer than two classes, images too small
                for the architecture, NaN or infinite values (the row is named), or a device that
                is not there.
        """
        _check_images(images)
        targets = make_targets(labels, len(images), self.config.tags, several=self._several)
        return self._learn(images, targets, groups, self.config, checkpoint, progress)

    def fine_tune(
        self,
        images: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        epochs: int = 10,
        learning_rate: float | None = None,
        keep: float = 1.0,
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> Self:
        """Go on learning from further hyper-images (US 2018/0276540 A1, claim 3).

        Classes that are known stay, new ones are added after them. So that the old ones are not
        forgotten, what the network says of the new images is drawn to what it said before
        (Li and Hoiem 2016, "Learning without Forgetting"); giving some of the old images again
        keeps them better still.

        Args:
            images, labels, groups, checkpoint, progress: as in :meth:`fit`.
            epochs: passes over the images.
            learning_rate: largest step size; a tenth of the configured one where not given.
            keep: weight of staying with what was known; 0 lets it go.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as :meth:`fit`, or images of another size.
        """
        from embedding.network.layers import extend_outputs

        network = self._fitted()
        self._check_shape(images)
        targets = make_targets(
            labels,
            len(images),
            self.config.tags,
            several=self._several,
            classes=self.heads_,
        )
        settings = self.config.replace(
            epochs=epochs,
            learning_rate=learning_rate or self.config.learning_rate / 10,
            window=None if self.image_shape_ is None else self.image_shape_[2],
        )
        start = extend_outputs(network.state_dict(), [len(t.classes) for t in targets])
        old = tuple(len(self.heads_[tag]) for tag in self.config.tags)
        before = Pretrained(start, old, keep)
        return self._learn(images, targets, groups, settings, checkpoint, progress, before)

    def embed(self, images: Float32Array) -> Float32Array:
        """Embeddings of hyper-images.

        Args:
            images: float32 [n, channels, height, width], of the shape trained on; with
                ``config.window`` any width from that on, and the mean over its windows is given.

        Returns:
            float32 [n, dimension], not normalised; no value is negative.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: wrong shape, or NaN or infinite values (the row is named).
        """
        return self._run(images, [None])[0]

    def predict_proba(self, images: Float32Array, tag: str | None = None) -> Float32Array:
        """Probability of each class of a tag (by default the first): float32 [n, classes].

        Rows sum to 1, unless the loss lets several classes be right.

        Raises: as :meth:`embed`, and InvalidArgumentError for a tag that was not learned.
        """
        name = self.config.tags[0] if tag is None else tag
        if name not in self.config.tags:
            raise InvalidArgumentError(
                f"the encoder was trained to tell {', '.join(self.config.tags)}, not {tag!r}"
            )
        return self._run(images, [self.config.tags.index(name)])[0]

    def embed_and_predict(
        self, images: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """What :meth:`embed` and, for each tag, :meth:`predict_proba` give, in a single pass.

        Raises: as :meth:`embed`.
        """
        heads = [self.config.tags.index(tag) for tag in self.heads_]
        embeddings, *scores = self._run(images, [None, *heads])
        return embeddings, dict(zip(self.heads_, scores, strict=True))

    def torch_module(self) -> SongNetwork:
        """The network itself, for gradients: images [n, channels, height, width] to logits of the
        first tag; its ``embed`` gives embeddings. On the CPU, ready to evaluate.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        return self._fitted()

    def embed_files(
        self,
        paths: Sequence[AudioSource],
        *,
        cache: Path | None = None,
        workers: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        progress: bool = False,
    ) -> Float32Array:
        """Embeddings of recordings, each the mean over its snippets.

        Args:
            paths: the recordings: paths, contents as bytes, or binary file objects.
            cache: folder that keeps hyper-images, see :func:`embedding.hyperimage.extraction.extract`.
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
        from embedding.hyperimage.extraction import extract

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
        from embedding.network.storage import save_encoder

        save_encoder(Path(folder), self._document(), self._weights())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read an encoder that :meth:`save` wrote; its embeddings are the same to the bit.

        Raises:
            ArtifactError: a file is missing or changed, or the format is newer than this library.
        """
        from embedding.network.storage import load_encoder, restore_network

        document, weights = load_encoder(Path(folder))
        encoder = cls(EncoderConfig.from_json(document["config"]))
        encoder.heads_ = {
            tag: np.array(names, dtype=np.str_) for tag, names in document["heads"].items()
        }
        encoder.history_ = document["history"]
        channels, height, width = document["image_shape"]
        encoder.image_shape_ = (channels, height, width)
        sizes = [len(encoder.heads_[tag]) for tag in encoder.config.tags]
        encoder._network = restore_network(encoder.config, encoder.image_shape_, sizes, weights)
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
            "heads": {tag: names.tolist() for tag, names in self.heads_.items()},
            "image_shape": self.image_shape_,
            "history": self.history_,
        }

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {name: t.contiguous().numpy() for name, t in self._fitted().state_dict().items()}

    @property
    def _several(self) -> bool:
        return self.config.loss == "binary_cross_entropy"

    def _learn(
        self,
        images: Float32Array,
        targets: list[Target],
        groups: ArrayLike | None,
        config: EncoderConfig,
        checkpoint: Path | None,
        progress: bool,
        before: Pretrained | None = None,
    ) -> Self:
        from embedding.network.training import TrainingJob, train_network

        width, _ = covering_windows(images, config.window)
        shape = (images.shape[1], images.shape[2], width)
        parse(config.architecture).shapes(*shape)
        names = as_column(
            np.arange(len(images)) if groups is None else groups, len(images), "groups"
        )
        known = np.flatnonzero(np.logical_or.reduce([target.known for target in targets]))
        if len(known) < len(images):
            images, names = images[known], names[known]
            targets = [target.take(known) for target in targets]
        validation = validation_split(
            targets[0].values.argmax(axis=1), names, config.validation_fraction, config.seed
        )
        training = TrainingJob(images, targets, config, validation, before)
        network, history = train_network(training, checkpoint=checkpoint, progress=progress)
        past = self.history_ if before is not None else []
        history = [{**record, "epoch": len(past) + record["epoch"]} for record in history]
        self._network, self.image_shape_ = network, shape
        self.history_ = [*past, *history]
        self.heads_ = {target.tag: target.classes for target in targets}
        return self

    def _run(self, images: Float32Array, heads: Sequence[int | None]) -> list[Float32Array]:
        """A head's probabilities, or embeddings for None: of each image the mean over windows."""
        import torch

        from embedding.network.devices import inference_device, limited_threads, to_tensor
        from embedding.network.optimisation import probabilities

        network = self._fitted()
        self._check_shape(images)
        assert self.image_shape_ is not None
        width, starts = covering_windows(images, self.image_shape_[2])
        tags = self.config.tags
        sizes = [self.dimension if n is None else len(self.heads_[tags[n]]) for n in heads]
        results = [np.empty((len(images), size), dtype=np.float32) for size in sizes]
        device = inference_device(self.config)
        at_a_time = max(1, BATCH // len(starts))
        with torch.inference_mode(), limited_threads(self.config.threads):
            network.to(device)
            for first in range(0, len(images), at_a_time):
                batch = images[first : first + at_a_time]
                parts = np.concatenate([batch[..., s : s + width] for s in starts])
                embeddings = network.embed(to_tensor(parts).to(device))
                for head, result in zip(heads, results, strict=True):
                    told = embeddings
                    if head is not None:
                        told = probabilities(self.config.loss, network.heads[head](embeddings))
                    by_window = told.reshape(len(starts), len(batch), -1)
                    result[first : first + at_a_time] = by_window.mean(dim=0).cpu().numpy()
            network.to("cpu")
        return results

    def _fitted(self) -> SongNetwork:
        if self._network is None:
            raise NotFittedError("this SongEncoder is not trained: call fit, or load a saved one")
        return self._network

    def _check_shape(self, images: Float32Array) -> None:
        _check_images(images)
        wanted, shape = self.image_shape_, images.shape[1:]
        assert wanted is not None
        wide_enough = shape[2] >= wanted[2] if self.config.window else shape[2] == wanted[2]
        if shape[:2] != wanted[:2] or not wide_enough:
            raise InvalidArgumentError(
                f"images are {shape}, the encoder was trained on {wanted} (channels, height, width)"
            )


def _check_images(images: Float32Array) -> None:
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


def mean_by_recording(
    vectors: Float32Array, recording: IntArray, n_recordings: int
) -> Float32Array:
    """Mean of the rows of each recording: [n_recordings, dimension]; NaN where it has none."""
    totals = np.zeros((n_recordings, vectors.shape[1]))
    np.add.at(totals, recording, vectors)
    counts = np.bincount(recording, minlength=n_recordings)[:, None]
    with np.errstate(invalid="ignore"):
        return (totals / counts).astype(np.float32)
