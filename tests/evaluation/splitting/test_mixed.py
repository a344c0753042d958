"""Mixed splits: the same share of the plays of new and of known items is tested."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.splitting.cold import cold_split
from evaluation.splitting.mixed import mixed_split
from tests.helpers.splits import bare


@pytest.fixture
def plays():
    random = np.random.default_rng(0)
    pairs = [(f"u{u}", f"i{i}") for u in range(200) for i in random.permutation(60)[:25]]
    return bare(pairs, {f"i{i}": f"a{i // 3}" for i in range(60)})


def test_new_and_known_items_have_the_same_share_tested(plays):
    items = plays.items["item_id"]
    shares = []
    for seed in range(3):
        split = mixed_split(plays, 0.2, seed, among=items)
        tested = plays.interactions["item_id"].iloc[split.test_rows]
        all_plays = plays.interactions["item_id"]
        new = set(split.cold_items)
        assert new == set(cold_split(plays, 0.2, seed, among=items).cold_items)
        for kind in (True, False):
            of_kind, tested_of_kind = all_plays.isin(new) == kind, tested.isin(new) == kind
            shares.append(tested_of_kind.sum() / of_kind.sum())
    assert shares == pytest.approx([0.2] * 6, abs=0.001)


def test_the_other_plays_of_new_items_are_on_neither_side(plays):
    split = mixed_split(plays, 0.2, among=plays.items["item_id"])
    train = plays.interactions["item_id"].iloc[split.train_rows]
    assert not train.isin(split.cold_items).any()
    left_out = set(range(len(plays.interactions))) - {*split.train_rows, *split.test_rows}
    rest = plays.interactions["item_id"].iloc[sorted(left_out)]
    assert rest.isin(split.cold_items).all()
    assert len(rest) > 0
    known = set(plays.items["item_id"]) - set(split.cold_items)
    assert set(train) == known  # none loses its last play


def test_artists_are_on_one_side(catalogue):
    for seed in range(10):
        try:
            split = mixed_split(catalogue, 0.5, seed)
        except EvaluationError:
            continue
        if "a1" in split.cold_items:
            assert set(split.cold_items) >= {"a1", "a2"}
            assert "a3" in split.excluded_items
            rows = [*split.train_rows, *split.test_rows]
            assert "a3" not in set(catalogue.interactions["item_id"].iloc[rows])


def test_the_seed_decides_and_the_order_of_rows_does_not(plays):
    items = plays.items["item_id"]
    first, again, other = (mixed_split(plays, 0.2, seed, among=items) for seed in (3, 3, 4))
    assert np.array_equal(first.test_rows, again.test_rows)
    assert not np.array_equal(first.test_rows, other.test_rows)
    order = np.random.default_rng(1).permutation(len(plays.interactions))
    mixed = mixed_split(plays.take_interactions(order), 0.2, 3, among=items)
    rows = order[mixed.test_rows]
    assert set(rows) == set(first.test_rows)


def test_what_cannot_be_split_is_refused(make_dataset):
    dataset = make_dataset([("u", "a"), ("v", "b")], audio=[])
    with pytest.raises(EvaluationError, match="can be tested: too few plays"):
        mixed_split(dataset, 0.01, among=dataset.items["item_id"])
    with pytest.raises(InvalidArgumentError, match="fraction"):
        mixed_split(dataset, 0)
    with pytest.raises(EvaluationError, match="with a recording"):
        mixed_split(dataset)


def test_nothing_leaks_by_its_own_check(plays):
    split = mixed_split(plays, 0.2, among=plays.items["item_id"])
    frame = plays.interactions
    new_rows = np.flatnonzero(frame["item_id"].isin(split.cold_items))
    leaking = pd.Index(split.train_rows).union(pd.Index([new_rows[-1]])).to_numpy()
    object.__setattr__(split, "train_rows", leaking)
    with pytest.raises(EvaluationError, match="leaks"):
        split.check(plays)
