"""Kernel regression: against scikit-learn, by refitting, and at its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from recsys.config import ContentMapConfig
from recsys.content import kernel, mapping
from recsys.content.kernel import fit_kernel, gaussian_kernel, standardisation
from recsys.content.mapping import ContentMap
from tests.helpers.recommenders import item_content

CONFIG = ContentMapConfig()
WIDTHS, STRENGTHS = (0.1, 0.5, 1.0), (0.01, 0.1, 1.0, 10.0)


@pytest.fixture
def waves():
    """Vectors that are a smooth function of the embeddings, with a little noise."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (150, 2))
    Y = np.stack([np.sin(2 * X[:, 0]), X[:, 1] ** 2, X.prod(axis=1)], axis=1)
    E = X * [1, 1000] + [0, 5000]
    return E, Y + 0.05 * rng.standard_normal(Y.shape), rng.uniform(0.2, 1, 150)


def test_the_mean_of_a_gaussian_process(waves):
    E, Y, w = waves
    found = fit_kernel(E, Y, w, np.arange(150), (0.25,), (0.1,))
    X = (E - E.mean(axis=0)) / E.std(axis=0)
    assert found.map.landmarks == pytest.approx(X)
    length = np.sqrt(1 / (2 * found.map.precision))
    # A song of weight w has noise of variance strength / w.
    peer = GaussianProcessRegressor(RBF(length), alpha=0.1 / w, optimizer=None)
    level = np.average(Y, axis=0, weights=w)
    new = X[:20] + 0.1
    expected = peer.fit(X, Y - level).predict(new)
    assert found.map(new * E.std(axis=0) + E.mean(axis=0)) == pytest.approx(expected, abs=2e-3)
    assert found.level == pytest.approx(level)


@pytest.mark.parametrize("large", [500, 2], ids=["by songs", "by landmarks"])
def test_residuals_are_those_of_a_fit_without_the_artist(waves, monkeypatch, large):
    monkeypatch.setattr(kernel, "_LARGE_ARTIST", large)
    E, Y, w = waves
    artists = np.repeat(np.arange(60), [3] * 30 + [2] * 30)
    found = fit_kernel(E, Y, w, artists, (0.5,), (0.3,))
    X = (E - E.mean(axis=0)) / E.std(axis=0)
    K = gaussian_kernel(X, X, found.map.precision)
    for artist in (0, 29, 45):
        own = artists == artist
        left = K[np.ix_(~own, ~own)] + np.diag(0.3 / w[~own])
        # The mean level is that of all songs, as everything is measured from it.
        fitted = K[np.ix_(own, ~own)] @ np.linalg.solve(left, Y[~own] - found.level)
        assert found.residuals[own] == pytest.approx(Y[own] - found.level - fitted, abs=5e-3)


def test_width_and_penalty_suit_the_data(waves):
    E, Y, w = waves
    clear = fit_kernel(E, Y, w, np.arange(150), WIDTHS, STRENGTHS)
    assert clear.settings.strength <= 0.1
    noise = np.random.default_rng(1).standard_normal(Y.shape)
    assert fit_kernel(E, noise, w, np.arange(150), WIDTHS, STRENGTHS).settings.strength == 10.0
    explained = 1 - (clear.residuals**2).sum() / ((Y - Y.mean(axis=0)) ** 2).sum()
    assert explained > 0.9


def test_songs_of_one_artist_do_not_vouch_for_each_other():
    # An artist's songs sound alike and have one vector that has nothing to do with the sound.
    rng = np.random.default_rng(4)
    artists = np.repeat(np.arange(40), 3)
    E = rng.standard_normal((40, 5))[artists] + 1e-3 * rng.standard_normal((120, 5))
    Y = rng.standard_normal((40, 3))[artists]
    apart = fit_kernel(E, Y, np.ones(120), artists, WIDTHS, STRENGTHS)
    mixed = fit_kernel(E, Y, np.ones(120), np.arange(120), WIDTHS, STRENGTHS)
    assert apart.settings.strength == 10.0
    assert mixed.settings.strength == 0.01


def test_far_from_all_songs_it_is_the_mean(waves):
    E, Y, w = waves
    found = fit_kernel(E, Y, w, np.arange(150), WIDTHS, STRENGTHS)
    assert found.map(np.array([[1e6, -1e9]])) == pytest.approx(np.zeros((1, 3)))


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6))
@settings(max_examples=15, deadline=None)
def test_units_of_a_column_do_not_matter(shift, scale):
    rng = np.random.default_rng(2)
    E, Y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    moved = E * [1, scale, 1] + [0, shift * scale, 0]
    plain, other = (
        fit_kernel(X, Y, np.ones(40), np.arange(40), (0.5,), (1.0,)).map(X) for X in (E, moved)
    )
    assert other == pytest.approx(plain, abs=1e-3)


