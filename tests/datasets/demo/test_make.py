"""The demo catalogue on disk: made whole, made again the same, gone on with, never over others."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.demo import compose_song, make_demo, read_tags, write_new_song
from datasets.demo.genres import GENRES
from datasets.errors import AudioError, DataError, InvalidArgumentError
from datasets.folder import load_folder
from datasets.music import MusicDataset

pytestmark = pytest.mark.slow

SMALL = {"n_songs": 13, "n_artists": 11, "n_listeners": 40, "progress": False}
TABLES = ("items.csv", "audio.csv", "interactions.csv", "truth/songs.csv", "README.txt")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> MusicDataset:
    return make_demo(tmp_path_factory.mktemp("demo") / "catalogue", workers=1, **SMALL)


def root(dataset: MusicDataset) -> Path:
    assert dataset.root is not None
    return dataset.root


class TestWhole:
    def test_counts(self, demo: MusicDataset) -> None:
        summary = demo.summary()
        assert summary["n_items"] == summary["n_recordings"] == 13
        assert summary["n_artists"] == 11
        assert summary["n_genres"] == 9
        assert summary["n_users"] == 40
        assert summary["n_items_with_listeners"] < 13
        assert demo.tags == ["emotion", "instrument"]

    def test_it_is_what_load_folder_reads(self, demo: MusicDataset) -> None:
        assert load_folder(root(demo)).digest() == demo.digest()

    def test_recordings(self, demo: MusicDataset) -> None:
        kinds = set()
        for path in demo.recording_paths():
            kinds.add(path.suffix)
            samples, rate = soundfile.read(path)
            assert rate == 22_050
            assert samples.shape[1] == 2
            assert 8.0 < len(samples) / rate < 20.0
            assert np.isfinite(samples).all()
            assert np.abs(samples).max() < 1.0
            assert 0.05 < np.sqrt(np.mean(samples**2)) < 0.3
            assert np.abs(samples.mean(axis=0)).max() < 0.005
            assert not np.array_equal(samples[:, 0], samples[:, 1])
        assert len(kinds) > 1

    def test_recordings_carry_their_tags(self, demo: MusicDataset) -> None:
        path = next(path for path in demo.recording_paths() if path.suffix == ".flac")
        item = demo.items.set_index("item_id").loc[path.stem]
        tags = read_tags(path)
        assert (tags.title, tags.artist) == (item["title"], item["artist"])
        assert (tags.album, tags.genre) == (item["album"], item["genre"])

    def test_the_folder_says_that_listeners_are_simulated(self, demo: MusicDataset) -> None:
        assert "LISTENERS ARE SIMULATED" in (root(demo) / "README.txt").read_text()


class TestAgain:
    def test_same_seed_same_tables_and_samples_on_more_processes(
        self, demo: MusicDataset, tmp_path: Path
    ) -> None:
        again = make_demo(tmp_path, workers=2, **SMALL)
        for name in TABLES:
            assert (tmp_path / name).read_bytes() == (root(demo) / name).read_bytes()
        for first, second in zip(demo.recording_paths(), again.recording_paths(), strict=True):
            np.testing.assert_array_equal(soundfile.read(first)[0], soundfile.read(second)[0])

    def test_what_is_recorded_stays(self, demo: MusicDataset) -> None:
        folder = root(demo)
        lost = demo.recording_paths()[4]
        samples = soundfile.read(lost)[0]
        before = {path: path.stat().st_mtime_ns for path in demo.recording_paths()}
        lost.unlink()
        (folder / "interactions.csv").unlink()
        (folder / "audio" / ".demo-0003.wav.half.wav").write_bytes(b"RIFF")
        make_demo(folder, workers=1, **SMALL)
        after = {path: path.stat().st_mtime_ns for path in demo.recording_paths()}
        assert {path for path in before if before[path] != after[path]} == {lost}
        np.testing.assert_array_equal(soundfile.read(lost)[0], samples)
        assert not list((folder / "audio").glob(".*"))
        assert load_folder(folder).digest() == demo.digest()

    def test_progress_is_shown_on_the_error_stream(
        self, demo: MusicDataset, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_demo(root(demo), workers=1, **{**SMALL, "progress": True})
        shown = capsys.readouterr()
        assert "recording songs" in shown.err
        assert shown.out == ""


class TestRefused:
    def test_a_folder_that_holds_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("irreplaceable")
        with pytest.raises(DataError, match="not empty"):
            make_demo(tmp_path, **SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("")
        with pytest.raises(DataError, match="not a folder"):
            make_demo(file, **SMALL)

    def test_a_demo_with_other_settings(self, demo: MusicDataset) -> None:
        with pytest.raises(DataError, match="with seed 0, not 5"):
            make_demo(root(demo), seed=5, **SMALL)

    @pytest.mark.parametrize("text", ["{", '{"seed": "x"}', '{"version": 99}', "[]"])
    def test_settings_that_cannot_be_read(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "demo.json").write_text(text)
        with pytest.raises(DataError, match=r"demo\.json"):
            make_demo(tmp_path, **SMALL)

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"n_songs": 8, "n_artists": None}, "n_songs"),
            ({"n_artists": 8}, "n_artists"),
            ({"n_artists": 14}, "n_songs"),
            ({"n_listeners": 0}, "n_listeners"),
            ({"seed": -1}, "seed"),
            ({"workers": 0}, "workers"),
        ],
    )
    def test_numbers_that_cannot_work(
        self, tmp_path: Path, change: dict[str, int], named: str
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=named):
            make_demo(tmp_path / "new", **{**SMALL, **change})
        assert not (tmp_path / "new").exists()


class TestNewSong:
    def test_by_an_artist_of_the_catalogue(self, demo: MusicDataset) -> None:
        path = write_new_song(root(demo), seed=3, genre="blues")
        tags = read_tags(path)
        assert path.name == f"{tags.artist} - {tags.title}.flac"
        assert tags.genre == "blues"
        assert tags.artist in set(demo.items.query("genre == 'blues'")["artist"])
        assert tags.title not in set(demo.items["title"])
        assert path not in demo.recording_paths()

    def test_by_an_artist_nobody_knows(self, demo: MusicDataset) -> None:
        path = write_new_song(root(demo), genre="rock", new_artist=True)
        assert read_tags(path).artist not in set(demo.items["artist"])

    def test_the_same_again_and_another_by_another_seed(self, demo: MusicDataset) -> None:
        first = write_new_song(root(demo), seed=1)
        samples = soundfile.read(first)[0]
        assert write_new_song(root(demo), seed=1) == first
        np.testing.assert_array_equal(soundfile.read(first)[0], samples)
        other = soundfile.read(write_new_song(root(demo), seed=2))[0]
        assert other.shape != samples.shape or not np.array_equal(other, samples)

    def test_the_catalogue_stays_as_it_was(self, demo: MusicDataset) -> None:
        write_new_song(root(demo), seed=7, genre="pop")
        assert load_folder(root(demo)).digest() == demo.digest()

    def test_refused(self, demo: MusicDataset, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no demo catalogue"):
            write_new_song(tmp_path)
        with pytest.raises(InvalidArgumentError, match="genre 'polka'"):
            write_new_song(root(demo), genre="polka")
        with pytest.raises(InvalidArgumentError, match="seed"):
            write_new_song(root(demo), seed=-1)

    def test_tags_of_what_is_no_recording(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp3").write_text("no music")
        with pytest.raises(AudioError, match=r"text\.mp3"):
            read_tags(tmp_path / "text.mp3")


class TestSettingsFile:
    def test_it_makes_the_same_catalogue(self, demo: MusicDataset) -> None:
        kept = json.loads((root(demo) / "demo.json").read_text())
        assert kept == {"version": 1, "seed": 0, "n_songs": 13, "n_artists": 11, "n_listeners": 40}


class TestComposeSong:
    @pytest.mark.parametrize("genre", GENRES)
    def test_stereo_of_full_length_and_sane_level(self, genre: str) -> None:
        song = compose_song(genre, 5, 6)
        assert song.dtype == np.float32
        assert song.shape[0] == 2
        assert 8.0 < song.shape[1] / 22_050 < 20.0
        assert np.isfinite(song).all()
        assert np.abs(song).max() <= 0.70

    def test_a_function_of_its_arguments(self) -> None:
        song = compose_song("pop", 1, 2)
        np.testing.assert_array_equal(song, compose_song("pop", 1, 2))
        for other in (compose_song("pop", 1, 3), compose_song("pop", 2, 2)):
            assert other.shape != song.shape or not np.array_equal(other, song)

    def test_any_usual_rate(self) -> None:
        slow, fast = (compose_song("jazz", 1, 2, sample_rate=rate) for rate in (8_000, 44_100))
        assert slow.shape[1] / 8_000 == pytest.approx(fast.shape[1] / 44_100, abs=0.001)

    def test_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="polka"):
            compose_song("polka", 1, 2)
        with pytest.raises(InvalidArgumentError, match="seed"):
            compose_song("pop", -1, 2)
        with pytest.raises(InvalidArgumentError, match="sample_rate"):
            compose_song("pop", 1, 2, sample_rate=100)
