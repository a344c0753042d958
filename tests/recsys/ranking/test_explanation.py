"""Why an item is recommended: the numbers of the list, and neighbours and counts by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError, UnknownItemError, UnknownUserError
from tests.helpers.recommenders import ALL_USERS, IDS, SHARES
from tests.helpers.thorough import times


@pytest.mark.slow
@settings(max_examples=times(15, 40))
@given(user=st.sampled_from(ALL_USERS), k=st.integers(1, 90), seen=st.booleans())
def test_shares_of_every_list_add_to_one(fitted, user, k, seen):
    shares = fitted.recommend(user, k, exclude_seen=not seen)[SHARES].to_numpy()
    assert (shares >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(shares)), abs=1e-9)


@pytest.mark.slow
@settings(max_examples=times(15, 40))
@given(user=st.sampled_from(ALL_USERS), item=st.sampled_from(IDS))
def test_an_explanation_has_the_numbers_of_the_list(fitted, user, item):
    found = fitted.explain(user, item)
    row = fitted.recommend(user, 1, only=[item], exclude_seen=False).iloc[0]
    assert found.score == pytest.approx(row["score"], abs=1e-5)
    assert found.cold == row["cold"]
    assert sum(found.shares.values()) == pytest.approx(1)
    expected = {name.removeprefix("share_"): row[name] for name in SHARES}
    assert found.shares == pytest.approx(expected, abs=1e-5)


def test_a_history_is_explained_as_it_is_recommended(fitted):
    history = {"item-3": 4.0, "item-6": 1.0}
    found = fitted.explain(None, "cold-81", history=history)
    row = fitted.recommend(history=history, k=1, only=["cold-81"]).iloc[0]
    assert found.score == pytest.approx(row["score"], abs=1e-5)
    assert (found.user_id, found.n_played, found.cold, found.seen) == (None, 2, True, False)


def test_neighbours_are_the_played_items_with_the_largest_cosine(fitted, tastes):
    table = tastes[0].interactions
    played = set(table.loc[table["user_id"] == "user-1", "item_id"])
    found = fitted.explain("user-1", "cold-82", n=3)
    for by, near in (("taste", found.taste), ("sound", found.sound)):
        similar = fitted.similar("cold-82", 90, by=by)
        expected = similar[similar["item_id"].isin(played)].head(3)
        assert [one.item_id for one in near] == expected["item_id"].tolist()
        cosines = [one.cosine for one in near]
        assert cosines == pytest.approx(expected["score"].tolist(), abs=1e-5)
        assert [one.artist for one in near] == expected["artist"].tolist()


def test_what_is_in_common_is_counted(fitted):
    # By artist pairs of items: item-0 and item-1 are of Artist 0; genres go by number modulo 3.
    found = fitted.explain(None, "item-0", history=["item-1", "item-3", "item-6", "item-4"])
    common = [(one.column, one.value, one.played) for one in found.common]
    assert common == [("genre", "rock", 2), ("artist", "Artist 0", 1)]


def test_the_item_itself_is_no_neighbour_of_its_own(fitted):
    found = fitted.explain(None, "item-0", history=["item-0", "item-3"])
    assert found.seen
    assert [one.item_id for one in found.sound] == ["item-3"]


def test_an_explanation_is_read_by_people_and_by_programs(fitted):
    found = fitted.explain("user-1", "cold-82", n=2)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["shares"] == found.shares
    assert again["sound"][0]["item_id"] == found.sound[0].item_id
    text = str(found)
    assert text.startswith("Song 82 by Artist 41 for user user-1: score ")
    assert "nobody had played it" in text
    assert "nearest in sound: " in text
    assert f"genre {found.common[0].value}: " in text


def test_unknown_and_contradictory(fitted):
    with pytest.raises(UnknownUserError, match="'stranger'"):
        fitted.explain("stranger", "item-1")
    with pytest.raises(UnknownItemError, match="'nothing'"):
        fitted.explain("user-1", "nothing")
    with pytest.raises(UnknownItemError, match="'nothing'"):
        fitted.explain(None, "item-1", history=["nothing"])
    for arguments in (
        {"user_id": "user-1", "history": ["item-1"]},
        {"user_id": None},
        {"user_id": "user-1", "n": 0},
        {"user_id": None, "history": []},
    ):
        with pytest.raises(InvalidArgumentError):
            fitted.explain(item_id="item-1", **arguments)


@pytest.mark.slow
def test_the_command(call, fit_quickly, tmp_path):
    fit_quickly().save(tmp_path / "model")
    as_json = call("explain", tmp_path / "model", "user-1", "item-4", "--json")
    assert json.loads(as_json.out)["item_id"] == "item-4"
    unknown = call("explain", tmp_path / "model", "stranger", "item-4")
    assert unknown == (1, "", "error: no user 'stranger' in the training data\n")
