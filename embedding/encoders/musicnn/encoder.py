"""MusiCNN: a network pretrained on the Million Song Dataset, as an encoder of recordings."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from datasets.arguments import check_finite_rows
from datasets.arrays import Float32Array
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.texts.suggestions import did_you_mean
from embedding.audio.config import SnippetConfig
from embedding.encoders.musicnn.front_end import DEFAULT_SNIPPET, MusiCNNFrontEnd
from embedding.encoders.musicnn.weights import COMMAND, WEIGHTS_DIGEST, load_weights
from embedding.network.storage import Weights, describing_encoder, encoder_digest, save_encoder
from embedding.parallel import available_cores

if TYPE_CHECKING:
    from torch import Tensor

    from embedding.encoders.musicnn.network import MusiCNNNetwork

_METHOD = "musicnn"
"""What the manifest of a saved one says under "method"."""

MusiCNNLayer = Literal["penultimate", "mean_pool", "max_pool", "tags"]

DIMENSIONS: Mapping[MusiCNNLayer, int] = {
    "penultimate": 200,
    "mean_pool": 753,
    "max_pool": 753,
    "tags": 50,
}
"""Length of the embedding of each layer."""

MUSICNN_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock",
    "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental",
    "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental",
    "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop",
    "sad", "House", "happy",
)  # fmt: skip
"""Tags of Last.fm's listeners that it tells, in the order of its outputs."""


