"""Shrinkage: the mean by hand, its properties, and that k is what the data makes it."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import ALSConfig, ContentMapConfig
from recsys.content.shrinkage import DEFAULT, GRID, has_content, learned_share, shrink
from recsys.data import ItemContent, TrainingData
from recsys.sources.als import ALSSource
from tests.helpers.recommenders import item_content


def test_mean_by_hand():
    # k = 40: with 10 listeners k' is 30, so that they keep a quarter of what they taught; with 20
    # it is 20, a half; from 40 on nothing is left of the prediction.
    learned = np.full((5, 2), (8, 0), np.float32)
    predicted = np.full((5, 2), (0, 4), np.float32)
    found = shrink(learned, predicted, np.array([0, 10, 20, 40, 500]), 40.0)
    np.testing.assert_array_equal(found, [[0, 4], [2, 3], [4, 2], [8, 0], [8, 0]])
    assert found.dtype == np.float32


@given(n=st.integers(0, 100), more=st.integers(1, 50), k=st.floats(0, 200))
def test_more_listeners_never_count_less(n, more, k):
    few, many = learned_share(np.array([n, n + more]), k)
    assert 0 <= few <= many <= 1


def test_without_shrinkage_a_single_listener_is_enough():
    found = shrink(np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32), np.array([0, 1]), 0)
    np.testing.assert_array_equal(found, [[0], [1]])


@given(
    learned=st.floats(-100, 100, width=32),
    predicted=st.floats(-100, 100, width=32),
    n=st.integers(0, 1000),
    k=st.floats(0, 1000),
)
def test_lies_between_its_ends_and_nears_the_learned_one(learned, predicted, n, k):
    ends = np.float32([[learned]] * 2), np.float32([[predicted]] * 2)
    fewer, more = shrink(*ends, np.array([n, n + 1]), k).ravel()
    rounding = 1e-4 * (abs(learned) + abs(predicted))
    for found in (fewer, more):
        assert min(learned, predicted) - rounding <= found <= max(learned, predicted) + rounding
    assert abs(more - learned) <= abs(fewer - learned) + rounding


def test_content_is_an_embedding_or_a_value_that_is_known():
    content = item_content([[1.0], [0.0], [0.0]], [True, False, False], [[0, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(has_content(content), [True, True, False])


# ------------------------------------------------------------------ in the ALS source


def world(noise, *, n_items=240, n_users=300, dimensions=6):
    """Users and items with tastes; an embedding is an item's taste and this much noise."""
    rng = np.random.default_rng(3)
    users, items = (rng.standard_normal((n, dimensions)) for n in (n_users, n_items))
    scores = users @ items.T + rng.gumbel(size=(n_users, n_items))
    scores += np.where(np.arange(n_items) % 2, 0.0, -2.0)  # every other item has few listeners
    played = np.argsort(-scores, axis=1)[:, :40]
    plays = sp.csr_matrix(
        (np.ones(played.size, np.float32), (np.repeat(np.arange(n_users), 40), played.ravel())),
        shape=(n_users, n_items),
    )
    embeddings = items + noise * rng.standard_normal(items.shape)
    return TrainingData(plays, item_content(embeddings), np.arange(n_items) // 3, seed=0, threads=1)


def als(**settings):
    config = ALSConfig(factors=8, regularization=3.0, iterations=5)
    return ALSSource(config, ContentMapConfig(**settings))


def test_k_is_small_where_content_says_nothing_and_large_where_it_says_all():
    found = []
    for noise in (0.1, 1.0, 30.0):
        source = als()
        source.fit(world(noise))
        assert source.map is not None
        found.append(source.map.shrinkage)
    assert found == sorted(found)[::-1]
    assert found[0] >= 4 * found[2]
    assert set(found) <= set(GRID)


def test_warm_items_are_shrunk_and_those_without_content_keep_what_they_learned():
    data = world(1.0)
    data.content.has_embedding[:5] = False
    data.content.embeddings[:5] = 0
    learned = als(shrinkage=0).fit(data).items
    source = als(shrinkage=7.0)
    items = source.fit(data).items
    np.testing.assert_array_equal(items[:5], learned[:5])
    n = data.user_counts[5:, None]
    assert (n > 0).sum() > 200
    k = 7 * np.maximum(0, 1 - n / 40)
    expected = (n * learned[5:] + k * source.item_vectors(data.content)[5:]) / (n + k)
    np.testing.assert_allclose(items[5:], expected, rtol=1e-5, atol=1e-6)


def test_the_same_data_gives_the_same_k_and_training_is_left_as_it_was():
    data = world(1.0)
    before = data.plays.copy()
    first, second = als(), als()
    np.testing.assert_array_equal(first.fit(data).items, second.fit(data).items)
    assert first.arrays()["shrinkage"] == second.arrays()["shrinkage"]
    assert (data.plays != before).nnz == 0


def test_too_few_items_to_judge_by_leave_the_default(tastes_data):
    few = TrainingData(
        tastes_data.plays[:30], tastes_data.content, tastes_data.artists, seed=0, threads=1
    )
    source = als()
    source.fit(few)
    assert source.map is not None
    assert source.map.shrinkage == DEFAULT


def test_evaluation_items_without_embeddings_are_those_with_metadata():
    data = world(1.0)
    taste = data.content.embeddings.argmax(axis=1)
    n = len(taste)
    content = ItemContent(
        np.zeros((n, 0), np.float32),
        np.zeros(n, bool),
        sp.csr_matrix(np.eye(6, dtype=np.float32)[taste]),
    )
    source = als()
    items = source.fit(replace(data, content=content)).items
    assert source.map is not None
    assert source.map.shrinkage > 0
    assert (items != als(shrinkage=0).fit(replace(data, content=content)).items).any()


@pytest.mark.parametrize("shrinkage", [None, 0.0, 3.0])
def test_k_is_saved_with_the_map(tastes_data, shrinkage):
    source = als(shrinkage=shrinkage)
    source.fit(tastes_data)
    again = als().restore(source.arrays())
    assert source.map is not None
    assert again.map is not None
    assert again.map.shrinkage == source.map.shrinkage
