"""Models side by side on the same splits, the same users and the same definitions."""

import importlib.metadata
import platform
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from embedding.progress import progress_bar
from evaluation.model import ModelFactory
from evaluation.resampling import Difference, Interval, paired_difference
from evaluation.splits import Split
from evaluation.tables import Key, json_safe, tabulate
from evaluation.trial import CATALOGUE, Outcome, Trial

Values = NDArray[np.float64]
_PACKAGES: Final = (
    "coldtune", "numpy", "pandas", "scipy", "scikit-learn", "implicit", "rectools-lightfm",
    "annoy", "torch", "librosa", "plotly",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of :func:`compare`."""

    table: pd.DataFrame
    """A row a figure: split, candidates, model, control, metric, k, mean, low, high, n."""
    differences: pd.DataFrame
    """A row a paired difference ``model - against``, where ``role`` says what ``against`` is: the
    ``baseline``, or the ``best`` model that is no control. ``p`` is the paired t-test's, and
    ``p_corrected`` the same after Holm's correction over the models held against the same one in a
    split, set of candidates, metric and k. ``shown`` is whether that is below 1 - confidence and
    the interval leaves out 0."""
    runs: pd.DataFrame
    """A row a (split, model): seconds, peak memory in MiB, users without a list, settings."""
    values: Mapping[Key, Values]
    """One value a user (or item) behind every figure, in the order of ``units``."""
    units: Mapping[tuple[str, str], tuple[str, ...]]
    """{(split, "users" or "items"): ids that ``values`` belong to}."""
    dataset: Mapping[str, Any]
    """Counts and digest of the data set."""
    splits: tuple[Mapping[str, Any], ...]
    """Counts and settings of every split."""
    controls: Mapping[str, str]
    """{model: what may be so if no model is shown to beat it}."""
    baseline: str
    """The model that others are held against."""
    settings: Mapping[str, Any]
    """Arguments of :func:`compare`."""
    versions: Mapping[str, str]
    """Versions of Python and of the packages that matter."""

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order they were given."""
        return list(dict.fromkeys(self.table["model"]))

    @property
    def ks(self) -> tuple[int, ...]:
        """The list lengths measured, ascending."""
        return tuple(self.settings["ks"])

    def figures(self) -> dict[Key, Interval]:
        """The table as a dictionary: {(split, candidates, model, metric, k): interval}."""
        return {_key(row): _interval(row) for row in self.table.to_dict("records")}

    def gaps(self, role: Literal["baseline", "best"]) -> dict[Key, tuple[str, Difference]]:
        """Differences by the same keys: {…: (the model held against, difference)}."""
        rows = self.differences[self.differences["role"] == role].to_dict("records")
        return {_key(row): (row["against"], self._difference(row)) for row in rows}

    def _difference(self, row: Mapping[Hashable, Any]) -> Difference:
        confidence = self.settings["confidence"]
        return Difference.tested(_interval(row), row["p"], row["p_corrected"], confidence)

    def difference(
        self,
        model: str,
        against: str,
        *,
        split: str,
        candidates: str = CATALOGUE,
        metric: str = "ndcg",
        k: int | None = None,
    ) -> Interval:
        """Paired difference ``model - against`` with its bootstrap interval.

        Raises :class:`~datasets.errors.InvalidArgumentError` for a figure that was not measured.
        """
        pair = []
        for name in (model, against):
            key = (split, candidates, name, metric, k)
            if key not in self.values:
                raise InvalidArgumentError(f"not measured: {key}")
            pair.append(self.values[key])
        return paired_difference(
            *pair,
            n_bootstrap=self.settings["n_bootstrap"],
            confidence=self.settings["confidence"],
            seed=self.settings["seed"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the per-user values, fit for JSON: no NaN, no numpy types."""
        safe: dict[str, Any] = json_safe(
            {
                "dataset": dict(self.dataset),
                "splits": list(self.splits),
                "baseline": self.baseline,
                "controls": dict(self.controls),
                "table": self.table.to_dict("records"),
                "differences": self.differences.to_dict("records"),
                "runs": self.runs.to_dict("records"),
                "settings": dict(self.settings),
                "versions": dict(self.versions),
            }
        )
        return safe


def compare(
    models: Mapping[str, ModelFactory],
    dataset: MusicDataset,
    splits: Sequence[Split],
    *,
    ks: Sequence[int] = (10, 20),
    controls: Mapping[str, str] | None = None,
    baseline: str | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    max_auc_users: int = 5000,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Fit and measure every model on every split.

    For a cold split the training side has neither the interactions nor the texts nor the
    recordings of the items held out; they reach a model by ``onboard_many`` alone. A model
    without that method has nothing to say about them, and counts 0. Cold items are ranked among
    themselves and among the whole catalogue.

    ``models``: name → factory of a fresh model. ``controls``: names of models that are there to
    expose a figure that means little → what may be so if no model is shown to beat them, e.g.
    ``{"shuffled embeddings": "the audio adds nothing"}``; a control is never the best model.
    ``baseline``: the model that others are held against; "popularity" where there is one, else the
    first. ``max_auc_users``: the item-wise AUC ranks at most this many users, drawn by ``seed``.

    Raises :class:`~datasets.errors.EvaluationError` for a leak or an invalid list, and
    :class:`~datasets.errors.InvalidArgumentError` for arguments that do not fit together.
    """
    ks = tuple(sorted(set(ks)))
    controls = dict(controls or {})
    if baseline is None:
        baseline = "popularity" if "popularity" in models else next(iter(models), "")
    _check_arguments(models, splits, ks, controls, baseline)
    settings = {
        "ks": list(ks),
        "n_bootstrap": n_bootstrap,
        "confidence": confidence,
        "max_auc_users": max_auc_users,
        "seed": seed,
    }
    values: dict[Key, Values] = {}
    units: dict[tuple[str, str], tuple[str, ...]] = {}
    facts, runs = [], []
    with progress_bar("evaluating", len(models) * len(splits), shown=progress) as advance:
        for split in splits:
            trial = Trial(dataset, split, ks, max_auc_users=max_auc_users, seed=seed)
            facts.append(trial.facts())
            units[split.name, "users"] = tuple(trial.users)
            units[split.name, "items"] = trial.auc_items
            for name, factory in models.items():
                outcome = trial.run(name, factory)
                runs.append(_run_row(split.name, name, name in controls, outcome))
                for (candidates, metric, k), per_unit in outcome.values.items():
                    values[split.name, candidates, name, metric, k] = per_unit
                advance(1)
    table, differences = tabulate(
        values,
        set(controls),
        baseline,
        n_bootstrap=n_bootstrap,
        confidence=confidence,
        seed=seed,
    )
    return Comparison(
        table,
        differences,
        pd.DataFrame(runs),
        values,
        units,
        {**dataset.summary(), "digest": dataset.digest()},
        tuple(facts),
        controls,
        baseline,
        settings,
        installed_versions(),
    )


def _check_arguments(
    models: Mapping[str, ModelFactory],
    splits: Sequence[Split],
    ks: tuple[int, ...],
    controls: Mapping[str, str],
    baseline: str,
) -> None:
    if not models or not splits:
        raise InvalidArgumentError("a comparison needs at least one model and one split")
    if not ks or ks[0] < 1:
        raise InvalidArgumentError(f"ks must be list lengths of at least 1, not {ks}")
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"two splits have the same name: {names}")
    for what, name in [*(("control", control) for control in controls), ("baseline", baseline)]:
        if name not in models:
            raise InvalidArgumentError(f"the {what} {name!r} is not among the models")
    if set(models) <= set(controls):
        raise InvalidArgumentError("every model is a control; there is nothing to compare")


def _key(row: Mapping[Hashable, Any]) -> Key:
    k = None if pd.isna(row["k"]) else int(row["k"])
    return row["split"], row["candidates"], row["model"], row["metric"], k


def _interval(row: Mapping[Hashable, Any]) -> Interval:
    return Interval(row["mean"], row["low"], row["high"])


def _run_row(split: str, model: str, control: bool, outcome: Outcome) -> dict[str, Any]:
    return {"split": split, "model": model, "control": control, **outcome.facts}


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, where installed."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
