"""What encoders of one's own have in common: they are fed windows of samples."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.arguments import check_whole
from datasets.arrays import Float32Array
from datasets.errors import (
    ArtifactError,
    ColdtuneError,
    DataWarning,
    EncoderError,
    InvalidArgumentError,
)
from datasets.tables.values import format_value
from embedding.audio.config import SnippetConfig
from embedding.audio.front_end import WaveformFrontEnd
from embedding.network.storage import (
    Weights,
    describing_encoder,
    encoder_digest,
    save_encoder,
)

WINDOWS_HEARD = 3
"""Windows of a recording that are heard by default, evenly spaced."""

_PROBE_LOUDNESS = 0.1
_LIKE_BEFORE = 1e-3
"""Largest relative difference of what one encoder makes of the same sound on two machines."""

_LIKE_BEFORE_ALONE = 0.02
"""The same for windows in other company: half precision and whole numbers round by it."""

_RANGE = 1e-3
"""By so much probabilities may leave 0 to 1, for rounding."""


def window_front_end(
    sample_rate: int, window: float, channels: int, snippet: SnippetConfig | None
) -> WaveformFrontEnd:
    """Return the front end of an encoder of one's own.

    Args:
        sample_rate: Hz.
        window: seconds.
        channels: 1 or 2.
        snippet: which parts of a recording are cut into windows; None: three windows.

    Raises:
        InvalidArgumentError: a value that is none of these.
    """
    first = WaveformFrontEnd(sample_rate=sample_rate, window=window, channels=channels)
    if snippet is None:
        snippet = SnippetConfig(seconds=max(first.window, 0.05), count=WINDOWS_HEARD)
    if not isinstance(snippet, SnippetConfig):
        raise InvalidArgumentError(f"snippet must be a SnippetConfig, not {type(snippet).__name__}")
    return first.replace(snippet=snippet)


def tag_values(tags: Mapping[str, Sequence[str]] | None) -> dict[str, NDArray[np.str_]]:
    """Return the values of each tag that an encoder tells, checked.

    Raises:
        InvalidArgumentError: a tag without values, or with one twice.
    """
    heads = {}
    for tag, given in ({} if tags is None else dict(tags)).items():
        values = [given] if isinstance(given, str) else [str(value) for value in given]
        if not tag or not values or len(set(values)) < len(values) or isinstance(given, str):
            raise InvalidArgumentError(
                f"tags: {tag!r} must have a list of different values, not {format_value(given)}"
            )
        heads[str(tag)] = np.array(values, dtype=np.str_)
    return heads


class Outputs(NamedTuple):
    """What an encoder of one's own makes of n windows."""

    embeddings: Float32Array
    """float32 [n, dimension]."""

    probabilities: dict[str, Float32Array]
    """Of each tag, float32 [n, values]."""


