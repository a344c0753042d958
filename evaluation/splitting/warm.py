"""Splits of what known users play among known items."""

import numpy as np

from datasets.arguments import check_whole
from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.arguments import check_fraction, generator
from evaluation.splitting.interactions import UserItemPairs, rank_within_group
from evaluation.splitting.split import Split, check_folds


def warm_split(
    dataset: MusicDataset, fraction: float = 0.2, seed: int = 0, *, name: str = "warm"
) -> Split:
    """Hold out a fraction of every user's items.

    Of a user's n items, round(n · fraction) go to the test, at least one and never all; a user
    with one item keeps it in training. All rows of a (user, item) pair go to the same side. An
    item never loses its last training interaction, as it would then be cold: one of its pairs
    stays in training. Pairs whose weights add up to 0 are no listening and stay in training.

    Raises :class:`~datasets.errors.EvaluationError` where no pair can be held out.
    """
    check_fraction(fraction)
    pairs = UserItemPairs.from_dataset(dataset)
    luck = generator(seed).random(len(pairs))
    test = _with_listeners(pairs, _share_of_users(pairs, fraction, luck), luck)
    if not test.any():
        raise EvaluationError(
            "no interaction can be held out: no user has two items of which one has other listeners"
        )
    train_rows, test_rows = _sides(pairs, test)
    settings = {"kind": "interactions of each user", "fraction": fraction, "seed": seed}
    split = Split(name, "warm", train_rows, test_rows, settings=settings)
    split.check(dataset, pairs)
    return split


def warm_folds(
    dataset: MusicDataset, folds: int = 5, seed: int = 0, *, name: str = "warm"
) -> list[Split]:
    """Splits that between them test (user, item) pairs once each: k-fold over interactions.

    A user's pairs are dealt out evenly. A pair stays in training where its user or its item would
    otherwise have nothing left there, and so does one whose weights add up to 0.

    Raises InvalidArgumentError for fewer than two folds and
    :class:`~datasets.errors.EvaluationError` where a fold would have nothing to test.
    """
    check_whole("folds", folds, 2)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    place = rank_within_group(pairs.user, pairs.n_users, random.random(len(pairs)))
    # Each user starts with another fold, or the first would get all the single pairs.
    fold = (place + random.integers(0, folds, pairs.n_users)[pairs.user]) % folds
    splits = []
    for number in range(folds):
        test = pairs.played & (fold == number)
        test &= pairs.items_per_user(pairs.played & ~test)[pairs.user] > 0
        test &= pairs.users_per_item(pairs.played & ~test)[pairs.item] > 0
        splits.append(_fold(pairs, test, name, number, folds, seed, "folds of interactions", {}))
    return check_folds(splits, dataset, pairs)


def user_folds(
    dataset: MusicDataset,
    folds: int = 5,
    seed: int = 0,
    *,
    fraction: float = 0.2,
    name: str = "users",
) -> list[Split]:
    """Splits that between them test every user once: k-fold over users.

    Users are dealt out evenly. A fold tests ``fraction`` of the items of its users, held out as
    :func:`warm_split` does; the rest of their items and all of the other users' are trained on.

    Raises InvalidArgumentError for fewer than two folds or a fraction that is none, and
    :class:`~datasets.errors.EvaluationError` where a fold would have nothing to test.
    """
    check_whole("folds", folds, 2)
    check_fraction(fraction)
    pairs = UserItemPairs.from_dataset(dataset)
    random = generator(seed)
    luck = random.random(len(pairs))
    fold = random.permutation(pairs.n_users) % folds
    share = _share_of_users(pairs, fraction, luck)
    splits = []
    for number in range(folds):
        test = _with_listeners(pairs, share & (fold[pairs.user] == number), luck)
        how = {"fraction": fraction}
        splits.append(_fold(pairs, test, name, number, folds, seed, "folds of users", how))
    return check_folds(splits, dataset, pairs)


def _share_of_users(pairs: UserItemPairs, fraction: float, luck: Float64Array) -> BoolArray:
    """[n_pairs]: a share of every user's played pairs, never all of them."""
    played = pairs.played
    n_played = pairs.items_per_user(played)
    n_test = np.clip(np.floor(n_played * fraction + 0.5), 1, np.maximum(n_played - 1, 0))
    share: BoolArray = played & (
        rank_within_group(pairs.user, pairs.n_users, ~played, luck) < n_test[pairs.user]
    )
    return share


def _with_listeners(pairs: UserItemPairs, test: BoolArray, luck: Float64Array) -> BoolArray:
    """``test`` less one pair, the first by ``luck``, of each item it would leave without any."""
    kept = pairs.users_per_item(pairs.played & ~test)
    lonely = np.flatnonzero(test & (kept[pairs.item] == 0))
    lonely = lonely[np.argsort(luck[lonely], kind="stable")]
    held_out = test.copy()
    held_out[lonely[np.unique(pairs.item[lonely], return_index=True)[1]]] = False
    return held_out


def _sides(pairs: UserItemPairs, test: BoolArray) -> tuple[IntArray, IntArray]:
    is_test = test[pairs.row_pairs]
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _fold(
    pairs: UserItemPairs,
    test: BoolArray,
    name: str,
    number: int,
    folds: int,
    seed: int,
    kind: str,
    how: dict[str, float],
) -> Split:
    if not test.any():
        raise EvaluationError(f"fold {number + 1} of {folds} has no interaction to test")
    train_rows, test_rows = _sides(pairs, test)
    settings = {"kind": kind, "fold": number + 1, "of": folds, "seed": seed, **how}
    return Split(
        f"{name} {number + 1}",
        "warm",
        train_rows,
        test_rows,
        group=name,
        fold=number + 1,
        settings=settings,
    )
