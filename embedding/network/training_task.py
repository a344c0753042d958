"""What decides a training: images, targets, settings, and what to go on from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from datasets.arrays import Float32Array, IntArray
from embedding.network import checkpoints
from embedding.network.augmentation import windows
from embedding.network.checkpoints import Knowledge
from embedding.network.config import EncoderConfig
from embedding.network.layers import SongNetwork, initialise
from embedding.network.notation import parse
from embedding.network.targets import Target


@dataclass(frozen=True, eq=False)
class Training:
    """Everything that decides a training."""

    images: Float32Array
    """float32 [n, channels, height, width]."""

    targets: Sequence[Target]
    """One a tag."""

    config: EncoderConfig

    validation: IntArray
    """Positions of the images held out to choose the epoch; may be empty, then the last epoch is
    taken."""

    before: Knowledge | None = None
    """What to go on from; None: random weights."""

    def fingerprint(self) -> str:
        """Hex SHA-256 of all of this."""
        return checkpoints.fingerprint(
            self.images, self.targets, self.validation, self.config, self.before
        )

    def network(self) -> SongNetwork:
        """The network before the first step."""
        width, _ = windows(self.images, self.config.window)
        shape = (*self.images.shape[1:3], width)
        network = SongNetwork(
            parse(self.config.architecture),
            shape,
            [len(t.classes) for t in self.targets],
            self.config.standardise,
        )
        if self.before is None:
            initialise(network, self.config.seed)
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
