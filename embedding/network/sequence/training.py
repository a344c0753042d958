"""Train the head over a song's windows, on the vectors that the trained network gives them.

The second stage of a training: the network is trained on single windows and stays as it is, so the
vectors of all windows are computed once, and training a head on them takes seconds.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from datasets.arrays import Float32Array, IntArray
from datasets.progress import progress_bar
from embedding.network.config import EncoderConfig
from embedding.network.devices import inference_device, limited_threads
from embedding.network.inference import window_vectors
from embedding.network.layers import SongNetwork, extend_outputs
from embedding.network.optimisation import WeightAverage, loss_of, losses, probabilities
from embedding.network.sequence.heads import (
    SequenceHead,
    SequenceKind,
    initialise_head,
    make_head,
    padded,
)
from embedding.network.targets import Target
from embedding.network.training import TrainingJob

EPOCHS = 10
"""Passes over the songs, if that makes at least `LEAST_STEPS`."""

LEAST_STEPS = 200
"""Training steps of a small catalogue, in as many passes as it takes."""

SONGS_IN_STEP = 32
"""Songs in a step."""

LEARNING_RATE = 2e-3
"""Maximum learning rate of AdamW; it falls to zero along half a cosine."""

WEIGHT_DECAY = 0.05
"""Weight decay, not applied to biases."""

AVERAGING = 0.98
"""Decay of the moving average of the weights, which are the ones kept."""

SHORTEST = 0.5
"""Training takes a random part of consecutive windows of each song, of this share at least."""

MOST_WINDOWS = 256
"""Most windows of a song that a step takes."""

LEAST_SMOOTHING = 0.1
"""Least label smoothing: the network knows its training songs already, and scores of song vectors
would only grow."""

DROPOUT = 0.2
"""Share of the windows' values that a step leaves out."""


@dataclass(frozen=True, eq=False)
class Earlier:
    """A network with a head, before it is trained further."""

    network: SongNetwork

    keep: float
    """Weight of the distillation loss against its outputs (Li and Hoiem 2016)."""


def learn_sequences(
    network: SongNetwork,
    training: TrainingJob,
    kind: SequenceKind,
    recording: IntArray,
    earlier: Earlier | None,
    progress: bool,
) -> None:
    """Give a trained network its head over the windows of a song.

    Args:
        network: the network, trained on single windows; its ``sequence`` is set.
        training: what it was trained on; images held out there are not used here.
        kind: kind of the head.
        recording: int [n], recording of each image: the windows of all its images are one song.
        earlier: the network before, if it is trained further; its head is, too.
        progress: show a progress bar.

    Warns:
        UserWarning: every song is a single window, so that the head has no effect.
    """
    config, targets = training.config, training.targets
    rows = training.rows
    rows = rows[np.argsort(recording[rows], kind="stable")]
    vectors = _vectors(network, training, rows)
    _, song, n_images = np.unique(recording[rows], return_inverse=True, return_counts=True)
    songs = SongVectors(vectors.reshape(-1, vectors.shape[2]), n_images * vectors.shape[1])
    of_songs = [_of_songs(target.take(rows), song, len(n_images)) for target in targets]
    n_classes = [len(target.classes) for target in targets]
    head = make_head(kind, vectors.shape[2], n_classes)
    if earlier is None:
        initialise_head(head, network.heads, config.seed)
        head.learn_level(songs.vectors)
        if songs.counts.max() == 1:
            warnings.warn(
                f"sequence {kind!r} has no effect: every song is a single window; give images "
                "wider than `window`, or several snippets of each recording",
                stacklevel=6,
            )
        else:
            train_head(head, songs, of_songs, config, progress=progress)
    else:
        own = earlier.network.sequence
        assert own is not None
        head.load_state_dict(extend_outputs(own.state_dict(), n_classes))
        past = _vectors(earlier.network, training, rows).reshape(songs.vectors.shape)
        before = KnownSongs(_scores(own, SongVectors(past, songs.counts)), earlier.keep)
        rate = LEARNING_RATE / 10
        train_head(
            head, songs, of_songs, config, learning_rate=rate, before=before, progress=progress
        )
    network.sequence = head.eval()


