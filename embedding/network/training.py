"""Training the network: descent by gradients, on one device or many, resumable.

US 2018/0276540 A1, paragraphs 57 to 59, 73 and 74. Every random choice is drawn from the seed and
the epoch's number, never from a running generator, so that a training that was killed and resumed
goes on exactly as if it had not been. Devices, processes and precision are Lightning Fabric's.

What decides a training: images, targets, settings, and what to go on from.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.arrays import Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from embedding.network import checkpoints, optimisation
from embedding.network.architecture import parse
from embedding.network.augmentation import covering_windows, mixup_partners, training_batch
from embedding.network.checkpoints import Epoch, Pretrained, State, TrainingState
from embedding.network.config import EncoderConfig
from embedding.network.devices import limited_threads, make_fabric, to_tensor
from embedding.network.layers import SongNetwork, initialise_weights
from embedding.network.optimisation import losses, probabilities
from embedding.network.targets import Target

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """Everything that decides a training."""

    images: Float32Array
    """float32 [n, channels, height, width]."""

    targets: Sequence[Target]
    """One a tag."""

    config: EncoderConfig

    validation: IntArray
    """Positions of the images held out to choose the epoch; may be empty, then the last epoch is
    taken."""

    before: Pretrained | None = None
    """What to go on from; None: random weights."""

    def fingerprint(self) -> str:
        """Hex SHA-256 of all of this."""
        return checkpoints.training_fingerprint(
            self.images, self.targets, self.validation, self.config, self.before
        )

    def network(self) -> SongNetwork:
        """The network before the first step."""
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
            if self.config.standardise == "training":
                network.standardise.learn(*self._level())
        else:
            network.load_state_dict(self.before.weights)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _level(self) -> tuple[float, float]:
        """Mean and deviation of the images that train; those held out have no part in it."""
        total = squares = 0.0
        rows = np.setdiff1d(np.arange(len(self.images)), self.validation)
        for row in rows:
            image = self.images[row].astype(np.float64)
            total, squares = total + image.mean(), squares + np.square(image).mean()
        mean = total / len(rows)
        return mean, float(np.sqrt(max(0.0, squares / len(rows) - mean**2)))


CHECKPOINT_EPOCHS = 5
"""Epochs between two checkpoints, unless they take long."""

CHECKPOINT_SECONDS = 20.0
"""Seconds after which a checkpoint is written in any case."""

EVALUATION_BATCH = 256
"""Images in a batch without gradients."""

MAX_NORM = 5.0
"""Longer gradients are cut to this length."""


def train_network(
    training: TrainingJob, *, checkpoint: Path | None = None, progress: bool = False
) -> tuple[SongNetwork, list[Epoch]]:
    """Train a network.

    Args:
        training: data and settings.
        checkpoint: folder for the state after every few epochs; where it already holds that of
            the same training (same images, targets and settings), training goes on from it.
        progress: show a progress bar.

    Returns:
        The network with the weights of the best epoch, on the CPU, and the history: one dict an
        epoch.

    Raises:
        InvalidArgumentError: the loss is not finite, or there is no such device.
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
    """The training as one of the processes that share it does it."""
    config = training.config
    name = training.fingerprint()
    state = (
        checkpoints.read_checkpoint(checkpoint, name) if checkpoint else None
    ) or TrainingState()
    with limited_threads(config.threads):
        run = _Run(fabric, training, state)
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
    # As arrays: a tensor from a process that has ended cannot be read.
    return {name: tensor.numpy() for name, tensor in state.best.items()}, state.history


class _Run:
    """A training under way in one process."""

    def __init__(self, fabric: "Fabric", training: TrainingJob, state: TrainingState) -> None:
        self.fabric = fabric
        self.training = training
        self.config = training.config
        self.state = state
        self.rows = np.setdiff1d(np.arange(len(training.images)), training.validation)
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
        """The state as it is now, for a checkpoint."""
        self.state.weights = self.network.state_dict()
        self.state.optimiser = optimisation.optimiser_state(self.optimiser, self.network)
        self.state.average = self.average.weights if self.average else {}
        return self.state

    def epoch(self, epoch: int) -> None:
        """One pass over the training images, and what it came to, noted in the history."""
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
        """This process's part of a batch; every process takes at least one image of each."""
        size = self.fabric.world_size
        return batch[self.fabric.global_rank :: size] if len(batch) >= size else batch

    def _step(self, rows: IntArray, epoch: int, step: int) -> Tensor:
        """One step of the descent; loss, right answers and images, summed."""
        if len(rows) == 1 and "B" in self.config.architecture:
            # One image has no variance; with batch normalisation it stands twice.
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
                # What is mixed with an image of unknown value has no known value itself.
                wanted = share * wanted + (1 - share) * wanted[others]
                known = known & known[torch.from_numpy(others)]
            each = losses(
                self.config.loss, score.float(), wanted.to(device), self.config.label_smoothing
            )
            total = total + (each * known.to(device)).sum() / max(1, int(known.sum()))
        if self.teacher is not None:
            before = self.training.before
            assert before is not None
            with torch.no_grad():
                taught = self.teacher.scores(images)
            for score, teachers, n in zip(scores, taught, before.classes, strict=True):
                wanted = probabilities(self.config.loss, teachers[:, :n].float())
                each = losses(self.config.loss, score[:, :n].float(), wanted)
                total = total + before.keep * each.mean()
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        # A norm that is not finite shows in the loss, of which the epoch says more.
        self.fabric.clip_gradients(
            self.model, self.optimiser, max_norm=MAX_NORM, error_if_nonfinite=False
        )
        self.optimiser.step()
        if self.average:
            self.average.update(self.network)
        correct = _correct(scores[0].detach().cpu(), self.training.targets[0].values[rows])
        return torch.tensor([total.item() * len(rows), correct, len(rows)], dtype=torch.float64)

    def _validate(self, weights: State) -> Epoch:
        """Loss and accuracy of some weights on the images held out; of the first tag's accuracy."""
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
                    total += float((losses(config.loss, score, wanted) * known).sum())
                correct += _correct(scores[0], self.training.targets[0].values[batch])
        return {
            "validation_loss": total / len(rows),
            "validation_accuracy": correct / len(rows),
        }


def _correct(scores: Tensor, wanted: Float32Array) -> float:
    """How many images have a right class ranked first."""
    first = scores.argmax(dim=1).numpy()
    return float(wanted[np.arange(len(wanted)), first].sum())


def _is_best(history: list[Epoch], validated: bool) -> bool:
    """Whether the last epoch is the one to keep so far.

    By accuracy, and among equals by loss: the loss alone turns up within a few epochs, when the
    network starts to be too sure of itself, long before it stops to learn.
    """
    if not validated:
        return True
    quality = [(epoch["validation_accuracy"], -epoch["validation_loss"]) for epoch in history]
    return all(quality[-1] > earlier for earlier in quality[:-1])


def _mixed_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
