from itertools import combinations
from math import log, log2, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.metrics import beyond_accuracy
from evaluation.metrics.beyond_accuracy import (
    CATALOGUE_METRICS,
    LIST_METRICS,
    item_facts,
    list_metrics,
)
from evaluation.metrics.hits import HitMatrix
from tests.helpers.thorough import times

ITEMS = pd.Index(["a", "b", "c", "d", "cold"], dtype=object)
USERS = pd.Index(["u1", "u2", "u3", "new"], dtype=object)
NAN = float("nan")


def catalogue(texts):
    """Items of (item_id, artist, genre)."""
    frame = pd.DataFrame(texts, columns=["item_id", "artist", "genre"])
    return frame.assign(title="", album="")


@pytest.fixture
def training():
    """Five users; listeners are a 4, b 2, c 1, d 0 (a play count of 0 is no listening)."""
    plays = [("u1", "a"), ("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "c"), ("u3", "a")]
    plays += [("x", "a"), ("y", "b")]
    table = pd.DataFrame(plays, columns=["user_id", "item_id"]).assign(weight=1.0)
    table.loc[len(table)] = ["u2", "d", 0.0]
    texts = [("a", "X", "rock"), ("b", " x ", "Rock "), ("c", "", "jazz"), ("d", "", "")]
    return MusicDataset(catalogue(texts), None, table)


@pytest.fixture
def facts(training):
    cold = MusicDataset(catalogue([("cold", "X", "folk")]))
    vectors = pd.DataFrame(
        [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [5.0, 5.0], [9.0, 9.0]],
        index=["a", "b", "c", "cold", "elsewhere"],
    )
    return item_facts(ITEMS, training, USERS, texts=cold, embeddings=vectors)


def hits(*lists, relevant=()):
    """Lists written as "abc" (z is the cold item); ``relevant`` is a set of letters a user."""
    k = max(map(len, lists))
    items = np.array([["abcdz".find(c) for c in one.ljust(k)] for one in lists])
    matrix = np.zeros(items.shape, bool)
    for row, letters in enumerate(relevant):
        matrix[row] = np.isin(items[row], ["abcdz".find(c) for c in letters])
    return HitMatrix(matrix, np.ones(len(lists), int), (items >= 0).sum(axis=1), items)


LISTS = hits("cz", "ab", "", "d", relevant=["z", "ab", "", ""])


def test_facts(facts):
    assert facts.listeners.tolist() == [4, 2, 1, 0, 0]
    assert facts.n_users_training == 5
    assert facts.popularity_rank.tolist() == [1, 2, 3, 4.5, 4.5]
    # a, b and the cold item are by one artist; c and d, without artist, by two others.
    assert facts.artists[0] == facts.artists[1] == facts.artists[4]
    assert len(set(facts.artists)) == 3
    assert facts.genre_names.tolist() == ["Rock", "jazz", "folk"]
    assert facts.genres.tolist() == [0, 0, 1, -1, 2]
    expected = [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0] * 5]
    assert facts.history.toarray().tolist() == expected
    np.testing.assert_allclose(facts.embeddings[4], [sqrt(0.5), sqrt(0.5)], rtol=1e-6)
    assert facts.embeddings[3].tolist() == [0, 0]


def test_facts_without_the_cold_items_texts(training):
    facts = item_facts(ITEMS, training, USERS)
    assert facts.genres.tolist() == [0, 0, 1, -1, -1]
    assert len(set(facts.artists)) == 4
    assert facts.embeddings is None
    assert ("embedding_diversity", 1) not in list_metrics(LISTS, [1], facts)
    with pytest.raises(InvalidArgumentError, match="needs facts with embeddings"):
        LIST_METRICS["embedding_diversity"](LISTS, 1, facts)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (pd.DataFrame([[1.0], [2.0]], index=["a", "a"]), "item 'a' has more than one row"),
        (pd.DataFrame([[1.0], [np.nan]], index=["a", "b"]), "item 'b' has a value that is not fin"),
    ],
)
def test_embeddings_are_checked(training, vectors, message):
    with pytest.raises(EvaluationError, match=message):
        item_facts(ITEMS, training, USERS, embeddings=vectors)


