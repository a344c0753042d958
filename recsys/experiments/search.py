"""Hyper-parameter search by Optuna: settings that do better on splits of the training side.

The test splits are made first and taken away; all trials see what is left. A trial is measured on
one validation fold after another, warm and cold in turn, and cut short where it does worse than the
median of those before it. At the end the best settings and those the search started from are
fitted once on the training side of the test splits, and compared there.
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

from datasets.columns import WEIGHT
from datasets.errors import ColdtuneError, EvaluationError
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from datasets.settings import Settings
from datasets.tables.frames import FrameLike, embedding_frame
from evaluation.comparison.comparison import Comparison, compare
from evaluation.comparison.trial import CATALOGUE, COLD_ITEMS
from evaluation.conclusions.evidence import main_measure
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.model import ModelFactory
from recsys.config import RecommenderConfig
from recsys.experiments.embeddings import EmbedFold, FoldEncoders, GivenEmbeddings
from recsys.experiments.models import model_factories
from recsys.experiments.search_objective import (
    NDCG,
    ItemKind,
    ValidationFold,
    cold_metric,
    held_out_splits,
    objective_cautions,
    search_data,
    validation_folds,
)
from recsys.experiments.search_space import SearchSpace, changed_settings
from recsys.experiments.search_study import n_finished, next_trial, open_study
from recsys.tracking.runs import TrackedRun, tracked_run, untracked

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("coldtune")

DEFAULTS, BEST = "defaults", "best"
"""Names of the two configurations in the comparison on the test splits."""


class SearchConfig(Settings):
    """How long a search goes on, and its objective.

    Examples:
        >>> SearchConfig(trials=50, cold_weight=1.0).kinds
        ('cold',)
    """

    trials: int = Field(30, ge=1)
    """Trials in all, the first with the configuration that the search starts from; those of an
    earlier run of the same study count."""

    timeout: float | None = Field(None, gt=0)
    """Seconds after which no new trial begins; at least one is run."""

    cold_weight: float = Field(0.5, ge=0, le=1)
    """The objective is (1 - cold_weight) · nDCG of warm items + cold_weight · nDCG of cold items
    among themselves: 0 is warm only, 1 is cold only. Where the cold items are too few for lists of
    k of them, their item-wise AUC is used in place of nDCG."""

    k: int = Field(10, ge=1)
    """Length of the lists that nDCG is computed on."""

    folds: int = Field(3, ge=1)
    """Validation folds of each kind that a trial is measured on."""

    fraction: float = Field(0.2, gt=0, lt=1)
    """Share held out by each test split and each validation fold."""

    startup: int = Field(10, ge=1)
    """Random trials before the sampler uses their results."""

    pruning_after: int = Field(5, ge=1)
    """Trials that are run to the end before the first may be cut short."""

    network: bool = False
    """Search the network's settings too: every trial then trains networks of its own."""

    texts: bool = False
    """Give models the artist, album, genre and tags of held-out items, not their recordings
    alone."""

    @property
    def kinds(self) -> tuple[ItemKind, ...]:
        """The kinds of items that the objective is about."""
        warm: tuple[ItemKind, ...] = ("warm",) if self.cold_weight < 1 else ()
        cold: tuple[ItemKind, ...] = ("cold",) if self.cold_weight > 0 else ()
        return warm + cold


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult:
    """What a search found, and how it does on test splits that the search has not seen.

    Examples:
        >>> start = RecommenderConfig()
        >>> trials = pd.DataFrame({"trial": [1], "state": ["complete"], "value": [0.2]})
        >>> result = SearchResult(start.replace(seed=1), {"seed": (0, 1)}, trials, comparison, ())
        >>> result.to_dict()["changed"]
        {'seed': [0, 1]}
    """

    best: RecommenderConfig
    """The configuration of the best trial."""
    changed: Mapping[str, tuple[Any, Any]]
    """{dotted name: (in the configuration it started from, in the best)}."""
    trials: pd.DataFrame
    """A row a trial that ended: trial, state ("complete" or "pruned"), value, stages (folds it was
    measured on), seconds, and the error of settings that could not be fitted."""
    comparison: Comparison
    """On the test splits: models "defaults" and, where it is another configuration, "best"."""
    verdict: tuple[str, ...]
    """What the test shows, in words."""
    cautions: tuple[str, ...] = ()
    """What is doubtful about the objective, in words."""

    def __repr__(self) -> str:
        return f"<SearchResult: {len(self.trials):,} trials, {len(self.changed)} settings changed>"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values, without the values per user."""
        trials = self.trials.astype(object).where(self.trials.notna(), None)
        return {
            "best": self.best.model_dump(mode="json"),
            "changed": {name: list(pair) for name, pair in self.changed.items()},
            "trials": trials.to_dict("records"),
            "test": self.comparison.to_dict(),
            "verdict": list(self.verdict),
            "cautions": list(self.cautions),
        }


def search_hyperparameters(
    dataset: MusicDataset,
    config: RecommenderConfig | None = None,
    settings: SearchConfig | None = None,
    *,
    embeddings: FrameLike | None = None,
    study_file: Path | None = None,
    progress: bool = False,
) -> SearchResult:
    """Search the settings around ``config`` by Optuna's TPE (Bergstra et al., 2011; Watanabe 2023).

    With the same seed, data and settings, and one thread, the trials are the same, however often
    the search was interrupted; with more threads LightFM's results, and so later suggestions, vary.
    With a timeout the number of trials depends on the machine.

    Args:
        dataset: the data set; test splits are held out of it first.
        config: the configuration to start from.
        settings: how long the search goes on, and its objective.
        embeddings: item embeddings in place of the network's, index item_id, one column a
            dimension. They must come from a network that was not trained on the items held out,
            or the figures for cold items are too good.
        study_file: SQLite file that keeps the trials; an interrupted search goes on there.
        progress: show progress bars.

    Raises:
        EvaluationError: the data is too small to hold anything out.
        InvalidArgumentError: a study that is in use or about something else.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> base = RecommenderConfig(sources=("content",), threads=1, tracking=False)
        >>> settings = SearchConfig(trials=1, folds=1, cold_weight=0, k=5)
        >>> found = search_hyperparameters(dataset, base, settings, embeddings=embeddings)
        >>> len(found.trials), found.comparison.models[0]
        (1, 'defaults')
    """
    config, settings = config or RecommenderConfig(), settings or SearchConfig()
    if not (dataset.interactions[WEIGHT] > 0).any():
        raise EvaluationError("nobody has played anything: there is nothing to choose settings on")
    # Take the test splits away before anything is looked at.
    if embeddings is not None:
        embeddings = embedding_frame(embeddings)
    among = None if embeddings is None else embeddings.index.tolist()
    test = held_out_splits(dataset, settings.kinds, settings.fraction, config.seed, among)
    visible = search_data(dataset, test)
    folds = validation_folds(
        visible, settings.kinds, settings.folds, settings.fraction, config.seed, among
    )
    cautions = objective_cautions(folds, settings.k)
    for caution in cautions:  # before hours are spent on it
        logger.warning(caution)
    space = SearchSpace(
        config, network=settings.network and embeddings is None and len(dataset.audio) > 0
    )
    with tracked_run("search", enabled=config.tracking) as run:
        run.log_params(
            {"search": settings.model_dump(mode="json"), **config.model_dump(mode="json")}
        )
        run.log_params({"dataset": {**dataset.summary(), "digest": dataset.digest()}})
        run.log_dataset(dataset, "search")
        trials = _Trials(space, settings, folds, embeddings, progress)
        identity = _study_identity(dataset, settings, space, embeddings, trials.metrics)
        with open_study(study_file, identity, settings.pruning_after) as study:
            trials.run(study)
            best = trials.best(study)
            table = _trial_table(study)
        with untracked():
            models = {DEFAULTS: trials.factory(config)}
            if best != config:
                models[BEST] = trials.factory(best)
            comparison = compare(
                models, dataset, test, ks=(settings.k,), baseline=DEFAULTS, seed=config.seed,
                progress=progress,
            )  # fmt: skip
        changed = changed_settings(config, best)
        verdict = search_verdict(comparison, settings)
        run.log_params({"best": {name: value for name, (_, value) in changed.items()}})
        run.log_metrics({"objective": float(table["value"].max()), "trials": float(len(table))})
        run.set_description("\n\n".join((*cautions, *verdict)))
    return SearchResult(best, changed, table, comparison, verdict, cautions)


class _Trials:
    """Runs the trials of one search."""

    def __init__(
        self,
        space: SearchSpace,
        settings: SearchConfig,
        folds: Sequence[ValidationFold],
        embeddings: pd.DataFrame | None,
        progress: bool,
    ) -> None:
        self._progress = progress
        self._space = space
        self._settings = settings
        self._folds = folds
        self.metrics: dict[ItemKind, str] = {
            "warm": NDCG,
            "cold": cold_metric(folds, settings.k),
        }
        self._encoders: EmbedFold | None = None
        if embeddings is not None:
            given = GivenEmbeddings(embeddings)
            self._encoders = lambda _training: given
        elif not settings.network:
            # One network for every training side, whatever trial asks.
            self._encoders = FoldEncoders(space.base, progress=progress)

    def factory(self, config: RecommenderConfig) -> ModelFactory:
        """Make a factory of hybrids; they share encoders unless the network is searched."""
        return model_factories(
            ["hybrid"], config, encoders=self._encoders, controls=False,
            texts=self._settings.texts, progress=self._progress,
        )["hybrid"]  # fmt: skip

    def run(self, study: "optuna.Study") -> None:
        """Run trials until there are enough, or the time is over."""
        settings, base = self._settings, self._space.base
        ends = time.monotonic() + (settings.timeout or float("inf"))
        done = n_finished(study)
        with progress_bar("searching", settings.trials, shown=self._progress) as advance:
            advance(min(done, settings.trials))
            while done < settings.trials and (not done or time.monotonic() < ends):
                trial = next_trial(study, self._space.params(), base.seed, settings.startup)
                with tracked_run(f"trial {done + 1}", enabled=base.tracking) as run:
                    self._try(study, trial, run)
                done += 1
                advance(1)

    def best(self, study: "optuna.Study") -> RecommenderConfig:
        """Return the configuration of the best trial; of equal ones the first."""
        from optuna.trial import FixedTrial, TrialState

        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
        return self._space.suggest(FixedTrial(best.params))  # type: ignore[arg-type]

    def _try(self, study: "optuna.Study", trial: "optuna.Trial", run: TrackedRun) -> None:
        from optuna.trial import TrialState

        first = not n_finished(study)
        try:
            config = self._space.suggest(trial)
            run.log_params(trial.params)
            value, complete = self._measure(trial, config, run)
        except EvaluationError:
            raise  # an invalid list or a leak has nothing to do with the settings
        except (ColdtuneError, ArithmeticError, ValueError) as error:
            if first:
                raise
            # Settings that cannot be fitted, as where SGD diverges, are not the best.
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.PRUNED)
            return
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise
        if complete:
            study.tell(trial, value)
        else:
            study.tell(trial, state=TrialState.PRUNED)

    def _measure(
        self, trial: "optuna.Trial", config: RecommenderConfig, run: TrackedRun
    ) -> tuple[float, bool]:
        """The objective over the folds, and whether all of them were run."""
        make = self.factory(config)
        found: dict[ItemKind, list[float]] = {kind: [] for kind in self._settings.kinds}
        value = 0.0
        for step, fold in enumerate(self._folds, 1):
            with untracked():
                value = fold.measure(make, self._settings.k, self.metrics[fold.kind])
                found[fold.kind].append(value)
            value = self._objective(found)
            trial.report(value, step)
            run.log_metrics({fold.name: found[fold.kind][-1], "objective": value})
            if step < len(self._folds) and trial.should_prune():
                return value, False
        return value, True

    def _objective(self, found: Mapping[ItemKind, Sequence[float]]) -> float:
        """The weighted mean of the folds so far; at the same step the same folds of every trial."""
        weights = {"warm": 1 - self._settings.cold_weight, "cold": self._settings.cold_weight}
        return sum(weights[kind] * float(np.mean(ones)) for kind, ones in found.items() if ones)


def _trial_table(study: "optuna.Study") -> pd.DataFrame:
    """A row a trial that ended, in order."""
    from optuna.trial import TrialState

    rows = []
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
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


def _study_identity(
    dataset: MusicDataset,
    settings: SearchConfig,
    space: SearchSpace,
    embeddings: pd.DataFrame | None,
    metrics: Mapping[ItemKind, str],
) -> dict[str, str]:
    """What may not change from one run of a search to the next: {what it is: digest}."""
    given = (
        b"" if embeddings is None else pd.util.hash_pandas_object(embeddings).to_numpy().tobytes()
    )
    lasting = settings.replace(trials=1, timeout=None)
    start = space.base.replace(threads=None, tracking=True)
    identity = {
        "data": hashlib.sha256(dataset.digest().encode() + given).hexdigest(),
        "search settings": lasting.digest(),
        "configuration to start from": start.digest(),
        "ranges of settings": hashlib.sha256(space.fingerprint().encode()).hexdigest(),
    }
    if metrics["cold"] != NDCG:  # versions before this had nDCG alone: their studies go on
        identity["measure of cold items"] = metrics["cold"]
    return identity


def search_verdict(comparison: Comparison, settings: SearchConfig) -> tuple[str, ...]:
    """Say in words what the test shows of the best settings and those the search started from.

    Args:
        comparison: of the models "defaults" and, if it is another configuration, "best".
        settings: those of the search.
    """
    if BEST not in comparison.models:
        return ("No settings did better on the validation splits than those it started from.",)
    sentences, better = [], False
    for kind in settings.kinds:
        candidates = COLD_ITEMS if kind == "cold" else CATALOGUE
        metric, k = main_measure(comparison, kind, candidates)
        figures = comparison.figures()
        own, base = (figures[kind, candidates, name, metric, k].mean for name in (BEST, DEFAULTS))
        gap = comparison.difference(
            BEST, DEFAULTS, split=kind, candidates=candidates, metric=metric, k=k
        )
        outcome = "better" if gap.low > 0 else "worse" if gap.high < 0 else "no difference shown"
        if outcome == "better" and kind == "cold" and not _better_over_items(comparison):
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


def _better_over_items(comparison: Comparison) -> bool:
    """Whether the item-wise AUC is better too: intervals over users do not include the chance in
    which items were held out."""
    key = ("cold", COLD_ITEMS, BEST, ITEM_AUC, None)
    if key not in comparison.values:
        return False
    gap = comparison.difference(
        BEST, DEFAULTS, split="cold", candidates=COLD_ITEMS, metric=ITEM_AUC, k=None
    )
    return gap.low > 0
