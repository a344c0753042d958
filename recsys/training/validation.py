"""The validation split inside the training data, and the choice of ALS regularization on it.

The split holds out a share of the interactions and, of the items with an embedding, whole artists.
Whether their genre and other texts are hidden goes by the items of the data set that nobody has
played yet: where most of them come without, so will other new items.
Test data has no part in it, and it is the same for the same data and seed.

Weights and settings for known items are chosen on `ValidationSplit.dense`, from which no whole
items are missing: it is as dense as the data of the final fit. With very many plays
(`recsys.data.MANY_PLAYS`) a fiftieth of the items at most is held out, and what is left is as dense
already: one set of fits serves known and new items.

The best L2 penalty of ALS depends on how many users play an item and how many items a user plays,
and accuracy falls off on both sides of it. So it is chosen for each data set, by fits without the
held-out plays.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.system.forking import openmp_threads
from recsys.config import RecommenderConfig
from recsys.data import TrainingData, Vectors, has_many_plays
from recsys.sources.als import ALSSource, usual_penalty

LIST_LENGTH = 10
"""Length of the lists that nDCG evaluates."""

MIN_USERS = 50
"""Fewest validation users, and fewest interactions to hold out."""

MIN_COLD_ITEMS = 20
"""Fewest held-out items."""

RATIOS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
"""L2 penalties of ALS to try, in units of `usual_penalty`."""

MOST_COLD_ITEMS = 5_000
"""Items that are held out at most: their lists tell what more of them would."""

_COLD_OF_MANY = 0.02
"""Share of the items that is held out at most with more than `recsys.data.MANY_PLAYS` plays."""

FURTHER = 4
"""Alternations of ALS that bring factors to another penalty, or to all plays from most of them."""


@dataclass(frozen=True)
class ValidationSplit:
    """Training data, and what was held out of it: play matrices CSR [n_users, n_items].

    Examples:
        >>> split = hold_out(training_data, RecommenderConfig(fusion={"validation_fraction": 0.2}))
        >>> split.dense.plays.nnz + split.held_plays.nnz == training_data.plays.nnz
        True
    """

    training: TrainingData
    """The data to learn from, without the held-out items."""

    dense: TrainingData
    """The data without the single plays alone; `training` where no item is held out, or so few
    that it is as dense."""

    held_cold: sp.csr_matrix
    """All plays of the held-out items."""

    held_plays: sp.csr_matrix
    """Held-out single plays, the same share of all items', as in a later period of time."""

    cold_items: IntArray
    """Rows of the held-out items."""

    knows_texts: bool = False
    """Whether genre and other texts of held-out items are known, as those of new items will be."""


class HeldOut(NamedTuple):
    """What a validation split holds out: whole items, and single plays of all items.

    Masks are over the entries of the play matrix, in the order of ``plays.tocoo()``.
    """

    cold_items: IntArray
    """Rows of the items of which all plays are held out."""

    of_cold: BoolArray
    """Plays of these items."""

    sampled: BoolArray
    """Plays drawn at random, of all items."""

    @property
    def learned(self) -> BoolArray:
        """Plays that are left to learn from."""
        return ~(self.of_cold | self.sampled)


def draw_held_out(
    plays: sp.csr_matrix,
    artists: IntArray,
    recorded: BoolArray,
    config: RecommenderConfig,
    *,
    seen: BoolArray | None = None,
) -> HeldOut | None:
    """Draw what a validation split holds out; None if there are too few plays.

    A network that learns from plays is trained before the split is made, on what this function
    leaves it, and the split then holds out only items that the network did not see the plays of.

    Args:
        plays: CSR [n_users, n_items].
        artists: code of each item's artist, int [n_items].
        recorded: items with a recording or an embedding, bool [n_items].
        config: its ``seed`` and ``fusion.validation_fraction`` determine what is drawn.
        seen: items whose plays the encoder has learned from, bool [n_items]; None for no item.
    """
    fraction = config.fusion.validation_fraction
    if plays.nnz * fraction < MIN_USERS:
        return None
    candidates = recorded & (np.bincount(plays.indices, minlength=plays.shape[1]) > 0)
    rng = np.random.default_rng(config.seed)
    of_items = min(fraction, _COLD_OF_MANY) if has_many_plays(plays) else fraction
    cold_items = _hold_out_artists(artists, candidates, seen, of_items, rng)
    is_cold = np.zeros(plays.shape[1], bool)
    is_cold[cold_items] = True
    sampled = rng.random(plays.nnz) < fraction
    return HeldOut(cold_items, is_cold[plays.indices], sampled)


