"""MLflow runs of a comparison: a run for each model, with a child run for each of its fits.

Metrics have the same names in all runs, such as `warm/ndcg_at_10`, so that MLflow's views compare
models, with a section for each split. The ends of confidence intervals (`warm_low/ndcg_at_10`,
`warm_high/ndcg_at_10`) and times (`work/fit_seconds`) follow.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd

from evaluation.comparison.comparison import Comparison
from evaluation.comparison.run import RunResult
from evaluation.comparison.trial import CATALOGUE
from evaluation.splitting.split import Split
from recsys.tracking.runs import TrackedRun, untracked

SECONDS = ("fit_seconds", "onboard_seconds", "recommend_seconds")


class ComparisonRuns:
    """Logs the runs of one comparison below the run of an evaluation."""

    def __init__(self, run: TrackedRun, splits: Sequence[Split]) -> None:
        self._run = run
        self._groups = {split.name: split.group or split.name for split in splits}
        self._models: dict[str, TrackedRun] = {}
        self._costs: dict[str, Counter[str]] = {}

    def add(self, model: str, split: str, result: RunResult) -> None:
        """Log one fit of a model; the `on_run` argument of `compare`."""
        own = self._models.get(model)
        facts = result.facts
        costs = {f"work/{name}": float(facts[name]) for name in SECONDS if name in facts}
        self._costs.setdefault(model, Counter()).update(costs)
        started = time.time() - sum(costs.values())
        if own is None:
            own = self._models[model] = self._run.child(model, started=started)
            own.log_params({"model": model, **facts.get("settings", {})})
        fit = own.child(f"{model}, {split}", started=started)
        group = self._groups.get(split, split)
        fit.log_params({"model": model, "split": group, "fold": split})
        means = {figure: values[np.isfinite(values)] for figure, values in result.values.items()}
        fit.log_metrics(
            {
                metric_name(group, *figure): float(values.mean())
                for figure, values in means.items()
                if len(values)
            }
        )
        fit.log_metrics(costs)
        fit.end("FINISHED")

    def log_results(self, comparison: Comparison) -> None:
        """Log all metrics of every model with their intervals, and the headline metrics of all."""
        self._run.log_metrics(headline_metrics(comparison))
        for model, own in self._models.items():
            own.log_metrics(model_metrics(comparison.table, model))
            own.log_metrics(dict(self._costs[model]))
            control = comparison.controls.get(model)
            own.log_params({"control": control is not None})
            if control is not None:
                own.set_description(f"A control. Where no model is shown to beat it: {control}.")

    def end(self, status: str) -> None:
        """End the runs of all models with an MLflow status."""
        for own in self._models.values():
            own.end(status)


@contextmanager
def comparison_runs(run: TrackedRun, splits: Sequence[Split]) -> Iterator[ComparisonRuns]:
    """Log the comparison in the block; fits inside it start no runs of their own.

    Examples:
        >>> from recsys.tracking import tracked_run
        >>> with tracked_run("evaluation", enabled=False) as run:
        ...     with comparison_runs(run, [split]) as runs:
        ...         runs.log_results(comparison)  # and pass on_run=runs.add to `compare`

    Args:
        run: run of the evaluation.
        splits: the splits that models are compared on.
    """
    runs = ComparisonRuns(run, splits)
    status = "FAILED"
    try:
        with untracked():
            yield runs
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        runs.end(status)


def model_metrics(table: pd.DataFrame, model: str) -> dict[str, float]:
    """Return {name: value} of a model: means, and the ends of intervals where known."""
    found: dict[str, float] = {}
    # MLflow draws metrics in the order they are logged.
    own = table[table["model"] == model].sort_values("metric", key=_not_ndcg, kind="stable")
    for row in own.to_dict("records"):
        k = None if pd.isna(row["k"]) else int(row["k"])
        for what, end in (("mean", ""), ("low", "_low"), ("high", "_high")):
            if np.isfinite(row[what]):
                name = metric_name(row["split"], row["candidates"], row["metric"], k, end)
                found[name] = float(row[what])
    return found


def headline_metrics(comparison: Comparison) -> dict[str, float]:
    """Return {name: nDCG of the shortest lists} for each model and candidate set."""
    k = comparison.ks[0]
    return {
        f"{metric_name(split, candidates, metric, k)}/{model}": interval.mean
        for (split, candidates, model, metric, at), interval in comparison.figures().items()
        if metric == "ndcg" and at == k
    }


def metric_name(split: str, candidates: str, metric: str, k: int | None, end: str = "") -> str:
    """Return the name of a metric in MLflow.

    It is `warm/ndcg_at_10` for the whole catalogue as candidates, and
    `cold_among_cold/ndcg_at_10` for a part of it.

    Args:
        split: name of the split, or of its group of folds.
        candidates: name of the candidate set.
        metric: name of the metric.
        k: length of lists; None for metrics without one.
        end: "_low" or "_high" for the ends of an interval.
    """
    section = split if candidates == CATALOGUE else f"{split}_among_{candidates}"
    at = "" if k is None else f"_at_{k}"
    return f"{section}{end}/{metric}{at}"


def _not_ndcg(metrics: "pd.Series[str]") -> "pd.Series[bool]":
    return metrics != "ndcg"
