"""Save and load encoders: a JSON manifest and a safetensors file of weights.

The file of weights is named after its content and written first; the manifest, with its name and
digest, is renamed into place last. So a folder holds a complete encoder, the old or the new one, at
any time, and every changed byte is detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.errors import ArtifactError
from datasets.system.files import (
    UNREADABLE,
    atomic_write,
    file_digest,
    read_text,
    reason_of,
    write_text,
)

if TYPE_CHECKING:
    from torch.nn import Module

_FORMAT_VERSION = 2
KIND = "coldtune song encoder"
ENCODER_MANIFEST = "encoder.json"

Weights = dict[str, NDArray[Any]]
AnyModule = TypeVar("AnyModule", bound="Module")


def save_encoder(folder: Path, document: dict[str, Any], weights: Weights) -> None:
    """Write an encoder, then remove the weights of the encoder that it replaces.

    Args:
        folder: folder of the encoder; created if necessary.
        document: content of the manifest, as JSON values.
        weights: arrays by parameter name.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    content = to_bytes(weights)
    digest = hashlib.sha256(content).hexdigest()
    name = f"weights-{digest[:16]}.safetensors"
    manifest = {
        "kind": KIND,
        "format_version": _FORMAT_VERSION,
        **document,
        "weights": {"file": name, "sha256": digest},
    }
    manifest["sha256"] = _digest_of(manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
        write_text(folder / ENCODER_MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
        for old in folder.glob("weights-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{folder}: the encoder cannot be written: {error}") from error


def read_encoder(folder: Path) -> tuple[dict[str, Any], Weights]:
    """Read the manifest and the weights of an encoder, checked against their digests.

    Raises:
        ArtifactError: a file is missing or changed, or the format is newer than this library.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = folder / ENCODER_MANIFEST
    try:
        manifest = json.loads(read_text(path))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file, so this is no saved encoder") from None
    except UNREADABLE as error:
        raise ArtifactError(f"{path}: cannot be read: {reason_of(error)}") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise ArtifactError(f"{path}: not the manifest of a saved encoder")
    version = manifest.get("format_version")
    if not isinstance(version, int) or version > _FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: format {version} is newer than this library can read ({_FORMAT_VERSION}); "
            "update coldtune"
        )
    if version < _FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: format {version} is from before this library's first release; train it again"
        )
    if manifest.get("sha256") != _digest_of(manifest):
        raise ArtifactError(f"{path}: changed since it was saved")
    try:
        name, digest = manifest["weights"]["file"], manifest["weights"]["sha256"]
        inside = Path(name).name == name
    except UNREADABLE:
        inside = False
    if not inside:
        raise ArtifactError(f"{path}: names no file of weights in its folder")
    weights_path = folder / name
    if not weights_path.is_file():
        raise ArtifactError(f"{weights_path}: missing from the saved encoder")
    if file_digest(weights_path) != digest:
        raise ArtifactError(f"{weights_path}: changed since it was saved")
    try:
        return manifest, from_bytes(weights_path.read_bytes())
    except (*UNREADABLE, SafetensorError) as error:
        raise ArtifactError(f"{weights_path}: cannot be read: {reason_of(error)}") from None


@contextmanager
def describing_encoder(folder: Path) -> Iterator[None]:
    """Raise ArtifactError, with the folder, for what is wrong with the manifest read within.

    Examples:
        >>> with describing_encoder(folder / "encoder"):
        ...     {}["heads"]
        Traceback (most recent call last):
        datasets.errors.ArtifactError: ...encoder: does not describe an encoder: 'heads'
    """
    try:
        yield
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtifactError(f"{folder}: does not describe an encoder: {reason}") from error


def encoder_digest(document: Mapping[str, Any], weights: Weights) -> str:
    """Return the hex SHA-256 of what an encoder is: its settings, as JSON values, and weights."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, array in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_weights_are_finite(weights: Weights) -> None:
    """Raise ValueError for the first array with NaN or infinite values."""
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise ValueError(f"the weights {name!r} are not finite")


def module_with_weights(
    build: Callable[[], AnyModule], weights: Weights, settings: str
) -> AnyModule:
    """Build a module with saved weights, in evaluation mode.

    Args:
        build: makes the module.
        weights: arrays by parameter name.
        settings: what says which weights it has, for the message.

    Raises:
        ValueError: the weights are not those of such a module.
    """
    import torch

    with torch.device("meta"):  # takes no memory, whatever sizes a foreign manifest names
        wanted = {name: tuple(t.shape) for name, t in build().state_dict().items()}
    found = {name: array.shape for name, array in weights.items()}
    if wanted != found:
        name = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))[0]
        raise ValueError(f"the weights {name!r} do not fit {settings}")
    module = build()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return module.eval()


@dataclass(frozen=True)
class SavedModule(Generic[AnyModule]):
    """A PyTorch module that was read from its files and not built yet.

    A model is opened far more often than it hears a recording, and PyTorch takes longer to import
    than everything else.

    Attributes:
        folder: where it was saved, for messages.
        empty: makes the module, with weights of any value.
        weights: arrays by parameter name.
        settings: what says which weights it has, for messages.
    """

    folder: Path
    empty: Callable[[], AnyModule]
    weights: Weights
    settings: str

    def build(self) -> AnyModule:
        """Build the module with its weights, in evaluation mode.

        Raises:
            ArtifactError: the weights are not those of such a module.
        """
        import torch  # noqa: F401  # what its import lacks is no fault of the folder

        with describing_encoder(self.folder):
            return module_with_weights(self.empty, self.weights, self.settings)


def weights_of(module: Module | SavedModule[Any]) -> Weights:
    """Return the weights of a module by parameter name, without building a saved one."""
    if isinstance(module, SavedModule):
        return dict(module.weights)
    return {name: t.contiguous().numpy() for name, t in module.state_dict().items()}


def _digest_of(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return encoder_digest(content, {})
