import numpy as np
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError, UnknownItemError
from evaluation.splitting.cold import cold_folds, semi_cold_split
from tests.helpers.splits import bare, pairs_of

ITEMS = [f"i{n:02}" for n in range(12)]


@pytest.fixture
def dataset():
    """12 users, who all have 7 of 12 items; artists with 4, 3, 2, 2 and 1 of them."""
    plays = [(f"u{u}", ITEMS[(u + i) % 12]) for u in range(12) for i in range(7)]
    artists = dict(zip(ITEMS, "AAAABBBCCDDE", strict=True))
    return bare([*plays, ("u0", ITEMS[11], 0.0)], artists, items=["unplayed"])


def items_of(dataset, split):
    return set(dataset.interactions["item_id"].iloc[split.test_rows])


def test_cold_folds_by_artist_test_every_item_once_and_are_balanced(dataset):
    folds = cold_folds(dataset, 3, among=ITEMS)
    # The largest first, each to the fold with the fewest: 4, 3 + 1, 2 + 2.
    assert sorted(len(fold.cold_items) for fold in folds) == [4, 4, 4]
    assert sorted(item for fold in folds for item in fold.cold_items) == ITEMS
    for number, fold in enumerate(folds, 1):
        assert (fold.kind, fold.by, fold.group, fold.fold) == ("cold", "artist", "cold", number)
        assert items_of(dataset, fold) == set(fold.cold_items)
        kept = fold.training(dataset).items
        artist = dataset.items.set_index("item_id")["artist"]
        assert not set(kept["artist"]) & set(artist[list(fold.cold_items)])


def test_cold_folds_withhold_the_rest_of_an_artist(dataset):
    folds = cold_folds(dataset, 2, among=[ITEMS[0], ITEMS[4], ITEMS[5]])
    by_cold = {fold.cold_items: fold.excluded_items for fold in folds}
    assert by_cold == {(ITEMS[0],): tuple(ITEMS[1:4]), (ITEMS[4], ITEMS[5]): (ITEMS[6],)}


def test_cold_folds_by_item(dataset):
    folds = cold_folds(dataset, 5, by="item", among=ITEMS)
    assert sorted(len(fold.cold_items) for fold in folds) == [2, 2, 2, 3, 3]
    assert all(fold.excluded_items == () for fold in folds)
    assert sorted(item for fold in folds for item in fold.cold_items) == ITEMS
    again = cold_folds(dataset, 5, by="item", among=ITEMS)
    assert [fold.cold_items for fold in again] == [fold.cold_items for fold in folds]
    other = cold_folds(dataset, 5, seed=1, by="item", among=ITEMS)
    assert [fold.cold_items for fold in other] != [fold.cold_items for fold in folds]


def test_thin_items_keep_so_many_listeners(dataset):
    splits = {
        keep: semi_cold_split(dataset, keep, 0.34, among=ITEMS, at_least=6) for keep in (1, 2, 5)
    }
    kept = {}
    for keep, split in splits.items():
        assert (split.kind, split.keep, split.name) == ("semi-cold", keep, f"semi-cold {keep}")
        assert len(split.few_shot_items) == 4
        assert items_of(dataset, split) == set(split.few_shot_items)
        train = dataset.interactions.iloc[split.train_rows]
        thin = train[train["item_id"].isin(split.few_shot_items)]
        assert thin.groupby("item_id")["user_id"].nunique().tolist() == [keep] * 4
        assert (thin["weight"] > 0).all()
        kept[keep] = set(zip(thin["user_id"], thin["item_id"], strict=True))
        assert len(split.test_rows) == 4 * (7 - keep)
        assert len(split.training(dataset).items) == 13  # texts stay
    assert splits[1].few_shot_items == splits[2].few_shot_items == splits[5].few_shot_items
    assert kept[1] < kept[2] < kept[5]


def test_thin_items_have_enough_listeners_to_be_items_of():
    plays = [("u1", "a"), ("u1", "b"), ("u2", "b"), ("u3", "b"), ("u2", "a"), ("u3", "c")]
    split = semi_cold_split(bare(plays), 2, among=["a", "b", "c"])
    assert split.few_shot_items == ("b",)
    assert len(split.train_rows) == 5
    with pytest.raises(EvaluationError, match="no item in `among` has 4 listeners"):
        semi_cold_split(bare(plays), 3, among=["a", "b", "c"])
    with pytest.raises(EvaluationError, match="no item with a recording has 2 listeners"):
        semi_cold_split(bare(plays))


def test_a_listener_of_thin_items_alone_is_nobody():
    # Whoever keeps "a" is known by it; the others have nothing else.
    with pytest.raises(EvaluationError, match="anything else to be known by"):
        semi_cold_split(bare([("u1", "a"), ("u2", "a"), ("u3", "b")]), among=["a", "b"])
    plays = [("u1", "a"), ("u2", "a"), ("u3", "a"), ("u1", "b"), ("u2", "b")]
    split = semi_cold_split(bare(plays), among=["a"])
    assert "u3" not in {user for user, _ in pairs_of(bare(plays), split.test_rows)}


def test_arguments_are_checked(dataset):
    for error, match, wrong in (
        (
            InvalidArgumentError,
            "folds must be a whole number",
            lambda: cold_folds(dataset, 1),
        ),
        (InvalidArgumentError, "'genre'", lambda: cold_folds(dataset, 2, by="genre")),
        (EvaluationError, "two artists with a recording", lambda: cold_folds(dataset)),
        (
            EvaluationError,
            "6 folds need as many artists; there are 5",
            lambda: cold_folds(dataset, 6, among=ITEMS),
        ),
        (UnknownItemError, "'x'", lambda: cold_folds(dataset, among=["x"])),
        (UnknownItemError, "'x'", lambda: semi_cold_split(dataset, among=["x"])),
        (InvalidArgumentError, "keep must be", lambda: semi_cold_split(dataset, 0)),
        (InvalidArgumentError, "at_least must be", lambda: semi_cold_split(dataset, 3, at_least=3)),
        (InvalidArgumentError, "fraction must", lambda: semi_cold_split(dataset, 1, np.nan)),
    ):
        with pytest.raises(error, match=match):
            wrong()
