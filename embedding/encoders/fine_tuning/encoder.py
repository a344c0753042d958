"""FineTunedEncoder: heads for tags and taste on top of another encoder, frozen or thawed."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arguments import check_finite_rows
from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError, InvalidArgumentError, NotFittedError
from datasets.settings import check_config
from datasets.system.files import UNREADABLE
from datasets.tables.values import format_value
from datasets.texts.safe_text import printable
from embedding.encoders.fine_tuning.config import HeadConfig
from embedding.encoders.fine_tuning.targets import HeadTargets, head_targets
from embedding.encoders.fine_tuning.training import HeadTraining, vectors_below
from embedding.encoders.learned_plays import LearnedPlays
from embedding.encoders.loading import load_encoder
from embedding.network.calibration import Calibration
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
    unit_rows,
)

if TYPE_CHECKING:
    from embedding.audio.front_end import FrontEnd
    from embedding.encoders.fine_tuning.heads import HeadNetwork
    from embedding.encoders.protocol import Encoder

_METHOD = "fine-tuned"
"""What the manifest of a saved one says under "method"."""

_LEARNED_PLAYS = "learned_plays"


class FineTunedEncoder:
    """Heads for tags and taste, trained on top of an encoder on the catalogue at hand.

    An encoder that has learned from many songs knows what music sounds like; a catalogue's own
    labels and plays say which of it matters there. A small network maps the encoder's vectors,
    standardised over the training inputs, to a hidden layer, and that by linear heads to the values
    of each tag and, by the cosine, to the collaborative vector of the song. The last hidden layer
    is the new embedding, by default behind the encoder's own vector (`HeadConfig.skip`).

    With ``backbone="frozen"`` (`HeadConfig`) the encoder stays as it is, and any will do. With
    ``"thawed"``, for encoders that are PyTorch networks, a copy of it is trained further, with
    smaller steps the deeper the layer; the encoder given does not change.

    Args:
        backbone: the encoder below, of any kind, but for one that reads the snippets of a
            recording as a sequence.
        config: settings of heads and training.

    Attributes:
        backbone: the encoder below, as given.
        config: the settings.
        heads_: values of each tag that was trained on, in the order of the columns of their
            probabilities; {} for taste alone.
        history_: one dict for each epoch: epoch, loss, seconds and, where there are tags, accuracy
            (of the first tag); the same with ``validation_`` if inputs were held out.
        calibration_: by tag, the temperature of its probabilities, as of `SongEncoder`.
        taste_dimension_: length of the collaborative vectors predicted; 0 for none.

    Examples:
        >>> from embedding import FineTunedEncoder, HeadConfig
        >>> tuned = FineTunedEncoder(encoder, HeadConfig(dimension=16, epochs=5))
        >>> tuned.fit(images, labels).heads_["genre"].tolist()
        ['jazz', 'rock']
        >>> vectors, probabilities = tuned.embed_and_predict(images)
        >>> vectors.shape, probabilities["genre"].shape  # 8 of the encoder itself and 16 learned
        ((24, 24), (24, 2))
    """

    def __init__(self, backbone: Encoder, config: HeadConfig | None = None) -> None:
        self.config = HeadConfig() if config is None else config
        check_config(self.config, HeadConfig)
        if not hasattr(backbone, "embed_and_predict") or isinstance(backbone, type):
            raise InvalidArgumentError(
                f"backbone must be an encoder, not {format_value(backbone)}: "
                "load_encoder(folder) opens a saved one"
            )
        _check_gives_each_input_a_vector(backbone)
        self._begin(backbone)

    def _begin(self, backbone: Encoder) -> None:
        """Take the encoder below, with nothing learned yet."""
        self.backbone = backbone
        if self.is_thawed:
            _check_can_thaw(backbone)
        self.heads_: dict[str, NDArray[np.str_]] = {}
        self.history_: list[dict[str, float]] = []
        self.calibration_: dict[str, Calibration] = {}
        self.taste_dimension_ = 0
        self._learned_plays = LearnedPlays()
        self._network: HeadNetwork | SavedModule[HeadNetwork] | None = None
        self._thawed: dict[str, NDArray[Any]] = {}
        # Copy of the encoder below with the thawed weights, made when it is first needed: so a
        # saved one can be opened where the weights of the encoder below were not fetched.
        self._below: Encoder | None = None

    def __repr__(self) -> str:
        if self._network is None:
            known = "not trained"
        else:
            parts = [
                f"{len(values)} values of {printable(tag)}" for tag, values in self.heads_.items()
            ]
            if self.taste_dimension_:
                parts.append(f"taste in {self.taste_dimension_} dimensions")
            known = f"trained to tell {', '.join(parts)}"
        return f"<FineTunedEncoder on {self.backbone!r}, {self.config.backbone}: {known}>"

    @property
    def front_end(self) -> FrontEnd:
        """What is made of a recording: the inputs of the encoder below."""
        return self.backbone.front_end

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.config.dimension + (self.backbone.dimension if self.config.skip else 0)

    @property
    def learned_plays_(self) -> LearnedPlays:
        """The songs whose plays the heads or the encoder below have learned from."""
        parts = [self._learned_plays.to_array(), LearnedPlays.of(self.backbone).to_array()]
        return LearnedPlays.from_array(np.concatenate(parts))

    @property
    def is_fitted(self) -> bool:
        """Whether the heads are trained."""
        return self._network is not None

    @property
    def is_thawed(self) -> bool:
        """Whether the encoder below is trained as well, or is to be."""
        return self.config.backbone == "thawed"

    def untrained(self, **settings: Any) -> Self:
        """Return one with the same encoder below and untrained heads.

        Args:
            **settings: settings to change; see `HeadConfig`.
        """
        return type(self)(self.backbone, self.config.replace(**settings))

    def on(self, backbone: Encoder) -> Self:
        """Return one with these heads on another object of the same encoder below.

        For an encoder that a saved one cannot hold, such as a function.
        """
        other = copy.copy(self)
        other.backbone, other._below = backbone, None
        return other

    @property
    def classes_(self) -> NDArray[np.str_]:
        """Values of the first tag; none without tags."""
        return next(iter(self.heads_.values()), np.empty(0, dtype=np.str_))

    def fit(
        self,
        inputs: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike] | None = None,
        taste: Float32Array | None = None,
        groups: ArrayLike | None = None,
        *,
        recording: IntArray | None = None,
        learned_plays: LearnedPlays | None = None,
        calibrated: bool = False,
        progress: bool = False,
    ) -> Self:
        """Train heads, and with ``backbone="thawed"`` the encoder below them, from the start.

        Args:
            inputs: float32 [n, ...], as the encoder's `front_end` makes them; several of one
                recording each have its label.
            labels: n values of the tag; for several tags a mapping (or table) from each tag to its
                n values. Blank values ("", None, NaN) are unknown. A tag of fewer than two values
                is left out, with a warning. None: taste alone.
            taste: float32 [n, r], collaborative vectors of the songs, of which the direction is
                predicted; rows of NaN, or 0, are unknown. None: labels alone. Songs that are held
                out for an evaluation must have no part in them.
            groups: n group names, such as artists; a group is never on both sides of the validation
                split. A value that one group alone has is learned and not validated; a warning
                names it. None: each recording is its own group.
            recording: int [n], number of the recording that each input is of. None: each input is a
                recording.
            learned_plays: the songs that `taste` has the vectors of, so that they are not taken for
                new ones where a model is validated.
            calibrated: learn the temperatures of the probabilities, as `SongEncoder.fit` does, on a
                tenth of the groups, or up to a third where that is fewer than twenty recordings,
                by another training without them. Where ``config.validation_fraction`` holds out
                inputs, those serve.
            progress: show progress bars.

        Returns:
            The encoder itself.

        Raises:
            InvalidArgumentError: numbers of inputs, labels, taste or groups differ, there is
                nothing to learn, a value is NaN or infinite (the message names the row), or the
                training diverges.
            NotFittedError: the encoder below is not trained.
        """
        _check_inputs(inputs)
        learned = head_targets(self.config, labels, taste, groups, recording, len(inputs))
        rows = learned.rows
        inputs = inputs if len(rows) == len(inputs) else inputs[rows]
        vectors = vectors_below(self.backbone, inputs)
        check_finite_rows("vectors of the encoder below", vectors)
        self._learn(learned, vectors, inputs, calibrated, progress)
        return self._with_plays(learned_plays)

    def fit_vectors(
        self,
        vectors: Float32Array,
        labels: ArrayLike | Mapping[str, ArrayLike] | None = None,
        taste: Float32Array | None = None,
        groups: ArrayLike | None = None,
        *,
        recording: IntArray | None = None,
        learned_plays: LearnedPlays | None = None,
        calibrated: bool = False,
        progress: bool = False,
    ) -> Self:
        """Train heads on vectors that the encoder below, frozen, made before; otherwise as `fit`.

        Args:
            vectors: float32 [n, dimension of the encoder below].
            labels: as in `fit`.
            taste: as in `fit`.
            groups: as in `fit`.
            recording: as in `fit`.
            learned_plays: as in `fit`.
            calibrated: as in `fit`.
            progress: as in `fit`.

        Raises:
            InvalidArgumentError: as `fit`, or the encoder is to be thawed, which needs inputs.
        """
        if self.is_thawed:
            raise InvalidArgumentError("a thawed encoder is trained on inputs, and not on vectors")
        self._check_vectors(vectors)
        check_finite_rows("vectors", vectors)
        learned = head_targets(self.config, labels, taste, groups, recording, len(vectors))
        self._learn(learned, vectors[learned.rows], None, calibrated, progress)
        return self._with_plays(learned_plays)

    def _learn(
        self,
        learned: HeadTargets,
        vectors: Float32Array,
        inputs: Float32Array | None,
        calibrated: bool,
        progress: bool,
    ) -> None:
        training = HeadTraining(self.backbone, self.config, learned, vectors, inputs, progress)
        trained, self.calibration_ = training.run(calibrated=calibrated)
        self._network, self._thawed, self._below, self.history_ = trained
        self.heads_ = {target.tag: target.classes for target in learned.targets}
        self.taste_dimension_ = 0 if learned.taste is None else learned.taste.shape[1]

    def _with_plays(self, learned_plays: LearnedPlays | None) -> Self:
        self._learned_plays = LearnedPlays()
        if self.taste_dimension_ and learned_plays is not None:
            self._learned_plays = learned_plays
        return self

    def embed(self, inputs: Float32Array) -> Float32Array:
        """Compute the embeddings of inputs.

        Args:
            inputs: float32 [n, ...], as in `fit`.

        Returns:
            float32 [n, dimension]; a row of NaN where the encoder below has no finite numbers.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as the encoder below, or NaN or infinite values.
        """
        return self._run(inputs)[0]

    def predict_proba(self, inputs: Float32Array, tag: str | None = None) -> Float32Array:
        """Predict the probabilities of a tag's values.

        Args:
            inputs: as in `embed`.
            tag: one of ``heads_``; by default the first.

        Returns:
            float32 [n, values]; rows sum to 1, except for the loss ``binary_cross_entropy``. Of
            logits divided by the temperature in `calibration_`.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as `embed`, or a tag that it was not trained to tell.
        """
        self._check_fitted()
        name = next(iter(self.heads_), "") if tag is None else tag
        if name not in self.heads_:
            told = ", ".join(self.heads_) or "no tags"
            raise InvalidArgumentError(
                f"the encoder was trained to tell {told}, not {name or 'tags'!r}"
            )
        return self.embed_and_predict(inputs)[1][name]

    def predict_taste(self, inputs: Float32Array) -> Float32Array:
        """Predict the direction of the songs' collaborative vectors.

        Args:
            inputs: as in `embed`.

        Returns:
            float32 [n, taste_dimension_], rows of length 1.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidArgumentError: as `embed`, or it was trained without taste.
        """
        taste = self._run(inputs)[2]
        if taste is None:
            raise InvalidArgumentError("the encoder was trained without taste: fit(..., taste=...)")
        return unit_rows(taste)

    def embed_and_predict(
        self, inputs: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute `embed` and, for each tag, `predict_proba` in a single pass.

        Args:
            inputs: as in `embed`.

        Returns:
            Embeddings, float32 [n, dimension], and probabilities of each tag, float32 [n, values].

        Raises:
            NotFittedError, InvalidArgumentError: as `embed`.
        """
        return self._with_probabilities(*self._run(inputs)[:2])

    def embed_and_predict_vectors(
        self, vectors: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """As `embed_and_predict`, from vectors that the encoder below made before.

        Args:
            vectors: float32 [n, dimension of the encoder below], thawed if it is.

        Raises:
            NotFittedError, InvalidArgumentError: as `embed`.
        """
        self._check_fitted()
        self._check_vectors(vectors)
        return self._with_probabilities(*self._run_vectors(vectors)[:2])

    def save(self, folder: Path | str) -> None:
        """Save heads and the encoder below to a folder, atomically replacing one that is there.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            ArtifactError: the folder cannot be written.
        """
        folder = Path(folder)
        document, weights = self._document(), self._weights()
        self.backbone.save(folder / document["backbone"]["folder"])
        save_encoder(folder, document, weights)
        for old in folder.glob("backbone-*"):
            if old.name != document["backbone"]["folder"]:
                shutil.rmtree(old, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load what `save` wrote; its embeddings are bit-identical.

        Raises:
            ArtifactError: a file is missing or changed, or it is another kind of encoder.
        """
        document, weights = read_encoder(Path(folder))
        if document.get("method") != _METHOD:
            raise ArtifactError(f"{folder}: holds no fine-tuned encoder; load it by load_encoder")
        return cls.restore(Path(folder), document, weights)

    @classmethod
    def restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        """Build an encoder from its manifest and weights; see `embedding.encoders.loading`.

        Raises:
            ArtifactError: they do not describe a fine-tuned encoder, or the encoder below cannot be
                opened or is another.
        """
        try:
            name, digest = str(document["backbone"]["folder"]), document["backbone"]["digest"]
            inside = Path(name).name == name and name not in ("", ".", "..")
        except UNREADABLE:
            inside = False
        if not inside:
            raise ArtifactError(f"{folder}: does not name the encoder below it")
        backbone = load_encoder(folder / name)
        if backbone.digest() != digest:
            raise ArtifactError(f"{folder / name}: not the encoder that the heads were trained on")
        with describing_encoder(folder):
            return cls._restore(folder, document, weights, backbone)

    @classmethod
    def _restore(
        cls, folder: Path, document: dict[str, Any], weights: Weights, backbone: Encoder
    ) -> Self:
        encoder = cls.__new__(cls)
        encoder.config = HeadConfig.from_json(document["config"])
        encoder._begin(backbone)
        encoder.heads_ = {
            str(tag): np.array(names, dtype=np.str_) for tag, names in document["heads"].items()
        }
        encoder.history_ = document["history"]
        encoder.calibration_ = {
            str(tag): Calibration.from_json(values)
            for tag, values in document.get("calibration", {}).items()
        }
        encoder.taste_dimension_ = int(document["taste"])
        sizes = [len(names) for names in encoder.heads_.values()]
        empty = partial(
            _empty_heads, backbone.dimension, sizes, encoder.taste_dimension_, encoder.config
        )
        network = SavedModule(folder, empty, _part_of(weights, "heads."), "its settings")
        check_weights_are_finite(weights)
        if (plays := weights.get(_LEARNED_PLAYS)) is not None:
            encoder._learned_plays = LearnedPlays.from_array(plays)
        encoder._network, encoder._thawed = network, _part_of(weights, "backbone.")
        if bool(encoder._thawed) != encoder.is_thawed:
            raise ValueError("the weights of the encoder below do not fit its settings")
        return encoder

    def digest(self) -> str:
        """Return the hex SHA-256 of the encoder below, settings, values and weights."""
        document = {**self._document(), "history": None}
        return encoder_digest(document, self._weights())

    def summary(self) -> dict[str, Any]:
        """Return digest, method, what is told, history, and that of the encoder below, as JSON."""
        return {
            "method": self._method(),
            "digest": self.digest(),
            "dimension": self.dimension,
            "tags": list(self.heads_),
            "classes": self.classes_.tolist(),
            "taste": self.taste_dimension_,
            "songs_with_taste": len(self.learned_plays_),
            "history": self.history_,
            "calibration": {tag: one.to_json() for tag, one in self.calibration_.items()},
            "backbone": self.backbone.summary(),
        }

    def _method(self) -> str:
        told = [*self.heads_, *(["taste"] if self.taste_dimension_ else [])]
        below = self.backbone.summary().get("method", "a network trained before")
        return f"heads for {', '.join(told)} on {below}, {self.config.backbone}"

    def _document(self) -> dict[str, Any]:
        self._check_fitted()
        digest = self.backbone.digest()
        told = {tag: one.to_json() for tag, one in self.calibration_.items()}
        return {
            "method": _METHOD,
            "config": self.config.model_dump(mode="json"),
            "heads": {tag: names.tolist() for tag, names in self.heads_.items()},
            "taste": self.taste_dimension_,
            "backbone": {"folder": f"backbone-{digest[:16]}", "digest": digest},
            "history": self.history_,
            **({"calibration": told} if told else {}),
        }

    def _weights(self) -> dict[str, NDArray[Any]]:
        self._check_fitted()
        assert self._network is not None
        heads = weights_of(self._network)
        weights = {f"heads.{name}": array for name, array in heads.items()}
        weights |= {f"backbone.{name}": array for name, array in self._thawed.items()}
        if len(self._learned_plays):
            weights[_LEARNED_PLAYS] = self._learned_plays.to_array()
        return weights

    def _run(
        self, inputs: Float32Array
    ) -> tuple[Float32Array, list[Float32Array], Float32Array | None]:
        self._check_fitted()
        _check_inputs(inputs, least=0)
        return self._run_vectors(vectors_below(self._encoder_below(), inputs))

    def _run_vectors(
        self, vectors: Float32Array
    ) -> tuple[Float32Array, list[Float32Array], Float32Array | None]:
        from embedding.encoders.fine_tuning.heads import run_heads

        return run_heads(self._fitted(), vectors, self.config.threads)

    def _with_probabilities(
        self, embeddings: Float32Array, scores: list[Float32Array]
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        import torch

        from embedding.network.optimisation import probabilities

        found = {}
        for tag, of_tag in zip(self.heads_, scores, strict=True):
            known = self.calibration_.get(tag)
            logits = torch.from_numpy(of_tag) / (1.0 if known is None else known.temperature)
            found[tag] = probabilities(self.config.loss, logits).numpy()
        return embeddings, found

    def _check_vectors(self, vectors: Float32Array) -> None:
        d = self.backbone.dimension
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.shape[1] != d:
            found = getattr(vectors, "shape", type(vectors).__name__)
            raise InvalidArgumentError(f"vectors must be an array [n, {d}]; got {found}")

    def _encoder_below(self) -> Encoder:
        """The encoder below, with the weights that were trained."""
        if not self._thawed:
            return self.backbone
        if self._below is None:
            import torch

            below = copy.deepcopy(self.backbone)
            _check_can_thaw(below)
            parameters = dict(below.torch_module().named_parameters())  # type: ignore[attr-defined]
            for name, array in self._thawed.items():
                if name not in parameters or tuple(parameters[name].shape) != array.shape:
                    raise ArtifactError(
                        f"{below!r}: has no weights {name!r} of shape {array.shape}"
                    )
                parameters[name].data.copy_(torch.from_numpy(array))
            self._below = below
        return self._below

    def _check_fitted(self) -> None:
        if self._network is None:
            raise NotFittedError(
                "this FineTunedEncoder is not trained: call fit, or load a saved one"
            )

    def _fitted(self) -> HeadNetwork:
        self._check_fitted()
        network = self._network  # once: another thread may build it meanwhile
        assert network is not None
        if isinstance(network, SavedModule):
            self._network = network = network.build()
        return network


def _empty_heads(
    dimension: int, n_classes: list[int], taste_dimension: int, config: HeadConfig
) -> HeadNetwork:
    from embedding.encoders.fine_tuning.heads import HeadNetwork

    return HeadNetwork(dimension, n_classes, taste_dimension, config)


def _check_can_thaw(backbone: Encoder) -> None:
    if not hasattr(backbone, "embed_tensor"):
        raise InvalidArgumentError(
            f"{type(backbone).__name__} cannot be thawed: it is no PyTorch network; train heads on "
            "it as it is (frozen)"
        )


def _check_gives_each_input_a_vector(backbone: Encoder) -> None:
    """Refuse an encoder that makes one vector of all inputs of a recording."""
    snippet = getattr(getattr(backbone, "front_end", None), "snippet", None)
    several = snippet is not None and (snippet.count > 1 or snippet.position == "whole")
    if several and getattr(backbone, "reads_sequences", False):
        raise InvalidArgumentError(
            "backbone: reads the snippets of a recording as a sequence, and heads learn from each "
            "of them by itself; train it with sequence='mean', or with one snippet a recording"
        )


def _part_of(weights: Weights, prefix: str) -> Weights:
    return {n.removeprefix(prefix): array for n, array in weights.items() if n.startswith(prefix)}


def _check_inputs(inputs: Float32Array, least: int = 1) -> None:
    if not isinstance(inputs, np.ndarray) or inputs.ndim < 2 or inputs.dtype.kind not in "fiu":
        found = getattr(inputs, "shape", type(inputs).__name__)
        raise InvalidArgumentError(f"inputs must be an array of numbers [n, ...]; got {found}")
    if len(inputs) < least:
        raise InvalidArgumentError("inputs: there are none to learn from")
    check_finite_rows("inputs", inputs)
