"""New items in whole lists as part of a comparison: figures, budgets and what they cost."""

from math import isnan

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from evaluation.comparison.comparison import compare
from evaluation.conclusions.summary import findings, summarise
from evaluation.conclusions.verdict import judge
from evaluation.metrics.whole_lists import WholeLists, frontier
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.mixed import mixed_folds, mixed_split
from tests.helpers.known_answers import Budgeted, Content, world


@pytest.fixture(scope="module")
def heard():
    return world("informative", 0)


@pytest.fixture(scope="module")
def compared(heard):
    dataset, embeddings = heard
    split = mixed_split(dataset, 0.3, among=set(dataset.interactions["item_id"]))
    models = {"hybrid": lambda: Budgeted(embeddings), "popularity": Popularity, "random": Random}
    result = compare(
        models, dataset, [split], ks=(5, 10), n_bootstrap=200, budgets=(0.05, 0.2),
        controls={"random": ""}, examples=0,
    )  # fmt: skip
    return result, split


def test_a_row_for_each_budget_and_for_the_lists_themselves(compared):
    table = compared[0].frontier
    own = table[table["discovery"].isna() & ~table["at_random"]]
    assert sorted(zip(own["model"], own["k"], strict=True)) == [
        (model, k) for model in ("hybrid", "popularity", "random") for k in (5, 10)
    ]
    drawn = table[table["discovery"].isna() & table["at_random"]]
    assert drawn["share"].tolist() == own["share"].tolist()
    asked = table[table["discovery"].notna()]
    assert set(asked["model"]) == {"hybrid"}  # the others take no budget
    assert set(asked["k"]) == {5}
    assert sorted(asked["discovery"][~asked["at_random"]]) == [0, 0.05, 0.2]
    assert sorted(asked["discovery"][asked["at_random"]]) == [0, 0.05, 0.2]


def test_the_rows_are_what_the_model_measured_alone_has(compared, heard):
    result, split = compared
    dataset, embeddings = heard
    model = Budgeted(embeddings)
    model.fit(split.training(dataset))
    model.onboard_many(split.onboarding(dataset))
    alone = frontier(
        lambda users, k, budget: model.recommend_many(users, k, discovery=budget),
        WholeLists.from_split(dataset, split),
        k=5,
        budgets=(0.05, 0.2),
        control_seed=0,
    )
    table = result.frontier.dropna(subset="discovery")
    for at_random, names in (
        (False, ["shown", "ndcg", "ndcg_new", "cost"]),
        (True, ["random_shown", "random_ndcg", "random_ndcg_new", "random_cost"]),
    ):
        rows = table[table["at_random"] == at_random].sort_values("discovery")
        for ours, name in zip(("shown", "ndcg", "ndcg_new", "cost"), names, strict=True):
            assert rows[ours].to_numpy(float) == pytest.approx(alone[name].to_numpy(float))
    rows = table[~table["at_random"]].sort_values("discovery")
    for name in ("share", "shown_to_ten", "largest_share", "ndcg_known"):
        assert rows[name].to_numpy(float) == pytest.approx(alone[name].to_numpy(float))
    # The more may be paid the more is shown; random new items cost more for the same places.
    assert rows["share"].is_monotonic_increasing
    assert rows["cost"].iloc[0] == 0
    drawn = table[table["at_random"]].sort_values("discovery")
    assert drawn["share"].to_numpy(float) == pytest.approx(rows["share"].to_numpy(float))
    assert drawn["cost"].iloc[-1] > rows["cost"].iloc[-1]
    assert rows["cost_low"].iloc[-1] <= rows["cost"].iloc[-1] <= rows["cost_high"].iloc[-1]


