"""Fit one model on one split, ask it for lists, and measure them."""

import inspect
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import EvaluationError, UnknownUserError
from datasets.settings import Settings
from evaluation.comparison.trial import (
    AT_BUDGET,
    AT_RANDOM,
    CATALOGUE,
    COLD_ITEMS,
    CandidateSet,
    Trial,
)
from evaluation.metrics.hits import HitEncoder, HitMatrix
from evaluation.metrics.ranking import (
    AUDIENCE,
    AUDIENCE_RECALL,
    ITEM_AUC,
    USER_AUC,
    audience_recall,
    item_auc,
    user_auc,
)
from evaluation.metrics.whole_lists import WholeLists, random_new_items
from evaluation.model import ModelFactory

MetricKey = tuple[str, str, int | None]
"""(candidates, metric, k); k is None for the AUCs, the number of users for audiences."""

SliceMetricKey = tuple[str, str, str, str, int]
"""(candidates, by, slice, metric, k)."""

NEW_SHARE: Final = "new_share"
"""Metric: share of a list's places that new items take."""
NDCG_NEW: Final = "ndcg_new"
NDCG_KNOWN: Final = "ndcg_known"
"""Metrics: nDCG in whole lists with only new, or only known, items counted as relevant."""
NEW_SHOWN: Final = "new_shown"
NEW_SHOWN_TO_TEN: Final = "new_shown_to_ten"
"""Metrics: number of new items in at least one, and in at least ten users' lists."""
NEW_LARGEST_SHARE: Final = "new_largest_share"
"""Metric: share of the users whose lists have the new item that is in most lists."""

EXAMPLE_LENGTH: Final = 5
"""Length of the lists shown in examples."""

_ROWS_AT_ONCE = 1_000_000
"""Rows of a full ranking asked for in one call."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What one model did on one split."""

    values: dict[MetricKey, Float64Array]
    """One value a user of the split, NaN for users without a value; for the item-wise AUC one a
    cold item."""
    facts: dict[str, Any]
    """Seconds, peak memory, users without a list, and the model's own settings."""
    catalogue: dict[MetricKey, tuple[float, int]] = field(default_factory=dict)
    """Coverage and Gini, each with the number of items."""
    slices: dict[SliceMetricKey, Float64Array] = field(default_factory=dict)
    """One value a user of the slice."""
    example_hits: HitMatrix | None = None
    """The first places of every user's list of ``Trial.example_candidates``."""


def run_model(trial: Trial, name: str, factory: ModelFactory) -> RunResult:
    """Fit a new model on the training side of a trial, ask it for lists and measure them.

    Args:
        trial: the split made ready.
        name: the model's name, for errors.
        factory: makes the model.

    Raises:
        EvaluationError: the model leaks or returns an invalid list.

    Examples:
        >>> from evaluation import Popularity
        >>> from evaluation.comparison.trial import TrialOptions
        >>> trial = Trial(dataset, split, TrialOptions(ks=(5,)))
        >>> result = run_model(trial, "popularity", Popularity)
        >>> result.values["catalogue", "ndcg", 5].shape  # one value a user
        (60,)
    """
    try:
        return _run(trial, factory())
    except EvaluationError as error:
        where = f"model {name!r} on split {trial.split.name!r}"
        raise EvaluationError(f"{where}: {error}") from None
    except Exception as error:
        error.add_note(f"while evaluating model {name!r} on split {trial.split.name!r}")
        raise


def _run(trial: Trial, model: Any) -> RunResult:
    options, k = trial.options, max(trial.options.ks)
    facts: dict[str, Any] = {"settings": model_settings(model)}
    fitted = _FittedModel(trial, model, facts)
    values: dict[MetricKey, Float64Array] = {}
    of_catalogue: dict[MetricKey, tuple[float, int]] = {}
    slices: dict[SliceMetricKey, Float64Array] = {}
    example_hits = None
    for candidates in trial.candidate_sets:
        name = candidates.name
        lists = fitted.recommend(candidates, k)
        hits = fitted.hit_encoder(candidates).hits(lists, k)
        fitted.check_no_unknown_item(lists)
        facts[f"users_without_list_{name}"] = int((hits.n_listed == 0).sum())
        per_user = candidates.accuracy(hits, options.ks, options.metrics)
        per_user |= candidates.beyond_accuracy(hits, options.ks)
        for (metric, at), found in per_user.items():
            values[name, metric, at] = _for_all_users(trial, found, candidates.rows)
        for (metric, at), figure in candidates.of_catalogue(hits, options.ks).items():
            of_catalogue[name, metric, at] = figure
        if name == CATALOGUE and trial.whole_lists is not None:
            drawn = _at_random(trial.whole_lists, lists, options.seed)
            random_hits = trial.whole_lists.encoder.hits(drawn, k)
            for at in options.ks:
                for end, shown in (("", hits), (AT_RANDOM, random_hits)):
                    place = name + end
                    _add_new_items(trial.whole_lists, shown, place, at, values, of_catalogue)
        if candidates.slices is not None:
            for part, found in candidates.slices.values(hits, options.ks).items():
                slices[name, *part] = found
        if candidates is trial.example_candidates:
            example_hits = _first_places(hits, EXAMPLE_LENGTH)
    if trial.whole_lists is not None and trial.split.kind == "mixed" and fitted.takes_discovery:
        at = options.ks[0]
        for budget in options.budgets:
            lists = fitted.recommend_at(trial.whole_lists.users, at, budget)
            drawn = _at_random(trial.whole_lists, lists, options.seed)
            for end, table in (("", lists), (AT_RANDOM, drawn)):
                name = f"{AT_BUDGET}{budget:g}{end}"
                hits = trial.whole_lists.encoder.hits(table, at)
                _add_new_items(trial.whole_lists, hits, name, at, values, of_catalogue)
    if trial.auc_encoder is not None:
        values |= _aucs(trial, trial.auc_encoder, fitted.all_scores(trial.auc_encoder))
    facts["recommends_cold"] = None
    if trial.split.cold_items:
        silent = facts.get(f"users_without_list_{COLD_ITEMS}", 0)
        facts["recommends_cold"] = fitted.knows_cold and silent < len(
            trial.example_candidates.users
        )
    return RunResult(values, facts, of_catalogue, slices, example_hits)


