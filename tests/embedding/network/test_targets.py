"""Training targets from labels, and the validation split."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding.network.targets import (
    clean_labels,
    make_targets,
    make_taste_target,
    validation_split,
)


def test_one_tag() -> None:
    (target,) = make_targets(["jazz", None, " blues ", float("nan"), "jazz"], 5, ("genre",))
    assert target.tag == "genre"
    assert target.classes.tolist() == ["blues", "jazz"]
    assert target.values.tolist() == [[0, 1], [0, 0], [1, 0], [0, 0], [0, 1]]
    assert target.known.tolist() == [True, False, True, False, True]


def test_several_tags_from_a_mapping_or_a_table() -> None:
    labels = {"mood": ["sad", "glad", ""], "genre": ["rock", "jazz", "rock"], "other": [1, 2, 3]}
    for either in (labels, pd.DataFrame(labels)):
        genre, mood = make_targets(either, 3, ("genre", "mood"))
        assert genre.classes.tolist() == ["jazz", "rock"]
        assert mood.classes.tolist() == ["glad", "sad"]
        assert mood.known.tolist() == [True, True, False]


def test_several_values_at_once() -> None:
    (target,) = make_targets(["piano; voice", "voice", ";", "drums;voice"], 4, ("i",), several=True)
    assert target.classes.tolist() == ["drums", "piano", "voice"]
    assert target.values.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 1]]
    # Where one value is right, the separator is a part of its name.
    assert "a;b" in make_targets(["a;b", "c"], 2, ("i",))[0].classes


def test_known_classes_come_first() -> None:
    first = {"genre": np.array(["rock", "blues"])}
    (target,) = make_targets(["ska", "blues", "dub"], 3, ("genre",), classes=first)
    assert target.classes.tolist() == ["rock", "blues", "dub", "ska"]
    assert target.values.argmax(axis=1).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("labels", "tags", "message"),
    [
        (["a", "a"], ("genre",), "two values of 'genre'; there is only 'a'"),
        (["", None], ("genre",), "two values of 'genre'; there is none"),
        (["a"], ("genre",), "labels: expected 2 values"),
        ({"genre": ["a", "b"]}, ("genre", "mood"), "tag 'mood' are missing"),
    ],
)
def test_bad_labels(labels, tags, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_targets(labels, 2, tags)


def test_labels_are_text() -> None:
    assert clean_labels([3, " x ", None], 3).tolist() == ["3", "x", ""]


class TestValidationSplit:
    def test_without_groups_each_class_gives_its_share(self) -> None:
        targets = np.repeat([0, 1, 2], [40, 20, 10])
        chosen = validation_split(targets, np.arange(70), 0.2, seed=0)
        assert np.bincount(targets[chosen]).tolist() == [8, 4, 2]

    def test_groups_stay_whole(self) -> None:
        targets = np.repeat([0, 1], 50)
        groups = np.arange(100) // 5
        chosen = validation_split(targets, groups, 0.2, seed=3)
        assert np.bincount(targets[chosen]).tolist() == [10, 10]
        assert np.isin(groups, groups[chosen]).sum() == len(chosen)

    def test_a_class_of_one_group_is_only_trained_on(self) -> None:
        targets = np.array([0, 0, 0, 0, 1, 1, 2])
        groups = np.array(["a", "a", "b", "c", "d", "d", "e"])
        chosen = validation_split(targets, groups, 0.3, seed=0)
        assert set(targets[chosen]) <= {0}

    def test_no_share_holds_out_nothing(self) -> None:
        assert len(validation_split(np.repeat([0, 1], 50), np.arange(100), 0.0, seed=0)) == 0

    def test_the_choice_comes_from_the_seed(self) -> None:
        targets = np.repeat([0, 1], 50)
        first, again, other = (validation_split(targets, np.arange(100), 0.2, s) for s in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert set(first) != set(other)

    @pytest.mark.slow
    @given(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=80),
        st.floats(0, 0.5),
        st.integers(0, 5),
    )
    def test_groups_are_disjoint_and_no_class_leaves_training(
        self, rows: list[tuple[int, int]], fraction: float, seed: int
    ) -> None:
        _, targets = np.unique([target for target, _ in rows], return_inverse=True)
        groups = np.array([group for _, group in rows])
        chosen = validation_split(targets, groups, fraction, seed)
        rest = np.setdiff1d(np.arange(len(rows)), chosen)
        assert not set(groups[chosen]) & set(groups[rest])
        assert set(targets[rest]) == set(targets)


def test_taste_is_the_direction_of_the_known_vectors() -> None:
    nothing = float("nan")
    target = make_taste_target([[3, 4], [nothing, nothing], [0, 0], [0, -2]], 4)
    np.testing.assert_allclose(target.values, [[0.6, 0.8], [0, 0], [0, 0], [0, -1]], rtol=1e-6)
    assert target.is_taste
    assert target.known.tolist() == [True, False, False, True]
    assert target.take(np.array([3])).is_taste


@pytest.mark.parametrize(
    ("taste", "message"),
    [
        ([[1, 2]], r"expected 2 vectors .* got \(1, 2\)"),
        ([[1], [2]], r"at least two numbers"),
        ([1, 2], r"got \(2,\)"),
        ([[1, 2], [float("nan"), 1]], "taste, row 1: must be finite"),
        ([[1, 2], [float("inf"), 1]], "taste, row 1: must be finite"),
        ([[0, 0], [float("nan")] * 2], "no vector is known"),
        ([["a", "b"], ["c", "d"]], "array of numbers"),
    ],
)
def test_taste_that_is_none(taste: list, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_taste_target(taste, 2)
