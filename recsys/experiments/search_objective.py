"""The objective of a hyper-parameter search: accuracy on splits of the training side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from datasets.columns import ITEM_ID, USER_ID
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.ranking import ITEM_AUC, item_auc, items_with_auc, ranking_metrics
from evaluation.model import ModelFactory
from evaluation.splitting.cold import cold_split
from evaluation.splitting.interactions import played_pairs
from evaluation.splitting.split import Split
from evaluation.splitting.warm import warm_split

ItemKind = Literal["warm", "cold"]
"""Which items a split holds out interactions of: known ones or new ones."""

NDCG: Final = "ndcg"


def held_out_splits(
    dataset: MusicDataset,
    kinds: Sequence[ItemKind],
    fraction: float,
    seed: int,
    among: Sequence[str] | None,
) -> tuple[Split, ...]:
    """Make the test splits, whose test sides a search must not see.

    Args:
        dataset: the whole data set.
        kinds: one split is made of each.
        fraction: share held out by each.
        seed: seed of the splits.
        among: items that cold splits may hold out; None for those with a recording.

    Raises:
        EvaluationError: the data is too small.
    """
    return tuple(_split(dataset, kind, fraction, seed, among, kind) for kind in kinds)


def search_data(dataset: MusicDataset, splits: Sequence[Split]) -> MusicDataset:
    """Select what is in the training side of every test split: all that a search may see."""
    rows = splits[0].train_rows
    for split in splits[1:]:
        rows = np.intersect1d(rows, split.train_rows, assume_unique=True)
    held_out = {item for split in splits for item in (*split.cold_items, *split.excluded_items)}
    kept = dataset.take_interactions(rows)
    return kept.drop_items(sorted(held_out)) if held_out else kept


@dataclass(frozen=True, eq=False)
class ValidationFold:
    """One validation split: what a model is fitted on, and the hits it should have.

    Lists for warm items are of the whole catalogue, those for cold items of these alone.
    """

    name: str
    """Kind and number, such as "warm 1"."""
    kind: ItemKind
    """Which items are held out."""
    training: MusicDataset
    """What models are fitted on."""
    new_items: MusicDataset | None
    """The cold items; None for a warm split."""
    hit_encoder: HitEncoder
    """Test users, candidates and relevant items."""

    @classmethod
    def from_split(cls, dataset: MusicDataset, split: Split, kind: ItemKind) -> "ValidationFold":
        """Make a fold of a split of ``dataset``; EvaluationError if it has no test users."""
        training = split.training(dataset)
        test = played_pairs(dataset.interactions.iloc[split.test_rows])
        seen = played_pairs(training.interactions)
        users = set(test[USER_ID])
        if kind == "warm":
            encoder = HitEncoder(sorted(users), training.items[ITEM_ID], test, seen)
            return cls(split.name, kind, training, None, encoder)
        users &= set(seen[USER_ID])
        if not users:
            raise EvaluationError(f"split {split.name!r}: nobody has test items and training")
        encoder = HitEncoder(sorted(users), split.cold_items, test)
        return cls(split.name, kind, training, split.onboarding(dataset), encoder)

    def measure(self, make: ModelFactory, k: int, metric: str) -> float:
        """Fit a new model and measure it.

        Args:
            make: makes the model.
            k: length of the lists.
            metric: ``NDCG`` or the item-wise AUC.

        Returns:
            Mean nDCG@k over the test users, or mean item-wise AUC over the cold items.
        """
        model = make()
        model.fit(self.training)
        only = None
        if self.new_items is not None:
            only = list(self.hit_encoder.items)
            model.onboard_many(self.new_items)  # type: ignore[attr-defined]
        users = list(self.hit_encoder.users)
        if metric == ITEM_AUC:
            lists = model.recommend_many(users, len(self.hit_encoder.items), only=only)
            scores = self.hit_encoder.scores(lists)
            return float(item_auc(scores, self.hit_encoder.relevance()).values.mean())
        lists = model.recommend_many(users, k, only=only)
        values = ranking_metrics(self.hit_encoder.hits(lists, k), (k,))
        return float(values["ndcg", k].mean())


def validation_folds(
    dataset: MusicDataset,
    kinds: Sequence[ItemKind],
    n_folds: int,
    fraction: float,
    seed: int,
    among: Sequence[str] | None,
) -> tuple[ValidationFold, ...]:
    """Make the folds that every trial is measured on, in the order they are run.

    Args:
        dataset: the data that the search may see, see ``search_data``.
        kinds: a fold of each kind is made in turn.
        n_folds: folds of each kind; fold n is drawn by ``seed + n``, the test splits by ``seed``.
        fraction: share held out by each.
        seed: seed of the search.
        among: items that cold folds may hold out; None for those with a recording.

    Raises:
        EvaluationError: the data is too small.

    Examples:
        >>> among = [f"s{n}" for n in range(28)]
        >>> test = held_out_splits(dataset, ("warm", "cold"), 0.2, 0, among)
        >>> visible = search_data(dataset, test)
        >>> [fold.name for fold in validation_folds(visible, ("warm", "cold"), 2, 0.2, 0, among)]
        ['warm 1', 'cold 1', 'warm 2', 'cold 2']
    """
    if among is not None:
        known = set(dataset.items[ITEM_ID])
        among = [item for item in among if item in known]
    found = []
    for number in range(1, n_folds + 1):
        for kind in kinds:
            split = _split(dataset, kind, fraction, seed + number, among, f"{kind} {number}")
            found.append(ValidationFold.from_split(dataset, split, kind))
    return tuple(found)


def cold_metric(folds: Sequence[ValidationFold], k: int) -> str:
    """Choose the metric of cold folds: nDCG, or the item-wise AUC.

    A list with half of the cold items or more has nearly the same ones whatever the settings: then
    the AUC decides, as in ``evaluation.conclusions.evidence``, if every fold has an item to
    measure. All folds have the same metric, as their means are averaged.
    """
    cold = [fold.hit_encoder for fold in folds if fold.kind == "cold"]
    if not any(_is_too_few_for_lists(len(encoder.items), k) for encoder in cold):
        return NDCG
    measurable = all(len(items_with_auc(encoder.relevance())) for encoder in cold)
    return ITEM_AUC if measurable else NDCG


def objective_cautions(folds: Sequence[ValidationFold], k: int) -> tuple[str, ...]:
    """Return sentences on what is doubtful about the objective; none where nothing is."""
    fewest = min(
        (len(fold.hit_encoder.items) for fold in folds if fold.kind == "cold"), default=None
    )
    if fewest is None or not _is_too_few_for_lists(fewest, k):
        return ()
    few = f"A split for the search holds out {fewest} cold items, too few for lists of {k} of them:"
    if cold_metric(folds, k) == ITEM_AUC:
        consequence = "the item-wise AUC stands for cold items in the objective, in place of nDCG."
    else:
        consequence = "nDCG of cold items hardly depends on the settings there."
    return (f"{few} {consequence}",)


def _is_too_few_for_lists(n_items: int, k: int) -> bool:
    """Whether a list of k has half of the items or more."""
    return k * 2 >= n_items


def _split(
    dataset: MusicDataset,
    kind: ItemKind,
    fraction: float,
    seed: int,
    among: Sequence[str] | None,
    name: str,
) -> Split:
    if kind == "warm":
        return warm_split(dataset, fraction, seed, name=name)
    return cold_split(dataset, fraction, seed, among=among, name=name)
