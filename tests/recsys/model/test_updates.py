"""Plays since the fit: seen at once, durable, and the same whatever batches they come in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets.errors import DataError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset
from recsys import Recommender
from recsys.cli import app
from recsys.config import ALSConfig, ContentMapConfig
from recsys.content.mapping import ContentMap
from recsys.database.changes import Play
from recsys.model.updates import checked_plays
from recsys.model.users import PlaysSinceFit
from recsys.sources.als import ALSSource
from recsys.sources.fold_in import least_squares
from tests.helpers.recommenders import COLD, IDS, item_content, own

USERS = ["user-1", "user-2", "new-a", "new-b", "nobody"]


def table(*rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id", "weight"])


def lists(model, users=USERS):
    return model.recommend_many(users, k=40)


KNOWN = USERS[:3]
"""Whoever is not known gets the popular items, whose order is open where listeners are as many."""


def same(one, two):
    pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def base(fit_quickly):
    return fit_quickly()


@pytest.fixture
def model(base):
    return own(base)


# ------------------------------------------------------------------ numbers by hand


def test_an_item_from_its_listeners():
    # One dimension: gram 2, one listener with vector 1, confidence 10, ridge 0.3 * 2:
    # (2 + 9 + 0.6) v = 10.
    predicted, gram = np.array([0.5], np.float32), np.array([[2.0]])
    listener, weight = np.array([[1.0]], np.float32), np.array([1.0], np.float32)
    assert least_squares(listener, weight, gram) == pytest.approx([10 / 11.6])
    nothing = np.zeros((0, 1))
    source = ALSSource(ALSConfig(), ContentMapConfig())
    source.map = replace(
        ContentMap.affine(np.zeros(1), nothing, nothing, np.zeros(1), nothing), shrinkage=3.0
    )
    made = source.item_from_plays(predicted, listener, weight, gram)
    assert made == pytest.approx([(10 / 11.6 + 2.925 * 0.5) / 3.925])  # 3 (1 - 1/40)
    nobody = source.item_from_plays(predicted, listener[:0], weight[:0], gram)
    assert nobody.tolist() == [0.5]
    bare = source.item_from_plays(None, listener, weight, gram)  # nothing to shrink towards
    assert bare == pytest.approx([10 / 11.6])
    assert source.item_from_plays(None, listener[:0], weight[:0], gram).tolist() == [0]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["als", "fm", "ease"])
def test_an_item_without_content_is_what_its_listeners_say(fit_quickly, source):
    model = fit_quickly(
        sources=(source,), fusion={}, content_map={"shrinkage": 3.0}, ease={"rank": 16}
    )
    bare = {"item_id": ["bare"], "title": "x", "artist": "", "album": "", "genre": ""}
    model.onboard_many(MusicDataset(items=pd.DataFrame(bare)))
    model.onboard(item_id="heard", embedding=np.eye(8)[0])
    users = ["user-3", "user-6"]
    model.update(table(*((user, item, 1) for user in users for item in ("bare", "heard"))))
    library = model._model
    (block,) = library.state.blocks
    rows = library.state.user_ids.get_indexer(pd.Index(users))
    listeners = library.state.user_vectors[rows] * library.state.user_scales[rows]
    everybody = library.state.user_vectors * library.state.user_scales
    learned = library.state.sources[source].item_from_plays(
        None, listeners, np.ones(2, np.float32), everybody.T @ everybody
    )
    predicted = library.state.sources[source].item_vectors(
        item_content(np.eye(8)[:1], metadata=np.zeros((1, len(library.state.vocabulary.values))))
    )[0]
    fused = library.index.vectors(library.items.rows(["bare", "heard"]))
    found = block.unfuse_items(fused, np.zeros(2, bool))
    np.testing.assert_allclose(found[0], learned, rtol=1e-3, atol=1e-4)
    mixed = (2 * learned + 2.85 * predicted) / 4.85  # 3 (1 - 2/40)
    np.testing.assert_allclose(found[1], mixed, rtol=1e-3, atol=1e-4)
    assert np.linalg.norm(found[0] - found[1]) > 0.05 * np.linalg.norm(found[0])


def test_sums_of_plays():
    since = PlaysSinceFit().plus([Play("u", "i", 1.0), Play("v", "i", 2.0)])
    more = since.plus([Play("u", "i", 3.0), Play("u", "j", 5.0)])
    assert since.by_item == {"i": {"u": 1.0, "v": 2.0}}
    assert more.by_item == {"i": {"u": 4.0, "v": 2.0}, "j": {"u": 5.0}}
    assert more.by_user == {"u": {"i": 4.0, "j": 5.0}, "v": {"i": 2.0}}
    assert more.without("i").by_user == {"u": {"j": 5.0}}


def test_scales_give_the_sources_own_vectors(base):
    # A source's own vector of a user, in the covariance of the source's items, has the deviation
    # that fusion divided it by.
    state = base._model.state
    for number, block in enumerate(state.blocks):
        scale = state.user_scales[:, number]
        own = state.user_vectors[:, block.columns] * scale[:, None]
        np.testing.assert_allclose(block.user_scales(own), scale, rtol=1e-4)
        assert (scale > 0).mean() > 0.9


# ------------------------------------------------------------------ what is seen


def test_a_new_user_and_a_cold_item(model):
    item = COLD[0]
    assert model.recommend("new-a").attrs["fallback"] == "popular"
    assert model.recommend("user-1", only=[item])["cold"].tolist() == [True]
    counts = model.update(table(("new-a", item, 2), ("new-a", "item-1", 1), ("user-1", item, 1)))
    assert counts == (3, 2, 1, 2, 1)
    found = model.recommend("new-a", k=200)
    assert "fallback" not in found.attrs
    assert not {item, "item-1"} & set(found["item_id"])
    assert found["item_id"].is_unique
    assert set(found["item_id"]) == set(IDS) - {item, "item-1"}
    again = model.recommend("new-a", exclude_seen=False, only=[item])
    assert again["cold"].tolist() == [False]
    assert item not in set(model.recommend("user-1", k=200)["item_id"])
    assert item not in set(model.similar(item, k=200)["item_id"])
    assert len(model.similar("item-1", k=200)) == len(IDS) - 1
    many = model.recommend_many(["new-a", "nobody"], k=5)
    assert many.attrs["fallback_users"] == ["nobody"]
    assert many["item_id"].tolist()[:5] == found["item_id"].tolist()[:5]


def test_listeners_bring_a_cold_item_to_those_who_play_alike(model):
    item = COLD[0]  # of taste 2
    alike = [f"user-{n}" for n in range(0, 60, 3)]  # of taste 0
    others = [f"user-{n}" for n in range(60, 120, 3)]

    def place():
        ranks = model.recommend_many(others, k=90, exclude_seen=False)
        return ranks[ranks["item_id"] == item]["rank"].mean()

    before = place()
    model.update(table(*((user, item, 1) for user in alike)))
    assert place() < before - 10


def test_what_is_not_touched_stays_as_it_is(model):
    before = model.recommend("user-5", k=90, exclude_seen=False)
    model.update(table(("user-1", "item-1", 1)))
    after = model.recommend("user-5", k=90, exclude_seen=False)
    scores = [frame.set_index("item_id")["score"].drop("item-1") for frame in (before, after)]
    pd.testing.assert_series_equal(scores[0], scores[1].loc[scores[0].index])


def test_popularity_counts_new_listeners(model):
    item = COLD[3]
    model.update(table(*((f"new-{n}", item, 1) for n in range(200))))
    assert model.recommend("nobody", k=1)["item_id"].tolist() == [item]
    assert model.recommend("nobody", k=1)["score"].tolist() == [200]


def test_an_onboarded_item_warms_up(model):
    model.onboard(item_id="late", embedding=np.eye(8)[0])
    model.update(table(("user-1", "late", 1)))
    assert model.recommend("user-2", only=["late"])["cold"].tolist() == [False]
    assert model.info["onboarded"] == 1
    with pytest.raises(InvalidArgumentError, match="item 'late' has listeners already"):
        model.onboard(item_id="late", embedding=np.eye(8)[1])


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (table(("user-1", "item-1", 1), ("user-1", "nix", 1)), UnknownItemError, "'nix'"),
        (table(("user-1", "item-1", -1)), DataError, "row 1"),
        (table(("", "item-1", 1)), DataError, "row 1"),
        (table(("user-1", "item-1", np.nan)), DataError, "row 1"),
        (pd.DataFrame({"user_id": ["u"]}), DataError, "missing"),
        ([("user-1", "item-1", 1)], DataError, "a DataFrame is expected"),
    ],
)
def test_refused_and_nothing_is_taken_in(model, frame, error, message):
    before = lists(model)
    with pytest.raises(error, match=message) as raised:
        model.update(frame)
    assert "\n" not in str(raised.value)
    pd.testing.assert_frame_equal(lists(model), before)
    assert model._model.catalog.changes().plays == []


def test_plays_of_no_weight_say_nothing(model):
    before = lists(model)
    assert model.update(table(("user-1", "item-1", 0))) == (0, 0, 0, 0, 0)
    assert model.update(table()) == (0, 0, 0, 0, 0)
    pd.testing.assert_frame_equal(lists(model), before)


def test_times_are_kept():
    frame = table(("u", 1, 2.0), ("v", 2, 0.0), ("v", 2, 1.0))
    assert checked_plays(frame) == [Play("u", "1", 2.0, None), Play("v", "2", 1.0, None)]
    frame["timestamp"] = ["1970-01-01T00:00:01"] * 3
    assert checked_plays(frame) == [Play("u", "1", 2.0, 10**9), Play("v", "2", 1.0, 10**9)]


play = st.tuples(
    st.sampled_from(USERS[:4]),
    st.sampled_from(["item-1", "item-2", "item-3", COLD[0], COLD[1], "late"]),
    st.integers(1, 5),
)


@pytest.mark.slow
@settings(max_examples=8)
@given(st.lists(play, min_size=2, max_size=12), st.integers(0, 12), st.randoms())
def test_batches_and_their_order_do_not_matter(base, rows, cut, random):
    together, apart = own(base), own(base)
    for model in (together, apart):
        model.onboard(item_id="late", embedding=np.eye(8)[1])
    together.update(table(*rows))
    random.shuffle(rows)
    for part in (rows[:cut], rows[cut:]):
        apart.update(table(*part))
    for exclude_seen in (True, False):
        one, two = (
            model.recommend_many(USERS, k=95, exclude_seen=exclude_seen)
            .set_index(["user_id", "item_id"])["score"]
            .sort_index()
            for model in (together, apart)
        )
        pd.testing.assert_series_equal(one, two, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ removal


@pytest.mark.parametrize("item", ["item-1", COLD[0], "late"])
def test_a_removed_item_is_nowhere(model, item):
    model.onboard(item_id="late", embedding=np.eye(8)[1])
    model.update(table(("new-a", item, 1), ("new-a", "item-4", 1)))
    model.remove(item)
    for user in ("user-1", "new-a", "nobody"):
        found = model.recommend(user, k=200, exclude_seen=False)
        assert item not in set(found["item_id"])
    assert item not in set(model.similar("item-4", k=200)["item_id"])
    for ask in (
        lambda: model.similar(item),
        lambda: model.remove(item),
        lambda: model.recommend(history=[item]),
        lambda: model.update(table(("user-1", item, 1))),
    ):
        with pytest.raises(UnknownItemError, match=item):
            ask()
    model.onboard(item_id=item, embedding=np.eye(8)[1], title="Again")
    found = model.recommend("new-a", only=[item])
    assert found["title"].tolist() == ["Again"]
    assert found["cold"].tolist() == [True]


def test_a_removed_item_leaves_no_trace_in_newcomers(model, base):
    model.update(table(("new-a", "item-1", 1), ("new-a", "item-4", 1)))
    model.remove("item-1")
    one = model.recommend("new-a", k=60)
    other = own(base)
    other.update(table(("new-a", "item-4", 1)))
    same(one, other.recommend("new-a", k=60, exclude=["item-1"]))


# ------------------------------------------------------------------ on disk


@pytest.mark.slow
def test_everything_is_there_after_loading(model, tmp_path: Path):
    model.save(tmp_path / "model")
    model.onboard(item_id="late", embedding=np.eye(8)[1])
    model.update(table(("new-a", "late", 1), ("user-1", COLD[0], 2)))
    model.update(table(("new-a", COLD[0], 1), ("new-b", "item-3", 1)))
    model.remove("item-2")
    model.remove(COLD[4])
    model.onboard(item_id=COLD[4], embedding=np.eye(8)[2])
    loaded = Recommender.load(tmp_path / "model")
    keys = ["user_id", "item_id"]
    one, two = (lists(m).set_index(keys)["score"].sort_index() for m in (model, loaded))
    pd.testing.assert_series_equal(one, two, rtol=1e-4, atol=1e-5)
    with pytest.raises(UnknownItemError):
        loaded.similar("item-2")
    loaded.save(tmp_path / "copy")
    same(lists(Recommender.load(tmp_path / "copy")), lists(loaded))


@pytest.mark.slow
def test_refresh_takes_in_what_another_has_done(model, tmp_path: Path):
    model.save(tmp_path / "model")
    reader, writer = (Recommender.load(tmp_path / "model") for _ in range(2))
    assert not reader.refresh()
    writer.onboard(item_id="late", embedding=np.eye(8)[1])
    writer.update(table(("new-a", "late", 1)))
    writer.remove("item-2")
    old = lists(reader)
    assert reader.refresh()
    assert not reader.refresh()
    assert not old.equals(lists(reader))
    same(lists(reader), lists(writer))
    # Whoever writes takes in first what others have written.
    model.update(table(("new-b", "late", 1)))
    assert not model.refresh()
    assert reader.refresh()
    same(lists(reader), lists(model))
    # A model that was replaced is loaded anew.
    model.save(tmp_path / "model")
    assert reader.refresh()
    same(lists(reader), lists(model))


def test_an_answer_goes_on_with_the_state_it_began_with(model):
    library = model._model
    rows = library.items.rows(IDS)
    vectors, cold = library.index.vectors(rows).copy(), library.items.is_cold(rows)
    model.update(table(("new-a", COLD[0], 1), ("new-a", "item-1", 1)))
    model.onboard(item_id="late", embedding=np.eye(8)[1])
    model.remove("item-2")
    assert len(library.items) == len(IDS)
    assert library.items.rows(IDS).tolist() == rows.tolist()
    np.testing.assert_array_equal(library.index.vectors(rows), vectors)
    np.testing.assert_array_equal(library.items.is_cold(rows), cold)
    assert library.users.row("new-a") is None


# ------------------------------------------------------------------ rebuilding


@pytest.mark.slow
@pytest.mark.parametrize("saved", [False, True])
def test_a_rebuilt_model_gives_the_same_lists(model, tmp_path: Path, saved: bool):
    if saved:
        model.save(tmp_path / "model")
    model.onboard(item_id="late", embedding=np.eye(8)[1], title="Late")
    model.update(table(("new-a", "late", 1), ("user-1", COLD[0], 2), ("user-1", "item-2", 1)))
    model.remove("item-2")
    before, similar = lists(model, KNOWN), model.similar("late", k=9)
    model.rebuild()
    same(lists(model, KNOWN), before)
    same(model.similar("late", k=9), similar)
    state = model._model.state
    assert len(state.items) == len(IDS)
    assert state.plays[state.user_ids.get_loc("new-a")].sum() == 1
    assert model.info["onboarded"] == 0
    assert model.info["items"]["cold"] == len(COLD) - 1
    again = model._model.catalog.changes()
    assert (again.songs, again.plays, again.removed) == ([], [], [])
    if saved:
        same(lists(Recommender.load(tmp_path / "model"), KNOWN), before)
    model.update(table(("new-a", "item-5", 1)))
    assert "item-5" not in set(model.recommend("new-a", k=200)["item_id"])


# ------------------------------------------------------------------ commands


@pytest.mark.slow
def test_commands(model, tmp_path: Path):
    model.save(tmp_path / "model")
    plays = tmp_path / "interactions.csv"
    plays.write_text(f"user_id,item_id,weight\nnew-a,{COLD[0]},1\nnew-a,item-1,2\n")
    runner, folder = CliRunner(), str(tmp_path / "model")
    found = runner.invoke(app, ["update", folder, str(plays), "--json"])
    assert json.loads(found.stdout) == {
        "plays": 2, "users": 1, "new_users": 1, "items": 2, "warmed": 1
    }  # fmt: skip
    again = runner.invoke(app, ["update", folder, str(plays)])
    assert "1 users (0 new) of 2 items (0 for the first time)" in again.stdout
    assert runner.invoke(app, ["remove", folder, "item-2"]).exit_code == 0
    before = Recommender.load(folder)

    def first_line() -> str:
        return runner.invoke(app, ["info", folder]).stdout.splitlines()[0]

    # One more user; one item, which people had played, is gone, and one that nobody had is played.
    warm, heard = (model.info["items"][kind] for kind in ("warm", "with_embedding"))
    now = f"121 users, {len(IDS) - 1} items ({warm} with listeners, {heard - 1} heard, 0 onboarded"
    assert first_line() == f"{now} since)"
    assert runner.invoke(app, ["rebuild", folder]).exit_code == 0
    assert first_line() == f"{now} since)"
    after = Recommender.load(folder)
    same(lists(before, ["user-1", "new-a"]), lists(after, ["user-1", "new-a"]))
    assert "new-a" in after._model.state.user_ids
    plays.write_text("user_id,item_id,weight\nnew-a,item-1,x\n")
    failed = runner.invoke(app, ["update", folder, str(plays)])
    assert isinstance(failed.exception, DataError)
    assert "interactions.csv, line 2" in str(failed.exception)
