"""What a network computes of an image does not depend on what is computed beside it."""

import numpy as np
import pytest
import torch

from embedding import EncoderConfig, SongEncoder
from embedding.encoders.fine_tuning.config import HeadConfig
from embedding.encoders.fine_tuning.heads import HeadNetwork, run_heads
from embedding.encoders.songs import embed_recordings
from embedding.network.inference import in_blocks

ODD = "IC(3,5,9)PC(1,3,17)PF(31)O"
"""Sizes that fill no vector register, so that compiled kernels differ by the number of rows."""


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((21, 1, 24, 40)).astype(np.float32)


@pytest.mark.parametrize("settings", [{}, {"window": 16}, {"window": 16, "sequence": "attention"}])
def test_an_image_has_the_same_vector_whatever_is_beside_it(images, settings):
    config = EncoderConfig(architecture=ODD, epochs=1, threads=1, **settings)
    encoder = SongEncoder(config).fit(images, ["a", "b", "c"] * 7)
    recording = np.repeat(np.arange(7), 3)
    whole, tags = embed_recordings(encoder, images, recording, 7)
    for n in (1, 2, 5):
        for first in range(0, 7, n):
            rows = np.flatnonzero((recording >= first) & (recording < first + n))
            found, own = embed_recordings(encoder, images[rows], recording[rows] - first,
                                          len(set(recording[rows])))  # fmt: skip
            assert np.array_equal(found, whole[first : first + n])
            assert np.array_equal(own["genre"], tags["genre"][first : first + n])


def test_heads_give_a_vector_the_same_whatever_is_beside_it():
    vectors = np.random.default_rng(4).standard_normal((19, 37)).astype(np.float32)
    network = HeadNetwork(37, [3, 5], 7, HeadConfig()).eval()
    whole = run_heads(network, vectors, 1)
    for row in range(19):
        embedding, scores, taste = run_heads(network, vectors[row : row + 1], 1)
        assert np.array_equal(embedding[0], whole[0][row])
        assert np.array_equal(taste[0], whole[2][row])
        assert all(np.array_equal(a[0], b[row]) for a, b in zip(scores, whole[1], strict=True))


def test_no_rows_are_no_rows():
    layer = torch.nn.Linear(4, 2)
    assert in_blocks(layer, torch.empty(0, 4)).shape == (0, 2)
