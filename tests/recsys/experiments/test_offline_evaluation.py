"""An evaluation from a data set to a report: splits by name, what is kept, what is passed on."""

import json
from pathlib import Path

import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.splitting.split import Split
from recsys.experiments import offline_evaluation
from recsys.experiments.embeddings import cached_embeddings, embedding_map
from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate
from recsys.experiments.splits import SPLIT_KINDS, named_splits
from tests.helpers.known_answers import world
from tests.helpers.recommenders import QUICK


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> MusicDataset:
    """Listening by taste with times; every item has a (blank) recording, as cold splits ask for."""
    folder = tmp_path_factory.mktemp("recordings")
    dataset, _ = world("informative", 0)
    names = dataset.items["item_id"].to_list()
    for name in names:
        (folder / f"{name}.wav").touch()
    audio = pd.DataFrame({"item_id": names, "path": [f"{name}.wav" for name in names]})
    times = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(
        range(len(dataset.interactions)), "h"
    )
    plays = dataset.interactions.sample(frac=1, random_state=0).assign(timestamp=times)
    return MusicDataset(dataset.items, audio, plays, folder)


@pytest.fixture(scope="module")
def deaf() -> MusicDataset:
    """The same without recordings, so that nothing is trained."""
    return world("informative", 0)[0]


IN_FOLDS = {"warm", "cold", "cold-items", "time", "users"}
"""Splits that can be had in folds."""


def made(dataset: MusicDataset, *names: str, folds: int = 1) -> list[Split]:
    splits, remarks = named_splits(dataset, names, fraction=0.2, folds=folds, seed=0)
    assert remarks == []
    return splits


def test_every_kind_by_name(heard: MusicDataset) -> None:
    for name in SPLIT_KINDS:
        (first, *_) = made(heard, name)
        first.check(heard)
        assert (first.group or first.name) == name


def test_a_number_behind_a_colon(heard: MusicDataset) -> None:
    (thin,) = made(heard, "semi-cold:3")
    assert thin.name == "semi-cold 3"
    kept = heard.interactions.iloc[thin.train_rows]["item_id"].value_counts()
    assert set(kept[list(thin.few_shot_items)]) == {3}
    (last,) = made(heard, "last:2")
    assert heard.interactions.iloc[last.test_rows]["user_id"].value_counts().max() == 2
    (none,) = made(heard, "cold-users:0")
    assert (none.name, len(none.fold_in_rows)) == ("cold-users 0", 0)
    (given,) = made(heard, "cold-users:4")
    assert set(heard.interactions.iloc[given.fold_in_rows]["user_id"].value_counts()) == {4}
    assert [split.group for split in made(heard, "time:3")] == ["time 3"] * 3


def test_folds_of_what_can_be_had_in_folds(heard: MusicDataset) -> None:
    for name in SPLIT_KINDS:
        splits = made(heard, name, folds=3)
        assert len(splits) == (3 if name in IN_FOLDS else 1), name
    assert len(made(heard, "users")) == 5


def test_what_cannot_be_made_is_said(deaf: MusicDataset) -> None:
    splits, remarks = named_splits(deaf, ["time", "warm"], fraction=0.2, folds=1, seed=0)
    assert [split.name for split in splits] == ["warm"]
    assert len(remarks) == 1
    assert remarks[0].startswith("Not measured: split “time”: the interactions have no times")
    with pytest.raises(EvaluationError) as raised:
        named_splits(deaf, ["time", "cold"], fraction=0.2, folds=1, seed=0)
    assert str(raised.value) == (
        "nothing can be measured: split “time”: the interactions have no times: a split by time"
        " needs the column 'timestamp'; split “cold”: a cold split needs at least two artists with"
        " a recording that somebody has listened to; there are 0"
    )


