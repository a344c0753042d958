import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.comparison.comparison import compare
from evaluation.metrics.hits import HitEncoder
from evaluation.metrics.sampling import SampledCandidates
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.warm import warm_split


def frame(pairs):
    return pd.DataFrame(pairs, columns=["user_id", "item_id"])


@pytest.fixture
def encoder():
    users = [f"u{n:02d}" for n in range(40)]
    items = [f"i{n:02d}" for n in range(30)]
    wanted = frame([(user, items[n % 30]) for n, user in enumerate(users)])
    seen = frame([(user, items[(n + 7) % 30]) for n, user in enumerate(users)])
    return HitEncoder(users, items, wanted, seen)


def test_candidates_are_all_that_is_relevant_and_others_that_the_user_does_not_have(encoder):
    drawn = SampledCandidates(encoder, 5, seed=0)
    assert set(drawn.sizes) == {6}
    for n, own in enumerate(drawn._candidates):
        assert n % 30 in own
        assert (n + 7) % 30 not in own
    again = SampledCandidates(encoder, 5, seed=0)
    other = SampledCandidates(encoder, 5, seed=1)
    assert all(map(np.array_equal, drawn._candidates, again._candidates))
    assert not all(map(np.array_equal, drawn._candidates, other._candidates))
    every = SampledCandidates(encoder, 99, seed=0)
    assert set(every.sizes) == {29}


def test_lists_keep_their_order_and_are_ranked_again(encoder):
    drawn = SampledCandidates(encoder, 5, seed=0)

    def ask(users, k, only):
        rows = [
            (user, rank, item, -float(rank))
            for user in users
            for rank, item in enumerate(sorted(only, reverse=True)[:k], 1)
        ]
        return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])

    answer = drawn.answer(ask, 3)
    for user, own in zip(encoder.users, drawn._candidates, strict=True):
        mine = answer[answer["user_id"] == user]
        assert mine["rank"].tolist() == [1, 2, 3]
        assert mine["item_id"].tolist() == sorted(encoder.items[own], reverse=True)[:3]


def test_items_that_were_not_asked_for_are_left_out_and_unknown_ids_are_for_the_judge(encoder):
    drawn = SampledCandidates(encoder, 5, seed=0)

    def asked(*strays):
        def ask(users, k, only):
            other = sorted(set(encoder.items) - set(only))[:1]
            rows = [(users[0], rank, item, -float(rank)) for rank, item in enumerate(other, 1)]
            frame = pd.DataFrame([*rows, *strays], columns=["user_id", "rank", "item_id", "score"])
            return frame.astype({"rank": "int64", "score": "float64"})

        return drawn.answer(ask, 3)

    assert len(asked()) == 0
    for stray, message in (
        (("u00", 1, "nowhere", 0.0), "'nowhere': the item is not among the candidates"),
        (("nobody", 1, "i00", 0.0), "'nobody', item 'i00': the user was not asked for"),
    ):
        with pytest.raises(EvaluationError, match=message):
            encoder.hits(asked(stray), 3)


@pytest.mark.slow
def test_sampled_figures_stand_beside_those_of_the_catalogue(tastes):
    dataset, _ = tastes
    models = {"popularity": Popularity, "random": Random}
    result = compare(models, dataset, [warm_split(dataset)], ks=(5,), sampled=10)
    assert set(result.table["candidates"]) == {"catalogue", "played", "sampled 10"}
    assert result.splits[0]["sampled"] == 10
    assert result.settings["sampled"] == 10
    # One relevant item in 3 or so among 13: a random list of 5 finds 5 / 13 of it, not 5 / 76.
    found = result.figures()
    n_relevant = result.splits[0]["test_rows"] / result.splits[0]["test_users"]
    sampled = found["warm", "sampled 10", "random", "recall", 5].mean
    assert sampled == pytest.approx(5 / (10 + n_relevant), abs=0.06)
    assert found["warm", "catalogue", "random", "recall", 5].mean < 0.15
    assert set(result.slices["candidates"]) == {"catalogue", "played"}
    with pytest.raises(InvalidArgumentError, match="sampled"):
        compare(models, dataset, [warm_split(dataset)], sampled=0)
    without = compare(models, dataset, [warm_split(dataset)], ks=(5,))
    assert without.splits[0]["sampled"] is None
    assert set(without.table["candidates"]) == {"catalogue", "played"}
