"""One model on one split: fitted on the training side, asked, and judged.

One set of candidate items for some of a split's users, and all that is measured on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float64Array, IntArray
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.metrics.beyond_accuracy import (
    CATALOGUE_METRICS,
    ItemFacts,
    item_facts,
    list_metrics,
)
from evaluation.metrics.hits import HitEncoder, HitMatrix
from evaluation.metrics.ranking import ACCURACY, ITEM_AUC, RANKING_METRICS, USER_AUC, items_with_auc
from evaluation.metrics.sampling import SampledCandidates
from evaluation.metrics.slices import Slices
from evaluation.model import ModelFactory
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split, check_no_leak

if TYPE_CHECKING:
    from evaluation.comparison.run import Outcome


@dataclass(frozen=True, eq=False)
class Units:
    """Whom the values of the outcomes of one split belong to."""

    users: tuple[str, ...]
    """The users asked for."""
    auc_items: tuple[str, ...]
    """The items that have an item-wise AUC."""
    slice_rows: dict[tuple[str, str, str], IntArray]
    """{(candidates, by, slice): positions in ``users`` of those who take part}."""


CATALOGUE: Final = "catalogue"
"""Candidates: every item a model can recommend, those of training and the cold ones."""

COLD: Final = "cold"
"""Candidates: the cold items among themselves."""

THIN: Final = "thin"
"""Candidates: the items that keep few interactions in training, among themselves."""

PLAYED: Final = "played"
"""Candidates: the items with listeners in training, where the catalogue has others too."""


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """Items ranked against each other."""

    name: str
    judge: HitEncoder
    rows: IntArray
    """[n of the judge]: its users among those of the split; the others have nothing relevant."""
    only: Sequence[str] | None = None
    """The items a model is asked for; None for all it has."""
    sampled: SampledCandidates | None = None
    """Each user's own candidates, where they were sampled."""
    facts: ItemFacts | None = None
    """Of the judge's items and users, for coverage and Gini; None where only accuracy counts."""
    catalogue_facts: ItemFacts | None = None
    """Of the whole catalogue and the judge's users: what users have played is seldom all in
    ``facts``."""
    in_catalogue: IntArray | None = None
    """[n_items]: the judge's items among those of ``catalogue_facts``."""
    slices: Slices | None = None

    @cached_property
    def users(self) -> list[str]:
        """Ids of the users asked for."""
        return list(self.judge.users)

    def accuracy(
        self, hits: HitMatrix, ks: Sequence[int], metrics: Sequence[str]
    ) -> dict[tuple[str, int], Float64Array]:
        """{(metric, k): a value for each user of the judge}."""
        return {
            (name, k): RANKING_METRICS[name](hits, k)
            for k in ks
            for name in RANKING_METRICS
            if name in metrics
        }

    def beyond_accuracy(
        self, hits: HitMatrix, ks: Sequence[int]
    ) -> dict[tuple[str, int], Float64Array]:
        """{(metric, k): a value for each user of the judge}; empty without facts."""
        if self.catalogue_facts is None or self.in_catalogue is None:
            return {}
        items = np.append(self.in_catalogue, -1)[hits.items]
        return list_metrics(
            HitMatrix(hits.matrix, hits.n_relevant, hits.n_listed, items), ks, self.catalogue_facts
        )

    def of_catalogue(
        self, hits: HitMatrix, ks: Sequence[int]
    ) -> dict[tuple[str, int], tuple[float, int]]:
        """{(metric, k): (the figure, number of items)}; empty without facts."""
        if self.facts is None:
            return {}
        return {
            (name, k): (float(metric(hits, k, self.facts).mean()), len(self.judge.items))
            for k in ks
            for name, metric in CATALOGUE_METRICS.items()
        }