class WaveformEncoder(ABC):
    """Base of encoders that are given windows of samples; an `embedding.encoders.Encoder`.

    The first use tries the encoder on noise, so that one that cannot work says so before thousands
    of recordings are decoded, and so that its results are known again later.

    Args:
        front_end: sample rate, window, and which parts of a recording are heard.
        batch: windows that are given to it at once.
        heads: values of each tag whose probabilities it tells.
    """

    def __init__(
        self, front_end: WaveformFrontEnd, batch: int, heads: Mapping[str, NDArray[np.str_]]
    ) -> None:
        check_whole("batch", batch)
        self._front_end = front_end
        self.batch = int(batch)
        self._heads = dict(heads)
        self._probe: Float32Array | None = None
        """What it makes of noise, [2, dimension]; None before its first use."""

    kind: ClassVar[str]
    """Its key in `embedding.encoders.loading.ENCODER_KINDS`."""

    # ------------------------------------------------------------------ what kinds implement

    @property
    @abstractmethod
    def method(self) -> str:
        """What it is, for people, as in "the ONNX file clap.onnx"."""

    @abstractmethod
    def _open(self) -> None:
        """Make ready to run; called before every use.

        Raises:
            EncoderUnavailableError: what it needs is not on this machine.
        """

    @abstractmethod
    def _run(self, windows: Float32Array) -> Outputs:
        """Compute raw outputs of up to ``batch`` windows; they are checked by the caller."""

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """Return JSON values of all that embeddings depend on beside the front end."""

    # ------------------------------------------------------------------ the protocol

    @property
    def front_end(self) -> WaveformFrontEnd:
        """What is made of a recording: windows of samples."""
        return self._front_end

    @property
    def heads_(self) -> dict[str, NDArray[np.str_]]:
        """Values of each tag; {} for an encoder without tags."""
        return self._heads

    @property
    def dimension(self) -> int:
        """Length of an embedding; the first time the encoder is tried on noise.

        Raises:
            EncoderUnavailableError: what it needs is not on this machine.
            EncoderError: it cannot work.
        """
        if self._probe is None:
            self._open()
            self._try()
        assert self._probe is not None
        return int(self._probe.shape[1])

    def embed(self, inputs: Float32Array) -> Float32Array:
        """Compute the embeddings of windows, as `embed_and_predict` does."""
        return self.embed_and_predict(inputs)[0]

    def embed_and_predict(
        self, inputs: Float32Array
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute the embeddings of windows and, where it tells tags, their probabilities.

        Args:
            inputs: float32 [n, samples], or [n, 2, samples] in stereo, as `front_end` makes them.

        Returns:
            float32 [n, dimension]; of each tag, float32 [n, values]. A window that the encoder has
            no finite numbers for has a row of NaN.

        Raises:
            EncoderUnavailableError: what it needs is not on this machine.
            EncoderError: it raises an error, or what it returns is no embedding.
            InvalidArgumentError: `inputs` are of another shape.
        """
        self._open()
        shape = self._front_end.input_shape
        if not isinstance(inputs, np.ndarray) or inputs.shape[1:] != shape:
            found = getattr(inputs, "shape", type(inputs).__name__)
            raise InvalidArgumentError(
                f"inputs must be windows of samples, an array [n, {', '.join(map(str, shape))}]; "
                f"got {found}"
            )
        embeddings = np.empty((len(inputs), self.dimension), np.float32)
        probabilities = {
            tag: np.empty((len(inputs), len(values)), np.float32)
            for tag, values in self._heads.items()
        }
        for start in range(0, len(inputs), self.batch):
            part = slice(start, start + self.batch)
            found = self._checked(np.ascontiguousarray(inputs[part], dtype=np.float32))
            together = np.concatenate([found.embeddings, *found.probabilities.values()], axis=1)
            wild = ~np.isfinite(together).all(axis=1)
            embeddings[part] = np.where(wild[:, None], np.nan, found.embeddings)
            for tag, values in found.probabilities.items():
                probabilities[tag][part] = values
        return embeddings, probabilities

    def digest(self) -> str:
        """Return the hex SHA-256 of its settings and of what it is; see `Encoder.digest`."""
        document = {
            "kind": self.kind,
            "front_end": self._front_end.model_dump(mode="json"),
            "heads": {tag: values.tolist() for tag, values in self._heads.items()},
            **self._identity(),
        }
        return encoder_digest(document, {})

    def summary(self) -> dict[str, Any]:
        """Return method, digest, dimension, sample rate and window, as JSON."""
        return {
            "method": self.method,
            "digest": self.digest(),
            "dimension": self.dimension,
            "sample_rate": self._front_end.sample_rate,
            "window": self._front_end.window,
            "tags": list(self._heads),
        }

    def save(self, folder: Path | str) -> None:
        """Save what it is, but not the encoder itself; see `Encoder.save`.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        self.dimension  # noqa: B018  # tried, if it was not yet
        assert self._probe is not None
        save_encoder(Path(folder), self._document(), {"probe": self._probe})

    # ------------------------------------------------------------------ for the kinds

    def _document(self) -> dict[str, Any]:
        return {
            "method": self.kind,
            "front_end": self._front_end.model_dump(mode="json"),
            "batch": self.batch,
            "heads": {tag: values.tolist() for tag, values in self._heads.items()},
            **self._identity(),
        }

    def _take_probe(self, folder: Path, weights: Weights) -> None:
        """Know again what a saved encoder made of noise.

        Raises:
            ArtifactError: the manifest does not go with such numbers.
        """
        probe = weights.get("probe")
        if probe is None or probe.ndim != 2 or probe.shape[0] != 2 or not np.isfinite(probe).all():
            raise ArtifactError(f"{folder}: does not describe an encoder: it has no probe")
        self._probe = probe.astype(np.float32)

    def _try(self) -> None:
        """Run it on two windows of noise and remember the result.

        Then again on the same two and on the first alone: a network in training mode drops units at
        random, or standardises by whatever windows come together.
        """
        noise = self._noise()
        probe = self._checked(noise).embeddings.copy()
        if not np.isfinite(probe).all():
            raise EncoderError(f"{self.method}: returned NaN or infinite values for noise")
        if not _change(self._checked(noise).embeddings, probe) <= _LIKE_BEFORE:
            raise EncoderError(
                f"{self.method}: makes something else of the same sound each time; a network must "
                "be in evaluation mode (model.eval() in PyTorch), and random numbers need a seed"
            )
        alone = self._checked(noise[:1]).embeddings
        if not _change(alone, probe[:1]) <= _LIKE_BEFORE_ALONE:
            warnings.warn(
                f"{self.method}: makes something else of a window alone than together with "
                "another, so that embeddings depend on which recordings are embedded together; is "
                "it a network in training mode (model.eval() in PyTorch)?",
                DataWarning,
                stacklevel=2,
            )
        self._probe = probe

    def _noise(self) -> Float32Array:
        rng = np.random.default_rng(0)
        size = (2, *self._front_end.input_shape)
        return _PROBE_LOUDNESS * rng.standard_normal(size, dtype=np.float32)

    def stands_for(self, saved: WaveformEncoder) -> str:
        """Return "" if it makes the same of sound as a saved encoder, but for rounding.

        Returns:
            Otherwise what is different, as the end of a sentence.

        Raises:
            EncoderUnavailableError, EncoderError: it cannot work.
        """
        own, its = self._front_end, saved._front_end
        if own != its:
            changed = [
                name for name in type(own).model_fields if getattr(own, name) != getattr(its, name)
            ]
            name = changed[0]
            return f"its {name} is {getattr(own, name)!r}, and was {getattr(its, name)!r}"
        if {tag: values.tolist() for tag, values in self._heads.items()} != {
            tag: values.tolist() for tag, values in saved._heads.items()
        }:
            return f"its tags are {sorted(self._heads)}, and were {sorted(saved._heads)}"
        if self.dimension != saved.dimension:
            return f"its embeddings have {self.dimension} numbers, and had {saved.dimension}"
        assert self._probe is not None
        assert saved._probe is not None
        if _change(self._probe, saved._probe) > _LIKE_BEFORE:
            return "it makes something else of the same sound"
        return ""

    def _checked(self, windows: Float32Array) -> Outputs:
        """Run it on up to ``batch`` windows at a time, and check what it returns."""
        parts = []
        for start in range(0, len(windows), self.batch):
            part = windows[start : start + self.batch]
            try:
                found = self._run(part)
            except (ColdtuneError, MemoryError):
                raise
            except Exception as error:
                reason = (str(error) or "no reason given").splitlines()[0]
                raise EncoderError(
                    f"{self.method}: raised {type(error).__name__}: {reason}"
                ) from error
            parts.append(self._checked_outputs(found, len(part)))
            # Before the first use nothing is known of the length, and parts may differ.
            self._check_length(parts[-1].embeddings, parts[0].embeddings.shape[1])
        return Outputs(
            np.concatenate([part.embeddings for part in parts]),
            {
                tag: np.concatenate([part.probabilities[tag] for part in parts])
                for tag in self._heads
            },
        )

    def _checked_outputs(self, found: Outputs, n: int) -> Outputs:
        embeddings = self._per_window(found.embeddings, n, "")
        if self._probe is not None:
            self._check_length(embeddings, self._probe.shape[1])
        if set(found.probabilities) != set(self._heads):
            raise EncoderError(
                f"{self.method}: returned probabilities of the tags "
                f"{sorted(found.probabilities)}, and its tags are {sorted(self._heads)}"
            )
        probabilities = {}
        for tag, values in self._heads.items():
            own = self._per_window(found.probabilities[tag], n, f" for the tag {tag!r}")
            if own.shape[1] != len(values):
                raise EncoderError(
                    f"{self.method}: returned {own.shape[1]} probabilities for the tag {tag!r}, "
                    f"which has {len(values)} values"
                )
            finite = own[np.isfinite(own)]
            if finite.size and not -_RANGE <= finite.min() <= finite.max() <= 1 + _RANGE:
                raise EncoderError(
                    f"{self.method}: returned {finite.max():g} and {finite.min():g} as "
                    f"probabilities of the tag {tag!r}: they must lie between 0 and 1"
                )
            probabilities[tag] = np.clip(own, 0, 1)
        return Outputs(embeddings, probabilities)

    def _check_length(self, embeddings: Float32Array, before: int) -> None:
        if embeddings.shape[1] != before:
            raise EncoderError(
                f"{self.method}: returned {embeddings.shape[1]} numbers for a window, where it was "
                f"{before} before"
            )

    def _per_window(self, values: object, n: int, what: str) -> Float32Array:
        """Return one row of numbers for each of n windows, the mean over time if there is time."""
        try:
            array = np.asarray(values)
        except Exception as error:  # tensors that are on a GPU or need gradients raise their own
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise EncoderError(
                f"{self.method}: returned no array{what}, but {type(values).__name__}: {reason}"
            ) from error
        if array.dtype.kind not in "fiu":
            raise EncoderError(
                f"{self.method}: returned {array.dtype} of type {type(values).__name__}{what}, "
                "which are no numbers"
            )
        if array.ndim not in (2, 3) or array.shape[0] != n or not array.size:
            raise EncoderError(
                f"{self.method}: returned an array of shape {array.shape}{what} for {n} windows; "
                f"({n}, dimension) or ({n}, time, dimension) is needed"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            if array.ndim == 3:
                array = array.mean(axis=1, dtype=np.float64)
            return array.astype(np.float32)


def _change(found: Float32Array, before: Float32Array) -> float:
    """Largest difference, as a share of the largest number before."""
    if found.shape != before.shape:
        return float("inf")
    scale = max(float(np.abs(before).max()), 1e-12)
    return float(np.abs(found - before).max()) / scale


def restored_settings(
    folder: Path, document: dict[str, Any]
) -> tuple[WaveformFrontEnd, int, dict[str, NDArray[np.str_]]]:
    """Read front end, batch and tags from the manifest of a saved encoder of one's own.

    Raises:
        ArtifactError: it does not describe one.
    """
    with describing_encoder(folder):
        heads = {tag: np.array(values, dtype=np.str_) for tag, values in document["heads"].items()}
        return WaveformFrontEnd.from_json(document["front_end"]), int(document["batch"]), heads
