"""The content map: ridge and metadata effects by hand, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from datasets.errors import InvalidArgumentError
from recsys.config import ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.content.regression import KINDS, MapCandidate, artist_folds, fit_maps
from tests.helpers.recommenders import item_content
from tests.helpers.thorough import times

ARRAYS = ("intercept", "weights", "effects", "bare_intercept", "bare_effects")


def fit(content, targets, listeners, artists=None, **settings):
    targets = np.asarray(targets, np.float32)
    artists = np.arange(len(targets)) if artists is None else np.asarray(artists)
    config = ContentMapConfig(**{"kind": "ridge", **settings})
    return ContentMap.fit(content, targets, np.asarray(listeners), artists, config)


# ------------------------------------------------------------------ ridge


@pytest.mark.parametrize(("strength", "slope"), [(0.25, 1.6), (1.0, 1.0), (3.0, 0.5)])
def test_ridge_in_one_dimension(strength, slope):
    # y = 3 + 2e. In one dimension the penalty's unit is the scatter itself, so the slope shrinks
    # to 2 / (1 + strength), about the mean (e, y) = (2, 7) whatever the strength.
    map_ = fit(item_content([[0], [2], [4]]), [[3], [7], [11]], [10, 10, 10], strengths=(strength,))
    assert map_.weights.item() == pytest.approx(slope)
    assert map_.intercept.item() == pytest.approx(7 - 2 * slope)
    assert map_.strength == strength
    new = map_.predict(item_content([[10]]))
    assert new.item() == pytest.approx(7 + 8 * slope)
    assert new.dtype == np.float32


def test_items_weigh_what_their_evidence_is_worth():
    # With 10 and 30 listeners and evidence 10, the items weigh 1/2 and 3/4: mean (0.6, 0.6).
    map_ = fit(item_content([[0], [1]]), [[0], [1]], [10, 30], strengths=(0.25,), evidence=10.0)
    assert map_.weights.item() == pytest.approx(0.8)
    assert map_.intercept.item() == pytest.approx(0.6 - 0.6 * 0.8)
    assert map_.bare_intercept.item() == pytest.approx(0.6)


@pytest.mark.parametrize(("n", "width"), [(40, 3), (12, 30)], ids=["tall", "wide"])
def test_ridge_is_scikit_learns(n, width):
    rng = np.random.default_rng(1)
    E, Y = rng.standard_normal((n, width)) + 2, rng.standard_normal((n, 4))
    listeners = rng.integers(1, 50, n)
    map_ = fit(item_content(E), Y, listeners, strengths=(0.3,), evidence=5.0)

    E, Y = E.astype(np.float32).astype(float), Y.astype(np.float32).astype(float)
    w = listeners / (listeners + 5.0)
    centred = (E - np.average(E, axis=0, weights=w)) * np.sqrt(w)[:, None]
    unit = (centred**2).sum() / width  # the mean eigenvalue of the scatter
    peer = Ridge(alpha=0.3 * unit).fit(E, Y, sample_weight=w)
    assert map_.weights == pytest.approx(peer.coef_.T, abs=1e-5)
    assert map_.intercept == pytest.approx(peer.intercept_, abs=1e-5)
    assert map_.predict(item_content(E)) == pytest.approx(peer.predict(E), abs=1e-5)


def test_scale_of_embeddings_does_not_matter():
    rng = np.random.default_rng(2)
    E, Y = rng.standard_normal((30, 5)), rng.standard_normal((30, 2))
    listeners = rng.integers(1, 9, 30)
    small, large = (
        fit(item_content(E * factor), Y, listeners).predict(item_content(E * factor))
        for factor in (1e-3, 1e4)
    )
    assert small == pytest.approx(large, abs=1e-4)


# ------------------------------------------------------------------ what it learns from


def test_learns_from_items_with_listeners_only():
    rng = np.random.default_rng(3)
    E, Y = rng.standard_normal((20, 4)), rng.standard_normal((20, 3)).astype(np.float32)
    metadata = rng.integers(0, 2, (20, 5))
    listeners = np.array([0, 7, 3, 0, 5] * 4)
    before = fit(item_content(E, metadata=metadata), Y, listeners)
    cold = listeners == 0
    Y[cold] += 100
    E[cold] = 9
    metadata[cold] = 1
    after = fit(item_content(E, metadata=metadata), Y, listeners)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert before.strength == after.strength


def test_strength_is_chosen_on_artists_that_were_not_learned_from():
    # An artist's songs sound alike and have one vector that has nothing to do with the sound:
    # what is learned of one artist holds for no other. Where every song counts as an artist of
    # its own, the song's twin is among those learned from, and the least penalty looks best.
    rng = np.random.default_rng(4)
    artists = np.repeat(np.arange(30), 4)
    E = rng.standard_normal((30, 60))[artists] + 1e-3 * rng.standard_normal((120, 60))
    Y = rng.standard_normal((30, 3))[artists]
    listeners = np.full(120, 10)
    strengths = (0.001, 1.0, 1000.0)
    apart = fit(item_content(E), Y, listeners, artists, strengths=strengths)
    mixed = fit(item_content(E), Y, listeners, strengths=strengths)
    assert apart.strength == 1000.0
    assert mixed.strength == 0.001


@given(
    artists=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    folds=st.integers(2, 6),
)
def test_an_artist_is_in_one_fold_and_folds_are_even(artists, folds):
    artists = np.array(artists)
    fold = artist_folds(artists, folds)
    for artist in np.unique(artists):
        assert len(set(fold[artists == artist])) == 1
    sizes = np.bincount(fold, minlength=folds)
    assert len(sizes) == folds
    assert sizes.max() - sizes.min() <= np.bincount(artists).max()


# ------------------------------------------------------------------ metadata


def test_effect_of_a_metadata_value_by_hand():
    # Mean 3; the two items of value A are 1 above it. Each weighs 1/2, and the prior counts as
    # one item more: (1/2 + 1/2) / (1/2 + 1/2 + 1) = 1/2.
    map_ = fit(
        item_content(metadata=[[1], [1], [0]]), [[4], [4], [1]], [10, 10, 10], group_prior=1.0
    )
    assert map_.bare_intercept.item() == pytest.approx(3)
    assert map_.bare_effects.item() == pytest.approx(0.5)
    predicted = map_.predict(item_content(metadata=[[1], [0]]))
    assert predicted.ravel() == pytest.approx([3.5, 3.0])


def test_broad_values_are_explained_first():
    # Mean 4, residuals 2 2 -2 -2. The genre (first three): (1 + 1 - 1) / (1.5 + 0.5) = 0.5, and
    # what it leaves, 1.5 1.5, goes to the artist (first two): 1.5 / (1 + 0.5) = 1.
    map_ = fit(
        item_content(metadata=[[1, 1], [1, 1], [0, 1], [0, 0]]),
        [[6], [6], [2], [2]],
        [10] * 4,
        group_prior=0.5,
    )
    assert map_.bare_effects.ravel() == pytest.approx([1.0, 0.5])


def test_metadata_counts_only_for_what_the_embedding_does_not_say():
    rng = np.random.default_rng(5)
    E = rng.standard_normal((60, 3))
    Y = E @ rng.standard_normal((3, 2))
    metadata = (E[:, :1] > 0).astype(float)  # a genre that can be heard
    map_ = fit(item_content(E, metadata=metadata), Y, [20] * 60)
    assert np.abs(map_.effects).max() < 0.02
    assert np.abs(map_.bare_effects).max() > 0.2
    # The same genre does count for an item that was never heard.
    bare = map_.predict(item_content(np.zeros((1, 3)), [False], [[1]]))
    assert bare == pytest.approx(map_.bare_intercept + map_.bare_effects)


def test_what_an_embedding_says_is_judged_on_items_it_was_not_learned_from():
    # More dimensions than items, all noise: the map repeats what it was fitted to and leaves no
    # residual there. Metadata, which does tell, gets its effect from items held out.
    rng = np.random.default_rng(9)
    metadata = np.eye(2)[np.arange(40) % 2]
    Y = metadata @ [[1.0], [-1.0]]
    E = rng.standard_normal((40, 120))
    map_ = fit(item_content(E, metadata=metadata), Y, [20] * 40, strengths=(1e-6,))
    assert E @ map_.weights + map_.intercept == pytest.approx(Y, abs=0.01)
    assert map_.effects[0] > 0.4
    assert map_.effects[1] < -0.4


# ------------------------------------------------------------------ little or odd content


def test_without_any_embedding_metadata_speaks_alone():
    map_ = fit(item_content(metadata=[[1], [1], [0]]), [[4], [4], [1]], [10, 10, 10])
    assert map_.weights.shape == (0, 1)
    heard_or_not = map_.predict(item_content(metadata=[[0]]))
    assert heard_or_not.item() == pytest.approx(3)


def test_a_single_embedding_says_nothing():
    content = item_content([[1, 2], [0, 0], [0, 0]], [True, False, False])
    map_ = fit(content, [[4], [4], [1]], [10, 10, 10])
    np.testing.assert_array_equal(map_.weights, 0)
    assert map_.predict(content).ravel() == pytest.approx([3, 3, 3])


def test_embeddings_without_listeners_say_nothing():
    content = item_content([[1.0], [2.0], [3.0]], [False, False, True])
    map_ = fit(content, [[4], [2], [9]], [10, 10, 0])
    assert map_.predict(content).ravel() == pytest.approx([3, 3, 3])


@pytest.mark.parametrize("value", [0.0, 0.1, -1e3])
def test_embeddings_that_are_all_alike_predict_the_mean(value):
    rng = np.random.default_rng(6)
    Y, listeners = rng.standard_normal((50, 2)), rng.integers(1, 40, 50)
    map_ = fit(item_content(np.full((50, 7), value)), Y, listeners)
    new = map_.predict(item_content([np.full(7, value), np.full(7, value + 1)]))
    assert new == pytest.approx(np.tile(map_.bare_intercept, (2, 1)), abs=1e-5)


def test_a_single_artist_leaves_a_usable_map():
    rng = np.random.default_rng(7)
    E = rng.standard_normal((30, 2))
    map_ = fit(item_content(E), E @ [[1.0], [2.0]], [10] * 30, np.zeros(30, int))
    assert map_.weights.ravel() == pytest.approx([1, 2], abs=0.05)


@settings(max_examples=times(15, 40))
@given(
    n=st.integers(1, 12),
    width=st.integers(0, 15),
    values=st.integers(0, 4),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_predictions_are_finite_whatever_there_is(n, width, values, seed, scale):
    rng = np.random.default_rng(seed)
    content = item_content(
        scale * rng.standard_normal((n, width)),
        rng.random(n) < (0.7 if width else 0),
        rng.integers(0, 2, (n, values)),
    )
    listeners = rng.integers(0, 4, n)
    map_ = fit(content, rng.standard_normal((n, 3)), listeners, rng.integers(0, 3, n))
    predicted = map_.predict(content)
    assert predicted.shape == (n, 3)
    assert np.isfinite(predicted).all()


def test_saved_and_restored():
    rng = np.random.default_rng(8)
    content = item_content(rng.standard_normal((9, 2)), metadata=rng.integers(0, 2, (9, 3)))
    map_ = fit(content, rng.standard_normal((9, 4)), [3] * 9)
    again = ContentMap.from_arrays(map_.arrays())
    np.testing.assert_array_equal(map_.predict(content), again.predict(content))
    assert again.strength == map_.strength


# ------------------------------------------------------------------ kinds of maps


def material(n=120, width=10, rank=2, noise=0.3):
    rng = np.random.default_rng(10)
    E = rng.standard_normal((n, width))
    Y = E @ rng.standard_normal((width, rank)) @ rng.standard_normal((rank, 6))
    return E, Y + noise * rng.standard_normal(Y.shape)


def test_low_rank_by_hand():
    # Whitened embeddings: the ridge's fit is E·diag(2, 1)/(1 + 0), and rank 1 keeps the first.
    E = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    Y = E @ np.diag([2.0, 1.0]) + [5, 7]
    candidate = MapCandidate("low-rank", 1e-9, 1)
    map_ = fit_maps(E.astype(float), Y, np.ones(4), [candidate])[0]
    assert map_.weights == pytest.approx(np.diag([2.0, 0.0]), abs=1e-6)
    assert map_.intercept == pytest.approx([5, 7])


def test_low_rank_has_that_rank_and_full_rank_is_ridge():
    E, Y = material()
    w = np.ones(len(E))
    low, full = fit_maps(
        E, Y, w, [MapCandidate("low-rank", 0.1, 2), MapCandidate("low-rank", 0.1, 6)]
    )
    assert np.linalg.matrix_rank(low.weights, tol=1e-8) == 2
    peer = fit_maps(E, Y, w, [MapCandidate("ridge", 0.1, 6)])[0]
    assert full(E) == pytest.approx(peer(E))
    # Of all projections of the ridge's fit onto two directions, none is closer to it.
    fitted = peer(E) - peer(E).mean(axis=0)
    lost = np.linalg.norm(peer(E) - low(E)) ** 2
    assert lost == pytest.approx((np.linalg.svd(fitted)[1][2:] ** 2).sum())


def test_cosine_learns_directions_and_gives_their_length_back():
    # Both tastes' directions count alike although one taste's vectors are ten times as long.
    E = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    Y = np.array([[10.0, 0.0], [10.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    map_ = fit_maps(E, Y, np.ones(4), [MapCandidate("cosine", 1e-9, 2)])[0]
    # The units are met exactly, so the factor is the mean length: (10 + 10 + 1 + 1) / 4.
    assert map_(E) == pytest.approx(np.array([[5.5, 0], [5.5, 0], [0, 5.5], [0, 5.5]]), abs=1e-6)


@pytest.mark.slow
def test_a_network_learns_what_no_straight_line_can():
    rng = np.random.default_rng(11)
    E = rng.uniform(-1, 1, (400, 2))
    Y = np.sign(E[:, :1] * E[:, 1:])
    content, listeners = item_content(E), [20] * 400
    line = fit(content, Y, listeners)
    net = fit(content, Y, listeners, kind="mlp", folds=2)
    assert not net.is_affine
    assert line.is_affine
    new = rng.uniform(-1, 1, (200, 2))
    wanted = np.sign(new[:, :1] * new[:, 1:])
    errors = [((map_.predict(item_content(new)) - wanted) ** 2).mean() for map_ in (line, net)]
    assert errors[1] < 0.5 * errors[0]
    assert not fit(content, Y, listeners, kind="auto", folds=2).is_affine
    again = fit(content, Y, listeners, kind="mlp", folds=2)
    np.testing.assert_array_equal(net.predict(content), again.predict(content))
    restored = ContentMap.from_arrays(net.arrays())
    np.testing.assert_array_equal(net.predict(content), restored.predict(content))
    with pytest.raises(InvalidArgumentError, match="this purpose needs a content map that is aff"):
        net.require_affine("this purpose")
    line.require_affine("this purpose")


@pytest.mark.slow
def test_auto_keeps_the_ridge_where_nothing_is_better():
    rng = np.random.default_rng(12)
    E = rng.standard_normal((150, 4))
    Y = E @ rng.standard_normal((4, 4)) + 0.1 * rng.standard_normal((150, 4))
    content, listeners = item_content(E), [20] * 150
    auto, ridge = (fit(content, Y, listeners, kind=kind, folds=2) for kind in ("auto", "ridge"))
    np.testing.assert_array_equal(auto.predict(content), ridge.predict(content))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_bears_embeddings_that_are_all_alike_and_more_dimensions_than_items(kind):
    rng = np.random.default_rng(13)
    Y = rng.standard_normal((12, 3))
    same = item_content(np.full((12, 5), 0.1))
    predicted = fit(same, Y, [10] * 12, kind=kind, folds=2).predict(
        item_content(np.full((2, 5), 9.0))
    )
    assert np.isfinite(predicted).all()
    assert np.abs(predicted).max() < 10
    wide = item_content(rng.standard_normal((12, 40)))
    assert np.isfinite(fit(wide, Y, [10] * 12, kind=kind, folds=2).predict(wide)).all()
    nothing = fit(item_content(np.zeros((12, 0)), [False] * 12), Y, [10] * 12, kind=kind)
    assert nothing.is_affine


def test_a_map_of_the_first_format_opens():
    E, Y = material()
    map_ = fit(item_content(E), Y, [5] * len(E))
    added = ("hidden", "bias", "out", "shrinkage")
    old = {name: array for name, array in map_.arrays().items() if name not in added}
    again = ContentMap.from_arrays(old)
    np.testing.assert_array_equal(again.predict(item_content(E)), map_.predict(item_content(E)))