def hold_out(data: TrainingData, config: RecommenderConfig) -> ValidationSplit | None:
    """Split training data for validation; return None if there are too few interactions.

    Args:
        data: the training data.
        config: its ``seed`` and ``fusion.validation_fraction`` determine the split.

    Examples:
        >>> split = hold_out(training_data, RecommenderConfig(fusion={"validation_fraction": 0.2}))
        >>> 0.1 < split.held_plays.nnz / training_data.plays.nnz < 0.3
        True
        >>> hold_out(training_data, RecommenderConfig(fusion={"validation_fraction": 0.01})) is None
        True
    """
    heard = data.content.has_embedding
    among = heard if data.recorded is None else data.recorded
    drawn = draw_held_out(data.plays, data.artists, among, config, seen=data.seen_by_encoder)
    if drawn is None:
        return None
    plays = data.plays.tocoo()
    if not heard[drawn.cold_items].all():  # recordings that could not be embedded
        cold_items = drawn.cold_items[heard[drawn.cold_items]]
        if len(cold_items) < MIN_COLD_ITEMS:
            cold_items = cold_items[:0]
        drawn = drawn._replace(cold_items=cold_items, of_cold=np.isin(plays.col, cold_items))

    def part(mask: BoolArray) -> sp.csr_matrix:
        entries = (plays.data[mask], (plays.row[mask], plays.col[mask]))
        return sp.csr_matrix(entries, shape=plays.shape)

    training = replace(data, plays=part(drawn.learned))
    is_dense = not len(drawn.cold_items) or has_many_plays(data.plays)
    return ValidationSplit(
        training,
        training if is_dense else replace(data, plays=part(~drawn.sampled)),
        part(drawn.of_cold),
        part(drawn.sampled),
        drawn.cold_items,
        _new_items_told(data),
    )


def _new_items_told(data: TrainingData) -> bool:
    """Return whether most items that nobody has played come with texts that say something.

    They are the example of what will be known of new items; without any, it is the recording alone.
    """
    new = data.user_counts == 0
    told = np.diff(data.content.metadata.indptr)[new] > 0
    return bool(len(told) and told.mean() > 0.5)


def _hold_out_artists(
    artists: IntArray,
    candidates: BoolArray,
    seen: BoolArray | None,
    fraction: float,
    rng: np.random.Generator,
) -> IntArray:
    """Return candidates not seen, whole artists; none if too few items would remain."""
    rows = np.flatnonzero(candidates)
    wanted = max(min(int(fraction * len(rows)), MOST_COLD_ITEMS), MIN_COLD_ITEMS)
    most = len(rows) // 3
    names, codes, sizes = np.unique(artists[rows], return_inverse=True, return_counts=True)
    # An artist counts as seen as a whole: songs of one artist have much the same listeners.
    is_seen = np.isin(names, [] if seen is None else artists[seen])
    held_out = np.zeros(len(names), bool)
    n_held_out = 0
    # Artists seen have their place in the order, so that the others are drawn as before the encoder
    # was trained, and plays after them too.
    for artist in rng.permutation(len(names)):
        # Skip artists so large that too little would remain to learn from.
        if not is_seen[artist] and n_held_out + sizes[artist] <= most:
            held_out[artist] = True
            n_held_out += sizes[artist]
        if n_held_out >= wanted:
            break
    return rows[held_out[codes]] if n_held_out >= MIN_COLD_ITEMS else rows[:0]


def validation_users(training: TrainingData, held_out: sp.csr_matrix, limit: int) -> IntArray:
    """Select users who have both training and held-out interactions.

    Args:
        training: what is learned from.
        held_out: held-out interactions, CSR [n_users, n_items].
        limit: maximum number of users, spread evenly over all that qualify.

    Returns:
        User rows, ascending; empty if fewer than `MIN_USERS` qualify.
    """
    known = np.diff(training.plays.indptr) > 0
    users = np.flatnonzero((np.diff(held_out.indptr) > 0) & known)
    if len(users) < MIN_USERS:
        return users[:0]
    return users[np.linspace(0, len(users) - 1, min(limit, len(users))).astype(np.intp)]


