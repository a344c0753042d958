"""The factorization machine: an ordinary LightFM model, embedding features in closed form."""

import numpy as np
import pytest
import scipy.sparse as sp
from lightfm import LightFM

from datasets.errors import ColdtuneError
from recsys.config import ContentMapConfig, FMConfig
from recsys.content.shrinkage import GRID
from recsys.data import ItemContent, TrainingData
from recsys.sources.lightfm import FMSource
from recsys.sources.lightfm_model import as_lightfm, n_epochs
from tests.helpers.recommenders import item_content, training_data

SMALL = FMConfig(components=8, epochs=8, learning_rate=0.05)


def source(shrinkage=0.0, **changes):
    return FMSource(SMALL.replace(**changes), ContentMapConfig(kind="ridge", shrinkage=shrinkage))


@pytest.fixture(scope="module")
def trained(tastes_data):
    fm = source()
    return fm, fm.fit(tastes_data)


@pytest.fixture(scope="module")
def peer(tastes_data):
    """LightFM as it comes, on identity and metadata of the warm items."""
    warm = np.flatnonzero(tastes_data.user_counts > 0)
    metadata = tastes_data.content.metadata[warm]
    features = sp.hstack([sp.identity(len(warm)), metadata]).tocsr().astype(np.float32)
    model = LightFM(no_components=8, loss="warp", learning_rate=0.05, random_state=0)
    plays = tastes_data.plays[:, warm].tocoo()
    ones = sp.coo_matrix((np.ones(plays.nnz, np.float32), (plays.row, plays.col)), plays.shape)
    return model.fit(ones, item_features=features, epochs=8), features, warm


def test_metadata_takes_part(tastes_data):
    assert tastes_data.content.metadata.shape[1] > 10


def test_warm_items_score_as_lightfm_scores_them(trained, peer):
    _, vectors = trained
    model, features, warm = peer
    users = np.repeat(np.arange(10), len(warm))
    theirs = model.predict(users, np.tile(np.arange(len(warm)), 10), item_features=features)
    theirs = theirs.reshape(10, -1) - model.user_biases[:10, None]
    assert vectors.users[:10] @ vectors.items[warm].T == pytest.approx(theirs, abs=1e-4)


def test_the_closed_form_is_an_ordinary_lightfm_model(tastes_data, trained):
    fm, vectors = trained
    listeners = tastes_data.user_counts
    model, features = as_lightfm(vectors, tastes_data.content, fm.map, listeners)
    assert sp.issparse(features)
    n, m = tastes_data.content.metadata.shape
    assert features.shape == (n, n + 2 + 8 + 2 * m)
    cold = np.flatnonzero(listeners == 0)
    assert features[cold][:, :n].nnz == 0  # nobody has played them: no identity

    users, items = np.indices((len(vectors.users), n))
    theirs = model.predict(users.ravel(), items.ravel(), item_features=features)
    ours = vectors.users @ vectors.items.T
    scale = float(np.abs(ours).max())
    assert theirs.reshape(ours.shape) == pytest.approx(ours, abs=1e-5 * scale)


def test_the_closed_form_leaves_warm_items_as_they_were(tastes_data, trained, peer):
    fm, vectors = trained
    lightfm, identity_features, warm = peer
    model, features = as_lightfm(vectors, tastes_data.content, fm.map, tastes_data.user_counts)
    before = identity_features @ lightfm.item_embeddings
    after = (features @ model.item_embeddings)[warm]
    scale = float(np.abs(before).max())
    assert after == pytest.approx(before, abs=1e-5 * scale)
    biases = (features @ model.item_biases)[warm]
    assert biases == pytest.approx(identity_features @ lightfm.item_biases, abs=1e-5)


@pytest.mark.parametrize("heard", [0, 1, 50])
def test_the_closed_form_where_few_or_none_are_heard(tastes, heard):
    dataset, embeddings = tastes
    if heard == 0:
        embeddings = embeddings.iloc[:0, :0]
    data = training_data(dataset, embeddings.iloc[:heard])
    fm = source(epochs=2)
    vectors = fm.fit(data)
    model, features = as_lightfm(vectors, data.content, fm.map, data.user_counts)
    found = features @ model.item_embeddings
    assert found == pytest.approx(vectors.items[:, :-1], abs=1e-5)


def test_cold_items_get_the_content_maps_vectors(tastes_data, trained):
    fm, vectors = trained
    cold = np.flatnonzero(tastes_data.user_counts == 0)
    expected = fm.item_vectors(tastes_data.content.take(cold))
    np.testing.assert_array_equal(vectors.items[cold], expected)
    assert vectors.items.shape == (90, 9)
    np.testing.assert_array_equal(vectors.users[:, -1], 1)  # takes the items' bias


