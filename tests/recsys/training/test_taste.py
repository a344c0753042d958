"""Collaborative vectors as targets of the network, and that no held-out song leaks into them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from embedding.encoders import LearnedPlays
from recsys.audio import LEARNED_PLAYS
from recsys.config import RecommenderConfig
from recsys.data import play_matrix
from recsys.experiments.models import model_factories
from recsys.sources.als import ALSSource
from recsys.training.fit import _training_data
from recsys.training.taste import choose_taste, taste_vectors
from recsys.training.validation import draw_held_out, hold_out
from tests.helpers.recommenders import training_data

CONFIG = RecommenderConfig(threads=1, tracking=False, als={"factors": 8, "iterations": 5})


@pytest.fixture(scope="module")
def two_crowds(tmp_path_factory):
    """260 songs of 40 artists with a recording each; users hear the even ones or the odd ones."""
    rng = np.random.default_rng(0)
    n_songs, n_users = 260, 240
    songs = [f"s{n}" for n in range(n_songs)]
    artists = [f"artist {n % 40}" for n in range(n_songs)]
    plays = [
        (f"u{user}", songs[song])
        for user in range(n_users)
        for song in rng.choice(np.arange(user % 2, n_songs, 2), 20, replace=False)
    ]
    path = tmp_path_factory.mktemp("songs") / "song.wav"
    path.touch()
    return MusicDataset(
        pd.DataFrame({"item_id": songs, "title": "", "artist": artists, "album": "", "genre": ""}),
        audio=pd.DataFrame({"item_id": songs, "path": str(path)}),
        interactions=pd.DataFrame(plays, columns=["user_id", "item_id"]).assign(weight=1.0),
    )


@pytest.fixture(scope="module")
def taste(two_crowds):
    return taste_vectors(two_crowds, CONFIG)


def drawn(dataset, config=CONFIG):
    ids = pd.Index(dataset.items["item_id"], dtype=object)
    plays, _ = play_matrix(dataset.interactions, ids)
    codes = pd.factorize(dataset.items["artist"])[0]
    return draw_held_out(plays, codes, np.ones(len(ids), bool), config), ids


def test_songs_of_one_crowd_point_the_same_way(taste):
    is_odd = np.array([int(item[1:]) % 2 for item in taste.item_ids])
    cosines = taste.vectors @ taste.vectors.T
    same = is_odd[:, None] == is_odd
    assert np.linalg.norm(taste.vectors, axis=1) == pytest.approx(np.ones(len(taste)), abs=1e-5)
    assert cosines[same].mean() > 0.5
    assert cosines[~same].mean() < -0.5


def test_held_out_songs_have_no_target(two_crowds, taste):
    held_out, ids = drawn(two_crowds)
    cold = ids[held_out.cold_items]
    assert len(cold) >= 20
    assert not set(cold) & set(taste.item_ids)
    assert set(cold) | set(taste.item_ids) == set(ids)


def test_plays_that_are_held_out_shape_no_vector(two_crowds, monkeypatch):
    factorized = []

    def factors(source, data, **settings):
        factorized.append(data.plays)
        return source_factors(source, data, **settings)

    source_factors = ALSSource.factors
    monkeypatch.setattr(ALSSource, "factors", factors)
    taste_vectors(two_crowds, CONFIG)
    held_out, ids = drawn(two_crowds)
    (learned,) = factorized
    assert held_out.sampled.sum() > 100
    assert not learned[:, held_out.cold_items].nnz
    whole, _ = play_matrix(two_crowds.interactions, ids)
    assert learned.nnz == whole.nnz - (held_out.of_cold | held_out.sampled).sum()
    # They are the plays that the validation split of the recommender leaves to learn from.
    embeddings = pd.DataFrame(np.ones((260, 4)), index=ids) + np.eye(260, 4)
    split = hold_out(training_data(two_crowds, embeddings), CONFIG)
    assert (learned != split.training.plays).nnz == 0


def test_the_validation_split_holds_out_what_the_encoder_did_not_see(two_crowds, taste):
    ids = two_crowds.items["item_id"]
    embeddings = pd.DataFrame(np.random.default_rng(1).normal(size=(260, 4)), index=ids)
    data = training_data(two_crowds, embeddings)
    seen = taste.learned_plays().contains(ids)
    assert 0 < seen.sum() < 260
    split = hold_out(replace(data, seen_by_encoder=seen), CONFIG)
    assert len(split.cold_items) >= 20
    assert not seen[split.cold_items].any()
    # It holds out what was drawn before the encoder was trained, to the single play.
    before = hold_out(data, CONFIG)
    np.testing.assert_array_equal(split.cold_items, before.cold_items)
    assert (split.training.plays != before.training.plays).nnz == 0
    # Nothing of what an encoder has seen can stand for new songs.
    blind = hold_out(replace(data, seen_by_encoder=np.ones(260, bool)), CONFIG)
    assert not len(blind.cold_items)


def test_recordings_that_cannot_be_embedded_change_no_play_that_is_held_out(two_crowds, taste):
    """Taste is learned before anybody knows which recordings fail."""
    ids = pd.Index(two_crowds.items["item_id"], dtype=object)
    failed = np.arange(260) % 11 == 0
    embeddings = pd.DataFrame(np.random.default_rng(1).normal(size=(260, 4)), index=ids)
    embeddings = embeddings[~failed]
    embeddings.attrs[LEARNED_PLAYS] = taste.learned_plays()
    played = two_crowds.interactions
    data, _, _ = _training_data(two_crowds, played, embeddings, CONFIG)
    split = hold_out(data, CONFIG)
    before, _ = drawn(two_crowds)
    kept = before.cold_items[~failed[before.cold_items]]
    assert 0 < len(kept) < len(before.cold_items)
    assert set(split.cold_items) == set(kept)
    # No single play that shaped a target is held out, and no song with a target is new.
    plays = data.plays.tocoo()
    shaped = sp.csr_matrix(
        (plays.data[before.learned], (plays.row[before.learned], plays.col[before.learned])),
        shape=plays.shape,
    )
    assert split.held_plays.nnz > 100
    assert not shaped.multiply(split.held_plays).nnz


def test_too_few_songs_or_no_wish_for_it(two_crowds):
    few = two_crowds.take_items([f"s{n}" for n in range(CONFIG.encoder.taste_songs)])
    assert taste_vectors(few, CONFIG) is None
    tags_alone = CONFIG.replace(encoder=CONFIG.encoder.replace(taste_weight=0))
    assert taste_vectors(two_crowds, tags_alone) is None
    unplayed = two_crowds.take_interactions(np.arange(10))
    assert taste_vectors(unplayed, CONFIG) is None
    for dataset, config, reason in (
        (few, CONFIG, "listeners or more, beside those held out for validation, and 80 are needed"),
        (two_crowds, tags_alone, "encoder.taste_weight, is 0"),
        (unplayed, CONFIG, "10 plays are too few to hold some out"),
        (two_crowds, CONFIG, "validation, and 80 are enough"),
    ):
        assert reason in choose_taste(dataset, config).reason


class Fold:
    """Embeddings by an encoder that has learned from the plays of some songs."""

    def __init__(self, frame):
        self.frame = frame

    def embeddings(self, dataset):
        return self.frame.loc[dataset.items["item_id"]]


@pytest.mark.parametrize("leaks", [False, True])
def test_an_evaluation_catches_a_leak(two_crowds, leaks):
    held_out = [f"s{n}" for n in range(0, 260, 40)]  # of one artist
    kept = [f"s{n}" for n in range(260) if n % 40]
    frame = pd.DataFrame(
        np.random.default_rng(1).normal(size=(260, 4)), index=two_crowds.items["item_id"]
    )
    frame.attrs[LEARNED_PLAYS] = LearnedPlays([*kept, *(held_out if leaks else [])])
    config = CONFIG.replace(sources=("als",))
    model = model_factories(["als+audio"], config, encoders=lambda training: Fold(frame))
    fitted = model["als+audio"]().fit(two_crowds.take_items(kept))
    new = two_crowds.take_items(held_out).take_interactions(np.empty(0, np.intp))
    if leaks:
        with pytest.raises(EvaluationError, match="learned from the plays of 7 of 7 items held"):
            fitted.onboard_many(new)
    else:
        fitted.onboard_many(new)


def test_learned_plays_are_a_set():
    learned = LearnedPlays(["a", "b", "a", "\udcff"])
    assert len(learned) == 3
    assert learned == LearnedPlays(["\udcff", "b", "a"])
    assert learned.contains(["b", "c", "\udcff"]).tolist() == [True, False, True]
    assert learned != LearnedPlays(["a"])
    assert not len(LearnedPlays())
    with pytest.raises(ValueError, match="no array of hashes"):
        LearnedPlays.from_array(np.zeros((2, 2), np.uint64))
