"""Every way to give the factorization machine embeddings: what cold items get, and what is kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightfm import LightFM

from datasets.errors import ColdtuneError, InvalidArgumentError
from recsys.config import ContentMapConfig, FMConfig
from recsys.sources.lightfm import FMSource
from recsys.sources.lightfm_model import (
    EmbeddingFeatures,
    as_lightfm,
    binary_interactions,
    feature_matrix,
    new_model,
    train_model,
    tune_model,
)
from tests.helpers.recommenders import item_content, training_data

SCHEMES = ("closed-form", "closed-form+tuning", "dense", "pca")
SMALL = FMConfig(components=8, epochs=8, learning_rate=0.05, tuning_epochs=2, pca_components=4)


def source(scheme, content_map=None, **changes):
    config = SMALL.replace(embedding_features=scheme, **changes)
    return FMSource(config, content_map or ContentMapConfig(kind="ridge"))


def taste_gap(vectors, data):
    """Mean score of cold items for users of their taste, less that for the others."""
    cold = np.flatnonzero(data.user_counts == 0)
    scores = vectors.users @ vectors.items[cold].T
    alike = np.arange(len(scores))[:, None] % 3 == cold[None] % 3
    return scores[alike].mean() - scores[~alike].mean()


@pytest.fixture(scope="module", params=SCHEMES)
def trained(request, tastes_data):
    fm = source(request.param)
    return fm, fm.fit(tastes_data)


def test_cold_items_get_vectors_that_tell_their_taste(trained, tastes_data):
    fm, vectors = trained
    assert vectors.items.shape == (90, 9)
    np.testing.assert_array_equal(vectors.users[:, -1], 1)
    assert taste_gap(vectors, tastes_data) > 0.05
    cold = np.flatnonzero(tastes_data.user_counts == 0)
    expected = fm.item_vectors(tastes_data.content.take(cold))
    # Not to the bit: some items at a time, BLAS adds in another order than for all of them.
    np.testing.assert_allclose(vectors.items[cold], expected, rtol=1e-5, atol=1e-6)


def test_every_scheme_is_an_ordinary_lightfm_model(trained, tastes_data):
    fm, vectors = trained
    model, features = as_lightfm(vectors, tastes_data.content, fm.map, tastes_data.user_counts)
    users, items = np.indices((len(vectors.users), 90))
    theirs = model.predict(users.ravel(), items.ravel(), item_features=features)
    ours = vectors.users @ vectors.items.T
    assert theirs.reshape(ours.shape) == pytest.approx(ours, abs=1e-5 * float(np.abs(ours).max()))
    representation = features @ model.item_embeddings
    warm = tastes_data.user_counts > 0
    scale = float(np.abs(vectors.items).max())
    assert representation[warm] == pytest.approx(vectors.items[warm, :-1], abs=1e-6 * scale)


@pytest.mark.parametrize("scheme", ["dense", "pca"])
def test_a_cold_items_vector_is_its_features_with_lightfms_embeddings(tastes_data, scheme):
    fm = source(scheme)
    vectors = fm.fit(tastes_data)
    listeners, content = tastes_data.user_counts, tastes_data.content
    warm, cold = np.flatnonzero(listeners > 0), np.flatnonzero(listeners == 0)
    known = content.take(warm)
    dense = EmbeddingFeatures.fit(known, fm.config)
    features = feature_matrix(known, dense)
    assert features.shape == (80, 80 + content.metadata.shape[1] + (4 if scheme == "pca" else 8))
    peer = LightFM(no_components=8, loss="warp", learning_rate=0.05, random_state=0)
    peer.fit(binary_interactions(tastes_data, warm), item_features=features, epochs=8)
    assert vectors.items[warm, :-1] == pytest.approx(features @ peer.item_embeddings, abs=1e-6)

    of_cold = feature_matrix(content.take(cold), dense)[:, len(cold) :]
    assert vectors.items[cold, :-1] == pytest.approx(
        of_cold @ peer.item_embeddings[80:], rel=1e-5, abs=1e-5
    )
    assert vectors.items[cold, -1] == pytest.approx(of_cold @ peer.item_biases[80:], abs=1e-5)


def test_tuning_starts_where_the_closed_form_ends(tastes_data):
    data = tastes_data
    warm = np.flatnonzero(data.user_counts > 0)
    closed = source("closed-form")
    before = closed.fit(data)
    # Steps this small go nowhere, so what comes back is what was put in, by another road.
    still = SMALL.replace(learning_rate=1e-12)
    vectors, map_ = tune_model(
        type(before)(before.users, before.items[warm]),
        data.content.take(warm),
        closed.map,
        binary_interactions(data, warm),
        still,
        seed=0,
        threads=1,
    )
    assert vectors.items == pytest.approx(before.items[warm], abs=1e-5)
    assert vectors.users == pytest.approx(before.users, abs=1e-6)
    assert map_.predict(data.content) == pytest.approx(closed.map.predict(data.content), abs=1e-5)

    tuned = source("closed-form+tuning").fit(data)
    assert np.abs(tuned.items - before.items).max() > 1e-3


def test_saved_state_gives_the_same_vectors_to_new_items(trained, tastes_data):
    fm, _ = trained
    arrays = fm.arrays()
    assert not any(array.dtype.hasobject for array in arrays.values())
    again = FMSource(fm.config, ContentMapConfig()).restore(arrays)
    m = tastes_data.content.metadata.shape[1]
    new = item_content(np.eye(8)[:3], [True, True, False], np.eye(3, m))
    found = again.item_vectors(new)
    np.testing.assert_array_equal(found, fm.item_vectors(new))
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("heard", [0, 1])
def test_where_nothing_or_one_item_is_heard(tastes, scheme, heard):
    dataset, embeddings = tastes
    embeddings = embeddings.iloc[:heard] if heard else embeddings.iloc[:0, :0]
    vectors = source(scheme, epochs=2).fit(training_data(dataset, embeddings))
    assert np.isfinite(vectors.items).all()
    assert vectors.items.any(axis=1).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_embedding_column_that_stands_still_says_nothing(tastes, scheme):
    dataset, embeddings = tastes
    data = training_data(dataset, embeddings.assign(still=1000.0))
    vectors = source(scheme).fit(data)
    assert np.isfinite(vectors.items).all()
    assert taste_gap(vectors, data) > 0.05


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_unit_of_the_embeddings_does_not_matter_to_descent(tastes, scheme):
    dataset, embeddings = tastes
    one, other = (
        source(scheme).fit(training_data(dataset, embeddings * factor)) for factor in (1, 1000)
    )
    assert other.items == pytest.approx(one.items, abs=1e-3 * float(np.abs(one.items).max()))


def test_features_much_too_large_are_noticed(tastes_data):
    """Adagrad bears a lot, but not this rate with a thousand times the size that ours have."""
    warm = np.flatnonzero(tastes_data.user_counts > 0)
    known = tastes_data.content.take(warm)
    features = feature_matrix(known, EmbeddingFeatures.fit(known, SMALL)) * 1000
    model = new_model(SMALL.replace(learning_rate=0.9), 0)
    with pytest.raises(ColdtuneError, match=r"diverged|could not be trained"):
        train_model(model, binary_interactions(tastes_data, warm), features, epochs=8, threads=1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_divergence_is_an_error_of_ours(tastes_data, scheme):
    with pytest.raises(ColdtuneError, match="could not be trained"):
        source(scheme, item_penalty=10.0, learning_rate=0.99, epochs=30).fit(tastes_data)


@pytest.mark.slow
def test_a_network_for_a_map_cannot_be_tuned(tastes_data):
    with pytest.raises(InvalidArgumentError, match=r"closed-form\+tuning.* affine"):
        source("closed-form+tuning", ContentMapConfig(kind="mlp")).fit(tastes_data)


@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 10**6), st.booleans())
def test_dense_features_have_a_mean_of_zero_and_a_mean_square_sum_of_one(n, width, seed, pca):
    rng = np.random.default_rng(seed)
    table = rng.normal(rng.normal(size=width), rng.uniform(0.1, 100, width), (n, width))
    content = item_content(table)
    scheme = "pca" if pca else "dense"
    features = EmbeddingFeatures.fit(content, SMALL.replace(embedding_features=scheme))
    values = features.transform(content)
    assert values.shape == (n, min(n, width, 4) if pca else width)
    assert values.mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert (values.astype(float) ** 2).sum(axis=1).mean() == pytest.approx(1, abs=1e-4)
    unheard = item_content(table, [False] * n)
    assert not features.transform(unheard).any()


def test_standardised_features_by_hand():
    # Deviations 1 and 10 over the first two items; two columns, so each is divided by √2 too.
    content = item_content([[1, 10], [3, 30], [5, 0]], [True, True, False])
    features = EmbeddingFeatures.fit(content, SMALL)
    a = 1 / np.sqrt(2)
    assert features.transform(content) == pytest.approx(np.array([[-a, -a], [a, a], [0, 0]]))
    intercept, weights = features.map_to_embeddings(np.array([5.0]), np.array([[1.0], [2.0]]))
    assert weights == pytest.approx(np.array([[a], [2 * a / 10]]))
    assert intercept == pytest.approx(5 - 2 * a - 20 * 2 * a / 10)