__all__ = ["CATALOGUE", "COLD", "PLAYED", "THIN", "Trial"]


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
        metrics: Sequence[str] = ACCURACY,
        sampled: int | None = None,
        embeddings: pd.DataFrame | None = None,
        pairs: UserItemPairs | None = None,
    ) -> None:
        """``pairs``: those of ``dataset``, where they are at hand; else they are counted anew."""
        pairs = UserItemPairs.from_dataset(dataset) if pairs is None else pairs
        split.check(dataset, pairs)
        self.dataset = dataset
        self.split = split
        self.ks = ks
        self.metrics = tuple(metrics)
        self.train = split.training(dataset)
        self.new_items = split.onboarding(dataset) if split.cold_items else None
        self.given = dataset.take_interactions(split.fold_in_rows).interactions
        self.tested = dataset.take_interactions(split.test_rows).interactions
        check_no_leak(split, self.train, self.given, self.tested)
        # A play count of 0 is no listening.
        played = dataset.interactions[WEIGHT].to_numpy() > 0
        trained, given, tested = (
            pairs.mark_rows(rows[played[rows]])
            for rows in (split.train_rows, split.fold_in_rows, split.test_rows)
        )
        seen, self.test = pairs.to_frame(trained), pairs.to_frame(tested)
        self._seen = seen
        self.users, self.users_without_training = self._test_users(seen)
        self._embeddings = embeddings
        catalogue = [*self.train.items[ITEM_ID], *split.cold_items]
        # Who was given a user's plays must not recommend them; who was not cannot know of them.
        judge = HitEncoder(self.users, catalogue, self.test, pairs.to_frame(trained | given))
        self.judge_without_given = (
            HitEncoder(self.users, catalogue, self.test) if given.any() else judge
        )
        facts = self._facts(judge)
        self._activity = np.diff(facts.history.indptr)
        self.sets: list[CandidateSet] = []
        self.sets.append(self._candidate_set(CATALOGUE, judge, facts, facts))
        known = sorted(seen[ITEM_ID].unique())
        if split.kind == "warm" and len(known) < len(catalogue):
            self._add(PLAYED, known, seen)
        if split.few_shot_items:
            self._add(THIN, split.few_shot_items, seen)
        if split.cold_items:
            self._add(COLD, split.cold_items, None)
        self.n_sampled = sampled
        if sampled is not None:
            drawn = SampledCandidates(judge, sampled, seed)
            everybody = np.arange(len(self.users))
            self.sets.append(CandidateSet(f"sampled {sampled}", judge, everybody, sampled=drawn))
        self.shown = next((s for s in self.sets if s.name in (COLD, THIN)), self.sets[0])
        """The candidates whose lists examples show."""
        self.auc_judge: HitEncoder | None = None
        self.auc_items: tuple[str, ...] = ()
        self.auc_left_out = 0
        if self.shown.name == COLD and {ITEM_AUC, USER_AUC} & set(self.metrics):
            self._prepare_auc(max_auc_users, seed)

    def _test_users(self, seen: pd.DataFrame) -> tuple[list[str], int]:
        """The users asked for, and how many were left out as nothing can be known of them."""
        users = set(self.test[USER_ID].unique())
        wanted = users
        if self.split.kind in ("cold", "semi-cold", "time"):
            wanted = users & set(seen[USER_ID].unique())
        if not wanted:
            raise EvaluationError(
                f"split {self.split.name!r} has no test user: nobody has both a test item and"
                " training"
            )
        return sorted(wanted), len(users) - len(wanted)

    def _facts(self, judge: HitEncoder, users: "pd.Index[str] | None" = None) -> ItemFacts:
        return item_facts(
            judge.items,
            self.train,
            judge.users if users is None else users,
            played=self._seen,
            texts=self.dataset,
            embeddings=self._embeddings,
        )

    def _add(self, name: str, items: Sequence[str], seen: pd.DataFrame | None) -> None:
        """A set of candidates for the users to whom one of them is relevant, if there are any."""
        concerned = set(self.test[USER_ID][self.test[ITEM_ID].isin(items)].unique())
        users = [user for user in self.users if user in concerned]
        if users:
            judge = HitEncoder(users, items, self.test, seen)
            of_all = self._facts(self.sets[0].judge, judge.users) if name == COLD else None
            self.sets.append(self._candidate_set(name, judge, self._facts(judge), of_all))

    def _candidate_set(
        self, name: str, judge: HitEncoder, facts: ItemFacts, of_all: ItemFacts | None
    ) -> CandidateSet:
        catalogue = self.sets[0].judge if self.sets else judge
        rows = catalogue.users.get_indexer(judge.users)
        return CandidateSet(
            name,
            judge,
            rows,
            only=None if name == CATALOGUE else list(judge.items),
            facts=None if of_all is None else facts,
            catalogue_facts=of_all,
            in_catalogue=catalogue.items.get_indexer(judge.items),
            slices=Slices(judge.relevant, facts, self._activity[rows]),
        )

    def _prepare_auc(self, max_auc_users: int, seed: int) -> None:
        ranked = self.shown.users
        if len(ranked) > max_auc_users:
            drawn = np.random.default_rng(seed).permutation(len(ranked))[:max_auc_users]
            ranked = [ranked[row] for row in np.sort(drawn)]
        self.auc_judge = HitEncoder(ranked, self.split.cold_items, self.test)
        if ITEM_AUC in self.metrics:
            defined = items_with_auc(self.auc_judge.relevance())
            self.auc_items = tuple(self.split.cold_items[item] for item in defined)
            self.auc_left_out = len(self.split.cold_items) - len(defined)

    def units(self) -> Units:
        """Whom the values belong to."""
        return Units(
            tuple(self.users),
            self.auc_items,
            {
                (candidates.name, *name): candidates.rows[rows]
                for candidates in self.sets
                if candidates.slices is not None
                for name, rows in candidates.slices.rows.items()
            },
        )

    def facts(self) -> dict[str, Any]:
        """Counts and settings of the split, for the report."""
        bounds = self.sets[0].slices.bounds if self.sets[0].slices is not None else {}
        return {
            "name": self.split.name,
            "kind": self.split.kind,
            "fold": self.split.fold,
            "settings": dict(self.split.settings),
            "train_rows": len(self.split.train_rows),
            "test_rows": len(self.split.test_rows),
            "given_rows": len(self.split.fold_in_rows),
            "train_items": len(self.train.items),
            "cold_items": len(self.split.cold_items),
            "cold_items_ranked": len(self.split.cold_items),
            "thin_items": len(self.split.few_shot_items),
            "withheld_items": len(self.split.excluded_items),
            "test_users": len(self.users),
            "users_without_training": self.users_without_training,
            "sampled": self.n_sampled,
            "slices": [
                {"by": by, "slice": name, "least": least, "most": most}
                for (by, name), (least, most) in bounds.items()
            ],
            "auc_users": len(self.auc_judge.users) if self.auc_judge else 0,
            "auc_items": len(self.auc_items),
            "auc_items_left_out": self.auc_left_out,
        }

    def run(self, name: str, factory: ModelFactory) -> "Outcome":
        """Fit a fresh model and measure it; errors say which model and split they belong to."""
        try:
            from evaluation.comparison.run import Run

            return Run(self).of(factory())
        except EvaluationError as error:
            where = f"model {name!r} on split {self.split.name!r}"
            raise EvaluationError(f"{where}: {error}") from None
        except Exception as error:
            error.add_note(f"while evaluating model {name!r} on split {self.split.name!r}")
            raise

    def fits(self, outcome: "Outcome") -> bool:
        """Whether an outcome that was kept has as many values as this trial has users."""
        rows = self.units().slice_rows
        sizes = {True: len(self.auc_items), False: len(self.users)}
        return (
            all(len(of) == sizes[key[1] == ITEM_AUC] for key, of in outcome.values.items())
            and all(len(of) == len(rows[key[:3]]) for key, of in outcome.slices.items())
            and outcome.shown is not None
            and len(outcome.shown.items) == len(self.shown.users)
        )
