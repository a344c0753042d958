"""A library without plays: its sound alone, its first plays, and the fit that these bring about."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from datasets.errors import DataError, EvaluationError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.music import MusicDataset
from evaluation import warm_split
from recsys import Recommender
from recsys.experiments.search import search_hyperparameters
from recsys.experiments.splits import named_splits
from tests.helpers.commands import Call
from tests.helpers.models import Tastes
from tests.helpers.recommenders import ALL_USERS, QUICK, dataset_of, own, taste_of
from tests.helpers.recordings import write_song

pytestmark = pytest.mark.usefixtures("decoded_here")

ENCODER = {
    "architecture": "IC(2,5,8)PF(16)O",
    "epochs": 1,
    "batch_size": 8,
    "snippet": {"seconds": 1.0},
    "hyperimage": {"height": 32, "width": 32, "n_fft": 1024, "tempogram_frames": 32},
}
ITEMS = [f"item-{n}" for n in range(80)]


@pytest.fixture(scope="module")
def fitted(tastes: Tastes) -> Recommender:
    """A model of the items without any plays; a test takes its own, in ``library``."""
    dataset, embeddings = tastes
    return Recommender(QUICK).fit(dataset.take_interactions([]), embeddings)


@pytest.fixture
def library(fitted: Recommender) -> Recommender:
    return own(fitted)


def share_of_taste(names: list[str], taste: int) -> float:
    return float((taste_of(names) == taste).mean())


# ---------------------------------------------------------------------- sound alone


def test_a_model_of_sound_alone(library: Recommender, tmp_path: Path) -> None:
    library.save(tmp_path / "model")
    for model in (library, Recommender.load(tmp_path / "model")):
        assert model.info["now"]["users"] == 0
        assert model.info["sources_left_out"] == (
            "als and fm stay out: nobody has played anything yet"
        )
        assert model.info["blend"]["warm"] == {"content": 1.0}
        for by in ("sound", "fused"):
            like = model.similar("item-4", k=20, by=by)["item_id"].tolist()
            assert share_of_taste(like, 1) == 1
        liked = model.recommend(history=["item-3", "item-6"], k=20)
        assert share_of_taste(liked["item_id"].tolist(), 0) == 1
        assert (liked["share_content"] == 1).all()
        assert not {"item-3", "item-6"} & set(liked["item_id"])
        with pytest.raises(InvalidArgumentError, match="knows taste: als and fm stay out: nobody"):
            model.similar("item-4", by="taste")
        why = model.explain(None, "item-9", history=["item-3"])
        assert (why.shares, why.taste) == ({"content": 1.0}, ())
        assert model.search("item-7")["item_id"].iloc[0] == "item-7"
        assert model.playlist(["item-2"], length=8)["item_id"].iloc[0] == "item-2"
        assert model.audience("item-2").attrs["empty"] == "the model has no users"


def test_somebody_of_whom_nothing_is_known(library: Recommender, tmp_path: Path) -> None:
    first = library.recommend("nobody", k=9)
    assert first.attrs["fallback"] == "varied"
    assert len(set(taste_of(first["item_id"].tolist()))) == 3
    assert (first["score"] == 0).all()
    many = library.recommend_many(["a", "b"], k=9)
    assert many.attrs["fallback_users"] == ["a", "b"]
    assert many["item_id"].tolist() == 2 * first["item_id"].tolist()
    assert list(library.recommend_batches(k=3)) == []
    assert library.write_recommendations(tmp_path / "all.parquet").rows == 0
    only = library.recommend("nobody", only=["item-5", "item-1"], exclude=["item-1"])
    assert only["item_id"].tolist() == ["item-5"]
    for options in ({"diversity": 0.5}, {"popularity_correction": 1.0}, {"per_artist": 1}):
        assert len(library.recommend("nobody", k=5, **options)) == 5


@pytest.mark.parametrize("method", ["screened", "pruned", "annoy"])
def test_other_indexes_need_no_users(tastes: Tastes, tmp_path: Path, method: str) -> None:
    dataset, embeddings = tastes
    model = Recommender(QUICK.replace(retrieval={"method": method}))
    model.fit(dataset.take_interactions([]), embeddings).save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    found = again.recommend(history=["item-3"], k=5)["item_id"].tolist()
    assert share_of_taste(found, 0) == 1
    assert len(again.recommend("nobody", k=5)) == 5


def test_there_is_nothing_to_evaluate(tastes: Tastes) -> None:
    unplayed = tastes[0].take_interactions([])
    with pytest.raises(EvaluationError, match="nobody has played anything: there is nothing to"):
        search_hyperparameters(unplayed, QUICK, embeddings=tastes[1])
    with pytest.raises(EvaluationError, match="nobody has played anything: there is nothing to"):
        named_splits(unplayed, ["warm"], fraction=0.2, folds=1, seed=0)


# ---------------------------------------------------------------------- the first plays


def test_the_first_plays_are_taken_in(library: Recommender, tmp_path: Path) -> None:
    library.save(tmp_path / "model")
    plays = [("ann", "item-3", 2.0), ("ann", "item-6", 1.0), ("bob", "item-3", 1.0)]
    table = pd.DataFrame(plays, columns=["user_id", "item_id", "weight"])
    report = library.update(table)
    assert (report.new_users, report.warmed) == (2, 2)
    for model in (library, Recommender.load(tmp_path / "model")):
        liked = model.recommend("ann", k=10)
        assert share_of_taste(liked["item_id"].tolist(), 0) == 1
        assert not {"item-3", "item-6"} & set(liked["item_id"])
        same = model.recommend(history={"item-3": 2, "item-6": 1}, k=10)
        pd.testing.assert_frame_equal(liked, same)
        popular = model.recommend("nobody", k=5)
        assert popular.attrs["fallback"] == "popular"
        assert popular["item_id"].tolist()[:2] == ["item-3", "item-6"]
        assert popular["score"].tolist() == [2, 1, 0, 0, 0]
        assert set(model.audience("item-9", k=5)["user_id"]) == {"ann", "bob"}
        assert model.explain("ann", "item-9").sound[0].item_id in ("item-3", "item-6")


def test_a_rebuild_with_one_user_learns_nothing(library: Recommender) -> None:
    table = pd.DataFrame({"user_id": "ann", "item_id": ["item-3", "item-6"], "weight": 1.0})
    library.update(table)
    before = library.recommend("ann", k=80)
    library.rebuild()
    pd.testing.assert_frame_equal(library.recommend("ann", k=80), before)
    assert library.info["sources_left_out"].endswith(
        "1 user has played two items or more, and 2 are needed"
    )


@pytest.mark.parametrize("saved", [False, True])
def test_a_rebuild_with_enough_plays_brings_all_sources_in(
    library: Recommender, tastes: Tastes, tmp_path: Path, saved: bool
) -> None:
    dataset, embeddings = tastes
    if saved:
        library.save(tmp_path / "model")
    library.onboard(item_id="late-1", title="Late", embedding=embeddings.loc["item-4"])
    library.update(dataset.interactions, batch_id="first")
    library.remove("item-70")
    library.rebuild()
    models = [library, Recommender.load(tmp_path / "model")] if saved else [library]
    for model in models:
        assert model.info["sources_left_out"] == ""
        assert list(model.info["blend"]["warm"]) == ["als", "fm", "content"]
        assert (model.info["now"]["users"], model.info["onboarded"]) == (120, 0)
        assert model.info["rebuilt"] == 1
        lists = model.recommend_many(ALL_USERS, k=5)
        right = taste_of(lists["user_id"]) == taste_of(lists["item_id"])
        assert right.mean() > 0.8
        assert share_of_taste(model.similar("item-4", k=5, by="taste")["item_id"].tolist(), 1) > 0.5
        assert model.search("late")["title"].tolist() == ["Late"]
        assert model.update(dataset.interactions, batch_id="first").plays == 0
        assert not (lists["item_id"] == "item-70").any()
    before = library.recommend_many(ALL_USERS, k=5)
    library.rebuild()  # a second time nothing is learned
    pd.testing.assert_frame_equal(library.recommend_many(ALL_USERS, k=5), before)


# ---------------------------------------------------------------------- few of everything


PLAYS = {
    "one play": [("ann", "item-0", 1.0)],
    "one user": [("ann", f"item-{n}", 1.0) for n in range(0, 30, 3)],
    "two users": [
        (u, f"item-{n}", 1.0) for u, n in (("ann", 0), ("ann", 3), ("bob", 1), ("bob", 4))
    ],
    "all items new but one": [(f"u{n}", "item-0", 1.0) for n in range(5)],
    "none new": [(f"u{n % 7}", f"item-{n}", 1.0) for n in range(80)],
}


@pytest.mark.parametrize("case", PLAYS)
@pytest.mark.parametrize("sources", [QUICK.sources, ("als", "fm", "ease", "content", "popularity")])
def test_few_plays(tastes: Tastes, tmp_path: Path, case: str, sources: tuple[str, ...]) -> None:
    config = QUICK.replace(sources=sources, fusion={"warm": None, "cold": None})
    dataset = dataset_of(PLAYS[case], ITEMS)
    model = Recommender(config).fit(dataset, tastes[1].loc[ITEMS])
    model.save(tmp_path / "model")
    user, item = PLAYS[case][0][:2]
    for one in (model, Recommender.load(tmp_path / "model")):
        liked = one.recommend(user, k=10)
        assert len(liked) == 10
        assert np.isfinite(liked["score"]).all()
        heard = one.recommend(history=["item-3", "item-6"], k=10)
        assert np.isfinite(heard["score"]).all()
        assert share_of_taste(one.similar("item-3", k=10, by="sound")["item_id"].tolist(), 0) == 1
        assert np.isfinite(one.similar("item-3", k=10)["score"]).all()
        assert len(one.audience("item-79", k=3)) >= 1
        assert one.explain(user, "item-79").item_id == "item-79"
        assert one.recommend("nobody", k=2)["item_id"].iloc[0] == item
        one.onboard(item_id="new", embedding=tastes[1].loc["cold-80"])
    if case in ("one play", "one user", "all items new but one"):
        names = liked["item_id"].tolist()
        # By sound: a single user has one taste. Noise of two of eight dimensions counts
        # as much as what tells tastes apart once these are standardised.
        assert share_of_taste(names, 0) >= 0.9


def test_an_artist_whose_every_song_is_new(tastes: Tastes) -> None:
    dataset, embeddings = tastes
    artists = np.where(taste_of(dataset.items["item_id"]) == 2, "Newcomer", "Known")
    known = dataset.items["item_id"][artists == "Known"]
    plays = dataset.interactions
    music = MusicDataset(
        dataset.items.assign(artist=artists), interactions=plays[plays["item_id"].isin(known)]
    )
    model = Recommender(QUICK).fit(music, embeddings)
    new = model.recommend("user-0", k=10, where={"artist": "Newcomer"})
    assert len(new) == 10
    assert new["cold"].all()
    assert np.isfinite(new["score"]).all()
    assert (model.similar("item-2", k=5)["artist"] == "Newcomer").all()
    assert len(model.audience("item-2", k=3)) == 3


def test_one_item(tmp_path: Path) -> None:
    vectors = pd.DataFrame([[1.0, 2.0]], index=["a"])
    for plays in ([], [("ann", "a", 1.0)]):
        model = Recommender(QUICK).fit(dataset_of(plays, ["a"]), vectors)
        model.save(tmp_path / "model", replace=True)
        for one in (model, Recommender.load(tmp_path / "model")):
            assert one.recommend("nobody")["item_id"].tolist() == ["a"]
            assert one.similar("a", by="sound").empty
            assert one.recommend(history=["a"]).empty
            assert one.recommend(history=["a"], exclude_seen=False)["item_id"].tolist() == ["a"]
        model.onboard(item_id="b", embedding=[2.0, 1.0])
        assert model.similar("b", by="sound")["item_id"].tolist() in (["a"], [])


@pytest.mark.parametrize("case", ["no sound", "no source"])
def test_nothing_at_all_to_learn_from(tastes: Tastes, case: str) -> None:
    dataset, embeddings = tastes
    unplayed = dataset.take_interactions([])
    if case == "no sound":
        with pytest.raises(DataError, match="nobody has played anything, and no item has a"):
            Recommender(QUICK).fit(unplayed, embeddings.iloc[:0])
    else:
        config = QUICK.replace(sources=("als",), fusion={"warm": None, "cold": None})
        with pytest.raises(DataError, match="none of the sources als goes without plays"):
            Recommender(config).fit(unplayed, embeddings)


# ---------------------------------------------------------------------- folders of recordings


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"encoder": ENCODER, "threads": 1, "tracking": False}))
    return path


def write_tone_or_noise(path: Path, number: int) -> Path:
    """Write a second of a tone for an even number, and of noise for an odd one."""
    noise = np.random.default_rng(number).standard_normal(11025)
    tone = np.sin(2 * np.pi * (220 + 5 * number) * np.arange(11025) / 11025)
    soundfile.write(path, 0.2 * noise if number % 2 else 0.4 * tone + 0.01 * noise, 11025)
    return path


def test_a_folder_of_untagged_recordings(tmp_path: Path, settings: Path, call: Call) -> None:
    folder, model = tmp_path / "music", tmp_path / "model"
    folder.mkdir()
    for number in range(6):
        write_tone_or_noise(folder / f"{number}.wav", number)
    other = write_tone_or_noise(tmp_path / "other.wav", 7)
    said = call("train", folder, "--out", model, "--config", settings)
    assert said.code == 0, said.err
    for line in (
        "als, fm, ease and popularity stay out: nobody has played anything yet",
        "no network was trained: a network needs recordings of at least two values of 'genre'",
        "songs are compared by statistics of their sound",
    ):
        assert line in said.out
        assert line in call("info", model).out
    for asked in ("1", other):
        rows = json.loads(call("similar", model, asked, "-k", "2", "--json").out)
        assert {row["item_id"] for row in rows} <= {"1", "3", "5"}
    text = call("recommend", model, "somebody").out
    assert "Nothing is known of 'somebody': these are songs of every kind." in text
    rows = json.loads(call("recommend", model, "--history", "0", "-k", "2", "--json").out)["items"]
    assert {row["item_id"] for row in rows} == {"2", "4"}
    assert call("songs", model).code == 0
    assert call("map", model, "--out", tmp_path / "map.html").code == 0
    said = call("onboard", model, other, "--item-id", "other")
    assert said.code == 0, said.err
    assert (
        json.loads(call("similar", model, "other", "-k", "1", "--json").out)[0]["item_id"] in "135"
    )
    plays = tmp_path / "plays.csv"
    plays.write_text("user_id,item_id,weight\nann,0,1\nann,2,3\nbob,1,1\nbob,3,1\n")
    assert call("update", model, plays).code == 0
    rows = json.loads(call("recommend", model, "ann", "-k", "1", "--json").out)["items"]
    assert rows[0]["item_id"] == "4"
    said = call("rebuild", model)
    assert (said.code, "stay out" in said.out) == (0, False)
    facts = json.loads(call("info", model, "--json").out)
    assert list(facts["blend"]["warm"]) == ["als", "fm", "ease", "content", "popularity"]
    assert facts["encoder"]["method"] == "statistics of sound"
    assert call("similar", model, other, "-k", "1").code == 0
    for command in (["compose", model, "--out", tmp_path / "x.wav", "--genre", "jazz"],
                    ["fine-tune", model, folder, "--out", tmp_path / "x"]):  # fmt: skip
        said = call(*command)
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert "songs are compared by statistics of sound" in said.err


def test_a_data_set_without_plays_is_not_evaluated(tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "music"
    write_song(folder / "a.wav", 1)
    for number in range(2):
        if number:
            (folder / "items.csv").write_text("item_id,title,artist,album,genre\na,,,,\n")
            (folder / "audio.csv").write_text("item_id,path\na,a.wav\n")
        said = call("evaluate", folder, "--out", tmp_path / "report", "--no-tracking")
        assert (said.code, "nobody has played anything" in said.err) == (1, True)
        assert not (tmp_path / "report").exists()
    assert len(load_folder(folder).items) == 1
    with pytest.raises(EvaluationError):
        warm_split(load_folder(folder))
