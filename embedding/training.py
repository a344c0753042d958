"""Training the network: stochastic gradient descent with momentum on softmax cross-entropy.

US 2018/0276540 A1, paragraphs 57 to 59 and 73. Every random choice is drawn from the seed and the
epoch's number, never from a running generator, so that a training that was killed and resumed
goes on exactly as if it had not been.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasets.errors import InvalidArgumentError
from embedding import checkpoints
from embedding.architecture import parse
from embedding.checkpoints import Epoch, Progress, State
from embedding.config import EncoderConfig
from embedding.network import SongNetwork, initialise
from embedding.progress import progress_bar

Images = NDArray[np.float32]

CHECKPOINT_EPOCHS = 5
"""Epochs between two checkpoints."""

EVALUATION_BATCH = 256
"""Images in a batch without gradients."""


def train(
    images: Images,
    targets: NDArray[np.int64],
    n_classes: int,
    config: EncoderConfig,
    *,
    validation: NDArray[np.int64],
    checkpoint: Path | None = None,
    progress: bool = False,
) -> tuple[SongNetwork, list[Epoch]]:
    """Train a network from random weights.

    Args:
        images: float32 [n, channels, height, width].
        targets: class of each image, int [n], 0 .. n_classes - 1.
        n_classes: number of classes.
        config: architecture and training settings.
        validation: positions of the images held out to choose the epoch; may be empty, then the
            last epoch is taken.
        checkpoint: folder for the state after every few epochs; where it already holds that of
            the same training (same images, targets and settings), training goes on from it.
        progress: show a progress bar.

    Returns:
        The network with the weights of the best epoch, and the history: one dict an epoch.
    """
    training = np.setdiff1d(np.arange(len(images)), validation)
    network = SongNetwork(parse(config.architecture), images.shape[1:], n_classes)
    initialise(network, config.seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(network, config)
    fingerprint = checkpoints.fingerprint(images, targets, validation, config)
    state = (checkpoints.read(checkpoint, fingerprint) if checkpoint else None) or Progress()
    if state.weights:
        _restore(network, optimiser, state)
    with progress_bar("training the network", config.epochs, shown=progress) as advance:
        advance(len(state.history))
        for epoch in range(len(state.history), config.epochs):
            if _out_of_patience(state, config):
                break
            started = time.perf_counter()
            _set_learning_rate(optimiser, config.learning_rate, epoch / config.epochs)
            record = {"epoch": epoch + 1.0}
            record |= _one_epoch(network, optimiser, images, targets, training, config, epoch)
            if len(validation):
                record |= _validate(network, images, targets, validation)
            record["seconds"] = time.perf_counter() - started
            state.history.append(record)
            if _is_best(state.history, len(validation) > 0):
                state.best_epoch = epoch + 1
                state.best_weights = _copy(network.state_dict())
            if checkpoint and (epoch + 1) % CHECKPOINT_EPOCHS == 0:
                state.weights = network.state_dict()
                state.momenta = _momenta(network, optimiser)
                checkpoints.write(checkpoint, fingerprint, state)
            advance(1)
    if checkpoint:
        finished = Progress({}, {}, state.best_weights, state.best_epoch, state.history)
        checkpoints.write(checkpoint, fingerprint, finished)
    network.load_state_dict(state.best_weights)
    network.eval()
    return network, state.history


def to_tensor(images: Images) -> Tensor:
    """A batch in the memory layout that CPU convolutions are fastest in."""
    batch = np.ascontiguousarray(images, dtype=np.float32)
    if not batch.flags.writeable:
        batch = batch.copy()
    return torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use ``threads`` threads (0: as many as it does already) inside the block."""
    before = torch.get_num_threads()
    try:
        if threads:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


def _one_epoch(
    network: SongNetwork,
    optimiser: torch.optim.SGD,
    images: Images,
    targets: NDArray[np.int64],
    training: NDArray[np.int64],
    config: EncoderConfig,
    epoch: int,
) -> Epoch:
    network.train()
    order = np.random.default_rng([config.seed, epoch]).permutation(training)
    total, correct = 0.0, 0
    for batch in _batches(order, config.batch_size):
        wanted = torch.from_numpy(targets[batch])
        scores = network(to_tensor(images[batch]))
        loss = nn.functional.cross_entropy(scores, wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        total += loss.item() * len(batch)
        correct += int((scores.argmax(1) == wanted).sum())
    if not math.isfinite(total):
        raise InvalidArgumentError(
            f"training diverged in epoch {epoch + 1}: learning_rate {config.learning_rate} is too "
            "high for these images"
        )
    return {"loss": total / len(order), "accuracy": correct / len(order)}


def _validate(
    network: SongNetwork,
    images: Images,
    targets: NDArray[np.int64],
    validation: NDArray[np.int64],
) -> Epoch:
    network.eval()
    total, correct = 0.0, 0
    with torch.inference_mode():
        for batch in _batches(validation, EVALUATION_BATCH):
            wanted = torch.from_numpy(targets[batch])
            scores = network(to_tensor(images[batch]))
            total += nn.functional.cross_entropy(scores, wanted, reduction="sum").item()
            correct += int((scores.argmax(1) == wanted).sum())
    return {
        "validation_loss": total / len(validation),
        "validation_accuracy": correct / len(validation),
    }


def _optimiser(network: SongNetwork, config: EncoderConfig) -> torch.optim.SGD:
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)


def _set_learning_rate(optimiser: torch.optim.SGD, start: float, done: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = start * 0.5 * (1 + math.cos(math.pi * done))


def _is_best(history: list[Epoch], validated: bool) -> bool:
    """Whether the last epoch is the one to keep so far.

    By accuracy, and among equals by loss: the loss alone turns up within a few epochs, when the
    network starts to be too sure of itself, long before it stops to learn.
    """
    if not validated:
        return True
    quality = [(epoch["validation_accuracy"], -epoch["validation_loss"]) for epoch in history]
    return all(quality[-1] > earlier for earlier in quality[:-1])


def _out_of_patience(state: Progress, config: EncoderConfig) -> bool:
    return len(state.history) - state.best_epoch >= config.patience


def _momenta(network: SongNetwork, optimiser: torch.optim.SGD) -> State:
    return {
        name: optimiser.state[parameter]["momentum_buffer"]
        for name, parameter in network.named_parameters()
    }


def _restore(network: SongNetwork, optimiser: torch.optim.SGD, state: Progress) -> None:
    network.load_state_dict(state.weights)
    for name, parameter in network.named_parameters():
        optimiser.state[parameter]["momentum_buffer"] = state.momenta[name].clone()


def _copy(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def _batches(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
