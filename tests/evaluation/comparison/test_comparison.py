import json

import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.folder import load_folder
from evaluation.comparison.bootstrap import paired_difference
from evaluation.comparison.comparison import compare
from evaluation.comparison.run import NEW_LARGEST_SHARE, NEW_SHOWN, NEW_SHOWN_TO_TEN
from evaluation.metrics.ranking import ITEM_METRICS
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.split import Split
from evaluation.splitting.warm import warm_split
from tests.helpers.recommenders import dataset_of


@pytest.fixture
def dataset(make_dataset):
    rng = np.random.default_rng(0)
    plays = [(f"u{u}", f"i{i:02d}") for u in range(40) for i in rng.permutation(30)[:8]]
    return make_dataset(plays, artists={f"i{n:02d}": f"A{n // 2}" for n in range(30)})


@pytest.fixture
def splits(dataset):
    return [warm_split(dataset, 0.3), cold_split(dataset, 0.4)]


def mean(comparison, model, metric, k, split="cold", candidates="cold"):
    return comparison.figures()[split, candidates, model, metric, k].mean


def test_a_perfect_model_gets_exactly_one(dataset, splits, oracle):
    result = compare({"oracle": lambda: oracle(dataset)}, dataset, splits, ks=(1, 30))
    for split, candidates in (("warm", "catalogue"), ("cold", "catalogue"), ("cold", "cold")):
        for metric, k in (("precision", 1), ("hit", 1), ("mrr", 1), ("ndcg", 30), ("map", 30)):
            assert mean(result, "oracle", metric, k, split, candidates) == 1.0
        assert mean(result, "oracle", "recall", 30, split, candidates) == 1.0
    assert mean(result, "oracle", "item_auc", None) == 1.0


@pytest.mark.slow
def test_random_gets_what_chance_gives(dataset, splits):
    models = {f"random {seed}": (lambda seed=seed: Random(seed)) for seed in range(30)}
    result = compare(models, dataset, splits[1:], ks=(5,), n_bootstrap=100)
    test = dataset.interactions.iloc[splits[1].test_rows]
    n_cold = len(splits[1].cold_items)
    # Each of 5 places holds a relevant item with probability |relevant| / |cold items|.
    expected = test.groupby("user_id").size().mean() / n_cold
    among_cold = result.table[result.table["candidates"] == "cold"]
    means = among_cold.groupby("metric")["mean"].mean()
    assert means["precision"] == pytest.approx(expected, abs=0.015)
    assert means["recall"] == pytest.approx(5 / n_cold, abs=0.03)
    assert means["item_auc"] == pytest.approx(0.5, abs=0.02)


def test_the_training_side_has_nothing_of_the_test_side(dataset, splits):
    given = []

    class Spy(Popularity):
        def fit(self, train):
            given.append(("fit", train))
            return super().fit(train)

        def onboard_many(self, new):
            given.append(("onboard", new))
            return super().onboard_many(new)

    compare({"spy": Spy}, dataset, splits)
    assert [name for name, _ in given] == ["fit", "fit", "onboard"]
    (_, warm), (_, cold), (_, new) = given
    held_out = dataset.interactions.iloc[splits[0].test_rows]
    assert warm.interactions.merge(held_out, on=["user_id", "item_id"]).empty
    items = set(splits[1].cold_items)
    for table in (cold.items, cold.audio, cold.interactions):
        assert not set(table["item_id"]) & items
    assert not set(cold.items["artist"]) & set(new.items["artist"])
    assert set(new.items["item_id"]) == set(new.audio["item_id"]) == items
    assert new.interactions.empty


class Answering(Popularity):
    """Popularity whose answers are changed before they are given."""

    def change(self, frame, only):
        raise NotImplementedError

    def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
        frame = super().recommend_many(user_ids, k, exclude_seen=exclude_seen, only=only)
        return self.change(frame, only)


def test_a_duplicate_is_an_error_that_names_model_split_user_and_item(dataset, splits):
    class Twice(Answering):
        def change(self, frame, only):
            frame.loc[1, "item_id"] = frame.loc[0, "item_id"]
            return frame

    with pytest.raises(EvaluationError, match=r"model 'x' on split 'warm': user 'u\d+', item 'i"):
        compare({"x": Twice}, dataset, splits)


