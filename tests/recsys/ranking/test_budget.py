"""How many new songs a list has: what trying all lists gives, and budgets that are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.new_songs import NewSongCalibration
from recsys.ranking.budget import Path, Ranked

EVEN = NewSongCalibration(-3.0, 1.0, -3.0, 1.0)
SCORES = st.lists(st.floats(-4, 6), max_size=6).map(lambda values: sorted(values, reverse=True))


def table(values, width=6):
    return np.array([[*values, *[-np.inf] * (width - len(values))]])


def gain(known, new, boost=0.0, boosted=True):
    """The expected gain of one list."""
    songs = [(score, score) for score in known]
    songs += [(score + boost, score + (boost if boosted else 0)) for score in new]
    kinds = [0] * len(known) + [1] * len(new)
    order = sorted(range(len(songs)), key=lambda n: (-songs[n][0], kinds[n]))
    chances = [1 / (1 + np.exp(3.0 - songs[n][1])) for n in order]
    return sum(p / np.log2(rank + 2) for rank, p in enumerate(chances))


@given(known=SCORES, new=SCORES, k=st.integers(1, 8), t=st.sampled_from([0.0, 0.5, 1.0, 5.0, 1e6]))
def test_counts_are_what_trying_all_lists_gives(known, new, k, t):
    lists = Ranked(table(known), table(new))
    path = Path(EVEN, Ranked(np.array([[1.0] * 10]), np.array([[-1.0] * 10])))
    bonus = 0.13 / (1 + np.exp(2.0)) * min(t, 1)
    boost = np.log(max(t, 1))
    assert path.boost(t) == pytest.approx(boost)
    (found,) = path.counts(lists, t, k).tolist()
    least, most = min(max(k - len(known), 0), len(new)), min(k, len(new))
    values = {n: gain(known[: k - n], new[:n], boost) + bonus * n for n in range(least, most + 1)}
    assert least <= found <= most
    assert values[found] == pytest.approx(max(values.values()), abs=1e-9)


@pytest.mark.parametrize("budget", [0.0, 0.003, 0.01, 0.05, 0.3, 1.0])
def test_the_sample_loses_no_more_than_the_budget(budget):
    rng = np.random.default_rng(0)
    known = -np.sort(-rng.normal(4, 1, (60, 10)), axis=1)
    new = -np.sort(-rng.normal(2, 1, (60, 10)), axis=1)
    lists = Ranked(known, new)
    path = Path(EVEN, lists)

    def mean(t):
        boost = path.boost(t)
        return np.mean(
            [
                gain(a[: 10 - n], b[:n], boost, boosted=False)
                for a, b, n in zip(known, new, path.counts(lists, t, 10).tolist(), strict=True)
            ]
        )

    t = path.point(budget)
    cost = 1 - mean(t) / mean(0.0)
    assert -1e-12 <= cost <= budget * 1.1 + 1e-12
    if 0 < budget < 0.3:
        assert cost > 0.5 * budget  # and it is used
    assert path.point(0.0) == 0
    assert [path.point(x) for x in (0.01, 0.05, 0.5)] == sorted(
        path.point(x) for x in (0.5, 0.01, 0.05)
    )


def test_long_lists_try_a_part_of_the_numbers():
    rng = np.random.default_rng(1)
    lists = Ranked(-np.sort(-rng.normal(3, 1, (4, 300))), -np.sort(-rng.normal(3, 1, (4, 300))))
    counts = Path(EVEN, lists).counts(lists, 0.0, 300)
    assert (abs(counts - 150) < 40).all()
    few = Ranked(lists.known[:, :2], lists.new)
    assert (Path(EVEN, few).counts(few, 0.0, 300) >= 298).all()


def test_without_new_songs_or_known_ones():
    nothing, some = np.full((2, 10), -np.inf), np.ones((2, 10))
    assert Path(EVEN, Ranked(some, nothing)).point(0.5) == 0
    path = Path(EVEN, Ranked(np.empty((0, 10)), np.empty((0, 10))))
    assert path.counts(Ranked(nothing, some), path.point(0.5), 10).tolist() == [10, 10]
    assert path.counts(Ranked(some, nothing), 3.0, 10).tolist() == [0, 0]
