"""What is concluded of the audio on data sets built so that the answer is known."""

import numpy as np
import pandas as pd
import pytest

from evaluation.comparison.comparison import Comparison, compare
from evaluation.conclusions.summary import cautions, findings, summarise
from evaluation.conclusions.verdict import LEAST_SHARE, Verdict, judge
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
from evaluation.splitting.mixed import mixed_split
from evaluation.splitting.warm import warm_split
from tests.helpers.known_answers import Budgeted, Content, world
from tests.helpers.thorough import times

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
@pytest.mark.parametrize("seed", range(times(2, 4)))
def test_audio_that_tells_the_taste_is_said_to(seed: int) -> None:
    headline, controls = summarise(compared("informative", seed))
    assert headline.startswith(
        "On songs nobody has played, content ranks better than popularity, which knows nothing of"
    )
    assert "times" not in headline
    assert WORKS in controls
    assert "nothing" not in controls
    assert "random is shown to be worse than content by item-wise AUC" in controls
    assert "popularity oracle is shown to be worse than content by nDCG" in controls


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(times(2, 4)))
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
    for seed in range(times(1, 3)):
        _, controls = summarise(compared("popularity", seed, n_users=250, n_items=250))
        assert controls.startswith(NOTHING)


@pytest.mark.slow
def test_noise_is_said_to_work_no_more_often_than_the_level_allows() -> None:
    n = times(10, 30)
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
        assert "ranks better than popularity, which knows nothing of them" in headline
        told_apart += "better than every other model" in headline
        won += result.difference("one", "other", split="cold", candidates="cold", k=5).shown
    assert told_apart == 0
    assert won > 1


def judged(
    kind: str, seed: int = 0, *, budget: float = 0.1, share: float = 0.4, fit: bool = True
) -> tuple[Verdict, Comparison]:
    """The verdict on "hybrid", which hears the items as ``world`` says and shows new ones."""
    dataset, embeddings = world(kind, seed)

    def hearing(vectors: pd.DataFrame = embeddings) -> Content:
        return Budgeted(vectors, budget)

    noise = shuffled(embeddings, seed)
    models = {
        "hybrid": hearing if fit else (lambda: hearing(noise)),
        "popularity": lambda: Popularity(seed),
        RANDOM: lambda: Random(seed),
        control_name("hybrid", SHUFFLED_AUDIO): lambda: hearing(noise),
    }
    controls = {RANDOM: "", control_name("hybrid", SHUFFLED_AUDIO): ""}
    among = set(dataset.interactions["item_id"])
    splits = [
        mixed_split(dataset, share, seed, among=among),
        cold_split(dataset, share, seed, among=among),
        warm_split(dataset, 0.2, seed),
    ]
    metrics = ("ndcg", "item_auc")
    result = compare(
        models, dataset, splits, ks=(5,), controls=controls, metrics=metrics, n_bootstrap=200,
        examples=0, budgets=(0.05,),
    )  # fmt: skip
    return judge(result), result


def states(verdict: Verdict) -> list[str]:
    return [tile.state for tile in verdict.tiles]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_what_works_is_shipped(seed: int) -> None:
    verdict, result = judged("informative", seed)
    assert verdict.outcome == "ship", verdict
    assert verdict.model == "hybrid"
    assert states(verdict) == ["good"] * 4
    assert verdict.reason == (
        "hybrid is ready: better than popularity, and no other model is shown to be better; new"
        " songs are shown, and better ones than at random; the audio tells who plays what."
    )
    figures, frontier = verdict.tiles[1].figures, result.frontier
    own = frontier[frontier["discovery"].isna() & ~frontier["at_random"]]
    own = own[(own["model"] == "hybrid") & (own["split"] == "mixed")].iloc[0]
    assert figures["share"] == own["share"]
    assert figures["shown"] == own["shown"]
    assert figures["cost"] == pytest.approx(own["cost"])
    assert verdict.tiles[1].value == f"{own['share']:.1%}"
    first = summarise(result)[0]
    assert first.startswith(
        f"In lists of 5 of everything, hybrid gives new songs {own['share']:.1%}"
    )
    assert f"{own['shown']:.0f} of {figures['new_items']} are shown to somebody" in first
    assert "It costs nothing of the nDCG of both kinds together" in first  # all scores are right


