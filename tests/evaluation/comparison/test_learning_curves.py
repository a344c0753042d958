from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.comparison.comparison import compare
from evaluation.comparison.learning_curves import CURVE_COLUMNS, learning_curve, thinned_rows
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.cold import cold_split, semi_cold_split
from evaluation.splitting.warm import warm_folds, warm_split
from tests.helpers.splits import pairs_of

N_USERS, N_ITEMS = 12, 15


@pytest.fixture
def dataset(make_dataset) -> MusicDataset:
    """12 users with 5 to 10 of 15 items; one pair in three has two rows."""
    random = np.random.default_rng(3)
    plays = [
        (f"u{user}", f"i{item:02}")
        for user in range(N_USERS)
        for item in random.permutation(N_ITEMS)[: random.integers(5, 11)]
    ]
    return make_dataset([*plays, *plays[::3]])


def test_parts_are_nested_whole_pairs_of_the_size_asked_for(dataset):
    everything = pairs_of(dataset, slice(None))
    larger = everything
    for fraction in (1.0, 0.5, 0.25, 0.1):
        rows = thinned_rows(dataset, fraction, seed=0)
        part = pairs_of(dataset, rows)
        assert len(part) == int(len(everything) * fraction + 0.5)
        assert part <= larger
        others = np.setdiff1d(np.arange(len(dataset.interactions)), rows)
        assert not part & pairs_of(dataset, others)
        larger = part
    assert len(pairs_of(dataset, thinned_rows(dataset, 1e-9, seed=0))) == 1
    assert part != pairs_of(dataset, thinned_rows(dataset, 0.1, seed=1))


def test_parts_do_not_depend_on_the_order_of_the_rows(dataset):
    rows = np.random.default_rng(0).permutation(len(dataset.interactions))
    shuffled = dataset.take_interactions(rows)
    assert pairs_of(dataset, thinned_rows(dataset, 0.3, 5)) == pairs_of(
        shuffled, thinned_rows(shuffled, 0.3, 5)
    )


@pytest.mark.slow
def test_the_last_point_is_the_comparison_and_the_first_is_short_of_it(dataset):
    split = warm_split(dataset, 0.3)
    curve = learning_curve(
        {"popularity": Popularity}, dataset, split, fractions=(1.0, 0.2), k=5, metrics=("recall",)
    )
    assert tuple(curve.columns) == CURVE_COLUMNS
    assert curve["fraction"].tolist() == [0.2, 1.0]
    assert curve["interactions"].iloc[1] == len(split.train_rows)
    assert 0.1 < curve["interactions"].iloc[0] / len(split.train_rows) < 0.3
    whole = compare({"popularity": Popularity}, dataset, [split], ks=(5,)).table
    whole = whole[
        (whole["metric"] == "recall") & (whole["candidates"] == "catalogue") & (whole["k"] == 5)
    ]
    for column in ("mean", "low", "high"):
        assert curve[column].iloc[1] == whole[column].item()


class Watched(Popularity):
    """Notes what it was fitted on and whom it was asked for."""

    fitted: list[pd.DataFrame]
    asked: list[set[str]]

    def fit(self, dataset):
        self.fitted.append(dataset.interactions)
        return super().fit(dataset)

    def recommend_many(self, user_ids, k, **how):
        self.asked.append(set(user_ids))
        return super().recommend_many(user_ids, k, **how)


@pytest.fixture
def watched():
    return type("Fresh", (Watched,), {"fitted": [], "asked": []})


def test_users_who_lose_everything_still_count(dataset, watched):
    split = warm_split(dataset, 0.3)
    learning_curve({"m": watched}, dataset, split, fractions=(0.05,), k=3)
    left = set(watched.fitted[0]["user_id"])
    tested = set(dataset.interactions["user_id"].iloc[split.test_rows])
    assert len(left & tested) < len(tested)
    assert set.union(*watched.asked) == tested


