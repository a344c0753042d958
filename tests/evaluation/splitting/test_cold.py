"""Cold splits and folds, semi-cold splits, and splits of cold users."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError, InvalidArgumentError, UnknownItemError
from evaluation.splitting.cold import cold_folds, cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.warm import user_folds
from tests.helpers.splits import DRAWN_PLAYS, bare, drawn_dataset, pairs_of, random_plays, users_of
from tests.helpers.thorough import times

ITEMS = [f"i{n:02}" for n in range(12)]


@pytest.fixture
def dataset():
    """12 users, who all have 7 of 12 items; artists with 4, 3, 2, 2 and 1 of them."""
    plays = [(f"u{u}", ITEMS[(u + i) % 12]) for u in range(12) for i in range(7)]
    artists = dict(zip(ITEMS, "AAAABBBCCDDE", strict=True))
    return bare([*plays, ("u0", ITEMS[11], 0.0)], artists, items=["unplayed"])


def items_of(dataset, split):
    return set(dataset.interactions["item_id"].iloc[split.test_rows])


@pytest.mark.slow
@settings(max_examples=times(20, 60))
@given(DRAWN_PLAYS, st.floats(0.05, 0.95), st.integers(0, 5), st.sampled_from(["artist", "item"]))
def test_cold_invariants(plays, fraction, seed, by):
    dataset = drawn_dataset(plays)
    ids = list(dataset.items["item_id"])
    try:
        split = cold_split(dataset, fraction, seed, by=by, among=ids)
    except EvaluationError:
        return
    train = split.training(dataset)
    assert set(split.cold_items) == set(dataset.interactions["item_id"].iloc[split.test_rows])
    assert not set(train.items["item_id"]) & {*split.cold_items, *split.excluded_items}
    artist = dataset.items.set_index("item_id")["artist"]
    if by == "artist":
        assert not set(train.items["artist"]) & set(artist[list(split.cold_items)])
    listened = dataset.interactions[dataset.interactions["weight"] > 0]
    assert set(split.cold_items) <= set(listened["item_id"])


def test_cold_by_artist_withholds_the_artist_s_other_items(catalogue):
    splits = [cold_split(catalogue, 0.5, seed) for seed in range(20)]
    of_a = [split for split in splits if "a1" in split.cold_items]
    assert of_a
    for split in of_a:
        # Case and spaces do not make another artist; a3 has no recording and is on neither side.
        assert set(split.cold_items) == {"a1", "a2"}
        assert split.excluded_items == ("a3",)
        rows = {*split.train_rows, *split.test_rows}
        assert "a3" not in set(catalogue.interactions["item_id"].iloc[list(rows)])
    assert not any("d1" in split.cold_items for split in splits)


def test_cold_takes_the_number_of_items_closest_to_the_fraction(make_dataset):
    dataset = make_dataset([("u", f"i{n}") for n in range(10)])
    for fraction, expected in [(0.01, 1), (0.2, 2), (0.44, 4), (0.99, 9)]:
        assert len(cold_split(dataset, fraction).cold_items) == expected


def test_cold_by_item_and_among(catalogue):
    split = cold_split(catalogue, 0.5, by="item", among=["a3", "b1"])
    assert len(split.cold_items) == 1
    assert set(split.cold_items) < {"a3", "b1"}
    assert split.excluded_items == ()


def test_cold_withholds_items_that_share_a_recording(make_dataset):
    plays = [(u, i) for u in ("u1", "u2") for i in ("a", "b", "c", "d")]
    audio = [("a", "one.wav"), ("b", "one.wav"), ("c", "c.wav"), ("d", "d.wav")]
    dataset = make_dataset(plays, audio=audio)
    for seed in range(10):
        split = cold_split(dataset, 0.25, seed)
        if {"a", "b"} & set(split.cold_items):
            assert {"a", "b"} <= {*split.cold_items, *split.excluded_items}
            assert not set(split.training(dataset).audio["path"]) & {"one.wav"}
            return
    pytest.fail("neither a nor b was ever drawn")


def test_unknown_artists_stay_apart(make_dataset):
    dataset = make_dataset([("u", "a"), ("u", "b"), ("u", "c")], dict.fromkeys("abc", ""))
    split = cold_split(dataset, 0.34)
    assert len(split.cold_items) == 1
    assert split.excluded_items == ()


def test_cold_errors(catalogue, make_dataset):
    with pytest.raises(UnknownItemError, match="nowhere"):
        cold_split(catalogue, among=["a1", "nowhere"])
    with pytest.raises(InvalidArgumentError, match="genre"):
        cold_split(catalogue, by="genre")
    with pytest.raises(EvaluationError, match="at least two artists with a recording"):
        cold_split(make_dataset([("u", "a"), ("u", "b")], audio=[]))
    with pytest.raises(EvaluationError, match="there are 1"):
        cold_split(make_dataset([("u", "a"), ("u", "b")], dict.fromkeys("ab", "one")))


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


def test_arguments_of_folds_and_semi_cold_splits_are_checked(dataset):
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


def test_cold_users_by_hand():
    plays = [
        *(("cold", item) for item in "abcd"),
        ("cold", "own"),  # nobody else has it: on neither side
        ("cold", "zero", 0.0),
        *((f"u{n}", item) for n in range(3) for item in "abcd"),
        ("u0", "zero"),
    ]
    dataset = bare(plays)
    found = [cold_user_split(dataset, 0.25, given=1, seed=seed) for seed in range(12)]
    split = next(s for s in found if users_of(dataset, s.test_rows) == {"cold"})
    assert split.kind == "cold users"
    assert split.train_rows.tolist() == list(range(6, 19))
    assert len(split.fold_in_rows) == 1
    assert sorted([*split.fold_in_rows, *split.test_rows]) == [0, 1, 2, 3]


def test_the_given_plays_of_a_smaller_number_are_among_those_of_a_larger_one():
    dataset = bare([*random_plays(), *random_plays()[::2]])  # some pairs have two rows
    given = {}
    for n in (0, 1, 3):
        split = cold_user_split(dataset, 0.3, n, seed=4)
        cold = users_of(dataset, split.test_rows)
        assert len(cold) == 6
        given[n] = pairs_of(dataset, split.fold_in_rows)
        assert len(given[n]) == 6 * n
        assert len(pairs_of(dataset, split.test_rows)) == 6 * (6 - n)
        assert not cold & users_of(dataset, split.train_rows)
    assert given[0] < given[1] < given[3]


def test_users_with_too_little_are_not_drawn():
    few = [(f"few{n}", item) for n in range(50) for item in "ab"]
    many = [(f"many{n}", item) for n in range(2) for item in "abc"]
    dataset = bare([*few, *many])
    split = cold_user_split(dataset, 0.9, given=2)
    assert len(split.fold_in_rows) == 2
    assert users_of(dataset, split.test_rows) < {"many0", "many1"}
    with pytest.raises(EvaluationError, match="two with more than 2 items; there are 0"):
        cold_user_split(bare(few), given=2)


def test_nothing_to_test_is_said():
    with pytest.raises(EvaluationError, match="no cold user has played enough"):
        cold_user_split(bare([("u", "a"), ("v", "b")]))
    with pytest.raises(EvaluationError, match="fold 1 of 2 has no interaction to test"):
        user_folds(bare([("u", "a"), ("v", "b")]), 2)


def test_arguments_of_cold_user_splits_are_checked():
    dataset = bare(random_plays())
    for match, wrong in {
        "given must be a whole number of at least 0": lambda: cold_user_split(dataset, given=-1),
        "fraction must": lambda: cold_user_split(dataset, 1.0),
        "folds must be a whole number of at least 2": lambda: user_folds(dataset, 1),
        "fraction": lambda: user_folds(dataset, 2, fraction=0.0),
    }.items():
        with pytest.raises(InvalidArgumentError, match=match):
            wrong()
