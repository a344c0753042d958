"""Every kind of split in a comparison: who is asked, for what, and what is told when."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, UnknownUserError
from datasets.music import MusicDataset
from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.cold import cold_user_split, semi_cold_split
from evaluation.splitting.split import Split, check_no_leak
from evaluation.splitting.temporal import time_split
from evaluation.splitting.warm import warm_split


@pytest.fixture
def dataset(make_dataset):
    rng = np.random.default_rng(0)
    plays = [(f"u{u:02d}", f"i{i:02d}") for u in range(40) for i in rng.permutation(30)[:8]]
    return make_dataset(plays)


@pytest.fixture
def dated(dataset):
    """The same with dates: the last items appear last, and ten users play none of them."""
    plays = dataset.interactions
    number = plays["item_id"].str[1:].astype(int)
    conservative = plays["user_id"] < "u10"
    plays = plays[~conservative | (number < 20)].reset_index(drop=True)
    number, conservative = plays["item_id"].str[1:].astype(int), plays["user_id"] < "u10"
    day = (number + np.arange(len(plays)) % 5).where(~conservative | (number < 12), 40)
    plays["timestamp"] = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(day, unit="D")
    return MusicDataset(dataset.items, dataset.audio, plays, dataset.root)


def means(result, model, metric="recall", k=30):
    table = result.table[(result.table["model"] == model) & (result.table["metric"] == metric)]
    return table[table["k"] == k].set_index("candidates")["mean"].to_dict()


def test_semi_cold_items_are_ranked_among_themselves_and_in_the_catalogue(dataset, oracle):
    split = semi_cold_split(dataset, 2, among=set(dataset.interactions["item_id"]))
    models = {"oracle": lambda: oracle(dataset), "random": Random}
    result = compare(models, dataset, [split], ks=(5, 30))
    assert means(result, "oracle") == {"catalogue": 1.0, "thin": 1.0}
    assert result.splits[0]["thin_items"] == len(split.few_shot_items)
    assert result.splits[0]["cold_items"] == 0
    assert set(result.slices.query("by == 'items'")["slice"]) == {"semi-cold"}
    assert "item_auc" not in set(result.table["metric"])
    assert result.runs["recommends_cold"].tolist() == [None, None]


def test_items_first_played_after_the_moment_are_onboarded(dated, oracle):
    split = time_split(dated, 0.3)
    assert split.cold_items
    given = []

    class Spy(oracle):
        def onboard_many(self, new):
            given.append(new)
            super().onboard_many(new)

    models = {"oracle": lambda: Spy(dated), "random": Random}
    result = compare(models, dated, [split], ks=(5, 30))
    assert set(given[0].items["item_id"]) == set(split.cold_items)
    assert given[0].interactions.empty
    assert means(result, "oracle") == {"catalogue": 1.0, "cold": 1.0}
    # Not everybody plays a new item: the others take no part among the cold.
    among = result.table.query("candidates == 'cold' and metric == 'recall' and model == 'random'")
    tested = dated.interactions.iloc[split.test_rows]
    with_cold = tested.loc[tested["item_id"].isin(split.cold_items), "user_id"].nunique()
    assert set(among["n"]) == {with_cold}
    assert with_cold < result.splits[0]["test_users"] == len(result.units["time", "users"])
    values = result.values["time", "cold", "random", "recall", 5]
    assert np.isfinite(values).sum() == with_cold
    assert result.runs["recommends_cold"].tolist() == [True, True]


def test_a_model_that_was_not_given_the_later_items_must_not_know_them(dated):
    split = time_split(dated, 0.3)

    class Informed(Popularity):
        onboard_many = None

        def fit(self, train):
            return super().fit(dated)

        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            return super().recommend_many(user_ids, k, only=split.cold_items)

    with pytest.raises(EvaluationError, match="leak: recommends the held-out item"):
        compare({"x": Informed}, dated, [split])


class Updated(Popularity):
    """Keeps what it is told of new users."""

    told: list[pd.DataFrame]

    def __init__(self):
        super().__init__()
        self.told = []

    def update(self, interactions):
        self.told.append(interactions)
        return super().update(interactions)


def test_cold_users_give_their_first_plays_after_fit(dataset):
    split = cold_user_split(dataset, 0.3, given=3)
    made = []

    def factory():
        made.append(Updated())
        return made[-1]

    result = compare({"updated": factory}, dataset, [split], ks=(5, 30))
    (told,) = made[0].told
    expected = dataset.interactions.iloc[split.fold_in_rows].reset_index(drop=True)
    pd.testing.assert_frame_equal(told, expected)
    users = set(result.units["cold users", "users"])
    assert users == set(told["user_id"])
    assert not users & set(dataset.interactions["user_id"].iloc[split.train_rows])
    assert means(result, "updated")["catalogue"] > 0.9
    assert result.splits[0]["given_rows"] == len(told)


def test_whoever_was_told_of_plays_must_not_recommend_them_and_whoever_was_not_may(dataset):
    split = cold_user_split(dataset, 0.3, given=3)

    class Forgetful(Popularity):
        def update(self, interactions):
            return self

    class Deaf(Popularity):
        update = None

    with pytest.raises(EvaluationError, match="in the user's training data"):
        compare({"x": Forgetful}, dataset, [split], ks=(30,))
    result = compare({"deaf": Deaf, "told": Popularity}, dataset, [split], ks=(10, 30))
    assert means(result, "deaf", k=10)["catalogue"] < means(result, "told", k=10)["catalogue"]


@pytest.mark.slow
@pytest.mark.parametrize("error", [UnknownUserError, KeyError])
def test_a_user_who_is_refused_counts_zero_and_silences_nobody_else(dataset, error):
    split = cold_user_split(dataset, 0.3)

    class Choosy(Popularity):
        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            for user in user_ids:
                if user[-1] in "02468":
                    raise error(user)
            return super().recommend_many(user_ids, k, exclude_seen=exclude_seen, only=only)

    result = compare({"choosy": Choosy, "all": Popularity}, dataset, [split], ks=(30,))
    refused = np.array([u[-1] in "02468" for u in result.units["cold users", "users"]])
    key = ("cold users", "catalogue", "{}", "recall", 30)
    choosy = result.values[(*key[:2], "choosy", *key[3:])]
    everybody = result.values[(*key[:2], "all", *key[3:])]
    np.testing.assert_array_equal(choosy, np.where(refused, 0.0, everybody))
    assert result.runs["users_without_list_catalogue"].tolist() == [refused.sum(), 0]


def test_a_known_user_must_not_be_refused(dataset):
    class Refusing(Popularity):
        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            raise UnknownUserError("no user of that name")

    with pytest.raises(UnknownUserError):
        compare({"x": Refusing}, dataset, [warm_split(dataset)])


def frames(dataset, split):
    given = dataset.take_interactions(split.fold_in_rows).interactions
    return split.training(dataset), given, dataset.interactions.iloc[split.test_rows]


def test_leaks_of_each_kind_are_refused(dataset, dated):
    users = cold_user_split(dataset, 0.3, given=3)
    train, given, tested = frames(dataset, users)
    check_no_leak(users, train, given, tested)
    with pytest.raises(EvaluationError, match=r"leaks: 'i.*' reaches the training side"):
        check_no_leak(users, train, pd.concat([given, tested.iloc[:1]]), tested)
    known = dataclasses.replace(users, fold_in_rows=users.train_rows[:1])
    with pytest.raises(EvaluationError, match=r"the cold user 'u.*' has interactions in training"):
        check_no_leak(known, *frames(dataset, known))

    thin = semi_cold_split(dataset, 2, among=set(dataset.interactions["item_id"]))
    check_no_leak(thin, *frames(dataset, thin))
    strict = dataclasses.replace(thin, keep=1)
    with pytest.raises(EvaluationError, match=r"the thin item 'i.*' keeps 2 listeners, not 1"):
        check_no_leak(strict, *frames(dataset, strict))
    fewer = dataclasses.replace(thin, few_shot_items=thin.few_shot_items[1:])
    with pytest.raises(EvaluationError, match="which is not a thin item"):
        check_no_leak(fewer, *frames(dataset, fewer))

    time = time_split(dated, 0.3)
    check_no_leak(time, *frames(dated, time))
    turned = Split("time", "time", time.test_rows, time.train_rows)
    with pytest.raises(EvaluationError, match="training reaches until"):
        check_no_leak(turned, *frames(dated, turned))


def test_only_the_metrics_asked_for_and_ndcg(dataset):
    models = {"popularity": Popularity, "random": Random}
    result = compare(models, dataset, [warm_split(dataset)], ks=(5,), metrics=["recall"])
    assert {"recall", "ndcg"} <= set(result.table["metric"])
    assert not {"precision", "hit", "map", "mrr"} & set(result.table["metric"])
    assert result.settings["metrics"] == ["recall", "ndcg"]
    with pytest.raises(ValueError, match="no metric 'accuracy'"):
        compare(models, dataset, [warm_split(dataset)], metrics=["accuracy"])


def test_metrics_beside_accuracy_have_no_best(dataset):
    models = {"popularity": Popularity, "random": Random}
    result = compare(models, dataset, [warm_split(dataset)], ks=(5,))
    best = set(result.differences.query("role == 'best'")["metric"])
    baseline = set(result.differences.query("role == 'baseline'")["metric"])
    assert "novelty" in baseline - best
    assert "coverage" not in baseline
    table = result.table.set_index(["model", "metric"])["mean"]
    assert table["random", "coverage"] > table["popularity", "coverage"]
    assert table["random", "gini"] < table["popularity", "gini"]
    assert table["random", "novelty"] > table["popularity", "novelty"]


def test_embeddings_give_the_diversity_of_lists(dataset):
    items = dataset.items["item_id"]
    embeddings = pd.DataFrame(np.eye(len(items)), index=items)
    models = {"popularity": Popularity}
    result = compare(models, dataset, [warm_split(dataset)], ks=(5,), embeddings=embeddings)
    # All at right angles: the distance of any two is 1.
    found = result.table.query("metric == 'embedding_diversity'")
    assert found["mean"].tolist() == pytest.approx([1.0])
