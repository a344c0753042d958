"""Losses of two images with two classes, worked out by hand: logits ln 3 and 0 are 3/4 and 1/4."""

import math

import pytest
import torch

from embedding.network.optimisation import losses, probabilities

SCORES = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
WANTED = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("kind", "smoothing", "expected"),
    [
        ("cross_entropy", 0.0, [math.log(4 / 3), math.log(2)]),
        # A fifth spread over two classes: .9 and .1.
        ("cross_entropy", 0.2, [0.9 * math.log(4 / 3) + 0.1 * math.log(4), math.log(2)]),
        # Half of 1/16 + 1/16, half of 1/4 + 1/4 (paragraph 74).
        ("half_squared", 0.0, [1 / 16, 1 / 4]),
        # -ln 3/4 - ln 1/2; -ln 1/2 twice.
        ("binary_cross_entropy", 0.0, [math.log(4 / 3) + math.log(2), 2 * math.log(2)]),
    ],
)
def test_values(kind, smoothing: float, expected: list[float]) -> None:
    assert losses(kind, SCORES, WANTED, smoothing).tolist() == pytest.approx(expected)


def test_probabilities() -> None:
    assert probabilities("half_squared", SCORES)[0].tolist() == pytest.approx([0.75, 0.25])
    assert probabilities("binary_cross_entropy", SCORES)[0].tolist() == pytest.approx([0.75, 0.5])
