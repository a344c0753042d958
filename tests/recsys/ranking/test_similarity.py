"""Similar items: vectors are kept from call to call, and onboarding is seen at once."""

import threading
import time

import numpy as np
import pytest

from recsys.ranking import similarity
from recsys.ranking.similarity import similar_rows, unit_vectors

SPACES = ["sound", "taste", "fused"]


def fresh(library, by):
    """What the vectors would be if nothing were kept."""
    kept, library.items._cache = library.items._cache, {}
    try:
        return np.array(unit_vectors(library, by))
    finally:
        library.items._cache = kept


@pytest.mark.parametrize("by", SPACES)
def test_vectors_are_made_once(fitted, by, monkeypatch):
    library = fitted._model
    first = unit_vectors(library, by)
    monkeypatch.setattr(similarity, "_unit", None)  # nothing is made again, or this would fail
    assert np.shares_memory(unit_vectors(library, by), first)


@pytest.mark.slow
@pytest.mark.parametrize("by", SPACES)
def test_onboarding_adds_rows_and_changes_none(fit_quickly, by):
    recommender = fit_quickly()
    before = np.array(unit_vectors(recommender._model, by))
    for number in range(30):  # more than there is room for at first
        recommender.onboard(embedding=np.eye(8)[number % 3], item_id=f"new-{number}")
        assert len(unit_vectors(recommender._model, by)) == len(before) + number + 1
    after = unit_vectors(recommender._model, by)
    assert (after[: len(before)] == before).all()
    assert after == pytest.approx(fresh(recommender._model, by), abs=1e-6)
    found = recommender.similar("new-0", k=9, by=by)["item_id"]
    assert set(found) == {f"new-{n}" for n in range(3, 30, 3)}


def test_an_item_onboarded_again_is_compared_as_it_is_now(fit_quickly):
    recommender = fit_quickly()
    recommender.onboard(embedding=np.eye(8)[0], item_id="new")
    recommender.onboard(embedding=np.eye(8)[0], item_id="other")
    assert recommender.similar("other", k=1, by="sound")["item_id"].tolist() == ["new"]
    recommender.onboard(embedding=np.eye(8)[1], item_id="new")
    found = recommender.similar("other", k=91, by="sound")
    assert found["item_id"].tolist().count("new") == 1
    assert found["item_id"].iloc[0] != "new"


def test_the_best_are_those_of_a_full_sort_and_ties_go_by_row(fitted):
    library = fitted._model
    vectors = unit_vectors(library, "fused")
    for k in (1, 7, 89, 500):
        rows, scores = similar_rows(library, 5, k, "fused")
        cosines = vectors @ vectors[5]
        cosines[5] = -np.inf
        order = np.argsort(-cosines, kind="stable")[: min(k, 89)]
        assert rows.tolist() == order.tolist()
        assert scores == pytest.approx(cosines[order])


@pytest.mark.slow
def test_threads_may_ask_while_others_onboard(fit_quickly):
    recommender = fit_quickly()
    errors, done = [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                for by in SPACES:
                    recommender.similar("item-0", k=5, by=by)
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        recommender.onboard(embedding=np.eye(8)[number % 3], item_id=f"new-{number}")
        time.sleep(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(unit_vectors(recommender._model, "sound")) == 130
