"""OnnxEncoder: a network in an ONNX file as an encoder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field

from datasets.arguments import check_whole
from datasets.arrays import Float32Array
from datasets.errors import (
    EncoderError,
    EncoderUnavailableError,
    InvalidArgumentError,
)
from datasets.settings import Settings
from datasets.system.files import UNREADABLE, file_digest, open_regular, read_text, reason_of
from datasets.texts.suggestions import did_you_mean
from embedding.audio.config import SnippetConfig
from embedding.encoders.own.waveform import (
    Outputs,
    WaveformEncoder,
    restored_settings,
    tag_values,
    window_front_end,
)
from embedding.network.storage import Weights, describing_encoder

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INSTALL_ONNX = "pip install 'coldtune[onnx]'"
"""The command that makes ONNX files usable."""

SETTINGS_SUFFIX = ".json"
"""What the file of settings beside an ONNX file is called: clap.onnx.json beside clap.onnx."""

_WEIGHTS_BESIDE = (".data", "_data", ".weights")
"""Endings of the file that holds the weights of a network too large for one ONNX file."""

_WEIGHTS_ELSEWHERE = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])", re.DOTALL)
"""What names such a file in an ONNX file: the protocol buffer {key: "location", value: a name of so
many bytes}. onnxruntime follows it and does not tell it."""

_NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}


class OnnxTag(Settings):
    """An output of an ONNX file with the probabilities of a tag.

    Examples:
        >>> from embedding.encoders import OnnxTag
        >>> OnnxTag(output="logits", values=("calm", "wild"), activation="softmax").values
        ('calm', 'wild')
    """

    output: str
    """Name of the output, [n, values] or [n, time, values]."""

    values: tuple[str, ...] = Field(min_length=1)
    """The values, in the order of its columns."""

    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What turns the output into probabilities: ``none`` where it has them already."""


class OnnxSettings(Settings):
    """What is to be known of an ONNX file: arguments of `OnnxEncoder`, or the JSON beside the file.

    Examples:
        >>> from embedding.encoders import OnnxSettings
        >>> OnnxSettings(sample_rate=48000, window=10.0).output is None
        True
    """

    sample_rate: int | None = Field(default=None, ge=1000, le=384_000)
    """Hz; recordings are resampled to it."""

    window: float | None = Field(default=None, ge=0.01, le=3600.0)
    """Seconds of a window; None: as many as the file's input has samples."""

    channels: Literal[1, 2] | None = None
    """1: mono; 2: stereo; None: as the file's input has."""

    snippet: SnippetConfig | None = None
    """Which parts of a recording are cut into windows; None: three windows, evenly spaced."""

    output: str | None = None
    """Name of the output with the embeddings; None: the only one."""

    tags: dict[str, OnnxTag] = Field(default_factory=dict)
    """Outputs with probabilities of tags."""

    batch: int = Field(default=16, ge=1, le=4096)
    """Windows given to the network at once, where its input leaves that open."""