def _at_random(truth: WholeLists, lists: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same lists with new items drawn at random in the places of new items."""
    return random_new_items(lists, truth.new_items, seed, seen=truth.seen)


def _add_new_items(
    truth: WholeLists,
    hits: HitMatrix,
    candidates: str,
    k: int,
    values: dict[MetricKey, Float64Array],
    of_catalogue: dict[MetricKey, tuple[float, int]],
) -> None:
    """Add the figures of new items in whole lists."""
    found = truth.measure_hits(hits, k)
    for name, per_user in found.values.items():
        values[candidates, name, k] = per_user
    for name, figure in (
        (NEW_SHOWN, found.shown),
        (NEW_SHOWN_TO_TEN, found.shown_to_ten),
        (NEW_LARGEST_SHARE, found.largest_share),
    ):
        of_catalogue[candidates, name, k] = float(figure), found.n_new


class _FittedModel:
    """A model fitted on a trial, given the new items and fold-in interactions it can take.

    ``facts`` collects seconds and memory of each stage.
    """

    def __init__(self, trial: Trial, model: Any, facts: dict[str, Any]) -> None:
        for method in ("fit", "recommend_many"):
            if not callable(getattr(model, method, None)):
                raise EvaluationError(f"{type(model).__name__} has no method {method}")
        self._trial, self._model, self._facts = trial, model, facts
        self._unknown_user: type[Exception] | tuple[type[Exception], ...] = ()
        if trial.split.kind == "cold users":
            # Raised for a user that a model does not know: by ours, and by other libraries.
            self._unknown_user = (UnknownUserError, KeyError)
        with measure_stage(facts, "fit"):
            model.fit(trial.train)
        facts["sources"] = dict(getattr(model, "source_facts", None) or {})
        onboard = getattr(model, "onboard_many", None)
        self.knows_cold = onboard is not None
        if trial.new_items is not None and onboard is not None:
            with measure_stage(facts, "onboard"):
                onboard(trial.new_items)
        self.takes_discovery = self.knows_cold and takes_discovery(model)
        update = getattr(model, "update", None)
        self._knows_fold_in = False
        if len(trial.fold_in) and update is not None:
            self._knows_fold_in = True
            with measure_stage(facts, "update"):
                update(trial.fold_in)

    def hit_encoder(self, candidates: CandidateSet) -> HitEncoder:
        """The encoder of the model's lists: it refuses items that the model knows were played."""
        if len(self._trial.fold_in) and not self._knows_fold_in:
            return self._trial.hit_encoder_without_fold_in
        return candidates.hit_encoder

    def recommend(self, candidates: CandidateSet, k: int) -> pd.DataFrame:
        """The first ``k`` candidates of every user of the set."""
        if candidates.name == COLD_ITEMS and not self.knows_cold:
            return _no_lists()
        if candidates.sampled is not None:
            return candidates.sampled.answer(self._recommend, k)
        if candidates.name != CATALOGUE:
            return self._recommend(candidates.users, k, candidates.only)
        with measure_stage(self._facts, "recommend"):
            return self._recommend(candidates.users, k)

    def _recommend(
        self, users: Sequence[str], k: int, only: Sequence[str] | None = None
    ) -> pd.DataFrame:
        if only is not None and not self.knows_cold:
            # Sampled candidates may be cold, and the model need not know that there are such items.
            cold = set(self._trial.split.cold_items)
            only = [item for item in only if item not in cold]
            if not only:
                return _no_lists()
        options = {} if only is None else {"only": only}
        try:
            lists = self._model.recommend_many(users, k, **options)
        except self._unknown_user:
            if len(users) == 1:
                return _no_lists()
            # One unknown user must not leave the others without lists.
            return pd.concat(
                [self._recommend([user], k, only) for user in users], ignore_index=True
            )
        return _checked_frame(lists)

    def recommend_at(self, users: Sequence[str], k: int, discovery: float) -> pd.DataFrame:
        """The first ``k`` of everything for each user, at a budget for new items."""
        return _checked_frame(self._model.recommend_many(users, k, discovery=discovery))

    def check_no_unknown_item(self, lists: pd.DataFrame) -> None:
        """Raise EvaluationError for a cold item in the lists of a model that was not given it."""
        if self.knows_cold:
            return
        leaked = lists[ITEM_ID].isin(self._trial.split.cold_items)
        if leaked.any():
            item = lists[ITEM_ID][leaked].iloc[0]
            raise EvaluationError(
                f"leak: recommends the held-out item {item!r}, which it was never given"
            )

    def all_scores(self, encoder: HitEncoder) -> Float64Array:
        """Scores of every (user, cold item), asked for a block of users at a time."""
        cold, n_users = self._trial.split.cold_items, len(encoder.users)
        scores = np.full((n_users, len(cold)), np.nan)
        step = max(1, _ROWS_AT_ONCE // len(cold))
        for start in range(0, n_users if self.knows_cold else 0, step):
            part = encoder.part(start, min(start + step, n_users))
            lists = self._model.recommend_many(
                list(part.users), len(cold), only=cold, exclude_seen=False
            )
            scores[start : start + step] = part.scores(_checked_frame(lists))
        return scores


def _aucs(trial: Trial, encoder: HitEncoder, scores: Float64Array) -> dict[MetricKey, Float64Array]:
    relevant, metrics = encoder.relevance(), trial.options.metrics
    found: dict[MetricKey, Float64Array] = {}
    if ITEM_AUC in metrics:
        found[COLD_ITEMS, ITEM_AUC, None] = item_auc(scores, relevant).values
    if AUDIENCE_RECALL in metrics and len(encoder.users) > AUDIENCE:
        found[COLD_ITEMS, AUDIENCE_RECALL, AUDIENCE] = audience_recall(scores, relevant)
    if USER_AUC in metrics:
        rows = trial.candidate_sets[0].hit_encoder.users.get_indexer(encoder.users)
        found[COLD_ITEMS, USER_AUC, None] = _for_all_users(trial, user_auc(scores, relevant), rows)
    return found


def _for_all_users(trial: Trial, values: Float64Array, rows: IntArray) -> Float64Array:
    """Values of the users at ``rows`` among those of all users of the trial; NaN for the others."""
    spread = np.full(len(trial.users), np.nan)
    spread[rows] = values
    return spread


def takes_discovery(model: Any) -> bool:
    """Tell whether ``recommend_many`` of a model has the keyword ``discovery``.

    Examples:
        >>> from evaluation import Popularity
        >>> takes_discovery(Popularity())
        False
    """
    try:
        return "discovery" in inspect.signature(model.recommend_many).parameters
    except (TypeError, ValueError):  # some compiled methods do not tell
        return False


def model_settings(model: Any) -> dict[str, Any]:
    """Return the settings that a model keeps as ``config``; empty without."""
    config = getattr(model, "config", None)
    return config.model_dump(mode="json") if isinstance(config, Settings) else {}


def _checked_frame(lists: Any) -> pd.DataFrame:
    if not isinstance(lists, pd.DataFrame):
        raise EvaluationError(
            f"recommend_many must return a DataFrame of {USER_ID}, {RANK}, {ITEM_ID} and {SCORE},"
            f" and returned a {type(lists).__name__}"
        )
    return lists


def _first_places(hits: HitMatrix, n: int) -> HitMatrix:
    return HitMatrix(
        hits.matrix[:, :n].copy(),
        hits.n_relevant,
        np.minimum(hits.n_listed, n),
        hits.items[:, :n].astype(np.int32),
    )


def _no_lists() -> pd.DataFrame:
    return pd.DataFrame(
        {
            USER_ID: np.empty(0, dtype=object),
            RANK: np.empty(0, dtype=np.int64),
            ITEM_ID: np.empty(0, dtype=object),
            SCORE: np.empty(0),
        }
    )


@contextmanager
def measure_stage(facts: dict[str, Any], stage: str) -> Iterator[None]:
    """Measure the seconds and the peak memory of a ``with`` block.

    They are added to ``facts`` as ``STAGE_seconds`` and ``STAGE_peak_mb`` (MiB of resident memory
    of the process on Linux, None elsewhere).
    """
    reset_peak_memory()
    started = time.perf_counter()
    yield
    facts[f"{stage}_seconds"] = time.perf_counter() - started
    facts[f"{stage}_peak_mb"] = peak_memory_mb()


def reset_peak_memory() -> None:
    """Reset the peak memory of this process to what it holds now, where the system can."""
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not permitted in some containers: the peak is then since the start
            return


def peak_memory_mb() -> float | None:
    """Return the peak resident memory of this process since the last reset, in MiB.

    None where the system does not tell.
    """
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
