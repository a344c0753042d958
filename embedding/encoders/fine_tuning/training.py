"""The training of heads and of an encoder thawed below them, and the temperatures of their tags."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from embedding.encoders.fine_tuning.config import HeadConfig
from embedding.encoders.fine_tuning.targets import HeadTargets
from embedding.network.calibration import Calibration, artists_to_leave_out, calibrate
from embedding.network.checkpoints import Epoch
from embedding.network.targets import validation_split

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.heads import HeadNetwork
    from embedding.encoders.protocol import Encoder


class TrainedHeads(NamedTuple):
    """Heads, and what was trained below them."""

    network: HeadNetwork

    thawed: dict[str, NDArray[Any]]
    """Weights of the encoder below that were trained, by name; {} where it is frozen."""

    below: Encoder | None
    """Copy of the encoder below with these weights."""

    history: list[Epoch]


@dataclass(frozen=True, eq=False)
class HeadTraining:
    """Training of heads on the vectors of an encoder, which may be thawed."""

    backbone: Encoder
    """The encoder below, which is not changed."""

    config: HeadConfig
    learned: HeadTargets

    vectors: Float32Array
    """float32 [n, dimension], of the encoder below."""

    inputs: Float32Array | None
    """float32 [n, ...], what it is trained on where it is thawed."""

    progress: bool

    def run(self, *, calibrated: bool) -> tuple[TrainedHeads, dict[str, Calibration]]:
        """Train on all but the validation split, and learn temperatures on those left out.

        Args:
            calibrated: where nothing is held out, learn temperatures by another training, without
                some of the artists.

        Returns:
            The heads, and by tag the temperature of its probabilities.
        """
        config, learned, classes = self.config, self.learned, self.learned.classes
        held_out = validation_split(
            classes, learned.groups, config.validation_fraction, config.seed
        )
        found: dict[str, Calibration] = {}
        if calibrated and learned.targets and not len(held_out):
            unheard, _ = artists_to_leave_out(
                classes, learned.groups, learned.recording, config.seed
            )
            if len(unheard):
                rest = np.setdiff1d(np.arange(len(classes)), unheard)
                found = self._calibrations(self._take(rest)._trained(held_out), unheard)
        trained = self._trained(held_out)
        if len(held_out):
            found = self._calibrations(trained, held_out)
        return trained, found

    def _take(self, rows: IntArray) -> HeadTraining:
        return HeadTraining(
            self.backbone,
            self.config,
            self.learned.take(rows),
            self.vectors[rows],
            None if self.inputs is None else self.inputs[rows],
            self.progress,
        )

    def _trained(self, held_out: IntArray) -> TrainedHeads:
        from embedding.encoders.fine_tuning.heads import HeadTask, thaw, train_heads

        inputs, vectors = self.inputs, self.vectors
        task = HeadTask(self.learned.targets, self.learned.taste, self.config, held_out)
        network, history = train_heads(vectors, task, progress=self.progress)
        thawed: dict[str, NDArray[Any]] = {}
        below: Encoder | None = None
        if inputs is not None and self.config.backbone == "thawed":
            below = copy.deepcopy(self.backbone)
            state, more = thaw(network, below, inputs, task, progress=self.progress)  # type: ignore[arg-type]
            thawed = {name: tensor.contiguous().numpy() for name, tensor in state.items()}
            history += [{**record, "epoch": len(history) + record["epoch"]} for record in more]
            vectors = vectors_below(below, inputs)
        network.learn_length(np.delete(vectors, held_out, axis=0))
        return TrainedHeads(network, thawed, below, history)

    def _calibrations(self, trained: TrainedHeads, unheard: IntArray) -> dict[str, Calibration]:
        """Learn temperatures on inputs that had no part in a training."""
        from embedding.encoders.fine_tuning.heads import run_heads

        told = self.learned.take(unheard)
        own = self.vectors[unheard]
        if trained.below is not None and self.inputs is not None:
            own = vectors_below(trained.below, self.inputs[unheard])
        _, logits, _ = run_heads(trained.network, own, self.config.threads)
        found = {
            target.tag: calibrate(
                scores[:, None],
                target.values,
                self.config.loss,
                groups=told.groups,
                recording=told.recording,
            )
            for target, scores in zip(told.targets, logits, strict=True)
        }
        return {tag: one for tag, one in found.items() if one is not None}


def vectors_below(backbone: Encoder, inputs: Float32Array) -> Float32Array:
    """Return the vectors of an encoder below, float32 [n, dimension].

    Raises:
        InvalidArgumentError: it returned what no encoder should return.
    """
    vectors = np.asarray(backbone.embed_and_predict(inputs)[0])
    if vectors.shape != (len(inputs), backbone.dimension):
        raise InvalidArgumentError(
            f"the encoder below returned vectors {list(vectors.shape)} for {len(inputs)} inputs; "
            f"it must return [{len(inputs)}, {backbone.dimension}]"
        )
    return vectors.astype(np.float32, copy=False)
