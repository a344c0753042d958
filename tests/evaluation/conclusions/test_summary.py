"""The summary, the findings and the cautions, on data whose answer is known."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from datasets.music import MusicDataset
from evaluation.comparison.comparison import Comparison, compare
from evaluation.conclusions.summary import cautions, findings, summarise
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.report.tables import ReportTables
from evaluation.splitting.cold import cold_split, cold_user_split, semi_cold_split
from evaluation.splitting.temporal import time_split
from evaluation.splitting.warm import warm_split
from tests.helpers.known_answers import Content, world

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


@pytest.mark.slow
def test_audio_that_tells_the_taste(informative):
    cold, controls, warm = summarise(informative)
    assert cold.startswith(
        "On songs nobody has played, content ranks better than popularity, which knows nothing of"
        " them (nDCG@5 0."
    )
    assert "times" not in cold
    assert cold.endswith("; it is shown to be better than every other model.")
    assert "chance is 50%" in controls
    assert controls.startswith("There, content is right 8")
    assert controls.endswith(
        "of the controls, shuffled and oracle are shown to be worse than content by item-wise AUC."
    )
    assert ADDS_NOTHING not in controls
    assert warm.startswith("On songs people play, content finds ")


@pytest.mark.slow
def test_the_ratio_of_hits_is_that_of_the_figures(informative):
    figures = informative.figures()
    ratio = (
        figures["warm", "catalogue", "content", "precision", 5].mean
        / figures["warm", "catalogue", "popularity", "precision", 5].mean
    )
    assert f"finds {ratio:.1f} times as many hits" in summarise(informative)[-1]


@pytest.mark.slow
def test_audio_that_is_noise(noise):
    cold, controls, _ = summarise(noise)
    assert "no model is shown to beat popularity" in cold
    assert " is not shown to know who plays what (item-wise AUC 0." in controls
    assert "is right" not in controls
    # By which of them is a matter of luck.
    assert re.search(
        f"not shown to be beaten by [a-z]+, so it may be that {ADDS_NOTHING}", controls
    )


@pytest.mark.slow
def test_audio_that_knows_popularity_and_nothing_else(popularity_alone):
    _, controls, _ = summarise(popularity_alone)
    # Its lists are good, and the same for everybody: the item-wise AUC is not fooled.
    figures = popularity_alone.figures()
    better = figures["cold", "cold", "content", "ndcg", 5]
    assert better.low > figures["cold", "cold", "random", "ndcg", 5].high
    assert " is not shown to know who plays what (item-wise AUC 0." in controls
    assert "is right" not in controls
    assert (
        "oracle is not shown to be beaten by content" in controls
        or "oracle does better" in controls
    )


@pytest.mark.slow
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
    # Of so few nothing is claimed, neither for audio nor against it.
    (headline,) = summarise(result)
    n_auc = result.splits[0]["auc_items"]
    assert headline == (
        "On songs nobody has played, nothing can be said of who plays what: only"
        f" {n_auc} could be tested, and at least 30 are needed."
    )
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


@pytest.fixture(scope="module")
def everything() -> Comparison:
    """All kinds of splits of listening by taste, which the content model hears."""
    dataset, embeddings = world("informative", 0)
    plays = dataset.interactions
    days = np.random.default_rng(0).integers(0, 1000, len(plays))
    plays = plays.assign(
        timestamp=pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(days, "D")
    )
    dataset = MusicDataset(items=dataset.items, interactions=plays)
    everywhere = set(plays["item_id"])
    splits = [
        warm_split(dataset),
        cold_split(dataset, 0.4, among=everywhere),
        cold_split(dataset, 0.4, 1, by="item", among=everywhere, name="again"),
        semi_cold_split(dataset, 1, 0.3, among=everywhere),
        time_split(dataset, 0.3),
        cold_user_split(dataset, 0.3),
    ]
    models = {"content": lambda: Mixed(embeddings), "popularity": Popularity, "random": Random}
    return compare(
        models, dataset, splits, ks=(5,), n_bootstrap=200, sampled=20, controls={"random": ""}
    )


class Mixed(Content):
    """Content, with the popular items for somebody unknown."""

    def fit(self, dataset: MusicDataset) -> None:
        super().fit(dataset)
        self.popular = Popularity().fit(dataset)

    def onboard_many(self, dataset: MusicDataset) -> None:
        super().onboard_many(dataset)
        self.popular.onboard_many(dataset)

    def recommend_many(self, user_ids, k, **filters) -> pd.DataFrame:
        known = [user for user in user_ids if user in self.users.index]
        if not known:
            return self.popular.recommend_many(user_ids, k, **filters)
        return super().recommend_many(known, k, **filters)


@pytest.mark.slow
def test_every_other_split_gets_a_sentence(everything: Comparison) -> None:
    texts = findings(everything)
    assert len(summarise(everything)) == 3
    again, semi_cold, time, users = texts[:4]
    assert again.startswith(
        "On songs nobody has played (split “again”), content ranks better than popularity, which"
        " knows nothing of them"
    )
    assert semi_cold.startswith("On songs of which hardly a play is known, content ranks ")
    assert time.startswith("On what was played later, content finds ")
    # Nothing is known of them, so both give what is popular, but for the order of equals.
    assert users.startswith("For users who were not there in training, no model is shown to beat")


@pytest.mark.slow
def test_the_best_is_among_the_semi_cold_songs(everything: Comparison) -> None:
    semi_cold = findings(everything)[1]
    figures = everything.figures()
    split = next(facts["name"] for facts in everything.splits if facts["kind"] == "semi-cold")
    assert f"nDCG@5 {figures[split, 'thin', 'content', 'ndcg', 5].mean:.3f}" in semi_cold


@pytest.mark.slow
def test_few_semi_cold_songs_are_ranked_in_the_whole_catalogue() -> None:
    dataset, embeddings = world("informative", 0)
    split = semi_cold_split(dataset, 1, 0.1, among=set(dataset.interactions["item_id"]))
    n_thin = len(split.few_shot_items)
    models = {"content": lambda: Content(embeddings), "random": Random}
    for k, few in ((n_thin // 2 - 1, False), (-(-n_thin // 2), True)):
        result = compare(models, dataset, [split], ks=(k,), n_bootstrap=200, baseline="random")
        (text,) = summarise(result)
        ranked = "catalogue" if few else "thin"
        own = result.figures()[split.name, ranked, "content", "ndcg", k].mean
        assert f"nDCG@{k} {own:.3f}" in text
        assert (", ranked in the whole catalogue, content" in text) == few
        lists = f"has {n_thin} semi-cold songs: a list of {k} holds most of them, whoever makes it."
        assert any(lists in caution for caution in cautions(result)) == few
        tables = ReportTables(result, "songs")
        assert tables.deciding_candidates(split.name) == ranked
        assert tables.leading_column().candidates == ranked


class Either:
    """Content where it is asked for certain items, and luck where for any; or the reverse."""

    def __init__(self, embeddings: pd.DataFrame, among_some: bool) -> None:
        self.models = (Random(), Content(embeddings))
        self.among_some = among_some

    def fit(self, dataset: MusicDataset) -> None:
        for model in self.models:
            model.fit(dataset)

    def recommend_many(self, user_ids, k, *, only=None, **filters) -> pd.DataFrame:
        model = self.models[(only is not None) == self.among_some]
        return model.recommend_many(user_ids, k, only=only, **filters)


def test_the_best_among_semi_cold_songs_may_be_worse_among_all() -> None:
    dataset, embeddings = world("informative", 0)
    split = semi_cold_split(dataset, 1, 0.4, among=set(dataset.interactions["item_id"]))
    models = {
        "some": lambda: Either(embeddings, True),
        "all": lambda: Either(embeddings, False),
    }
    result = compare(models, dataset, [split], ks=(3,), n_bootstrap=200, baseline="all")
    figures = result.figures()
    own, other = (figures[split.name, "catalogue", m, "ndcg", 3].mean for m in ("some", "all"))
    (text,) = summarise(result)
    assert text.startswith("On songs of which hardly a play is known, some ranks better than all ")
    assert (
        ". That is among themselves: in the whole catalogue some is shown to be worse than all"
        f" (nDCG@3 {own:.3f}, against {other:.3f}, corrected p < 0.001)."
    ) in text


@pytest.mark.slow
def test_models_that_are_worse_than_the_baseline_are_named() -> None:
    dataset, embeddings = world("informative", 0)
    splits = [cold_user_split(dataset, 0.5), warm_split(dataset)]
    models = {"content": lambda: Mixed(embeddings), "odd": Random, "popularity": Popularity}
    result = compare(models, dataset, splits, ks=(5,), n_bootstrap=200, baseline="content")
    (text,) = summarise(result)
    own = result.figures()["warm", "catalogue", "odd", "ndcg", 5].mean
    assert "no model is shown to beat content (nDCG@5 " in text
    assert text.endswith(
        "; odd and popularity are shown to be worse than content (largest corrected p < 0.001)."
    )
    del models["popularity"]
    result = compare(models, dataset, splits, ks=(5,), n_bootstrap=200, baseline="content")
    (text,) = summarise(result)
    assert text.endswith(
        f"; odd is shown to be worse than content (nDCG@5 {own:.3f}, corrected p < 0.001)."
    )


@pytest.mark.slow
@pytest.mark.parametrize("control", [False, True])
def test_one_model_alone_beats_nobody(control: bool) -> None:
    dataset, embeddings = world("informative", 0)
    everywhere = set(dataset.interactions["item_id"])
    splits = [
        warm_split(dataset),
        cold_split(dataset, 0.4, among=everywhere),
        cold_split(dataset, 0.1, among=everywhere, name="few"),
    ]
    models = {"content": lambda: Content(embeddings)} | ({"random": Random} if control else {})
    given = {"random": ""} if control else {}
    result = compare(models, dataset, splits, ks=(5,), n_bootstrap=200, controls=given)
    cold, _, warm = summarise(result)
    for text in (cold, warm, findings(result)[0]):
        assert text.endswith("; no other model was measured.")
        assert "beat" not in text
        assert "better than every other" not in text
    assert warm.startswith("On songs people play, content has nDCG@5 0.")


def test_slices_of_the_warm_split_are_spoken_of(everything: Comparison) -> None:
    text = " ".join(findings(everything))
    assert "On songs people play, the gain of content over popularity is shown for" in text


def _slices(by: str, rows: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """{slice: (mean of content, mean of popularity)}, each ± 0.01."""
    return pd.DataFrame(
        [
            ("warm", "catalogue", model, False, by, name, "ndcg", 5, m, m - 0.01, m + 0.01, 50)
            for name, pair in rows.items()
            for model, m in zip(("content", "popularity"), pair, strict=True)
        ],
        columns=[
            "split", "candidates", "model", "control", "by", "slice", "metric", "k",
            "mean", "low", "high", "n",
        ],
    )  # fmt: skip


def test_a_gain_in_the_tail_alone_is_said_to_be_there_alone(everything: Comparison) -> None:
    rows = {"head": (0.30, 0.31), "middle": (0.20, 0.19), "tail": (0.15, 0.05)}
    text = findings(replace(everything, slices=_slices("popularity", rows)))[-1]
    assert text == (
        "On songs people play, the gain of content over popularity is shown for the tail only"
        " (nDCG@5 0.050 to 0.150) and is not shown for the most popular songs and the songs in the"
        " middle."
    )
    rows = {"light": (0.30, 0.40), "heavy": (0.20, 0.10)}
    text = findings(replace(everything, slices=_slices("listeners", rows)))[-1]
    assert text == (
        "On songs people play, the gain of content over popularity is shown for heavy listeners"
        " only (nDCG@5 0.100 to 0.200) and is a loss for light listeners."
    )
    rows = {"light": (0.30, 0.30), "heavy": (0.20, 0.20)}
    nothing = findings(replace(everything, slices=_slices("listeners", rows)))
    assert not any("the gain of" in text for text in nothing)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (0.30, "“a, b” still gains from more plays (nDCG 0.200 to 0.300 with 50 to 100 plays)."),
        (0.21, "“a, b” is not shown to gain from more plays (nDCG 0.200 to 0.210 "),
        (0.10, "“a, b” loses with more plays (nDCG 0.200 to 0.100 with 50 to 100 plays)."),
    ],
)
def test_the_learning_curve_in_words(everything: Comparison, last: float, words: str) -> None:
    rows = [
        ("a, b", fraction, plays, "ndcg", 10, mean, mean - 0.02, mean + 0.02)
        for fraction, plays, mean in ((0.5, 50, 0.2), (1.0, 100, last), (0.1, 10, 0.5))
    ]
    columns = ["model", "fraction", "interactions", "metric", "k", "mean", "low", "high"]
    text = findings(everything, curve=pd.DataFrame(rows, columns=columns))[-1]
    assert text.replace("from 0", "0").startswith(words)


def test_sampled_candidates_are_warned_of(everything: Comparison) -> None:
    (text,) = [text for text in cautions(everything) if "sampled" in text]
    assert text.startswith("“sampled 20” ranks what is relevant among a few songs drawn at random")


def test_few_semi_cold_songs_are_warned_of(everything: Comparison) -> None:
    (split,) = (facts for facts in everything.splits if facts["kind"] == "semi-cold")
    begin = f"The intervals of split “{split['name']}” are over users; that only "
    (text,) = [text for text in cautions(everything, "tunes") if text.startswith(begin)]
    assert text.startswith(f"{begin}{split['thin_items']} tunes were held out")


def test_without_warm_and_cold_the_first_split_is_the_summary() -> None:
    dataset, embeddings = world("informative", 0)
    split = cold_user_split(dataset, 0.3)
    models = {"content": lambda: Mixed(embeddings), "popularity": Popularity}
    (only,) = summarise(compare(models, dataset, [split], ks=(5,), n_bootstrap=200))
    assert only.startswith("For users who were not there in training")
