"""Lists: the shares of the sources in a score; arrays and tables of one list."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from datasets.errors import InvalidArgumentError, UnknownItemError
from recsys import Recommender
from recsys.fusion import fuse_items, make_blocks
from recsys.ranking import ranking
from recsys.ranking.ranking import RankedIds, source_shares
from tests.helpers.thorough import times


def test_shares_by_hand():
    items = {
        "als": np.array([[1], [-1]], np.float32),
        "fm": np.array([[3], [-3]], np.float32),
        "content": np.array([[-1], [1]], np.float32),
    }
    ones = dict.fromkeys(items, 1.0)
    blocks = make_blocks(items, np.zeros(2, bool), ones, ones)
    # Standard scores of the first item: 1, 1, -1, weighted by the user's vector 1, 3 and 1.
    fused = fuse_items(blocks, items, np.zeros(2, bool))
    assert source_shares(blocks, np.array([1.0, 1.0, 1.0], np.float32), fused).tolist() == [
        [0.25, 0.75, 0.0],  # content speaks against it
        [0.0, 0.0, 1.0],  # only content speaks for it
    ]
    nothing = source_shares(blocks, np.zeros(3, np.float32), fused)
    assert nothing == pytest.approx(np.full((2, 3), 1 / 3))


@settings(max_examples=times(15, 40))
@given(
    seed=st.integers(0, 2**16),
    n_items=st.integers(1, 12),
    dimensions=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_shares_add_to_one(seed, n_items, dimensions):
    rng = np.random.default_rng(seed)
    items = {
        f"source{n}": (rng.standard_normal((n_items, d)) * (rng.random((n_items, 1)) > 0.2)).astype(
            np.float32
        )
        for n, d in enumerate(dimensions)
    }
    weights = dict.fromkeys(items, 1.0)
    blocks = make_blocks(items, np.zeros(n_items, bool), weights, weights)
    fused = fuse_items(blocks, items, np.zeros(n_items, bool))
    for _ in range(5):
        user = rng.standard_normal(fused.shape[1]).astype(np.float32)
        parts = source_shares(blocks, user, fused)
        assert parts.shape == (n_items, len(dimensions))
        assert (parts >= 0).all()
        assert (parts <= 1).all()
        assert parts.sum(axis=1) == pytest.approx(np.ones(n_items))


OPTIONS = [
    {},
    {"k": 1},
    {"k": 1000},
    {"exclude_seen": False, "exclude": ["item-1"]},
    {"only": ["item-3", "item-4"]},
    {"only": []},
    {"where": {"artist": "nobody"}},
    {"per_artist": 1, "diversity": 0.3, "popularity_correction": 0.2},
    {"new": 2},
    {"new": "only"},
    {"discovery": 0.2},
]


def check_same(arrays, table):
    """The arrays are the columns of the table, to the bit."""
    assert isinstance(arrays, RankedIds)
    assert arrays.ids.tolist() == table["item_id"].tolist()
    assert arrays.ids.dtype == object
    assert arrays.scores.tobytes() == table["score"].to_numpy().tobytes()
    assert arrays.scores.dtype == np.float32
    shares = table[[f"share_{name}" for name in arrays.sources]].to_numpy()
    np.testing.assert_array_equal(arrays.shares, shares)
    assert arrays.shares.dtype == np.float64
    assert arrays.new.tolist() == table["new"].tolist() == table["cold"].tolist()
    assert arrays.attrs == table.attrs
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    ids, scores, parts = arrays
    assert (ids is arrays.ids, scores is arrays.scores, parts is arrays.shares) == (True,) * 3


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_arrays_and_table_are_the_same_list(fitted, options):
    user = str(fitted.live.state.user_ids[0])
    names = {f"item-{n}": str(fitted.live.items.ids(np.array([n]))[0]) for n in range(5)}
    own = {
        name: [names[one] for one in value] if name in ("only", "exclude") else value
        for name, value in options.items()
    }
    history = {names["item-1"]: 3.0, names["item-2"]: 1.0}
    for who in ({"user_id": user}, {"user_id": "nobody"}, {"history": history}):
        check_same(fitted.recommend_ids(**who, **own), fitted.recommend(**who, **own))


def test_arrays_of_a_model_that_has_grown(tastes, fit_quickly):
    model = fit_quickly()
    known = np.asarray(model.live.state.embeddings)
    heard = known[np.flatnonzero(model.live.state.has_embedding)[0]]
    model.onboard(item_id="Ünï", title="Ein Lied", embedding=heard)
    model.update(pd.DataFrame({"user_id": ["late"], "item_id": ["Ünï"], "weight": [2.0]}))
    for user in ("late", str(model.live.state.user_ids[0])):
        arrays = model.recommend_ids(user, k=1000, exclude_seen=False)
        check_same(arrays, model.recommend(user, k=1000, exclude_seen=False))
        assert "Ünï" in arrays.ids


def test_arrays_refuse_what_the_table_refuses(fitted):
    for wrong in ({}, {"user_id": "a", "history": ["b"]}, {"user_id": "a", "k": 0}):
        with pytest.raises(InvalidArgumentError) as first:
            fitted.recommend_ids(**wrong)
        with pytest.raises(InvalidArgumentError, match=re.escape(str(first.value))):
            fitted.recommend(**wrong)
    with pytest.raises(UnknownItemError, match="nothing"):
        fitted.recommend_ids(history=["nothing"])
    assert "discovery" in inspect.signature(Recommender.recommend_ids).parameters


def test_a_list_of_one_user_is_made_with_one_thread_of_blas(fitted, monkeypatch):
    found, rank = [], ranking.rank

    def counted(*given):
        found.append({one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})
        return rank(*given)

    monkeypatch.setattr(ranking, "rank", counted)
    with threadpool_limits(3, user_api="blas"):
        fitted.recommend(str(fitted.live.state.user_ids[0]), k=3)
        fitted.recommend_ids(history=fitted.live.items.ids(np.array([1])), k=3)
    assert found == [{1}, {1}]
