import csv
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from embedding.network.config import EncoderConfig
from evaluation import run_study, write_study
from evaluation.genre import study as study_module
from evaluation.genre.study import PUBLISHED, affordable_jobs
from tests.helpers.genre import material

TINY = EncoderConfig(architecture="IC(2,3,4)F(6)O", epochs=2, threads=1)


@pytest.fixture(scope="module")
def study():
    """A real training, small as it is, over two splits and two seeds, with the SVM beside it."""
    return run_study(
        material(), TINY, splits=("artist", "snippet"), folds=2, seeds=2, progress=False
    )


def test_every_split_seed_and_classifier_runs_on_the_same_folds(study):
    assert study.groups() == [
        ("artist", "network"), ("artist", "SVM"), ("snippet", "network"), ("snippet", "SVM"),
    ]  # fmt: skip
    folds = study.folds()
    assert len(folds) == 2 * 2 * 2 * 2
    predicted = study.predictions().set_index(["split", "classifier", "seed"]).sort_index()
    for split in ("artist", "snippet"):
        for seed in (0, 1):
            sides = [
                predicted.loc[(split, name, seed)].sort_values(["song", "fold"])[["song", "fold"]]
                for name in ("network", "SVM")
            ]
            assert sides[0].to_numpy().tolist() == sides[1].to_numpy().tolist()
    assert not predicted.loc[("artist", "network", 0)].equals(
        predicted.loc[("artist", "network", 1)]
    )
    # The SVM hears levels, which are the genre; it ranks, and has no loss.
    svm = folds[folds["classifier"] == "SVM"]
    assert svm["precision@1"].mean() > 0.9
    assert svm["loss"].isna().all()
    assert np.isfinite(folds.loc[folds["classifier"] == "network", "loss"]).all()


def test_summary_by_hand(study):
    folds = study.folds().query("split == 'artist' and classifier == 'network'")
    values = folds.pivot(index="seed", columns="fold", values="precision@1").to_numpy()
    row = study.summary().iloc[0]
    assert row["precision@1"] == pytest.approx(values.mean())
    between_folds = [abs(a - b) / 2**0.5 for a, b in values]
    assert row["precision@1 sd"] == pytest.approx(np.sqrt(np.mean(np.square(between_folds))))
    a, b = values.mean(axis=1)
    assert row["precision@1 sd of seeds"] == pytest.approx(abs(a - b) / 2**0.5)
    assert row["n"] == 24
    assert study.labels().query("split == 'artist' and classifier == 'SVM'")["n"].sum() == 48


def test_the_seed_is_all_that_changes(study):
    again = run_study(material(), TINY, folds=2, seed=1, baseline=False)
    assert study.of("artist", "network")[1].seed == again.runs[0].seed == 1
    pd.testing.assert_frame_equal(
        study.of("artist", "network")[1].result.scores, again.runs[0].result.scores
    )


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text = []
        self.sources = []
        self.hidden = False

    def handle_starttag(self, tag, attributes):
        self.hidden = tag in ("script", "style")
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)


