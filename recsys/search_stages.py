"""What a trial is measured on: splits inside the training side, fitted and judged one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation import cold_split, warm_split
from evaluation.judging import Judge
from evaluation.metrics import ranking_metrics
from evaluation.model import ModelFactory
from evaluation.splits import Split

Kind = Literal["warm", "cold"]


def held_out_splits(
    dataset: MusicDataset,
    kinds: Sequence[Kind],
    fraction: float,
    seed: int,
    among: Sequence[str] | None,
) -> tuple[Split, ...]:
    """The splits whose test sides a search must not see. Raises EvaluationError where none can be.

    among: items that cold splits may hold out; those with a recording where None.
    """
    return tuple(_split(dataset, kind, fraction, seed, among, kind) for kind in kinds)


def search_side(dataset: MusicDataset, splits: Sequence[Split]) -> MusicDataset:
    """What is in the training side of every split."""
    rows = splits[0].train_rows
    for split in splits[1:]:
        rows = np.intersect1d(rows, split.train_rows, assume_unique=True)
    held_out = {item for split in splits for item in (*split.cold_items, *split.withheld_items)}
    kept = dataset.take_interactions(rows)
    return kept.drop_items(sorted(held_out)) if held_out else kept


@dataclass(frozen=True, eq=False)
class Stage:
    """One split made ready: what a model learns from, and who judges its lists.

    Lists for warm items are of the whole catalogue, those for cold items of them alone.
    """

    name: str
    kind: Kind
    training: MusicDataset
    new_items: MusicDataset | None
    judge: Judge

    @classmethod
    def of(cls, dataset: MusicDataset, split: Split, kind: Kind) -> "Stage":
        training = split.training(dataset)
        test = _played(dataset.interactions.iloc[split.test_rows])
        seen = _played(training.interactions)
        users = set(test[USER_ID])
        if kind == "warm":
            judge = Judge(sorted(users), training.items[ITEM_ID], test, seen)
            return cls(split.name, kind, training, None, judge)
        users &= set(seen[USER_ID])
        if not users:
            raise EvaluationError(f"split {split.name!r}: nobody has test items and training")
        judge = Judge(sorted(users), split.cold_items, test)
        return cls(split.name, kind, training, split.onboarding(dataset), judge)

    def ndcg(self, make: ModelFactory, k: int) -> float:
        """Mean nDCG@k over test users of a model fitted on this stage's training side."""
        model = make()
        model.fit(self.training)
        only = None
        if self.new_items is not None:
            only = list(self.judge.items)
            model.onboard_many(self.new_items)  # type: ignore[attr-defined]
        lists = model.recommend_many(list(self.judge.users), k, only=only)
        values = ranking_metrics(self.judge.hits(lists, k), (k,))
        return float(values["ndcg", k].mean())


def stages(
    dataset: MusicDataset,
    kinds: Sequence[Kind],
    folds: int,
    fraction: float,
    seed: int,
    among: Sequence[str] | None,
) -> tuple[Stage, ...]:
    """Stages in the order they are run: of every fold, one of each kind.

    dataset: the search side. Folds are splits drawn anew, with other seeds than the tests.
    """
    if among is not None:
        known = set(dataset.items[ITEM_ID])
        among = [item for item in among if item in known]
    found = []
    for fold in range(1, folds + 1):
        for kind in kinds:
            split = _split(dataset, kind, fraction, seed + fold, among, f"{kind} {fold}")
            found.append(Stage.of(dataset, split, kind))
    return tuple(found)


def _split(
    dataset: MusicDataset,
    kind: Kind,
    fraction: float,
    seed: int,
    among: Sequence[str] | None,
    name: str,
) -> Split:
    if kind == "warm":
        return warm_split(dataset, fraction, seed, name=name)
    return cold_split(dataset, fraction, seed, among=among, name=name)


def _played(interactions: pd.DataFrame) -> pd.DataFrame:
    """Distinct (user, item) pairs with a weight above 0: a play count of 0 is no listening."""
    played = interactions[WEIGHT] > 0
    return interactions.loc[played, [USER_ID, ITEM_ID]].drop_duplicates()
