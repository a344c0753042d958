"""Models side by side on the same splits, the same users and the same definitions.

The outcomes of a comparison put together, one experiment after the other.
"""

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from datasets.arguments import check_whole
from datasets.arrays import Float64Array, IntArray
from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from evaluation.arguments import (
    check_confidence,
    check_embeddings,
    check_models,
    check_sampled,
    list_lengths,
)
from evaluation.comparison.bootstrap import Difference, Draws, Interval, paired_difference
from evaluation.comparison.examples import Example, ExampleMaker
from evaluation.comparison.folds import (
    FOLDS,
    Pool,
    experiments,
    fold_rows,
    pooled_facts,
    pooled_run,
)
from evaluation.comparison.run import Outcome
from evaluation.comparison.run_cache import KeptOutcomes, installed_versions
from evaluation.comparison.tables import (
    Key,
    SliceKey,
    SliceName,
    json_safe,
    tabulate,
    tabulate_slices,
)
from evaluation.comparison.trial import CATALOGUE, Trial, Units
from evaluation.metrics.ranking import ACCURACY
from evaluation.model import ModelFactory
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split


class Gathered:
    """Values behind all tables; folds are pooled as soon as an experiment is complete."""

    def __init__(self, controls: Mapping[str, str]) -> None:
        self._controls = set(controls)
        self.values: dict[Key, Float64Array] = {}
        self.units: dict[tuple[str, str], tuple[str, ...]] = {}
        self.facts: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.examples: list[Example] = []
        self._catalogue: dict[Key, tuple[float, int]] = {}
        self._slices: dict[SliceKey, Float64Array] = {}
        self._slice_rows: dict[SliceName, IntArray] = {}
        self._folds: list[tuple[Any, ...]] = []

    def add(
        self,
        name: str,
        outcomes: Mapping[str, Sequence[Outcome]],
        facts: Sequence[Mapping[str, Any]],
        units: Sequence[Units],
        confidence: float,
    ) -> None:
        """An experiment: {model: its outcomes, one a fold}, and facts and units of every fold."""
        pool = Pool(units)
        self.facts.append(pooled_facts(name, facts, pool))
        self.units[name, "users"], self.units[name, "items"] = pool.users, pool.auc_items
        for model, found in outcomes.items():
            run = pooled_run([outcome.facts for outcome in found])
            is_control = model in self._controls
            self.runs.append({"split": name, "model": model, "control": is_control, **run})
            for (candidates, metric, k), per_unit in pool.values(found).items():
                self.values[name, candidates, model, metric, k] = per_unit
            for (candidates, metric, k), figure in pool.catalogue(found).items():
                self._catalogue[name, candidates, model, metric, k] = figure
            for (candidates, by, part, metric, at), (rows, own) in pool.slices(found).items():
                self._slices[name, candidates, model, by, part, metric, at] = own
                self._slice_rows[name, candidates, by, part] = rows
        self._folds += fold_rows(name, outcomes, confidence)

    def tables(
        self, baseline: str, *, n_bootstrap: int, confidence: float, seed: int
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Figures, differences, slices and folds."""
        draws = Draws(n_bootstrap, seed)
        table, differences = tabulate(
            self.values,
            self._catalogue,
            self._controls,
            baseline,
            draws=draws,
            confidence=confidence,
        )
        slices = tabulate_slices(
            self._slices,
            self._slice_rows,
            {split: len(ids) for (split, unit), ids in self.units.items() if unit == "users"},
            self._controls,
            draws=draws,
            confidence=confidence,
        )
        folds = pd.DataFrame(self._folds, columns=list(FOLDS))
        return table, differences, slices, folds.astype({"k": "Int64", "folds": "Int64"})


OnRun = Callable[[str, str, Outcome], None]
"""Called with (model, split, outcome) after every run."""

__all__ = ["Comparison", "OnRun", "compare", "installed_versions"]


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
    values: Mapping[Key, Float64Array]
    """One value a user (or item) behind every figure, in the order of ``units``."""
    units: Mapping[tuple[str, str], tuple[str, ...]]
    """{(split, "users" or "items"): ids that ``values`` belong to}."""
    dataset: Mapping[str, Any]
    """Counts and digest of the data set."""
    splits: tuple[Mapping[str, Any], ...]
    """Counts and settings of every split; ``folds`` has those of the folds pooled in it."""
    controls: Mapping[str, str]
    """{model: what may be so if no model is shown to beat it}."""
    baseline: str
    """The model that others are held against."""
    settings: Mapping[str, Any]
    """Arguments of :func:`compare`."""
    versions: Mapping[str, str]
    """Versions of Python and of the packages that matter."""
    slices: pd.DataFrame
    """A row a figure of a slice: split, candidates, model, control, by, slice, metric, k, mean,
    low, high, n; see :mod:`evaluation.metrics.slices`."""
    folds: pd.DataFrame
    """A row a figure of an experiment with folds: split, candidates, model, metric, k, folds, mean,
    sd, and the t interval over folds; empty without folds."""
    examples: tuple[Example, ...]
    """Users shown in full."""

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
        return dict(self._figures)

    def gaps(self, role: Literal["baseline", "best"]) -> dict[Key, tuple[str, Difference]]:
        """Differences by the same keys: {…: (the model held against, difference)}."""
        return dict(self._gaps[role])

    # Conclusions and report ask for these hundreds of times.
    @cached_property
    def _figures(self) -> dict[Key, Interval]:
        return {_key(row): _interval(row) for row in self.table.to_dict("records")}

    @cached_property
    def _gaps(self) -> dict[str, dict[Key, tuple[str, Difference]]]:
        found: dict[str, dict[Key, tuple[str, Difference]]] = {"baseline": {}, "best": {}}
        confidence = self.settings["confidence"]
        for row in self.differences.to_dict("records"):
            gap = Difference.tested(_interval(row), row["p"], row["p_corrected"], confidence)
            found[row["role"]][_key(row)] = row["against"], gap
        return found

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
                "slices": self.slices.to_dict("records"),
                "folds": self.folds.to_dict("records"),
                "examples": [example.to_dict() for example in self.examples],
            }
        )
        return safe


def compare(
    models: Mapping[str, ModelFactory],
    dataset: MusicDataset,
    splits: Sequence[Split],
    *,
    ks: Sequence[int] = (10, 20),
    metrics: Sequence[str] | None = None,
    controls: Mapping[str, str] | None = None,
    baseline: str | None = None,
    sampled: int | None = None,
    embeddings: pd.DataFrame | None = None,
    examples: int = 10,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    max_auc_users: int = 5000,
    seed: int = 0,
    progress: bool = False,
    on_run: OnRun | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Fit and measure every model on every split.

    Where a split holds out whole items, the training side has neither their interactions nor their
    texts nor their recordings; they reach a model by ``onboard_many`` alone. A model without that
    method has nothing to say about them, and counts 0. Cold items are ranked among themselves and
    among the whole catalogue. The plays that cold users give reach a model by ``update`` alone,
    where it has that method; a user it refuses counts 0. Folds of one group are put together under
    the group's name: a user tested in several counts once, with the mean.

    ``models``: name → factory of a fresh model. ``controls``: names of models that are there to
    expose a figure that means little → what may be so if no model is shown to beat them, e.g.
    ``{"shuffled embeddings": "the audio adds nothing"}``; a control is never the best model.
    ``metrics``: names of :data:`evaluation.metrics.ranking.ACCURACY`, all by default; nDCG is always among
    them, as it says which model is best. ``baseline``: the model that others are held against;
    "popularity" where there is one, else the first. ``sampled``: besides the whole catalogue, rank
    so many sampled items (:mod:`evaluation.metrics.sampling`). ``embeddings``: index item_id, a column a
    dimension, for the diversity of lists. ``examples``: users to show in full. ``max_auc_users``:
    the AUCs rank at most this many users, drawn by ``seed``. ``on_run`` is called with the name of
    the model, that of the split (a fold's own) and the outcome, after each fit and for each outcome
    that was kept. ``resume``: a folder where each outcome is kept as soon as it is there, and taken
    from if it was kept before (:mod:`evaluation.comparison.run_cache`).

    Raises :class:`~datasets.errors.EvaluationError` for a leak or an invalid list, and
    :class:`~datasets.errors.InvalidArgumentError` for arguments that do not fit together.
    """
    ks = list_lengths(ks)
    controls = dict(controls or {})
    metrics = _with_ndcg(metrics)
    if baseline is None:
        baseline = "popularity" if "popularity" in models else next(iter(models), "")
    if not models or not splits:
        raise InvalidArgumentError("a comparison needs at least one model and one split")
    check_models(models, controls, baseline)
    check_sampled(sampled)
    check_embeddings(embeddings, dataset)
    check_confidence(confidence)
    for what, value, least in (
        ("examples", examples, 0),
        ("n_bootstrap", n_bootstrap, 1),
        ("max_auc_users", max_auc_users, 1),
        ("seed", seed, 0),
    ):
        check_whole(what, value, least)
    groups = experiments(splits)
    data = {**dataset.summary(), "digest": dataset.digest()}
    measured = {
        "ks": list(ks),
        "metrics": list(metrics),
        "sampled": sampled,
        "max_auc_users": max_auc_users,
        "seed": seed,
    }
    kept = None
    if resume is not None:
        kept = KeptOutcomes(Path(resume), {**measured, "data": data["digest"]}, embeddings)
    gathered, pairs = Gathered(controls), UserItemPairs.from_dataset(dataset)
    with progress_bar("evaluating", len(models) * len(splits), shown=progress) as advance:
        for number, (group, folds) in enumerate(groups.items()):
            outcomes: dict[str, list[Outcome]] = {name: [] for name in models}
            facts, units = [], []
            for split in folds:
                trial = Trial(
                    dataset,
                    split,
                    ks,
                    metrics=metrics,
                    sampled=sampled,
                    embeddings=embeddings,
                    max_auc_users=max_auc_users,
                    seed=seed,
                    pairs=pairs,
                )
                for name, factory in models.items():
                    if kept is None:
                        outcome = trial.run(name, factory)
                    else:
                        outcome = kept.outcome(trial, name, factory)
                    if on_run is not None:
                        on_run(name, split.name, outcome)
                    outcomes[name].append(outcome)
                    advance(1)
                if split is folds[0]:
                    wanted = examples // len(groups) + (number < examples % len(groups))
                    first = {name: of[0] for name, of in outcomes.items() if name not in controls}
                    gathered.examples += ExampleMaker(trial).chosen(first, wanted)
                # Lists are for examples alone, and are not kept for every fold.
                outcomes = {name: _without_lists(of) for name, of in outcomes.items()}
                facts.append(trial.facts())
                units.append(trial.units())
            gathered.add(group, outcomes, facts, units, confidence)
    table, differences, slices, over_folds = gathered.tables(
        baseline, n_bootstrap=n_bootstrap, confidence=confidence, seed=seed
    )
    return Comparison(
        table,
        differences,
        pd.DataFrame(gathered.runs),
        gathered.values,
        gathered.units,
        data,
        tuple(gathered.facts),
        controls,
        baseline,
        {**measured, "examples": examples, "n_bootstrap": n_bootstrap, "confidence": confidence},
        installed_versions(),
        slices,
        over_folds,
        tuple(gathered.examples),
    )


def _without_lists(outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(outcome, shown=None) for outcome in outcomes]


def _with_ndcg(metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics asked for in their usual order, and nDCG."""
    if metrics is None:
        return ACCURACY
    unknown = set(metrics) - set(ACCURACY)
    if unknown:
        raise InvalidArgumentError(f"no metric {min(unknown)!r}; there are {', '.join(ACCURACY)}")
    return tuple(name for name in ACCURACY if name in metrics or name == "ndcg")


def _key(row: Mapping[Hashable, Any]) -> Key:
    k = None if pd.isna(row["k"]) else int(row["k"])
    return row["split"], row["candidates"], row["model"], row["metric"], k


def _interval(row: Mapping[Hashable, Any]) -> Interval:
    return Interval(row["mean"], row["low"], row["high"])