@pytest.mark.parametrize("rows", ["none", "of weight 0"])
def test_songs_that_nobody_has_played_are_one_error_and_leave_nothing(
    heard: MusicDataset, tmp_path: Path, rows: str
) -> None:
    plays = heard.interactions.iloc[:0] if rows == "none" else heard.interactions.assign(weight=0.0)
    dataset = MusicDataset(heard.items, heard.audio, plays, heard.root)
    with pytest.raises(EvaluationError, match="nobody has played anything"):
        evaluated(dataset, tmp_path / "new", splits=["warm", "cold"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["frosty"], "no split 'frosty'; there are: warm, cold, cold-items"),
        (["warm:2"], "no number can follow 'warm'"),
        (["last:two"], "a whole number can follow the colon, as in last:2"),
        (["last:"], "a whole number"),
        (["last:0"], "split 'last:0': the number behind last must be at least 1"),
        (["time:0"], "the number behind time must be at least 1"),
        (["warm", "semi-cold:0"], "the number behind semi-cold must be at least 1"),
        (["warm", "warm"], "named twice: warm, warm"),
    ],
)
def test_names_that_are_none(deaf: MusicDataset, names: list[str], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        named_splits(deaf, names, fraction=0.2, folds=1, seed=0)


def evaluated(dataset: MusicDataset, out: Path, **options: object) -> dict:
    given = {"models": ["als", "popularity"], "splits": ["warm"], "genre_folds": 0, "ks": (5,)}
    encoders = options.pop("encoders", None)
    evaluate(dataset, out, QUICK, EvaluationConfig(**(given | options)), encoders=encoders)
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_folds_samples_and_the_curve_reach_the_report(deaf: MusicDataset, tmp_path: Path) -> None:
    report = evaluated(
        deaf, tmp_path, splits=["warm", "semi-cold:2"], folds=2, sampled=20, learning_curve=True
    )
    assert {row["folds"] for row in report["folds"] if row["split"] == "warm"} == {2}
    assert "sampled 20" in {row["candidates"] for row in report["table"]}
    assert next(row["fraction"] for row in report["curve"] if row["model"] == "als") == 0.1
    # Semi-cold items are among those with a recording.
    assert any("Not measured" in note for note in report["notes"])
    # Nothing is held out whole: no control is needed.
    assert report["controls"] == {}
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ks": (0,)}, "ks must be list lengths"),
        ({"ks": ()}, "ks must be list lengths"),
        ({"ks": (5, 1.5)}, "ks must be list lengths"),
        ({"sampled": 0}, "sampled must be a whole number of at least 1, not 0"),
        ({"models": ["als", "magic"]}, "no model 'magic'"),
        ({"models": []}, "no model is named"),
        ({"models": ["popular", "popularity"]}, "named twice: popular, popularity"),
        ({"splits": ["warm", "frosty"]}, "no split 'frosty'"),
        ({"splits": []}, "no split is named"),
        ({"splits": ["warm", "last:0"]}, "must be at least 1"),
        ({"fraction": 1.0}, "fraction must lie between 0 and 1"),
        ({"folds": 0}, "folds must be a whole number of at least 1"),
        ({"genre_folds": 1}, "genre_folds must be a whole number of at least 2"),
    ],
)
def test_arguments_are_looked_at_before_anything_is_done(
    deaf: MusicDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object],
    words: str,
) -> None:
    def no(*_: object, **__: object) -> None:
        raise AssertionError("it went on")

    monkeypatch.setattr(offline_evaluation, "named_splits", no)
    out = tmp_path / "new" / "report"
    with pytest.raises(InvalidArgumentError, match=words):
        evaluated(deaf, out, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_was_interrupted_goes_on_where_it_was(
    deaf: MusicDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    whole = evaluated(deaf, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(offline_evaluation, "write_report", fail)
        with pytest.raises(KeyboardInterrupt):
            evaluated(deaf, tmp_path / "again")
    assert len(list((tmp_path / "again" / ".report.unfinished").iterdir())) == 2
    patch_fit = pytest.MonkeyPatch()
    patch_fit.setattr("recsys.recommender.Recommender.fit", fail)
    try:
        again = evaluated(deaf, tmp_path / "again")
    finally:
        patch_fit.undo()
    assert again["table"] == whole["table"]
    assert not (tmp_path / "again" / ".report.unfinished").exists()


def test_any_name_that_does_not_end_in_html_is_a_folder(deaf: MusicDataset, tmp_path: Path) -> None:
    evaluated(deaf, tmp_path / "rep.txt", models=["popularity"])
    assert (tmp_path / "rep.txt" / "report.html").is_file()
    config = EvaluationConfig(models=("popularity",), splits=("warm",), genre_folds=0)
    evaluate(deaf, tmp_path / "b" / "rep.HTML", QUICK, config)
    assert (tmp_path / "b" / "rep.HTML").is_file()
    taken = tmp_path / "b" / "rep.json"
    with pytest.raises(InvalidArgumentError, match=r"rep\.json.*cannot be written"):
        evaluate(deaf, taken, QUICK, config)
    assert taken.is_file()


def test_random_alone_is_a_model_and_beside_others_a_control(
    heard: MusicDataset, tmp_path: Path
) -> None:
    cold = {"splits": ["cold"]}
    alone = evaluated(heard, tmp_path / "a", models=["random"], **cold)
    assert set(alone["controls"]) == {"popularity oracle"}
    both = evaluated(heard, tmp_path / "b", models=["popular", "als"], **cold)
    assert set(both["controls"]) == {"popularity oracle", "random"}
    assert both["baseline"] == "popularity"


class Told:
    """Encoders that return given embeddings, and count how often they are trained."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.sides: list[MusicDataset] = []

    def __call__(self, training: MusicDataset) -> "Told":
        self.sides.append(training)
        return self

    def embeddings(self, dataset: MusicDataset) -> pd.DataFrame:
        return self.table.loc[dataset.items["item_id"]]

    def labels(self, dataset: MusicDataset) -> pd.DataFrame:
        return pd.DataFrame({"rock": 1.0}, index=dataset.items["item_id"].to_list())


def test_embeddings_are_of_the_side_without_the_held_out_and_kept(
    heard: MusicDataset, tmp_path: Path
) -> None:
    told = Told(world("informative", 0)[1])
    splits = made(heard, "warm", "cold")
    first = cached_embeddings(heard, splits, told, QUICK.network, tmp_path)
    assert list(first.index) == heard.items["item_id"].to_list()
    assert not set(told.sides[0].items["item_id"]) & set(splits[1].cold_items)
    pd.testing.assert_frame_equal(
        cached_embeddings(heard, splits, told, QUICK.network, tmp_path), first
    )
    assert len(told.sides) == 1
    # Another network, or other splits, are something else.
    cached_embeddings(heard, splits, told, QUICK.network.replace(seed=9), tmp_path)
    cached_embeddings(heard, splits[:1], told, QUICK.network, tmp_path)
    assert len(told.sides) == 3


def test_given_encoders_embed_items_without_recordings(deaf: MusicDataset, tmp_path: Path) -> None:
    everywhere = set(deaf.interactions["item_id"])
    told = Told(world("informative", 0)[1])
    report = evaluated(
        deaf, tmp_path, models=["content", "popularity"], splits=["cold"], fraction=0.4,
        encoders=told, among=everywhere,
    )  # fmt: skip
    assert "the audio tells who plays what: content is right" in report["summary"][1]
    assert len(report["song_map"]["x"]) == len(deaf.items)
    assert sum(report["song_map"]["cold"]) == report["splits"][0]["cold_items"]
    assert "embedding_diversity" in {row["metric"] for row in report["table"]}


def test_the_map_marks_what_was_held_out(heard: MusicDataset) -> None:
    _, embeddings = world("informative", 0)
    splits = made(heard, "warm", "cold")
    places = embedding_map(heard, splits, embeddings.iloc[5:], 0)
    assert list(places.columns) == ["item_id", "title", "artist", "genre", "x", "y", "cold"]
    assert list(places["item_id"]) == list(embeddings.index[5:])
    assert set(places["item_id"][places["cold"]]) == set(splits[1].cold_items) - set(
        embeddings.index[:5]
    )
    assert not embedding_map(heard, splits[:1], embeddings, 0)["cold"].any()
    assert embedding_map(heard, splits, embeddings.iloc[:3], 0) is None
