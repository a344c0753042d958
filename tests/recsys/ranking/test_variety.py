"""The varied order, for those of whom nothing is known where nothing has been played."""

import numpy as np
import pandas as pd
import pytest

from recsys import Recommender
from recsys.ranking.variety import varied_order
from tests.helpers.recommenders import CONFIG, dataset_of

NAMES = [f"{kind}{n}" for kind, size in (("a", 6), ("b", 4), ("c", 3)) for n in range(size)]


@pytest.fixture
def library() -> Recommender:
    """Three kinds of sound, of six, four and three songs, and one song without a sound."""
    rng = np.random.default_rng(3)
    vectors = np.stack([np.eye(3)["abc".index(name[0])] for name in NAMES])
    vectors += 0.02 * rng.standard_normal(vectors.shape)
    embeddings = pd.DataFrame(vectors, index=NAMES)
    return Recommender(CONFIG).fit(dataset_of([], [*NAMES, "unheard"]), embeddings)


def test_each_kind_in_turn_the_largest_first(
    library: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.ranking.variety.N_KINDS", 3)
    names = library.recommend("nobody", k=20)["item_id"].tolist()
    kinds = [name[0] for name in names]
    assert "".join(kinds) == "abcabcabcabaau"
    assert sorted(names) == sorted([*NAMES, "unheard"])


def test_kinds_are_counted_among_the_rows_asked_for(library: Recommender) -> None:
    model = library._model
    assert model is not None
    rows = model.items.rows(["b1", "b0", "c2", "unheard", "c1", "b3"])
    names = model.items.ids(varied_order(model, rows)).tolist()
    assert [name[0] for name in names[:2]] == ["b", "c"]
    assert names[-1] == "unheard"
    assert sorted(names) == sorted(model.items.ids(rows))
    assert len(varied_order(model, rows[:0])) == 0


def test_the_order_is_the_same_each_time_and_takes_in_new_songs(library: Recommender) -> None:
    first = library.recommend("nobody", k=14)["item_id"].tolist()
    assert library.recommend("somebody else", k=14)["item_id"].tolist() == first
    library.onboard(item_id="b-new", embedding=[0.0, 1.0, 0.0])
    library.remove("a0")
    names = library.recommend("nobody", k=20)["item_id"].tolist()
    assert sorted(names) == sorted([*NAMES[1:], "unheard", "b-new"])


def test_songs_that_all_sound_alike_keep_their_order() -> None:
    embeddings = pd.DataFrame(np.ones((3, 4)), index=["x", "y", "z"])
    model = Recommender(CONFIG).fit(dataset_of([], ["x", "y", "z"]), embeddings)
    assert model.recommend("nobody")["item_id"].tolist() == ["x", "y", "z"]
