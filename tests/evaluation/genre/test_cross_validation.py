import json
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.genre.cross_validation import genre_cross_validation


def images_of(values):
    return np.asarray(values, dtype=np.float32).reshape(-1, 1, 1, 1)


class Fake:
    """Reads probabilities off the images; remembers what it was fitted on."""

    fitted: list

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def fit(self, images, labels, groups=None):
        Fake.fitted.append((images.ravel().tolist(), list(labels), list(groups)))
        self.classes_ = sorted(set(labels))

    def predict_proba(self, images):
        return np.array(
            [[self.probabilities(int(v), name) for name in self.classes_] for v in images.ravel()]
        )


@pytest.fixture(autouse=True)
def _forget():
    Fake.fitted = []


def test_no_artist_is_on_both_sides_and_every_recording_is_tested_once():
    rng = np.random.default_rng(0)
    labels = np.array(["rock", "jazz", "pop"])[np.arange(60) % 3]
    groups = np.array([f"artist {n}" for n in rng.integers(0, 15, 60)])
    uniform = genre_cross_validation(
        images_of(range(60)), labels, groups, lambda: Fake(lambda _value, _name: 1 / 3)
    )
    assert sorted(uniform.predictions["recording"]) == list(range(60))
    fold = uniform.predictions.set_index("recording")["fold"].sort_index().to_numpy()
    for number, (values, trained_labels, trained_groups) in enumerate(Fake.fitted, 1):
        inside = np.array(values, dtype=int)
        assert (fold[inside] != number).all()
        assert not set(groups[fold == number]) & set(trained_groups)
        assert trained_labels == labels[inside].tolist()
    # Nothing was learned: every rank is the last, and the loss is that of guessing.
    assert uniform.mean["precision@1"] == uniform.mean["precision@3"] - 1 == 0
    assert uniform.mean["loss"] == pytest.approx(log(3))


def test_figures_by_hand_with_windows_averaged():
    # Four recordings, two artists, one fold each; recording 0 has two windows that disagree:
    # jazz .9 and .2, mean .55, so it is right although one window is wrong.
    chance = {0: 0.9, 1: 0.2, 2: 0.3, 3: 0.6, 4: 0.25}

    def probability(value, name):
        return chance[value] if name == "jazz" else 1 - chance[value]

    result = genre_cross_validation(
        images_of(range(5)),
        ["jazz", "rock", "jazz", "rock"],
        ["A", "A", "B", "B"],
        lambda: Fake(probability),
        folds=2,
        image_recording=[0, 0, 1, 2, 3],
    )
    by_artist = result.predictions.set_index("recording").sort_index()
    assert by_artist["predicted"].tolist() == ["jazz", "rock", "jazz", "rock"]
    np.testing.assert_allclose(by_artist["probability"], [0.55, 0.7, 0.6, 0.75])
    assert result.mean["precision@1"] == 1.0
    expected = sorted([-(log(0.55) + log(0.7)) / 2, -(log(0.6) + log(0.75)) / 2])
    np.testing.assert_allclose(sorted(result.table["loss"]), expected)
    assert result.mean["loss"] == pytest.approx(np.mean(expected))
    assert result.sd["loss"] == pytest.approx(abs(expected[0] - expected[1]) / 2**0.5)
    assert result.confusion.to_numpy().tolist() == [[2, 0], [0, 2]]
    assert result.facts["images"] == 5


class Embeds(Fake):
    """Also embeds: what is 4, 5, 6 or 7 has the second genre; odd and even windows cancel out."""

    def embed_recordings(self, images, recording):
        value = images.ravel().astype(int)
        windows = np.stack([value >= 4, value < 4, 99.0 * (-1.0) ** value], axis=1)
        vectors = np.stack([windows[recording == n].mean(axis=0) for n in np.unique(recording)])
        return vectors, {}


def test_nearest_neighbours_by_other_artists():
    # Four artists with six recordings each, half of them of either genre. Of a recording's ten
    # nearest by the 18 of other artists, nine have its genre: there are no more.
    genre = np.tile([0, 1], 12)
    windows = np.stack([4 * genre, 4 * genre + 1], axis=1).ravel()
    result = genre_cross_validation(
        images_of(windows),
        np.array(["jazz", "rock"])[genre],
        np.repeat(["A", "B", "C", "D"], 6),
        lambda: Embeds(lambda _value, _name: 0.5),
        folds=2,
        image_recording=np.repeat(np.arange(24), 2),
    )
    np.testing.assert_allclose(result.table["neighbours@10"], 0.9)


def test_a_classifier_without_embeddings_has_no_neighbours():
    result = genre_cross_validation(
        images_of(range(8)), ["a", "b"] * 4, list("AABBCCDD"), lambda: Fake(lambda *_: 0.5), folds=2
    )
    assert result.table["neighbours@10"].isna().all()


