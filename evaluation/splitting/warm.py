"""Warm splits and folds: known users, known items, some of their interactions held out."""

from dataclasses import replace
from typing import Any

import numpy as np

from datasets.arguments import check_whole
from datasets.arrays import BoolArray, Float64Array
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.arguments import check_fraction, generator
from evaluation.splitting.interactions import UserItemPairs, rank_within_group
from evaluation.splitting.split import Split, check_folds


def warm_split(
    dataset: MusicDataset, fraction: float = 0.2, seed: int = 0, *, name: str = "warm"
) -> Split:
    """Hold out a fraction of every user's items.

    Of a user's n items, round(n * fraction) go to the test, at least one and never all; a user with
    one item keeps it in training. All rows of a (user, item) pair go to the same side. An item
    never loses its last training interaction, as it would then be cold: one of its pairs stays in
    training. Pairs whose weights sum to 0 are not tested and stay in training.

    Args:
        dataset: the data set to split.
        fraction: share of each user's items to test, between 0 and 1.
        seed: decides which items are held out.
        name: name of the split in tables and reports.

    Raises:
        InvalidArgumentError: ``fraction`` is not in (0, 1), or ``seed`` is not a whole number >= 0.
        EvaluationError: no pair can be held out.

    Examples:
        >>> split = warm_split(dataset, fraction=0.2, seed=0)
        >>> round(len(split.test_rows) / len(dataset.interactions), 2)
        0.22
    """
    check_fraction(fraction)
    pairs = UserItemPairs.from_dataset(dataset)
    order = generator(seed).random(len(pairs))
    test = keep_items_warm(pairs, _share_of_each_user(pairs, fraction, order), order)
    if not test.any():
        raise EvaluationError(
            "no interaction can be held out: no user has two items of which one has other listeners"
        )
    settings = {"kind": "interactions of each user", "fraction": fraction, "seed": seed}
    split = replace(_split_pairs(pairs, test), name=name, settings=settings)
    split.check(dataset, pairs)
    return split


def warm_folds(
    dataset: MusicDataset, folds: int = 5, seed: int = 0, *, name: str = "warm"
) -> list[Split]:
    """Make k-fold splits over interactions: every (user, item) pair is tested at most once.

    A user's pairs are distributed evenly over the folds. A pair stays in training where its user or
    its item would otherwise have nothing left there, and so does one whose weights sum to 0.

    Args:
        dataset: the data set to split.
        folds: number of folds, at least 2.
        seed: decides which pairs go to which fold.
        name: common name of the folds, which are called "NAME 1", "NAME 2" and so on.

    Raises:
        InvalidArgumentError: ``folds`` < 2, or ``seed`` is not a whole number >= 0.
        EvaluationError: a fold has nothing to test.

    Examples:
        >>> folds = warm_folds(dataset, folds=3)
        >>> [(fold.name, len(fold.test_rows)) for fold in folds]
        [('warm 1', 149), ('warm 2', 156), ('warm 3', 157)]
    """
    check_whole("folds", folds, 2)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    rank = rank_within_group(pairs.user, pairs.n_users, random.random(len(pairs)))
    # Each user starts with another fold; else the first fold would get all users' first pairs.
    fold = (rank + random.integers(0, folds, pairs.n_users)[pairs.user]) % folds
    tests = []
    for number in range(folds):
        test = pairs.played & (fold == number)
        test &= pairs.items_per_user(pairs.played & ~test)[pairs.user] > 0
        test &= pairs.users_per_item(pairs.played & ~test)[pairs.item] > 0
        tests.append(test)
    made = _make_folds(pairs, tests, name, "folds of interactions", {"seed": seed})
    return check_folds(made, dataset, pairs)


def user_folds(
    dataset: MusicDataset,
    folds: int = 5,
    seed: int = 0,
    *,
    fraction: float = 0.2,
    name: str = "users",
) -> list[Split]:
    """Make k-fold splits over users: every user is tested in one fold.

    Users are distributed evenly over the folds. A fold tests ``fraction`` of the items of its
    users, held out as by ``warm_split``; the rest of their items and all items of the other
    users are in training.

    Args:
        dataset: the data set to split.
        folds: number of folds, at least 2.
        seed: decides which users go to which fold, and which of their items are held out.
        fraction: share of each test user's items to test, between 0 and 1.
        name: common name of the folds, which are called "NAME 1", "NAME 2" and so on.

    Raises:
        InvalidArgumentError: ``folds`` < 2, ``fraction`` is not in (0, 1), or ``seed`` is not a
            whole number >= 0.
        EvaluationError: a fold has nothing to test.

    Examples:
        >>> folds = user_folds(dataset, folds=3)
        >>> [dataset.interactions["user_id"].iloc[fold.test_rows].nunique() for fold in folds]
        [20, 20, 20]
    """
    check_whole("folds", folds, 2)
    check_fraction(fraction)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    order = random.random(len(pairs))
    fold = random.permutation(pairs.n_users) % folds
    share = _share_of_each_user(pairs, fraction, order)
    tests = [
        keep_items_warm(pairs, share & (fold[pairs.user] == number), order)
        for number in range(folds)
    ]
    settings = {"seed": seed, "fraction": fraction}
    return check_folds(_make_folds(pairs, tests, name, "folds of users", settings), dataset, pairs)


def _share_of_each_user(pairs: UserItemPairs, fraction: float, order: Float64Array) -> BoolArray:
    """Mark a share of every user's played pairs, the first by ``order``, never all: [n_pairs]."""
    played = pairs.played
    n_played = pairs.items_per_user(played)
    n_test = np.clip(np.floor(n_played * fraction + 0.5), 1, np.maximum(n_played - 1, 0))
    rank = rank_within_group(pairs.user, pairs.n_users, ~played, order)
    share: BoolArray = played & (rank < n_test[pairs.user])
    return share


def keep_items_warm(pairs: UserItemPairs, test: BoolArray, order: Float64Array) -> BoolArray:
    """Take back, of each item without a pair left in training, the first test pair by ``order``."""
    n_train = pairs.users_per_item(pairs.played & ~test)
    lonely = np.flatnonzero(test & (n_train[pairs.item] == 0))
    lonely = lonely[np.argsort(order[lonely], kind="stable")]
    held_out = test.copy()
    held_out[lonely[np.unique(pairs.item[lonely], return_index=True)[1]]] = False
    return held_out


def _split_pairs(pairs: UserItemPairs, test: BoolArray) -> Split:
    """Put all rows of the pairs marked in ``test`` on the test side; the name is still missing."""
    is_test = test[pairs.row_pairs]
    return Split("", "warm", np.flatnonzero(~is_test), np.flatnonzero(is_test))


def _make_folds(
    pairs: UserItemPairs, tests: list[BoolArray], name: str, kind: str, settings: dict[str, Any]
) -> list[Split]:
    """Make one split for the test pairs of each fold."""
    folds, splits = len(tests), []
    for number, test in enumerate(tests, 1):
        if not test.any():
            raise EvaluationError(f"fold {number} of {folds} has no interaction to test")
        fold = replace(_split_pairs(pairs, test), name=f"{name} {number}", group=name, fold=number)
        own = {"kind": kind, "fold": number, "of": folds, **settings}
        splits.append(replace(fold, settings=own))
    return splits
