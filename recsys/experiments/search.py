"""Hyper-parameter search: settings that do better on splits inside the training side.

The test splits are made first and taken away; all trials see what is left. A trial is measured on
one split after another, warm and cold in turn, and cut short where it does worse than the median of
those before it. At the end the best settings and those it started from are fitted once on the
training side of the test splits, and compared there.

How long a search goes on and what it is after.

What a search found: the best settings, its trials, and what the test says, in words.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from datasets.columns import ITEM_ID
from datasets.errors import ColdtuneError, DataError, EvaluationError
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from datasets.settings import Settings
from evaluation.comparison.comparison import Comparison, compare
from evaluation.comparison.trial import CATALOGUE, COLD
from evaluation.conclusions.evidence import main_measure
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.model import ModelFactory
from recsys.config import RecommenderConfig
from recsys.experiments.embeddings import Ears, network_ears
from recsys.experiments.models import lineup
from recsys.experiments.search_objective import (
    NDCG,
    Kind,
    Stage,
    cautions_of,
    cold_metric,
    held_out_splits,
    search_side,
    stages,
)
from recsys.experiments.search_space import Space, changes
from recsys.experiments.search_study import ask, finished, study
from recsys.tracking.runs import TrackedRun, tracked_run, untracked

if TYPE_CHECKING:
    import optuna


class SearchConfig(Settings):
    """How long a search goes on and what it is after."""

    trials: int = Field(30, ge=1)
    """Trials in all, the first with the configuration that it starts from; those that a study has
    from an earlier run count."""

    timeout: float | None = Field(None, gt=0)
    """Seconds after which no new trial begins; at least one is made."""

    cold_weight: float = Field(0.5, ge=0, le=1)
    """The objective is (1 - cold_weight) · nDCG of warm items + cold_weight · nDCG of cold items
    among themselves: 0 is warm only, 1 is cold only. Where the cold items are too few for lists of
    k of them, their item-wise AUC stands in place of nDCG."""

    k: int = Field(10, ge=1)
    """Length of the lists that nDCG judges."""

    folds: int = Field(3, ge=1)
    """Splits of each kind that a trial is measured on."""

    fraction: float = Field(0.2, gt=0, lt=1)
    """Share held out by each split, of the test and of the validation."""

    startup: int = Field(10, ge=1)
    """Trials at random before the sampler builds on what it saw."""

    pruning_after: int = Field(5, ge=1)
    """Whole trials before the first is cut short."""

    network: bool = False
    """Search the network's settings too: every trial then trains networks of its own."""

    texts: bool = False
    """Tell models artist, album, genre and tags of held-out items, not their recordings alone."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of splits that count."""
        warm: tuple[Kind, ...] = ("warm",) if self.cold_weight < 1 else ()
        cold: tuple[Kind, ...] = ("cold",) if self.cold_weight > 0 else ()
        return warm + cold


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


logger = logging.getLogger("coldtune")


def search(
    dataset: MusicDataset,
    config: RecommenderConfig | None = None,
    settings: SearchConfig | None = None,
    *,
    embeddings: pd.DataFrame | None = None,
    study_file: Path | None = None,
    progress: bool = False,
) -> SearchResult:
    """Search the settings around ``config`` by Optuna's TPE (Bergstra et al., 2011; Watanabe 2023).

    embeddings: own item embeddings in place of the network's, index item_id, one column a
    dimension. They must come from a network that has not heard the items held out, or the figures
    for cold items are too good. study_file: SQLite file that keeps the trials; a search that was
    interrupted goes on there.

    With the same seed, data and settings, and one thread, the trials are the same, however often
    the search was interrupted; with more threads LightFM's results, and so later suggestions, vary.
    With a timeout the number of trials depends on the machine.

    Raises EvaluationError where the data is too small to hold anything out, and
    InvalidArgumentError for a study that is in use or about something else.
    """
    config, settings = config or RecommenderConfig(), settings or SearchConfig()
    among = None if embeddings is None else [str(item) for item in embeddings.index]
    held_out = held_out_splits(dataset, settings.kinds, settings.fraction, config.seed, among)
    side = search_side(dataset, held_out)
    parts = stages(side, settings.kinds, settings.folds, settings.fraction, config.seed, among)
    cautions = cautions_of(parts, settings.k)
    for caution in cautions:  # before hours are spent on it
        logger.warning(caution)
    space = Space(
        config, network=settings.network and embeddings is None and len(dataset.audio) > 0
    )
    with tracked_run("search", enabled=config.tracking) as run:
        run.params({"search": settings.model_dump(mode="json"), **config.model_dump(mode="json")})
        run.params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
        run.dataset(dataset, "search")
        searching = _Search(space, settings, parts, embeddings, progress)
        about = _about(dataset, config, settings, space, embeddings, searching.metrics)
        with study(study_file, about, settings.pruning_after) as trials:
            searching.run(trials)
            best = searching.best(trials)
            table = trial_table(trials)
        with untracked():
            makers = {
                name: searching.factory(found)
                for name, found in {DEFAULTS: config, BEST: best}.items()
                if name == DEFAULTS or best != config
            }
            comparison = compare(
                makers, dataset, held_out, ks=(settings.k,), baseline=DEFAULTS, seed=config.seed,
                progress=progress,
            )  # fmt: skip
        changed = changes(config, best)
        verdict = verdict_of(comparison, settings)
        run.params({"best": {name: value for name, (_, value) in changed.items()}})
        run.metrics({"objective": float(table["value"].max()), "trials": float(len(table))})
        run.note("\n\n".join((*cautions, *verdict)))
    return SearchResult(best, changed, table, comparison, verdict, cautions)


