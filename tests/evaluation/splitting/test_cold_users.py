import numpy as np
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.splitting.cold import cold_user_split
from evaluation.splitting.warm import user_folds
from tests.helpers.splits import bare, pairs_of


def listening(n_users=20, n_items=12, each=6):
    random = np.random.default_rng(0)
    return [
        (f"u{user:02}", f"i{item}")
        for user in range(n_users)
        for item in random.permutation(n_items)[:each]
    ]


def users_of(dataset, rows):
    return set(dataset.interactions["user_id"].iloc[rows])


def test_every_user_is_in_one_fold_and_tested_by_a_share():
    dataset = bare(listening())
    folds = user_folds(dataset, 4, seed=1, fraction=0.5)
    everybody = set(dataset.interactions["user_id"])
    tested = [users_of(dataset, fold.test_rows) for fold in folds]
    assert [len(users) for users in tested] == [5] * 4
    assert set.union(*tested) == everybody
    for number, fold in enumerate(folds, 1):
        assert (fold.kind, fold.group, fold.fold) == ("warm", "users", number)
        assert users_of(dataset, fold.train_rows) == everybody
        assert len(fold.test_rows) == 5 * 3
        assert len(fold.train_rows) + len(fold.test_rows) == len(dataset.interactions)
    again = user_folds(dataset, 4, seed=1, fraction=0.5)
    assert users_of(dataset, again[2].test_rows) == tested[2]
    assert users_of(dataset, user_folds(dataset, 4, seed=2)[2].test_rows) != tested[2]


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
    dataset = bare([*listening(), *listening()[::2]])  # some pairs have two rows
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


def test_arguments_are_checked():
    dataset = bare(listening())
    for match, wrong in {
        "given must be a whole number of at least 0": lambda: cold_user_split(dataset, given=-1),
        "fraction must": lambda: cold_user_split(dataset, 1.0),
        "folds must be a whole number of at least 2": lambda: user_folds(dataset, 1),
        "fraction": lambda: user_folds(dataset, 2, fraction=0.0),
    }.items():
        with pytest.raises(InvalidArgumentError, match=match):
            wrong()
