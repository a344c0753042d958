"""Heads over a song's windows: chunks, padding, order, a single window."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedding.network.sequence.heads import (
    AttentionHead,
    RecurrentHead,
    SequenceHead,
    initialise_head,
    make_head,
)

assert_close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)

DIMENSION = 6
KINDS = ("attention", "recurrent")


def trained(kind: str, seed: int = 0) -> SequenceHead:
    """A head with random weights, and a level that is not 0 and 1."""
    head = make_head(kind, DIMENSION, [3, 2])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.3, generator=generator)
    head.learn_level(windows(50, seed=9).numpy())
    return head.eval()


def windows(n: int, seed: int = 0) -> Tensor:
    """Non-negative vectors, as those behind a ReLU."""
    return (2 * torch.randn(n, DIMENSION, generator=torch.Generator().manual_seed(seed))).relu()


def song(head: SequenceHead, vectors: Tensor) -> Tensor:
    with torch.inference_mode():
        return head.pool(vectors[None])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_before_training_a_song_is_the_mean_of_its_windows(kind: str) -> None:
    head = make_head(kind, DIMENSION, [3])
    tags = torch.nn.ModuleList([torch.nn.Linear(DIMENSION, 3)])
    initialise_head(head, tags, seed=1)
    vectors = windows(7)
    assert_close(song(head, vectors), vectors.mean(dim=0))
    assert_close(head.scores(vectors)[0], tags[0](vectors))


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_come_from_the_seed_and_leave_torchs_generator_alone(kind: str) -> None:
    def weights(seed: int) -> np.ndarray:
        head = make_head(kind, DIMENSION, [3])
        initialise_head(head, torch.nn.ModuleList([torch.nn.Linear(DIMENSION, 3)]), seed)
        own = [p.detach().flatten() for name, p in head.named_parameters() if "heads" not in name]
        return torch.cat(own).numpy()

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_in_chunks_the_result_is_the_same(kind: str, lengths: list[int], seed: int) -> None:
    head = trained(kind, seed)
    vectors = windows(sum(lengths), seed)
    state = head.start(1)
    with torch.inference_mode():
        for part in vectors.split(lengths):
            state = head.advance(state, part[None], torch.tensor([len(part)]))
        assert_close(head.finish(state)[0], song(head, vectors))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    rubbish=st.sampled_from([0.0, 1e9, float("nan"), float("inf")]),
)
def test_padding_changes_nothing(kind: str, counts: list[int], seed: int, rubbish: float) -> None:
    head = trained(kind, seed)
    songs = [windows(count, seed + number) for number, count in enumerate(counts)]
    padded = torch.full((len(counts), max(counts) + 2, DIMENSION), rubbish)
    for row, own in zip(padded, songs, strict=True):
        row[: len(own)] = own
    with torch.inference_mode():
        together = head.pool(padded, torch.tensor(counts))
    assert_close(together, torch.stack([song(head, own) for own in songs]))


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(8)), seed=st.integers(0, 99))
def test_order_makes_no_difference_to_attention(order: list[int], seed: int) -> None:
    head, vectors = trained("attention", seed), windows(8, seed)
    assert_close(song(head, vectors[order]), song(head, vectors))


def test_order_makes_a_difference_to_a_recurrent_head() -> None:
    head, vectors = trained("recurrent"), windows(8)
    assert (song(head, vectors.flip(0)) - song(head, vectors)).abs().max() > 0.1


def test_attention_lies_between_the_windows() -> None:
    head, vectors = trained("attention"), windows(8)
    pooled = song(head, vectors)
    assert (pooled >= vectors.amin(dim=0) - 1e-6).all()
    assert (pooled <= vectors.amax(dim=0) + 1e-6).all()
    assert (pooled - vectors.mean(dim=0)).abs().max() > 0.01


def test_a_song_of_one_window_has_its_vector() -> None:
    (vector,) = windows(1)
    assert_close(song(trained("attention"), vector[None]), vector)
    recurrent = trained("recurrent")
    alone = song(recurrent, vector[None])
    # The same window again and again is no other song, but for what the unit has heard before.
    assert (alone >= 0).all()
    state = recurrent.start(1)
    state = recurrent.advance(state, vector[None, None], torch.tensor([1]))
    assert_close(recurrent.finish(state)[0], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_huge_scores_and_thousands_of_windows_stay_finite(kind: str) -> None:
    head = trained(kind)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if name.startswith("weigh"):
                parameter.mul_(1e4)
    assert song(head, 1e4 * windows(5000)).isfinite().all()


@pytest.mark.parametrize("head", [AttentionHead(4, [2]), RecurrentHead(4, [2])])
def test_gradients_reach_every_window_and_weight(head: SequenceHead) -> None:
    random = torch.Generator().manual_seed(0)  # no units are all 0, through which nothing comes
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.uniform_(-1, 1, generator=random)
    vectors = torch.rand(2, 3, 4, generator=random).requires_grad_()
    head.scores(head.pool(vectors, torch.tensor([3, 2])))[0].square().sum().backward()
    assert vectors.grad is not None
    assert (vectors.grad[0] != 0).all()
    assert (vectors.grad[1, 2] == 0).all()  # padding
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
