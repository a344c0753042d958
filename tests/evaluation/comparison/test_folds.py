import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from evaluation.comparison.comparison import compare
from evaluation.comparison.folds import FoldPool, fold_rows, pooled_run_facts
from evaluation.comparison.run import RunResult
from evaluation.comparison.trial import Units
from evaluation.conclusions.summary import cautions
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.cold import cold_folds
from evaluation.splitting.warm import warm_folds, warm_split

NDCG = ("catalogue", "ndcg", 10)


def fold(users, values, items=()):
    units = Units(tuple(users), tuple(items), {("catalogue", "items", "warm"): np.array([0])})
    result = RunResult(
        {NDCG: np.array(values, float), ("cold", "item_auc", None): np.full(len(items), 0.7)},
        {},
        {("catalogue", "coverage", 10): (values[0], 4)},
        {("catalogue", "items", "warm", "ndcg", 10): np.array(values[:1], float)},
    )
    return units, result


def test_a_user_in_several_folds_counts_once_with_the_mean():
    units, results = zip(
        fold(["a", "b"], [0.2, 0.4], ["x"]), fold(["b", "c"], [0.8, np.nan], ["y"]), strict=True
    )
    pool = FoldPool(units)
    assert pool.users == ("a", "b", "c")
    assert pool.auc_items == ("x", "y")
    values = pool.values(results)
    assert values[NDCG] == pytest.approx([0.2, 0.6, np.nan], nan_ok=True)
    assert values["cold", "item_auc", None].tolist() == [0.7, 0.7]
    assert pool.catalogue(results)["catalogue", "coverage", 10] == pytest.approx((0.5, 4))
    # In the slice are user a of the first fold and user b of the second.
    rows, values = pool.slices(results)["catalogue", "items", "warm", "ndcg", 10]
    assert rows.tolist() == [0, 1]
    assert values.tolist() == [0.2, 0.8]


def test_what_a_fold_does_not_have_has_no_pooled_figure():
    first, second = fold(["a"], [0.2]), fold(["a"], [0.4])
    first[1].values["played", "ndcg", 10] = np.array([0.3])
    pool = FoldPool([first[0], second[0]])
    assert ("played", "ndcg", 10) not in pool.values([first[1], second[1]])


@pytest.mark.slow
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1),
        min_size=1,
        max_size=5,
    )
)
def test_the_pooled_mean_is_the_mean_of_users(folds):
    units, results = zip(*(fold(list(f), list(f.values())) for f in folds), strict=True)
    pool = FoldPool(units)
    pooled = pool.values(results)[NDCG]
    assert len(pooled) == len({user for f in folds for user in f})
    for user, value in zip(pool.users, pooled, strict=True):
        assert value == pytest.approx(np.mean([f[user] for f in folds if user in f]))


def test_rows_over_folds_by_hand():
    results = [fold(["a", "b"], [value, value])[1] for value in (0.2, 0.3, 0.4)]
    rows = fold_rows("warm", {"m": results}, 0.95)
    ndcg = next(row for row in rows if row[3] == "ndcg")
    assert ndcg[:6] == ("warm", "catalogue", "m", "ndcg", 10, 3)
    assert ndcg[6:] == pytest.approx((0.3, 0.1, 0.3 - 0.2484, 0.3 + 0.2484), abs=1e-4)
    assert fold_rows("warm", {"m": results[:1]}, 0.95) == []


def test_costs_of_folds():
    runs = [
        {"settings": {}, "fit_seconds": 1.0, "fit_peak_mb": 10, "users_without_list_catalogue": 1},
        {"settings": {}, "fit_seconds": 3.0, "fit_peak_mb": 30, "users_without_list_catalogue": 0},
    ]
    assert pooled_run_facts(runs) == {
        "settings": {}, "fit_seconds": 2.0, "fit_peak_mb": 30,
        "users_without_list_catalogue": 1, "folds": 2,
    }  # fmt: skip


@pytest.mark.slow
def test_folds_are_one_split_everywhere(tastes):
    dataset, _ = tastes
    splits = warm_folds(dataset, 3)
    models = {"popularity": Popularity, "random": Random}
    seen = []
    result = compare(
        models, dataset, splits, ks=(5,), on_run=lambda model, split, _: seen.append((model, split))
    )
    assert set(result.table["split"]) == {"warm"} == set(result.differences["split"])
    assert result.runs["folds"].tolist() == [3, 3]
    facts = result.splits[0]
    assert [fold["name"] for fold in facts["folds"]] == [split.name for split in splits]
    assert facts["test_rows"] == sum(len(split.test_rows) for split in splits)
    assert facts["test_users"] == len(result.units["warm", "users"]) == 120
    assert seen == [(model, split.name) for split in splits for model in models]

    alone = [compare(models, dataset, [split], ks=(5,)) for split in splits]
    key = ("catalogue", "popularity", "ndcg", 5)
    of_folds = [
        dict(zip(one.units["warm", "users"], one.values["warm", *key], strict=True))
        for one in alone
    ]
    expected = [
        np.mean([values[user] for values in of_folds if user in values])
        for user in result.units["warm", "users"]
    ]
    np.testing.assert_allclose(result.values["warm", *key], expected)
    row = result.folds.query("model == 'popularity' and metric == 'ndcg'").iloc[0]
    means = [np.mean(list(values.values())) for values in of_folds]
    assert row["folds"] == 3
    assert row["mean"] == pytest.approx(np.mean(means))
    assert row["sd"] == pytest.approx(np.std(means, ddof=1))
    assert alone[0].folds.empty


@pytest.mark.slow
def test_every_cold_item_of_cold_folds_has_its_auc_once(tastes):
    dataset, _ = tastes
    splits = cold_folds(dataset, 3, by="item", among=set(dataset.interactions["item_id"]))
    result = compare({"random": Random}, dataset, splits, ks=(5,))
    items = result.units["cold", "items"]
    assert (
        len(items)
        == len(set(items))
        == len(result.values["cold", "cold", "random", "item_auc", None])
    )
    facts = result.splits[0]
    assert facts["cold_items"] == len(set(dataset.interactions["item_id"]))
    assert facts["cold_items_ranked"] == min(fold["cold_items"] for fold in facts["folds"])
    # A list of 14 would hold half of the 26 or 27 items of a fold, and not of all 80.
    few = compare({"random": Random}, dataset, splits, ks=(14,))
    assert any("26 cold songs in a fold" in caution for caution in cautions(few))


def test_groups_are_checked(tastes):
    dataset, _ = tastes
    first, second = warm_folds(dataset, 2)
    models = {"random": Random}
    other = dataclasses.replace(second, kind="semi-cold")
    with pytest.raises(InvalidArgumentError, match="different kinds"):
        compare(models, dataset, [first, other])
    with pytest.raises(InvalidArgumentError, match="name of a group"):
        compare(models, dataset, [first, second, warm_split(dataset, name=first.group)])
