"""What holds for every split of any listening whatsoever."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError
from datasets.folder import load_folder
from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.mixed import mixed_folds, mixed_split
from evaluation.splitting.split import Split
from evaluation.splitting.temporal import leave_last_split, time_split, time_windows
from evaluation.splitting.warm import user_folds, warm_folds, warm_split
from tests.helpers.splits import bare, pairs_of
from tests.helpers.thorough import times

ITEMS = [f"i{n}" for n in range(8)]
ARTISTS = {item: f"a{n // 3}" for n, item in enumerate(ITEMS)}

MAKERS = {
    "warm": lambda d, seed: [warm_split(d, 0.4, seed)],
    "warm folds": lambda d, seed: warm_folds(d, 3, seed),
    "user folds": lambda d, seed: user_folds(d, 3, seed, fraction=0.4),
    "last": lambda d, seed: [leave_last_split(d, 2, seed)],
    "time": lambda d, _: [time_split(d, 0.4)],
    "windows": lambda d, _: time_windows(d, 2, fraction=0.6),
    "cold by artist": lambda d, seed: [cold_split(d, 0.4, seed, among=ITEMS)],
    "cold by item": lambda d, seed: [cold_split(d, 0.4, seed, by="item", among=ITEMS)],
    "first seen": lambda d, _: [cold_split(d, 0.4, by="first seen", among=ITEMS)],
    "mixed": lambda d, seed: [mixed_split(d, 0.4, seed, among=ITEMS)],
    "mixed folds": lambda d, seed: mixed_folds(d, 2, seed, among=ITEMS),
    "cold folds": lambda d, seed: cold_folds(d, 2, seed, among=ITEMS),
    "semi-cold": lambda d, seed: [semi_cold_split(d, 1, 0.4, seed, among=ITEMS)],
    "cold users": lambda d, seed: [cold_user_split(d, 0.4, 1, seed)],
}

plays = st.lists(
    st.tuples(
        st.integers(0, 6).map("u{}".format),
        st.sampled_from(ITEMS),
        st.sampled_from([0.0, 1.0, 1.0, 5.0]),
        st.integers(0, 12),
    ),
    min_size=8,
    max_size=60,
)


def made(maker, dataset, seed):
    """The splits, or none where the listening does not allow any."""
    try:
        return MAKERS[maker](dataset, seed)
    except EvaluationError as error:
        if "leaks" in str(error):
            raise
        return []


def content(dataset, split: Split):
    return (
        pairs_of(dataset, split.train_rows),
        pairs_of(dataset, split.test_rows),
        pairs_of(dataset, split.fold_in_rows),
        *map(len, (split.train_rows, split.test_rows, split.fold_in_rows)),
        split.cold_items,
        split.excluded_items,
        split.few_shot_items,
    )


@pytest.mark.slow
@pytest.mark.parametrize("maker", MAKERS)
@settings(max_examples=times(20, 60))
@given(plays=plays, seed=st.integers(0, 3))
def test_invariants(maker, plays, seed):
    dataset = bare(plays, ARTISTS, items=ITEMS)
    splits = made(maker, dataset, seed)
    order = np.random.default_rng(seed).permutation(len(plays))
    shuffled = dataset.take_interactions(order)
    tested: set[tuple[str, str]] = set()
    again = made(maker, shuffled, seed)
    assert len(again) == len(splits)
    for split, same in zip(splits, again, strict=True):
        split.check(dataset)
        assert content(dataset, split) == content(shuffled, same)
        train, test, given = (
            pairs_of(dataset, rows)
            for rows in (split.train_rows, split.test_rows, split.fold_in_rows)
        )
        assert test
        assert not train & test
        assert not given & (train | test)
        assert not tested & test
        tested |= test
        heard = pairs_of(dataset, np.flatnonzero(dataset.interactions["weight"] > 0))
        assert given <= heard
        if split.kind != "cold":
            assert test <= heard
        for rows in (split.train_rows, split.test_rows, split.fold_in_rows):
            assert (np.diff(rows) > 0).all()
        learned = split.training(dataset)
        assert len(learned.interactions) == len(split.train_rows)
        assert {item for _, item in test} <= {*learned.items["item_id"], *split.cold_items}
        if split.kind in ("warm", "semi-cold", "time"):
            assert {user for user, _ in test} <= {user for user, _ in train & heard}
        if split.kind in ("warm", "cold users"):
            assert {item for _, item in test} <= {item for _, item in train & heard}


@pytest.mark.slow
def test_real_listening(real_mini):
    dataset = load_folder(real_mini)
    warm = warm_split(dataset)
    assert len(warm.train_rows) + len(warm.test_rows) == 92_834
    # A fifth of the pairs, less those that are an item's only listener.
    assert 0.15 < len(warm.test_rows) / 92_834 < 0.2
    cold = cold_split(dataset, 0.5)
    assert 12 <= len(cold.cold_items) <= 17
    assert all(item.startswith("lastfm:") for item in cold.cold_items)