class MusiCNN:
    """Network of Pons and Serra 2019, pretrained on the tags of 200,000 songs.

    The songs and the tags are those of the Million Song Dataset and of Last.fm's listeners. The
    weights are fetched once, by ``coldtune encoder get musicnn`` or `get_musicnn`, and not copied
    into saved models: those name it, and can be opened without it. They are loaded for the first
    recording.

    Args:
        layer: what the embedding is: ``penultimate``, the 200 values that the tags are computed
            from; ``mean_pool`` or ``max_pool``, means or maxima over time of all its 753 features;
            ``tags``, the 50 probabilities.
        snippet: which parts of a recording are heard.

    Examples:
        >>> from embedding.encoders import MusiCNN
        >>> encoder = MusiCNN()
        >>> encoder.dimension, encoder.front_end.input_shape
        (200, (187, 96))
        >>> encoder.heads_["tags"][:3].tolist()
        ['rock', 'pop', 'alternative']
        >>> encoder.embed(np.zeros((1, 187, 96), np.float32))  # here, where it was not fetched
        Traceback (most recent call last):
        datasets.errors.EncoderUnavailableError: the encoder MusiCNN is not on this machine; ...
    """

    def __init__(
        self, layer: MusiCNNLayer = "penultimate", *, snippet: SnippetConfig = DEFAULT_SNIPPET
    ) -> None:
        if layer not in DIMENSIONS:
            hint = did_you_mean(str(layer), DIMENSIONS)
            raise InvalidArgumentError(
                f"layer must be one of {', '.join(get_args(MusiCNNLayer))}, not {layer!r}{hint}"
            )
        self.layer = layer
        self.front_end = MusiCNNFrontEnd(snippet=snippet)
        self._network: MusiCNNNetwork | None = None

    def __repr__(self) -> str:
        return f"<MusiCNN: {self.layer}, {self.dimension} dimensions>"

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return DIMENSIONS[self.layer]

    @property
    def heads_(self) -> dict[str, NDArray[np.str_]]:
        """The 50 values of ``tags``; a song has any number of them, each with its probability."""
        return {"tags": np.array(MUSICNN_TAGS)}

    def embed(self, patches: Float32Array) -> Float32Array:
        """Compute the embeddings of patches.

        Args:
            patches: float32 [n, 187, 96], of ``front_end``.

        Returns:
            float32 [n, dimension].

        Raises:
            EncoderUnavailableError: the weights were not fetched.
            ArtifactError: they are damaged.
            InvalidArgumentError: wrong shape, or NaN or infinite values (the message names the
                row).
        """
        return self.features(patches)[self.layer]

    def embed_and_predict(
        self, inputs: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute `embed` and the probabilities of the tags in a single pass.

        Args:
            inputs: patches, as in `embed`.

        Returns:
            Embeddings, float32 [n, dimension], and ``{"tags": float32 [n, 50]}``; each is between 0
            and 1, and they do not sum to 1.

        Raises:
            EncoderUnavailableError, ArtifactError, InvalidArgumentError: as `embed`.
        """
        found = self.features(inputs)
        return found[self.layer], {"tags": found["tags"]}

    def features(self, patches: Float32Array) -> dict[str, Float32Array]:
        """Compute all layers of patches.

        Patches are computed one by one, each on one thread and several at a time: so the features
        of a patch do not depend on the others, to the bit.

        Args:
            patches: as in `embed`.

        Returns:
            float32 [n, dimension] of each layer.

        Raises:
            EncoderUnavailableError, ArtifactError, InvalidArgumentError: as `embed`.
        """
        import torch

        from embedding.encoders.musicnn.network import as_arrays
        from embedding.network.devices import limited_threads

        self._check(patches)
        network = self.torch_module()
        # PyTorch ignores the CPU quota of a container.
        n_threads = min(torch.get_num_threads(), available_cores(), len(patches))

        def features(patch: Float32Array) -> dict[str, Float32Array]:
            with torch.inference_mode():
                return as_arrays(network(torch.from_numpy(np.array(patch[None], np.float32))))

        with limited_threads(1):
            if n_threads > 1:
                with ThreadPoolExecutor(n_threads) as threads:
                    parts = list(threads.map(features, patches))
            else:
                parts = [features(patch) for patch in patches]
        return {
            layer: np.concatenate([part[layer] for part in parts])
            if parts
            else np.empty((0, size), np.float32)
            for layer, size in DIMENSIONS.items()
        }

    def torch_module(self) -> MusiCNNNetwork:
        """Return the PyTorch network, on the CPU and in evaluation mode.

        Raises:
            EncoderUnavailableError: the weights were not fetched.
            ArtifactError: they are damaged.
        """
        if self._network is None:
            weights = load_weights()
            from embedding.encoders.musicnn.network import MusiCNNNetwork

            self._network = MusiCNNNetwork(weights)
        return self._network

    def embed_tensor(self, patches: Tensor) -> Tensor:
        """Compute embeddings with gradients, on the device that the network is on.

        Args:
            patches: [n, 187, 96].

        Raises:
            EncoderUnavailableError: the weights were not fetched.
            ArtifactError: they are damaged.
        """
        heard = self.torch_module()(patches)
        if self.layer == "tags":
            return heard.logits.sigmoid()
        return getattr(heard, self.layer)

    def digest(self) -> str:
        """Return the hex SHA-256 of settings and weights."""
        return encoder_digest(self._document(), {})

    def summary(self) -> dict[str, Any]:
        """Return method, layer and digest, for people."""
        return {"method": _METHOD, "layer": self.layer, "digest": self.digest()}

    def save(self, folder: Path | str) -> None:
        """Save to a folder which encoder it is, atomically replacing one that is there.

        Its weights are not saved with it; see `get_musicnn`.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        save_encoder(Path(folder), self._document(), {})

    @classmethod
    def restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        """Make an encoder again from what `save` wrote, without its weights.

        Args:
            folder: where it was, for messages.
            document: the manifest.
            weights: none.

        Raises:
            ArtifactError: it does not describe such an encoder, or one of other weights.
        """
        with describing_encoder(folder):
            encoder = cls(document["layer"], snippet=SnippetConfig.from_json(document["snippet"]))
            other = document["pretrained"] != WEIGHTS_DIGEST
        if other:
            raise ArtifactError(f"{folder}: was made with other weights than those of {COMMAND}")
        return encoder

    def _document(self) -> dict[str, Any]:
        return {
            "method": _METHOD,
            "layer": self.layer,
            "snippet": self.front_end.snippet.model_dump(mode="json"),
            "pretrained": WEIGHTS_DIGEST,
        }

    def _check(self, patches: Float32Array) -> None:
        shape = self.front_end.input_shape
        if not isinstance(patches, np.ndarray) or patches.shape[1:] != shape or patches.ndim != 3:
            found = getattr(patches, "shape", type(patches).__name__)
            raise InvalidArgumentError(f"patches must be an array [n, 187, 96]; got {found}")
        check_finite_rows("patches", patches)
