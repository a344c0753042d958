"""Familiarity: what is far from all that was learned, by the measure of artists left out."""

import numpy as np
import pytest

from recsys.content.familiarity import (
    DOUBTED,
    Familiarity,
    careful_scores,
    caution,
    learn_familiarity,
    trust_of,
)


def clouds(n: int, seed: int, width: int = 6) -> np.ndarray:
    """Points of two kinds of sound, float32 [n, width]."""
    rng = np.random.default_rng(seed)
    middle = np.where(np.arange(n)[:, None] % 2 == 0, 2.0, -2.0)
    return (middle + rng.normal(size=(n, width))).astype(np.float32)


ARTISTS = np.arange(300) // 3


@pytest.mark.parametrize("kind", ["embedding", "sound"])
def test_songs_of_unheard_artists_are_spread_evenly_and_strange_ones_are_at_zero(kind):
    found, own = learn_familiarity(clouds(300, 0), ARTISTS, kind)
    unheard = found.of(clouds(1000, 1))
    assert 0.45 < unheard.mean() < 0.55
    assert 0.03 < (unheard < 0.05).mean() < 0.08
    assert 0.45 < own.mean() < 0.55
    strange = found.of(np.float32([[9] * 6, [0, 0, 0, 12, 0, 0], [4, -4, 4, -4, 4, -4]]))
    assert (strange < 0.01).all()
    assert (strange >= 0).all()


def test_a_song_that_was_learned_is_fully_familiar():
    known = clouds(300, 0)
    found, _ = learn_familiarity(known, ARTISTS)
    assert found.of(known[:20]).mean() > 0.7


def test_shares_worked_out_by_hand():
    """Five references in a row, the artists A A B C C; the nearest one counts."""
    found = Familiarity(
        center=np.zeros(1, np.float32),
        scale=np.ones(1, np.float32),
        rotation=np.zeros((0, 0), np.float32),
        references=np.zeros((1, 1), np.float32),
        distances=np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        shares=np.array([0.5, 1.0, 0.5, 0.5, 0.5]),
    )
    assert found.n_artists == 3
    # at 3: half of A, both halves of C are at least so far: (1.5 + 1) / (3 + 1)
    assert found.of(np.float32([[3.0]])).tolist() == [0.625]
    assert found.of(np.float32([[0.0]])).tolist() == [1.0]
    assert found.of(np.float32([[5.0]])).tolist() == [0.375]
    # beyond: 1/4, falling by e in the mean excess over the median, ((4 - 3) + (5 - 3)) / 2
    assert found.of(np.float32([[6.5]]))[0] == pytest.approx(0.25 * np.exp(-1.5 / 1.5))


def test_every_artist_counts_the_same():
    """One artist with a hundred songs of another kind makes that kind no more usual."""
    rng = np.random.default_rng(0)
    many = rng.normal(0, 0.1, size=(100, 2)).astype(np.float32) + np.float32([8, 0])
    others = rng.normal(0, 1, size=(50, 2)).astype(np.float32)
    artists = np.concatenate([np.zeros(100, int), 1 + np.arange(50)])
    found, own = learn_familiarity(np.concatenate([many, others]), artists)
    assert found.n_artists == 51
    assert (own[:100] < 0.05).all()  # told without its own songs, the artist is unlike the others
    assert found.of(np.float32([[8, 0]]))[0] == 1.0  # and yet that sound has been heard


@pytest.mark.parametrize(
    ("described", "artists"),
    [
        (np.float32([[0, 1], [1, 0]]), [0, 1]),
        (clouds(20, 0), [7] * 20),
        (np.ones((20, 4), np.float32), range(20)),
        (np.zeros((0, 4), np.float32), []),
        (np.zeros((5, 0), np.float32), range(5)),
    ],
    ids=["two songs", "one artist", "all the same", "none", "no dimension"],
)
def test_where_it_cannot_be_learned_it_is_not_known(described, artists):
    found, own = learn_familiarity(described, np.array(artists, int))
    assert found is None
    assert len(own) == len(described)
    assert np.isnan(own).all()


def test_copies_and_constant_dimensions():
    known = np.repeat(clouds(30, 0), 10, axis=0)
    known[:, 3] = 5
    found, own = learn_familiarity(known, np.arange(300))
    assert np.isfinite(own).all()
    usual, other = known[0].copy(), known[0].copy()
    other[3] = 50  # a dimension that never varied
    said = found.of(np.stack([usual, other]))
    assert said[0] > 0.5
    assert said[1] < 0.01


def test_few_references_of_many_songs_and_saving():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(3000, 4)).astype(np.float32)
    found, own = learn_familiarity(known, np.arange(3000), seed=1)
    assert len(found.references) == 2048
    assert 0.45 < own.mean() < 0.55
    again = Familiarity.from_arrays(found.arrays())
    new = rng.normal(size=(10, 4)).astype(np.float32)
    assert again.of(new).tolist() == found.of(new).tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", np.ones(3, np.float32)),
        ("distances", np.array([2.0, 1.0, 3.0])),
        ("distances", np.full(300, np.nan)),
        ("references", np.zeros((0, 6), np.float32)),
        ("rotation", np.zeros((2, 2), np.float32)),
        ("shares", np.zeros(300)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, value):
    found, _ = learn_familiarity(clouds(300, 0), ARTISTS)
    with pytest.raises(ValueError, match=r"familiarity|distances"):
        Familiarity.from_arrays({**found.arrays(), name: value})


@pytest.mark.parametrize(
    "values",
    [{"a": 0.9, "b": 0.1}, {"a": 0.9, "b": 0.8, "c": 0.1}, {"a": 0.0, "b": 0.0}, {"a": 1.0}],
)
def test_predicted_tags_are_less_sure_and_keep_their_order(values):
    for familiarity in (DOUBTED / 4, 0.0):
        (found,) = careful_scores({"tag": values}, familiarity).values()
        assert sum(found.values()) == pytest.approx(sum(values.values()))
        assert sorted(found, key=found.get) == sorted(values, key=values.get)
        assert max(found.values()) <= max(values.values())
    assert careful_scores({"tag": values}, None) == careful_scores({"tag": values}, 0.5)
    assert careful_scores({"tag": values}, None)["tag"] == pytest.approx(values)


def test_trust_and_caution():
    assert trust_of(np.array([1, DOUBTED, DOUBTED / 2, 0, np.nan])).tolist() == [1, 1, 0.5, 0, 1]
    assert caution(DOUBTED) == caution(None) == ""
    assert caution(DOUBTED / 2).endswith("its sound counts only 50%")