def ndcg_of_users(scores: Float64Array, relevant: BoolArray, n_relevant: IntArray) -> Float64Array:
    """Compute the nDCG@10 of each user from the scores of their candidates.

    This is not the nDCG of `evaluation`, which takes lists of ids: the fit works on score matrices,
    and training may not import evaluation.

    Args:
        scores: scores of each user's candidates, [n_users, n_candidates].
        relevant: which candidates were held out, bool [n_users, n_candidates].
        n_relevant: held-out items of each user, candidates or not, int [n_users].
    """
    k = min(LIST_LENGTH, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    top_scores = np.take_along_axis(scores, top, axis=1)
    order = np.argsort(-top_scores, axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    discount = 1 / np.log2(np.arange(2, LIST_LENGTH + 2))
    gain = np.take_along_axis(relevant, top, axis=1) @ discount[:k]
    ideal = np.cumsum(discount)[np.minimum(n_relevant, LIST_LENGTH) - 1]
    return np.asarray(gain / ideal, np.float64)


def warm_ndcg(vectors: Vectors, split: ValidationSplit, users: IntArray) -> Float64Array:
    """Compute the nDCG@10 of each of these users' lists of known items, on the dense split."""
    from implicit.cpu.topk import topk

    plays = split.dense.plays
    warm = np.flatnonzero(split.dense.user_counts > 0)
    held_out = split.held_plays[users][:, warm].tocsr()
    n_relevant = np.diff(split.held_plays[users].indptr)
    rows, _ = topk(
        np.ascontiguousarray(vectors.items[warm]),
        np.ascontiguousarray(vectors.users[users]),
        min(LIST_LENGTH, len(warm)),
        filter_query_items=plays[users][:, warm].tocsr(),
        num_threads=openmp_threads(split.dense.threads),
    )
    relevant = np.asarray(held_out[np.arange(len(users))[:, None], rows].todense()) > 0
    order = -np.arange(rows.shape[1], dtype=np.float64)
    return ndcg_of_users(np.tile(order, (len(users), 1)), relevant, n_relevant)


def leaves_regularization_open(config: RecommenderConfig) -> bool:
    """Return whether the L2 penalty of ALS is to be chosen on the data."""
    return config.als.regularization is None and "als" in config.sources


class ChosenSettings(NamedTuple):
    """Settings with the L2 penalty of ALS, and what was learned on the way."""

    config: RecommenderConfig

    als: Vectors | None
    """Factors of ALS with that penalty, learned from `ValidationSplit.dense`; None without a
    split."""


def choose_regularization(
    data: TrainingData, split: ValidationSplit | None, config: RecommenderConfig
) -> ChosenSettings:
    """Choose the L2 penalty of ALS by nDCG@10 on the validation split.

    A configured penalty is kept. Without a split, with too few users or too many plays, it is
    `usual_penalty`.

    Args:
        data: all training data.
        split: the validation split; None where there was too little to hold out.
        config: the configuration.

    Examples:
        >>> config = RecommenderConfig(als={"alpha": 10.0})
        >>> chosen = choose_regularization(training_data, None, config).config
        >>> chosen.als.regularization == usual_penalty(training_data, config.als)
        True
    """
    if not leaves_regularization_open(config):
        return ChosenSettings(config, None)
    usual = usual_penalty(data, config.als)
    ratio, factors = (1.0, None) if split is None else _best_ratio(usual, split, config)
    return ChosenSettings(
        config.replace(als=config.als.replace(regularization=ratio * usual)), factors
    )


def _best_ratio(
    usual: float, split: ValidationSplit, config: RecommenderConfig
) -> tuple[float, Vectors | None]:
    """Return the best of `RATIOS` by nDCG@10, and the factors learned with it.

    It is looked for from 1 upwards or downwards, as long as lists become better; factors go on
    from those with the last penalty. What is not a standard error better than 1 counts as chance.
    """
    users = validation_users(split.dense, split.held_plays, config.fusion.validation_users)
    if not len(users):
        return 1.0, None
    if has_many_plays(split.dense.plays):
        als = config.als.replace(regularization=usual)
        return 1.0, ALSSource(als, config.content_map).factors(split.dense)

    def learned(ratio: float, start: Vectors | None) -> tuple[Float64Array, Vectors]:
        als = config.als.replace(regularization=ratio * usual)
        source = ALSSource(als, config.content_map)
        steps = None if start is None else min(FURTHER, als.iterations)
        factors = source.factors(split.dense, start=start, iterations=steps)
        return warm_ndcg(factors, split, users), factors

    middle = RATIOS.index(1.0)
    first = learned(1.0, None)
    best, best_ratio = first, 1.0
    for direction in (RATIOS[middle + 1 :], RATIOS[:middle][::-1]):
        last = first
        for ratio in direction:
            found = learned(ratio, last[1])
            if found[0].mean() <= last[0].mean():
                break
            last = found
            gain, error = paired_gain(found[0], first[0])
            if gain > error and found[0].mean() > best[0].mean():
                best, best_ratio = found, ratio
        if best_ratio != 1.0:  # lists fall off on both sides of the best penalty
            break
    return best_ratio, best[1]


def paired_gain(better: Float64Array, worse: Float64Array) -> tuple[float, float]:
    """Return the mean difference of two values per user, and its standard error.

    Examples:
        >>> paired_gain(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
        (2.0, 1.0)
    """
    gap = better - worse
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else 0.0
