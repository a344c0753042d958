"""New items in whole lists: figures worked out by hand."""

from math import isnan, log2

import numpy as np
import pandas as pd
import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.metrics.whole_lists import WholeLists, frontier, random_new_items
from evaluation.models.baselines import Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.mixed import mixed_split
from evaluation.splitting.warm import warm_split

KNOWN, NEW = ["a", "b", "c", "d"], ["x", "y", "z"]


def table(lists: dict[str, str]) -> pd.DataFrame:
    """{"u": "axb"}: the user's list, one letter an item."""
    rows = [
        (user, rank, item, float(-rank))
        for user, letters in lists.items()
        for rank, item in enumerate(letters, 1)
    ]
    return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])


def truth(**played: str) -> WholeLists:
    rows = [(user, item) for user, letters in played.items() for item in letters]
    relevant = pd.DataFrame(rows, columns=["user_id", "item_id"])
    return WholeLists(list(played), KNOWN, NEW, relevant)


def test_figures_by_hand():
    lists = truth(u="ax", v="b", w="y")
    found = lists.measure(table({"u": "axb", "v": "xyb", "w": "xcd"}), k=3)
    # 4 of 9 places: x in all three lists, y in one, z in none.
    assert found.share == pytest.approx(4 / 9)
    assert (found.n_users, found.n_new, found.shown, found.shown_to_ten) == (3, 3, 2, 0)
    assert found.largest_share == 1.0
    second, third = 1 / log2(3), 1 / 2
    # Of both: u has both of its items first and second; v its one at rank 3; w none.
    assert found.values["ndcg"].tolist() == pytest.approx([1.0, third, 0.0])
    assert found.ndcg == pytest.approx((1 + third) / 3)
    # Of new ones: u has x at rank 2 of whole lists, where 1 was possible; w misses y.
    assert found.values["ndcg_new"].tolist() == pytest.approx([second, np.nan, 0.0], nan_ok=True)
    assert found.ndcg_new == pytest.approx(second / 2)
    assert found.values["ndcg_known"].tolist() == pytest.approx([1.0, third, np.nan], nan_ok=True)
    assert found.values["new_share"].tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 3])


def test_ten_users_and_the_one_that_is_in_most_lists():
    users = [f"u{n}" for n in range(12)]
    lists = truth(**dict.fromkeys(users, "a"))
    given = {user: "xa" if n < 9 else "ya" for n, user in enumerate(users)}
    found = lists.measure(table(given), k=2)
    assert (found.shown, found.shown_to_ten, found.largest_share) == (2, 0, 9 / 12)
    given["u9"] = "xa"
    found = lists.measure(table(given), k=2)
    assert (found.shown, found.shown_to_ten, found.largest_share) == (2, 1, 10 / 12)
    assert isnan(found.ndcg_new)  # nobody played one
    assert found.ndcg_known == pytest.approx(1 / log2(3))


def test_short_and_missing_lists():
    lists = truth(u="a", v="x")
    found = lists.measure(table({"u": "ax"}), k=10)
    # Shares are of the places that have an item; a user without a list counts 0.
    assert found.share == 0.5
    assert found.values["ndcg"].tolist() == [1.0, 0.0]
    assert found.values["ndcg_new"].tolist() == pytest.approx([np.nan, 0.0], nan_ok=True)
    assert isnan(found.values["new_share"][1])
    assert found.largest_share == 0.5
    nothing = lists.measure(table({}), k=10)
    assert (nothing.share, nothing.shown, nothing.ndcg) == (0.0, 0, 0.0)


def test_shorter_lists_are_the_first_places():
    lists = truth(u="a")
    hits = lists.encoder.hits(table({"u": "bxa"}), 3)
    assert lists.measure_hits(hits, 1).share == 0
    assert lists.measure_hits(hits, 2).share == 0.5
    assert lists.measure_hits(hits, 2).ndcg == 0


def test_bad_input():
    relevant = pd.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    with pytest.raises(InvalidArgumentError, match="no new item"):
        WholeLists(["u"], KNOWN, [], relevant)
    with pytest.raises(InvalidArgumentError, match="'a' is given as known and as new"):
        WholeLists(["u"], KNOWN, ["a"], relevant)
    lists = truth(u="a")
    with pytest.raises(EvaluationError, match="not among the candidates"):
        lists.measure(table({"u": "q"}), k=1)
    with pytest.raises(InvalidArgumentError, match="k must be"):
        lists.measure(table({"u": "a"}), k=0)
    for budgets in ((-0.1,), (1.5,), ("much",), (float("nan"),)):
        with pytest.raises(InvalidArgumentError, match="budget"):
            frontier(lambda *_: table({"u": "a"}), lists, budgets=budgets)


