import copy
import csv
import json

import numpy as np
import pandas as pd
import pytest

from evaluation import run_study, write_study
from evaluation.genre.study import PUBLISHED
from tests.helpers.genre import TINY, material, small_study
from tests.helpers.reports import Page


@pytest.mark.slow
def test_files(tmp_path):
    study = small_study()
    page = write_study(study, tmp_path, command="coldtune genre-cv here")
    assert page == tmp_path / "genre.html"
    parser = Page(page.read_text(encoding="utf-8"))
    text = " ".join("".join(parser.text).split())
    assert [address for _, address in parser.addresses] == ["data:,", "#content"]
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
    assert widths == {9}
    assert any("| song | patent (other data) |" in line for line in lines)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("is_worse", [True, False])
def test_a_network_worse_than_the_svm_is_said_first(tmp_path, is_worse):
    study = copy.deepcopy(small_study())  # other tests use it too
    for run in study.runs:
        right = 0.4 if is_worse and run.classifier == "network" and run.split == "artist" else 0.5
        run.result.table["precision@1"] = right
    text = " ".join("".join(Page(write_study(study, tmp_path).read_text()).text).split())
    said = "The network is worse than the SVM: 40.0% against 50.0% right on the artist split"
    first = json.loads((tmp_path / "genre.json").read_text())["text"][0]
    assert (said in text) == is_worse
    assert first.startswith(said) == is_worse
    if is_worse:
        assert "(behind in 4 of 4 folds). It is not shown" in first  # on this split alone
        assert text.index(said) < text.index("Of recordings")
        assert (tmp_path / "genre.md").read_text().splitlines()[4].startswith(said)
