"""What tests of the indexes share: vectors, brute-force search and a check of hits against it."""

import numpy as np
import pytest

from recsys.index.base import Hits, Seen

RNG = np.random.default_rng(0)
LONG = np.concatenate([RNG.lognormal(0, 1, 300), np.ones(100)])
ITEMS = (RNG.standard_normal((400, 6)) * LONG[:, None]).astype(np.float32)
FITTED = ITEMS[:300]
QUERIES = RNG.standard_normal((5, 6)).astype(np.float32)
USERS = RNG.standard_normal((200, 6)).astype(np.float32)
NONE = np.empty(0, np.intp)


def brute_force(items, query, k, forbidden):
    """Scores of the k best rows that are allowed, best first, and how many there are."""
    allowed = np.setdiff1d(np.arange(len(items)), list(forbidden))
    return np.sort(items[allowed] @ query)[::-1][:k]


def as_seen(rows_of_each):
    return Seen.of([np.array(sorted(rows), np.intp) for rows in rows_of_each])


def check_hits(hits, items, queries, k, forbidden_of_each, exact=True):
    """No filtered or repeated row, none too few, right scores in the right order."""
    assert isinstance(hits, Hits)
    assert (np.diff(hits.query) >= 0).all()
    for number, query in enumerate(queries):
        own = hits.query == number
        rows, scores = hits.item[own], hits.score[own]
        best = brute_force(items, query, k, forbidden_of_each[number])
        assert len(rows) == len(set(rows.tolist())) == len(best)
        assert not set(rows.tolist()) & set(forbidden_of_each[number])
        assert scores == pytest.approx(items[rows] @ query, rel=1e-5, abs=1e-4)
        assert (np.diff(scores) <= 1e-6).all()
        if exact:
            assert scores == pytest.approx(best, rel=1e-5, abs=1e-4)
