"""Projections: known answers, the same every time, and clear refusals."""

import sys

import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from embedding.projection import project

RNG = np.random.default_rng(0)
GROUPS = np.repeat([0, 1, 2], 20)
CLOUDS = (np.eye(12)[GROUPS] * 10 + RNG.standard_normal((60, 12))).astype(np.float32)


def test_pca_worked_out_by_hand():
    # Centred: ±2 along the first axis, ±1 along the second; variances 8/3 and 2/3 of 10/3.
    vectors = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]])
    found = project(vectors + np.array([5, 7]), dimensions=2)
    assert found.points == pytest.approx(vectors, abs=1e-6)
    assert found.explained == pytest.approx([0.8, 0.2])


def test_pca_s_signs_do_not_depend_on_the_order_of_the_rows():
    shuffled = RNG.permutation(60)
    one, other = project(CLOUDS).points, project(CLOUDS[shuffled]).points
    assert other == pytest.approx(one[shuffled], abs=1e-4)


def test_pca_is_numpy_s_singular_value_decomposition():
    centred = CLOUDS - CLOUDS.mean(axis=0)
    _, s, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    found = project(CLOUDS)
    assert np.abs(found.points) == pytest.approx(np.abs(centred @ axes[:3].T), abs=1e-4)
    assert found.explained == pytest.approx((s**2 / (s**2).sum())[:3])


def test_fewer_directions_than_asked_for():
    line = np.outer(np.arange(5), [1.0, 1.0])
    found = project(line)
    assert found.points.shape == (5, 3)
    assert found.explained == pytest.approx([1, 0, 0])
    assert np.abs(found.points[:, 1:]).max() < 1e-6
    assert found.points[:, 0] == pytest.approx(np.sqrt(2) * (np.arange(5) - 2), abs=1e-6)
    same = project(np.ones((6, 4)))
    assert not same.points.any()
    assert same.explained == pytest.approx([0, 0, 0])


def test_many_vectors_are_projected_as_few_are():
    # Ten times more rows than columns take another way to the same axes.
    many, few = np.tile(CLOUDS, (10, 1)), CLOUDS
    assert project(many).points[:60] == pytest.approx(project(few).points, abs=1e-4)


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_neighbours_stay_together_and_the_seed_decides(method):
    if method == "umap":
        pytest.importorskip("umap")
    one = project(CLOUDS, method, seed=3)
    assert one.points.shape == (60, 3)
    assert one.points.dtype == np.float32
    assert one.explained is None
    assert one.points.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-3)
    assert (project(CLOUDS, method, seed=3).points == one.points).all()
    distances = np.linalg.norm(one.points[:, None] - one.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    assert (GROUPS[nearest] == GROUPS).mean() > 0.9


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_four_songs_are_enough_and_three_are_not(method):
    if method == "umap":
        pytest.importorskip("umap")
    assert np.isfinite(project(CLOUDS[:4], method).points).all()
    with pytest.raises(InvalidArgumentError, match=r"at least 4 .* shape \(3, 12\)"):
        project(CLOUDS[:3], method)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "mds"}, "method must be one of pca, umap, tsne"),
        ({"dimensions": 0}, "dimensions must be at least 1"),
        ({"vectors": np.full((5, 2), np.nan)}, "not a finite number"),
        ({"vectors": np.ones(9)}, r"shape \(9,\)"),
        ({"vectors": np.ones((9, 0))}, r"shape \(9, 0\)"),
    ],
)
def test_what_cannot_be_projected(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        project(**{"vectors": CLOUDS} | arguments)


def test_without_umap_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'coldtune\[map\]'"):
        project(CLOUDS, "umap")