# Of 5 training users, a was played by 4, b by 2, c by 1, d and the cold item by nobody.
# u1 gets c and the cold item, u2 a and b, u3 nothing, and the user without history d alone.
BY_HAND = {
    ("novelty", 1): [log2(5), log2(5 / 4), NAN, log2(5)],
    ("novelty", 2): [log2(5), (log2(5 / 4) + log2(5 / 2)) / 2, NAN, log2(5)],
    # u1 played a and b: 3/5 on average; u2 a and c: 1/2.
    ("popularity_lift", 1): [(1 / 5) / (3 / 5) - 1, (4 / 5) / (1 / 2) - 1, NAN, NAN],
    ("popularity_lift", 2): [(1 / 10) / (3 / 5) - 1, (3 / 5) / (1 / 2) - 1, NAN, NAN],
    ("artist_diversity", 1): [NAN, NAN, NAN, NAN],
    ("artist_diversity", 2): [1, 0, NAN, NAN],
    # c and the cold item: cosine -√½; a and b: at right angles.
    ("embedding_diversity", 2): [1 + sqrt(0.5), 1, NAN, NAN],
    # u1's hit: the cold item, 4.5th by popularity, at rank 2. u2's are where popularity has them.
    ("serendipity", 1): [0, 0, NAN, 0],
    ("serendipity", 2): [(4.5 - 2) / 5 / 2, 0, NAN, 0],
    # u1 plays rock alone and gets none of it; u2 plays rock and jazz and gets rock alone.
    ("miscalibration", 1): [
        log(1 / 0.01),
        0.5 * log(0.5 / (0.99 + 0.005)) + 0.5 * log(0.5 / 0.005),
        NAN,
        NAN,
    ],
}


@pytest.mark.parametrize(("metric", "k"), BY_HAND)
def test_list_metrics_by_hand(facts, metric, k):
    values = LIST_METRICS[metric](LISTS, k, facts)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, BY_HAND[metric, k], rtol=1e-6)


def test_catalogue_metrics_by_hand(facts):
    assert CATALOGUE_METRICS["coverage"](LISTS, 1, facts).tolist() == [1, 0, 1, 1, 0]
    assert CATALOGUE_METRICS["coverage"](LISTS, 2, facts).mean() == 1
    # Everything once: equal. Three of five items once at k = 1: Σ (2 rank - 6) x = 2 (4 - 3) 3 = 6
    # over n Σ x = 15.
    np.testing.assert_allclose(CATALOGUE_METRICS["gini"](LISTS, 2, facts).mean(), 0, atol=1e-15)
    np.testing.assert_allclose(CATALOGUE_METRICS["gini"](LISTS, 1, facts).mean(), 6 / 15)
    one = hits("a", "a", "a", "a")
    np.testing.assert_allclose(CATALOGUE_METRICS["gini"](one, 1, facts).mean(), 4 / 5)
    nothing = CATALOGUE_METRICS["gini"](hits("", "", "", " "), 1, facts)
    assert np.isnan(nothing).all()
    assert CATALOGUE_METRICS["coverage"](hits("", "", "", " "), 1, facts).mean() == 0


def test_k_out_of_range(facts):
    for metric in (*LIST_METRICS.values(), *CATALOGUE_METRICS.values()):
        for k in (0, 3):
            with pytest.raises(InvalidArgumentError, match="k must be 1 to 2"):
                metric(LISTS, k, facts)


@st.composite
def evaluations(draw):
    """Facts of 3 users and 6 items, and lists of up to 4, all drawn."""
    letter = st.sampled_from(["", "p", "q", "r"])
    texts = draw(st.lists(st.tuples(letter, letter), min_size=6, max_size=6))
    table = catalogue([(str(n), *text) for n, text in enumerate(texts)])
    pair = st.tuples(st.sampled_from("uvwx"), st.integers(0, 5).map(str))
    plays = pd.DataFrame(draw(st.lists(pair, max_size=12)), columns=["user_id", "item_id"])
    number = st.integers(-3, 3).map(float)
    vectors = draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=6, max_size=6))
    facts = item_facts(
        pd.Index(table["item_id"], dtype=object),
        MusicDataset(table, None, plays.assign(weight=1.0)),
        pd.Index(list("uvw"), dtype=object),
        embeddings=pd.DataFrame(vectors, index=table["item_id"]),
    )
    items = np.full((3, 4), -1)
    for row in items:
        length = draw(st.integers(0, 4))
        row[:length] = draw(st.permutations(range(6)))[:length]
    matrix = np.array(draw(st.lists(st.booleans(), min_size=12, max_size=12))).reshape(3, 4)
    length = (items >= 0).sum(axis=1)
    return facts, HitMatrix(matrix & (items >= 0), np.full(3, 4), length, items)


