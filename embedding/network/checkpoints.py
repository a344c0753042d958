"""Checkpoints: the state of a training on disk, from which an interrupted one is resumed.

One safetensors file for each training, named after a fingerprint of its data and settings, so that
trainings can share a folder and a checkpoint of other data is never resumed. A finished training
leaves its best weights, so that repeating it returns at once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.arrays import Float32Array, IntArray
from datasets.system.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

    from embedding.network.config import EncoderConfig
    from embedding.network.targets import Target

State = dict[str, "Tensor"]
Epoch = dict[str, float]

_FORMAT = 4

KEPT = 20
"""Number of trainings that a folder keeps, the latest ones."""

_PARTS = ("weights", "optimiser", "average", "best")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained network from which fine-tuning starts."""

    weights: State

    classes: tuple[int, ...]
    """Number of known classes of each tag; they come first in the outputs."""

    keep: float
    """Weight of the distillation loss against the outputs of this network (Learning without
    Forgetting, Li and Hoiem 2016)."""


@dataclass
class TrainingState:
    """State of a training after some epochs."""

    weights: State = field(default_factory=dict)
    """Weights after the last epoch; empty when the training is finished."""

    optimiser: State = field(default_factory=dict)
    """State of the optimiser, as ``parameter/quantity``."""

    average: State = field(default_factory=dict)
    """Exponential moving average of the weights, if used."""

    best: State = field(default_factory=dict)
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)


def training_fingerprint(
    images: Float32Array,
    targets: Sequence[Target],
    validation: IntArray,
    config: EncoderConfig,
    before: Pretrained | None = None,
    left_out: IntArray | None = None,
) -> str:
    """Return the hex SHA-256 of everything that the result of a training depends on."""
    digest = hashlib.sha256()
    digest.update(json.dumps([_FORMAT, config.digest(), images.shape]).encode())
    for first in range(0, len(images), 256):
        digest.update(images[first : first + 256].tobytes())
    for target in targets:
        digest.update(json.dumps([target.tag, target.classes.tolist()]).encode())
        digest.update(target.values.tobytes())
    digest.update(validation.tobytes())
    if left_out is not None and len(left_out):
        digest.update(b"left out" + left_out.tobytes())
    if before is not None:
        digest.update(json.dumps([before.classes, before.keep]).encode())
        for name, tensor in before.weights.items():
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(folder: Path, name: str, state: TrainingState) -> None:
    """Write a checkpoint atomically, and remove all but the latest few checkpoints.

    Args:
        folder: folder of the checkpoints.
        name: fingerprint of the training.
        state: state to save.
    """
    from safetensors.torch import save_file

    tensors = {
        f"{part}.{key}": value.detach().cpu().contiguous()
        for part in _PARTS
        for key, value in getattr(state, part).items()
    }
    metadata = {"best_epoch": str(state.best_epoch), "history": json.dumps(state.history)}
    with atomic_write(_path(folder, name)) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    for old in sorted(folder.glob(_path(folder, "*").name), key=_age)[KEPT:]:
        old.unlink(missing_ok=True)


def read_checkpoint(folder: Path, name: str) -> TrainingState | None:
    """Read a checkpoint; None if there is none or it is damaged."""
    from safetensors import SafetensorError, safe_open

    path = _path(folder, name)
    if not path.is_file():
        return None
    state = TrainingState()
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata()
            for key in stored.keys():  # noqa: SIM118  (safe_open is not a mapping)
                part, _, tensor = key.partition(".")
                if part not in _PARTS:
                    return None
                getattr(state, part)[tensor] = stored.get_tensor(key)
        state.best_epoch = int(metadata["best_epoch"])
        state.history = json.loads(metadata["history"])
    except (SafetensorError, KeyError, TypeError, ValueError):
        # After a damaged checkpoint the training starts again.
        return None
    return state


def _age(path: Path) -> float:
    """Age for sorting; infinite if another process has just removed the file."""
    try:
        return -path.stat().st_mtime
    except OSError:
        return math.inf


def _path(folder: Path, name: str) -> Path:
    return folder / f"training-{name[:16]}.safetensors"
