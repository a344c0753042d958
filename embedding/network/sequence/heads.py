"""Heads that make one vector and its tags of a song's windows: by attention, or recurrent.

US 2018/0276540 A1, paragraph 63: a song is a sequence of hyper-images. A head reads the vectors of
the windows in order of time and keeps a state of fixed size, so that a song of any length costs
linear time and no more memory than one of its chunks. Untrained, both heads give the mean of the
vectors.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from datasets.arrays import Float32Array, IntArray

SequenceKind = Literal["attention", "recurrent"]
"""Kinds of heads."""

HIDDEN = 64
"""Units of the layer that weighs windows, or of the recurrent state."""

HeadState: TypeAlias = tuple[Tensor, ...]
"""What a head remembers of the windows read so far, a row for each song."""

_NOTHING_YET = -1e30
"""Largest score before the first window; finite, as the difference of two infinities is not."""


class SequenceHead(nn.Module):
    """Reads the vectors of songs' windows, and gives a vector and tag scores of each song.

    Windows are read in one go (`pool`), or chunk by chunk (`start`, `advance`, `finish`) with the
    same result up to rounding.

    Args:
        dimension: length of a vector, of a window and of a song.
        n_classes: number of outputs for each tag.

    Examples:
        >>> import torch
        >>> from embedding.network.sequence.heads import AttentionHead
        >>> head = AttentionHead(8, [3])
        >>> windows = torch.rand(2, 5, 8)  # two songs of five windows each
        >>> songs = head.pool(windows)
        >>> songs.shape, head.scores(songs)[0].shape
        (torch.Size([2, 8]), torch.Size([2, 3]))
        >>> torch.allclose(songs, windows.mean(dim=1))  # before it is trained
        True
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int, n_classes: Sequence[int]) -> None:
        super().__init__()
        self.dimension = dimension
        self.heads = nn.ModuleList(nn.Linear(dimension, n) for n in n_classes)
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(()))

    def learn_level(self, vectors: Float32Array) -> None:
        """Take mean and deviation of the training windows' vectors, [n, dimension]."""
        centre = vectors.mean(axis=0, dtype="float64")
        self.mean.copy_(torch.from_numpy(centre))
        spread = float(((vectors - centre) ** 2).mean()) ** 0.5
        self.deviation.fill_(max(spread, 1e-6))

    def start(self, n: int) -> HeadState:
        """Return the state of ``n`` songs of which nothing is read yet."""
        raise NotImplementedError

    def advance(self, state: HeadState, windows: Tensor, counts: Tensor) -> HeadState:
        """Read further windows of songs.

        Args:
            state: of what was read before.
            windows: float [n, most, dimension] in order of time; rows beyond a song's count are
                ignored, whatever they hold.
            counts: int [n], windows of each song, 1 or more.

        Returns:
            The state after them.
        """
        raise NotImplementedError

    def finish(self, state: HeadState) -> Tensor:
        """Return the vectors of songs that are read to their end: [n, dimension]."""
        raise NotImplementedError

    def pool(self, windows: Tensor, counts: Tensor | None = None) -> Tensor:
        """Map windows of whole songs [n, most, dimension] to vectors of songs [n, dimension].

        Args:
            windows: as `advance`.
            counts: as `advance`; None where all songs have as many.
        """
        if counts is None:
            counts = torch.full((len(windows),), windows.shape[1], device=windows.device)
        return self.finish(self.advance(self.start(len(windows)), windows, counts))

    def scores(self, songs: Tensor) -> list[Tensor]:
        """Map vectors of songs [n, dimension] to logits [n, classes] of each tag."""
        return [head(songs) for head in self.heads]

    def _standardised(self, windows: Tensor) -> Tensor:
        return (windows - self.mean) / self.deviation


class AttentionHead(SequenceHead):
    """Weighted mean of the windows' vectors; each dimension has weights of its own.

    Attention pooling with a weight for each channel (Desplanques, Thienpondt and Demuynck 2020,
    "ECAPA-TDNN"). The order of windows makes no difference. A song of one window has that window's
    vector. The softmax over windows is a running one (Milakov and Gimelshein 2018).

    Args:
        dimension: as in `SequenceHead`.
        n_classes: as in `SequenceHead`.
    """

    def __init__(self, dimension: int, n_classes: Sequence[int]) -> None:
        super().__init__(dimension, n_classes)
        self.weigh = nn.Sequential(
            nn.Linear(dimension, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, dimension)
        )
        _set_to_zero(self.weigh[2])

    def start(self, n: int) -> HeadState:
        """Largest score, sum of weights and weighted sum, each [n, dimension]."""
        nothing = self.mean.new_zeros(n, self.dimension)
        return torch.full_like(nothing, _NOTHING_YET), nothing, nothing

    def advance(self, state: HeadState, windows: Tensor, counts: Tensor) -> HeadState:
        """Read further windows; see `SequenceHead`."""
        largest, weight, total = state
        there = _are_there(windows, counts)
        windows = windows.masked_fill(~there, 0)
        scores = self.weigh(self._standardised(windows)).masked_fill(~there, _NOTHING_YET)
        # What is subtracted drops out of the result, and so has no gradient.
        top = torch.maximum(largest, scores.detach().amax(dim=1))
        before = (largest - top).exp()
        now = (scores - top[:, None]).exp() * there
        return top, weight * before + now.sum(dim=1), total * before + (now * windows).sum(dim=1)

    def finish(self, state: HeadState) -> Tensor:
        """Return the weighted means."""
        _, weight, total = state
        return total / weight