def test_landmarks_lose_little(waves, monkeypatch):
    E, Y, w = waves
    full = fit_kernel(E, Y, w, np.arange(150), (0.5,), (1.0,))
    monkeypatch.setattr(kernel, "LANDMARKS", 60)
    few = fit_kernel(E, Y, w, np.arange(150), (0.5,), (1.0,))
    assert few.map.weights.shape == (60, 3)
    assert np.abs(few.map(E) - full.map(E)).max() < 0.05 * np.abs(full.map(E)).max()


def test_many_songs_choose_on_some_of_them(waves, monkeypatch):
    E, Y, w = waves
    monkeypatch.setattr(kernel, "MOST_TO_CHOOSE", 80)
    found = fit_kernel(E, Y, w, np.arange(150), WIDTHS, STRENGTHS)
    assert found.residuals.shape == (150, 3)
    assert found.settings.strength <= 1.0


@pytest.mark.parametrize("value", [0.0, 1e20, -3.0])
def test_embeddings_that_are_all_alike_predict_the_mean(value):
    E, Y = np.full((10, 4), value), np.arange(20.0).reshape(10, 2)
    found = fit_kernel(E, Y, np.ones(10), np.arange(10), WIDTHS, STRENGTHS)
    predicted = found.level + found.map(E)
    assert np.isfinite(predicted).all()
    assert predicted == pytest.approx(np.broadcast_to(Y.mean(axis=0), (10, 2)))


def test_standardisation_by_hand_and_what_does_not_vary():
    E = np.array([[1.0, 7.0, 1e6], [3.0, 7.0, 1e6 + 0.01]])
    center, inverse = standardisation(E)
    assert center == pytest.approx([2, 7, 1e6])
    assert inverse.tolist() == [1.0, 0.0, 0.0]
    assert standardisation(np.zeros((0, 2)))[1].tolist() == [1.0, 1.0]
    one = standardisation(np.array([[3.0, 4.0]]))
    assert (one[0].tolist(), one[1].tolist()) == ([3.0, 4.0], [1.0, 1.0])


def test_a_kernel_map_predicts_saves_and_opens():
    rng = np.random.default_rng(5)
    E, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 3)).astype(np.float32)
    content = item_content(E)
    map_ = ContentMap.fit(content, Y, np.full(50, 9), np.arange(50), ContentMapConfig())
    assert not map_.is_affine
    assert map_.width in ContentMapConfig().widths
    again = ContentMap.from_arrays(map_.arrays())
    np.testing.assert_array_equal(again.predict(content), map_.predict(content))
    broken = {**map_.arrays(), "kernel_weights": np.zeros((3, 3), np.float32)}
    with pytest.raises(ValueError, match="kernel_weights of a content map"):
        ContentMap.from_arrays(broken)


def test_a_model_without_a_kernel_opens():
    content = item_content([[0.0], [1.0], [2.0]])
    config = ContentMapConfig(kind="ridge")
    targets = np.float32([[0], [1], [2]])
    map_ = ContentMap.fit(content, targets, np.full(3, 9), np.arange(3), config)
    names = ("landmarks", "kernel_weights", "center", "inverse_scale", "precision", "width")
    old = {name: value for name, value in map_.arrays().items() if name not in names}
    opened = ContentMap.from_arrays(old)
    np.testing.assert_array_equal(opened.predict(content), map_.predict(content))


def test_many_songs_are_fitted_on_some_and_all_have_residuals(waves, monkeypatch):
    E, Y, w = waves
    whole = fit_kernel(E, Y, w, np.arange(150), (0.25,), (0.1,))
    monkeypatch.setattr(kernel, "MOST_TO_FIT", 120)
    some = fit_kernel(E, Y, w, np.arange(150), (0.25,), (0.1,))
    assert some.residuals.shape == Y.shape
    # Without a fifth of the songs the map is much the same, and so is what it leaves.
    assert np.abs(some.level + some.map(E) - whole.level - whole.map(E)).mean() < 0.1
    assert (some.residuals**2).mean() < 2 * (whole.residuals**2).mean()
    assert np.isfinite(some.residuals).all()


def test_blocks_do_not_change_predictions(waves, monkeypatch):
    E, Y, _ = waves
    content = item_content(E.astype(np.float32))
    counts = np.full(150, 30)
    map_ = ContentMap.fit(content, Y.astype(np.float32), counts, np.arange(150), CONFIG)
    whole = map_.predict(content)
    monkeypatch.setattr(mapping, "_BLOCK", 40)
    np.testing.assert_allclose(map_.predict(content), whole, rtol=1e-5, atol=1e-5)