def test_recommending_what_is_in_training_is_an_error(dataset, splits):
    class Stale(Popularity):
        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            return super().recommend_many(user_ids, k, exclude_seen=False, only=only)

    with pytest.raises(EvaluationError, match="in the user's training data"):
        compare({"x": Stale}, dataset, splits)


def test_a_cold_item_from_a_model_that_was_never_given_it_is_a_leak(dataset, splits):
    class Informed(Popularity):
        onboard_many = None

        def fit(self, train):
            return super().fit(dataset)

        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            return super().recommend_many(user_ids, k, only=splits[1].cold_items)

    with pytest.raises(EvaluationError, match=r"leak: recommends the held-out item 'i\d+'"):
        compare({"x": Informed}, dataset, splits[1:])


def test_items_outside_the_candidates_asked_for_are_an_error(dataset, splits):
    class Deaf(Popularity):
        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            return super().recommend_many(user_ids, k)

    with pytest.raises(EvaluationError, match="not among the candidates"):
        compare({"x": Deaf}, dataset, splits[1:])


def test_a_distance_in_place_of_a_score_is_an_error(dataset, splits):
    class Distance(Answering):
        def change(self, frame, only):
            return frame.assign(score=frame["rank"].astype(float))

    with pytest.raises(EvaluationError, match="is the score a distance"):
        compare({"x": Distance}, dataset, splits[1:])


def test_a_model_without_onboarding_counts_zero_for_cold_items_and_the_result_says_so(
    dataset, splits
):
    class Warm(Popularity):
        onboard_many = None

    result = compare({"popularity": Popularity, "warm": Warm}, dataset, splits)
    for metric in ("precision", "recall", "hit", "ndcg", "map", "mrr"):
        assert mean(result, "warm", metric, 10) == 0.0
    assert mean(result, "warm", "item_auc", None) == 0.5
    assert mean(result, "warm", "ndcg", 10, "warm", "catalogue") > 0
    run = result.runs.set_index(["split", "model"]).loc[("cold", "warm")]
    assert run["recommends_cold"] is False
    assert run["users_without_list_cold"] == result.splits[1]["test_users"]


