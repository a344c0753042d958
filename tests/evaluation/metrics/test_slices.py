import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from evaluation.comparison.comparison import compare
from evaluation.metrics.beyond_accuracy import ItemFacts
from evaluation.metrics.hits import HitMatrix
from evaluation.metrics.ranking import ndcg, recall
from evaluation.metrics.slices import Slices, activity_thirds, popularity_thirds, warmth
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.warm import warm_split


def facts(listeners, genres=None, names=("rock", "jazz")):
    listeners = np.array(listeners)
    genres = np.full(len(listeners), -1) if genres is None else np.array(genres)
    return ItemFacts(
        listeners=listeners,
        n_users_training=20,
        artists=np.arange(len(listeners)),
        genres=genres,
        genre_names=pd.Index(names, dtype=object),
        history=sp.csr_matrix((2, len(listeners))),
    )


def hits(items, relevant, n_items):
    """Lists of items by number, and what each user likes."""
    items = np.array(items)
    matrix = np.array(
        [np.isin(row, sorted(likes)) for row, likes in zip(items, relevant, strict=True)]
    )
    n_relevant = np.array([len(likes) for likes in relevant])
    return HitMatrix(matrix & (items >= 0), n_relevant, (items >= 0).sum(axis=1), items)


def pairs(relevant):
    rows = [(user, item) for user, likes in enumerate(relevant) for item in sorted(likes)]
    return tuple(np.array(rows).T)


def test_names_by_hand():
    assert warmth(np.array([0, 1, 9, 10])).tolist() == ["cold", "semi-cold", "semi-cold", "warm"]
    # 12 plays: the first item has the first third, the next two (tied) begin in the second.
    found = popularity_thirds(np.array([4, 3, 3, 1, 1, 0]))
    assert found.tolist() == ["head", "middle", "middle", "tail", "tail", "tail"]
    assert popularity_thirds(np.zeros(3, np.int64)).tolist() == ["tail"] * 3
    assert activity_thirds(np.array([1, 2, 3, 4, 5, 6])).tolist() == [
        "light", "light", "medium", "medium", "heavy", "heavy",
    ]  # fmt: skip
    assert set(activity_thirds(np.array([5, 5, 5]))) == {"light"}


def test_figures_of_slices_by_hand():
    # Items 0 and 1 are warm, 2 semi-cold, 3 cold; user 0 likes 0, 1 and 3, user 1 likes 2.
    relevant = [{0, 1, 3}, {2}]
    slices = Slices(pairs(relevant), facts([20, 10, 5, 0], [0, 1, 1, -1]), np.array([3, 9]))
    found = slices.values(hits([[0, 3, 2], [1, 2, -1]], relevant, 4), (1, 3))
    assert slices.rows["items", "warm"].tolist() == [0]
    assert found["items", "warm", "recall", 3].tolist() == [0.5]
    assert found["items", "cold", "recall", 1].tolist() == [0.0]
    assert found["items", "cold", "recall", 3].tolist() == [1.0]
    # The only cold item is at rank 2: 1 / log2(3).
    assert found["items", "cold", "ndcg", 3] == pytest.approx([1 / np.log2(3)])
    # Two warm items, one at rank 1: 1 of 1 + 1 / log2(3).
    assert found["items", "warm", "ndcg", 3] == pytest.approx([1 / (1 + 1 / np.log2(3))])
    assert found["items", "semi-cold", "ndcg", 3] == pytest.approx([1 / np.log2(3)])
    # Jazz is item 1 for user 0, who does not get it, and item 2 for user 1, at rank 2.
    assert slices.rows["genre", "jazz"].tolist() == [0, 1]
    assert found["genre", "jazz", "recall", 3].tolist() == [0.0, 1.0]
    assert found["genre", "unknown genre", "recall", 3].tolist() == [1.0]
    # 35 plays: 20 begin in the first third, 10 begin at 20 / 35, 5 at 30 / 35.
    assert [name for by, name in slices.rows if by == "popularity"] == ["head", "middle", "tail"]
    assert slices.bounds["popularity", "tail"] == (0, 5)
    assert found["listeners", "light", "recall", 3] == pytest.approx([2 / 3])
    assert found["listeners", "heavy", "recall", 3].tolist() == [1.0]
    assert slices.bounds["listeners", "heavy"] == (9, 9)


def test_a_kind_with_one_slice_says_nothing_and_is_left_out():
    relevant = [{0}, {1}]
    slices = Slices(pairs(relevant), facts([0, 0], [0, 0]), np.array([4, 4]))
    assert list(slices.rows) == [("items", "cold")]


def test_genres_beyond_the_largest_are_put_together():
    n = 15
    relevant = [set(range(n)), {0, 1}]
    names = [f"g{i:02d}" for i in range(n)]
    slices = Slices(pairs(relevant), facts([9] * n, range(n), names), np.array([4, 4]))
    genres = [name for by, name in slices.rows if by == "genre"]
    assert genres == [*names[:12], "other genres"]


@pytest.mark.slow
@given(st.data())
def test_slices_of_a_kind_divide_what_is_relevant(data):
    n_items, n_users = 12, 6
    item = st.integers(0, n_items - 1)
    relevant = data.draw(
        st.lists(st.sets(item, min_size=1), min_size=n_users, max_size=n_users), label="relevant"
    )
    listeners = data.draw(st.lists(st.integers(0, 15), min_size=n_items, max_size=n_items))
    genres = data.draw(st.lists(st.integers(-1, 1), min_size=n_items, max_size=n_items))
    activity = data.draw(st.lists(st.integers(0, 9), min_size=n_users, max_size=n_users))
    lists = data.draw(st.lists(st.permutations(range(n_items)), min_size=n_users, max_size=n_users))
    found = hits([row[:5] for row in lists], relevant, n_items)
    slices = Slices(pairs(relevant), facts(listeners, genres), np.array(activity))
    values = slices.values(found, (5,))
    n_hits = found.matrix.sum(axis=1)
    for kind in {by for by, _ in slices.rows}:
        counted = np.zeros(n_users)
        liked = np.zeros(n_users)
        for (by, name), rows in slices.rows.items():
            if by != kind:
                continue
            if kind == "listeners":
                n_relevant = found.n_relevant[rows]
                assert values[by, name, "recall", 5] == pytest.approx(recall(found, 5)[rows])
                assert values[by, name, "ndcg", 5] == pytest.approx(ndcg(found, 5)[rows])
            else:
                n_relevant = slices._n_relevant[by, name]
            counted[rows] += values[by, name, "recall", 5] * n_relevant
            liked[rows] += n_relevant
        np.testing.assert_allclose(counted, n_hits)
        np.testing.assert_array_equal(liked, found.n_relevant)


def test_every_comparison_has_slices(tastes):
    dataset, _ = tastes
    models = {"popularity": Popularity, "random": Random}
    splits = [warm_split(dataset), cold_split(dataset, among=set(dataset.interactions["item_id"]))]
    result = compare(models, dataset, splits, ks=(5,), controls={"random": ""})
    table = result.slices
    assert set(table["split"]) == {"warm", "cold"}
    assert set(table["metric"]) == {"ndcg", "recall"}
    assert (table["control"] == (table["model"] == "random")).all()
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()
    cold = table[(table["split"] == "cold") & (table["by"] == "items")]
    assert set(cold["slice"]) == {"cold"}
    # All that is tested in a cold split is cold, so that slice is the table itself.
    for row in cold.to_dict("records"):
        figure = result.figures()[
            row["split"], row["candidates"], row["model"], row["metric"], row["k"]
        ]
        assert row["mean"] == pytest.approx(figure.mean)
