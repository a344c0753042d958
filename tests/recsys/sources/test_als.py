"""The ALS source: implicit's factors, and the content map's for items nobody has played."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from datasets.errors import ColdtuneError
from recsys.config import SOURCES, ALSConfig, ContentMapConfig
from recsys.data import TrainingData
from recsys.sources.als import ALSSource
from recsys.sources.fold_in import Gram, least_squares
from recsys.sources.registry import make_source
from tests.helpers.recommenders import item_content

SMALL = ALSConfig(factors=6, regularization=3.0, alpha=4.0, iterations=4)


def source(shrinkage=None, **changes):
    return ALSSource(SMALL.replace(**changes), ContentMapConfig(shrinkage=shrinkage))


@pytest.mark.parametrize("weighting", ["binary", "log", "linear"])
def test_warm_vectors_are_implicits(tastes_data, weighting):
    vectors = source(shrinkage=0, weighting=weighting).fit(tastes_data)
    plays = tastes_data.plays.copy()
    plays.data = {
        "binary": np.ones_like(plays.data),
        "log": np.log(1 + plays.data),
        "linear": plays.data,
    }[weighting]
    peer = AlternatingLeastSquares(
        factors=6, regularization=3.0, alpha=4.0, iterations=4, random_state=0, num_threads=1
    )
    with threadpool_limits(1):
        peer.fit(plays, show_progress=False)
    np.testing.assert_allclose(vectors.users, peer.user_factors, rtol=1e-4, atol=1e-6)
    warm = tastes_data.user_counts > 0
    np.testing.assert_allclose(vectors.items[warm], peer.item_factors[warm], rtol=1e-4, atol=1e-6)


def test_cold_vectors_are_the_content_maps(tastes_data):
    als = source()
    vectors = als.fit(tastes_data)
    cold = np.flatnonzero(tastes_data.user_counts == 0)
    assert len(cold) == 10
    expected = als.item_vectors(tastes_data.content.take(cold))
    np.testing.assert_array_equal(vectors.items[cold], expected)
    assert vectors.items.dtype == vectors.users.dtype == np.float32
    # They point where the warm items of their taste point.
    taste = np.arange(90) % 3
    warm = tastes_data.user_counts > 0
    centres = np.stack([vectors.items[warm & (taste == t)].mean(axis=0) for t in range(3)])
    centres -= centres.mean(axis=0)
    assert (np.argmax(vectors.items[cold] @ centres.T, axis=1) == taste[cold]).all()


def test_plays_are_left_as_they_were(tastes_data):
    before = tastes_data.plays.copy()
    source(weighting="log").fit(tastes_data)
    np.testing.assert_array_equal(before.toarray(), tastes_data.plays.toarray())


@pytest.mark.parametrize(("weighting", "value"), [("binary", 1), ("log", np.log(8)), ("linear", 7)])
def test_fold_in_weighs_plays_as_the_fit_does(weighting, value):
    history, gram = np.eye(2, dtype=np.float32), np.diag([3.0, 4.0])
    found = source(weighting=weighting).fold_in(history, np.full(2, 7, np.float32), Gram(gram))
    expected = least_squares(history, np.full(2, value, np.float32), gram)
    assert found == pytest.approx(expected)


def test_saved_state_gives_the_same_vectors_to_new_items(tastes_data):
    als = source()
    als.fit(tastes_data)
    again = source().restore(als.arrays())
    n_values = tastes_data.content.metadata.shape[1]
    new = item_content(np.eye(8)[:3], metadata=np.eye(3, n_values))
    np.testing.assert_array_equal(als.item_vectors(new), again.item_vectors(new))


def test_a_solve_that_fails_is_an_error_of_ours(tastes_data):
    plays = tastes_data.plays.copy()
    plays.data[3] = 1e25
    data = TrainingData(plays, tastes_data.content, tastes_data.artists, seed=0, threads=1)
    with pytest.raises(ColdtuneError, match=r"ALS .*als\.regularization"):
        source(weighting="linear").fit(data)


def test_sources_by_name(fitted):
    made = [make_source(name, fitted.config) for name in SOURCES]
    assert [type(one).__name__ for one in made] == [
        "ALSSource", "FMSource", "EASESource", "ContentSource", "PopularitySource",
    ]  # fmt: skip