class _Search:
    """The trials of one search."""

    def __init__(
        self,
        space: Space,
        settings: SearchConfig,
        parts: Sequence[Stage],
        embeddings: pd.DataFrame | None,
        progress: bool,
    ) -> None:
        self._progress = progress
        self._space = space
        self._settings = settings
        self._parts = parts
        self.metrics: dict[Kind, str] = {"warm": NDCG, "cold": cold_metric(parts, settings.k)}
        self._ears: Ears | None = None
        if embeddings is not None:
            self._ears = lambda _training: _Given(embeddings)
        elif not settings.network:
            # One network for every training side, whatever trial asks.
            self._ears = network_ears(space.base, progress=progress)

    def factory(self, config: RecommenderConfig) -> ModelFactory:
        """Makes hybrids of a configuration that hear with the search's ears, or their own."""
        return lineup(
            ["hybrid"], config, ears=self._ears, controls=False, texts=self._settings.texts,
            progress=self._progress,
        )["hybrid"]  # fmt: skip

    def run(self, trials: "optuna.Study") -> None:
        settings, base = self._settings, self._space.base
        ends = time.monotonic() + (settings.timeout or float("inf"))
        done = finished(trials)
        with progress_bar("searching", settings.trials, shown=self._progress) as advance:
            advance(min(done, settings.trials))
            while done < settings.trials and (not done or time.monotonic() < ends):
                trial = ask(trials, self._space.params(), base.seed, settings.startup)
                with tracked_run(f"trial {done + 1}", enabled=base.tracking) as run:
                    self._try(trials, trial, run)
                done += 1
                advance(1)

    def best(self, trials: "optuna.Study") -> RecommenderConfig:
        """The configuration of the best trial; of equal ones the first."""
        from optuna.trial import FixedTrial, TrialState

        whole = trials.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best = max(whole, key=lambda trial: (trial.value or 0.0, -trial.number))
        return self._space.suggest(FixedTrial(best.params))  # type: ignore[arg-type]

    def _try(self, trials: "optuna.Study", trial: "optuna.Trial", run: TrackedRun) -> None:
        from optuna.trial import TrialState

        first = not finished(trials)
        try:
            config = self._space.suggest(trial)
            run.params(trial.params)
            value, whole = self._measure(trial, config, run)
        except EvaluationError:
            raise  # a wrong list or a leak is no matter of settings
        except (ColdtuneError, ArithmeticError, ValueError) as error:
            if first:
                raise
            # Settings that cannot be fitted, as where the descent diverges, are no good ones.
            trial.set_user_attr("error", str(error))
            trials.tell(trial, state=TrialState.PRUNED)
            return
        except BaseException:
            trials.tell(trial, state=TrialState.FAIL)
            raise
        if whole:
            trials.tell(trial, value)
        else:
            trials.tell(trial, state=TrialState.PRUNED)

    def _measure(
        self, trial: "optuna.Trial", config: RecommenderConfig, run: TrackedRun
    ) -> tuple[float, bool]:
        """The objective over the stages, and whether all of them were run."""
        make = self.factory(config)
        found: dict[Kind, list[float]] = {kind: [] for kind in self._settings.kinds}
        value = 0.0
        for step, part in enumerate(self._parts, 1):
            with untracked():
                value = part.measure(make, self._settings.k, self.metrics[part.kind])
                found[part.kind].append(value)
            value = self._objective(found)
            trial.report(value, step)
            run.metrics({part.name: found[part.kind][-1], "objective": value})
            if step < len(self._parts) and trial.should_prune():
                return value, False
        return value, True

    def _objective(self, found: Mapping[Kind, Sequence[float]]) -> float:
        """The mix of the means so far; at the same stage the same parts of every trial."""
        weights = {"warm": 1 - self._settings.cold_weight, "cold": self._settings.cold_weight}
        return sum(weights[kind] * float(np.mean(ones)) for kind, ones in found.items() if ones)


@dataclass(frozen=True)
class _Given:
    """Embeddings that were brought along, in place of what a network hears."""

    frame: pd.DataFrame

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        return self.frame[self.frame.index.isin(dataset.items[ITEM_ID])]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        raise DataError("embeddings without recordings have no labels")


def _about(
    dataset: MusicDataset,
    config: RecommenderConfig,
    settings: SearchConfig,
    space: Space,
    embeddings: pd.DataFrame | None,
    metrics: Mapping[Kind, str],
) -> dict[str, str]:
    """What may not change from one run of a search to the next."""
    heard = (
        b"" if embeddings is None else pd.util.hash_pandas_object(embeddings).to_numpy().tobytes()
    )
    lasting = settings.replace(trials=1, timeout=None)
    same = config.replace(threads=None, tracking=True)
    about = {
        "data": hashlib.sha256(dataset.digest().encode() + heard).hexdigest(),
        "search settings": lasting.digest(),
        "configuration to start from": same.digest(),
        "ranges of settings": hashlib.sha256(repr(space).encode()).hexdigest(),
    }
    if metrics["cold"] != NDCG:  # versions before this knew nDCG alone: their studies go on
        about["measure of cold items"] = metrics["cold"]
    return about
