"""Reordering candidates, worked by hand: variety, fewer hits, a cap on artists."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.index.base import Hits
from recsys.ranking.reranking import Likeness, correct_popularity, mmr, within_cap
from tests.helpers.recommenders import QUICK


def hits(*lists):
    """Hits of queries from their (item, score) pairs."""
    query = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    item = np.array([item for one in lists for item, _ in one], np.intp)
    return Hits(query, item, np.array([score for one in lists for _, score in one], np.float32))


def angles(*degrees):
    """Unit vectors in a plane."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


# Relevance 3, 2.5, 2, 1 becomes 1, .75, .5, 0. Cosines with the first: b .9397, c .5, d 0;
# b with c .7660, b with d .3420, c with d .8660.
FOUR = np.array([3.0, 2.5, 2.0, 1.0])
LIKENESS = Likeness(angles(0, 20, 60, 90), None)


@pytest.mark.parametrize(
    ("diversity", "expected"),
    [
        (0.0, [0, 1, 2, 3]),
        # Second: b .8·.75 - .2·.940 = .412, c .8·.5 - .2·.5 = .300, d 0.
        # Third: c .4 - .2·.766 = .247, d 0 - .2·.342 = -.068.
        (0.2, [0, 1, 2, 3]),
        # Second: b .5·.75 - .5·.940 = -.095, c .5·.5 - .5·.5 = 0, d 0: c stands before d.
        # Third: b .375 - .5·.940 = -.095, d 0 - .5·.866 = -.433.
        (0.5, [0, 2, 1, 3]),
        # Second: b .3·.75 - .7·.940 = -.433, c .3·.5 - .7·.5 = -.2, d 0.
        # Third: b .225 - .7·.940 = -.433, c .15 - .7·.866 = -.456.
        (0.7, [0, 3, 1, 2]),
        # Second: d, which has nothing of a. Third: b at most .940 alike, c at most .866.
        (1.0, [0, 3, 2, 1]),
    ],
)
def test_variety_by_hand(diversity, expected):
    # The tie of the third case is .5·.5 - .5·cos 60°, which rounding could break either way.
    relevance = FOUR + (np.array([0, 0, 1e-3, 0]) if diversity == 0.5 else 0)
    assert mmr(relevance, LIKENESS, 4, diversity).tolist() == expected
    assert mmr(relevance, LIKENESS, 2, diversity).tolist() == expected[:2]


def test_variety_under_a_cap():
    artist = np.array([7, 7, 7, -1])
    assert mmr(FOUR, LIKENESS, 4, 0.2, artist, 1).tolist() == [0, 3]
    assert mmr(FOUR, LIKENESS, 4, 0.2, artist, 2).tolist() == [0, 1, 3]
    assert mmr(FOUR, LIKENESS, 4, 0.2, np.full(4, -1), 1).tolist() == [0, 1, 2, 3]


def test_equal_scores_leave_variety_to_decide():
    assert mmr(np.ones(4), LIKENESS, 3, 0.1).tolist() == [0, 3, 2]


def test_items_without_an_embedding_are_compared_by_all_sources():
    sound = np.vstack([angles(0, 60), np.zeros((1, 2), np.float32)])
    fused = angles(0, 10, 90)
    likeness = Likeness(sound, fused)
    assert likeness.to(0) == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert likeness.to(2) == pytest.approx([0, np.cos(np.deg2rad(80)), 1], abs=1e-6)


def test_correction_by_hand():
    # Scores 1, 2, 3: deviation √(2/3). Listeners e-1, e²-1, e³-1 have logs 1, 2, 3 of one more.
    pool = hits([(0, 3), (1, 2), (2, 1)], [(3, 5), (4, 5)])
    z = np.sqrt(1.5)
    listeners = np.array([100, 0, 0, 7, 7])
    high = np.sqrt(2)  # of one that differs from two that are alike, over their deviation
    assert correct_popularity(pool, listeners, 1.0) == pytest.approx(
        [z - high, high / 2, -z + high / 2, 0, 0], abs=1e-9
    )
    assert correct_popularity(pool, listeners, 0.5)[:3] == pytest.approx(
        [z - high / 2, high / 4, -z + high / 4]
    )
    assert correct_popularity(pool, listeners, 0.0)[:3] == pytest.approx([z, 0, -z])


def test_cap_by_hand():
    pool = hits([(0, 9), (1, 8), (2, 7), (3, 6)], [(1, 5), (0, 4), (3, 3)])
    artist = np.array([4, 4, -1, -1, 4, 4, -1])
    found = within_cap(pool, artist, 1, 3)
    assert found.query.tolist() == [0, 0, 0, 1, 1]
    assert found.item.tolist() == [0, 2, 3, 1, 3]
    assert found.score.tolist() == [9, 7, 6, 5, 3]
    assert within_cap(pool, None, None, 1).item.tolist() == [0, 1]


@given(
    lists=st.lists(st.lists(st.integers(-1, 3), max_size=12), min_size=1, max_size=4),
    cap=st.integers(1, 3),
    k=st.integers(1, 8),
)
def test_cap_is_what_walking_down_the_list_gives(lists, cap, k):
    pool = hits(*([(n, -n) for n in range(len(one))] for one in lists))
    found = within_cap(pool, np.array([a for one in lists for a in one], np.intp), cap, k)
    for query, artists in enumerate(lists):
        taken: list[int] = []
        for item, artist in enumerate(artists):
            before = sum(artists[other] == artist for other in taken)
            if len(taken) < k and (artist < 0 or before < cap):
                taken.append(item)
        assert found.item[found.query == query].tolist() == taken


def test_diversity_where_popularity_is_the_only_source(fit_quickly, tastes):
    heard = fit_quickly(sources=("popularity",), fusion={})
    plain, varied = (heard.recommend("user-1", 12, diversity=d) for d in (0.0, 0.9))
    assert len(varied) == 12
    assert varied["item_id"].tolist() != plain["item_id"].tolist()
    heard.onboard_many(
        MusicDataset(
            items=pd.DataFrame(
                {"item_id": ["bare"], "title": "", "artist": "", "album": "", "genre": ""}
            )
        )
    )
    everything = heard.recommend("user-1", 91, diversity=0.9, exclude_seen=False)
    assert "bare" in set(everything["item_id"])  # nothing is known to be like it
    assert heard.explain("user-1", "cold-80").taste == ()
    deaf = Recommender(QUICK.replace(sources=("popularity",), fusion={})).fit(tastes[0])
    for ask in (
        lambda: deaf.recommend("user-1", diversity=0.5),
        lambda: deaf.recommend("nobody", diversity=0.5),
        lambda: deaf.recommend_batches(diversity=0.5),
    ):
        with pytest.raises(InvalidArgumentError, match=r"^diversity needs embeddings or a source"):
            ask()
    assert len(deaf.recommend("user-1", 5, per_artist=1, popularity_correction=0.5)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("source", ["als", "fm", "ease"])
def test_diversity_without_embeddings(tastes, source):
    model = Recommender(QUICK.replace(sources=(source,), fusion={})).fit(tastes[0])
    plain, varied = (model.recommend("user-1", 12, diversity=d) for d in (0.0, 0.9))
    assert len(varied) == 12
    assert varied["item_id"].tolist() != plain["item_id"].tolist()