def test_rank_three_and_confusion():
    # The true label is always third of four.
    names = ["a", "b", "c", "d"]
    labels = np.array(names)[np.arange(16) % 4]
    groups = np.arange(16) // 4

    def probability(value, name):
        behind = (names.index(name) - value) % 4
        return {0: 0.2, 1: 0.5, 2: 0.3, 3: 0.0}[behind]

    result = genre_cross_validation(
        images_of(np.arange(16) % 4), labels, groups, lambda: Fake(probability), folds=4
    )
    assert result.mean["precision@1"] == 0.0
    assert result.mean["precision@3"] == 1.0
    assert result.sd["precision@3"] == 0.0
    assert result.mean["loss"] == pytest.approx(-log(0.2))
    wrong = np.roll(np.eye(4, dtype=int) * 4, 1, axis=1)
    assert result.confusion.to_numpy().tolist() == wrong.tolist()


def test_a_label_that_training_lacks_counts_as_wrong_and_is_left_out_of_the_loss():
    # Only artist X plays polka; when X is tested, no training artist does.
    labels = ["jazz", "rock"] * 4 + ["polka", "polka"]
    groups = ["A"] * 4 + ["B"] * 4 + ["X"] * 2
    right = {"jazz": 0, "rock": 1, "polka": 2}

    class Normalised(Fake):
        def predict_proba(self, images):
            given = super().predict_proba(images)
            return given / given.sum(axis=1, keepdims=True)

    result = genre_cross_validation(
        images_of([right[label] for label in labels]),
        labels,
        groups,
        lambda: Normalised(lambda value, name: 8.0 if right[name] == value else 1.0),
        folds=3,
    )
    assert result.facts["label_not_in_training"] == 2
    polka = result.predictions[result.predictions["label"] == "polka"]
    assert polka["probability"].isna().all()
    assert (polka["rank"] > 2).all()
    row = result.table[result.table["fold"] == polka["fold"].iloc[0]].iloc[0]
    assert row["precision@1"] == 0.0
    assert np.isnan(row["loss"])
    # The other folds know three labels: 8 against 1 and 1.
    assert result.mean["loss"] == pytest.approx(-log(0.8))
    assert result.mean["precision@1"] == pytest.approx(2 / 3)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["folds"]


def test_blank_labels_and_recordings_without_images_are_left_out():
    result = genre_cross_validation(
        images_of([0, 1, 0, 1, 5]),
        ["jazz", "rock", "jazz", "rock", "", "jazz"],
        ["A", "A", "B", "B", "C", "D"],
        lambda: Fake(lambda value, name: float((name == "rock") == value)),
        folds=2,
        image_recording=[0, 1, 2, 3, 4],
    )
    assert result.facts["left_out"] == 2
    assert result.facts["recordings"] == 4
    assert all(5 not in values for values, *_ in Fake.fitted)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 7)), min_size=8), st.integers(2, 4)
)
def test_invariants(recordings, folds):
    labels = [label for label, _ in recordings]
    groups = [f"{label}{group}" for label, group in recordings]
    try:
        result = genre_cross_validation(
            images_of(range(len(labels))),
            labels,
            groups,
            lambda: Fake(lambda value, name: 1.0 if name == min(labels) else 0.0),
            folds=folds,
        )
    except EvaluationError:
        return
    assert result.table["n"].sum() == len(labels)
    assert result.confusion.to_numpy().sum() == len(labels)
    per_group = result.predictions.assign(group=np.array(groups)[result.predictions["recording"]])
    assert (per_group.groupby("group")["fold"].nunique() == 1).all()


def test_json():
    result = genre_cross_validation(
        images_of([0, 1, 0, 1]),
        ["jazz", "rock"] * 2,
        ["A", "A", "B", "B"],
        lambda: Fake(lambda value, name: float((name == "rock") == value)),
        folds=2,
    )
    back = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert back["confusion"] == {"labels": ["jazz", "rock"], "counts": [[2, 0], [0, 2]]}
    assert [row["fold"] for row in back["folds"]] == [1, 2]


def test_errors():
    images = images_of(range(4))
    labels, groups = ["a", "b", "a", "b"], ["A", "A", "B", "B"]

    def run(images=images, labels=labels, groups=groups, probability=0.5, **options):
        factory = lambda: Fake(lambda _value, _name: probability)  # noqa: E731
        return genre_cross_validation(images, labels, groups, factory, **{"folds": 2, **options})

    run()
    for wrong, message in (
        ({"groups": ["A"]}, "4 labels and 1 groups"),
        ({"image_recording": [0, 1]}, "4 images need"),
        ({"image_recording": [0, 1, 2, 9]}, "recording 9, and there are 4 labels"),
        ({"image_recording": [0.0, 1, 2, 3]}, "positions of recordings"),
        ({"labels": ["a", "b", "a"], "groups": ["A", "A", "B"]}, "recording 3"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            run(**wrong)
    for wrong, message in (
        ({"folds": 3}, "there are 2"),
        ({"folds": 1}, "at least 2 folds"),
        ({"labels": ["a"] * 4}, "at least two genres"),
        ({"labels": ["a", "b", "c", "d"]}, "2 recordings of some genre; the most there are is 1"),
        ({"probability": 0.9}, "add up to 1"),
        ({"probability": float("nan")}, "finite"),
    ):
        with pytest.raises(EvaluationError, match=message):
            run(**wrong)
