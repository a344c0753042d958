"""What a trial is measured on: splits inside the training side, fitted and judged one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation import cold_split, warm_split
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ITEM_AUC, item_auc, items_with_auc, ranking_metrics
from evaluation.model import ModelFactory
from evaluation.splitting.split import Split

Kind = Literal["warm", "cold"]

NDCG: Final = "ndcg"


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
    held_out = {item for split in splits for item in (*split.cold_items, *split.excluded_items)}
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
    judge: HitEncoder

    @classmethod
    def of(cls, dataset: MusicDataset, split: Split, kind: Kind) -> "Stage":
        training = split.training(dataset)
        test = _played(dataset.interactions.iloc[split.test_rows])
        seen = _played(training.interactions)
        users = set(test[USER_ID])
        if kind == "warm":
            judge = HitEncoder(sorted(users), training.items[ITEM_ID], test, seen)
            return cls(split.name, kind, training, None, judge)
        users &= set(seen[USER_ID])
        if not users:
            raise EvaluationError(f"split {split.name!r}: nobody has test items and training")
        judge = HitEncoder(sorted(users), split.cold_items, test)
        return cls(split.name, kind, training, split.onboarding(dataset), judge)

    def measure(self, make: ModelFactory, k: int, metric: str) -> float:
        """The mean of nDCG@k over test users, or of the item-wise AUC over items, of a new model
        fitted on this stage's training side."""
        model = make()
        model.fit(self.training)
        only = None
        if self.new_items is not None:
            only = list(self.judge.items)
            model.onboard_many(self.new_items)  # type: ignore[attr-defined]
        users = list(self.judge.users)
        if metric == ITEM_AUC:
            lists = model.recommend_many(users, len(self.judge.items), only=only)
            scores = self.judge.scores(lists)
            return float(item_auc(scores, self.judge.relevance()).values.mean())
        lists = model.recommend_many(users, k, only=only)
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


def cold_metric(parts: Sequence[Stage], k: int) -> str:
    """What cold stages are measured by: nDCG, or the item-wise AUC.

    A list that holds half of the items or more holds nearly the same ones whatever the settings:
    then, as in `evaluation.conclusions.evidence`, the AUC decides, where every fold has an item to measure.
    One metric counts for all folds, or their means would mean nothing.
    """
    cold = [part.judge for part in parts if part.kind == "cold"]
    if not any(too_few_for_lists(len(judge.items), k) for judge in cold):
        return NDCG
    measurable = all(len(items_with_auc(judge.relevance())) for judge in cold)
    return ITEM_AUC if measurable else NDCG


def cautions_of(parts: Sequence[Stage], k: int) -> tuple[str, ...]:
    """What is doubtful about the objective, in words."""
    fewest = min((len(part.judge.items) for part in parts if part.kind == "cold"), default=None)
    if fewest is None or not too_few_for_lists(fewest, k):
        return ()
    few = f"A split for the search holds out {fewest} cold items, too few for lists of {k} of them:"
    if cold_metric(parts, k) == ITEM_AUC:
        said = "the item-wise AUC stands for cold items in the objective, in place of nDCG."
    else:
        said = "nDCG of cold items hardly depends on the settings there."
    return (f"{few} {said}",)


def too_few_for_lists(n_items: int, k: int) -> bool:
    """Whether a list of k holds half of the items or more."""
    return k * 2 >= n_items


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