def test_models_that_know_no_new_item_show_none(heard):
    dataset, _ = heard

    class Warm(Popularity):
        onboard_many = None

        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None, discovery=0.0):
            return super().recommend_many(user_ids, k, exclude_seen=exclude_seen, only=only)

    split = mixed_split(dataset, 0.3, among=set(dataset.interactions["item_id"]))
    result = compare({"als": Warm}, dataset, [split], ks=(5,), n_bootstrap=200)
    row, drawn = result.frontier.to_dict("records")
    assert (row["share"], row["shown"], row["ndcg_new"]) == (0, 0, 0) == (drawn["share"], 0, 0)
    assert isnan(row["discovery"])
    assert isnan(row["cost"])


def test_among_new_items_all_of_their_plays_count(compared, heard):
    result, split = compared
    dataset, _ = heard
    plays = dataset.interactions
    of_new = plays[plays["item_id"].isin(split.cold_items)]
    known = set(result.units["mixed", "users"]) & set(of_new["user_id"])
    n = np.isfinite(result.values["mixed", "cold", "random", "ndcg", 5]).sum()
    assert n == len(known)
    # In whole lists only those of the tested share.
    tested = plays.iloc[split.test_rows]
    tested = tested[tested["item_id"].isin(split.cold_items)]
    n = np.isfinite(result.values["mixed", "catalogue", "random", "ndcg_new", 5]).sum()
    assert n == len(set(tested["user_id"]) & set(result.units["mixed", "users"]))


def test_cold_splits_have_the_figures_of_new_items_but_no_budgets(heard):
    dataset, embeddings = heard
    split = cold_split(dataset, 0.3, among=set(dataset.interactions["item_id"]))
    result = compare(
        {"hybrid": lambda: Budgeted(embeddings)}, dataset, [split], ks=(5,), n_bootstrap=200
    )
    row, drawn = result.frontier.to_dict("records")
    assert row["share"] == drawn["share"] > 0
    assert row["ndcg"] > drawn["ndcg"]
    assert row["ndcg"] == pytest.approx(row["ndcg_new"])
    assert isnan(row["ndcg_known"])


def test_folds_are_pooled(heard):
    dataset, embeddings = heard
    splits = mixed_folds(dataset, 2, among=set(dataset.interactions["item_id"]))
    result = compare(
        {"hybrid": lambda: Budgeted(embeddings)}, dataset, splits, ks=(5,), n_bootstrap=200,
        budgets=(0.1,),
    )  # fmt: skip
    table = result.frontier
    assert set(table["split"]) == {"mixed"}
    assert len(table) == 6
    assert isinstance(result.to_dict()["frontier"], list)


def test_no_budgets_no_rows_and_bad_ones_are_refused(heard):
    dataset, embeddings = heard
    split = mixed_split(dataset, 0.3, among=set(dataset.interactions["item_id"]))
    models = {"hybrid": lambda: Budgeted(embeddings)}
    result = compare(models, dataset, [split], ks=(5,), n_bootstrap=200, budgets=())
    assert len(result.frontier) == 2
    with pytest.raises(InvalidArgumentError, match="budget"):
        compare(models, dataset, [split], budgets=(2.0,))
    assert isinstance(result.frontier, pd.DataFrame)


def test_models_that_give_nobody_a_list(heard):
    """Nothing is shown, nothing is known, and everything that is derived from it still holds."""
    dataset, embeddings = heard

    class Silent(Content):
        def recommend_many(self, user_ids, k, **options):
            return super().recommend_many(user_ids, k, **options).iloc[:0]

    among = set(dataset.interactions["item_id"])
    splits = [mixed_split(dataset, 0.3, among=among), cold_split(dataset, 0.3, among=among)]
    models = {"silent": lambda: Silent(embeddings)}
    result = compare(models, dataset, splits, ks=(5,), n_bootstrap=200)
    assert set(result.frontier["share"]) == {0}
    verdict = judge(result)
    assert verdict.outcome == "not yet"
    assert verdict.tiles[1].answer == "No new song is in anybody’s list."
    n = len(splits[0].cold_items)
    assert summarise(result)[0] == (
        f"In lists of 5 of everything, silent shows none of the {n} new songs to anybody."
    )
    assert verdict.tiles[1].lines == (f"0 of {n} shown",)
    assert findings(result) == []
