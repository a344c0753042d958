"""SongEncoder: hyper-images or recordings to embeddings and tag scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arguments import check_finite_rows, check_number
from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError, AudioError, InvalidArgumentError, NotFittedError
from datasets.settings import Configured, check_config
from datasets.tables.values import format_value
from datasets.texts.safe_text import printable
from embedding.encoders.learned_plays import LearnedPlays
from embedding.encoders.song_training import (
    LabelledSongs,
    SongTraining,
    continued,
    learn_temperatures,
    pretrained,
    unknown_taste,
)
from embedding.encoders.songs import checked_recordings, mean_by_recording
from embedding.network.architecture import parse
from embedding.network.augmentation import covering_windows
from embedding.network.calibration import Calibration
from embedding.network.checkpoints import Pretrained
from embedding.network.config import EncoderConfig
from embedding.network.storage import (
    SavedModule,
    Weights,
    check_weights_are_finite,
    describing_encoder,
    encoder_digest,
    read_encoder,
    save_encoder,
    weights_of,
)
from embedding.network.targets import (
    Target,
    make_targets,
    make_taste_target,
    unit_rows,
)

if TYPE_CHECKING:
    from torch import Tensor

    from embedding.audio.source import AudioSource
    from embedding.hyperimage.front_end import HyperImageFrontEnd
    from embedding.network.inference import NetworkOutputs
    from embedding.network.layers import SongNetwork

_LEARNED_PLAYS = "learned_plays"
"""Where hashes of ids lie among the saved weights."""


class SongEncoder(Configured):
    """Convolutional network that predicts tags of songs and embeds them.

    US 2018/0276540 A1, paragraphs 53 to 60 and 71: the embedding of a hyper-image is the activation
    of the last fully connected layer; the output layer, one head for each tag, gives the class
    probabilities.

    Args:
        config: settings of network, training and input; by default the recipe of the patent.

    Attributes:
        config: the settings.
        heads_: classes of each tag, in the order of the columns of `predict_proba`.
        history_: one dict for each epoch: epoch, loss, accuracy (of the first tag), validation_loss
            and validation_accuracy (if images were held out), seconds.
        image_shape_: (channels, height, width) of the input of the network.
        calibration_: by tag, the temperature of its probabilities, learned on the artists held out
            (``config.validation_fraction``), with the expected calibration error of recordings
            there before and after (`embedding.network.calibration.Calibration`); {} where too few
            were held out.
        taste_dimension_: length of the collaborative vectors that it predicts; 0 for none.
        learned_plays_: the songs whose plays it has learned from.

    Examples:
        >>> from embedding import EncoderConfig, SongEncoder
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O", epochs=2)
        >>> encoder = SongEncoder(config).fit(images, labels)
        >>> encoder.embed(images).shape
        (24, 8)
        >>> encoder.classes_.tolist(), encoder.predict_proba(images).shape
        (['jazz', 'rock'], (24, 2))
        >>> encoder.save(folder / "encoder")
        >>> again = SongEncoder.load(folder / "encoder")
        >>> again.digest() == encoder.digest()
        True
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = EncoderConfig() if config is None else config
        check_config(self.config, EncoderConfig)
        self.dimension: int = self.config.dimension
        self.heads_: dict[str, NDArray[np.str_]] = {}
        self.history_: list[dict[str, float]] = []
        self.image_shape_: tuple[int, int, int] | None = None
        self.calibration_: dict[str, Calibration] = {}
        self.taste_dimension_ = 0
        self.learned_plays_ = LearnedPlays()
        self._network: SongNetwork | SavedModule[SongNetwork] | None = None

    def __repr__(self) -> str:
        if self._network is None:
            known = "not trained"
        else:
            classes = [
                f"{len(values)} values of {printable(tag)}" for tag, values in self.heads_.items()
            ]
            if self.taste_dimension_:
                classes.append(f"taste in {self.taste_dimension_} dimensions")
            known = f"trained for {len(self.history_)} epochs to tell {', '.join(classes)}"
        return f"<SongEncoder {format_value(self.config.architecture)}: {known}>"

    def _take_settings(self, config: EncoderConfig) -> None:
        if self._network is not None:
            raise InvalidArgumentError(
                "this SongEncoder is trained with its settings; set those of a new one: "
                "sklearn.base.clone(encoder), or SongEncoder(encoder.config.replace(...))"
            )
        self.config, self.dimension = config, config.dimension

    @property
    def classes_(self) -> NDArray[np.str_]:
        """Classes of the first tag, in the order of the columns of `predict_proba`."""
        return self.heads_.get(self.config.tags[0], np.empty(0, dtype=np.str_))

    @property
    def front_end(self) -> HyperImageFrontEnd:
        """What is made of a recording: hyper-images of its snippets."""
        from embedding.hyperimage.front_end import HyperImageFrontEnd

        return HyperImageFrontEnd(snippet=self.config.snippet, hyperimage=self.config.hyperimage)

    def fit(
        self,
        images: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        recording: IntArray | None = None,
        taste: Float32Array | None = None,
        learned_plays: LearnedPlays | None = None,
        calibrated: bool = False,
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> Self:
        """Train on labelled hyper-images, from random weights.

        With taste, the network also learns to predict of each image the direction of its song's
        collaborative vector, and with it what the song's listeners care about (van den Oord,
        Dieleman and Schrauwen 2013).

        Args:
            images: float32 [n, channels, height, width], large enough for the architecture; with
                ``config.window``, the width may exceed the window.
            labels: n values of the tag; for several tags a mapping (or table) from each tag to its
                n values. Blank values ("", None, NaN) are unknown; images without any known value
                are not used.
            groups: n group names, such as artists; a group is never on both sides of the validation
                split. None: each recording is its own group.
            recording: int [n], number of the recording that each image is a snippet of, those of
                one in order of time: with ``config.sequence``, all of its windows are one song.
                None: each image is a recording.
            taste: float32 [n, r], collaborative vectors of the images' songs, such as item factors
                less their mean; rows of NaN where unknown. Weighed by ``config.taste_weight``.
            learned_plays: the songs that `taste` has the vectors of, so that they are not taken
                for new ones where the embeddings are validated or evaluated.
            calibrated: learn the temperatures of the probabilities on a tenth of the groups, which
                the network is trained without at first and then, for an eighth of the epochs, with
                all others. Where that is fewer than twenty recordings, and with
                ``config.sequence``, another network is trained for it, without up to a third of
                the groups. Where ``config.validation_fraction`` holds out images, those serve.
            checkpoint: folder for checkpoints every few epochs. The same call with the same folder
                resumes an interrupted training, with the same result. Trainings may share a
                folder; it keeps the latest few.
            progress: show a progress bar.

        Returns:
            The encoder itself.

        Raises:
            InvalidArgumentError: shapes do not match, fewer than two classes, images too small
                for the architecture, NaN or infinite values (the message names the row), or the
                device is not available.

        Warns:
            UserWarning: ``config.sequence`` has no effect, as every song is a single window.
        """
        _check_images(images)
        targets = make_targets(labels, len(images), self.config.tags, several=self._is_multi_label)
        self.learned_plays_ = LearnedPlays()
        if taste is not None and self.config.taste_weight:
            targets.append(make_taste_target(taste, len(images)))
            self.learned_plays_ = learned_plays or LearnedPlays()
        return self._learn(
            images,
            targets,
            groups,
            recording,
            self.config,
            checkpoint,
            progress,
            calibrated=calibrated,
        )

    def fine_tune(
        self,
        images: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        recording: IntArray | None = None,
        epochs: int = 10,
        learning_rate: float | None = None,
        keep: float = 1.0,
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> Self:
        """Continue training on further hyper-images (US 2018/0276540 A1, claim 3).

        Known classes stay, new ones are added after them. Against forgetting, the outputs for the
        new images are regularised towards those of the network before (Li and Hoiem 2016, "Learning
        without Forgetting"); including some of the old images helps further.

        Args:
            images: as in `fit`.
            labels: as in `fit`.
            groups: as in `fit`.
            recording: as in `fit`.
            checkpoint: as in `fit`.
            progress: as in `fit`.
            epochs: passes over the images.
            learning_rate: maximum learning rate; None: a tenth of ``config.learning_rate``.
            keep: weight of the regularisation; 0 turns it off.

        Returns:
            The encoder itself.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as `fit`, the images have another size, or a number that is out of
                range.
        """
        network = self._fitted()
        check_number("keep", keep, least=0)
        if learning_rate is None:
            learning_rate = self.config.learning_rate / 10
        self._check_shape(images)
        targets = make_targets(
            labels,
            len(images),
            self.config.tags,
            several=self._is_multi_label,
            classes=self.heads_,
        )
        known = [len(self.heads_[tag]) for tag in self.config.tags]
        if self.taste_dimension_:
            # What is known of taste is kept like the known classes; nothing is added.
            targets.append(unknown_taste(len(images), self.taste_dimension_))
            known.append(self.taste_dimension_)
        settings = self.config.replace(
            epochs=epochs,
            learning_rate=learning_rate,
            window=None if self.image_shape_ is None else self.image_shape_[2],
        )
        before = pretrained(network, known, targets, keep)
        return self._learn(
            images, targets, groups, recording, settings, checkpoint, progress, before
        )

    def embed(self, images: Float32Array) -> Float32Array:
        """Compute the embeddings of hyper-images.

        Args:
            images: float32 [n, channels, height, width], of the shape used in training. With
                ``config.window`` they may be wider; the result is the mean over windows, or what
                ``config.sequence`` makes of them.

        Returns:
            float32 [n, dimension], non-negative, not normalised.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: wrong shape, or NaN or infinite values (the message names the
                row).
        """
        return self._run(images, [None])[0]

    def predict_proba(self, images: Float32Array, tag: str | None = None) -> Float32Array:
        """Predict the class probabilities of a tag.

        Args:
            images: as in `embed`.
            tag: one of ``config.tags``; by default the first.

        Returns:
            float32 [n, classes]; rows sum to 1, except for the loss ``binary_cross_entropy``. Of
            logits divided by the temperature in `calibration_`.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as `embed`, or an unknown tag.
        """
        name = self.config.tags[0] if tag is None else tag
        if name not in self.config.tags:
            raise InvalidArgumentError(
                f"the encoder was trained to tell {', '.join(self.config.tags)}, not {tag!r}"
            )
        return self._run(images, [self.config.tags.index(name)])[0]

    def predict_taste(self, images: Float32Array) -> Float32Array:
        """Predict the direction of the collaborative vectors of hyper-images' songs.

        Args:
            images: as in `embed`.

        Returns:
            float32 [n, taste_dimension_], rows of length 1.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as `embed`, or it was trained without taste.
        """
        if not self.taste_dimension_:
            self._check_fitted()
            raise InvalidArgumentError("the encoder was trained without taste: fit(..., taste=...)")
        (taste,) = self._run(images, [len(self.config.tags)])
        return unit_rows(taste)

    def embed_and_predict(
        self, images: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute `embed` and, for each tag, `predict_proba` in a single pass.

        Args:
            images: as in `embed`.

        Returns:
            Embeddings, float32 [n, dimension], and probabilities of each tag, float32 [n, classes].

        Raises:
            NotFittedError, InvalidArgumentError: as `embed`.
        """
        heads = [self.config.tags.index(tag) for tag in self.heads_]
        embeddings, *scores = self._run(images, [None, *heads])
        return embeddings, dict(zip(self.heads_, scores, strict=True))

    @property
    def reads_sequences(self) -> bool:
        """Whether the windows of a song are more than averaged; see ``config.sequence``."""
        return self.config.sequence != "mean"

    def embed_recordings(
        self, images: Float32Array, recording: IntArray, n_recordings: int | None = None
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute embeddings and class probabilities of recordings from all of their windows.

        By default the means over a recording's images; with ``config.sequence``, all windows of its
        images are read as one sequence.

        Args:
            images: as in `embed`; those of a recording in order of time.
            recording: int [n], number of the recording of each image.
            n_recordings: number of recordings; None: up to the largest number.

        Returns:
            Embeddings, float32 [n_recordings, dimension], and probabilities of each tag, float32
            [n_recordings, classes]; NaN for a recording without images.

        Raises:
            NotFittedError, InvalidArgumentError: as `embed`, or `recording` does not fit.
        """
        numbers, n = checked_recordings(recording, len(images), n_recordings)
        heads = [None, *(self.config.tags.index(tag) for tag in self.heads_)]
        if self.reads_sequences:
            outputs = self._outputs()
            self._check_shape(images)
            embeddings, *scores = outputs.of_songs(images, heads, numbers, n)
        else:
            embeddings, *scores = (
                mean_by_recording(values, numbers, n) for values in self._run(images, heads)
            )
        return embeddings, dict(zip(self.heads_, scores, strict=True))

    def torch_module(self) -> SongNetwork:
        """Return the PyTorch network, on the CPU and in evaluation mode.

        It maps images [n, channels, height, width] to logits of the first tag; its method ``embed``
        gives embeddings. With ``config.sequence``, each image is a song of one window; its method
        ``windows`` gives the vectors of windows and its attribute ``sequence`` the head that reads
        them. Used where gradients are needed.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        return self._fitted()

    def embed_tensor(self, images: Tensor) -> Tensor:
        """Compute embeddings with gradients, for images as wide as the network's input.

        Args:
            images: [n, channels, height, width].

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        import torch

        return self._fitted().embed(images.contiguous(memory_format=torch.channels_last))

    def embed_files(
        self,
        paths: Sequence[AudioSource],
        *,
        cache: Path | None = None,
        workers: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        progress: bool = False,
    ) -> Float32Array:
        """Compute the embeddings of recordings, each of all its snippets; see `embed_recordings`.

        Args:
            paths: recordings: paths, bytes, or binary file objects.
            cache: folder that keeps hyper-images; see `embedding.hyperimage.extract`.
            workers: number of decoding processes; see `embedding.hyperimage.extract`.
            on_error: ``"raise"``: an unusable recording raises an error. ``"skip"``: its row is
                NaN, and one warning names all such recordings with the reasons.
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
        self._fitted()  # a network that does not fit its weights is said before files are decoded
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
        return self.embed_recordings(extraction.images, extraction.recording, len(paths))[0]

    def save(self, folder: Path | str) -> None:
        """Save the encoder to a folder, atomically replacing an encoder that is there.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            ArtifactError: the folder cannot be written.
        """
        save_encoder(Path(folder), self._document(), self._weights())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load an encoder written by `save`; its embeddings are bit-identical.

        The network is built when it is first used; ArtifactError is raised there if its weights are
        not those of its architecture.

        Raises:
            ArtifactError: a file is missing or changed, or the format is newer than this library.
        """
        document, weights = read_encoder(Path(folder))
        if "method" in document:
            raise ArtifactError(
                f"{folder}: holds no network, but {format_value(document['method'])} of sound"
            )
        return cls.restore(Path(folder), document, weights)

    @classmethod
    def restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        """Build an encoder from its manifest and weights; see `embedding.encoders.loading`.

        Raises:
            ArtifactError: they do not describe a network.
        """
        with describing_encoder(folder):
            return cls._restore(folder, document, weights)

    @classmethod
    def _restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        encoder = cls(EncoderConfig.from_json(document["config"]))
        encoder.heads_ = {
            tag: np.array(names, dtype=np.str_) for tag, names in document["heads"].items()
        }
        encoder.history_ = document["history"]
        encoder.calibration_ = {
            tag: Calibration.from_json(values)
            for tag, values in document.get("calibration", {}).items()
        }
        channels, height, width = document["image_shape"]
        encoder.image_shape_ = (channels, height, width)
        sizes = [len(encoder.heads_[tag]) for tag in encoder.config.tags]
        encoder.taste_dimension_ = int(document.get("taste", 0))
        if encoder.taste_dimension_:
            sizes.append(encoder.taste_dimension_)
        hashes = weights.pop(_LEARNED_PLAYS, None)
        if hashes is not None:
            encoder.learned_plays_ = LearnedPlays.from_array(hashes)
        check_weights_are_finite(weights)
        empty = partial(_empty_network, encoder.config, encoder.image_shape_, sizes)
        encoder._network = SavedModule(folder, empty, weights, "its architecture")
        return encoder

    def digest(self) -> str:
        """Return the hex SHA-256 of settings, classes and weights."""
        document = {**self._document(), "history": None}
        document["config"] = self.config.identity()
        return encoder_digest(document, self._weights())

    def summary(self) -> dict[str, Any]:
        """Return digest, architecture, tags, classes of the first tag, and history, as JSON."""
        return {
            "digest": self.digest(),
            "architecture": self.config.architecture,
            "tags": list(self.config.tags),
            "classes": self.classes_.tolist(),
            "sequence": self.config.sequence,
            "history": self.history_,
            "calibration": {tag: one.to_json() for tag, one in self.calibration_.items()},
            "taste": self.taste_dimension_,
            "songs_with_taste": len(self.learned_plays_),
        }

    def _document(self) -> dict[str, Any]:
        document = {
            "config": self.config.model_dump(mode="json"),
            "heads": {tag: names.tolist() for tag, names in self.heads_.items()},
            "image_shape": self.image_shape_,
            "history": self.history_,
            **({"taste": self.taste_dimension_} if self.taste_dimension_ else {}),
        }
        if self.calibration_:
            told = {tag: one.to_json() for tag, one in self.calibration_.items()}
            document["calibration"] = told
        return document

    def _weights(self) -> dict[str, NDArray[Any]]:
        self._check_fitted()
        assert self._network is not None
        weights = weights_of(self._network)
        if len(self.learned_plays_):
            weights[_LEARNED_PLAYS] = self.learned_plays_.to_array()
        return weights

    @property
    def _is_multi_label(self) -> bool:
        return self.config.loss == "binary_cross_entropy"

    def _learn(
        self,
        images: Float32Array,
        targets: list[Target],
        groups: ArrayLike | None,
        recording: IntArray | None,
        config: EncoderConfig,
        checkpoint: Path | None,
        progress: bool,
        before: Pretrained | None = None,
        calibrated: bool = False,
    ) -> Self:
        width, _ = covering_windows(images, config.window)
        shape = (images.shape[1], images.shape[2], width)
        parse(config.architecture).shapes(*shape)
        training = SongTraining(
            LabelledSongs.of(images, targets, groups, recording).known(),
            config,
            checkpoint,
            progress,
            before,
            None if before is None else self._fitted(),
            calibrated,
        )
        trained = training.run()
        past = [] if before is None else self.history_
        self._network, self.image_shape_ = trained.network, shape
        self.history_ = continued(past, trained.history)
        self.heads_ = {t.tag: t.classes for t in targets if not t.is_taste}
        self.taste_dimension_ = sum(len(t.classes) for t in targets if t.is_taste)
        if trained.calibration is not None or before is None:
            self.calibration_ = trained.calibration or {}
        return self

    def calibrate(
        self,
        images: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        recording: IntArray | None = None,
    ) -> Self:
        """Learn the temperatures of the probabilities on images that were not trained on.

        `fit` does so on the images that it holds out; rankings and embeddings stay the same.

        Args:
            images: by artists whom the network was not trained on.
            labels: as in `fit`; values that the network does not know are unknown here.
            groups: as in `fit`.
            recording: as in `fit`.

        Returns:
            The encoder itself, with `calibration_`; tags of which too few images or artists are
            known have a temperature of 1 and are not in it.

        Raises:
            NotFittedError, InvalidArgumentError: as `embed`, or labels that do not fit.

        Examples:
            >>> encoder = encoder.calibrate(images, labels)
            >>> encoder.calibration_["genre"].images
            24
        """
        self._check_fitted()
        self._check_shape(images)
        found = make_targets(
            labels, len(images), self.config.tags, several=self._is_multi_label, classes=self.heads_
        )
        targets = [
            Target(one.tag, self.heads_[one.tag], one.values[:, : len(self.heads_[one.tag])])
            for one in found
        ]
        songs = LabelledSongs.of(images, targets, groups, recording)
        self.calibration_ = learn_temperatures(self._outputs(), songs)
        return self

    def _outputs(self) -> NetworkOutputs:
        from embedding.network.inference import NetworkOutputs

        network = self._fitted()
        assert self.image_shape_ is not None
        known = (self.calibration_.get(tag) for tag in self.config.tags)
        temperatures = [1.0 if one is None else one.temperature for one in known]
        return NetworkOutputs(network, self.config, self.image_shape_[2], temperatures)

    def _run(self, images: Float32Array, heads: Sequence[int | None]) -> list[Float32Array]:
        """Compute probabilities of some heads, or embeddings for None, of each image."""
        outputs = self._outputs()
        self._check_shape(images)
        return outputs.of_images(images, heads)

    def _check_fitted(self) -> None:
        if self._network is None:
            raise NotFittedError("this SongEncoder is not trained: call fit, or load a saved one")

    def _fitted(self) -> SongNetwork:
        self._check_fitted()
        network = self._network  # once: another thread may build it meanwhile
        assert network is not None
        if isinstance(network, SavedModule):
            import torch

            network = network.build()
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._network = network
        return network

    def _check_shape(self, images: Float32Array) -> None:
        _check_images(images)
        wanted, shape = self.image_shape_, images.shape[1:]
        assert wanted is not None
        wide_enough = shape[2] >= wanted[2] if self.config.window else shape[2] == wanted[2]
        if shape[:2] != wanted[:2] or not wide_enough:
            raise InvalidArgumentError(
                f"images are {shape}, the encoder was trained on {wanted} (channels, height, width)"
            )


def _empty_network(
    config: EncoderConfig, image_shape: tuple[int, int, int], n_classes: list[int]
) -> SongNetwork:
    from embedding.network.layers import SongNetwork

    return SongNetwork(
        parse(config.architecture), image_shape, n_classes, config.standardise, config.sequence
    )


def _check_images(images: Float32Array) -> None:
    if not isinstance(images, np.ndarray) or images.ndim != 4 or 0 in images.shape[1:]:
        found = getattr(images, "shape", type(images).__name__)
        raise InvalidArgumentError(
            f"images must be an array [n, channels, height, width]; got {found}"
        )
    if images.dtype.kind not in "fiu":
        raise InvalidArgumentError(f"images must be numbers; got {images.dtype}")
    check_finite_rows("images", images)
