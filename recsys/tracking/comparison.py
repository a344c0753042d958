"""A comparison as MLflow runs: one below the evaluation for each model, below it one for each fit.

Figures have the same name in every run, ``warm/ndcg_at_10``, so that MLflow's own views put models
beside each other, with a section a split; the ends of an interval, ``warm_low/ndcg_at_10`` and
``warm_high/ndcg_at_10``, and the time it took, ``work/fit_seconds``, come after them.
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
    """The runs of one comparison, below the run of an evaluation."""

    def __init__(self, run: TrackedRun, splits: Sequence[Split]) -> None:
        self._run = run
        self._groups = {split.name: split.group or split.name for split in splits}
        self._models: dict[str, TrackedRun] = {}
        self._costs: dict[str, Counter[str]] = {}

    def add(self, model: str, split: str, result: RunResult) -> None:
        """Log one fit; what ``compare`` takes as ``on_run``."""
        own = self._models.get(model)
        facts = result.facts
        costs = {f"work/{name}": float(facts[name]) for name in SECONDS if name in facts}
        self._costs.setdefault(model, Counter()).update(costs)
        started = time.time() - sum(costs.values())
        if own is None:
            own = self._models[model] = self._run.child(model, started=started)
            own.params({"model": model, **facts.get("settings", {})})
        fit = own.child(f"{model}, {split}", started=started)
        group = self._groups.get(split, split)
        fit.params({"model": model, "split": group, "fold": split})
        means = {figure: values[np.isfinite(values)] for figure, values in result.values.items()}
        fit.metrics(
            {
                metric_name(group, *figure): float(values.mean())
                for figure, values in means.items()
                if len(values)
            }
        )
        fit.metrics(costs)
        fit.end("FINISHED")

    def measured(self, comparison: Comparison) -> None:
        """Log every figure of every model with its interval, and above them what counts most."""
        self._run.metrics(headlines(comparison))
        for model, own in self._models.items():
            own.metrics(figures(comparison.table, model))
            own.metrics(dict(self._costs[model]))
            control = comparison.controls.get(model)
            own.params({"control": control is not None})
            if control is not None:
                own.note(f"A control. Where no model is shown to beat it: {control}.")

    def end(self, status: str) -> None:
        """Say of every model's run how it ended."""
        for own in self._models.values():
            own.end(status)


@contextmanager
def comparison_runs(run: TrackedRun, splits: Sequence[Split]) -> Iterator[ComparisonRuns]:
    """Yield what a comparison is logged with; the fits inside it start no runs of their own."""
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


def figures(table: pd.DataFrame, model: str) -> dict[str, float]:
    """{name: value} of a model's rows: means, and the ends of intervals where there are any."""
    found: dict[str, float] = {}
    # What is logged first is what MLflow draws first.
    own = table[table["model"] == model].sort_values("metric", key=_later, kind="stable")
    for row in own.to_dict("records"):
        k = None if pd.isna(row["k"]) else int(row["k"])
        for what, end in (("mean", ""), ("low", "_low"), ("high", "_high")):
            if np.isfinite(row[what]):
                name = metric_name(row["split"], row["candidates"], row["metric"], k, end)
                found[name] = float(row[what])
    return found


def headlines(comparison: Comparison) -> dict[str, float]:
    """{name: nDCG at the shortest lists}, one of each model and set of candidates."""
    k = comparison.ks[0]
    return {
        f"{metric_name(split, candidates, metric, k)}/{model}": interval.mean
        for (split, candidates, model, metric, at), interval in comparison.figures().items()
        if metric == "ndcg" and at == k
    }


def metric_name(split: str, candidates: str, metric: str, k: int | None, end: str = "") -> str:
    """``warm/ndcg_at_10`` of the whole catalogue, ``cold_among_cold/ndcg_at_10`` of a part.

    end: ``_low`` or ``_high`` of an interval.
    """
    section = split if candidates == CATALOGUE else f"{split}_among_{candidates}"
    at = "" if k is None else f"_at_{k}"
    return f"{section}{end}/{metric}{at}"


def _later(metrics: "pd.Series[str]") -> "pd.Series[bool]":
    return metrics != "ndcg"