@pytest.mark.slow
def test_a_model_that_shows_no_new_song_is_not_shipped() -> None:
    verdict, _ = judged("informative", budget=-5.0)
    assert states(verdict) == ["good", "bad", "good", "good"]
    assert verdict.outcome == "not yet"
    assert verdict.reason == "hybrid is not ready: no new song is in anybody’s list."
    assert verdict.tiles[1].figures["share"] == 0 < LEAST_SHARE


@pytest.mark.slow
def test_one_song_for_everybody_is_not_shipped() -> None:
    dataset, embeddings = world("informative", 0)
    among = set(dataset.interactions["item_id"])
    split = mixed_split(dataset, 0.4, among=among)
    hit = split.cold_items[0]

    class Hit(Budgeted):
        def recommend_many(self, user_ids, k, **options):
            lists = super().recommend_many(user_ids, k, **options)
            if options.get("only") is None:
                lists.loc[(lists["rank"] == 1) & ~self.has(lists, hit), "item_id"] = hit
            return lists

        def has(self, lists, item):
            return lists.groupby("user_id")["item_id"].transform(lambda ids: (ids == item).any())

    result = compare(
        {"hybrid": lambda: Hit(embeddings), "popularity": Popularity}, dataset, [split], ks=(5,),
        n_bootstrap=200, examples=0,
    )  # fmt: skip
    tile = judge(result).tiles[1]
    assert (tile.state, tile.answer) == ("bad", "One new song is in 100% of the lists.")
    assert tile.figures["largest_share"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "popularity"])
def test_audio_that_says_nothing_of_taste_is_never_shipped(kind: str) -> None:
    for seed in range(times(1, 3)):
        verdict, _ = judged(kind, seed)
        assert verdict.outcome != "ship"
        assert verdict.tiles[2].state != "good"
        assert "tells who plays what" not in verdict.reason


@pytest.mark.slow
def test_from_few_songs_there_is_no_verdict_about_audio() -> None:
    """Whatever five songs look like, nothing is claimed of them in words."""
    dataset, embeddings = world("informative", 0)
    among = sorted(dataset.interactions["item_id"].value_counts().index[:40])
    splits = [
        cold_split(dataset, 0.13, 0, among=among, by="item"),
        warm_split(dataset),
    ]
    models = {
        "hybrid": lambda: Content(embeddings),
        "popularity": Popularity,
        RANDOM: Random,
        control_name("hybrid", SHUFFLED_AUDIO): lambda: Content(shuffled(embeddings, 0)),
    }
    controls = {RANDOM: "", control_name("hybrid", SHUFFLED_AUDIO): ""}
    result = compare(models, dataset, splits, ks=(2,), controls=controls, n_bootstrap=200)
    n = len(splits[0].cold_items)
    assert n == 5
    verdict = judge(result)
    assert verdict.outcome == "cannot tell"
    assert verdict.reason == (
        "Whether hybrid is ready cannot be told: only 5 new songs (at least 30 are needed)."
    )
    auc = verdict.tiles[2]
    assert (auc.state, auc.value) == ("unknown", "–")
    assert auc.answer == "No verdict about audio from 5 new songs: at least 30 are needed."
    said = " ".join([*summarise(result), *findings(result), *cautions(result), verdict.reason])
    for claim in ("% of the time", "is right", "tells who", "adds nothing", "chance"):
        assert claim not in said
    warm = summarise(result)[-1]
    assert said.count("times as many hits as popularity") == warm.count("times as many hits")


@pytest.mark.slow
def test_where_a_random_order_is_not_beaten_there_is_no_claim() -> None:
    claims = 0
    for seed in range(3, times(4, 6)):
        verdict, result = judged("noise", seed)
        said = " ".join([*summarise(result), verdict.reason])
        claims += "is right" in said or WORKS in said
        assert verdict.tiles[2].state in ("bad", "unknown")
        assert "times as many hits as popularity" not in " ".join(summarise(result)[:-1])
    assert claims == 0


def test_shuffled_gives_everybody_somebody_elses() -> None:
    own = pd.DataFrame({"x": range(50)}, index=[f"i{n}" for n in range(50)])
    dealt = shuffled(own, 3)
    assert list(dealt.index) == list(own.index)
    assert sorted(dealt["x"]) == list(range(50))
    assert (dealt["x"] != own["x"]).all()
    assert dealt.equals(shuffled(own, 3))
    assert not dealt.equals(shuffled(own, 4))
