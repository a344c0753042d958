"""What each source would recommend to validation users: candidates, scores, and what was held out.

Blends are compared on the union of each source's best items. Everything here grows with users and
candidates, never with users times items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from datasets.progress import count_steps
from datasets.system.forking import openmp_threads
from recsys.config import RecommenderConfig, SourceName
from recsys.data import TrainingData, Vectors
from recsys.fusion import make_blocks
from recsys.sources.als import ALSSource
from recsys.sources.base import Source
from recsys.sources.registry import make_source
from recsys.training.validation import ValidationSplit, ndcg_of_users

POPULARITY: SourceName = "popularity"
"""The source whose weight may be negative."""

_POOL_SIZE = 100
"""BlendCandidates per source and user: the best of a blend are among the best of a source."""

_BLOCK = 64
"""Users whose candidates' vectors are gathered at once."""


@dataclass(frozen=True)
class SourceVectors:
    """Each source's vectors ready to blend: users scaled, items centred, float32 [n, d]."""

    training: TrainingData
    """What they were learned from."""

    users: dict[str, Float32Array] = field(default_factory=dict)
    items: dict[str, Float32Array] = field(default_factory=dict)

    @property
    def uninformative(self) -> list[str]:
        """Sources that give all items the same score."""
        return [name for name, items in self.items.items() if not items.any()]

    @classmethod
    def fit(
        cls,
        training: TrainingData,
        split: ValidationSplit,
        config: RecommenderConfig,
        als: Vectors | None = None,
    ) -> "SourceVectors":
        """Fit all sources of `config`.

        Args:
            training: ``split.training`` or ``split.dense``.
            split: knows the held-out items, and whether their texts will be known.
            config: sources and their settings.
            als: factors of ALS that were learned from `training` before.
        """
        found = cls(training)
        for name in config.sources:
            source = make_source(name, config)
            with count_steps(f"source {name}", None):
                if als is not None and isinstance(source, ALSSource):
                    vectors = source.fit_content(training, als)
                else:
                    vectors = source.fit(training)
                found = found.with_source(name, source, vectors, split)
        return found

    def only(self, names: Sequence[str]) -> "SourceVectors":
        """Return the vectors of some sources, in this order."""
        users, items = ({name: side[name] for name in names} for side in (self.users, self.items))
        return SourceVectors(self.training, users, items)

    def with_source(
        self, name: str, source: Source, vectors: Vectors, split: ValidationSplit
    ) -> "SourceVectors":
        """Return these vectors, and those of another source that has been fitted."""
        items = vectors.items
        if not split.knows_texts and self.training is split.training and len(split.cold_items):
            items = items.copy()
            content = self.training.content.take(split.cold_items)
            bare = replace(content, metadata=content.metadata * 0)
            items[split.cold_items] = source.item_vectors(bare)
        return self.with_vectors(name, Vectors(vectors.users, items))

    def with_vectors(self, name: str, vectors: Vectors) -> "SourceVectors":
        """Return these vectors, and those of another source, learned from the same data."""
        is_cold = self.training.user_counts == 0
        one = {name: 1.0}
        (block,) = make_blocks({name: vectors.items}, is_cold, one, one)
        return SourceVectors(
            self.training,
            {**self.users, name: block.fuse_users(vectors.users)},
            {**self.items, name: block.fuse_items(vectors.items, is_cold)},
        )


@dataclass(frozen=True)
class BlendCandidates:
    """The union of each source's best items per user.

    Examples:
        >>> found = BlendCandidates(
        ...     np.array([0]),
        ...     ["als"],
        ...     np.float32([[[3, 2, 1]]]),
        ...     np.array([[False, True, False]]),
        ...     np.array([1]),
        ... )
        >>> found.ndcg({"als": 1.0}).round(3).tolist()  # the second place: 1 / log2(3)
        [0.631]
    """

    users: IntArray
    """Rows of the users, int [n_users]."""

    names: list[str]
    """The sources."""

    scores: Float32Array
    """Scores under each source, float32 [n_sources, n_users, n_candidates]."""

    relevant: BoolArray
    """Whether a candidate was held out, bool [n_users, n_candidates]."""

    n_relevant: IntArray
    """Held-out items of each user, candidates or not, int [n_users]."""

    uninformative: Sequence[str] = ()
    """Sources that give all items the same score."""

    proposals: Mapping[str, IntArray] = field(default_factory=dict, repr=False)
    """Each source's best items of the pool, int [n_users, n]."""

    def ndcg(self, weights: Mapping[str, float]) -> Float64Array:
        """Compute the nDCG@10 of each user under a blend with these weights, float64 [n_users]."""
        used = [number for number, name in enumerate(self.names) if weights.get(name, 0.0)]
        factors = np.array([weights[self.names[number]] for number in used], np.float32)
        blended = np.tensordot(factors, self.scores[used], axes=1)
        return ndcg_of_users(np.asarray(blended, np.float64), self.relevant, self.n_relevant)


def candidates(
    vectors: SourceVectors,
    users: IntArray,
    held_out: sp.csr_matrix,
    pool: IntArray,
    before: BlendCandidates | None = None,
) -> BlendCandidates:
    """Find each source's best items for some users.

    Args:
        vectors: vectors of the sources.
        users: rows of the users.
        held_out: held-out plays, CSR [n_users, n_items].
        pool: rows of the items to find them among.
        before: candidates of the same users and items under some of the sources.
    """
    from implicit.cpu.topk import topk

    names = list(vectors.users)
    uninformative = vectors.uninformative
    seen = vectors.training.plays[users][:, pool].tocsr()
    size = min(_POOL_SIZE, len(pool))
    threads = openmp_threads(vectors.training.threads)
    proposals = {} if before is None else dict(before.proposals)
    for name in names:
        # Sources that tell no items apart would propose the first ones.
        if name not in proposals and (name not in uninformative or not proposals):
            proposals[name] = topk(
                np.ascontiguousarray(vectors.items[name][pool]),
                np.ascontiguousarray(vectors.users[name][users]),
                size,
                filter_query_items=seen,
                num_threads=threads,
            )[0]
    proposed = np.concatenate(list(proposals.values()), axis=1)
    # An item that several sources propose counts once, so that it takes one place in a list.
    order = np.sort(proposed, axis=1)
    excluded = np.zeros_like(order, bool)
    excluded[:, 1:] = order[:, 1:] == order[:, :-1]
    within = np.arange(len(users))[:, None]
    excluded |= np.asarray(seen[within, order].todense()) > 0  # where all others are played
    scores = np.empty((len(names), *order.shape), np.float32)
    for own, name in enumerate(names):
        for start in range(0, len(users), _BLOCK):
            rows = slice(start, start + _BLOCK)
            there = vectors.items[name][pool[order[rows]]]
            scores[own, rows] = (there @ vectors.users[name][users[rows]][:, :, None])[..., 0]
        if name == POPULARITY or name in uninformative:
            # Their weights may be zero or negative: infinity would become NaN or attract. The other
            # sources keep excluded items out.
            scores[own][excluded] = 0
        else:
            scores[own][excluded] = -np.inf
    wanted = held_out[users][:, pool].tocsr()
    relevant = (np.asarray(wanted[within, order].todense()) > 0) & ~excluded
    wanted_by = np.diff(held_out[users].indptr)
    return BlendCandidates(users, names, scores, relevant, wanted_by, uninformative, proposals)
