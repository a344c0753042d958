"""A content map that is no straight line: a network with one hidden layer."""

from collections.abc import Sequence

import numpy as np

from datasets.arrays import Float64Array
from recsys.content.regression import EmbeddingMap, mean

HIDDEN = 64
"""Units of the hidden layer."""

LEARNING_RATE = 0.01
WEIGHT_DECAY = 1e-3


def train(
    E: Float64Array, Y: Float64Array, w: Float64Array, steps: Sequence[int]
) -> list[EmbeddingMap]:
    """The network after each number of ``steps`` (rising) of Adam over all items at once.

    E [n, e], Y [n, d], w [n] the items' weights. One fixed seed: the same data, the same network.
    """
    import torch

    center, level = mean(E, w), mean(Y, w)
    total = max(float(w.sum()), np.finfo(np.float64).tiny)
    scales = [
        float(np.sqrt((w @ (table - middle) ** 2).sum() / (total * max(table.shape[1], 1))))
        for table, middle in ((E, center), (Y, level))
    ]
    # What varies less than this beside its size is the rounding of the mean.
    size = float(np.sqrt((w @ E**2).sum() / (total * max(E.shape[1], 1))))
    spread = scales[0] if scales[0] > 1e-5 * size else np.inf
    X = torch.tensor((E - center) / spread, dtype=torch.float32)
    Z = torch.tensor((Y - level) / max(scales[1], 1e-30), dtype=torch.float32)
    weights = torch.tensor(w[:, None] / total, dtype=torch.float32)

    random = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(E.shape[1], HIDDEN, generator=random) * np.sqrt(2 / max(E.shape[1], 1)),
        torch.zeros(HIDDEN),
        torch.zeros(HIDDEN, Y.shape[1]),
        torch.zeros(Y.shape[1]),
    ]
    for part in parts:
        part.requires_grad_()
    optimizer = torch.optim.AdamW(parts, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    maps = []
    for step in range(1, max(steps) + 1):
        predicted = torch.relu(X @ parts[0] + parts[1]) @ parts[2] + parts[3]
        loss = (weights * (predicted - Z) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in steps:
            hidden, bias, out, offset = (part.detach().double().numpy().copy() for part in parts)
            maps.append(
                EmbeddingMap(
                    level + scales[1] * offset,
                    np.zeros((E.shape[1], Y.shape[1])),
                    hidden / spread,
                    bias - center @ hidden / spread,
                    scales[1] * out,
                )
            )
    return maps