class OnnxEncoder(WaveformEncoder):
    """Embeds recordings by a network in an ONNX file, such as an exported CLAP or MERT.

    The file has one input, the samples of windows at its sample rate in -1 .. 1: [n, samples],
    [n, channels, samples], or [samples] alone; n and the number of samples may be fixed or open. Of
    an output [n, time, dimension] the mean over time is taken. Needs onnxruntime
    (``pip install 'coldtune[onnx]'``).

    A model that is saved holds the path and the SHA-256 of the file, not the file. Where the file
    is gone or another one, the model still knows its songs, and what needs the encoder says so;
    `Recommender.load(folder, encoder=OnnxEncoder(...))` says where it is now.

    Settings that are not given are read from a JSON file beside it, clap.onnx.json for clap.onnx,
    with the fields of `OnnxSettings`.

    Args:
        path: the ONNX file.
        sample_rate: Hz; recordings are resampled to it.
        window: seconds of a window; by default as long as the file's input, if that is fixed.
        channels: 1 for mono, 2 for stereo; by default as the file's input has it.
        snippet: which parts of a recording are cut into windows; by default three windows, evenly
            spaced. A recording's embedding is the mean over its windows.
        output: name of the output with the embeddings, where there are several.
        tags: outputs with probabilities of tags.
        batch: windows given to the network at once.
        threads: threads of the network; 0: all cores.

    Raises:
        EncoderUnavailableError: onnxruntime is not installed.
        InvalidArgumentError: no such file, no ONNX file, none that takes samples and gives vectors,
            or a setting that is missing or does not fit the file.

    Examples:
        >>> from embedding.encoders import OnnxEncoder
        >>> OnnxEncoder("clap.onnx", sample_rate=48000, window=10.0)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: clap.onnx: no such file
    """

    kind = "onnx"

    def __init__(
        self,
        path: str | Path,
        *,
        sample_rate: int | None = None,
        window: float | None = None,
        channels: Literal[1, 2] | None = None,
        snippet: SnippetConfig | None = None,
        output: str | None = None,
        tags: Mapping[str, OnnxTag] | None = None,
        batch: int | None = None,
        threads: int = 0,
    ) -> None:
        check_whole("threads", threads, 0)
        self.path = Path(path).absolute()
        _check_file(Path(path), self.path)
        given = {
            "sample_rate": sample_rate,
            "window": window,
            "channels": channels,
            "snippet": snippet,
            "output": output,
            "tags": None if tags is None else dict(tags),
            "batch": batch,
        }
        given = {name: value for name, value in given.items() if value is not None}
        beside = _settings_beside(self.path)
        try:
            settings = beside.replace(**given)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{self.path}: {error}") from None
        self._threads = int(threads)
        self._session: tuple[int, InferenceSession] | None = None
        session = self._start()
        self._layout = _layout(session, settings, self.path)
        if settings.sample_rate is None:
            raise InvalidArgumentError(
                f"{self.path}: its sample rate is not known: give sample_rate=, --encoder "
                f"{self.path.name}@RATE:SECONDS, or {self.path.name}{SETTINGS_SUFFIX} beside it"
            )
        front_end = window_front_end(
            settings.sample_rate,
            _window(settings, self._layout, self.path),
            self._layout.channels,
            settings.snippet,
        )
        heads = tag_values({tag: one.values for tag, one in settings.tags.items()})
        super().__init__(front_end, self._layout.batch or settings.batch, heads)
        self._output, self._tags = self._layout.output, dict(settings.tags)
        self.file_digest = _content_digest(self.path)

    def __repr__(self) -> str:
        heard = self._front_end
        return (
            f"<OnnxEncoder {self.path.name}: windows of {heard.window:g} s at "
            f"{heard.sample_rate:,} Hz>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    @property
    def method(self) -> str:
        """The file by its name."""
        return f"the ONNX file {self.path.name}"

    @classmethod
    def restore(cls, folder: Path, document: dict[str, Any], weights: Weights) -> Self:
        """Build it from its manifest; the file is opened when it is used.

        Raises:
            ArtifactError: it does not describe such an encoder.
        """
        encoder = cls.__new__(cls)
        WaveformEncoder.__init__(encoder, *restored_settings(folder, document))
        with describing_encoder(folder):
            encoder.path = Path(document["path"])
            encoder.file_digest = str(document["file"])
            encoder._output = str(document["output"])
            encoder._tags = {
                tag: OnnxTag.from_json(values) for tag, values in document["tags"].items()
            }
        encoder._threads, encoder._session = 0, None
        encoder._take_probe(folder, weights)
        return encoder

    def _open(self) -> None:
        if self._session is not None and self._session[0] == os.getpid():
            return
        again = (
            "Recommender.load(folder, encoder=OnnxEncoder(path, "
            f"sample_rate={self._front_end.sample_rate}, window={self._front_end.window:g})) "
            "says where it is, unless you put it there again"
        )
        try:
            _check_file(self.path, self.path)
            if _content_digest(self.path) != self.file_digest:
                raise EncoderUnavailableError(
                    f"{self.path}: is another file than recordings were embedded by; {again}"
                )
            session = self._start()
            heard, tags = self._front_end, self._tags
            settings = OnnxSettings(
                sample_rate=heard.sample_rate, window=heard.window, channels=heard.channels,
                output=self._output, tags=tags, batch=self.batch,
            )  # fmt: skip
            self._layout = _layout(session, settings, self.path)
        except (InvalidArgumentError, OSError) as error:
            raise EncoderUnavailableError(
                f"recordings were embedded by {self.method}, which cannot be used: {error}; {again}"
            ) from None

    def _start(self) -> InferenceSession:
        """Start onnxruntime in this process; a fork has none of its threads, and starts its own."""
        session = _session(self.path, self._threads)
        self._session = os.getpid(), session
        return session

    def _run(self, windows: Float32Array) -> Outputs:
        assert self._session is not None
        session, layout = self._session[1], self._layout
        n = len(windows)
        if layout.rank == 1:
            given = windows[0]
        else:
            if layout.batch is not None and n < layout.batch:
                fill = np.repeat(windows[-1:], layout.batch - n, axis=0)
                windows = np.concatenate([windows, fill])
            given = windows[:, None] if layout.rank == 3 and windows.ndim == 2 else windows
        names = [layout.output, *(tag.output for tag in self._tags.values())]
        found = session.run(names, {layout.input: given.astype(layout.dtype, copy=False)})
        embeddings, *tags = [self._rows(values, n, layout) for values in found]
        return Outputs(
            embeddings,
            {
                tag: _activated(values, one.activation)
                for (tag, one), values in zip(self._tags.items(), tags, strict=True)
            },
        )

    def _rows(self, values: object, n: int, layout: _Layout) -> Any:
        """Give one window's output the form of several, and take away what filled up a batch."""
        if not isinstance(values, np.ndarray):
            raise EncoderError(f"{self.method}: an output is no array of numbers")
        if layout.alone:
            if not 1 <= values.ndim <= 3 or not values.size or values.dtype.kind not in "fiu":
                return values if values.ndim else values[None]
            return values.reshape(1, -1, values.shape[-1])
        if layout.batch is not None and values.ndim and len(values) == layout.batch:
            return values[:n]
        return values

    def _identity(self) -> dict[str, Any]:
        return {
            "file": self.file_digest,
            "output": self._output,
            "tags": {tag: one.model_dump(mode="json") for tag, one in self._tags.items()},
        }

    def _document(self) -> dict[str, Any]:
        return {**super()._document(), "path": str(self.path)}


class _Layout(NamedTuple):
    """How a file takes windows and gives vectors."""

    input: str
    rank: int
    """Axes of the input: 1 [samples], 2 [n, samples], 3 [n, channels, samples]."""
    batch: int | None
    """Windows that it takes at once; None: any number."""
    channels: Literal[1, 2]
    samples: int | None
    """Samples of a window; None: any number."""
    dtype: Any
    output: str
    alone: bool
    """Whether it is given one window at a time, and its outputs may lack the axis of windows."""


def onnx_file_and_window(text: str) -> tuple[Path, int | None, float | None]:
    """Split FILE.onnx@RATE:SECONDS into path, sample rate and window; both may be missing.

    Raises:
        InvalidArgumentError: what follows the @ is no rate and window.

    Examples:
        >>> onnx_file_and_window("clap.onnx@48000:10")
        (PosixPath('clap.onnx'), 48000, 10.0)
        >>> onnx_file_and_window("clap.onnx")
        (PosixPath('clap.onnx'), None, None)
    """
    path, at, numbers = text.rpartition("@")
    is_file = path.lower().endswith(".onnx") or os.path.isfile(path)  # noqa: PTH113
    # `Path.exists` raises for long names.
    if not at or "/" in numbers or not is_file or os.path.exists(text):  # noqa: PTH110
        return Path(text), None, None
    rate, colon, window = numbers.partition(":")
    try:
        return Path(path), int(rate), float(window) if colon else None
    except ValueError:
        raise InvalidArgumentError(
            f"{text}: after the @ come sample rate and seconds of a window, as in "
            f"{Path(path).name}@48000:10"
        ) from None


def _check_file(shown: Path, path: Path) -> None:
    if os.path.isdir(path):  # noqa: PTH112  # `Path.is_dir` raises for too long a name
        raise InvalidArgumentError(f"{shown}: an ONNX file is expected, and this is a folder")
    if not os.path.isfile(path):  # noqa: PTH113
        raise InvalidArgumentError(f"{shown}: no such file")


def _settings_beside(path: Path) -> OnnxSettings:
    """Read the settings beside an ONNX file; none if there is no such file."""
    beside = path.with_name(path.name + SETTINGS_SUFFIX)
    if not beside.is_file():
        return OnnxSettings()
    try:
        return OnnxSettings.from_json(json.loads(read_text(beside)))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{beside}: {error}") from None
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{beside}: cannot be read: {reason_of(error)}") from None


def _content_digest(path: Path) -> str:
    """Digest of an ONNX file, and of its weights where they are in files of their own."""
    names = [path.name + ending for ending in _WEIGHTS_BESIDE]
    names += [name for name in _weights_elsewhere(path) if name not in names]
    files = [path, *(one for one in map(path.parent.joinpath, names) if one.is_file())]
    return "+".join(file_digest(one) for one in files)


def _weights_elsewhere(path: Path) -> list[str]:
    """Names of the files that an ONNX file says its weights are in."""
    found: dict[str, None] = {}
    rest = b""
    with open_regular(path) as stream:
        while block := stream.read(1 << 20):
            content = rest + block
            for one in _WEIGHTS_ELSEWHERE.finditer(content):
                name = content[one.end() : one.end() + one[1][0]]
                if len(name) == one[1][0]:  # else it goes on in the next block
                    found[name.decode(errors="replace")] = None
            rest = content[-256:]
    return list(found)


def _session(path: Path, threads: int) -> InferenceSession:
    if find_spec("onnxruntime") is None:
        raise EncoderUnavailableError(
            f"{path}: onnxruntime, which runs ONNX files, is not installed: {INSTALL_ONNX}"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        for name in _weights_elsewhere(path):
            if not path.parent.joinpath(name).is_file():
                raise InvalidArgumentError(
                    f"{path}: its weights are in the file {name!r}, which is not beside it"
                ) from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidArgumentError(
            f"{path}: is no ONNX file that can be used: {reason[:300]}"
        ) from None


def _layout(session: InferenceSession, settings: OnnxSettings, path: Path) -> _Layout:
    """Find out how a file takes windows and gives vectors.

    Raises:
        InvalidArgumentError: it takes no windows, or gives no vectors.
    """
    inputs = session.get_inputs()
    described = ", ".join(f"{one.name} {_shape(one.shape)}" for one in inputs) or "nothing"
    if len(inputs) != 1:
        raise InvalidArgumentError(
            f"{path}: takes {described}; an encoder takes one input, the samples [n, samples]"
        )
    shape, dtype = list(inputs[0].shape), inputs[0].type
    if dtype not in _NUMBERS or not 1 <= len(shape) <= 3:
        raise InvalidArgumentError(
            f"{path}: takes {described} of {dtype}; an encoder takes samples, floats [n, samples], "
            "[n, channels, samples] or [samples]"
        )
    fixed = [size if isinstance(size, int) and size > 0 else None for size in shape]
    rank = len(shape)
    own_channels = fixed[1] if rank == 3 else 1
    channels = settings.channels or own_channels or 1
    if channels not in (1, 2):
        raise InvalidArgumentError(
            f"{path}: takes {described}; an encoder takes one channel or two"
        )
    if channels != (own_channels or channels):
        raise InvalidArgumentError(
            f"{path}: takes {described}, which is not {channels} channels of samples"
        )
    output, alone = _output(session, settings, path)
    batch = 1 if rank == 1 or alone else fixed[0]
    return _Layout(
        input=inputs[0].name,
        rank=rank,
        batch=batch,
        channels=channels,  # type: ignore[arg-type]
        samples=fixed[-1],
        dtype=_NUMBERS[dtype],
        output=output,
        alone=batch == 1,
    )


def _output(session: InferenceSession, settings: OnnxSettings, path: Path) -> tuple[str, bool]:
    """Name of the output with embeddings, and whether it can hold one window's alone."""
    outputs = {one.name: one.shape for one in session.get_outputs()}
    described = ", ".join(f"{name} {_shape(shape)}" for name, shape in outputs.items())
    tag_outputs = {tag.output for tag in settings.tags.values()}
    for name in (settings.output, *tag_outputs):
        if name is not None and name not in outputs:
            raise InvalidArgumentError(
                f"{path}: has no output {name!r}{did_you_mean(name, list(outputs))}; it gives "
                f"{described or 'nothing'}"
            )
    left = [name for name in outputs if name not in tag_outputs]
    if settings.output is None and len(left) != 1:
        raise InvalidArgumentError(
            f"{path}: gives {described or 'nothing'}; say which output has the embeddings: "
            f'output=..., or "output" in {path.name}{SETTINGS_SUFFIX}'
        )
    output = settings.output or left[0]
    rank = len(outputs[output])
    if rank > 3:
        raise InvalidArgumentError(
            f"{path}: its output {output} is {_shape(outputs[output])}; embeddings are "
            "[n, dimension], [n, time, dimension] or [dimension]"
        )
    return output, rank == 1


def _window(settings: OnnxSettings, layout: _Layout, path: Path) -> float:
    """Seconds of a window: as given, or as long as the input of the file."""
    rate, window, samples = settings.sample_rate, settings.window, layout.samples
    assert rate is not None
    if window is None and samples is None:
        raise InvalidArgumentError(
            f"{path}: takes windows of any length: give window= in seconds, --encoder "
            f"{path.name}@{rate}:SECONDS, or {path.name}{SETTINGS_SUFFIX} beside it"
        )
    if window is None:
        assert samples is not None
        return samples / rate
    if samples is not None and round(window * rate) != samples:
        raise InvalidArgumentError(
            f"{path}: takes windows of {samples:,} samples, which are {samples / rate:g} s at "
            f"{rate:,} Hz, and not {window:g} s"
        )
    return window


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _activated(values: Any, activation: str) -> Any:
    if activation == "none" or values.dtype.kind not in "fiu":
        return values
    values = values.astype(np.float64)
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
