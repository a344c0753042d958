"""Compare models on the same splits, the same users and the same metrics."""

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
from datasets.music import MusicDataset, check_dataset
from datasets.progress import progress_bar
from datasets.tables.frames import FrameLike
from datasets.tables.values import format_value
from evaluation.arguments import (
    check_confidence,
    check_models,
    check_sampled,
    checked_embeddings,
    list_lengths,
)
from evaluation.comparison.bootstrap import Bootstrap, Difference, Interval, paired_difference
from evaluation.comparison.examples import Example, choose_examples
from evaluation.comparison.folds import (
    FOLD_COLUMNS,
    FoldPool,
    fold_rows,
    group_folds,
    pooled_run_facts,
    pooled_split_facts,
)
from evaluation.comparison.frontier import tabulate_frontier
from evaluation.comparison.run import RunResult, run_model
from evaluation.comparison.run_cache import RunCache
from evaluation.comparison.tables import (
    FigureKey,
    SliceFigureKey,
    SliceKey,
    tabulate,
    tabulate_slices,
)
from evaluation.comparison.trial import CATALOGUE, Trial, TrialOptions, Units
from evaluation.metrics.ranking import ACCURACY
from evaluation.metrics.whole_lists import BUDGETS, checked_budgets
from evaluation.model import ModelFactory
from evaluation.serialization import installed_versions, json_safe
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split

OnRun = Callable[[str, str, RunResult], None]
"""Called with (model, split, result) after every run."""


