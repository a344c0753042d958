"""What training makes small, and the probabilities that belong to it."""

from typing import Literal

import torch
from torch import Tensor, nn

Loss = Literal["cross_entropy", "half_squared", "binary_cross_entropy"]


def losses(kind: Loss, scores: Tensor, wanted: Tensor, smoothing: float = 0.0) -> Tensor:
    """The loss of each image: [n].

    Args:
        kind: ``cross_entropy`` of the softmax (US 2018/0276540 A1, paragraph 58); ``half_squared``:
            half the sum of squared errors of the softmax (paragraph 74); ``binary_cross_entropy``:
            the sum over the classes, each on its own.
        scores: logits [n, classes].
        wanted: 0 .. 1, [n, classes].
        smoothing: share of ``wanted`` that is spread evenly over what each class could be.
    """
    if kind == "binary_cross_entropy":
        soft = wanted * (1 - smoothing) + smoothing / 2
        each = nn.functional.binary_cross_entropy_with_logits(scores, soft, reduction="none")
        return each.sum(dim=1)
    soft = wanted * (1 - smoothing) + smoothing / wanted.shape[1]
    if kind == "half_squared":
        return 0.5 * (scores.softmax(dim=1) - soft).square().sum(dim=1)
    return -(soft * scores.log_softmax(dim=1)).sum(dim=1)


def probabilities(kind: Loss, scores: Tensor) -> Tensor:
    """Logits [n, classes] to probabilities; they sum to 1 unless several classes may be right."""
    return torch.sigmoid(scores) if kind == "binary_cross_entropy" else scores.softmax(dim=1)
