"""Whatever has happened: the lists of a fresh model of the final state, and no more room."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import Recommender
from recsys.database import changes
from recsys.database.catalog import Catalog
from recsys.database.changes import Play
from recsys.model import items as items_module
from recsys.model.live import LiveModel
from recsys.model.persistent import PersistentMap, SharedColumn
from recsys.model.users import PlaysSinceFit
from tests.helpers.recommenders import own

USERS = ["user-1", "user-2", "new-a", "new-b", "nobody"]
FITTED = ["item-1", "item-2", "item-5", "cold-80", "cold-81"]
NEW = ["fresh-1", "fresh-2", "fresh-3"]


@pytest.fixture(scope="module")
def base(fit_quickly):
    return fit_quickly()


def plays(*rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])


def fresh(recommender):
    """The same model, opened again from what its song database has."""
    other = Recommender(recommender.config)
    other._model = LiveModel(recommender._model.state, recommender._model.catalog)
    return other


def n_added(recommender):
    """Rows that are not of the fit, retired ones included."""
    model = recommender._model
    assert len(model.index) == len(model.items)
    return len(model.items) - len(model.state.items)


def assert_same_model(one, other):
    for users in (USERS, ["nobody"]):
        found, wanted = (model.recommend_many(users, k=200) for model in (one, other))
        assert found["user_id"].tolist() == wanted["user_id"].tolist()
        for user in users:
            lists = [lists[lists["user_id"] == user] for lists in (found, wanted)]
            scores = [dict(zip(table["item_id"], table["score"], strict=True)) for table in lists]
            assert scores[0].keys() == scores[1].keys()
            assert scores[0] == pytest.approx(scores[1], rel=1e-4, abs=1e-5)
    # Whom nobody knows: equal numbers of listeners, and still one order.
    found, wanted = (model.recommend_many(["nobody"], k=200) for model in (one, other))
    assert found["item_id"].tolist() == wanted["item_id"].tolist()
    assert one.info["now"] == other.info["now"]
    assert one.info["onboarded"] == other.info["onboarded"]
    assert one._model.items.columns == other._model.items.columns


STEP = st.one_of(
    st.tuples(st.just("update"), st.sampled_from(USERS), st.sampled_from(FITTED + NEW)),
    st.tuples(st.just("onboard"), st.sampled_from(NEW + FITTED), st.integers(0, 7)),
    st.tuples(st.just("remove"), st.sampled_from(NEW + FITTED), st.none()),
    st.tuples(st.just("ask"), st.sampled_from(USERS), st.none()),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(STEP, max_size=25), st.sampled_from([0, 3]))
def test_any_history_gives_the_lists_of_a_fresh_model(base, steps, spare):
    model = own(base)
    before = items_module.LEAST_WASTE
    items_module.LEAST_WASTE = spare  # so that rows are given up often
    try:
        for kind, one, other in steps:
            try:
                if kind == "update":
                    model.update(plays((one, other, 2.0)))
                elif kind == "onboard":
                    tags = {f"tag-{other}": "yes"}
                    vector = np.eye(8)[other]
                    model.onboard(embedding=vector, item_id=one, artist=f"A{other}", tags=tags)
                elif kind == "remove":
                    model.remove(one)
                else:
                    model.recommend(one, k=5, per_artist=1)
                    model.similar("item-7", by="sound")
            except (LookupError, ValueError):  # not there, or played already
                continue
            live = len(model._model.items.active) - len(model._model.state.items)
            assert n_added(model) <= 2 * max(live + len(FITTED), spare) + len(FITTED) + 1
        assert_same_model(model, fresh(model))
    finally:
        items_module.LEAST_WASTE = before


def test_giving_up_rows_changes_no_list(base, monkeypatch):
    kept, compact = own(base), own(base)
    for number in range(30):
        for model, spare in ((kept, 10**6), (compact, 5)):
            monkeypatch.setattr(items_module, "LEAST_WASTE", spare)
            if number < 9:
                tags = {"mood": "calm"}
                model.onboard(embedding=np.eye(8)[number % 8], item_id=f"n{number}", tags=tags)
            model.update(plays((USERS[number % 5], FITTED[number % 5], 1.0)))
            model.update(plays((USERS[number % 4], f"n{number % 4}", 1.0)))
            model.similar("item-3", by="fused")
            model.recommend("user-3", where={"mood": "calm"}, per_artist=1)
    assert n_added(compact) < 30 < n_added(kept)
    for options in ({}, {"where": {"genre": "jazz"}}, {"per_artist": 1, "diversity": 0.3}):
        one, other = (m.recommend_many(USERS, k=60, **options) for m in (kept, compact))
        # A matrix product may round the last bit differently where a row stands elsewhere.
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-5, atol=1e-6)
    vectors = [m._model.index.vectors(m._model.items.rows(FITTED)) for m in (kept, compact)]
    np.testing.assert_array_equal(*vectors)
    for by in ("fused", "sound"):
        one, other = (m.similar("item-3", k=60, by=by) for m in (kept, compact))
        assert one["item_id"].tolist() == other["item_id"].tolist()
        np.testing.assert_allclose(one["score"], other["score"], rtol=1e-5, atol=1e-6)


def test_a_model_that_is_read_keeps_its_rows_while_they_are_given_up(base, monkeypatch):
    monkeypatch.setattr(items_module, "LEAST_WASTE", 2)
    model = own(base)
    model.update(plays(("user-1", "item-1", 1.0)))
    early = model._model
    before = early.users.vectors(np.array([1])), early.items.describe(early.items.active)
    for number in range(20):
        model.update(plays((f"n{number}", "item-1", 1.0), ("user-2", "item-2", 1.0)))
    after = early.users.vectors(np.array([1])), early.items.describe(early.items.active)
    np.testing.assert_array_equal(before[0], after[0])
    pd.testing.assert_frame_equal(before[1], after[1])


def test_rows_and_memory_stay_bounded(base, monkeypatch):
    monkeypatch.setattr(items_module, "LEAST_WASTE", 16)
    model = own(base)

    def cycle(number):
        model.update(plays((USERS[number % 3], FITTED[number % 3], 1.0)))
        model.onboard(embedding=np.ones(8), item_id=f"gone-{number}")
        model.remove(f"gone-{number}")
        model.onboard(embedding=np.ones(8), item_id="again")

    for number in range(30):
        cycle(number)
    tracemalloc.start()
    cycle(30)
    before, _ = tracemalloc.get_traced_memory()
    for number in range(31, 70):
        cycle(number)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_added(model) <= 2 * 16 + 5
    assert after - before < 300_000
    assert_same_model(model, fresh(model))


# ------------------------------------------------------------------ what they are made of


KEYS = st.integers(0, 30)


@given(st.lists(st.tuples(st.dictionaries(KEYS, st.integers()), st.lists(KEYS))))
def test_a_persistent_map_is_a_dict_that_does_not_change(steps):
    wanted, found = {}, PersistentMap()
    for entries, without in steps:
        copy, before = dict(wanted), found
        for key in without:
            wanted.pop(key, None)
        wanted.update(entries)
        found = found.changed(entries, without)
        assert before == copy
        assert found == wanted
        assert len(found) == len(wanted)
        assert all((key in found) == (key in wanted) for key in range(31))


def test_a_persistent_map_grows():
    found = PersistentMap()
    for number in range(5000):
        found = found.changed({str(number): number})
    assert found == {str(number): number for number in range(5000)}


def test_a_column_that_grows_leaves_what_was_read():
    column = SharedColumn(np.intp)
    views = []
    for number in range(100):
        column.write(number, [number])
        views.append(column.first(number + 1))
    assert all(view.tolist() == list(range(number + 1)) for number, view in enumerate(views))


# ------------------------------------------------------------------ what is on the disk


def test_plays_of_one_user_and_item_become_one_row(monkeypatch):
    monkeypatch.setattr(changes, "LEAST_MERGED", 8)
    rng = np.random.default_rng(0)
    once, merged = Catalog.in_memory(), Catalog.in_memory()
    given = []
    for _ in range(200):
        batch = [
            Play(f"u{rng.integers(3)}", f"i{rng.integers(2)}", float(rng.random()), int(time))
            for time in rng.integers(1, 1000, rng.integers(1, 4))
        ]
        given += batch
        merged.add_plays(batch)
        assert len(merged.changes().plays) <= 4 * 6 + 8 + 3
    monkeypatch.setattr(changes, "LEAST_MERGED", 10**9)
    once.add_plays(given)
    wanted = PlaysSinceFit().plus(once.changes().plays)
    found = PlaysSinceFit().plus(merged.changes().plays)
    assert found.by_item == wanted.by_item  # to the bit
    assert found.by_user == wanted.by_user
    latest = {(one.user_id, one.item_id): one.timestamp for one in given}
    for one in given:
        pair = one.user_id, one.item_id
        latest[pair] = max(latest[pair], one.timestamp)
    stored = {(one.user_id, one.item_id): 0 for one in given}
    for one in merged.changes().plays:
        pair = one.user_id, one.item_id
        stored[pair] = max(stored[pair], one.timestamp)
    assert stored == latest
    merged.verify()


def test_plays_of_many_users_are_not_merged_in_vain(monkeypatch):
    monkeypatch.setattr(changes, "LEAST_MERGED", 8)
    catalog = Catalog.in_memory()
    for number in range(100):
        catalog.add_plays([Play(f"u{number}", "i", 1.0)])
    assert [play.user_id for play in catalog.changes().plays] == [f"u{n}" for n in range(100)]


def test_songs_that_come_and_go_leave_no_record(base, tmp_path):
    model = own(base)
    model.save(tmp_path / "model")
    for number in range(5):
        model.onboard(embedding=np.ones(8), item_id=f"gone-{number}")
        model.remove(f"gone-{number}")
    model.remove("item-3")
    assert model._model.catalog.changes().removed == ["item-3"]
    opened = Recommender.load(tmp_path / "model")
    assert_same_model(model, opened)
    with pytest.raises(LookupError):
        opened.similar("gone-1")
