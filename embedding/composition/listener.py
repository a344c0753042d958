"""An encoder as a differentiable function of hyper-images."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from embedding.encoder import SongEncoder
from embedding.network.augmentation import windows


class Listener:
    """What an encoder makes of hyper-images, with gradients with respect to them.

    The same as :meth:`SongEncoder.predict_proba` for the encoder's first tag, and as
    :meth:`SongEncoder.embed`: of an image wider than the network's window, the mean over windows.

    Raises NotFittedError for an encoder that is not trained.
    """

    def __init__(self, encoder: SongEncoder) -> None:
        self._network = encoder.torch_module()
        self._several_at_once = encoder.config.loss == "binary_cross_entropy"
        assert encoder.image_shape_ is not None
        self._window = encoder.image_shape_[2]

    def log_probabilities(self, images: Tensor) -> Tensor:
        """[n, channels, height, width] to logarithms of probabilities [n, classes]."""
        scores = self._network(self._parts(images))
        logs = logsigmoid(scores) if self._several_at_once else scores.log_softmax(dim=1)
        by_window = logs.reshape(-1, len(images), logs.shape[1])
        mean: Tensor = by_window.logsumexp(dim=0) - math.log(len(by_window))
        return mean

    def embeddings(self, images: Tensor) -> Tensor:
        """[n, channels, height, width] to embeddings [n, dimension]."""
        embeddings = self._network.embed(self._parts(images))
        return embeddings.reshape(-1, len(images), embeddings.shape[1]).mean(dim=0)

    def random_window(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Of images wider than the network's window, the same random window of each."""
        room = images.shape[-1] - self._window
        if room <= 0:
            return images
        start = int(torch.randint(room + 1, (1,), generator=random))
        return images[..., start : start + self._window]

    def _parts(self, images: Tensor) -> Tensor:
        """The windows of the images, one after the other: [windows * n, ...]."""
        width, starts = windows(images.detach().numpy(), self._window)
        return torch.cat([images[..., start : start + width] for start in starts])
