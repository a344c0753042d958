"""CallableEncoder: a function of one's own as an encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from datasets.arrays import Float32Array
from datasets.errors import EncoderError, EncoderUnavailableError, InvalidArgumentError
from datasets.tables.values import format_value
from datasets.texts.safe_text import printable
from embedding.audio.config import SnippetConfig
from embedding.encoders.own.waveform import (
    Outputs,
    WaveformEncoder,
    restored_settings,
    tag_values,
    window_front_end,
)
from embedding.network.storage import Weights

Function = Callable[[Float32Array], Any]


class CallableEncoder(WaveformEncoder):
    """Embeds recordings by a function from windows of samples to vectors.

    A model that is saved knows the function by its name alone: whoever loads it passes the encoder
    again, `Recommender.load(folder, encoder=...)`, and without it the model still knows its songs.

    Args:
        function: maps float32 [n, samples], mono at ``sample_rate`` in -1 .. 1 ([n, 2, samples] in
            stereo), to numbers [n, dimension], or [n, time, dimension], of which the mean over time
            is taken. With ``tags`` it returns a pair: these, and a dict from each tag to its
            probabilities [n, values]. It is called in this process, and from one thread at a time.
        sample_rate: Hz; recordings are resampled to it.
        window: seconds of a window. Shorter recordings are repeated.
        channels: 1 for mono, 2 for stereo.
        snippet: which parts of a recording are cut into windows; by default three windows, evenly
            spaced. A recording's embedding is the mean over its windows.
        tags: values of each tag that the function tells, {tag: values}.
        name: what the function is called in messages and models; by default its own name.
        version: anything that changes when the function does. With it embeddings are kept in the
            cache folder, by name and version; without, for as long as this object is used.
        batch: windows given to the function at once.

    Examples:
        >>> from embedding.encoders import CallableEncoder
        >>> def loudness(windows):
        ...     return np.stack([windows.std(axis=1), abs(windows).max(axis=1)], axis=1)
        >>> encoder = CallableEncoder(loudness, sample_rate=16000, window=1.0)
        >>> encoder.embed(np.ones((5, 16000), dtype=np.float32)).shape
        (5, 2)
        >>> encoder
        <CallableEncoder 'loudness': windows of 1 s at 16,000 Hz>
    """

    kind = "function"

    def __init__(
        self,
        function: Function,
        *,
        sample_rate: int,
        window: float,
        channels: int = 1,
        snippet: SnippetConfig | None = None,
        tags: Mapping[str, Sequence[str]] | None = None,
        name: str = "",
        version: str = "",
        batch: int = 16,
    ) -> None:
        if not callable(function):
            raise InvalidArgumentError(f"function must be callable, not {format_value(function)}")
        front_end = window_front_end(sample_rate, window, channels, snippet)
        super().__init__(front_end, batch, tag_values(tags))
        self._function: Function | None = function
        own = getattr(function, "__qualname__", type(function).__name__)
        self.name = str(name or own)
        self.version = str(version)
        self.known: dict[str, Float32Array] = {}
        """What `embed_files` made of recordings, by the digest of their content."""

    def __repr__(self) -> str:
        heard = self._front_end
        return (
            f"<CallableEncoder {self.name!r}: windows of {heard.window:g} s at "
            f"{heard.sample_rate:,} Hz>"
        )

    @property
    def method(self) -> str:
        """The function by its name."""
        return f"the function {printable(self.name)}"

    @classmethod
    def restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        """Build it from its manifest, without the function; see `embedding.encoders.loading`.

        Raises:
            ArtifactError: it does not describe such an encoder.
        """
        encoder = cls.__new__(cls)
        WaveformEncoder.__init__(encoder, *restored_settings(folder, document))
        encoder._function, encoder.known = None, {}
        encoder.name = str(document.get("name"))
        encoder.version = str(document.get("version"))
        encoder._take_probe(folder, weights)
        return encoder

    def digest(self) -> str:
        """Return the hex SHA-256 of settings, name, and what the function makes of noise."""
        self.dimension  # noqa: B018  # tried, if it was not yet
        assert self._probe is not None
        return hashlib.sha256(super().digest().encode() + self._probe.tobytes()).hexdigest()

    def _open(self) -> None:
        if self._function is None:
            heard = self._front_end
            raise EncoderUnavailableError(
                f"recordings were embedded by the Python function {self.name!r}, which a saved "
                "model cannot hold: Recommender.load(folder, encoder=CallableEncoder("
                f"{self.name}, sample_rate={heard.sample_rate}, window={heard.window:g}))"
            )

    def _run(self, windows: Float32Array) -> Outputs:
        assert self._function is not None
        found = self._function(windows)
        if not self._heads:
            if isinstance(found, tuple):
                raise EncoderError(
                    f"{self.method}: returned a tuple, and not an array; a second part, the "
                    "probabilities of tags, needs tags={tag: values}"
                )
            return Outputs(found, {})
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Mapping)):
            raise EncoderError(
                f"{self.method}: returned {type(found).__name__}; with tags it must return a pair, "
                "embeddings and {tag: probabilities}"
            )
        return Outputs(found[0], dict(found[1]))

    def _identity(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version}
