"""Saved encoders of every kind, and which kinds there are."""

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from datasets.errors import ArtifactError
from datasets.tables.values import format_value
from embedding.encoders.protocol import Encoder
from embedding.network.storage import Weights, read_encoder

ENCODER_KINDS: dict[str, str] = {
    "network": "embedding.encoders.song_encoder:SongEncoder",
    "musicnn": "embedding.encoders.musicnn.encoder:MusiCNN",
    "statistics": "embedding.encoders.sound_statistics:SoundStatistics",
    "fine-tuned": "embedding.encoders.fine_tuned:FineTunedEncoder",
}
"""Module and class of each kind, by what a manifest says under "method"; the manifest of a network
says nothing. A class is imported when one of its kind is opened."""


class _SavedKind(Protocol):
    """A class of encoders that can be saved."""

    def restore(self, folder: Path, document: dict[str, Any], weights: Weights) -> Encoder:
        """Build an encoder from what `embedding.network.storage.read_encoder` returned.

        Raises:
            ArtifactError: it does not describe such an encoder.
            EncoderUnavailableError: what it needs is not on this machine.
        """
        ...


def load_encoder(folder: Path | str) -> Encoder:
    """Load an encoder of any kind from the folder that it was saved to.

    Args:
        folder: where its ``save`` wrote it.

    Raises:
        ArtifactError: a file is missing or changed, or the format is newer than this library.
        EncoderUnavailableError: the encoder needs what is not on this machine.

    Examples:
        >>> from embedding.encoders import load_encoder
        >>> encoder.save(folder / "encoder")
        >>> type(load_encoder(folder / "encoder")).__name__
        'SongEncoder'
    """
    folder = Path(folder)
    document, weights = read_encoder(folder)
    kind = document.get("method", "network")
    if not isinstance(kind, str) or kind not in ENCODER_KINDS:
        raise ArtifactError(
            f"{folder}: holds an encoder of the kind {format_value(kind)}, which this version of "
            "coldtune does not know"
        )
    module, _, name = ENCODER_KINDS[kind].partition(":")
    cls: _SavedKind = getattr(import_module(module), name)
    return cls.restore(folder, document, weights)
