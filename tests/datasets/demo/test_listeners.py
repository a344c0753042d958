"""The demo's listeners: what was put in can be found, and what was not cannot."""

import numpy as np
import pandas as pd
import pytest

from datasets.arrays import BoolArray, Float64Array
from datasets.demo.catalogue import FIRST_DAY, LAST_DAY, DemoSong, draw_catalogue
from datasets.demo.genres import GENRES
from datasets.demo.listeners import simulate_listening
from datasets.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def songs() -> list[DemoSong]:
    return draw_catalogue(0, 198, 66)


@pytest.fixture(scope="module")
def listening(songs: list[DemoSong]) -> pd.DataFrame:
    return simulate_listening(songs, 0, 900)


@pytest.fixture(scope="module")
def played(songs: list[DemoSong], listening: pd.DataFrame) -> Float64Array:
    """[listeners, songs]: 1 where played."""
    rows = {song.item_id: index for index, song in enumerate(songs)}
    users, _ = pd.factorize(listening["user_id"])
    matrix = np.zeros((900, len(songs)))
    matrix[users, listening["item_id"].map(rows)] = 1.0
    return matrix


class TestTable:
    def test_size(self, listening: pd.DataFrame) -> None:
        assert 15_000 <= len(listening) <= 25_000
        assert listening["user_id"].nunique() == 900
        assert not listening.duplicated(["user_id", "item_id"]).any()

    def test_songs_marked_as_unplayed_are_not_played(
        self, songs: list[DemoSong], listening: pd.DataFrame
    ) -> None:
        heard = set(listening["item_id"])
        assert heard == {song.item_id for song in songs if song.played}

    def test_times_lie_in_the_year_and_after_the_release(
        self, songs: list[DemoSong], listening: pd.DataFrame
    ) -> None:
        released = {song.item_id: song.released for song in songs}
        times = listening["timestamp"]
        assert (times >= pd.Series(listening["item_id"].map(released))).all()
        assert times.min() >= pd.Timestamp(FIRST_DAY)
        assert times.max() < pd.Timestamp(LAST_DAY)
        assert (times.dt.month.value_counts() > 100).all()

    def test_weights_are_counts_of_plays(self, listening: pd.DataFrame) -> None:
        weights = listening["weight"]
        assert (weights >= 1).all()
        assert (weights == weights.round()).all()
        assert weights.quantile(0.99) > 3 * weights.median()

    def test_popularity_falls_as_a_power_of_the_rank(self, listening: pd.DataFrame) -> None:
        plays = listening.groupby("item_id")["weight"].sum().sort_values(ascending=False)
        top = plays.iloc[:100].to_numpy()
        slope = np.polyfit(np.log(np.arange(1, 101)), np.log(top), 1)[0]
        assert -1.2 < slope < -0.35
        assert plays.iloc[:20].sum() > 3 * plays.iloc[-20:].sum()

    def test_activity_is_lognormal_in_shape(self, listening: pd.DataFrame) -> None:
        counts = listening.groupby("user_id").size()
        assert counts.min() >= 5
        assert counts.mean() > 1.1 * counts.median()
        assert abs(float(np.log(counts).skew())) < abs(float(counts.skew()))

    def test_a_function_of_the_seed(self, songs: list[DemoSong], listening: pd.DataFrame) -> None:
        pd.testing.assert_frame_equal(listening, simulate_listening(songs, 0, 900))
        other = simulate_listening(songs, 1, 900)
        assert not listening.equals(other)

    def test_the_first_listeners_do_not_depend_on_how_many_blocks_follow(
        self, songs: list[DemoSong]
    ) -> None:
        few, many = (simulate_listening(songs, 0, number) for number in (512, 900))
        first = many[many["user_id"].isin(set(few["user_id"]))].reset_index(drop=True)
        pd.testing.assert_frame_equal(few, first)

    def test_refused(self, songs: list[DemoSong]) -> None:
        with pytest.raises(InvalidArgumentError, match="n_listeners"):
            simulate_listening(songs, 0, 0)


def item_auc(scores: Float64Array, truth: Float64Array) -> float:
    """Mean over songs of the probability that a listener of it is ranked above another."""
    scores = (scores - scores.mean(axis=1, keepdims=True)) / (
        scores.std(axis=1, keepdims=True) + 1e-9
    )
    values = []
    for column in range(truth.shape[1]):
        yes, no = scores[truth[:, column] > 0, column], scores[truth[:, column] == 0, column]
        above = (yes[:, None] > no[None, :]).mean() + 0.5 * (yes[:, None] == no[None, :]).mean()
        values.append(above)
    return float(np.mean(values))


def predicted(features: Float64Array, played: Float64Array, warm: BoolArray) -> Float64Array:
    """Scores of all songs by each listener's ridge regression on the features of warm ones."""
    known = features[warm]
    mean, scale = known.mean(axis=0), known.std(axis=0) + 1e-9
    design = (features - mean) / scale
    inner = design[warm].T @ design[warm] + 30.0 * np.eye(features.shape[1])
    target = played[:, warm] - played[:, warm].mean(axis=1, keepdims=True)
    return np.asarray(target @ design[warm] @ np.linalg.solve(inner, design.T))


@pytest.fixture(scope="module")
def auc(songs: list[DemoSong], played: Float64Array) -> dict[str, float]:
    """Item-wise AUC on songs of held-out artists, by what the scores are made of."""
    genre = np.eye(len(GENRES))[[list(GENRES).index(s.plan.artist.genre) for s in songs]]
    sound = np.array([song.plan.sound.array() for song in songs])
    sound = (sound - sound.mean(axis=0)) / sound.std(axis=0)
    both = np.hstack([genre, sound, sound**2])
    rng = np.random.default_rng(0)
    artists = np.array([song.performer for song in songs])
    held = np.isin(artists, rng.choice(np.unique(artists), size=17, replace=False))
    heard = played.sum(axis=0) > 0
    cold = held & heard
    sources = {
        "genre": genre,
        "genre and sound": both,
        "shuffled": rng.permutation(both),
        "id": np.arange(len(songs))[:, None] ** np.array([1.0, 2.0]),
    }
    return {
        name: item_auc(predicted(features, played, ~held & heard)[:, cold], played[:, cold])
        for name, features in sources.items()
    }


class TestTaste:
    """Songs of a quarter of the artists are held out; the rest tell what a listener likes."""

    def test_genre_predicts(self, auc: dict[str, float]) -> None:
        assert auc["genre"] > 0.65

    def test_sound_adds_to_genre(self, auc: dict[str, float]) -> None:
        assert auc["genre and sound"] > auc["genre"] + 0.03

    def test_other_songs_sound_and_ids_do_not(self, auc: dict[str, float]) -> None:
        assert abs(auc["shuffled"] - 0.5) < 0.06
        assert abs(auc["id"] - 0.5) < 0.06

    def test_what_similar_listeners_play_beats_what_is_popular(self, played: Float64Array) -> None:
        rng = np.random.default_rng(0)
        test = (rng.random(played.shape) < 0.2) * played
        known = played - test
        length = np.sqrt(known.sum(axis=0)) + 1e-9
        similar = known.T @ known / np.outer(length, length)
        np.fill_diagonal(similar, 0.0)

        def hits(scores: Float64Array) -> float:
            best = np.argsort(-np.where(known > 0, -np.inf, scores), axis=1)[:, :10]
            return float(np.take_along_axis(test, best, axis=1).mean())

        popular = np.broadcast_to(known.sum(axis=0), played.shape)
        assert hits(known @ similar) > 1.3 * hits(popular)
