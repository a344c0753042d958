"""Cache of run results on disk, so that an interrupted comparison goes on where it was.

A result is identified by the data set, the split, what is measured, the versions of the packages,
and the model: its name, class and settings (``config``), and the numbers and texts among its
attributes before it is fitted (such as a seed). What else distinguishes a model, such as files of
embeddings it reads, is not seen here: where that changes, give the model another name or use
another folder. Recordings count by their paths, not by their content.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.errors import ArtifactError
from datasets.system.files import atomic_write
from evaluation.comparison.run import RunResult, model_settings, run_model
from evaluation.comparison.trial import Trial
from evaluation.metrics.hits import HitMatrix
from evaluation.metrics.ranking import ITEM_METRICS
from evaluation.model import ModelFactory
from evaluation.serialization import installed_versions, json_safe
from evaluation.splitting.split import Split

_FORMAT: Final = 2


class RunCache:
    """A folder with one file for each run; a damaged file counts as missing.

    Args:
        folder: where the files are; made when the first is written.
        measured: what results depend on beside split and model: the data set and options.
        embeddings: those that the diversity of lists is measured by.

    Examples:
        >>> from evaluation import Popularity
        >>> from evaluation.comparison.trial import TrialOptions
        >>> trial = Trial(dataset, split, TrialOptions(ks=(5,)))
        >>> cache = RunCache(folder, {"data": dataset.digest(), "ks": [5]}, None)
        >>> first = cache.run(trial, "popularity", Popularity)
        >>> again = cache.run(trial, "popularity", Popularity)  # read from the folder
        >>> first.facts["fit_seconds"] == again.facts["fit_seconds"]
        True
    """

    def __init__(
        self, folder: Path, measured: Mapping[str, Any], embeddings: pd.DataFrame | None
    ) -> None:
        self._folder = folder
        digest = None if embeddings is None else _frame_digest(embeddings)
        self._common = {**measured, "embeddings": digest, "versions": installed_versions()}

    def run(self, trial: Trial, name: str, factory: ModelFactory) -> RunResult:
        """Return the stored result of a model on a trial; else run the model and store it.

        Args:
            trial: the split made ready.
            name: the model's name.
            factory: makes the model.

        Raises:
            ArtifactError: the result cannot be written.
            EvaluationError: see ``run_model``.
        """
        model: Any = factory()
        path = self._folder / f"{self._digest(trial.split, name, model)}.npz"
        found = _read(path, trial)
        if found is None:
            found = run_model(trial, name, lambda: model)
            _write(path, found)
        return found

    def _digest(self, split: Split, name: str, model: Any) -> str:
        attributes = {
            key: value
            for key, value in getattr(model, "__dict__", {}).items()
            if isinstance(value, str | int | float | None)
        }
        identity = {
            "format": _FORMAT,
            **self._common,
            "split": _split_digest(split),
            "model": [name, type(model).__module__, type(model).__qualname__, attributes],
            "settings": model_settings(model),
        }
        return hashlib.sha256(json.dumps(json_safe(identity), sort_keys=True).encode()).hexdigest()


def _split_digest(split: Split) -> str:
    digest = hashlib.sha256()
    for rows in (split.train_rows, split.test_rows, split.fold_in_rows):
        digest.update(f"{len(rows)}|".encode())
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    texts = [split.name, split.kind, split.cold_items, split.few_shot_items, split.excluded_items]
    digest.update(json.dumps(texts).encode())
    return digest.hexdigest()


def _frame_digest(frame: pd.DataFrame) -> str:
    digest = hashlib.sha256(json.dumps([str(item) for item in frame.index]).encode())
    digest.update(np.ascontiguousarray(frame.to_numpy(np.float64)).tobytes())
    return digest.hexdigest()


def _write(path: Path, result: RunResult) -> None:
    arrays: dict[str, Any] = {}
    for part, figures in (("values", result.values), ("slices", result.slices)):
        arrays |= {f"{part}{n}": values for n, values in enumerate(figures.values())}
    if result.example_hits is not None:
        hits = result.example_hits
        arrays |= {"hit": hits.matrix, "items": hits.items, "listed": hits.n_listed}
        arrays |= {"relevant": hits.n_relevant}
    header = {
        "facts": json_safe(result.facts),
        "values": list(result.values),
        "slices": list(result.slices),
        "catalogue": [[*figure, *found] for figure, found in result.catalogue.items()],
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)
    except OSError as error:
        raise ArtifactError(f"{path}: the outcome cannot be kept there: {error}") from error


def _read(path: Path, trial: Trial) -> RunResult | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays["header"].tobytes())
        result = RunResult(
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
        # Whatever is wrong with the file: what cannot be read is computed again.
        return None
    return result if _fits(result, trial) else None


def _fits(result: RunResult, trial: Trial) -> bool:
    """Whether a stored result has as many values as the trial has users and items."""
    units, hits = trial.units(), result.example_hits
    return (
        all(
            len(values) == len(units.auc_items if metric in ITEM_METRICS else units.users)
            for (_, metric, _), values in result.values.items()
        )
        and all(
            len(values) == len(units.slice_rows[key[:3]]) for key, values in result.slices.items()
        )
        and hits is not None
        and len(hits.items) == len(trial.example_candidates.users)
    )
