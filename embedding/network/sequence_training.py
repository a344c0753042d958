"""Train the head over a song's windows, on the vectors that the trained network gives them.

The second stage of a training: the network is trained on single windows and stays as it is, so the
vectors of all windows are computed once, and training a head on them takes seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from datasets.arrays import Float32Array, IntArray
from datasets.progress import progress_bar
from embedding.network.config import EncoderConfig
from embedding.network.devices import limited_threads
from embedding.network.optimisation import WeightAverage, losses, probabilities
from embedding.network.sequence import SequenceHead
from embedding.network.targets import Target

EPOCHS = 30
"""Passes over the songs, if that makes at least `LEAST_STEPS`."""

LEAST_STEPS = 300
"""Training steps of a small catalogue, in as many passes as it takes."""

BATCH = 32
"""Songs in a step."""

LEARNING_RATE = 2e-3
"""Maximum learning rate of AdamW; it falls to zero along half a cosine."""

WEIGHT_DECAY = 0.05
"""Weight decay, not applied to biases."""

AVERAGING = 0.98
"""Decay of the moving average of the weights, which are the ones kept."""

SHORTEST = 0.5
"""Training takes a random part of consecutive windows of each song, of this share at least."""

LONGEST = 256
"""Most windows of a song that a step takes."""

DROPOUT = 0.2
"""Share of the windows' values that a step leaves out."""


@dataclass(frozen=True, eq=False)
class SongVectors:
    """Vectors of the windows of songs."""

    vectors: Float32Array
    """float32 [windows, dimension], song by song, in order of time."""

    counts: IntArray
    """int [songs], windows of each; 1 or more."""

    def songs(self) -> list[Float32Array]:
        """Return the vectors of each song, [windows, dimension]."""
        return np.split(self.vectors, np.cumsum(self.counts)[:-1])


@dataclass(frozen=True, eq=False)
class KnownSongs:
    """What a head gave for songs before it is trained further on them."""

    scores: Sequence[Tensor]
    """Logits [songs, classes known] of each tag."""

    keep: float
    """Weight of the distillation loss against them (Li and Hoiem 2016)."""


def train_head(
    head: SequenceHead,
    songs: SongVectors,
    targets: Sequence[Target],
    config: EncoderConfig,
    *,
    learning_rate: float = LEARNING_RATE,
    before: KnownSongs | None = None,
    progress: bool = False,
) -> SequenceHead:
    """Train a head on vectors of songs' windows.

    Args:
        head: the head with its initial weights, which are changed.
        songs: vectors of the windows.
        targets: one for each tag, of the songs.
        config: loss, label smoothing, seed and threads.
        learning_rate: maximum learning rate.
        before: what the head is to remember of what it was; None for a new one.
        progress: show a progress bar.

    Returns:
        The head, in evaluation mode.
    """
    windows = songs.songs()
    steps = math.ceil(len(windows) / BATCH)
    epochs = max(EPOCHS, math.ceil(LEAST_STEPS / steps))
    optimiser = torch.optim.AdamW(_parameters(head), lr=learning_rate)
    average = WeightAverage(head, AVERAGING)
    head.train()
    with (
        limited_threads(config.threads),
        torch.random.fork_rng(),
        progress_bar("training the sequence head", epochs, shown=progress) as advance,
    ):
        torch.manual_seed(config.seed % 2**63)
        for epoch in range(epochs):
            rng = np.random.default_rng([config.seed, epoch, 2])
            order = rng.permutation(len(windows))
            for step, rows in enumerate(np.array_split(order, steps)):
                done = (epoch + step / steps) / epochs
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * done))
                batch, counts = _batch([windows[row] for row in rows], rng)
                batch = nn.functional.dropout(batch, DROPOUT)
                scores = head.scores(head.pool(batch, counts))
                loss = _loss(scores, targets, rows, config)
                if before is not None and before.keep:
                    loss = loss + _forgetting(scores, before, rows, config)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                average.update(head)
            advance(1)
    head.load_state_dict(average.weights)
    return head.eval()


def _batch(songs: Sequence[Float32Array], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cut a random part of each song; pad them to the longest."""
    parts = []
    for song in songs:
        most = min(len(song), LONGEST)
        taken = int(rng.integers(math.ceil(SHORTEST * most), most + 1))
        start = int(rng.integers(len(song) - taken + 1))
        parts.append(song[start : start + taken])
    counts = np.array([len(part) for part in parts])
    padded = np.zeros((len(parts), counts.max(), parts[0].shape[1]), np.float32)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(padded), torch.from_numpy(counts)


def _loss(
    scores: Sequence[Tensor], targets: Sequence[Target], rows: IntArray, config: EncoderConfig
) -> Tensor:
    total = torch.zeros(())
    for target, score in zip(targets, scores, strict=True):
        wanted, known = torch.from_numpy(target.values[rows]), torch.from_numpy(target.known[rows])
        each = losses(config.loss, score, wanted, config.label_smoothing)
        total = total + (each * known).sum() / max(1, int(known.sum()))
    return total


def _forgetting(
    scores: Sequence[Tensor], before: KnownSongs, rows: IntArray, config: EncoderConfig
) -> Tensor:
    """Loss against the probabilities that the head gave before, of the classes it knew."""
    total = torch.zeros(())
    for score, known in zip(scores, before.scores, strict=True):
        wanted = probabilities(config.loss, known[rows])
        total = total + losses(config.loss, score[:, : known.shape[1]], wanted).mean()
    return before.keep * total


def _parameters(head: nn.Module) -> list[dict[str, object]]:
    weights = [p for p in head.parameters() if p.ndim > 1]
    biases = [p for p in head.parameters() if p.ndim == 1]
    return [
        {"params": weights, "weight_decay": WEIGHT_DECAY},
        {"params": biases, "weight_decay": 0.0},
    ]
