"""Fitting a model on the training side of a trial, asking it, and measuring its answers.

What one model did on one split.

Seconds and peak memory of a stage of work.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID
from datasets.errors import EvaluationError, UnknownUserError
from datasets.settings import Settings
from evaluation.comparison.trial import CATALOGUE, COLD, CandidateSet
from evaluation.metrics.hits import HitEncoder, HitMatrix
from evaluation.metrics.ranking import ITEM_AUC, USER_AUC, item_auc, user_auc

if TYPE_CHECKING:
    from evaluation.comparison.trial import Trial


Figure = tuple[str, str, int | None]
"""(candidates, metric, k); k is None for the AUCs."""

SliceFigure = tuple[str, str, str, str, int]
"""(candidates, what it is a slice by, slice, metric, k)."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one model did on one split."""

    values: dict[Figure, Float64Array]
    """One value a user, NaN for one who takes no part; an item for the item-wise AUC."""
    facts: dict[str, Any]
    """Seconds, peak memory, users without a list, and the model's own settings."""
    catalogue: dict[Figure, tuple[float, int]] = field(default_factory=dict)
    """Coverage and Gini, each with the number of items."""
    slices: dict[SliceFigure, Float64Array] = field(default_factory=dict)
    """A value for each user who takes part in the slice."""
    shown: HitMatrix | None = None
    """The first places of every user's list, for examples; of the trial's ``shown`` candidates."""


@contextmanager
def measured(facts: dict[str, Any], stage: str) -> Iterator[None]:
    """Record the seconds of a stage and, on Linux, the most memory the process held in it.

    They are added to ``facts`` as ``STAGE_seconds`` and ``STAGE_peak_mb`` (MiB, None elsewhere).
    """
    reset_peak_memory()
    started = time.perf_counter()
    yield
    facts[f"{stage}_seconds"] = time.perf_counter() - started
    facts[f"{stage}_peak_mb"] = peak_memory_mb()


def reset_peak_memory() -> None:
    """Let the peak begin again from what the process holds now, where the system can."""
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not permitted in some containers: the peak is then the process's own
            return


def peak_memory_mb() -> float | None:
    """Most resident memory of this process since it was reset, in MiB; None where unknown."""
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


SHOWN_PLACES: Final = 5
"""Places of a list that examples show."""

_ROWS_AT_ONCE = 1_000_000
"""Rows of a full ranking asked for in one call."""


