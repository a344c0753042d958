import json

import numpy as np
import pytest

from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.split import Split
from evaluation.splitting.warm import warm_folds, warm_split


def test_an_example_by_hand(make_dataset, oracle):
    plays = [("a", "x", 1.0), ("a", "y", 5.0), ("a", "z", 2.0), ("b", "x", 1.0), ("b", "z", 1.0)]
    dataset = make_dataset([*plays, ("b", "y", 1.0)], artists={"x": "X"})
    test = np.array([2])
    split = Split("warm", "warm", np.setdiff1d(np.arange(6), test), test)
    result = compare({"oracle": lambda: oracle(dataset)}, dataset, [split], ks=(1,), examples=3)
    (example,) = result.examples
    assert (example.split, example.candidates, example.user_id) == ("warm", "catalogue", "a")
    assert example.ndcg == 1.0
    # The most played first.
    assert [song["item_id"] for song in example.played] == ["y", "x"]
    assert example.played[1] == {"item_id": "x", "title": "x", "artist": "X", "genre": ""}
    assert [song["item_id"] for song in example.held_out] == ["z"]
    assert example.lists == {
        "oracle": [
            {"item_id": "z", "title": "z", "artist": "artist of z", "genre": "", "hit": True}
        ]
    }


@pytest.mark.slow
def test_users_are_chosen_from_the_worst_to_the_best(tastes):
    dataset, _ = tastes
    splits = [warm_split(dataset), cold_split(dataset, among=set(dataset.interactions["item_id"]))]
    models = {
        "popularity": Popularity,
        "random": Random,
        "cheat": lambda: PopularityOracle(dataset),
    }
    result = compare(models, dataset, splits, ks=(5, 10), controls={"cheat": ""}, examples=7)
    assert [example.split for example in result.examples] == ["warm"] * 4 + ["cold"] * 3
    for split, candidates in (("warm", "catalogue"), ("cold", "cold")):
        shown = [example for example in result.examples if example.split == split]
        mean = np.mean(
            [
                result.values[split, candidates, model, "ndcg", 5]
                for model in models
                if model != "cheat"
            ],
            axis=0,
        )
        served = dict(zip(result.units[split, "users"], mean, strict=True))
        assert [example.ndcg for example in shown] == [served[example.user_id] for example in shown]
        assert shown[0].ndcg == mean.min()
        assert shown[-1].ndcg == mean.max()
        middle = shown[len(shown) // 2].ndcg
        assert np.quantile(mean, 0.3) <= middle <= np.quantile(mean, 0.8)
        test = dataset.interactions.iloc[next(s for s in splits if s.name == split).test_rows]
        for example in shown:
            assert set(example.lists) == {"popularity", "random"}
            liked = set(test.loc[test["user_id"] == example.user_id, "item_id"])
            assert {song["item_id"] for song in example.held_out} == liked
            for songs in example.lists.values():
                assert len(songs) == 5
                assert all(song["hit"] == (song["item_id"] in liked) for song in songs)
    assert json.dumps(result.to_dict()["examples"])


def test_examples_can_be_left_out_and_folds_show_those_of_the_first(tastes):
    dataset, _ = tastes
    folds = warm_folds(dataset, 2)
    assert compare({"random": Random}, dataset, folds, ks=(5,), examples=0).examples == ()
    shown = compare({"random": Random}, dataset, folds, ks=(5,), examples=2).examples
    assert [example.split for example in shown] == ["warm", "warm"]


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 500])
def test_there_are_no_more_examples_than_users(tastes, n):
    dataset, _ = tastes
    result = compare({"random": Random}, dataset, [warm_split(dataset)], ks=(5,), examples=n)
    users = [example.user_id for example in result.examples]
    assert len(users) == len(set(users)) == min(n, result.splits[0]["test_users"])
