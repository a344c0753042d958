"""A screen leaves every item that may be among the best, whatever is asked, and few others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.index import exact
from recsys.index.exact import ExactIndex
from recsys.index.screen import Screen, best_of
from tests.helpers.indexes import NONE, as_seen, check_hits
from tests.helpers.thorough import times


def structured(n, dimensions=40, seed=0):
    """Items and users whose scores come from few directions, at scales that differ."""
    rng = np.random.default_rng(seed)
    scale = 2.0 ** rng.integers(-6, 7, dimensions)
    strength = 0.7 ** np.arange(dimensions)
    turned = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))[0]
    items = (rng.standard_normal((n, dimensions)) * strength) @ turned * scale
    users = (rng.standard_normal((100, dimensions)) * strength) @ turned / scale
    return items.astype(np.float32), users.astype(np.float32)


@settings(max_examples=times(20, 100), deadline=None)
@given(data=st.data())
def test_nothing_that_may_be_among_the_best_is_left_out(data):
    n = data.draw(st.integers(1, 300), label="n")
    seed = data.draw(st.integers(0, 1000), label="seed")
    items, users = structured(n, seed=seed)
    rng = np.random.default_rng(seed)
    if data.draw(st.booleans(), label="some alike, some zero"):
        items[rng.integers(n, size=n // 3)] = items[0]
        items[rng.integers(n, size=n // 5)] = 0
    k = data.draw(st.integers(1, 40), label="k")
    excluded = rng.permutation(n)[: data.draw(st.integers(0, n), label="excluded")]
    widths = data.draw(st.sampled_from([(2, 3), (4, 1), (40, 1), (1, 39)]), label="widths")
    at_once = data.draw(st.sampled_from([1, 7, 1000]), label="at once")
    query = users[seed % 100] * np.float32(data.draw(st.sampled_from([1, -1, 0, 1e-6])))
    screen = Screen.of(items, [users, users[:0]], widths)
    found = screen.search(items, query, k, excluded, 1.0, at_once)
    if found is None:  # rather all of them, then
        return
    hits = best_of(items, query, found.rows, k)
    check_hits(hits, items, query[None], k, [set(excluded.tolist())])


def test_single_questions_have_the_answers_of_a_search_among_all(monkeypatch):
    monkeypatch.setattr(exact, "_LEAST_SCREENED", 100)
    items, users = structured(3000, dimensions=80)
    made = []
    plain = ExactIndex(items)
    index = ExactIndex(items, users=lambda: made.append(1) or [users])
    seen = as_seen([range(40)])
    banned = np.arange(500, 520)
    for number, user in enumerate(users):
        for filters in ((None, NONE), (seen, banned)):
            ours, theirs = (one.search(user[None], 10, *filters) for one in (index, plain))
            assert ours.item.tolist() == theirs.item.tolist()
            np.testing.assert_array_max_ulp(ours.score, theirs.score, 8)
        assert len(made) == 1 or not number
    several = index.search(users[:3], 10, None, NONE)
    assert several.item.tolist() == plain.search(users[:3], 10, None, NONE).item.tolist()
    # Half of the catalogue: all are compared.
    assert len(index.search(users[:1], 1500, None, NONE).item) == 1500


def test_one_question_alone_makes_no_screen(monkeypatch):
    monkeypatch.setattr(exact, "_LEAST_SCREENED", 100)
    items, users = structured(1000, dimensions=80)
    index = ExactIndex(items, users=lambda: pytest.fail("made a screen"))
    index.search(users[:1], 10, None, NONE)


def test_few_items_are_compared_as_a_whole():
    items, users = structured(20_000)
    screen = Screen.of(items, [users], widths=(8, 16))
    scored = [
        found.scored
        for user in users
        if (found := screen.search(items, user, 10, NONE, 1.0, len(items)))
    ]
    assert len(scored) == len(users)
    assert np.median(scored) < 400


def test_where_nothing_tells_items_apart_all_are_compared():
    rng = np.random.default_rng(0)
    items = rng.standard_normal((2000, 64)).astype(np.float32)
    users = rng.standard_normal((50, 64)).astype(np.float32)
    screen = Screen.of(items, [users], widths=(2, 2))
    assert all(screen.search(items, user, 10, NONE, 1.0) is None for user in users)


def test_equal_scores_are_in_the_order_of_a_search_among_all():
    items = np.float32([[1], [2], [2], [1], [2], [3], [1], [1], [0]])
    everything = np.arange(len(items))
    for k in range(1, 10):
        found = best_of(items, np.float32([1]), everything, k)
        plain = ExactIndex(items).search(np.float32([[1]]), k, None, NONE)
        assert found.item.tolist() == plain.item.tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[4].__setitem__(0, parts[4][1]),  # an item twice
        lambda parts: parts[4].__setitem__(0, 10**6),
        lambda parts: parts.__setitem__(2, parts[2][:, :1]),
        lambda parts: parts.__setitem__(5, parts[5][:, 1:]),
        lambda parts: parts.__setitem__(3, parts[3].astype(int)),
        lambda parts: parts.__setitem__(1, parts[1][1:]),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(change):
    items, users = structured(50)
    parts = [one.copy() for one in Screen.of(items, [users]).arrays]
    change(parts)
    with pytest.raises(ValueError, match="screen"):
        Screen(*parts)
