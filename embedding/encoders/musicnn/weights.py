"""Weights of MusiCNN: fetched once as a wheel, by pip, and kept in the cache as safetensors.

The wheel ``musicnn==0.1.0`` (Jordi Pons, Music Technology Group of the Universitat Pompeu Fabra,
ISC licence) holds them as a TensorFlow checkpoint. Nothing of it is installed or run.
"""

import hashlib
import importlib.util
import io
import sys
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import ArtifactError, DataError, DiskFullError, EncoderUnavailableError
from datasets.system.files import (
    UNREADABLE,
    atomic_write,
    cache_folder,
    check_writable,
    open_regular,
    reason_of,
)
from datasets.system.locks import Order, locked
from datasets.system.processes import running_program
from datasets.system.temporary import temporary_folder
from embedding.encoders.musicnn.tensor_bundle import read_tensor_bundle
from embedding.network.storage import Weights

COMMAND = "coldtune encoder get musicnn"
REQUIREMENT = "musicnn==0.1.0"
LICENCE = "ISC"
WHEEL_DIGEST = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
"""SHA-256 of the wheel."""

WEIGHTS_DIGEST = "b804d51224f015c06f7444900d617f169414765b7c0e4568061a28e406ae6a32"
"""SHA-256 of the weights: names, shapes and values (`weights_digest`)."""

_CHECKPOINT = "musicnn/MSD_musicnn/"
_LICENCE_FILE = "musicnn-0.1.0.dist-info/LICENSE.md"

_PIP_SECONDS = 600
"""Processor time for pip, which takes two seconds."""

_WAIT_SECONDS = 900.0
"""For another process that is fetching the same."""


class Fetched(NamedTuple):
    """Result of `get_musicnn`."""

    path: Path
    """The file of weights."""

    is_new: bool
    """Whether it was fetched now; False if it was there."""


def tensor_names() -> list[str]:
    """Return the names of the tensors of the checkpoint that make up the network.

    Examples:
        >>> names = tensor_names()
        >>> len(names), names[0]
        (64, 'batch_normalization/gamma')
    """
    norms = [
        f"{numbered('batch_normalization', n)}/{part}"
        for n in range(11)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    ]
    layers = [numbered("conv2d", n) for n in range(8)] + [numbered("dense", n) for n in range(2)]
    return norms + [f"{layer}/{part}" for layer in layers for part in ("kernel", "bias")]


def numbered(name: str, number: int) -> str:
    """Return the name that TensorFlow gives to the layer of a number: x, x_1, x_2, …

    Examples:
        >>> numbered("dense", 0), numbered("dense", 1)
        ('dense', 'dense_1')
    """
    return f"{name}_{number}" if number else name


def weights_file() -> Path:
    """Return where the weights are kept, whether they are there or not."""
    return cache_folder() / "encoders" / "musicnn-0.1.0" / "weights.safetensors"


def get_musicnn(wheel: Path | str | None = None) -> Fetched:
    """Fetch the pretrained weights of MusiCNN, unless they are there.

    pip downloads the wheel, 29 MB, by its name and as pip is configured; its SHA-256 is checked,
    and the weights are written to the cache (`COLDTUNE_CACHE` or ``~/.cache/coldtune``). Several
    processes may do this at once.

    Args:
        wheel: the file of the wheel, for machines without a network; None has pip download it.

    Raises:
        DataError: pip is missing or cannot download the wheel, or it is not the one expected.
        ArtifactError: the cache cannot be written.
        BusyError: another process has been fetching it for a quarter of an hour.

    Examples:
        >>> from embedding.encoders import get_musicnn
        >>> get_musicnn(wheel=folder / "none.whl")
        Traceback (most recent call last):
        datasets.errors.DataError: .../none.whl: No such file or directory
    """
    path = weights_file()
    if has_weights():  # perhaps in a cache that cannot be written
        return Fetched(path, is_new=False)
    try:
        check_writable(path)
        lock = path.with_name(".lock")
        doing = "fetching MusiCNN"
        with locked(lock, doing, name="MusiCNN", order=Order.JOB, seconds=_WAIT_SECONDS):
            if has_weights():  # by now
                return Fetched(path, is_new=False)
            content = _downloaded() if wheel is None else _checked(Path(wheel))
            weights, licence = _unpacked(content)
            _write(path, weights, licence)
    except (DiskFullError, DataError):
        raise
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {reason_of(error)}") from None
    return Fetched(path, is_new=True)