class Run:
    """One model on one trial."""

    def __init__(self, trial: "Trial") -> None:
        self._trial = trial
        self._refuses: type[Exception] | tuple[type[Exception], ...] = ()
        if trial.split.kind == "cold users":
            # Ours say UnknownUserError, other libraries KeyError, when they do not know a user.
            self._refuses = (UnknownUserError, KeyError)
        self._model: Any = None
        self._knows_cold = False
        self._knows_given = False
        self._facts: dict[str, Any] = {}

    def of(self, model: Any) -> Outcome:
        """Fit ``model``, give it what it may know, ask it, and judge.

        Raises :class:`~datasets.errors.EvaluationError` for a leak or an invalid list.
        """
        self._fit(model)
        trial, k = self._trial, max(self._trial.ks)
        values: dict[Figure, Float64Array] = {}
        of_catalogue: dict[Figure, tuple[float, int]] = {}
        slices: dict[SliceFigure, Float64Array] = {}
        shown = None
        for candidates in trial.sets:
            name = candidates.name
            answer = self._answer(candidates, k)
            hits = self._judge(candidates).hits(answer, k)
            self._refuse_unknown(answer)
            self._facts[f"users_without_list_{name}"] = int((hits.n_listed == 0).sum())
            per_user = candidates.accuracy(hits, trial.ks, trial.metrics)
            per_user |= candidates.beyond_accuracy(hits, trial.ks)
            for (metric, at), found in per_user.items():
                values[name, metric, at] = self._of_all_users(found, candidates.rows)
            for (metric, at), figure in candidates.of_catalogue(hits, trial.ks).items():
                of_catalogue[name, metric, at] = figure
            if candidates.slices is not None:
                for part, found in candidates.slices.values(hits, trial.ks).items():
                    slices[name, *part] = found
            if candidates is trial.shown:
                shown = _first_places(hits, SHOWN_PLACES)
        values |= self._aucs()
        silent = self._facts.get(f"users_without_list_{COLD}", 0)
        self._facts["recommends_cold"] = (
            self._knows_cold and silent < len(trial.shown.users) if trial.split.cold_items else None
        )
        return Outcome(values, self._facts, of_catalogue, slices, shown)

    def _fit(self, model: Any) -> None:
        for method in ("fit", "recommend_many"):
            if not callable(getattr(model, method, None)):
                raise EvaluationError(f"{type(model).__name__} has no method {method}")
        trial, self._model = self._trial, model
        self._facts = {"settings": model_settings(model)}
        with measured(self._facts, "fit"):
            model.fit(trial.train)
        onboard = getattr(model, "onboard_many", None)
        self._knows_cold = onboard is not None
        if trial.new_items is not None and onboard is not None:
            with measured(self._facts, "onboard"):
                onboard(trial.new_items)
        update = getattr(model, "update", None)
        if len(trial.given) and update is not None:
            self._knows_given = True
            with measured(self._facts, "update"):
                update(trial.given)

    def _judge(self, candidates: CandidateSet) -> HitEncoder:
        if len(self._trial.given) and not self._knows_given:
            return self._trial.judge_without_given
        return candidates.judge

    def _answer(self, candidates: CandidateSet, k: int) -> pd.DataFrame:
        if candidates.name == COLD and not self._knows_cold:
            return _nothing()
        if candidates.sampled is not None:
            return candidates.sampled.answer(self._ask, k)
        if candidates.name != CATALOGUE:
            return self._ask(candidates.users, k, candidates.only)
        with measured(self._facts, "recommend"):
            return self._ask(candidates.users, k)

    def _ask(self, users: Sequence[str], k: int, only: Sequence[str] | None = None) -> pd.DataFrame:
        if only is not None and not self._knows_cold:
            # Sampled candidates may be cold, and the model need not know that there are such items.
            cold = set(self._trial.split.cold_items)
            only = [item for item in only if item not in cold]
            if not only:
                return _nothing()
        options = {} if only is None else {"only": only}
        try:
            answer = self._model.recommend_many(users, k, **options)
        except self._refuses:
            if len(users) == 1:
                return _nothing()
            # One user who is refused must not silence the others.
            return pd.concat([self._ask([user], k, only) for user in users], ignore_index=True)
        return _as_frame(answer)

    def _refuse_unknown(self, answer: pd.DataFrame) -> None:
        """A cold item can only come from a model that was given it."""
        if self._knows_cold:
            return
        leaked = answer[ITEM_ID].isin(self._trial.split.cold_items)
        if leaked.any():
            item = answer[ITEM_ID][leaked].iloc[0]
            raise EvaluationError(
                f"leak: recommends the held-out item {item!r}, which it was never given"
            )

    def _aucs(self) -> dict[Figure, Float64Array]:
        trial = self._trial
        if trial.auc_judge is None:
            return {}
        scores, relevant = self._all_scores(trial.auc_judge), trial.auc_judge.relevance()
        found: dict[Figure, Float64Array] = {}
        if ITEM_AUC in trial.metrics:
            found[COLD, ITEM_AUC, None] = item_auc(scores, relevant).values
        if USER_AUC in trial.metrics:
            rows = trial.sets[0].judge.users.get_indexer(trial.auc_judge.users)
            found[COLD, USER_AUC, None] = self._of_all_users(user_auc(scores, relevant), rows)
        return found

    def _all_scores(self, judge: HitEncoder) -> Float64Array:
        """Scores of every (user, cold item), asked for and judged a block of users at a time."""
        cold, n_users = self._trial.split.cold_items, len(judge.users)
        scores = np.full((n_users, len(cold)), np.nan)
        step = max(1, _ROWS_AT_ONCE // len(cold))
        for start in range(0, n_users if self._knows_cold else 0, step):
            part = judge.part(start, min(start + step, n_users))
            answer = self._model.recommend_many(
                list(part.users), len(cold), only=cold, exclude_seen=False
            )
            scores[start : start + step] = part.scores(_as_frame(answer))
        return scores

    def _of_all_users(self, values: Float64Array, rows: IntArray) -> Float64Array:
        """Values of some users among those of all; NaN for the others."""
        spread = np.full(len(self._trial.users), np.nan)
        spread[rows] = values
        return spread


def model_settings(model: Any) -> dict[str, Any]:
    """The settings a model was made with, where it keeps them as ``config``."""
    config = getattr(model, "config", None)
    return config.model_dump(mode="json") if isinstance(config, Settings) else {}


def _as_frame(answer: Any) -> pd.DataFrame:
    if not isinstance(answer, pd.DataFrame):
        raise EvaluationError(
            f"recommend_many must return a DataFrame of {USER_ID}, {RANK}, {ITEM_ID} and {SCORE},"
            f" and returned a {type(answer).__name__}"
        )
    return answer


def _first_places(hits: HitMatrix, n: int) -> HitMatrix:
    return HitMatrix(
        hits.matrix[:, :n].copy(),
        hits.n_relevant,
        np.minimum(hits.n_listed, n),
        hits.items[:, :n].astype(np.int32),
    )


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(
        {
            USER_ID: np.empty(0, dtype=object),
            RANK: np.empty(0, dtype=np.int64),
            ITEM_ID: np.empty(0, dtype=object),
            SCORE: np.empty(0),
        }
    )
