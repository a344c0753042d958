"""BlendCandidates of validation users: new to the user, of one kind, each once."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.data import TrainingData
from recsys.training.validation import ValidationSplit
from recsys.training.validation_lists import SourceVectors, candidates
from tests.helpers.recommenders import item_content


def array(rows):
    return np.array(rows, np.float32)


@pytest.fixture
def scored():
    """One user and five items: 0 was learned from, 1 and 2 held out (2 was played), 3 and 4 held
    out whole (4 was played). Scores by source: a 5 4 3 2 1, b 1 2 3 4 5."""
    # A second user makes items 1 and 2 warm.
    plays = sp.csr_matrix(array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]]))
    data = TrainingData(plays, item_content(np.zeros((5, 1))), np.arange(5), seed=0, threads=1)
    user = array([[1.0]])
    return (
        SourceVectors(
            data,
            {"a": user, "b": user},
            {"a": array([[5], [4], [3], [2], [1]]), "b": array([[1], [2], [3], [4], [5]])},
        ),
        ValidationSplit(
            data,
            dense=data,
            held_cold=sp.csr_matrix(array([[0, 0, 0, 0, 1]])),
            held_plays=sp.csr_matrix(array([[0, 0, 1, 0, 0]])),
            cold_items=np.array([3, 4]),
        ),
    )


@pytest.mark.parametrize(
    ("cold", "wanted", "relevant"),
    [(False, [(4, 2), (3, 3)], [3]), (True, [(2, 4), (1, 5)], [1])],
)
def test_candidates_are_new_to_the_user_and_of_one_kind(scored, cold, wanted, relevant):
    vectors, split = scored
    held, pool = (split.held_cold, [3, 4]) if cold else (split.held_plays, [0, 1, 2])
    found = candidates(vectors, np.array([0]), held, np.array(pool))
    scores, hits = found.scores, found.relevant
    stands = np.isfinite(scores[0, 0])
    # Each once, though both sources propose it.
    assert sorted(zip(*scores[:, 0, stands].tolist(), strict=True)) == sorted(wanted)
    assert scores[0, hits].tolist() == relevant


def test_memory_for_candidates_does_not_grow_with_sources_and_little_with_items():
    rng = np.random.default_rng(0)
    n, names = 40_000, [f"source {number}" for number in range(5)]
    plays, held = (sp.random(256, n, k / n, "csr", np.float32, rng=rng) for k in (50, 5))
    vectors = SourceVectors(
        SimpleNamespace(plays=plays, threads=1),
        {name: rng.normal(size=(256, 4)).astype(np.float32) for name in names},
        {name: rng.normal(size=(n, 4)).astype(np.float32) for name in names},
    )
    tracemalloc.start()
    try:
        candidates(vectors, np.arange(256), held, np.arange(n))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / n < 600  # bytes an item; scores of all users and items would be 1,024 a source