def test_files(study, tmp_path):
    page = write_study(study, tmp_path, command="coldtune genre-cv here")
    assert page == tmp_path / "genre.html"
    parser = _Page()
    parser.feed(page.read_text(encoding="utf-8"))
    text = " ".join("".join(parser.text).split())
    assert parser.sources == ["data:,", "#content"]
    row = study.summary().iloc[0]
    for expected in (
        "How well are genres heard?",
        f"{row['precision@1']:.1%} ± {100 * row['precision@1 sd of seeds']:.1f}",
        "The song itself leaks",
        "No leak is known",
        "other data",
        "coldtune genre-cv here",
        "All 24 songs",
    ):
        assert expected in text, expected
    facts = json.loads((tmp_path / "genre.json").read_text(encoding="utf-8"))
    assert facts["summary"][0]["precision@1"] == pytest.approx(row["precision@1"])
    assert facts["published"]["precision@1"] == PUBLISHED["precision@1"] == 0.567
    assert facts["leaks"]["snippet"].startswith("The song itself leaks")
    assert len(facts["runs"]) == 8
    with (tmp_path / "folds.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["architecture"] == "IC(2,3,4)F(6)O"
    assert {"fold", "loss", "precision@1", "precision@3"} <= set(rows[0])
    predicted = pd.read_csv(tmp_path / "predictions.csv")
    assert len(predicted) == 2 * 2 * (24 + 48)
    scores = predicted.filter(like="score ")
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    best = scores.idxmax(axis=1).str.removeprefix("score ")
    assert (best == predicted["predicted"]).all()
    counts = pd.read_csv(tmp_path / "confusion.csv")
    right = counts.query("true == predicted and split == 'artist' and classifier == 'SVM'")["count"]
    expected = predicted.query("split == 'artist' and classifier == 'SVM' and true == predicted")
    assert right.sum() == len(expected)
    lines = (tmp_path / "genre.md").read_text(encoding="utf-8").splitlines()
    widths = {line.count("|") for line in lines if line.startswith("| artist")}
    assert widths == {8}
    assert any("| song | patent (other data) |" in line for line in lines)


def test_names_cannot_break_the_page(tmp_path):
    made = material(
        n=8,
        genres=("</script><b>", "a|b"),
        names=np.array([f"<i>{n}" for n in range(8)], dtype=object),
    )
    study = run_study(made, TINY.replace(epochs=1), folds=2)
    text = write_study(study, tmp_path).read_text(encoding="utf-8")
    assert "<i>" not in text
    assert "</script><b>" not in text
    assert "a\\|b" in (tmp_path / "genre.md").read_text(encoding="utf-8")


def test_what_a_reader_must_know():
    labels = np.array(["jazz", "pop", "", "rock"] * 6, dtype=object)
    artists = np.array(["A", "B", "C", "D"] * 6, dtype=object)
    artists[4::4] = "E"
    study = run_study(material(labels=labels, artists=artists), TINY, folds=2, baseline=False)
    notes = " ".join(study.notes)
    assert "6 recordings without a label are left out." in notes
    assert "One artist only has pop, rock:" in notes


def test_a_kept_study_is_not_computed_again_with_other_threads(tmp_path, monkeypatch):
    options = {"folds": 2, "store": tmp_path, "baseline": False}
    first = run_study(material(), TINY, **options)
    monkeypatch.setattr("embedding.encoder.SongEncoder.fit", None)  # would fail if it were asked
    again = run_study(material(), TINY.replace(threads=2), **options)
    assert again.folds().equals(first.folds())
    with pytest.raises(TypeError):
        run_study(material(), TINY.replace(epochs=3), **options)


def test_no_more_jobs_than_memory_holds(monkeypatch):
    monkeypatch.setattr(study_module, "available_memory", lambda: 5 * 2**30)
    assert affordable_jobs(2, 2**30) == (2, "")
    fit, note = affordable_jobs(8, 2**30)
    assert (fit, note) == (2, "2 of 8 jobs at once: 5.0 GiB of memory do not hold more.")
    assert affordable_jobs(8, 2**40)[0] == 1
    monkeypatch.setattr(study_module, "available_memory", lambda: None)
    assert affordable_jobs(8, 2**40) == (8, "")


def test_errors():
    with pytest.raises(EvaluationError, match="no artists are known"):
        run_study(material(artists=None), TINY)
    with pytest.raises(EvaluationError, match="several windows of a recording"):
        run_study(material(windows=1), TINY, splits=["snippet"])
    for wrong in ({"seeds": 0}, {"jobs": 0}, {"splits": ["title"]}):
        with pytest.raises(InvalidArgumentError, match=r"at least 1|artist, song, snippet"):
            run_study(material(), TINY, **wrong)
    with pytest.raises(EvaluationError, match="7 folds need as many artists; there are 6"):
        run_study(material(), TINY, folds=7)


def test_many_labels_do_not_make_endless_tables(tmp_path):
    made = material(n=160, windows=1, genres=[f"genre {n}" for n in range(40)])
    study = run_study(made, TINY.replace(epochs=1), splits=["song"], folds=2, baseline=False)
    text = write_study(study, tmp_path).read_text(encoding="utf-8")
    assert "the 30 commonest, all are in confusion.csv" in text
    assert len(pd.read_csv(tmp_path / "confusion.csv")) == 40 * 40
    assert len(pd.read_csv(tmp_path / "predictions.csv").filter(like="score ").columns) == 40
    header = next(
        line
        for line in (tmp_path / "genre.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| true")
    )
    assert header.count("|") == 32


def test_without_the_baseline_s_features_there_is_no_baseline():
    made = material(statistics=None, window_statistics=None)
    assert run_study(made, TINY, folds=2, baseline=False).groups() == [("artist", "network")]
    with pytest.raises(EvaluationError, match="without the baseline's features"):
        run_study(made, TINY, folds=2)
