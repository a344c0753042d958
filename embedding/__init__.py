"""From recordings to embeddings: snippet, hyper-image, convolutional network."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedding.audio.config import SnippetConfig
    from embedding.encoder import SongEncoder
    from embedding.hyperimage.config import HyperImageConfig
    from embedding.network.config import AugmentationConfig, EncoderConfig

__all__ = [
    "AugmentationConfig",
    "EncoderConfig",
    "HyperImageConfig",
    "SnippetConfig",
    "SongEncoder",
]

_MODULES = {
    "AugmentationConfig": "embedding.network.config",
    "EncoderConfig": "embedding.network.config",
    "HyperImageConfig": "embedding.network.config",
    "SnippetConfig": "embedding.network.config",
    "SongEncoder": "embedding.encoder",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use (PEP 562), so that importing the package costs next to nothing.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