def test_what_was_played_and_left_out_takes_no_place(dataset, oracle):
    # The oracle puts everything a user ever played first, that left out of training too.
    split = warm_split(dataset, 0.3)
    curve = learning_curve(
        {"oracle": lambda: oracle(dataset)}, dataset, split, fractions=(0.1, 0.5, 1), k=3
    )
    assert curve["mean"][curve["metric"] == "ndcg"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.slow
def test_a_cold_split_is_measured_among_cold_items(dataset, oracle, watched):
    split = cold_split(dataset, 0.3)
    models = {"popularity": watched, "oracle": lambda: oracle(dataset)}
    curve = learning_curve(models, dataset, split, fractions=(0.5, 1.0), k=2)
    assert curve["model"].tolist() == ["popularity"] * 4 + ["oracle"] * 4
    assert curve["metric"].tolist() == ["ndcg", "recall"] * 4
    assert (curve["mean"][(curve["model"] == "oracle") & (curve["metric"] == "ndcg")] == 1).all()
    for frame in watched.fitted:
        assert not set(frame["item_id"]) & set(split.cold_items)
    everywhere = learning_curve(
        models, dataset, split, fractions=(1.0,), k=2, candidates="catalogue"
    )
    assert everywhere["mean"][0] < curve["mean"][2]  # popular items come before any cold one


@pytest.mark.slow
def test_thin_items_and_the_auc_have_a_curve_too(dataset, oracle):
    items = list(dataset.items["item_id"])
    models = {"oracle": lambda: oracle(dataset)}
    split = semi_cold_split(dataset, 2, 0.4, among=items)
    thin = learning_curve(models, dataset, split, fractions=(0.3, 1.0), k=3, metrics=("ndcg",))
    assert thin["mean"].tolist() == [1.0, 1.0]
    among = learning_curve(models, dataset, split, fractions=(1.0,), k=3, candidates="thin")
    assert among["mean"][0] == thin["mean"][1]
    split = cold_split(dataset, 0.3)
    auc = learning_curve(models, dataset, split, fractions=(0.3, 1.0), metrics=("item_auc",))
    assert auc["mean"].tolist() == [1.0, 1.0]
    assert auc["k"].isna().all()


def test_one_fold_of_several_can_be_measured(dataset):
    fold = warm_folds(dataset, 3)[1]
    curve = learning_curve({"p": Popularity}, dataset, fold, fractions=(1.0,), metrics=("ndcg",))
    alone = replace(fold, group="", fold=None)
    same = learning_curve({"p": Popularity}, dataset, alone, fractions=(1.0,), metrics=("ndcg",))
    assert curve["mean"][0] == same["mean"][0]


@pytest.mark.slow
def test_what_was_measured_is_kept_for_each_part_and_model(dataset, watched, tmp_path):
    split = warm_split(dataset, 0.3)

    def curve(model, **how):
        return learning_curve({"m": model}, dataset, split, k=3, resume=tmp_path, **how)

    first = curve(watched, fractions=(0.3, 1.0))
    assert len(watched.fitted) == 2
    pd.testing.assert_frame_equal(curve(watched, fractions=(0.3, 1.0)), first)
    assert len(watched.fitted) == 2
    curve(watched, fractions=(0.6, 1.0))
    assert len(watched.fitted) == 3
    curve(lambda: watched(seed=5), fractions=(1.0,))
    assert len(watched.fitted) == 4
    assert curve(lambda: Random(), fractions=(1.0,))["mean"][0] != first["mean"][2]


def test_an_invalid_list_is_refused_in_a_thinned_run_too(dataset):
    class Repeats(Popularity):
        def recommend_many(self, user_ids, k, **how):
            found = super().recommend_many(user_ids, k, **how)
            first = found.groupby("user_id")["item_id"].transform("first")
            return found.assign(item_id=found["item_id"].where(found["rank"] != 2, first))

    class Gaps(Popularity):
        def recommend_many(self, user_ids, k, **how):
            found = super().recommend_many(user_ids, k + 1, **how)
            return found[found["rank"] != 2].assign(rank=lambda f: f["rank"].clip(upper=k))

    class Columns(Popularity):
        def recommend_many(self, user_ids, k, **how):
            return super().recommend_many(user_ids, k, **how).drop(columns="rank")

    split = warm_split(dataset, 0.2)
    for model, problem in ((Repeats, "twice"), (Gaps, "ranks"), (Columns, "lack")):
        with pytest.raises(EvaluationError, match=problem):
            learning_curve({"m": model}, dataset, split, fractions=(0.5,), k=4)


@pytest.mark.parametrize("fractions", [(), (0.0, 1.0), (0.5, 1.1), (float("nan"),)])
def test_fractions_are_checked(dataset, fractions):
    with pytest.raises(InvalidArgumentError, match="fractions must lie"):
        learning_curve({"p": Popularity}, dataset, warm_split(dataset), fractions=fractions)


def test_unknown_metrics_and_candidates_are_refused(dataset):
    split = warm_split(dataset)
    for how in ({"metrics": ("fame",)}, {"candidates": "cold"}):
        with pytest.raises(InvalidArgumentError, match="not measured"):
            learning_curve({"p": Popularity}, dataset, split, fractions=(1.0,), **how)
