import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError, InvalidArgumentError, UnknownItemError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from evaluation.splitting.cold import cold_split
from evaluation.splitting.split import Split
from evaluation.splitting.warm import warm_folds, warm_split


def pairs(dataset, rows):
    chosen = dataset.interactions.iloc[rows]
    return set(zip(chosen["user_id"], chosen["item_id"], strict=True))


@pytest.mark.parametrize(
    ("n_items", "fraction", "n_test"),
    [(1, 0.2, 0), (2, 0.2, 1), (5, 0.2, 1), (7, 0.2, 1), (8, 0.2, 2), (10, 0.25, 3), (2, 0.9, 1)],
)
def test_warm_holds_out_a_rounded_share_of_each_user(make_dataset, n_items, fraction, n_test):
    # "fan" plays everything, so no item can lose its last training interaction.
    plays = [("u", f"i{n}") for n in range(n_items)]
    fans = [(f"fan{m}", f"i{n}") for n in range(n_items) for m in range(30)]
    dataset = make_dataset([*plays, *fans, ("fan0", "z"), ("fan1", "z"), ("fan2", "z")])
    split = warm_split(dataset, fraction)
    assert sum(user == "u" for user, _ in pairs(dataset, split.test_rows)) == n_test


def test_warm_keeps_all_rows_of_a_pair_on_one_side(make_dataset):
    plays = [(f"u{u}", f"i{i}", 1.0 + n) for n in range(3) for u in range(6) for i in range(6)]
    split = warm_split(make_dataset(plays), 0.5)
    in_test = np.zeros(len(plays), dtype=bool)
    in_test[split.test_rows] = True
    assert (in_test.reshape(3, 36) == in_test[:36]).all()
    assert 0 < in_test.sum() < len(plays)


def test_warm_never_takes_the_last_training_interaction_of_an_item(make_dataset):
    # Each user has two items: a common one, and one that nobody else plays.
    plays = [(f"u{u}", item) for u in range(20) for item in ("common", f"own-{u}")]
    dataset = make_dataset(plays)
    split = warm_split(dataset, 0.5)
    assert {item for _, item in pairs(dataset, split.test_rows)} == {"common"}


def test_warm_keeps_plays_of_weight_zero_in_training(make_dataset):
    plays = [(f"u{u}", f"i{i}", float(i > 2)) for u in range(10) for i in range(6)]
    dataset = make_dataset(plays)
    split = warm_split(dataset, 0.9)
    assert {item for _, item in pairs(dataset, split.test_rows)} <= {"i3", "i4", "i5"}
    assert len(split.train_rows) + len(split.test_rows) == len(plays)


def test_warm_depends_on_the_seed_and_not_on_the_order_of_rows(make_dataset):
    plays = [(f"u{u}", f"i{(u * 7 + i * 3) % 20}") for u in range(12) for i in range(8)]
    dataset, reverse = make_dataset(plays), make_dataset(plays[::-1])
    held_out = pairs(dataset, warm_split(dataset, seed=1).test_rows)
    assert held_out == pairs(reverse, warm_split(reverse, seed=1).test_rows)
    assert held_out != pairs(dataset, warm_split(dataset, seed=2).test_rows)


def test_warm_says_when_nothing_can_be_held_out(make_dataset):
    with pytest.raises(EvaluationError, match="no interaction can be held out"):
        warm_split(make_dataset([("u1", "a"), ("u2", "b")]))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_is_checked(make_dataset, fraction):
    dataset = make_dataset([("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b")])
    for split in (warm_split, cold_split):
        with pytest.raises(InvalidArgumentError, match="fraction"):
            split(dataset, fraction)


listening = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.0, 1.0, 5.0])),
    min_size=1,
    max_size=80,
)


def bare(plays):
    """A data set without files, so that hypothesis can make hundreds."""
    names = [f"i{n}" for n in range(10)]
    items = pd.DataFrame({"item_id": names, "title": "", "album": "", "genre": ""})
    items["artist"] = [f"a{n // 3}" for n in range(10)]
    frame = pd.DataFrame(
        [(f"u{u}", f"i{i}", w) for u, i, w in plays], columns=["user_id", "item_id", "weight"]
    )
    return MusicDataset(items=items, interactions=frame)


@settings(max_examples=60, deadline=None)
@given(listening, st.floats(0.05, 0.95), st.integers(0, 5))
def test_warm_invariants(plays, fraction, seed):
    dataset = bare(plays)
    try:
        split = warm_split(dataset, fraction, seed)
    except EvaluationError:
        return
    assert sorted([*split.train_rows, *split.test_rows]) == list(range(len(plays)))
    assert not pairs(dataset, split.train_rows) & pairs(dataset, split.test_rows)
    train, test = (dataset.interactions.iloc[r] for r in (split.train_rows, split.test_rows))
    assert set(test["item_id"]) <= set(train["item_id"][train["weight"] > 0])
    assert set(test["user_id"]) <= set(train["user_id"][train["weight"] > 0])