def test_the_frontier_by_hand():
    lists = truth(u="ab", v="xc")
    # At 0 known items alone; at .1 the last place of each list goes to a new one.
    of_budget = {0.0: {"u": "ab", "v": "cd"}, 0.1: {"u": "ax", "v": "cx"}}
    asked = []

    def recommend(users, k, budget):
        asked.append((users, k, budget))
        return table(of_budget[budget])

    found = frontier(recommend, lists, k=2, budgets=[0.1])
    assert asked == [(["u", "v"], 2, 0.0), (["u", "v"], 2, 0.1)]
    ideal, second = 1 + 1 / log2(3), 1 / log2(3)
    free, paid = (1 + 1 / ideal) / 2, (1 / ideal + 1) / 2  # u loses what v gains
    assert found["ndcg"].tolist() == pytest.approx([free, paid])
    assert found["cost"].tolist() == pytest.approx([0, 0])
    assert found["share"].tolist() == [0, 0.5]
    assert found["shown"].tolist() == [0, 1]
    assert found["ndcg_new"].tolist() == pytest.approx([0, second])
    assert found["ndcg_known"].tolist() == pytest.approx([(1 + 1) / 2, (1 / ideal + 1) / 2])
    assert found["largest_share"].tolist() == [0, 1]


def test_the_cost_of_a_wrong_new_item():
    lists = truth(u="ab")
    of_budget = {0.0: {"u": "ab"}, 0.2: {"u": "ax"}}
    found = frontier(
        lambda users, k, budget: table(of_budget[budget]), lists, k=2, budgets=(0, 0.2),
        control_seed=0,
    )  # fmt: skip
    ideal = 1 + 1 / log2(3)
    assert found["cost"].tolist() == pytest.approx([0, 1 - 1 / ideal])
    assert found["random_cost"].tolist() == pytest.approx([0, 1 - 1 / ideal])
    assert found["random_shown"].tolist() == [0, 1]


def test_random_new_items_keep_everything_else():
    lists = table({f"u{n}": "axby" for n in range(200)})
    drawn = random_new_items(lists, NEW, seed=1)
    assert drawn.drop(columns="item_id").equals(lists.drop(columns="item_id"))
    was_new = lists["item_id"].isin(NEW)
    assert drawn["item_id"][~was_new].equals(lists["item_id"][~was_new])
    assert set(drawn["item_id"][was_new]) == set(NEW)
    assert not drawn.duplicated(["user_id", "item_id"]).any()
    assert drawn.equals(random_new_items(lists, NEW, seed=1))
    assert not drawn.equals(random_new_items(lists, NEW, seed=2))
    # About as often each.
    counts = drawn["item_id"][was_new].value_counts()
    assert counts.min() > 0.75 * counts.max()


def test_random_new_items_avoid_what_a_user_has():
    lists = table({"u": "ax", "v": "ax"})
    seen = pd.DataFrame({"user_id": ["u", "u", "v"], "item_id": ["x", "y", "a"]})
    for seed in range(5):
        drawn = random_new_items(lists, NEW, seed, seen=seen)
        assert drawn["item_id"][1] == "z"


def test_a_random_order_gives_new_items_their_share(make_dataset):
    plays = [(f"u{u}", f"i{(3 * u + 7 * n) % 40}") for u in range(60) for n in range(12)]
    dataset = make_dataset(plays, audio=[])
    items = dataset.items["item_id"]
    split = mixed_split(dataset, 0.25, among=items, by="item")
    lists = WholeLists.from_split(dataset, split)
    model = Random().fit(split.training(dataset)).onboard_many(split.onboarding(dataset))
    found = lists.measure(model.recommend_many(lists.users, 10), k=10)
    assert found.n_new == 10 == len(lists.new_items)
    # 10 of 40 items are new; of the 30 known ones users have played about 7.
    assert found.share == pytest.approx(10 / 33, abs=0.05)
    assert found.shown == 10


def test_a_cold_split_has_no_known_items_to_find(make_dataset):
    plays = [(f"u{u}", f"i{(u + n) % 20}") for u in range(20) for n in range(8)]
    dataset = make_dataset(plays, audio=[])
    split = cold_split(dataset, among=dataset.items["item_id"])
    lists = WholeLists.from_split(dataset, split)
    model = Random().fit(split.training(dataset)).onboard_many(split.onboarding(dataset))
    found = lists.measure(model.recommend_many(lists.users, 10), k=10)
    assert isnan(found.ndcg_known)
    assert found.ndcg == pytest.approx(found.ndcg_new)
    with pytest.raises(InvalidArgumentError, match="'warm' has no new items"):
        WholeLists.from_split(dataset, warm_split(dataset))
