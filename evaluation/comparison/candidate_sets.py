"""One set of candidate items for some of a split's users, and all that is measured on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from datasets.arrays import Float64Array, IntArray
from evaluation.metrics.beyond_accuracy import CATALOGUE_METRICS, list_metrics
from evaluation.metrics.hits import Hits, Judge
from evaluation.metrics.item_facts import ItemFacts
from evaluation.metrics.ranking import RANKING_METRICS
from evaluation.metrics.sampling import SampledCandidates
from evaluation.metrics.slices import Slices

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
    judge: Judge
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
        self, hits: Hits, ks: Sequence[int], metrics: Sequence[str]
    ) -> dict[tuple[str, int], Float64Array]:
        """{(metric, k): a value for each user of the judge}."""
        return {
            (name, k): RANKING_METRICS[name](hits, k)
            for k in ks
            for name in RANKING_METRICS
            if name in metrics
        }

    def beyond_accuracy(self, hits: Hits, ks: Sequence[int]) -> dict[tuple[str, int], Float64Array]:
        """{(metric, k): a value for each user of the judge}; empty without facts."""
        if self.catalogue_facts is None or self.in_catalogue is None:
            return {}
        items = np.append(self.in_catalogue, -1)[hits.items]
        return list_metrics(
            Hits(hits.matrix, hits.n_relevant, hits.n_listed, items), ks, self.catalogue_facts
        )

    def of_catalogue(
        self, hits: Hits, ks: Sequence[int]
    ) -> dict[tuple[str, int], tuple[float, int]]:
        """{(metric, k): (the figure, number of items)}; empty without facts."""
        if self.facts is None:
            return {}
        return {
            (name, k): (float(metric(hits, k, self.facts).mean()), len(self.judge.items))
            for k in ks
            for name, metric in CATALOGUE_METRICS.items()
        }
