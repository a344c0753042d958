"""``coldtune evaluate`` and ``train`` with ``--embeddings``, as somebody types them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.folder import save_folder
from datasets.music import MusicDataset
from recsys import Recommender, cli
from recsys.experiments.embeddings import GivenEmbeddings


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Exit code, standard output and standard error of ``coldtune …``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.json").write_text(
        json.dumps(
            {"tracking": False, "threads": 1, "sources": ["als", "content"], "als": {"factors": 8}}
        )
    )

    def run(*arguments: object) -> tuple[int, str, str]:
        config = ["--config", "small.json"]
        monkeypatch.setattr(sys, "argv", ["coldtune", *map(str, arguments), *config])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def written(tastes, tmp_path) -> MusicDataset:
    """The data set in music/, its embeddings in e.npz and, with an unknown item, in e.csv."""
    dataset, embeddings = tastes
    save_folder(dataset, tmp_path / "music")
    ids = embeddings.index.to_numpy().astype(str)
    np.savez(tmp_path / "e.npz", item_id=ids, embedding=embeddings.to_numpy())
    other = pd.DataFrame([[1.0] * 8], index=["elsewhere"], columns=embeddings.columns)
    pd.concat([embeddings, other]).rename_axis("item_id").to_csv(tmp_path / "e.csv")
    return dataset


def evaluated(run, *arguments: object) -> dict:
    fixed = ["--models", "content,popularity", "--splits", "cold", "--k", "5"]
    code, out, _ = run("evaluate", "music", "--out", "report", *fixed, *arguments)
    assert code == 0
    assert "report written to" in out
    return json.loads(Path("report/report.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_all_controls_run_beside_given_embeddings(run, written):
    report = evaluated(run, "--embeddings", "e.npz")
    assert set(report["controls"]) == {
        "content, shuffled audio",
        "content, genre for audio",
        "content, same for everybody",
        "popularity oracle",
        "random",
    }
    auc = {row["model"]: row["mean"] for row in report["table"] if row["metric"] == "item_auc"}
    assert auc["content"] > 0.7
    assert auc["content, genre for audio"] > 0.7
    assert 0.35 < auc["content, shuffled audio"] < 0.65
    assert any("90 of 90 items have one of 8 dimensions" in note for note in report["notes"])
    assert any("by given embedding, without artist" in note for note in report["notes"])
    # From a table, with an id of another catalogue among them, it is the same.
    again = evaluated(run, "--embeddings", "e.csv")
    assert [row["mean"] for row in again["table"]] == pytest.approx(
        [row["mean"] for row in report["table"]], nan_ok=True
    )


@pytest.mark.slow
def test_items_without_genres_have_no_control_by_genre(run, written, tastes, tmp_path):
    bare = MusicDataset(written.items.assign(genre=""), None, written.interactions)
    shutil.rmtree(tmp_path / "music")
    save_folder(bare, tmp_path / "music")
    report = evaluated(run, "--embeddings", "e.npz")
    assert "content, genre for audio" not in report["controls"]
    assert "content, shuffled audio" in report["controls"]
    assert any("Genres in place of audio are no control" in note for note in report["notes"])


def test_items_of_no_genre_have_a_share_of_each(tastes):
    dataset, embeddings = tastes
    bare = dataset.items.assign(
        genre=dataset.items["genre"].where(dataset.items["item_id"] != "item-1", "")
    )
    given = GivenEmbeddings(embeddings)(dataset)
    labels = given.labels(MusicDataset(bare, None, dataset.interactions))
    assert labels.loc["item-0"].to_dict() == {"jazz": 0, "pop": 0, "rock": 1}
    np.testing.assert_allclose(labels.loc["item-1"], 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("item_id,x\nitem-1,1\nitem-2,inf\n", "item 'item-2' has a value that is not a finite"),
        ("item_id,x\nitem-1,1\nitem-2,\n", "item 'item-2' has a value that is not a finite"),
        ("item_id,x\nother,1\n", "none of the 1 ids, such as 'other', is that of an item"),
        ("item_id,x\nitem-1,0\n", "all of them are zero"),
        ("item_id,x\nitem-1,loud\n", "e.csv, row 1: 'loud' in column 'x' is no number"),
    ],
)
def test_bad_embeddings_are_one_line_and_leave_nothing(run, written, tmp_path, text, words):
    (tmp_path / "e.csv").write_text(text)
    code, out, error = run("evaluate", "music", "--out", "report", "--embeddings", "e.csv")
    assert code == 1
    assert out == ""
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_train(run, written, tmp_path):
    code, _, _ = run("train", "music", "--out", "model", "--embeddings", "e.npz")
    assert code == 0
    assert len(Recommender.load(tmp_path / "model").similar("item-0", k=3, by="sound")) == 3
    code, _, error = run("train", "music", "--out", "b", "--embeddings", "e.csv")
    assert code == 1
    assert "'elsewhere' is not among the items" in error
    code, _, error = run("train", "music", "--out", "b", "--embeddings", "e.npz", "--encoder", "x")
    assert code == 1
    assert "--encoder and --embeddings exclude one another" in error
