"""Paths between two songs: as long as asked for, forward, in small steps, under a cap."""

import numpy as np
import pytest

from recsys.playlists import path as paths
from recsys.playlists.ordering import same_artist_pairs, step_lengths
from recsys.playlists.path import corridor, corridor_size, path_between


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def arc(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def cloud():
    """400 songs in a band of three dimensions, the two ends first."""
    rng = np.random.default_rng(0)
    angles = np.concatenate([[0, 2.5], rng.uniform(0, 2.5, 398)])
    points = np.column_stack([np.cos(angles), np.sin(angles), rng.normal(0, 0.2, 400)])
    points[:2, 2] = 0
    return unit(points)


@pytest.mark.parametrize("n", [1, 2, 5, 18, 60])
def test_as_long_as_asked_for_and_forward_in_small_steps(cloud, n):
    ends, songs = cloud[:2], cloud[2:]
    found = path_between(ends, songs, n)
    assert len(set(found.places.tolist())) == n == len(found.places)
    assert found.is_joined
    whole = np.concatenate([ends[:1], songs[found.places], ends[1:]])
    angle = np.arctan2(whole[:, 1], whole[:, 0])
    assert (np.diff(angle) > -0.3).all()  # here and there half a step back, never more
    steps = np.arccos(np.clip(1 - step_lengths(whole)[1:], -1, 1))
    assert steps.max() < 2.5 / (n + 1) + 0.35
    random = np.random.default_rng(n).permutation(len(songs))[:n]
    other = np.concatenate([ends[:1], songs[random], ends[1:]])
    assert np.nansum(step_lengths(whole)) < np.nansum(step_lengths(other)) or n == 1


def test_along_a_bend_and_not_across_the_gap():
    """Songs on a horseshoe: the ends are near each other, and no song lies between them."""
    angles = np.linspace(0.4, 2 * np.pi - 0.4, 120)
    songs = unit(np.column_stack([np.cos(angles), np.sin(angles), np.full(120, 0.7)]))
    found = path_between(songs[[0, -1]], songs[1:-1], 20)
    whole = np.concatenate([songs[:1], songs[1:-1][found.places], songs[-1:]])
    steps = step_lengths(whole)[1:]
    assert (np.diff(found.places) > 0).all()
    assert steps.max() < 4 * steps.mean()


def test_two_clusters_are_joined_by_one_jump_and_that_is_said():
    rng = np.random.default_rng(0)
    left = unit(np.array([1, 0, 0]) + rng.normal(0, 0.05, (40, 3)))
    right = unit(np.array([0, 1, 0]) + rng.normal(0, 0.05, (40, 3)))
    songs = np.concatenate([left[1:], right[1:]])
    found = path_between(np.stack([left[0], right[0]]), songs, 10)
    assert not found.is_joined
    assert len(found.places) == 10
    assert ((found.places < 39) == (np.arange(10) < 5)).all()  # half of the way on each side


def test_a_cap_and_no_artist_twice_in_a_row(cloud):
    ends, songs = cloud[:2], cloud[2:]
    artists = np.arange(len(songs)) % 12
    free = path_between(ends, songs, 20, artists, (0, 1))
    assert same_artist_pairs(np.concatenate([[0], artists[free.places], [1]])) == 0
    capped = path_between(ends, songs, 20, artists, (0, 1), per_artist=2, taken={0: 1, 1: 1})
    counts = np.bincount(artists[capped.places], minlength=12) + (np.arange(12) < 2)
    assert len(capped.places) == 20
    assert counts.max() == 2


def test_a_cap_of_one_where_there_are_hardly_more_artists_than_songs(cloud):
    ends, songs = cloud[:2], cloud[2:]
    artists = np.arange(len(songs)) % 22
    found = path_between(ends, songs, 20, artists, per_artist=1)
    assert len(set(artists[found.places].tolist())) == 20
    whole = np.concatenate([ends[:1], songs[found.places], ends[1:]])
    assert np.nanmax(step_lengths(whole)) < 0.3


def test_fewer_songs_only_where_no_more_fit(cloud):
    ends, songs = cloud[:2], cloud[2:12]
    assert len(path_between(ends, songs, 30).places) == 10
    assert len(path_between(ends, songs, 30, np.zeros(10, int), per_artist=3).places) == 3
    assert (
        len(path_between(ends, songs, 3, np.zeros(10, int), per_artist=1, taken={0: 1}).places) == 0
    )
    assert len(path_between(ends, songs[:0], 3).places) == 0


def test_equal_and_opposite_ends(cloud):
    songs = cloud[2:]
    same = path_between(np.stack([cloud[0], cloud[0]]), songs, 5)
    assert len(set(same.places.tolist())) == 5
    opposite = np.stack([cloud[0], -cloud[0]])
    assert len(corridor(cloud, np.arange(2, 400), opposite, 50)) == 50
    assert len(set(path_between(opposite, songs, 5).places.tolist())) == 5


def test_songs_that_are_all_one_point():
    songs = np.ones((30, 1), np.float32)
    assert len(set(path_between(songs[:2], songs[2:], 8).places.tolist())) == 8


def test_long_paths_are_filled_in(cloud, monkeypatch):
    monkeypatch.setattr(paths, "_LONGEST", 20)
    monkeypatch.setattr(paths, "_STRETCH", 10)
    ends, songs = cloud[:2], cloud[2:]
    artists = np.arange(len(songs)) % 60
    capped = path_between(ends, songs, 100, artists, per_artist=2, taken={0: 1})
    counts = np.bincount(artists[capped.places], minlength=60)
    assert (len(capped.places), counts.max(), counts[0]) == (100, 2, 1)
    found = path_between(ends, songs, 100)
    assert len(set(found.places.tolist())) == 100
    angle = np.arctan2(songs[found.places, 1], songs[found.places, 0])
    assert np.corrcoef(angle, np.arange(100))[0, 1] > 0.97


def test_a_corridor_has_songs_all_along_the_way():
    rng = np.random.default_rng(0)
    crowd = arc(rng.normal(0.1, 0.02, 2000))  # near one end, where most songs are
    songs = np.concatenate([crowd, arc(np.linspace(0.3, 1.5, 25))])
    ends = arc(np.array([0.0, 1.5]))
    size = corridor_size(8)
    rows = corridor(songs, np.arange(len(songs)), ends, size)
    assert len(set(rows.tolist())) == size
    assert (rows >= 2000).sum() >= 20