def _vectors(network: SongNetwork, training: TrainingJob, rows: IntArray) -> Float32Array:
    """Vectors of the windows of images, [images, windows, dimension]."""
    config, found = training.config, []
    device = inference_device(config)
    with torch.inference_mode(), limited_threads(config.threads):
        network.to(device)
        for _, vectors in window_vectors(network, training.images, config.window, device, rows):
            found.append(vectors.transpose(0, 1).cpu().numpy())
        network.to("cpu")
    return np.concatenate(found)


def _of_songs(target: Target, song: IntArray, n_songs: int) -> Target:
    """Target of songs, from that of their images: the mean of those that are known."""
    totals = np.zeros((n_songs, target.values.shape[1]), np.float32)
    np.add.at(totals, song, target.values)
    known = np.bincount(song, target.known, minlength=n_songs)
    return replace(target, values=totals / np.maximum(known, 1)[:, None].astype("f4"))


def _scores(head: SequenceHead, songs: "SongVectors") -> list[Tensor]:
    """Logits [songs, classes] of each tag."""
    found: list[list[Tensor]] = []
    windows = songs.songs()
    with torch.inference_mode():
        for first in range(0, len(windows), SONGS_IN_STEP):
            batch = windows[first : first + SONGS_IN_STEP]
            counts = np.array([len(own) for own in batch])
            vectors = padded(torch.from_numpy(np.concatenate(batch)), counts)
            found.append(head.scores(head.pool(vectors, torch.from_numpy(counts))))
    return [torch.cat(parts).clone() for parts in zip(*found, strict=True)]


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
    steps = math.ceil(len(windows) / SONGS_IN_STEP)
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
                    loss = loss + _forgetting(scores, targets, before, rows, config)
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
        most = min(len(song), MOST_WINDOWS)
        taken = int(rng.integers(math.ceil(SHORTEST * most), most + 1))
        start = int(rng.integers(len(song) - taken + 1))
        parts.append(song[start : start + taken])
    counts = np.array([len(part) for part in parts])
    return padded(torch.from_numpy(np.concatenate(parts)), counts), torch.from_numpy(counts)


def _loss(
    scores: Sequence[Tensor], targets: Sequence[Target], rows: IntArray, config: EncoderConfig
) -> Tensor:
    total = torch.zeros(())
    for target, score in zip(targets, scores, strict=True):
        wanted, known = torch.from_numpy(target.values[rows]), torch.from_numpy(target.known[rows])
        kind, weight = loss_of(target, config)
        each = losses(kind, score, wanted, max(LEAST_SMOOTHING, config.label_smoothing))
        total = total + weight * (each * known).sum() / max(1, int(known.sum()))
    return total


def _forgetting(
    scores: Sequence[Tensor],
    targets: Sequence[Target],
    before: KnownSongs,
    rows: IntArray,
    config: EncoderConfig,
) -> Tensor:
    """Loss against the probabilities that the head gave before, of the classes it knew."""
    total = torch.zeros(())
    for target, score, known in zip(targets, scores, before.scores, strict=True):
        kind, weight = loss_of(target, config)
        wanted = probabilities(kind, known[rows])
        total = total + weight * losses(kind, score[:, : known.shape[1]], wanted).mean()
    return before.keep * total


def _parameters(head: nn.Module) -> list[dict[str, object]]:
    weights = [p for p in head.parameters() if p.ndim > 1]
    biases = [p for p in head.parameters() if p.ndim == 1]
    return [
        {"params": weights, "weight_decay": WEIGHT_DECAY},
        {"params": biases, "weight_decay": 0.0},
    ]
