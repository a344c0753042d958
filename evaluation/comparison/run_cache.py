"""Outcomes kept on disk as soon as they are there, so that a long comparison can go on.

An outcome belongs to the data set, the split, what is measured, the versions of the packages, and
the model: its name, its class, its settings where it keeps them as ``config``, and its own numbers
and texts before it is fitted (such as a seed). What else makes a model what it is, such as files of
embeddings it reads, cannot be known here: where that changes, give the model another name or take
another folder. Recordings count by their paths and not by their bytes.

Versions that results depend on.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.errors import ArtifactError
from datasets.files import atomic_write
from datasets.versions import package_versions
from evaluation.comparison.run import Outcome, model_settings
from evaluation.comparison.tables import json_safe
from evaluation.comparison.trial import Trial
from evaluation.metrics.hits import HitMatrix
from evaluation.model import ModelFactory
from evaluation.splitting.split import Split

_PACKAGES: Final = (
    "coldtune", "numpy", "pandas", "scipy", "scikit-learn", "implicit", "rectools-lightfm",
    "annoy", "torch", "librosa", "plotly",
)  # fmt: skip


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, where installed."""
    return {"python": platform.python_version(), **package_versions(_PACKAGES)}


_FORMAT: Final = 1


class KeptOutcomes:
    """A folder with one file an outcome; a damaged one is as good as none."""

    def __init__(
        self, folder: Path, measured: Mapping[str, Any], embeddings: pd.DataFrame | None
    ) -> None:
        self._folder = folder
        sound = None if embeddings is None else _frame_digest(embeddings)
        self._common = {**measured, "embeddings": sound, "versions": installed_versions()}

    def outcome(self, trial: Trial, name: str, factory: ModelFactory) -> Outcome:
        """What was kept of this model on this trial; else the model is run, and that is kept.

        Raises :class:`~datasets.errors.ArtifactError` where it cannot be written.
        """
        model: Any = factory()
        path = self._folder / f"{self._digest(trial.split, name, model)}.npz"
        found = _read(path, trial)
        if found is None:
            found = trial.run(name, lambda: model)
            _write(path, found)
        return found

    def _digest(self, split: Split, name: str, model: Any) -> str:
        own = {
            key: value
            for key, value in getattr(model, "__dict__", {}).items()
            if isinstance(value, str | int | float | None)
        }
        what = {
            "format": _FORMAT,
            **self._common,
            "split": _split_digest(split),
            "model": [name, type(model).__module__, type(model).__qualname__, own],
            "settings": model_settings(model),
        }
        return hashlib.sha256(json.dumps(json_safe(what), sort_keys=True).encode()).hexdigest()


def _split_digest(split: Split) -> str:
    total = hashlib.sha256()
    for rows in (split.train_rows, split.test_rows, split.fold_in_rows):
        total.update(f"{len(rows)}|".encode())
        total.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    words = [split.name, split.kind, split.cold_items, split.few_shot_items, split.excluded_items]
    total.update(json.dumps(words).encode())
    return total.hexdigest()


def _frame_digest(frame: pd.DataFrame) -> str:
    total = hashlib.sha256(json.dumps([str(item) for item in frame.index]).encode())
    total.update(np.ascontiguousarray(frame.to_numpy(np.float64)).tobytes())
    return total.hexdigest()


def _write(path: Path, outcome: Outcome) -> None:
    arrays: dict[str, Any] = {}
    for part, figures in (("values", outcome.values), ("slices", outcome.slices)):
        arrays |= {f"{part}{n}": values for n, values in enumerate(figures.values())}
    if outcome.shown is not None:
        shown = outcome.shown
        arrays |= {"hit": shown.matrix, "items": shown.items, "listed": shown.n_listed}
        arrays |= {"relevant": shown.n_relevant}
    header = {
        "facts": json_safe(outcome.facts),
        "values": list(outcome.values),
        "slices": list(outcome.slices),
        "catalogue": [[*figure, *found] for figure, found in outcome.catalogue.items()],
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)
    except OSError as error:
        raise ArtifactError(f"{path}: the outcome cannot be kept there: {error}") from error


def _read(path: Path, trial: Trial) -> Outcome | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays["header"].tobytes())
        outcome = Outcome(
            {tuple(f): arrays[f"values{n}"] for n, f in enumerate(header["values"])},
            header["facts"],
            {
                (candidates, metric, k): (np.nan if mean is None else mean, n)
                for candidates, metric, k, mean, n in header["catalogue"]
            },
            {tuple(f): arrays[f"slices{n}"] for n, f in enumerate(header["slices"])},
            HitMatrix(arrays["hit"], arrays["relevant"], arrays["listed"], arrays["items"]),
        )
    except Exception:
        # Whatever is wrong with it: what cannot be read is computed again.
        return None
    return outcome if trial.fits(outcome) else None
