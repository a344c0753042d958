"""What a search found: the best settings, its trials, and what the test says, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluation.comparison.candidate_sets import CATALOGUE, COLD
from evaluation.comparison.comparison import Comparison
from evaluation.conclusions.evidence import main_measure
from evaluation.metrics.ranking import ITEM_AUC
from recsys.config import RecommenderConfig
from recsys.experiments.search_config import SearchConfig

if TYPE_CHECKING:
    import optuna

DEFAULTS, BEST = "defaults", "best"
"""What the two configurations are called in the comparison on the test splits."""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found, and how it does on test splits that the search has not seen."""

    best: RecommenderConfig
    """The configuration of the best trial."""
    changed: Mapping[str, tuple[Any, Any]]
    """{dotted name: (in the configuration it started from, in the best)}."""
    trials: pd.DataFrame
    """A row a trial that ended: trial, state ("complete" or "pruned"), value, stages, seconds,
    and the error of settings that could not be fitted."""
    comparison: Comparison
    """On the test splits: models "defaults" and, where it is another configuration, "best"."""
    verdict: tuple[str, ...]
    """What the test says, in words."""
    cautions: tuple[str, ...] = ()
    """What is doubtful about the objective, in words."""

    def to_dict(self) -> dict[str, Any]:
        """All of it fit for JSON, without the values per user."""
        trials = self.trials.astype(object).where(self.trials.notna(), None)
        return {
            "best": self.best.model_dump(mode="json"),
            "changed": {name: list(pair) for name, pair in self.changed.items()},
            "trials": trials.to_dict("records"),
            "test": self.comparison.to_dict(),
            "verdict": list(self.verdict),
            "cautions": list(self.cautions),
        }


def trial_table(trials: "optuna.Study") -> pd.DataFrame:
    """A row a trial that ended, in order."""
    from optuna.trial import TrialState

    rows = []
    ended = trials.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    for number, trial in enumerate(ended, 1):
        values = trial.intermediate_values
        rows.append(
            {
                "trial": number,
                "state": trial.state.name.lower(),
                "value": trial.value if trial.state == TrialState.COMPLETE else np.nan,
                "stages": len(values),
                "seconds": trial.duration.total_seconds() if trial.duration else np.nan,
                "error": trial.user_attrs.get("error", ""),
            }
        )
    return pd.DataFrame(rows)


def verdict_of(comparison: Comparison, settings: SearchConfig) -> tuple[str, ...]:
    """What the test says of the best settings and those the search started from, in words."""
    if BEST not in comparison.models:
        return ("No settings did better on the validation splits than those it started from.",)
    sentences, better = [], False
    for kind in settings.kinds:
        candidates = COLD if kind == "cold" else CATALOGUE
        metric, k = main_measure(comparison, kind, candidates)
        figures = comparison.figures()
        own, base = (figures[kind, candidates, name, metric, k].mean for name in (BEST, DEFAULTS))
        gap = comparison.difference(
            BEST, DEFAULTS, split=kind, candidates=candidates, metric=metric, k=k
        )
        outcome = "better" if gap.low > 0 else "worse" if gap.high < 0 else "no difference shown"
        if outcome == "better" and kind == "cold" and not _shown_over_items(comparison):
            outcome = "better for these items, but not shown to be for others"
        better = better or outcome == "better"
        measure = "item-wise AUC" if metric == ITEM_AUC else f"nDCG@{k}"
        sentences.append(
            f"Held-out {kind} items: {measure} {own:.4f} with the settings found, "
            f"{base:.4f} with those it started from, {gap.mean:+.4f} ({gap.low:+.4f} to "
            f"{gap.high:+.4f}): {outcome}."
        )
    if not better:
        sentences.append(
            "The settings found are not shown to be better than those it started from; those of "
            "the best trial are the result all the same."
        )
    return tuple(sentences)


def _shown_over_items(comparison: Comparison) -> bool:
    """Whether the item-wise AUC is better too: which items were held out is luck of its own, and
    intervals over users know nothing of it."""
    key = ("cold", COLD, BEST, ITEM_AUC, None)
    if key not in comparison.values:
        return False
    gap = comparison.difference(
        BEST, DEFAULTS, split="cold", candidates=COLD, metric=ITEM_AUC, k=None
    )
    return gap.low > 0