@settings(max_examples=60, deadline=None)
@given(listening, st.floats(0.05, 0.95), st.integers(0, 5), st.sampled_from(["artist", "item"]))
def test_cold_invariants(plays, fraction, seed, by):
    dataset = bare(plays)
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


@pytest.fixture
def catalogue(make_dataset):
    """Artists A (a1, a2 with audio, a3 without), B (b1), C (c1), D (d1, unplayed)."""
    plays = [(u, i) for u in ("u1", "u2", "u3") for i in ("a1", "a2", "a3", "b1", "c1")]
    artists = {"a1": "A", "a2": " a ", "a3": "A", "b1": "B", "c1": "C", "d1": "D"}
    audio = [(item, f"{item}.wav") for item in ("a1", "a2", "b1", "c1", "d1")]
    return make_dataset(plays, artists, audio, items=["d1"])


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


def test_onboarding_has_the_items_and_recordings_and_nobody_s_plays(catalogue):
    split = cold_split(catalogue, 0.3)
    new = split.onboarding(catalogue)
    assert tuple(new.items["item_id"]) == split.cold_items
    assert set(new.audio["item_id"]) == set(split.cold_items)
    assert len(new.interactions) == 0


def test_a_leaking_split_raises(catalogue):
    n = len(catalogue.interactions)
    rows = np.arange(n)
    cold = cold_split(catalogue, 0.3, seed=1)
    by_item = dataclasses.replace(cold, cold_items=("a1",), excluded_items=(), by="item")
    a1 = np.flatnonzero(catalogue.interactions["item_id"] == "a1")
    other = np.setdiff1d(rows, a1)
    leaks = {
        "has item 'a1' in training and in the test": Split("s", "warm", rows, a1),
        "no test rows": Split("s", "warm", rows, rows[:0]),
        "do not have": Split("s", "warm", rows[:3], np.array([n])),
        "row twice": Split("s", "warm", np.array([0, 0]), np.array([1])),
        "is warm and yet": Split("s", "warm", other, a1, cold_items=("a1",)),
        "held-out item 'b1' has interactions in training": dataclasses.replace(
            by_item, train_rows=other, test_rows=a1, excluded_items=("b1",)
        ),
        "not among its cold items": dataclasses.replace(
            by_item, train_rows=other[1:], test_rows=np.append(a1, other[0])
        ),
        "the artist 'a' is on both sides": dataclasses.replace(
            by_item, train_rows=other, test_rows=a1, by="artist"
        ),
    }
    for message, split in leaks.items():
        with pytest.raises(EvaluationError, match=message):
            split.check(catalogue)
    dataclasses.replace(by_item, train_rows=other, test_rows=a1).check(catalogue)


def test_a_shared_recording_is_a_leak(make_dataset):
    plays = [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b")]
    dataset = make_dataset(plays, audio=[("a", "one.wav"), ("b", "one.wav")])
    split = Split("s", "cold", np.array([1, 3]), np.array([0, 2]), cold_items=("a",))
    with pytest.raises(EvaluationError, match=r"recording 'one\.wav' is on both sides"):
        split.check(dataset)


def test_real_listening(real_mini):
    dataset = load_folder(real_mini)
    warm = warm_split(dataset)
    assert len(warm.train_rows) + len(warm.test_rows) == 92_834
    # A fifth of the pairs, less those that are an item's only listener.
    assert 0.15 < len(warm.test_rows) / 92_834 < 0.2
    cold = cold_split(dataset, 0.5)
    assert 12 <= len(cold.cold_items) <= 17
    assert all(item.startswith("lastfm:") for item in cold.cold_items)


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_test_each_pair_once_at_most_and_leave_nobody_without(folds):
    rng = np.random.default_rng(1)
    plays = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, 12, 150)],
            "item_id": [f"i{n}" for n in rng.integers(0, 20, 150)],
            "weight": 1.0,
        }
    )
    names = ("title", "artist", "album", "genre")
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(20)]} | dict.fromkeys(names, ""))
    data = MusicDataset(items=items, interactions=plays)
    splits = warm_folds(data, folds, seed=3)
    again = warm_folds(data, folds, seed=3)
    pairs = data.interactions["user_id"] + " " + data.interactions["item_id"]
    tested = []
    for split, same in zip(splits, again, strict=True):
        np.testing.assert_array_equal(split.test_rows, same.test_rows)
        assert len(split.train_rows) + len(split.test_rows) == len(data.interactions)
        train, test = (
            data.interactions.iloc[split.train_rows],
            data.interactions.iloc[split.test_rows],
        )
        assert set(test["user_id"]) <= set(train["user_id"])
        assert set(test["item_id"]) <= set(train["item_id"])
        tested.append(set(pairs.iloc[split.test_rows]))
    assert sum(map(len, tested)) == len(set.union(*tested)) > 0.9 * pairs.nunique()
    with pytest.raises(InvalidArgumentError, match="at least 2"):
        warm_folds(data, 1)
