"""What is concluded of the audio on data sets built so that the answer is known."""

import numpy as np
import pandas as pd
import pytest

from evaluation.comparison.comparison import Comparison, compare
from evaluation.conclusions.summary import summarise
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.models.controls import (
    MODEL_CONTROLS,
    POPULARITY_ORACLE,
    RANDOM,
    SAME_FOR_EVERYBODY,
    SHUFFLED_AUDIO,
    STANDALONE_CONTROLS,
    SameForEverybody,
    control_name,
    shuffled,
)
from evaluation.splitting.cold import cold_split
from tests.helpers.known_answers import Content, world

WORKS = "the audio tells who plays what"
NOTHING = "The audio adds nothing beyond popularity here"
NOT_SHOWN = "It is not shown that the audio adds anything beyond popularity here"
BETTER = ("times as many hits as", "ranks better than", "where popularity finds none")


def compared(kind: str, seed: int, **options: int) -> Comparison:
    dataset, embeddings = world(kind, seed, **options)

    def hearing() -> Content:
        return Content(embeddings)

    models = {
        "content": hearing,
        "popularity": lambda: Popularity(seed),
        RANDOM: lambda: Random(seed),
        control_name("content", SHUFFLED_AUDIO): lambda: Content(shuffled(embeddings, seed)),
        control_name("content", SAME_FOR_EVERYBODY): lambda: SameForEverybody(hearing),
        POPULARITY_ORACLE: lambda: PopularityOracle(dataset, seed),
    }
    controls = STANDALONE_CONTROLS | {
        control_name("content", kind): MODEL_CONTROLS[kind]
        for kind in (SHUFFLED_AUDIO, SAME_FOR_EVERYBODY)
    }
    split = cold_split(dataset, 0.5, seed, among=set(dataset.interactions["item_id"]))
    metrics = ("precision", "ndcg", "item_auc")
    options = {"metrics": metrics, "n_bootstrap": 200, "examples": 0}
    return compare(models, dataset, [split], ks=(5,), controls=controls, **options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_audio_that_tells_the_taste_is_said_to(seed: int) -> None:
    headline, controls = summarise(compared("informative", seed))
    assert headline.startswith("On songs nobody has played, content finds ")
    assert "times as many hits as popularity" in headline
    assert WORKS in controls
    assert "nothing" not in controls
    assert "random is shown to be worse than content by item-wise AUC" in controls
    assert "popularity oracle is shown to be worse than content by nDCG" in controls


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_audio_that_knows_popularity_alone_is_not_taken_for_taste(seed: int) -> None:
    comparison = compared("popularity", seed)
    figures = comparison.figures()
    # Its lists look excellent, and are the same for everybody.
    best = figures["cold", "cold", "content", "ndcg", 5]
    assert best.low > figures["cold", "cold", "popularity", "ndcg", 5].high
    headline, controls = summarise(comparison)
    assert "content is not shown to know who plays what" in headline
    assert not any(words in headline for words in BETTER)
    assert controls.startswith((NOTHING, NOT_SHOWN))
    assert WORKS not in controls


@pytest.mark.slow
def test_with_items_enough_it_is_said_that_the_audio_adds_nothing() -> None:
    for seed in range(3):
        _, controls = summarise(compared("popularity", seed, n_users=250, n_items=250))
        assert controls.startswith(NOTHING)


@pytest.mark.slow
def test_noise_is_said_to_work_no_more_often_than_the_level_allows() -> None:
    n = 30
    claims = better = 0
    for seed in range(n):
        headline, controls = summarise(compared("noise", seed))
        claims += WORKS in controls
        better += any(words in headline for words in BETTER)
        assert (WORKS in controls) + (NOTHING in controls) + (NOT_SHOWN in controls) <= 1
    assert claims <= 0.05 * n
    assert better <= 0.05 * n


def test_what_is_personal_without_the_audio_is_not_put_down_to_it() -> None:
    """The model knows the taste from elsewhere; shuffling its audio changes nothing."""
    dataset, embeddings = world("informative", 0)
    models = {
        "content": lambda: Content(embeddings),
        "popularity": Popularity,
        # In place of what it hears it is given what it knew anyway.
        control_name("content", SHUFFLED_AUDIO): lambda: Content(embeddings + 1e-3),
    }
    controls = {control_name("content", SHUFFLED_AUDIO): "the audio adds nothing"}
    split = cold_split(dataset, 0.5, among=set(dataset.interactions["item_id"]))
    result = compare(models, dataset, [split], ks=(5,), controls=controls, n_bootstrap=200)
    _, text = summarise(result)
    assert (
        "with recordings dealt out at random it does as well: the audio adds nothing here" in text
    )
    assert WORKS not in text


@pytest.mark.slow
def test_two_models_that_differ_by_the_luck_of_few_songs_are_not_told_apart() -> None:
    """The same taste heard with other noise: over users one may win, over songs neither does."""
    told_apart = won = 0
    for seed in range(8):
        dataset, embeddings = world("informative", seed)
        noise = np.random.default_rng(seed).standard_normal((2, *embeddings.shape))
        models = {
            "one": lambda e=embeddings + 0.5 * noise[0]: Content(e),
            "other": lambda e=embeddings + 0.5 * noise[1]: Content(e),
            "popularity": Popularity,
        }
        split = cold_split(dataset, 0.3, seed, among=set(dataset.interactions["item_id"]))
        result = compare(models, dataset, [split], ks=(5,), n_bootstrap=200, examples=0)
        headline = summarise(result)[0]
        assert "times as many hits as popularity" in headline
        told_apart += "better than every other model" in headline
        won += result.difference("one", "other", split="cold", candidates="cold", k=5).shown
    assert told_apart == 0
    assert won > 1


def test_shuffled_gives_everybody_somebody_elses() -> None:
    own = pd.DataFrame({"x": range(50)}, index=[f"i{n}" for n in range(50)])
    dealt = shuffled(own, 3)
    assert list(dealt.index) == list(own.index)
    assert sorted(dealt["x"]) == list(range(50))
    assert (dealt["x"] != own["x"]).all()
    assert dealt.equals(shuffled(own, 3))
    assert not dealt.equals(shuffled(own, 4))
