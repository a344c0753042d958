"""A split made ready for models: training side, test users and the candidates to rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

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
from evaluation.metrics.ranking import (
    ACCURACY,
    ITEM_METRICS,
    RANKING_METRICS,
    USER_AUC,
    items_with_auc,
)
from evaluation.metrics.sampling import SampledCandidates
from evaluation.metrics.slices import Slices
from evaluation.metrics.whole_lists import WholeLists
from evaluation.splitting.interactions import UserItemPairs
from evaluation.splitting.split import Split, check_no_leak

CATALOGUE: Final = "catalogue"
"""Candidates: every item a model can recommend, those of training and the cold ones."""

COLD_ITEMS: Final = "cold"
"""Candidates: the cold items among themselves."""

FEW_SHOT: Final = "thin"
"""Candidates: the items that keep few interactions in training, among themselves. Reports and
stored results call them thin."""

AT_BUDGET: Final = "discovery "
"""How the names of lists made at a budget for new items begin; the budget follows."""

AT_RANDOM: Final = " at random"
"""How they end where new items drawn at random stand in the places of new items."""


def is_variant(candidates: str) -> bool:
    """Tell whether a set of candidates are lists made for the frontier, no ranking of its own.

    Examples:
        >>> is_variant("catalogue"), is_variant("discovery 0.01"), is_variant("catalogue at random")
        (False, True, True)
    """
    return candidates.startswith(AT_BUDGET) or candidates.endswith(AT_RANDOM)


PLAYED: Final = "played"
"""Candidates: the items with training interactions, where the catalogue has others too."""


@dataclass(frozen=True)
class TrialOptions:
    """What is measured on a split, the same for all models of a comparison."""

    ks: tuple[int, ...]
    """Lengths of the lists, ascending."""
    metrics: tuple[str, ...] = ACCURACY
    """Names of accuracy metrics, see ``evaluation.metrics.ranking.ACCURACY``."""
    sampled: int | None = None
    """Number of sampled candidates that are ranked in addition to the whole catalogue."""
    max_auc_users: int = 5000
    """The AUCs rank the cold items for at most this many users, drawn by ``seed``."""
    budgets: tuple[float, ...] = ()
    """Shares of nDCG that models may pay for new items, at which mixed splits are measured too."""
    seed: int = 0
    """Seed of the sampled candidates and of the users of the AUCs."""

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            "ks": list(self.ks),
            "metrics": list(self.metrics),
            "sampled": self.sampled,
            "max_auc_users": self.max_auc_users,
            "budgets": list(self.budgets),
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class Units:
    """The users and items that the values measured on one split belong to."""

    users: tuple[str, ...]
    """Ids of the test users."""
    auc_items: tuple[str, ...]
    """Ids of the items that have an item-wise AUC."""
    slice_rows: dict[tuple[str, str, str], IntArray]
    """{(candidates, by, slice): positions in ``users`` of the slice's users}."""


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """Items ranked against each other, and the metrics computed on their ranking."""

    name: str
    """``"catalogue"``, ``"cold"``, ``"thin"``, ``"played"`` or ``"sampled N"``."""
    hit_encoder: HitEncoder
    """Knows the users, the candidates and the relevant items; turns lists into hits."""
    rows: IntArray
    """[n users of the encoder]: their positions among the users of the split; the other users of
    the split have no relevant item in this set."""
    only: Sequence[str] | None = None
    """The items that a model is asked for; None for all it has."""
    sampled: SampledCandidates | None = None
    """The candidates of each user, where they are sampled."""
    facts: ItemFacts | None = None
    """Of the encoder's items and users, for coverage and Gini; None to measure accuracy only."""
    catalogue_facts: ItemFacts | None = None
    """Of the whole catalogue and the encoder's users: ``facts`` seldom has all that users
    played."""
    in_catalogue: IntArray | None = None
    """[n_items]: positions of the encoder's items among those of ``catalogue_facts``."""
    slices: Slices | None = None
    """The slices by which accuracy is broken down."""

    @cached_property
    def users(self) -> list[str]:
        """Ids of the users that a model is asked for."""
        return list(self.hit_encoder.users)

    def accuracy(
        self, hits: HitMatrix, ks: Sequence[int], metrics: Sequence[str]
    ) -> dict[tuple[str, int], Float64Array]:
        """Compute accuracy per user: {(metric, k): [n users of the encoder]}."""
        return {
            (name, k): RANKING_METRICS[name](hits, k)
            for k in ks
            for name in RANKING_METRICS
            if name in metrics
        }

    def beyond_accuracy(
        self, hits: HitMatrix, ks: Sequence[int]
    ) -> dict[tuple[str, int], Float64Array]:
        """Compute novelty, diversity etc. per user: {(metric, k): [n users of the encoder]}.

        Empty without ``catalogue_facts``.
        """
        if self.catalogue_facts is None or self.in_catalogue is None:
            return {}
        items = np.append(self.in_catalogue, -1)[hits.items]
        return list_metrics(
            HitMatrix(hits.matrix, hits.n_relevant, hits.n_listed, items), ks, self.catalogue_facts
        )

    def of_catalogue(
        self, hits: HitMatrix, ks: Sequence[int]
    ) -> dict[tuple[str, int], tuple[float, int]]:
        """Compute coverage and Gini over all lists: {(metric, k): (value, number of items)}.

        Empty without ``facts``.
        """
        if self.facts is None:
            return {}
        return {
            (name, k): (float(metric(hits, k, self.facts).mean()), len(self.hit_encoder.items))
            for k in ks
            for name, metric in CATALOGUE_METRICS.items()
        }


class Trial:
    """The data of one split made ready: what models learn from, and what they are asked.

    Args:
        dataset: the whole data set.
        split: a split of it; checked here, leaks included.
        options: what is measured.
        embeddings: index item_id, one column a dimension, for the diversity of lists.
        pairs: the (user, item) pairs of ``dataset``, if they are known already.

    Raises:
        EvaluationError: the split leaks, or has no test user.

    Examples:
        >>> trial = Trial(dataset, split, TrialOptions(ks=(5, 10)))
        >>> len(trial.users), [candidates.name for candidates in trial.candidate_sets]
        (60, ['catalogue', 'played'])
    """

    def __init__(
        self,
        dataset: MusicDataset,
        split: Split,
        options: TrialOptions,
        *,
        embeddings: pd.DataFrame | None = None,
        pairs: UserItemPairs | None = None,
    ) -> None:
        pairs = UserItemPairs.from_dataset(dataset) if pairs is None else pairs
        split.check(dataset, pairs)
        self.dataset = dataset
        self.split = split
        self.options = options
        self.train = split.training(dataset)
        """What models are fitted on."""
        self.new_items = split.onboarding(dataset) if split.cold_items else None
        """The cold items and their recordings, for ``onboard_many``."""
        self.fold_in = dataset.take_interactions(split.fold_in_rows).interactions
        """Interactions that models get after the fit, by ``update``."""
        self.test_interactions = dataset.take_interactions(split.test_rows).interactions
        check_no_leak(split, self.train, self.fold_in, self.test_interactions)
        # An interaction of weight 0 is no play.
        played = dataset.interactions[WEIGHT].to_numpy() > 0
        in_train, in_fold_in, in_test = (
            pairs.mark_rows(rows[played[rows]])
            for rows in (split.train_rows, split.fold_in_rows, split.test_rows)
        )
        self._train_pairs, self.test_pairs = pairs.to_frame(in_train), pairs.to_frame(in_test)
        self.users, self.users_without_training = self._test_users()
        self._embeddings = embeddings

        # Among new items alone all of their plays count, also where lists test a share of them.
        self._new_pairs = self.test_pairs
        if split.kind == "mixed":
            is_new = pairs.mark_items(split.cold_items)[pairs.item]
            self._new_pairs = pairs.to_frame(is_new & pairs.played)
        catalogue = [*self.train.items[ITEM_ID], *split.cold_items]
        # A model that got the plays of fold-in must not recommend them; one without ``update``
        # does not know them.
        encoder = HitEncoder(
            self.users, catalogue, self.test_pairs, pairs.to_frame(in_train | in_fold_in)
        )
        self.hit_encoder_without_fold_in = encoder
        """Encoder of the catalogue for models that did not get ``fold_in``."""
        if in_fold_in.any():
            self.hit_encoder_without_fold_in = HitEncoder(self.users, catalogue, self.test_pairs)
        self.whole_lists: WholeLists | None = None
        """Measures new items in lists of the whole catalogue; None without new items."""
        if split.cold_items:
            self.whole_lists = WholeLists.from_encoder(encoder, len(split.cold_items))
        facts = self._item_facts(encoder)
        self._n_played = np.diff(facts.history.indptr)
        self.candidate_sets: list[CandidateSet] = []
        """All sets that lists are made of, the catalogue first."""
        self.candidate_sets.append(self._candidate_set(CATALOGUE, encoder, facts, facts))
        trained_items = sorted(self._train_pairs[ITEM_ID].unique())
        if split.kind in ("warm", "mixed") and len(trained_items) < len(catalogue):
            self._add(PLAYED, trained_items, self.test_pairs, self._train_pairs)
        if split.few_shot_items:
            self._add(FEW_SHOT, split.few_shot_items, self.test_pairs, self._train_pairs)
        if split.cold_items:
            self._add(COLD_ITEMS, split.cold_items, self._new_pairs, None)
        if options.sampled is not None:
            drawn = SampledCandidates(encoder, options.sampled, options.seed)
            all_users = np.arange(len(self.users))
            name = f"sampled {options.sampled}"
            self.candidate_sets.append(CandidateSet(name, encoder, all_users, sampled=drawn))
        self.example_candidates = next(
            (s for s in self.candidate_sets if s.name in (COLD_ITEMS, FEW_SHOT)),
            self.candidate_sets[0],
        )
        """The candidates whose lists are shown in examples."""

        self.auc_encoder: HitEncoder | None = None
        """Cold items and users of the AUCs; None where they are not measured."""
        self.auc_items: tuple[str, ...] = ()
        self.auc_items_left_out = 0
        """Cold items without an item-wise AUC: played by nobody or by everybody."""
        wants_auc = {*ITEM_METRICS, USER_AUC} & set(options.metrics)
        if self.example_candidates.name == COLD_ITEMS and wants_auc:
            self._prepare_auc()

    def _test_users(self) -> tuple[list[str], int]:
        """The users to ask for, and how many test users are left out for want of training data."""
        tested = set(self.test_pairs[USER_ID].unique())
        users = tested
        if self.split.kind in ("cold", "semi-cold", "time", "mixed"):
            users = tested & set(self._train_pairs[USER_ID].unique())
        if not users:
            raise EvaluationError(
                f"split {self.split.name!r} has no test user: nobody has both a test item and"
                " training"
            )
        return sorted(users), len(tested) - len(users)

    def _item_facts(self, encoder: HitEncoder, users: "pd.Index[str] | None" = None) -> ItemFacts:
        return item_facts(
            encoder.items,
            self.train,
            encoder.users if users is None else users,
            played=self._train_pairs,
            texts=self.dataset,
            embeddings=self._embeddings,
        )

    def _add(
        self, name: str, items: Sequence[str], tested: pd.DataFrame, seen: pd.DataFrame | None
    ) -> None:
        """Add candidates for the users to whom one of them is relevant, if there are any."""
        relevant = tested[ITEM_ID].isin(items)
        concerned = set(tested[USER_ID][relevant].unique())
        users = [user for user in self.users if user in concerned]
        if users:
            encoder = HitEncoder(users, items, tested, seen)
            catalogue_facts = None
            if name == COLD_ITEMS:
                catalogue = self.candidate_sets[0].hit_encoder
                catalogue_facts = self._item_facts(catalogue, encoder.users)
            self.candidate_sets.append(
                self._candidate_set(name, encoder, self._item_facts(encoder), catalogue_facts)
            )

    def _candidate_set(
        self, name: str, encoder: HitEncoder, facts: ItemFacts, catalogue_facts: ItemFacts | None
    ) -> CandidateSet:
        catalogue = self.candidate_sets[0].hit_encoder if self.candidate_sets else encoder
        rows = catalogue.users.get_indexer(encoder.users)
        return CandidateSet(
            name,
            encoder,
            rows,
            only=None if name == CATALOGUE else list(encoder.items),
            facts=None if catalogue_facts is None else facts,
            catalogue_facts=catalogue_facts,
            in_catalogue=catalogue.items.get_indexer(encoder.items),
            slices=Slices(encoder.relevant, facts, self._n_played[rows]),
        )

    def _prepare_auc(self) -> None:
        """Choose the users of the AUCs, and the items that have one."""
        users, most = self.example_candidates.users, self.options.max_auc_users
        if len(users) > most:
            drawn = np.random.default_rng(self.options.seed).permutation(len(users))[:most]
            users = [users[row] for row in np.sort(drawn)]
        self.auc_encoder = HitEncoder(users, self.split.cold_items, self._new_pairs)
        if set(ITEM_METRICS) & set(self.options.metrics):
            defined = items_with_auc(self.auc_encoder.relevance())
            self.auc_items = tuple(self.split.cold_items[item] for item in defined)
            self.auc_items_left_out = len(self.split.cold_items) - len(defined)

    def units(self) -> Units:
        """Return the users and items that the measured values belong to."""
        return Units(
            tuple(self.users),
            self.auc_items,
            {
                (candidates.name, *name): candidates.rows[rows]
                for candidates in self.candidate_sets
                if candidates.slices is not None
                for name, rows in candidates.slices.rows.items()
            },
        )

    def facts(self) -> dict[str, Any]:
        """Return counts and settings of the split, for the report."""
        slices = self.candidate_sets[0].slices
        bounds = slices.bounds if slices is not None else {}
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
            "sampled": self.options.sampled,
            "slices": [
                {"by": by, "slice": name, "least": least, "most": most}
                for (by, name), (least, most) in bounds.items()
            ],
            "auc_users": len(self.auc_encoder.users) if self.auc_encoder else 0,
            "auc_items": len(self.auc_items),
            "auc_items_left_out": self.auc_items_left_out,
        }
