"""The demo's catalogue on paper: who, what, when, and that ids and names tell nothing."""

import numpy as np
import pandas as pd
import pytest

from datasets.demo.catalogue import (
    LAST_DAY,
    NameGenerator,
    audio_table,
    draw_catalogue,
    draw_new_song,
    items_table,
    truth_table,
)
from datasets.demo.genres import GENRES, SOUND_PROPERTIES, SoundProfile, tempo_from_bpm
from datasets.demo.planning import draw_artist, draw_plan


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    songs = draw_catalogue(0, 198, 66)
    return items_table(songs).assign(
        played=[song.played for song in songs], released=[song.released for song in songs]
    )


class TestCatalogue:
    def test_size(self, items: pd.DataFrame) -> None:
        assert len(items) == items["item_id"].nunique() == items["title"].nunique() == 198
        assert items["artist"].nunique() == 66
        assert set(items["genre"]) == set(GENRES)
        assert (items["genre"].value_counts() == 22).all()
        assert (items.groupby("artist")["genre"].nunique() == 1).all()

    def test_unplayed_songs_are_of_all_genres_and_of_known_and_new_artists(
        self, items: pd.DataFrame
    ) -> None:
        unplayed = items[~items["played"]]
        assert len(unplayed) >= 20
        assert set(unplayed["genre"]) == set(GENRES)
        heard = set(items[items["played"]]["artist"])
        known = unplayed["artist"].isin(heard)
        assert known.sum() >= 9
        assert (~known).sum() >= 9
        assert (unplayed["released"] == LAST_DAY).all()
        assert (items[items["played"]]["released"] < LAST_DAY).all()

    def test_tags(self, items: pd.DataFrame) -> None:
        assert set(items["emotion"]) == {"happy", "relaxed", "sad", "tense"}
        assert items["emotion"].value_counts().min() >= 15
        assert {"voice", "guitar", "synthesizer", "harmonica"} <= set(items["instrument"])
        assert set(items.query("genre == 'electronic'")["instrument"]) & {"synthesizer"}

    @pytest.mark.slow
    def test_neither_id_nor_format_tells_the_genre(self) -> None:
        songs = draw_catalogue(3, 900, 300)
        position = pd.Series(np.arange(900))
        genre = pd.Series([song.plan.artist.genre for song in songs])
        means = position.groupby(genre).mean()
        # 100 positions drawn at random from 900 have a mean of 450 with deviation 26.
        assert np.abs(means - 449.5).max() < 4 * 26
        formats = pd.Series([song.path.rsplit(".", 1)[1] for song in songs])
        table = pd.crosstab(genre, formats)
        expected = table.sum(axis=0).to_numpy() / 9
        chi_square = float(((table - expected) ** 2 / expected).to_numpy().sum())
        assert chi_square < 51.2  # 24 degrees of freedom, p = 0.001

    @pytest.mark.parametrize(("songs", "artists"), [(9, 9), (20, 19), (50, 10), (61, 61)])
    def test_any_numbers(self, songs: int, artists: int) -> None:
        catalogue = draw_catalogue(1, songs, artists)
        assert len(catalogue) == songs
        assert len({song.performer for song in catalogue}) == artists
        for genre in GENRES:
            assert any(s.played for s in catalogue if s.plan.artist.genre == genre)

    @pytest.mark.slow
    def test_large(self) -> None:
        catalogue = draw_catalogue(0, 5000, 1600)
        assert len({song.title for song in catalogue}) == 5000
        assert len({song.performer for song in catalogue}) == 1600

    def test_another_seed_is_another_catalogue(self) -> None:
        first, other = draw_catalogue(0, 60, 20), draw_catalogue(1, 60, 20)
        assert not {song.plan.seed for song in first} & {song.plan.seed for song in other}
        assert [s.performer for s in first] != [s.performer for s in other]

    def test_tables_agree(self) -> None:
        songs = draw_catalogue(2, 30, 12)
        ids = list(items_table(songs)["item_id"])
        truth = truth_table(songs)
        assert ids == list(audio_table(songs)["item_id"]) == list(truth["item_id"]) == sorted(ids)
        row = truth.iloc[7]
        made = draw_plan(
            draw_artist(songs[7].plan.artist.genre, int(row["artist_seed"])), int(row["song_seed"])
        )
        assert made == songs[7].plan
        assert row["brightness"] == pytest.approx(made.sound.brightness, abs=1e-4)

    def test_a_new_song_is_new_for_every_number(self) -> None:
        titles = {song.title for song in draw_catalogue(0, 30, 12)}
        new = [
            draw_new_song(0, 30, 12, number, "pop", new_artist=other)
            for number in range(4)
            for other in (False, True)
        ]
        assert len({song.plan.seed for song in new}) == 8
        assert not titles & {song.title for song in new}


class TestPlanning:
    def test_tempo_scale(self) -> None:
        assert SoundProfile(0.0, 0, 0, 0, 0).bpm == 60.0
        assert SoundProfile(1.0, 0, 0, 0, 0).bpm == pytest.approx(200.0)
        assert SoundProfile(tempo_from_bpm(120.0), 0, 0, 0, 0).bpm == pytest.approx(120.0)

    @pytest.mark.slow
    def test_songs_of_an_artist_are_alike_and_not_the_same(self) -> None:
        rng = np.random.default_rng(0)
        within, between = [], []
        for genre in GENRES:
            seeds = [int(seed) for seed in rng.integers(1 << 30, size=30)]
            sounds = np.array(
                [
                    [draw_plan(draw_artist(genre, seed), song).sound.array() for song in range(4)]
                    for seed in seeds
                ]
            )
            within.append(sounds.std(axis=1).mean(axis=0))
            between.append(sounds.mean(axis=1).std(axis=0))
        assert (np.mean(within, axis=0) > 0.01).all()
        assert (np.mean(between, axis=0) > 2 * np.mean(within, axis=0)).all()

    @pytest.mark.slow
    def test_genres_overlap_and_differ(self) -> None:
        values = {
            genre: np.array(
                [draw_plan(draw_artist(genre, seed), 0).sound.array() for seed in range(60)]
            )
            for genre in GENRES
        }
        drive, electronic = SOUND_PROPERTIES.index("drive"), SOUND_PROPERTIES.index("electronic")
        assert values["rock"][:, drive].mean() > values["jazz"][:, drive].mean() + 0.4
        assert values["electronic"][:, electronic].min() > values["blues"][:, electronic].max()
        assert values["alternative"][:, drive].max() > values["rock"][:, drive].min()
        bpm = {genre: [SoundProfile(*row).bpm for row in rows] for genre, rows in values.items()}
        assert max(bpm["rap/hip-hop"]) < max(bpm["jazz"])
        assert min(bpm["electronic"]) > np.mean(bpm["blues"])


class TestNames:
    @pytest.mark.slow
    def test_never_twice(self) -> None:
        names = NameGenerator(np.random.default_rng(0))
        drawn = [names.title() for _ in range(12_000)]
        assert len(set(drawn)) == 12_000

    def test_taken_names_are_not_drawn(self) -> None:
        first = NameGenerator(np.random.default_rng(4)).artist("jazz")
        names = NameGenerator(np.random.default_rng(4))
        names.keep(first)
        assert names.artist("jazz") != first
