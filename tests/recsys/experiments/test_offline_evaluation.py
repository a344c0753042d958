"""An evaluation from a data set to a report: what is kept, what is passed on, what is refused."""

import json
from pathlib import Path

import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from recsys.experiments import offline_evaluation
from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate
from tests.helpers.evaluations import GivenEncoders
from tests.helpers.known_answers import world
from tests.helpers.recommenders import QUICK


@pytest.mark.parametrize("rows", ["none", "of weight 0"])
def test_songs_that_nobody_has_played_are_one_error_and_leave_nothing(
    recorded: MusicDataset, tmp_path: Path, rows: str
) -> None:
    plays = (
        recorded.interactions.iloc[:0]
        if rows == "none"
        else recorded.interactions.assign(weight=0.0)
    )
    dataset = MusicDataset(recorded.items, recorded.audio, plays, recorded.root)
    with pytest.raises(EvaluationError, match="nobody has played anything"):
        evaluated(dataset, tmp_path / "new", splits=["warm", "cold"])
    assert list(tmp_path.iterdir()) == []


def evaluated(dataset: MusicDataset, out: Path, **options: object) -> dict:
    given = {"models": ["als", "popularity"], "splits": ["warm"], "genre_folds": 0, "ks": (5,)}
    encoders = options.pop("encoders", None)
    evaluate(dataset, out, QUICK, EvaluationConfig(**(given | options)), encoders=encoders)
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_folds_samples_and_the_curve_reach_the_report(
    unrecorded: MusicDataset, tmp_path: Path
) -> None:
    report = evaluated(
        unrecorded,
        tmp_path,
        splits=["warm", "semi-cold:2"],
        folds=2,
        sampled=20,
        learning_curve=True,
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
    unrecorded: MusicDataset,
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
        evaluated(unrecorded, out, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_was_interrupted_goes_on_where_it_was(
    unrecorded: MusicDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    whole = evaluated(unrecorded, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(offline_evaluation, "write_report", fail)
        with pytest.raises(KeyboardInterrupt):
            evaluated(unrecorded, tmp_path / "again")
    assert len(list((tmp_path / "again" / ".report.unfinished").iterdir())) == 2
    patch_fit = pytest.MonkeyPatch()
    patch_fit.setattr("recsys.recommender.Recommender.fit", fail)
    try:
        again = evaluated(unrecorded, tmp_path / "again")
    finally:
        patch_fit.undo()
    assert again["table"] == whole["table"]
    assert not (tmp_path / "again" / ".report.unfinished").exists()


@pytest.mark.slow
def test_any_name_that_does_not_end_in_html_is_a_folder(
    unrecorded: MusicDataset, tmp_path: Path
) -> None:
    evaluated(unrecorded, tmp_path / "rep.txt", models=["popularity"])
    assert (tmp_path / "rep.txt" / "report.html").is_file()
    config = EvaluationConfig(models=("popularity",), splits=("warm",), genre_folds=0)
    evaluate(unrecorded, tmp_path / "b" / "rep.HTML", QUICK, config)
    assert (tmp_path / "b" / "rep.HTML").is_file()
    taken = tmp_path / "b" / "rep.json"
    with pytest.raises(InvalidArgumentError, match=r"rep\.json.*cannot be written"):
        evaluate(unrecorded, taken, QUICK, config)
    assert taken.is_file()


@pytest.mark.slow
def test_random_alone_is_a_model_and_beside_others_a_control(
    recorded: MusicDataset, tmp_path: Path
) -> None:
    cold = {"splits": ["cold"]}
    alone = evaluated(recorded, tmp_path / "a", models=["random"], **cold)
    assert set(alone["controls"]) == {"popularity oracle"}
    both = evaluated(recorded, tmp_path / "b", models=["popular", "als"], **cold)
    assert set(both["controls"]) == {"popularity oracle", "random"}
    assert both["baseline"] == "popularity"


@pytest.mark.slow
def test_given_encoders_embed_items_without_recordings(
    unrecorded: MusicDataset, tmp_path: Path
) -> None:
    everywhere = set(unrecorded.interactions["item_id"])
    encoders = GivenEncoders(world("informative", 0)[1])
    report = evaluated(
        unrecorded, tmp_path, models=["content", "popularity"], splits=["cold"], fraction=0.4,
        encoders=encoders, among=everywhere,
    )  # fmt: skip
    assert "the audio tells who plays what: content is right" in report["summary"][1]
    assert len(report["song_map"]["x"]) == len(unrecorded.items)
    assert sum(report["song_map"]["cold"]) == report["splits"][0]["cold_items"]
    assert "embedding_diversity" in {row["metric"] for row in report["table"]}
