import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.genre.cross_validation import genre_cross_validation
from evaluation.genre.splits import SPLITS, assign_folds, genre_split, single_group_labels
from tests.helpers.genre import Nearest, material


class Watching(Nearest):
    """Remembers which images each fold was trained on: their first value is their position."""

    seen: list

    def fit(self, images, labels, groups=None, *, checkpoint=None):
        Watching.seen.append(images[:, 0, 0, 0].astype(int).tolist())
        super().fit(images, labels, groups)


def run(split):
    """(position of image, its recording, its artist, trained-on positions by fold)."""
    made = material(n=30, windows=3)
    images = made.images.copy()
    images[:, 0, 0, 0] = np.arange(len(images))
    songs = np.arange(30) // 2  # two recordings of each song
    Watching.seen = []
    result = genre_cross_validation(
        images,
        made.labels,
        made.artists,
        Watching,
        3,
        image_recording=made.recording,
        split=split,
        songs=songs,
    )
    return result, made, songs


def sides(trained_on, owner):
    """What the owners of training and of test images have in common, of one fold."""
    test = np.setdiff1d(np.arange(len(owner)), trained_on)
    return set(owner[trained_on]) & set(owner[test])


@pytest.mark.parametrize("split", list(SPLITS))
def test_what_is_kept_apart_and_what_leaks(split):
    result, made, songs = run(split)
    artists = made.artists[made.recording]
    assert len(Watching.seen) == 3
    for trained_on in Watching.seen:
        assert bool(sides(trained_on, artists)) == (split != "artist")
        assert bool(sides(trained_on, songs[made.recording])) == (split == "snippet")
    tested = result.predictions["recording"].value_counts()
    assert set(tested) == {3 if split == "snippet" else 1}
    assert result.facts["split"] == split
    assert result.table["n"].sum() == (90 if split == "snippet" else 30)
    # A window for itself is all that the snippet split tests.
    same = (result.table["precision@1"] == result.table["window@1"]).all()
    assert same or split != "snippet"


def test_unknown_split():
    with pytest.raises(InvalidArgumentError, match="artist, song, snippet, not 'title'"):
        genre_split("title")
    made = material()
    with pytest.raises(InvalidArgumentError, match="not 'title'"):
        genre_cross_validation(made.images, made.labels, made.labels, Nearest, split="title")


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6)), min_size=6), st.integers(0, 9))
def test_every_row_has_a_fold_and_no_group_has_two(rows, seed):
    label = np.array([f"{name}" for name, _ in rows], dtype=object)
    group = np.array([number for _, number in rows], dtype=object)
    try:
        fold = assign_folds(label, group, 2, seed, noun="artists")
    except EvaluationError:
        return
    assert set(fold) == {0, 1}
    assert all(len(set(fold[group == one])) == 1 for one in set(group))
    np.testing.assert_array_equal(fold, assign_folds(label, group, 2, seed, noun="artists"))


def test_labels_are_spread_evenly_over_rows_of_their_own():
    label = np.array(["a"] * 40 + ["b"] * 20, dtype=object)
    fold = assign_folds(label, np.arange(60), 10, 0, noun="songs")
    for number in range(10):
        assert sorted(label[fold == number]) == ["a"] * 4 + ["b"] * 2


def test_labels_of_one_group():
    label = np.array(["a", "a", "b", "b", "c"])
    assert single_group_labels(label, np.array([1, 2, 3, 3, 1])) == ["b", "c"]