def test_cold_items_take_no_part_in_training(tastes_data, trained):
    # WARP samples negatives among all items that it is given.
    more = 40
    n, m = tastes_data.content.metadata.shape
    plays = sp.csr_matrix(
        (tastes_data.plays.data, tastes_data.plays.indices, tastes_data.plays.indptr),
        shape=(tastes_data.plays.shape[0], n + more),
    )
    content = tastes_data.content
    wider = ItemContent(
        np.vstack([content.embeddings, np.ones((more, 8), np.float32)]),
        np.append(content.has_embedding, np.ones(more, bool)),
        sp.vstack([content.metadata, np.ones((more, m), np.float32)]).tocsr(),
    )
    artists = np.append(tastes_data.artists, 1000 + np.arange(more))
    vectors = source().fit(TrainingData(plays, wider, artists, seed=0, threads=1))
    warm = np.flatnonzero(tastes_data.user_counts > 0)
    np.testing.assert_array_equal(vectors.users, trained[1].users)
    np.testing.assert_array_equal(vectors.items[warm], trained[1].items[warm])


def test_one_thread_learns_the_same_twice_and_another_seed_something_else(tastes, trained):
    same, other = (source().fit(training_data(*tastes, seed=seed)) for seed in (0, 1))
    np.testing.assert_array_equal(same.items, trained[1].items)
    assert not np.allclose(other.items, trained[1].items)


def test_play_counts_do_not_matter_only_plays(tastes_data, trained):
    plays = tastes_data.plays.copy()
    plays.data[:] = 1
    data = TrainingData(plays, tastes_data.content, tastes_data.artists, seed=0, threads=1)
    np.testing.assert_array_equal(source().fit(data).items, trained[1].items)


@pytest.mark.parametrize("loss", ["bpr", "logistic"])
def test_other_losses_learn(tastes_data, loss):
    vectors = source(loss=loss).fit(tastes_data)
    assert np.isfinite(vectors.items).all()
    assert vectors.items.any(axis=1).all()


def test_divergence_to_infinity_is_an_error_of_ours(tastes_data):
    with pytest.raises(ColdtuneError, match="could not be trained"):
        source(item_penalty=10.0, learning_rate=0.99, epochs=30).fit(tastes_data)


def test_vectors_that_grow_out_of_bounds_are_an_error_too(tastes_data, monkeypatch):
    # LightFM reports nothing where vectors are finite, however long.
    honest = LightFM.fit_partial

    def diverge(model, *args, **kwargs):
        honest(model, *args, **kwargs)
        model.item_embeddings *= 1e6
        return model

    monkeypatch.setattr(LightFM, "fit_partial", diverge)
    with pytest.raises(ColdtuneError, match=r"diverged .*fm\.learning_rate, now 0\.05"):
        source(epochs=1).fit(tastes_data)


def test_saved_state_gives_the_same_vectors_to_new_items(tastes_data, trained):
    fm, _ = trained
    again = source().restore(fm.arrays())
    m = tastes_data.content.metadata.shape[1]
    new = item_content(np.eye(8)[:2], [True, False], np.eye(2, m))
    np.testing.assert_array_equal(fm.item_vectors(new), again.item_vectors(new))


def test_warm_items_are_shrunk_towards_the_content_maps_prediction(tastes_data, trained):
    _, learned = trained
    shrunk = source(shrinkage=5.0)
    items = shrunk.fit(tastes_data).items
    n = tastes_data.user_counts[:, None]
    predicted = shrunk.item_vectors(tastes_data.content)
    k = 5 * np.maximum(0, 1 - n / 40)
    expected = (n * learned.items + k * predicted) / (n + k)
    np.testing.assert_allclose(items, expected, rtol=1e-4, atol=1e-6)


def test_how_much_is_chosen_on_data(tastes_data):
    chosen = source(shrinkage=None)
    chosen.fit(tastes_data)
    assert chosen.map.shrinkage in GRID


@pytest.mark.parametrize(
    ("plays", "epochs"), [(0, 100), (300_000, 100), (600_000, 50), (3_000_000, 10), (10**8, 10)]
)
def test_passes_go_by_the_number_of_plays_unless_they_are_given(plays, epochs):
    assert n_epochs(FMConfig(), plays) == epochs
    assert n_epochs(FMConfig(epochs=7), plays) == 7