_MOST_NAMED = 5
"""Models that the repr names."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The result of ``compare``: tables of figures, differences, runs, slices and folds.

    Examples:
        >>> comparison.models
        ['popularity', 'random']
        >>> row = comparison.table.query("model == 'popularity' and metric == 'ndcg'").iloc[0]
        >>> row["split"], row["candidates"], int(row["k"]), int(row["n"])
        ('warm', 'catalogue', 5, 60)
        >>> gap = comparison.difference("popularity", "random", split="warm", k=5)
        >>> gap.low <= gap.mean <= gap.high
        True
    """

    table: pd.DataFrame
    """A row a figure: split, candidates, model, control, metric, k, mean, low, high, n."""
    differences: pd.DataFrame
    """A row a paired difference ``model - against``, where ``role`` says what ``against`` is: the
    ``baseline``, or the ``best`` model that is not a control. ``p`` is the paired t-test's, and
    ``p_corrected`` the same after Holm's correction over the models compared with the same one in
    a split, set of candidates, metric and k. ``shown`` is whether that is below 1 - confidence and
    the interval excludes 0."""
    runs: pd.DataFrame
    """A row a (split, model): seconds, peak memory in MiB, users without a list, settings."""
    values: Mapping[FigureKey, Float64Array]
    """One value a user (or item) behind every figure, in the order of ``units``."""
    units: Mapping[tuple[str, str], tuple[str, ...]]
    """{(split, "users" or "items"): ids that ``values`` belong to}."""
    dataset: Mapping[str, Any]
    """Counts and digest of the data set."""
    splits: tuple[Mapping[str, Any], ...]
    """Counts and settings of every split; ``folds`` has those of the folds pooled in it."""
    controls: Mapping[str, str]
    """{model: what may be true if no model is shown to beat it}."""
    baseline: str
    """The model that others are compared with."""
    settings: Mapping[str, Any]
    """Arguments of ``compare``."""
    versions: Mapping[str, str]
    """Versions of Python and of the packages that results depend on."""
    slices: pd.DataFrame
    """A row a figure of a slice: split, candidates, model, control, by, slice, metric, k, mean,
    low, high, n; see ``evaluation.metrics.slices``."""
    folds: pd.DataFrame
    """A row a figure of a split with folds: split, candidates, model, metric, k, folds, mean,
    sd, and the t interval over folds; empty without folds."""
    examples: tuple[Example, ...]
    """Users shown in full."""

    def __repr__(self) -> str:
        names = [format_value(name) for name in self.models]
        more = ", …" if len(names) > _MOST_NAMED else ""
        splits = len(self.splits)
        return (
            f"<Comparison of {', '.join(names[:_MOST_NAMED])}{more} on {splits} "
            f"split{'s' if splits != 1 else ''}: {len(self.table):,} figures>"
        )

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order they were given."""
        return list(dict.fromkeys(self.table["model"]))

    @property
    def ks(self) -> tuple[int, ...]:
        """The list lengths measured, ascending."""
        return tuple(self.settings["ks"])

    def figures(self) -> dict[FigureKey, Interval]:
        """Return the table as {(split, candidates, model, metric, k): interval}."""
        return dict(self._figures)

    def gaps(self, role: Literal["baseline", "best"]) -> dict[FigureKey, tuple[str, Difference]]:
        """Return the differences of a role as {key: (the model compared with, difference)}."""
        return dict(self._gaps[role])

    @property
    def frontier(self) -> pd.DataFrame:
        """What new items cost in whole lists, against what is shown of them.

        A row for each model of a mixed split at each budget it was asked for, and one for its own
        lists (``discovery`` is NaN): see ``evaluation.comparison.frontier``.
        """
        return self._frontier.copy()

    # Cached: conclusions and report ask for these hundreds of times.
    @cached_property
    def _frontier(self) -> pd.DataFrame:
        return tabulate_frontier(
            self.values,
            self._figures,
            self.controls,
            n_bootstrap=self.settings["n_bootstrap"],
            confidence=self.settings["confidence"],
            seed=self.settings["seed"],
        )

    @cached_property
    def _figures(self) -> dict[FigureKey, Interval]:
        return {_key(row): _interval(row) for row in self.table.to_dict("records")}

    @cached_property
    def _gaps(self) -> dict[str, dict[FigureKey, tuple[str, Difference]]]:
        found: dict[str, dict[FigureKey, tuple[str, Difference]]] = {"baseline": {}, "best": {}}
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
        """Compute the paired difference ``model - against`` with its bootstrap interval.

        Args:
            model: name of a model.
            against: name of another.
            split: name of the split.
            candidates: name of the candidate set.
            metric: name of the metric.
            k: length of the lists; None for the AUCs.

        Raises:
            InvalidArgumentError: a figure that was not measured.
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
        """Return everything but the values per user as JSON values; NaN becomes None."""
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
                "frontier": self.frontier.to_dict("records"),
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
    embeddings: FrameLike | None = None,
    examples: int = 10,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    max_auc_users: int = 5000,
    budgets: Sequence[float] = BUDGETS,
    seed: int = 0,
    progress: bool = False,
    on_run: OnRun | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Fit and measure every model on every split.

    Where a split holds out whole items, the training side has neither their interactions nor their
    texts nor their recordings; they reach a model by ``onboard_many`` alone. A model without that
    method cannot recommend them, and counts 0. Cold items are ranked among themselves and among
    the whole catalogue. The fold-in interactions of cold users reach a model by ``update`` alone,
    if it has that method; a user it refuses counts 0. Folds of one group are pooled under the
    group's name: a user tested in several counts once, with the mean.

    Args:
        models: {name: factory of a new model}.
        dataset: the whole data set.
        splits: splits of it; folds of a group may be among them.
        ks: lengths of the lists.
        metrics: names of ``evaluation.metrics.ranking.ACCURACY``, all by default; nDCG is
            always among them, as the best model is chosen by it.
        controls: {model: what may be true if no model is shown to beat it}, for models that expose
            figures that mean little, such as ``{"shuffled embeddings": "the audio adds nothing"}``.
            A control is never the best model.
        baseline: the model that others are compared with; "popularity" if there is one, else the
            first.
        sampled: also rank this many sampled items (``evaluation.metrics.sampling``).
        embeddings: index item_id, one column a dimension, for the diversity of lists.
        examples: number of users to show in full.
        n_bootstrap: number of bootstrap resamples, at least 100.
        confidence: level of the intervals and tests.
        max_auc_users: the AUCs rank for at most this many users, drawn by ``seed``.
        budgets: shares of nDCG that a model may pay for new items; on mixed splits, models that
            take one (``evaluation.model.Model``) are also measured at each of these and at 0.
            Empty: at none.
        seed: seed of all random choices.
        progress: show a progress bar.
        on_run: called with the name of the model, that of the split (a fold's own) and the result,
            after each run and for each stored result.
        resume: folder where each result is stored as soon as it is there, and read from if it was
            stored before (``evaluation.comparison.run_cache``).

    Raises:
        EvaluationError: a split or a model leaks, or a list is invalid.
        InvalidArgumentError: arguments that do not fit together.

    Examples:
        >>> from evaluation import Popularity, Random, compare
        >>> models = {"popularity": Popularity, "random": Random}
        >>> result = compare(models, dataset, [split], ks=(5,), n_bootstrap=100)
        >>> result.baseline, "ndcg" in set(result.table["metric"])
        ('popularity', True)
    """
    # Check everything before anything is fitted.
    controls = dict(controls or {})
    options = TrialOptions(
        list_lengths(ks),
        _with_ndcg(metrics),
        sampled,
        max_auc_users,
        tuple(checked_budgets(budgets)) if len(budgets) else (),
        seed,
    )
    if baseline is None:
        baseline = "popularity" if "popularity" in models else next(iter(models), "")
    if not models or not splits:
        raise InvalidArgumentError("a comparison needs at least one model and one split")
    check_models(models, controls, baseline)
    check_sampled(sampled)
    check_dataset(dataset)
    embeddings = checked_embeddings(embeddings, dataset)
    check_confidence(confidence)
    for what, value, least in (
        ("examples", examples, 0),
        ("n_bootstrap", n_bootstrap, 1),
        ("max_auc_users", max_auc_users, 1),
        ("seed", seed, 0),
    ):
        check_whole(what, value, least)
    groups = group_folds(splits)

    # Run every model on every split; pool the folds of a group as soon as all are there.
    summary = {**dataset.summary(), "digest": dataset.digest()}
    run = run_model
    if resume is not None:
        identity = {**options.to_dict(), "data": summary["digest"]}
        run = RunCache(Path(resume), identity, embeddings).run
    collector, pairs = ResultCollector(controls, confidence), UserItemPairs.from_dataset(dataset)
    with progress_bar("evaluating", len(models) * len(splits), shown=progress) as advance:
        for number, (group, folds) in enumerate(groups.items()):
            results: dict[str, list[RunResult]] = {name: [] for name in models}
            facts, units = [], []
            for split in folds:
                trial = Trial(dataset, split, options, embeddings=embeddings, pairs=pairs)
                for name, factory in models.items():
                    result = run(trial, name, factory)
                    if on_run is not None:
                        on_run(name, split.name, result)
                    results[name].append(result)
                    advance(1)
                if split is folds[0]:
                    n = examples // len(groups) + (number < examples % len(groups))
                    first = {
                        name: found[0] for name, found in results.items() if name not in controls
                    }
                    collector.examples += choose_examples(trial, first, n)
                # Lists are for examples alone, and are not kept for every fold.
                results = {name: _without_lists(found) for name, found in results.items()}
                facts.append(trial.facts())
                units.append(trial.units())
            collector.add(group, results, facts, units)

    # Means, intervals and tests.
    bootstrap = Bootstrap(n_bootstrap, seed)
    table, differences = collector.figures(baseline, bootstrap)
    slices = collector.slices(bootstrap)
    return Comparison(
        table=table,
        differences=differences,
        runs=pd.DataFrame(collector.runs),
        values=collector.values,
        units=collector.units,
        dataset=summary,
        splits=tuple(collector.facts),
        controls=controls,
        baseline=baseline,
        settings={
            **options.to_dict(),
            "examples": examples,
            "n_bootstrap": n_bootstrap,
            "confidence": confidence,
        },
        versions=installed_versions(),
        slices=slices,
        folds=collector.folds(),
        examples=tuple(collector.examples),
    )


class ResultCollector:
    """Collects the results of a comparison, group by group, and makes its tables.

    Args:
        controls: names of the models that are controls.
        confidence: level of the intervals.
    """

    def __init__(self, controls: Mapping[str, str], confidence: float) -> None:
        self._controls = set(controls)
        self._confidence = confidence
        self.values: dict[FigureKey, Float64Array] = {}
        self.units: dict[tuple[str, str], tuple[str, ...]] = {}
        self.facts: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.examples: list[Example] = []
        self._catalogue: dict[FigureKey, tuple[float, int]] = {}
        self._slices: dict[SliceFigureKey, Float64Array] = {}
        self._slice_rows: dict[SliceKey, IntArray] = {}
        self._fold_rows: list[tuple[Any, ...]] = []

    def add(
        self,
        name: str,
        results: Mapping[str, Sequence[RunResult]],
        facts: Sequence[Mapping[str, Any]],
        units: Sequence[Units],
    ) -> None:
        """Add a group of folds: {model: its results, one a fold}, facts and units of each fold."""
        pool = FoldPool(units)
        self.facts.append(pooled_split_facts(name, facts, pool))
        self.units[name, "users"], self.units[name, "items"] = pool.users, pool.auc_items
        for model, found in results.items():
            run = pooled_run_facts([result.facts for result in found])
            is_control = model in self._controls
            self.runs.append({"split": name, "model": model, "control": is_control, **run})
            for (candidates, metric, k), per_unit in pool.values(found).items():
                self.values[name, candidates, model, metric, k] = per_unit
            for (candidates, metric, k), figure in pool.catalogue(found).items():
                self._catalogue[name, candidates, model, metric, k] = figure
            for (candidates, by, part, metric, at), (rows, own) in pool.slices(found).items():
                self._slices[name, candidates, model, by, part, metric, at] = own
                self._slice_rows[name, candidates, by, part] = rows
        self._fold_rows += fold_rows(name, results, self._confidence)

    def figures(self, baseline: str, bootstrap: Bootstrap) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Make the tables of means and of differences."""
        return tabulate(
            self.values,
            self._catalogue,
            self._controls,
            baseline,
            bootstrap=bootstrap,
            confidence=self._confidence,
        )

    def slices(self, bootstrap: Bootstrap) -> pd.DataFrame:
        """Make the table of slices."""
        return tabulate_slices(
            self._slices,
            self._slice_rows,
            {split: len(ids) for (split, unit), ids in self.units.items() if unit == "users"},
            self._controls,
            bootstrap=bootstrap,
            confidence=self._confidence,
        )

    def folds(self) -> pd.DataFrame:
        """Make the table of means over folds."""
        table = pd.DataFrame(self._fold_rows, columns=list(FOLD_COLUMNS))
        return table.astype({"k": "Int64", "folds": "Int64"})


def _without_lists(results: list[RunResult]) -> list[RunResult]:
    return [replace(result, example_hits=None) for result in results]


def _with_ndcg(metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics asked for in their usual order, and nDCG."""
    if metrics is None:
        return ACCURACY
    unknown = set(metrics) - set(ACCURACY)
    if unknown:
        raise InvalidArgumentError(f"no metric {min(unknown)!r}; there are {', '.join(ACCURACY)}")
    return tuple(name for name in ACCURACY if name in metrics or name == "ndcg")


def _key(row: Mapping[Hashable, Any]) -> FigureKey:
    k = None if pd.isna(row["k"]) else int(row["k"])
    return row["split"], row["candidates"], row["model"], row["metric"], k


def _interval(row: Mapping[Hashable, Any]) -> Interval:
    return Interval(row["mean"], row["low"], row["high"])
