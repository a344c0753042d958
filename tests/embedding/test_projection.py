"""Projections: known answers, the same every time, and clear refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from embedding.projection import project

RNG = np.random.default_rng(0)
ROOT = Path(__file__).resolve().parents[2]
CLOUDS = (np.eye(12)[np.repeat([0, 1, 2], 20)] * 10 + RNG.standard_normal((60, 12))).astype(
    np.float32
)


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


def nearest_of_a_group(points):
    """The share of points whose nearest is of the same group."""
    groups = np.repeat([0, 1, 2], len(points) // 3)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return (groups[distances.argmin(axis=1)] == groups).mean()


@pytest.mark.slow
def test_tsne_keeps_neighbours_together_and_the_seed_decides():
    one = project(CLOUDS, "tsne", seed=3)
    assert one.points.shape == (60, 3)
    assert one.points.dtype == np.float32
    assert one.explained is None
    assert one.points.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-3)
    assert (project(CLOUDS, "tsne", seed=3).points == one.points).all()
    assert nearest_of_a_group(one.points) > 0.9


UMAP = """
import json, sys
import numpy as np
from embedding.projection import project
vectors = np.array(json.load(sys.stdin))
found = [project(vectors, "umap", seed=3).points for _ in range(2)]
few = project(vectors[:4], "umap").points
json.dump({"same": bool((found[0] == found[1]).all()), "points": found[0].tolist(),
           "few": few.tolist()}, sys.stdout)
"""


@pytest.mark.slow
def test_umap_keeps_neighbours_together_and_the_seed_decides():
    pytest.importorskip("numba")
    # In a process of its own, where nothing is compiled: that takes longer than these few points.
    run = subprocess.run(
        [sys.executable, "-c", UMAP],
        input=json.dumps(np.vstack([CLOUDS[:8], CLOUDS[20:28], CLOUDS[40:48]]).tolist()),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "umap-learn" in run.stderr:
        pytest.skip("umap-learn is not installed here")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["same"]
    points = np.array(told["points"])
    assert points.shape == (24, 3)
    assert points.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-3)
    assert nearest_of_a_group(points) > 0.9
    assert np.isfinite(told["few"]).all()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_four_songs_are_enough_and_three_are_not(method):
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
