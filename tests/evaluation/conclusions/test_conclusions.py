"""What is said in words, on data whose answer is known."""

import re

import numpy as np
import pandas as pd
import pytest

from datasets.music import MusicDataset
from evaluation.comparison.comparison import compare
from evaluation.conclusions.summary import cautions, summarise
from evaluation.conclusions.wording import format_number, join_names
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.warm import warm_split
from tests.helpers.known_answers import Content

ADDS_NOTHING = "the audio adds nothing"


def shuffled(embeddings: pd.DataFrame) -> pd.DataFrame:
    order = np.random.default_rng(5).permutation(len(embeddings))
    return pd.DataFrame(embeddings.to_numpy()[order], index=embeddings.index)


def evaluate(dataset, embeddings, splits=("cold", "warm"), **options):
    made = {
        "cold": lambda: cold_split(dataset, 0.4, among=set(dataset.interactions["item_id"])),
        "warm": lambda: warm_split(dataset),
    }
    models = {
        "content": lambda: Content(embeddings),
        "popularity": Popularity,
        "random": Random,
        "shuffled": lambda: Content(shuffled(embeddings)),
        "oracle": lambda: PopularityOracle(dataset),
    }
    options.setdefault("controls", {"shuffled": ADDS_NOTHING, "oracle": ""})
    chosen = [made[name]() for name in splits]
    return compare(models, dataset, chosen, ks=(5,), **options)


@pytest.fixture(scope="module")
def informative(tastes):
    return evaluate(*tastes)


@pytest.fixture(scope="module")
def noise(tastes):
    dataset, embeddings = tastes
    values = np.random.default_rng(9).standard_normal(embeddings.shape)
    return evaluate(dataset, pd.DataFrame(values, index=embeddings.index))


@pytest.fixture(scope="module")
def popularity_alone(tastes):
    """Everybody draws from the same popularity; the embedding knows it, and nothing else."""
    dataset, _ = tastes
    rng = np.random.default_rng(2)
    names = dataset.items["item_id"].to_numpy()[:80]
    weight = 1 / np.arange(1, 81)
    plays = [
        (f"u{user}", item, 1.0)
        for user in range(150)
        for item in rng.choice(names, 10, replace=False, p=weight / weight.sum())
    ]
    frame = pd.DataFrame(plays, columns=["user_id", "item_id", "weight"])
    known = pd.DataFrame({0: np.append(weight, np.zeros(10))}, index=dataset.items["item_id"])
    return evaluate(MusicDataset(items=dataset.items, interactions=frame), known)


def test_audio_that_tells_the_taste(informative):
    cold, controls, warm = summarise(informative)
    assert cold.startswith("On songs nobody has played, content finds ")
    assert "times as many hits as popularity (nDCG@5 0." in cold
    assert cold.endswith("; it is shown to be better than every other model.")
    assert "chance is 50%" in controls
    assert controls.startswith("There, content is right 8")
    assert controls.endswith(
        "of the controls, shuffled and oracle are shown to be worse than content by item-wise AUC."
    )
    assert ADDS_NOTHING not in controls
    assert warm.startswith("On songs people play, content finds ")


def test_the_ratio_of_hits_is_that_of_the_figures(informative):
    figures = informative.figures()
    ratio = (
        figures["cold", "cold", "content", "precision", 5].mean
        / figures["cold", "cold", "popularity", "precision", 5].mean
    )
    assert f"finds {ratio:.1f} times as many hits" in summarise(informative)[0]


def test_audio_that_is_noise(noise):
    cold, controls, _ = summarise(noise)
    assert "no model is shown to beat popularity" in cold
    assert "not shown to be better than chance, 50%" in controls
    # By which of them is a matter of luck.
    assert re.search(
        f"not shown to be beaten by [a-z]+, so it may be that {ADDS_NOTHING}", controls
    )


def test_audio_that_knows_popularity_and_nothing_else(popularity_alone):
    _, controls, _ = summarise(popularity_alone)
    # Its lists are good, and the same for everybody: the item-wise AUC is not fooled.
    figures = popularity_alone.figures()
    better = figures["cold", "cold", "content", "ndcg", 5]
    assert better.low > figures["cold", "cold", "random", "ndcg", 5].high
    assert "not shown to be better than chance, 50%" in controls
    assert (
        "oracle is not shown to be beaten by content" in controls
        or "oracle does better" in controls
    )


def test_other_words_for_items_and_missing_splits(tastes):
    result = evaluate(*tastes, splits=("warm",), controls={})
    (only,) = summarise(result, noun="artists")
    assert only.startswith("On artists people play, ")
    assert cautions(result) == []
    cold = evaluate(*tastes, splits=("cold",), controls={})
    assert len(summarise(cold)) == 2
    assert summarise(cold)[1].endswith("; no control was run.")


def test_cautions_name_what_weakens_the_figures(tastes):
    dataset, _ = tastes

    class Warm(Popularity):
        onboard_many = None

    few = cold_split(dataset, 0.1, among=set(dataset.interactions["item_id"]))
    result = compare({"popularity": Popularity, "als": Warm}, dataset, [few], ks=(10,))
    # Lists of 10 say nothing about so few, so the item-wise AUC decides, and nobody is ahead.
    headline, controls = summarise(result)
    assert "is right 50% of the time when asked which of two people plays one" in headline
    assert "no difference from als is shown" in headline
    assert controls == "No control was run."
    text = "\n".join(cautions(result))
    n_cold = len(few.cold_items)
    assert f"has {n_cold} cold songs: a list of 10 holds most of them" in text
    assert f"that only {n_cold} songs were held out" in text
    assert "als cannot recommend what nobody has played; it counts 0 there" in text


def test_users_without_a_list_are_mentioned(tastes):
    dataset, embeddings = tastes

    class Half(Content):
        def recommend_many(self, user_ids, k, **options):
            return super().recommend_many(list(user_ids)[1:], k, **options)

    result = compare({"half": lambda: Half(embeddings)}, dataset, [warm_split(dataset)])
    n = result.splits[0]["test_users"]
    assert cautions(result) == [
        f"Split “warm”: half gave 1 of {n} users no list (whole catalogue); they count 0."
    ]


def test_listing_and_numbers():
    assert join_names(["a"]) == "a"
    assert join_names(["a", "b"]) == "a and b"
    assert join_names(["a", "b", "c, d"]) == "a, b and “c, d”"
    assert format_number(0.0) == "0.000"
    assert format_number(0.0004) == "<0.001"
    assert format_number(0.1236) == "0.124"