@pytest.mark.slow
@settings(max_examples=times(35, 100))
@given(evaluations(), st.integers(1, 4))
def test_list_metrics_are_their_definitions(evaluation, k):
    facts, judged = evaluation
    values = {name: metric(judged, k, facts) for name, metric in LIST_METRICS.items()}
    expected = {name: [] for name in values}
    vectors = facts.embeddings.astype(float)
    for user in range(3):
        listed = [item for item in judged.items[user, :k] if item >= 0]
        history = facts.history[user].indices
        share = facts.popularity
        expected["novelty"].append(
            mean(-log2(max(facts.listeners[i], 1) / max(facts.n_users_training, 1)) for i in listed)
        )
        before = mean(share[i] for i in history)
        expected["popularity_lift"].append(mean(share[i] for i in listed) / before - 1)
        pairs = list(combinations(listed, 2))
        artists = facts.artists
        expected["artist_diversity"].append(mean(artists[i] != artists[j] for i, j in pairs))
        expected["embedding_diversity"].append(
            mean(
                1 - vectors[i] @ vectors[j]
                for i, j in pairs
                if vectors[i].any() and vectors[j].any()
            )
        )
        expected["serendipity"].append(
            mean(
                judged.matrix[user, at] * max(0, facts.popularity_rank[i] - (at + 1)) / 6
                for at, i in enumerate(listed)
            )
        )
        p, q = (
            [mean(facts.genres[i] == g for i in side if facts.genres[i] >= 0) for g in range(3)]
            for side in (history, listed)
        )
        defined = not (np.isnan(p).any() or np.isnan(q).any())
        expected["miscalibration"].append(
            sum(a * log(a / (0.99 * b + 0.01 * a)) for a, b in zip(p, q, strict=True) if a > 0)
            if defined
            else NAN
        )
    for name, value in values.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def mean(values):
    values = [float(value) for value in values]
    return sum(values) / len(values) if values else NAN


@pytest.mark.slow
@settings(max_examples=times(35, 100))
@given(evaluations(), st.integers(1, 4), st.permutations(range(4)))
def test_invariants(evaluation, k, order):
    facts, judged = evaluation
    values = {name: metric(judged, k, facts) for name, metric in LIST_METRICS.items()}
    highest = {"novelty": np.log2(5), "artist_diversity": 1, "serendipity": 1}
    highest |= {"embedding_diversity": 2, "miscalibration": log(100) + 1e-9}
    for name, bound in highest.items():
        defined = values[name][~np.isnan(values[name])]
        assert ((defined >= -1e-12) & (defined <= bound + 1e-12)).all(), name
    assert (values["popularity_lift"][~np.isnan(values["popularity_lift"])] >= -1).all()
    # The order of a whole list says nothing of how varied or how new it is.
    turned = np.full_like(judged.items, -1)
    for row, items in zip(turned, judged.items, strict=True):
        kept = items[list(order)]
        row[: (kept >= 0).sum()] = kept[kept >= 0]
    other = HitMatrix(judged.matrix, judged.n_relevant, judged.n_listed, turned)
    for name in sorted(values.keys() - {"serendipity"}):
        np.testing.assert_allclose(
            LIST_METRICS[name](other, 4, facts), LIST_METRICS[name](judged, 4, facts), atol=1e-6
        )


@pytest.mark.slow
@settings(max_examples=times(35, 100))
@given(evaluations(), st.integers(1, 4))
def test_catalogue_metrics_are_their_definitions(evaluation, k):
    facts, judged = evaluation
    lists = [[item for item in row[:k] if item >= 0] for row in judged.items]
    exposure = np.array([sum(item in one for one in lists) for item in range(6)])
    covered = CATALOGUE_METRICS["coverage"](judged, k, facts)
    assert covered.tolist() == (exposure > 0).tolist()
    # Gini: the mean difference between two items, relative to twice the mean.
    unequal = CATALOGUE_METRICS["gini"](judged, k, facts).mean()
    differences = np.abs(exposure[:, None] - exposure).mean()
    expected = differences / (2 * exposure.mean()) if exposure.any() else NAN
    np.testing.assert_allclose(unequal, expected, atol=1e-12)


def test_blocks_of_users_change_nothing(facts, monkeypatch):
    whole = list_metrics(LISTS, [1, 2], facts)
    assert whole.keys() == {(name, k) for name in LIST_METRICS for k in (1, 2)}
    monkeypatch.setattr(beyond_accuracy, "_CELLS", 3)
    for key, values in list_metrics(LISTS, [1, 2], facts).items():
        np.testing.assert_array_equal(values, whole[key])