def test_a_user_without_a_list_counts_zero(dataset, splits, oracle):
    class Half(oracle):
        def recommend_many(self, user_ids, k, **options):
            return super().recommend_many(list(user_ids)[::2], k, **options)

    result = compare({"half": lambda: Half(dataset)}, dataset, splits[:1], ks=(1,))
    n = result.splits[0]["test_users"]
    assert mean(result, "half", "hit", 1, "warm", "catalogue") == pytest.approx(-(-n // 2) / n)


def test_test_users_of_a_cold_split_have_training(make_dataset):
    plays = [("both", "a"), ("both", "b"), ("only-cold", "a"), ("only-warm", "b"), ("zero", "b")]
    dataset = make_dataset([*plays, ("zero", "a", 0.0)])
    rows = dataset.interactions["item_id"] == "a"
    split = Split("cold", "cold", np.flatnonzero(~rows), np.flatnonzero(rows), cold_items=("a",))
    result = compare({"random": Random}, dataset, [split])
    assert result.units["cold", "users"] == ("both",)
    # Everybody ranked plays it, so the item-wise AUC is not defined, and has no row.
    assert result.splits[0]["auc_items_left_out"] == 1
    assert "item_auc" not in set(result.table["metric"])


def test_item_auc_ranks_at_most_so_many_users(dataset, splits):
    result = compare({"random": Random}, dataset, splits[1:], max_auc_users=10)
    assert result.splits[0]["auc_users"] == 10
    assert result.splits[0]["test_users"] > 10
    figure = result.table.query("metric == 'item_auc'")
    assert figure["n"].tolist() == [result.splits[0]["auc_items"]]


@pytest.mark.slow
def test_tables_values_and_differences_agree(dataset, splits, oracle):
    models = {
        "popularity": Popularity,
        "oracle": lambda: oracle(dataset),
        "random": Random,
        "cheat": lambda: PopularityOracle(dataset),
    }
    result = compare(models, dataset, splits, controls={"cheat": "all is popularity"})
    assert result.models == list(models)
    assert result.baseline == "popularity"
    for row in result.table.to_dict("records"):
        k = None if pd.isna(row["k"]) else row["k"]
        assert row["control"] == (row["model"] == "cheat")
        if row["metric"] in ("coverage", "gini", NEW_SHOWN, NEW_SHOWN_TO_TEN, NEW_LARGEST_SHARE):
            assert 0 <= row["mean"] <= (row["n"] if row["metric"].startswith("new_shown") else 1)
            assert np.isnan([row["low"], row["high"]]).all()
            continue
        values = result.values[row["split"], row["candidates"], row["model"], row["metric"], k]
        assert row["mean"] == pytest.approx(np.nanmean(values))
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["n"] == np.isfinite(values).sum() > 0
        unit = "items" if row["metric"] in ITEM_METRICS else "users"
        assert len(result.units[row["split"], unit]) == len(values)
    best = result.differences.query("role == 'best' and split == 'cold' and metric == 'ndcg'")
    # Where new items are drawn anew in the places that a model gives them, a model that knows all
    # is no better than others, and as its lists are short here, worse than longer ones.
    best = best[best["candidates"].isin(["catalogue", "cold"])]
    assert set(best["against"]) == {"oracle"}
    row = best.query("model == 'random' and candidates == 'cold' and k == 10").iloc[0]
    key = ("cold", "cold", "{}", "ndcg", 10)
    expected = paired_difference(
        *(result.values[(*key[:2], name, *key[3:])] for name in ("random", "oracle"))
    )
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(expected)
    assert row["shown"]
    assert row["p"] <= row["p_corrected"] < 0.05
    same = result.difference("random", "oracle", split="cold", candidates="cold", k=10)
    assert same == pytest.approx(expected)


@pytest.mark.slow
def test_a_control_is_never_the_best(dataset, splits, oracle):
    models = {"popularity": Popularity, "known": lambda: oracle(dataset)}
    result = compare(models, dataset, splits, controls={"known": ""})
    assert set(result.differences.query("role == 'best'")["against"]) == {"popularity"}


@pytest.mark.slow
def test_same_seed_same_tables(dataset, splits):
    first, second = (compare({"random": Random}, dataset, splits, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(first.table, second.table)


@pytest.mark.slow
def test_json_has_everything_and_no_nan(dataset, splits):
    result = compare({"popularity": Popularity, "random": Random}, dataset, splits)
    text = json.dumps(result.to_dict(), allow_nan=False)
    back = json.loads(text)
    assert back["dataset"]["n_users"] == 40
    assert len(back["dataset"]["digest"]) == 64
    assert len(back["table"]) == len(result.table)
    assert {row["k"] for row in back["table"]} == {None, 10, 20}
    assert back["settings"]["seed"] == 0
    assert back["versions"]["numpy"] == np.__version__
    assert back["splits"][1]["settings"]["fraction"] == 0.4
    assert all(row["fit_seconds"] >= 0 for row in back["runs"])
    assert len(back["slices"]) == len(result.slices) > 0
    assert back["folds"] == []
    assert len(back["examples"]) == 10
    assert all(0 <= row["p_corrected"] <= 1 for row in back["differences"])


def test_arguments_are_checked(dataset, splits):
    models = {"random": Random}
    for wrong, message in (
        ({"models": {}}, "at least one model"),
        ({"splits": []}, "at least one model and one split"),
        ({"ks": ()}, "list lengths"),
        ({"ks": (0, 10)}, "list lengths"),
        ({"ks": (1.5,)}, r"ks must be list lengths, whole numbers of at least 1, not \(1.5,\)"),
        ({"ks": (True,)}, "list lengths"),
        ({"sampled": 2.5}, "sampled must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"examples": -1}, "examples must be a whole number"),
        ({"n_bootstrap": 0}, "n_bootstrap must be a whole number of at least 1"),
        ({"max_auc_users": 0}, "max_auc_users must be a whole number of at least 1"),
        ({"confidence": 95}, "confidence must lie between 0 and 1, not 95"),
        (
            {"models": {"a": Random()}},
            "model 'a' must be something that makes a fresh model when it is called, such as a"
            " class or a lambda, and not a Random itself",
        ),
        ({"embeddings": [[1.0]]}, "embeddings must be a DataFrame with the index item_id, not a l"),
        ({"embeddings": pd.DataFrame({"x": [1.0]}, index=["nothing"])}, "no item of the data set"),
        ({"embeddings": pd.DataFrame({"x": ["far"]}, index=["i0"])}, "column 'x' is not of numb"),
        ({"splits": [splits[0], splits[0]]}, "same name"),
        ({"controls": {"nobody": ""}}, "control 'nobody' is not among"),
        ({"baseline": "nobody"}, "baseline 'nobody' is not among"),
        ({"controls": {"random": ""}}, "every model is a control"),
    ):
        given = {"models": models, "splits": splits} | wrong
        with pytest.raises(InvalidArgumentError, match=message):
            compare(given.pop("models"), dataset, given.pop("splits"), **given)


def test_numpy_numbers_are_whole_numbers(dataset, splits):
    result = compare({"random": Random}, dataset, splits[:1], ks=np.array([5, 3]), seed=np.int64(1))
    assert result.ks == (3, 5)


def test_an_answer_that_is_no_table_is_refused(dataset, splits):
    class Lists(Popularity):
        def recommend_many(self, user_ids, k, **options):
            return super().recommend_many(user_ids, k, **options).to_dict("records")

    class Full(Popularity):
        """A table for lists, and none for the full ranking of new items."""

        def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
            found = super().recommend_many(user_ids, k, exclude_seen=exclude_seen, only=only)
            return found if exclude_seen else None

    for maker, split, kind in ((Lists, splits[0], "list"), (Full, splits[1], "NoneType")):
        with pytest.raises(EvaluationError) as raised:
            compare({"x": maker}, dataset, [split])
        assert str(raised.value) == (
            f"model 'x' on split '{split.name}': recommend_many must return a DataFrame of user_id,"
            f" rank, item_id and score, and returned a {kind}"
        )


def test_a_split_of_another_data_set_is_refused(dataset, make_dataset):
    other = make_dataset([("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")])
    with pytest.raises(EvaluationError, match="do not have"):
        compare({"random": Random}, other, [warm_split(dataset)])


def test_what_a_model_raises_says_where(dataset, splits):
    class Broken(Popularity):
        def fit(self, train):
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck") as caught:
        compare({"x": Broken}, dataset, splits)
    assert caught.value.__notes__ == ["while evaluating model 'x' on split 'warm'"]
    with pytest.raises(EvaluationError, match="int has no method fit"):
        compare({"x": int}, dataset, splits)


@pytest.mark.slow
def test_on_real_listening_item_auc_sees_through_popularity(real_mini):
    dataset = load_folder(real_mini)
    models = {
        "popularity": Popularity,
        "random": Random,
        "oracle": lambda: PopularityOracle(dataset),
    }
    split = cold_split(dataset, 0.5)
    result = compare(models, dataset, [split], controls={"oracle": ""}, ks=(3,))
    # Knowing true popularity makes lists look excellent and says nothing about who likes what.
    assert mean(result, "oracle", "ndcg", 3) > 2 * mean(result, "random", "ndcg", 3)
    assert mean(result, "oracle", "item_auc", None) == 0.5
    assert mean(result, "popularity", "item_auc", None) == 0.5
    assert mean(result, "random", "item_auc", None) == pytest.approx(0.5, abs=0.1)


def test_the_recall_of_audiences_is_measured_where_there_are_more_users_than_it_counts():
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{item}", 1.0)
        for user in range(120)
        for item in rng.choice(np.arange(user % 2, 24, 2), 8, replace=False)
    ]
    texts = {"artist": [f"a{n}" for n in range(24)]}
    dataset = dataset_of(rows, [f"i{n}" for n in range(24)], **texts)
    splits = [cold_split(dataset, among=set(dataset.items["item_id"]))]
    models = {"oracle": lambda: PopularityOracle(dataset), "random": Random}
    result = compare(models, dataset, splits, ks=(5,), n_bootstrap=100)
    figures = result.table.query("metric == 'audience_recall'").set_index("model")
    n_users = result.splits[0]["auc_users"]
    assert set(figures["candidates"]) == {"cold"}
    assert set(figures["k"]) == {100}
    assert figures.loc["oracle", "mean"] == pytest.approx(100 / n_users)  # the same for everybody
    assert (figures["n"] == result.splits[0]["auc_items"]).all()
    few = compare(models, dataset, splits, ks=(5,), n_bootstrap=100, max_auc_users=90)
    assert "audience_recall" not in set(few.table["metric"])
    assert "item_auc" in set(few.table["metric"])
