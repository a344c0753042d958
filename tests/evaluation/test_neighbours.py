"""Precision of the nearest songs, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from datasets.errors import InvalidArgumentError
from evaluation.neighbours import retrieval_precision
from tests.helpers.thorough import times


def at(*degrees):
    """Unit vectors at these angles: the nearer in angle, the nearer by cosine."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


VECTORS = at(0, 10, 30, 100)
LABELS = ["a", "a", "b", "a"]


def test_worked_out_by_hand():
    # Nearest two of 0°: 10° (a), 30° (b). Of 10°: 0° (a), 30° (b). Of 100°: 30° (b), 10° (a).
    # The only b has no other b to find.
    found = retrieval_precision(VECTORS, LABELS, k=2)
    assert found.queries.tolist() == [0, 1, 3]
    assert found.precision.tolist() == [0.5, 0.5, 0.5]
    assert found.chance == pytest.approx([2 / 3, 2 / 3, 2 / 3])  # two a among three others
    assert found.ceiling.tolist() == [1, 1, 1]
    assert retrieval_precision(VECTORS, LABELS, k=1).precision.tolist() == [1, 1, 0]


def test_more_wanted_than_there_are():
    # Three candidates, of which two are hits, in ten places.
    found = retrieval_precision(VECTORS, LABELS, k=10)
    assert found.precision == pytest.approx([0.2, 0.2, 0.2])
    assert found.chance == pytest.approx([0.2, 0.2, 0.2])
    assert found.ceiling == pytest.approx([0.2, 0.2, 0.2])


def test_the_own_group_is_left_out():
    # Without its own artist 0° has 30° (b) and 100° (a) left; 100° has all three others.
    found = retrieval_precision(VECTORS, LABELS, k=1, groups=["x", "x", "y", "z"])
    assert found.queries.tolist() == [0, 1, 3]
    assert found.precision.tolist() == [0, 0, 0]
    assert found.chance == pytest.approx([1 / 2, 1 / 2, 2 / 3])
    # Blank artists stand alone.
    alone = retrieval_precision(VECTORS, LABELS, k=1, groups=["", "", "y", ""])
    assert alone.precision.tolist() == [1, 1, 0]


def test_unknown_labels_and_zero_vectors():
    vectors = np.vstack([at(0, 1, 2, 90), np.zeros((1, 2))])
    found = retrieval_precision(vectors, ["a", "", "a", "a", "a"], k=1)
    # 0° finds the one of 1° whose label is unknown: a miss, and no query itself.
    assert found.queries.tolist() == [0, 2, 3, 4]
    assert found.precision.tolist() == [0, 0, 1, 0]
    assert found.chance == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3 / 4])


def test_only_some_are_asked_for():
    found = retrieval_precision(VECTORS, LABELS, k=1, queries=[3, 2, 0])
    assert found.queries.tolist() == [3, 0]
    assert found.precision.tolist() == [0, 1]


def test_the_length_of_a_vector_does_not_matter_and_ties_go_by_row():
    scaled = VECTORS * [[1], [100], [0.01], [7]]
    assert (
        retrieval_precision(scaled, LABELS, 2).precision.tolist()
        == retrieval_precision(VECTORS, LABELS, 2).precision.tolist()
    )
    same = np.ones((3, 2))
    assert retrieval_precision(same, ["a", "b", "a"], 1).precision.tolist() == [0, 1]


@settings(max_examples=times(15, 40))
@given(st.integers(0, 10_000), st.integers(3, 40), st.integers(1, 12))
def test_scikit_learn_finds_the_same_neighbours(seed, n, k):
    rng = np.random.default_rng(seed)
    vectors, labels = rng.standard_normal((n, 4)), rng.integers(0, 3, n).astype(str)
    found = retrieval_precision(vectors, labels, k)
    some = min(k, n - 1)
    _, nearest = NearestNeighbors(n_neighbors=some, metric="cosine").fit(vectors).kneighbors()
    hits = (labels[nearest] == labels[:, None]).sum(axis=1) / k
    assert found.precision == pytest.approx(hits[found.queries])
    assert (found.precision <= found.ceiling + 1e-12).all()
    assert (found.chance <= found.ceiling + 1e-12).all()


def test_chance_is_what_random_vectors_give():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "b"], 40)
    means = [
        retrieval_precision(rng.standard_normal((120, 30)), labels, 10).precision.mean()
        for _ in range(20)
    ]
    chance = retrieval_precision(rng.standard_normal((120, 30)), labels, 10).chance.mean()
    assert chance == pytest.approx((39 / 119 + 2 * 79 / 119) / 3)
    assert np.mean(means) == pytest.approx(chance, abs=0.02)


def test_many_queries_in_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    vectors, labels = rng.standard_normal((50, 3)), rng.integers(0, 4, 50).astype(str)
    whole = retrieval_precision(vectors, labels, 5)
    monkeypatch.setattr("evaluation.neighbours._QUERIES_AT_ONCE", 7)
    parts = retrieval_precision(vectors, labels, 5)
    assert (whole.precision == parts.precision).all()
    assert (whole.queries == parts.queries).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"labels": ["a"]}, r"not \(4, 2\) and \(1,\)"),
        ({"vectors": np.ones(4)}, r"not \(4,\) and"),
        ({"vectors": np.full((4, 2), np.nan)}, "not a finite number"),
        ({"groups": ["x"]}, r"groups \[4\] are needed, not \(1,\)"),
        ({"queries": [4]}, "rows from 0 to 3"),
        ({"queries": [0.5]}, "rows from 0 to 3"),
    ],
)
def test_what_cannot_be_measured(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        retrieval_precision(**{"vectors": VECTORS, "labels": LABELS} | arguments)


def test_nothing_to_ask():
    found = retrieval_precision(VECTORS, ["a", "b", "c", ""])
    assert len(found.queries) == len(found.precision) == len(found.chance) == 0