class RecurrentHead(SequenceHead):
    """Mean over the windows of their vectors and of what a gated recurrent unit adds to them.

    A GRU (Cho et al. 2014) reads the windows in order of time; a linear map of its state is added
    to the vector of each. So the order of windows makes a difference.

    Args:
        dimension: as in `SequenceHead`.
        n_classes: as in `SequenceHead`.
    """

    def __init__(self, dimension: int, n_classes: Sequence[int]) -> None:
        super().__init__(dimension, n_classes)
        self.unit = nn.GRU(dimension, HIDDEN, batch_first=True)
        self.add = nn.Linear(HIDDEN, dimension)
        _set_to_zero(self.add)

    def start(self, n: int) -> HeadState:
        """HeadState of the unit [n, HIDDEN], sum of vectors [n, dimension], and windows [n, 1]."""
        zeros = self.mean.new_zeros
        return zeros(n, HIDDEN), zeros(n, self.dimension), zeros(n, 1)

    def advance(self, state: HeadState, windows: Tensor, counts: Tensor) -> HeadState:
        """Read further windows; see `SequenceHead`."""
        hidden, total, number = state
        there = _are_there(windows, counts)
        windows = windows.masked_fill(~there, 0)
        steps, _ = self.unit(self._standardised(windows), hidden[None].contiguous())
        added = (windows + self.deviation * self.add(steps)) * there
        # Padding follows a song's windows, so its last state is the one at its count.
        hidden = steps[torch.arange(len(steps), device=steps.device), counts - 1]
        return hidden, total + added.sum(dim=1), number + counts[:, None]

    def finish(self, state: HeadState) -> Tensor:
        """Return the means, without negative values."""
        _, total, number = state
        return (total / number).relu()


def make_head(kind: SequenceKind, dimension: int, n_classes: Sequence[int]) -> SequenceHead:
    """Make a head with no weights learned yet.

    Args:
        kind: ``attention`` or ``recurrent``.
        dimension: length of a vector.
        n_classes: number of outputs for each tag.
    """
    made = AttentionHead if kind == "attention" else RecurrentHead
    return made(dimension, n_classes)


def initialise_head(head: SequenceHead, tag_heads: nn.ModuleList, seed: int) -> None:
    """Set the weights from which training starts: the mean of windows, and the network's own tags.

    Args:
        head: the head.
        tag_heads: the network's output heads, which are copied.
        seed: seed of the random weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in head.named_parameters():
        if name.startswith("unit."):
            nn.init.uniform_(parameter, -(HIDDEN**-0.5), HIDDEN**-0.5, generator=generator)
        elif name == "weigh.0.weight":
            nn.init.xavier_uniform_(parameter, generator=generator)
        elif name == "weigh.0.bias":
            nn.init.zeros_(parameter)
    with torch.no_grad():
        for own, copied in zip(head.heads, tag_heads, strict=True):
            assert isinstance(own, nn.Linear)
            assert isinstance(copied, nn.Linear)
            own.weight.copy_(copied.weight)
            own.bias.copy_(copied.bias)


def _set_to_zero(layer: nn.Module) -> None:
    assert isinstance(layer, nn.Linear)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _are_there(windows: Tensor, counts: Tensor) -> Tensor:
    """Which rows are windows and not padding: bool [n, most, 1]."""
    number = torch.arange(windows.shape[1], device=windows.device)
    return (number < counts[:, None])[..., None]


def read_sequences(
    head: SequenceHead, parts: Iterable[tuple[Tensor, IntArray]]
) -> Iterator[tuple[IntArray, Tensor]]:
    """Read windows that come in parts, and give the vectors of songs as they end.

    Args:
        head: the head.
        parts: vectors [n, dimension] of consecutive windows, and the song of each, ascending. A
            song may go on in the next part, and through any number of them.

    Yields:
        Songs, and their vectors [songs, dimension], in order; every song once.
    """
    opened, kept = -1, None  # the song that may go on, and its state
    for vectors, song in parts:
        ids, counts = np.unique(song, return_counts=True)
        if kept is not None and ids[0] != opened:
            yield np.array([opened]), head.finish(kept)
            kept = None
        state = head.start(len(ids))
        if kept is not None:
            state = tuple(torch.cat([old, new[1:]]) for old, new in zip(kept, state, strict=True))
        on = torch.from_numpy(counts).to(vectors.device)
        state = head.advance(state, padded(vectors, counts), on)
        if len(ids) > 1:
            yield ids[:-1], head.finish(tuple(part[:-1] for part in state))
        opened, kept = int(ids[-1]), tuple(part[-1:] for part in state)
    if kept is not None:
        yield np.array([opened]), head.finish(kept)


def padded(vectors: Tensor, counts: IntArray) -> Tensor:
    """Arrange windows song by song: [windows, dimension] to [songs, most, dimension]."""
    songs = torch.split(vectors, counts.tolist())
    return nn.utils.rnn.pad_sequence(list(songs), batch_first=True)
