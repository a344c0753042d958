"""Saved encoders of every kind, and which kinds and names there are."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.tables.values import format_value
from datasets.texts.suggestions import did_you_mean
from embedding.encoders.own.waveform import WaveformEncoder
from embedding.encoders.protocol import Encoder
from embedding.network.storage import Weights, read_encoder

ENCODER_KINDS: dict[str, str] = {
    "network": "embedding.encoders.song_encoder:SongEncoder",
    "musicnn": "embedding.encoders.musicnn.encoder:MusiCNN",
    "statistics": "embedding.encoders.sound_statistics:SoundStatistics",
    "fine-tuned": "embedding.encoders.fine_tuning.encoder:FineTunedEncoder",
    "function": "embedding.encoders.own.callable:CallableEncoder",
    "onnx": "embedding.encoders.own.onnx:OnnxEncoder",
}
"""Module and class of each kind, by what a manifest says under "method"; the manifest of a network
says nothing. A class is imported when one of its kind is opened."""

ENCODER_NAMES: dict[str, str] = {
    "musicnn": "embedding.encoders.musicnn.encoder:MusiCNN",
}
"""Encoders that are known by name: the module, and what makes one there without arguments."""


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
    cls: _SavedKind = _imported(ENCODER_KINDS[kind])
    return cls.restore(folder, document, weights)


def named_encoder(name: str) -> Encoder:
    """Return an encoder that is known by name.

    Args:
        name: one of `ENCODER_NAMES`.

    Raises:
        InvalidArgumentError: there is none of this name.
        EncoderUnavailableError: it is not on this machine; the message says how to get it.

    Examples:
        >>> named_encoder("telepathy")
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: there is no encoder 'telepathy'...
    """
    if name not in ENCODER_NAMES:
        known = f"; there are {', '.join(ENCODER_NAMES)}" if ENCODER_NAMES else ""
        raise InvalidArgumentError(
            f"there is no encoder {format_value(name)}{did_you_mean(name, ENCODER_NAMES)}{known}"
        )
    make: Callable[[], Encoder] = _imported(ENCODER_NAMES[name])
    return make()


def check_available(encoder: Encoder) -> None:
    """Check that an encoder can be used here, before anything is decoded for it.

    Raises:
        EncoderUnavailableError: it cannot; the message says how to get it.
        EncoderError: it is one of one's own, and cannot work.
    """
    encoder.embed_and_predict(np.empty((0, *encoder.front_end.input_shape), np.float32))


def check_same_encoder(given: Encoder, saved: Encoder | None) -> None:
    """Check that an encoder can take the place of the one that a model was made with.

    Args:
        given: what is on this machine.
        saved: that of the model; None for a model without one.

    Raises:
        InvalidArgumentError: it is another one.
        EncoderUnavailableError, EncoderError: it cannot work.
    """
    if saved is None:
        raise InvalidArgumentError(
            "encoder: this model was made without recordings, and has no use for one"
        )
    if given.digest() == saved.digest():
        return
    reason = "it is another one"
    if isinstance(given, WaveformEncoder) and isinstance(saved, WaveformEncoder):
        reason = given.stands_for(saved)
    if reason:
        method = saved.summary().get("method", "a network trained here")
        raise InvalidArgumentError(
            f"encoder: {given!r} cannot stand for {method}, by which this model's recordings were "
            f"embedded: {reason}"
        )


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