def has_weights() -> bool:
    """Return whether the weights are in the cache, undamaged."""
    try:
        load_weights()
    except (ArtifactError, EncoderUnavailableError):
        return False
    return True


def load_weights() -> Weights:
    """Read the weights from the cache, and check them against their digest.

    Raises:
        EncoderUnavailableError: they were not fetched; the message names the command.
        ArtifactError: they are damaged; the message names the command.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = weights_file()
    try:
        with open_regular(path) as stream:
            content = stream.read()
    except FileNotFoundError:
        raise EncoderUnavailableError(
            f"the encoder MusiCNN is not on this machine; fetch it once: {COMMAND}"
        ) from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {reason_of(error)}") from None
    try:
        weights: Weights = from_bytes(content)
        intact = weights_digest(weights) == WEIGHTS_DIGEST
    except (*UNREADABLE, SafetensorError):
        intact = False
    if not intact:
        raise ArtifactError(f"{path}: is damaged; fetch it again: {COMMAND}")
    return weights


def weights_digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the hex SHA-256 of the names, shapes and values of weights.

    Examples:
        >>> weights_digest({"a": np.zeros(2, np.float32)})[:8]
        'ff5460a4'
    """
    digest = hashlib.sha256()
    for name, values in sorted(weights.items()):
        digest.update(f"{name} {values.dtype.str} {list(values.shape)}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _downloaded() -> bytes:
    """Have pip download the wheel; return its content."""
    # A virtual environment of another tool may have none.
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"pip, which downloads {REQUIREMENT}, is not installed in this Python; download the "
            f"wheel elsewhere (pip download --no-deps {REQUIREMENT}): {COMMAND} --wheel FILE"
        )
    with temporary_folder() as folder:
        # -P: a file pip.py in the working folder is not taken for pip.
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", *options]
        code, messages = _run([*command, "--dest", str(folder), REQUIREMENT])
        wheels = sorted(folder.glob("*.whl"))
        if code or len(wheels) != 1:
            raise DataError(
                f"pip cannot download {REQUIREMENT}: {_reason(messages)} (without a network: "
                f"{COMMAND} --wheel FILE)"
            )
        return _checked(wheels[0], "what pip downloaded")


def _run(command: list[str]) -> tuple[int, str]:
    """Run a program; return its exit code and its messages."""
    with running_program(command, cpu_seconds=_PIP_SECONDS) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # What it prints is not needed; a full pipe would stop it.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        messages = process.stderr.read().decode(errors="replace")
        return process.wait(), messages


def _reason(messages: str) -> str:
    """The most telling line of pip's messages."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    # What it says at last is that there is no such package.
    if any(line.startswith("WARNING: Retrying ") for line in lines):
        return "its index of packages cannot be reached"
    for start in ("ERROR: ", "WARNING: "):
        said = [line.removeprefix(start) for line in lines if line.startswith(start)]
        if said:
            return said[-1]
    return lines[-1] if lines else "it says nothing"


def _checked(path: Path, what: str = "") -> bytes:
    """The content of the wheel, if it is the one that is expected."""
    what = what or str(path)
    try:
        with open_regular(path) as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found == WHEEL_DIGEST:
                stream.seek(0)
                content = stream.read()
                # Another process may have replaced it.
                found = hashlib.sha256(content).hexdigest()
    except (OSError, ValueError) as error:
        raise DataError(f"{what}: {reason_of(error)}") from None
    if found != WHEEL_DIGEST:
        raise DataError(
            f"{what}: is not the wheel {REQUIREMENT}: its SHA-256 is {found}, not {WHEEL_DIGEST}"
        )
    return content


def _unpacked(wheel: bytes) -> tuple[Weights, str]:
    """Weights and licence from the content of the wheel."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        index = archive.read(f"{_CHECKPOINT}.index")
        data = archive.read(f"{_CHECKPOINT}.data-00000-of-00001")
        licence = archive.read(_LICENCE_FILE).decode()
    return read_tensor_bundle(index, data, tensor_names()), licence


def _write(path: Path, weights: Weights, licence: str) -> None:
    from safetensors.numpy import save as to_bytes

    with atomic_write(path.with_name("LICENSE.md")) as temporary:
        temporary.write_text(licence, encoding="utf-8")
    # Of several entries the order would change from run to run.
    metadata = {"source": f"{REQUIREMENT}, licence {LICENCE}"}
    with atomic_write(path) as temporary:
        temporary.write_bytes(to_bytes(weights, metadata))
