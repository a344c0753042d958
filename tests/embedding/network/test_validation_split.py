import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedding.network.targets import validation_split


def test_without_groups_each_class_gives_its_share() -> None:
    targets = np.repeat([0, 1, 2], [40, 20, 10])
    chosen = validation_split(targets, np.arange(70), 0.2, seed=0)
    assert np.bincount(targets[chosen]).tolist() == [8, 4, 2]


def test_groups_stay_whole() -> None:
    targets = np.repeat([0, 1], 50)
    groups = np.arange(100) // 5
    chosen = validation_split(targets, groups, 0.2, seed=3)
    assert np.bincount(targets[chosen]).tolist() == [10, 10]
    assert np.isin(groups, groups[chosen]).sum() == len(chosen)


def test_a_class_of_one_group_is_only_trained_on() -> None:
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    groups = np.array(["a", "a", "b", "c", "d", "d", "e"])
    chosen = validation_split(targets, groups, 0.3, seed=0)
    assert set(targets[chosen]) <= {0}


def test_no_share_holds_out_nothing() -> None:
    assert len(validation_split(np.repeat([0, 1], 50), np.arange(100), 0.0, seed=0)) == 0


def test_the_choice_comes_from_the_seed() -> None:
    targets = np.repeat([0, 1], 50)
    first, again, other = (validation_split(targets, np.arange(100), 0.2, s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=80),
    st.floats(0, 0.5),
    st.integers(0, 5),
)
def test_groups_are_disjoint_and_no_class_leaves_training(
    rows: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    _, targets = np.unique([target for target, _ in rows], return_inverse=True)
    groups = np.array([group for _, group in rows])
    chosen = validation_split(targets, groups, fraction, seed)
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    assert not set(groups[chosen]) & set(groups[rest])
    assert set(targets[rest]) == set(targets)
