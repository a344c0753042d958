"""Fold-in: implicit's own recalculation of a user is the oracle."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares

from recsys.sources.fold_in import ALPHA, RIDGE, Gram, least_squares


def test_one_dimension_by_hand(monkeypatch):
    monkeypatch.setattr("recsys.sources.fold_in.ALPHA", 10.0)
    monkeypatch.setattr("recsys.sources.fold_in.RIDGE", 1.0)
    # Items 1, 2 and 2; the last is played twice over. Minimise over p
    #   1·(p - 0)² + 1·(2p - 0)² + 20·(2p - 1)² + 9·p²:  p = 40 / (5 + 80 + 9).
    history, gram = np.array([[2.0]], np.float32), np.array([[9.0]])
    found = least_squares(history, np.array([2.0], np.float32), gram)
    assert found.dtype == np.float32
    assert found.item() == pytest.approx(40 / 94)


@pytest.mark.filterwarnings("ignore:OpenBLAS")
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    n_items=st.integers(1, 30),
    dimension=st.integers(1, 8),
    data=st.data(),
)
def test_is_what_implicit_calculates(seed, n_items, dimension, data):
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items, dimension)).astype(np.float32)
    played = data.draw(st.sets(st.integers(0, n_items - 1)))
    rows = np.array(sorted(played), int)
    weights = rng.uniform(0.2, 5, len(rows)).astype(np.float32)
    gram = items.astype(float).T @ items.astype(float)
    found = least_squares(items[rows], weights, gram)

    peer = AlternatingLeastSquares(
        factors=dimension,
        alpha=ALPHA,
        regularization=RIDGE * np.trace(gram) / dimension,
        dtype=np.float64,
        num_threads=1,
    )
    peer.item_factors = items.astype(float)
    history = sp.csr_matrix((weights, rows, [0, len(rows)]), shape=(1, n_items))
    assert found == pytest.approx(peer.recalculate_user(0, history), abs=1e-5)
    # A short history is solved in the dimension of its length.
    assert Gram(gram).fold_in(items[rows], weights) == pytest.approx(found, abs=1e-6)


def test_order_of_the_history_does_not_matter():
    rng = np.random.default_rng(1)
    items = rng.standard_normal((20, 6)).astype(np.float32)
    weights = rng.uniform(0.5, 3, 20).astype(np.float32)
    gram = (items.T @ items).astype(float)
    order = rng.permutation(20)
    np.testing.assert_allclose(
        least_squares(items, weights, gram),
        least_squares(items[order], weights[order], gram),
        atol=1e-6,
    )


def test_an_empty_history_is_the_zero_vector():
    nothing = least_squares(np.empty((0, 3), np.float32), np.empty(0, np.float32), np.eye(3))
    np.testing.assert_array_equal(nothing, np.zeros(3))


def test_items_that_are_all_zero_give_the_zero_vector():
    nothing = least_squares(np.zeros((2, 3), np.float32), np.ones(2, np.float32), np.zeros((3, 3)))
    np.testing.assert_array_equal(nothing, np.zeros(3))


def test_nothing_to_solve_for_is_the_zero_vector() -> None:
    nothing = np.zeros((2, 3), np.float32)
    found = least_squares(nothing, np.ones(2, np.float32), np.zeros((3, 3)))
    assert found.tolist() == [0, 0, 0]
