"""Peers: what they recommend is what their library says, and settings come from training alone."""

from typing import ClassVar

import numpy as np
import pytest

from datasets.errors import InvalidArgumentError, NotFittedError, UnknownItemError
from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Random
from evaluation.models.external import PEERS, FullEASE, ImplicitALS, ItemKNN, Peer
from evaluation.splitting.cold import cold_split
from tests.helpers.evaluations import listeners_of_three_tastes

DATA = listeners_of_three_tastes(40, 25)


@pytest.mark.parametrize("name", PEERS)
def test_lists_are_whole_and_of_the_users_taste(name: str) -> None:
    first = {setting: values[0] for setting, values in PEERS[name].grid.items()}
    model = PEERS[name](tuned=False, **first).fit(DATA)
    users = [str(n) for n in range(40)]
    frame = model.recommend_many([*users, "nobody"], 5)
    assert set(frame["user_id"]) == set(users)
    assert (frame.groupby("user_id")["rank"].apply(list).map(len) == 5).all()
    played = set(zip(DATA.interactions.user_id, DATA.interactions.item_id, strict=True))
    assert not played & set(zip(frame.user_id, frame.item_id, strict=True))
    assert frame.groupby("user_id")["score"].apply(lambda s: s.is_monotonic_decreasing).all()
    own = frame["user_id"].astype(int) % 3 == frame["item_id"].astype(int) % 3
    if name != "bpr":  # which needs more than 300 plays
        assert own[frame["rank"] <= 2].mean() > 0.5
    few = model.recommend_many(["1"], 5, only=["3", "4"], exclude_seen=False)
    assert set(few["item_id"]) == {"3", "4"}
    with pytest.raises(UnknownItemError, match="'x'"):
        model.recommend_many(["1"], 5, only=["x"])


def test_ease_by_its_formula_from_either_side() -> None:
    for data in (listeners_of_three_tastes(40, 25), listeners_of_three_tastes(20, 35)):
        model = FullEASE(tuned=False, regularization=10.0).fit(data)
        X = model._plays.toarray().astype(float)
        P = np.linalg.inv(X.T @ X + 10 * np.eye(X.shape[1]))
        B = -P / np.diag(P)
        np.fill_diagonal(B, 0)
        unseen = X == 0
        found = model._scores(np.arange(len(X)))
        np.testing.assert_allclose(found[unseen], (X @ B)[unseen], rtol=1e-4, atol=1e-5)


def test_item_knn_is_implicits() -> None:
    from implicit.nearest_neighbours import TFIDFRecommender

    model = ItemKNN(tuned=False, weighting="tfidf", neighbours=10).fit(DATA)
    theirs = TFIDFRecommender(K=10, num_threads=1)
    theirs.fit(model._plays, show_progress=False)
    _, scores = theirs.recommend(3, model._plays[3], N=5)
    ours = model.recommend_many([model._users[3]], 5)
    np.testing.assert_allclose(ours["score"], scores, rtol=1e-5)


def test_open_settings_are_chosen_inside_training_and_given_ones_stay() -> None:
    class Signed(Peer):
        grid: ClassVar = {"sign": (-1.0, 1.0), "other": (3,)}

        def _learn(self, plays) -> None:
            self._popular = np.asarray(plays.sum(axis=0)).ravel()

        def _scores(self, rows) -> np.ndarray:
            return np.tile(self.chosen["sign"] * self._popular, (len(rows), 1))

    assert Signed().fit(DATA).chosen == {"sign": 1.0, "other": 3}
    assert Signed(tuned=False).fit(DATA).chosen["sign"] == -1.0
    assert Signed(sign=-1.0).fit(DATA).chosen["sign"] == -1.0
    with pytest.raises(InvalidArgumentError, match="no setting 'speed'"):
        ImplicitALS(speed=1)
    with pytest.raises(NotFittedError):
        ImplicitALS().recommend_many(["1"], 1)


@pytest.mark.parametrize("few_at_once", [False, True])
def test_lists_are_those_of_a_full_sort_with_equal_scores_by_row(few_at_once, monkeypatch) -> None:
    class Coarse(Peer):
        """Few different scores, so that most places are tied; and items that never come."""

        def _learn(self, plays) -> None:
            self.scores = np.random.default_rng(1).integers(-2, 4, plays.shape).astype(np.float32)
            self.scores[self.scores == -2] = -np.inf

        def _scores(self, rows) -> np.ndarray:
            return self.scores[rows]

    if few_at_once:
        monkeypatch.setattr("evaluation.models.external._CELLS", 3 * 25)
    model = Coarse().fit(DATA)
    played = DATA.interactions.groupby("user_id")["item_id"].agg(set)
    some = [str(n) for n in range(20, 2, -1)]
    for k, only, exclude_seen in (
        (1, None, True),
        (7, None, False),
        (25, None, True),
        (4, some, True),
    ):
        frame = model.recommend_many(played.index, k, only=only, exclude_seen=exclude_seen)
        for user, own in frame.groupby("user_id"):
            score = model.scores[model._users.get_loc(user)]
            order = [str(n) for n in np.argsort(-score, kind="stable") if score[n] > -np.inf]
            left_out = played[user] if exclude_seen else set()
            order = [i for i in order if i not in left_out and (only is None or i in only)][:k]
            assert own["item_id"].tolist() == order
            assert own["rank"].tolist() == list(range(1, len(order) + 1))
            assert own["score"].tolist() == [score[int(item)] for item in order]
    with pytest.raises(InvalidArgumentError, match="k must be a whole number of at least 1"):
        model.recommend_many(["1"], 0)


@pytest.mark.parametrize("name", ["item-knn", "ease-full"])
def test_who_comes_later_gets_what_somebody_with_the_same_plays_gets(name: str) -> None:
    for data in (DATA, listeners_of_three_tastes(20, 35)):  # EASE from either side
        own = data.interactions[data.interactions["user_id"] == "5"]
        model = PEERS[name](tuned=False)
        with pytest.raises(NotFittedError):
            model.update(own)
        model.fit(data)
        model.update(own.assign(user_id="twin"))
        lists = model.recommend_many(["5", "twin"], 8).set_index("user_id")
        assert lists.loc["5", "item_id"].tolist() == lists.loc["twin", "item_id"].tolist()
        np.testing.assert_allclose(lists.loc["5", "score"], lists.loc["twin", "score"], rtol=1e-5)
        with pytest.raises(InvalidArgumentError, match="user '5' was in training"):
            model.update(own)


def test_sampled_candidates_that_are_cold_are_not_asked_of_who_cannot_know_them() -> None:
    split = cold_split(DATA, 0.3, by="item", among=set(DATA.interactions["item_id"]))
    models = {"item-knn": lambda: ItemKNN(tuned=False), "random": Random}
    result = compare(models, DATA, [split], ks=(3,), sampled=5, n_bootstrap=100)
    figures = result.figures()
    assert figures["cold", "sampled 5", "item-knn", "hit", 3].mean == 0
    assert figures["cold", "sampled 5", "random", "hit", 3].mean > 0
