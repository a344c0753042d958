"""One model on one split: fitted on the training side, asked, and judged."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.columns import ITEM_ID, RANK, SCORE, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from datasets.settings import Settings
from evaluation.judging import Judge, require_columns
from evaluation.metrics import ITEM_AUC, item_auc, ranking_metrics
from evaluation.model import ModelFactory
from evaluation.splits import Split

Values = NDArray[np.float64]

CATALOGUE: Final = "catalogue"
"""Candidates: every item a model can recommend, those of training and the cold ones."""
COLD: Final = "cold"
"""Candidates: the cold items among themselves."""
PLAYED: Final = "played"
"""Candidates: the items with listeners in training, where the catalogue has others too."""

_ROWS_AT_ONCE = 1_000_000
"""Rows of a full ranking asked for in one call."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one model did on one split."""

    values: dict[tuple[str, str, int | None], Values]
    """{(candidates, metric, k): one value a user, or an item for the item-wise AUC (k None)}."""
    facts: dict[str, Any]
    """Seconds, peak memory, users without a list, and the model's own settings."""


class Trial:
    """A split made ready: training side, test users, and judges that know the right answers."""

    def __init__(
        self,
        dataset: MusicDataset,
        split: Split,
        ks: tuple[int, ...],
        *,
        max_auc_users: int,
        seed: int,
    ) -> None:
        split.check(dataset)
        self.split = split
        self.ks = ks
        self.train = split.training(dataset)
        self.new_items = split.onboarding(dataset) if split.kind == "cold" else None
        test = _played(dataset.interactions.iloc[split.test_rows])
        seen = _played(self.train.interactions)
        _check_sides(split, self.train, test)
        users = set(test[USER_ID])
        if split.kind == "cold":
            users &= set(seen[USER_ID])
        if not users:
            raise EvaluationError(
                f"split {split.name!r} has no test user: nobody has both a test item and training"
            )
        self.users = sorted(users)
        catalogue = [*self.train.items[ITEM_ID], *split.cold_items]
        self._judges = {CATALOGUE: Judge(self.users, catalogue, test, seen)}
        played = sorted(set(seen[ITEM_ID]))
        self._only: dict[str, Sequence[str]] = {COLD: split.cold_items, PLAYED: played}
        if split.kind == "warm" and len(played) < len(catalogue):
            self._judges[PLAYED] = Judge(self.users, catalogue, test, seen)
        self._auc_judge: Judge | None = None
        self.auc_items: tuple[str, ...] = ()
        self.auc_left_out = 0
        if split.kind == "cold":
            self._judges[COLD] = Judge(self.users, split.cold_items, test)
            ranked = self.users
            if len(ranked) > max_auc_users:
                drawn = np.random.default_rng(seed).permutation(len(ranked))[:max_auc_users]
                ranked = [self.users[row] for row in np.sort(drawn)]
            self._auc_judge = Judge(ranked, split.cold_items, test)
            relevant = self._auc_judge.relevance()
            defined = item_auc(np.zeros(relevant.shape), relevant)
            self.auc_items = tuple(split.cold_items[item] for item in defined.items)
            self.auc_left_out = defined.left_out

    def facts(self) -> dict[str, Any]:
        """Counts and settings of the split, for the report."""
        return {
            "name": self.split.name,
            "kind": self.split.kind,
            "settings": dict(self.split.settings),
            "train_rows": len(self.split.train_rows),
            "test_rows": len(self.split.test_rows),
            "train_items": len(self.train.items),
            "cold_items": len(self.split.cold_items),
            "withheld_items": len(self.split.withheld_items),
            "test_users": len(self.users),
            "auc_users": len(self._auc_judge.users) if self._auc_judge else 0,
            "auc_items": len(self.auc_items),
            "auc_items_left_out": self.auc_left_out,
        }

    def run(self, name: str, factory: ModelFactory) -> Outcome:
        """Fit a fresh model and measure it; errors say which model and split they belong to."""
        try:
            return self._run(factory)
        except EvaluationError as error:
            where = f"model {name!r} on split {self.split.name!r}"
            raise EvaluationError(f"{where}: {error}") from None
        except Exception as error:
            error.add_note(f"while evaluating model {name!r} on split {self.split.name!r}")
            raise

    def _run(self, factory: ModelFactory) -> Outcome:
        model = factory()
        for method in ("fit", "recommend_many"):
            if not callable(getattr(model, method, None)):
                raise EvaluationError(f"{type(model).__name__} has no method {method}")
        onboard = getattr(model, "onboard_many", None)
        facts: dict[str, Any] = {"settings": model_settings(model)}
        with _measured(facts, "fit"):
            model.fit(self.train)
        if self.new_items is not None and onboard is not None:
            with _measured(facts, "onboard"):
                onboard(self.new_items)
        knows_cold = onboard is not None

        k = max(self.ks)
        values: dict[tuple[str, str, int | None], Values] = {}
        for candidates, judge in self._judges.items():
            if candidates == COLD and not knows_cold:
                answer = _nothing()
            elif candidates in self._only:
                answer = model.recommend_many(self.users, k, only=self._only[candidates])
            else:
                with _measured(facts, "recommend"):
                    answer = model.recommend_many(self.users, k)
                self._refuse_unknown(answer, knows_cold)
            hits = judge.hits(answer, k)
            facts[f"users_without_list_{candidates}"] = int((hits.n_listed == 0).sum())
            for (metric, at), per_user in ranking_metrics(hits, self.ks).items():
                values[candidates, metric, at] = per_user
        if self._auc_judge is not None:
            scores = self._all_scores(model, self._auc_judge, knows_cold)
            values[COLD, ITEM_AUC, None] = item_auc(scores, self._auc_judge.relevance()).values
        facts["recommends_cold"] = (
            knows_cold and facts.get(f"users_without_list_{COLD}", 0) < len(self.users)
            if self.split.kind == "cold"
            else None
        )
        return Outcome(values, facts)

    def _refuse_unknown(self, answer: pd.DataFrame, knows_cold: bool) -> None:
        """A cold item can only come from a model that was given it."""
        require_columns(answer, (ITEM_ID,))
        if knows_cold:
            return
        leaked = answer[ITEM_ID].isin(self.split.cold_items)
        if leaked.any():
            item = answer[ITEM_ID][leaked].iloc[0]
            raise EvaluationError(
                f"leak: recommends the held-out item {item!r}, which it was never given"
            )

    def _all_scores(self, model: Any, judge: Judge, knows_cold: bool) -> Values:
        """Scores of every (user, cold item), asked for a block of users at a time."""
        cold = self.split.cold_items
        answers = [_nothing()]
        if knows_cold:
            step = max(1, _ROWS_AT_ONCE // len(cold))
            users = list(judge.users)
            answers = [
                model.recommend_many(
                    users[start : start + step], len(cold), only=cold, exclude_seen=False
                )
                for start in range(0, len(users), step)
            ]
        return judge.scores(answers[0] if len(answers) == 1 else pd.concat(answers))


def model_settings(model: Any) -> dict[str, Any]:
    """The settings a model was made with, where it keeps them as ``config``."""
    config = getattr(model, "config", None)
    return config.model_dump(mode="json") if isinstance(config, Settings) else {}


def _check_sides(split: Split, train: MusicDataset, test: pd.DataFrame) -> None:
    """The training side as models get it, checked against the test side once more."""
    both = train.interactions[[USER_ID, ITEM_ID]].merge(test, on=[USER_ID, ITEM_ID])
    held_out = train.items[ITEM_ID].isin([*split.cold_items, *split.withheld_items])
    if len(both) or held_out.any():
        item = both[ITEM_ID].iloc[0] if len(both) else train.items[ITEM_ID][held_out].iloc[0]
        raise EvaluationError(f"split {split.name!r} leaks: {item!r} reaches the training side")


def _played(interactions: pd.DataFrame) -> pd.DataFrame:
    """Distinct (user, item) pairs with a weight above 0: a play count of 0 is no listening."""
    played = interactions[WEIGHT] > 0
    return interactions.loc[played, [USER_ID, ITEM_ID]].drop_duplicates()


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(
        {
            USER_ID: np.empty(0, dtype=object),
            RANK: np.empty(0, dtype=np.int64),
            ITEM_ID: np.empty(0, dtype=object),
            SCORE: np.empty(0),
        }
    )


@contextmanager
def _measured(facts: dict[str, Any], stage: str) -> Iterator[None]:
    """Record the seconds of a stage and, on Linux, the most memory the process held in it."""
    _reset_peak_memory()
    started = time.perf_counter()
    yield
    facts[f"{stage}_seconds"] = time.perf_counter() - started
    facts[f"{stage}_peak_mb"] = _peak_memory_mb()


def _reset_peak_memory() -> None:
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not permitted in some containers: the peak is then the process's own
            return


def _peak_memory_mb() -> float | None:
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
