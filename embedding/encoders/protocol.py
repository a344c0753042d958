"""The protocol of encoders: recording to embedding and, where it has them, tag probabilities."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array
from embedding.audio.front_end import FrontEnd

if TYPE_CHECKING:
    from torch import Tensor, nn


class Encoder(Protocol):
    """What embeds recordings: a network trained here or elsewhere, or statistics of sound.

    Decoding processes make its inputs by ``front_end.inputs``; the encoder itself runs in the
    process that asked. A recording's embedding is the mean over its inputs, unless the
    encoder reads them as a sequence (`embedding.encoders.songs`). `load_encoder` opens
    saved encoders of every kind.

    Examples:
        >>> from embedding.encoders import Encoder, SoundStatistics
        >>> encoder: Encoder = SoundStatistics().fit(images)
        >>> vectors, probabilities = encoder.embed_and_predict(images)
        >>> vectors.shape, probabilities, encoder.heads_
        ((24, 108), {}, {})
        >>> encoder.front_end.sample_rate
        22050
    """

    @property
    def front_end(self) -> FrontEnd:
        """What is made of a recording: the inputs of this encoder."""
        ...

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def heads_(self) -> Mapping[str, NDArray[np.str_]]:
        """Values of each tag, in the order of the columns of its probabilities; {} without tags."""
        ...

    def embed_and_predict(
        self, inputs: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute embeddings and, for each tag, probabilities of its values.

        Args:
            inputs: float32 [n, *front_end.input_shape]; n may be 0.

        Returns:
            float32 [n, dimension] and, for each tag of ``heads_``, float32 [n, values].

        Raises:
            EncoderUnavailableError: the encoder, or a part of it, is not on this machine; for no
                inputs as well, so that this can be known before anything is decoded.
        """
        ...

    def digest(self) -> str:
        """Return the hex SHA-256 of all that embeddings depend on: equal ones hear alike."""
        ...

    def save(self, folder: Path | str) -> None:
        """Save to a folder, atomically replacing an encoder that is there.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        ...

    def summary(self) -> dict[str, Any]:
        """Return JSON values for people: at least ``digest``; kinds other than networks ``method``.

        `Recommender.info` shows them under ``encoder``.
        """
        ...


class ThawableEncoder(Encoder, Protocol):
    """An encoder that is a PyTorch network, whose weights can be trained further."""

    def torch_module(self) -> "nn.Module":
        """Return the network, on the CPU and in evaluation mode; its weights are the encoder's."""
        ...

    def embed_tensor(self, inputs: "Tensor") -> "Tensor":
        """Compute embeddings [n, dimension] of inputs [n, *front_end.input_shape], with gradients.

        On the device that the network is on.
        """
        ...
