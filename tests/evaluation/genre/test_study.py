import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation import run_study
from evaluation.genre import study as study_module
from evaluation.genre.study import affordable_jobs
from tests.helpers.genre import TINY, material, small_study


@pytest.fixture(scope="module")
def study():
    return small_study()


@pytest.mark.slow
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


@pytest.mark.slow
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
    monkeypatch.setattr(
        "embedding.encoders.song_encoder.SongEncoder.fit", None
    )  # would fail if it were asked
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


def test_without_the_baseline_s_features_there_is_no_baseline():
    made = material(statistics=None, window_statistics=None)
    assert run_study(made, TINY, folds=2, baseline=False).groups() == [("artist", "network")]
    with pytest.raises(EvaluationError, match="without the baseline's features"):
        run_study(made, TINY, folds=2)
