"""Train the network by gradient descent, on one or several devices, with checkpoints.

US 2018/0276540 A1, paragraphs 57 to 59, 73 and 74. Every random choice is seeded by the seed and
the number of the epoch, so that a training that was killed and resumed continues exactly as if it
had not been interrupted. Lightning Fabric handles devices, processes and precision.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from embedding.network import checkpoints, optimisation
from embedding.network.architecture import parse
from embedding.network.augmentation import covering_windows, mixup_partners, training_batch
from embedding.network.checkpoints import Epoch, Pretrained, State, TrainingState
from embedding.network.config import EncoderConfig
from embedding.network.devices import limited_threads, make_fabric, to_tensor
from embedding.network.layers import SongNetwork, initialise_weights
from embedding.network.optimisation import loss_of, losses, probabilities
from embedding.network.targets import Target

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """Everything that the result of a training depends on."""

    images: Float32Array
    """float32 [n, channels, height, width]."""

    targets: Sequence[Target]
    """One for each tag."""

    config: EncoderConfig

    validation: IntArray
    """Positions of the images held out to choose the best epoch; if empty, the last epoch is
    kept."""

    before: Pretrained | None = None
    """Network to start from; None: random weights."""

    left_out: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    """Positions of images that have no part in it."""

    @property
    def rows(self) -> IntArray:
        """Positions of the images to train on."""
        held_out = np.concatenate([self.validation, self.left_out])
        return np.setdiff1d(np.arange(len(self.images)), held_out)

    def fingerprint(self) -> str:
        """Return the hex SHA-256 of all of this."""
        return checkpoints.training_fingerprint(
            self.images, self.targets, self.validation, self.config, self.before, self.left_out
        )

    def network(self) -> SongNetwork:
        """Build the network before the first step."""
        width, _ = covering_windows(self.images, self.config.window)
        shape = (*self.images.shape[1:3], width)
        network = SongNetwork(
            parse(self.config.architecture),
            shape,
            [len(t.classes) for t in self.targets],
            self.config.standardise,
        )
        if self.before is None:
            initialise_weights(network, self.config.seed)
            if self.config.standardise != "image":
                network.standardise.learn(*self._level())
        else:
            network.load_state_dict(self.before.weights)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _level(self) -> tuple[Float64Array, Float64Array]:
        """Mean and standard deviation of the training images, without those held out.

        Over all pixels, or of each row: [channels, height].
        """
        axis = 2 if self.config.standardise == "rows" else None
        rows = self.rows
        total, squares = np.float64(0), np.float64(0)
        for row in rows:
            image = self.images[row].astype(np.float64)
            total = total + image.mean(axis=axis)
            squares = squares + np.square(image).mean(axis=axis)
        mean = np.asarray(total / len(rows))
        return mean, np.sqrt(np.maximum(0.0, squares / len(rows) - mean**2))


CHECKPOINT_EPOCHS = 5
"""Epochs between checkpoints."""

CHECKPOINT_SECONDS = 20.0
"""Seconds after which a checkpoint is written at the end of any epoch."""

EVALUATION_BATCH = 256
"""Batch size without gradients."""

MAX_NORM = 5.0
"""Norm to which gradients are clipped."""


def train_network(
    training: TrainingJob, *, checkpoint: Path | None = None, progress: bool = False
) -> tuple[SongNetwork, list[Epoch]]:
    """Train a network.

    Args:
        training: data and settings.
        checkpoint: folder for checkpoints; a checkpoint of the same training (same images, targets
            and settings) is resumed.
        progress: show a progress bar.

    Returns:
        The network with the weights of the best epoch, on the CPU, and the history: one dict for
        each epoch.

    Raises:
        InvalidArgumentError: the loss is not finite, or the device is not available.
    """
    fabric = make_fabric(training.config)
    best, history = fabric.launch(
        partial(_train, training=training, checkpoint=checkpoint, progress=progress)
    )
    network = training.network()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in best.items()})
    return network.eval(), history


def _train(
    fabric: "Fabric", training: TrainingJob, checkpoint: Path | None, progress: bool
) -> tuple[dict[str, NDArray[Any]], list[Epoch]]:
    """Run the training in one of the processes that share it."""
    config = training.config
    name = training.fingerprint()
    state = (
        checkpoints.read_checkpoint(checkpoint, name) if checkpoint else None
    ) or TrainingState()
    with limited_threads(config.threads):
        run = _TrainingRun(fabric, training, state)
        saved = time.monotonic()
        shown = progress and fabric.is_global_zero
        with progress_bar("training the network", config.epochs, shown=shown) as advance:
            advance(len(state.history))
            for epoch in range(len(state.history), config.epochs):
                if len(state.history) - state.best_epoch >= config.patience:
                    break
                run.epoch(epoch)
                late = time.monotonic() - saved > CHECKPOINT_SECONDS
                if checkpoint and ((epoch + 1) % CHECKPOINT_EPOCHS == 0 or late):
                    saved = time.monotonic()
                    if fabric.is_global_zero:
                        checkpoints.write_checkpoint(checkpoint, name, run.progress())
                advance(1)
    if checkpoint and fabric.is_global_zero:
        finished = TrainingState(
            best=state.best, best_epoch=state.best_epoch, history=state.history
        )
        checkpoints.write_checkpoint(checkpoint, name, finished)
    # As arrays: tensors cannot be read after the process that made them has ended.
    return {name: tensor.numpy() for name, tensor in state.best.items()}, state.history


class _TrainingRun:
    """A running training in one process."""

    def __init__(self, fabric: "Fabric", training: TrainingJob, state: TrainingState) -> None:
        self.fabric = fabric
        self.training = training
        self.config = training.config
        self.state = state
        self.rows = training.rows
        self.network = training.network()
        if state.weights:
            self.network.load_state_dict(state.weights)
        optimiser = optimisation.make_optimiser(self.network, self.config)
        self.model: Any
        self.model, self.optimiser = fabric.setup(self.network, optimiser)
        self.model.mark_forward_method("scores")
        if state.weights:
            optimisation.restore_optimiser(self.optimiser, self.network, state.optimiser)
        self.teacher = None
        if training.before is not None and training.before.keep:
            self.teacher = training.network().to(fabric.device).eval()
        self.average = None
        if self.config.averaging:
            self.average = optimisation.WeightAverage(self.network, self.config.averaging)
            steps = math.ceil(len(self.rows) / self.config.batch_size)
            self.average.restore(state.average, steps * len(state.history))

    def progress(self) -> TrainingState:
        """Return the current state, for a checkpoint."""
        self.state.weights = self.network.state_dict()
        self.state.optimiser = optimisation.optimiser_state(self.optimiser, self.network)
        self.state.average = self.average.weights if self.average else {}
        return self.state

    def epoch(self, epoch: int) -> None:
        """Train one epoch, validate, and append to the history."""
        started = time.perf_counter()
        record = {"epoch": epoch + 1.0, **self._descend(epoch)}
        kept = self.average.weights if self.average else self.network.state_dict()
        if len(self.training.validation):
            record |= self._validate(kept)
        record["seconds"] = time.perf_counter() - started
        self.state.history.append(record)
        if _is_best(self.state.history, len(self.training.validation) > 0):
            self.state.best_epoch = epoch + 1
            self.state.best = {name: t.detach().cpu().clone() for name, t in kept.items()}

    def _descend(self, epoch: int) -> Epoch:
        self.network.train()
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.rows)
        batches = [
            order[first : first + self.config.batch_size]
            for first in range(0, len(order), self.config.batch_size)
        ]
        totals = torch.zeros(3, dtype=torch.float64)
        with torch.random.fork_rng():
            torch.manual_seed(_mixed_seed(self.config.seed, epoch, self.fabric.global_rank))
            for step, batch in enumerate(batches):
                done = (epoch + step / len(batches)) / self.config.epochs
                optimisation.set_learning_rate(self.optimiser, self.config, done)
                totals += self._step(self._share(batch), epoch, step)
        if self.fabric.world_size > 1:
            totals = torch.as_tensor(self.fabric.all_reduce(totals, reduce_op="sum")).cpu()
        loss, correct, n = totals.tolist()
        if not math.isfinite(loss):
            raise InvalidArgumentError(
                f"training diverged in epoch {epoch + 1}: learning_rate "
                f"{self.config.learning_rate} is too high for these images"
            )
        return {"loss": loss / n, "accuracy": correct / n}

    def _share(self, batch: IntArray) -> IntArray:
        """Part of a batch for this process; at least one image for each process."""
        size = self.fabric.world_size
        return batch[self.fabric.global_rank :: size] if len(batch) >= size else batch

    def _step(self, rows: IntArray, epoch: int, step: int) -> Tensor:
        """Do one training step; return sums of loss, correct predictions and images."""
        if len(rows) == 1 and "B" in self.config.architecture:
            # Batch normalisation needs two images, so a single one is repeated.
            rows = np.repeat(rows, 2)
        device = self.fabric.device
        images = to_tensor(training_batch(self.training.images, rows, self.config, epoch))
        images = images.to(device)
        share, others = mixup_partners(len(rows), self.config, epoch, step)
        if share < 1:
            images = share * images + (1 - share) * images[torch.from_numpy(others).to(device)]
        scores = self.model.scores(images)
        total = torch.zeros((), device=device)
        for target, score in zip(self.training.targets, scores, strict=True):
            wanted = torch.from_numpy(target.values[rows])
            known = torch.from_numpy(target.known[rows])
            if share < 1:
                # An image mixed with one of unknown class has no known class itself.
                wanted = share * wanted + (1 - share) * wanted[others]
                known = known & known[torch.from_numpy(others)]
            kind, weight = loss_of(target, self.config)
            each = losses(kind, score.float(), wanted.to(device), self.config.label_smoothing)
            total = total + weight * (each * known.to(device)).sum() / max(1, int(known.sum()))
        if self.teacher is not None:
            before = self.training.before
            assert before is not None
            with torch.no_grad():
                taught = self.teacher.scores(images)
            heads = zip(self.training.targets, scores, taught, before.classes, strict=True)
            for target, score, teachers, n in heads:
                kind, weight = loss_of(target, self.config)
                wanted = probabilities(kind, teachers[:, :n].float())
                each = losses(kind, score[:, :n].float(), wanted)
                total = total + before.keep * weight * each.mean()
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        # A norm that is not finite shows in the loss, which the end of the epoch checks.
        self.fabric.clip_gradients(
            self.model, self.optimiser, max_norm=MAX_NORM, error_if_nonfinite=False
        )
        self.optimiser.step()
        if self.average:
            self.average.update(self.network)
        correct = _correct(scores[0].detach().cpu(), self.training.targets[0].values[rows])
        return torch.tensor([total.item() * len(rows), correct, len(rows)], dtype=torch.float64)

    def _validate(self, weights: State) -> Epoch:
        """Loss over all tags, and accuracy of the first tag, on the validation images."""
        network = self.training.network()
        network.load_state_dict(weights)
        network.to(self.fabric.device).eval()
        config, rows = self.config, self.training.validation
        width, starts = covering_windows(self.training.images, config.window)
        total, correct = 0.0, 0.0
        with torch.inference_mode():
            for first in range(0, len(rows), EVALUATION_BATCH):
                batch = rows[first : first + EVALUATION_BATCH]
                wide = to_tensor(self.training.images[batch]).to(self.fabric.device)
                scores = [
                    torch.stack(parts).mean(dim=0).cpu()
                    for parts in zip(
                        *(network.scores(wide[..., s : s + width]) for s in starts), strict=True
                    )
                ]
                for target, score in zip(self.training.targets, scores, strict=True):
                    wanted = torch.from_numpy(target.values[batch])
                    known = torch.from_numpy(target.known[batch])
                    kind, weight = loss_of(target, config)
                    total += weight * float((losses(kind, score, wanted) * known).sum())
                correct += _correct(scores[0], self.training.targets[0].values[batch])
        return {
            "validation_loss": total / len(rows),
            "validation_accuracy": correct / len(rows),
        }


def _correct(scores: Tensor, wanted: Float32Array) -> float:
    """Count the images whose top class is correct."""
    first = scores.argmax(dim=1).numpy()
    return float(wanted[np.arange(len(wanted)), first].sum())


def _is_best(history: list[Epoch], validated: bool) -> bool:
    """Return whether the last epoch is the best so far.

    By accuracy, then by loss: the loss alone rises after a few epochs, when the network becomes
    overconfident, long before it stops improving.
    """
    if not validated:
        return True
    quality = [(epoch["validation_accuracy"], -epoch["validation_loss"]) for epoch in history]
    return all(quality[-1] > earlier for earlier in quality[:-1])


def _mixed_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
