"""The demo's music: well written, in tune, and really different where it says it is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from datasets.arrays import Float32Array, Float64Array
from datasets.demo import effects as effects
from datasets.demo.composition import arrange
from datasets.demo.genres import GENRES, SoundProfile, tempo_from_bpm
from datasets.demo.instruments import DRUMS, INSTRUMENTS, KITS, play_drum, play_note
from datasets.demo.patterns import BASS, CHORDS, GROOVES, LEVELS, PROGRESSIONS, parse_chords
from datasets.demo.planning import SongPlan, draw_artist, draw_plan
from datasets.demo.rendering import render_song

RATE = 22_050


def plan(genre: str = "pop", artist: int = 3, song: int = 4) -> SongPlan:
    return draw_plan(draw_artist(genre, artist), song)


def centroid(samples: Float32Array) -> float:
    """Centre of gravity of the power spectrum of the middle, Hz."""
    mono = np.atleast_2d(samples).mean(axis=0)
    frequencies, power = signal.welch(mono, RATE, nperseg=2048)
    return float((frequencies * power).sum() / power.sum())


def tone(hertz: float, seconds: float = 1.0) -> Float32Array:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


class TestPatterns:
    @pytest.mark.parametrize("name", GROOVES)
    def test_grooves_fill_their_bars(self, name: str) -> None:
        groove = GROOVES[name]
        assert groove.steps in (12, 16)
        for drum, pattern in groove.drums.items():
            assert drum in DRUMS
            assert len(pattern) == groove.steps
            assert set(pattern) <= set(LEVELS) | {"."}

    def test_lines_fill_their_bars(self) -> None:
        assert all(len(pattern) == 16 for pattern in [*BASS.values(), *CHORDS.values()])
        assert set("".join(BASS.values())) <= set("R35678wa.")
        assert set("".join(CHORDS.values())) <= set("Xxo?12345.")

    def test_chords_by_hand(self) -> None:
        # ii-V-I in C: D minor 7 (D F A C), G 7 (G B D F), C major 7 (C E G B)
        names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
        chords = parse_chords("II:m7 V:7 I:maj7")
        spelled = [[names[(root + step) % 12] for step in steps] for root, steps in chords]
        assert spelled == [["D", "F", "A", "C"], ["G", "B", "D", "F"], ["C", "E", "G", "B"]]

    @pytest.mark.parametrize("name", GENRES)
    def test_genres_use_what_there_is(self, name: str) -> None:
        genre = GENRES[name]
        assert set(genre.grooves) <= set(GROOVES)
        assert set(genre.progressions) <= set(PROGRESSIONS)
        assert set(genre.bass_patterns) <= set(BASS)
        assert set(genre.chord_patterns) | set(genre.layer_patterns) <= set(CHORDS)
        used = {*genre.bass, *genre.chords, *genre.layers, *genre.leads}
        assert used <= set(INSTRUMENTS)
        assert set(genre.neighbours) <= set(GENRES) - {name}
        assert (genre.ranges[:, 0] < genre.ranges[:, 1]).all()


class TestComposition:
    @pytest.mark.parametrize("genre", GENRES)
    def test_everything_is_within_the_song(self, genre: str) -> None:
        for song in range(6):
            score = arrange(plan(genre, 11, song))
            notes = score.bass + score.chords + score.layer + score.lead
            assert score.bass
            assert score.chords
            assert score.lead
            for note in notes:
                assert 0 <= note.start < score.seconds
                assert note.seconds > 0
                assert 20 < note.midi < 108
                assert 0 < note.velocity <= 1
            for hits in score.drums.values():
                assert all(0 <= hit.start < score.seconds and 0 < hit.velocity <= 1 for hit in hits)
            assert max(note.midi for note in score.bass) < 66

    def test_beats_keep_the_tempo(self) -> None:
        song = replace(plan(), groove="house")
        song = replace(song, sound=SoundProfile(tempo_from_bpm(120.0), 0.5, 0.1, 1.0, 1.0))
        # A kick on every beat. Electronic 1 plays exactly.
        kicks = [hit.start for hit in arrange(song).drums["kick"]]
        np.testing.assert_allclose(np.diff(kicks), 0.5)

    def test_swing_moves_the_off_beat(self) -> None:
        song = replace(plan("jazz"), groove="swing", swing=2 / 3)
        song = replace(song, sound=SoundProfile(tempo_from_bpm(120.0), 0.5, 0.1, 1.0, 1.0))
        # At 120 a beat is 0.5 s. The ride's pattern x...x.x. plays the second beat and, two
        # thirds into it, its off-beat: 0.5 and 0.833 s. Electronic 1 plays exactly.
        ride = [hit.start for hit in arrange(song).drums["ride"]]
        np.testing.assert_allclose(ride[:4], [0.0, 0.5, 0.5 + 0.5 * 2 / 3, 1.0], atol=1e-9)

    def test_dense_songs_have_more_notes(self) -> None:
        counts = []
        for density in (0.1, 0.5, 0.9):
            total = 0
            for seed in range(10):
                song = plan("pop", seed, 1)
                score = arrange(replace(song, sound=replace(song.sound, density=density)))
                total += sum(map(len, [*score.drums.values(), score.chords, score.lead]))
            counts.append(total)
        assert counts[0] < 0.75 * counts[1]
        assert counts[1] < 0.75 * counts[2]

    def test_blues_goes_round_its_three_sevenths(self) -> None:
        song = replace(plan("blues"), progression="twelve bars", bass=("upright bass", "roots"))
        score = arrange(replace(song, key=0))
        # I, IV and V of the key of C, and the half steps that lead to them
        assert {note.midi % 12 for note in score.bass} & {0, 5, 7} == {0, 5, 7}

    def test_an_artist_has_a_signature(self) -> None:
        artist = draw_artist("folk/country", 8)
        onsets = []
        for song in range(4):
            made = draw_plan(artist, song)
            made = replace(made, groove="two beat", swing=0.5)
            score = arrange(
                replace(made, sound=SoundProfile(tempo_from_bpm(120.0), 0.5, 0.1, 1.0, 0.0))
            )
            step = 0.125  # s, a sixteenth at 120
            onsets.append([round(note.start / step) % 16 for note in score.lead[:3]])
        assert all(first == onsets[0] for first in onsets)


class TestInstruments:
    # The pitch of a rapping voice and of an 808 falls on purpose.
    @pytest.mark.parametrize("name", sorted(set(INSTRUMENTS) - {"rap voice", "808"}))
    def test_in_tune(self, name: str) -> None:
        midi = 40 if INSTRUMENTS[name].family == "bass" else 64
        hertz = 440.0 * 2 ** ((midi - 69) / 12)
        note = play_note(name, midi, 1.5, 0.5, 1, RATE)
        spectrum = np.abs(np.fft.rfft(note * np.hanning(note.size), 1 << 18))
        frequencies = np.fft.rfftfreq(1 << 18, 1 / RATE)
        near = [np.abs(frequencies / (h * hertz) - 1) < 0.06 for h in (1, 2, 3, 4)]
        best = max(range(4), key=lambda h: spectrum[near[h]].max())
        found = frequencies[near[best]][spectrum[near[best]].argmax()] / (best + 1)
        assert abs(1200 * np.log2(found / hertz)) < 20  # cents; unison voices are 17 apart

    @pytest.mark.slow
    @pytest.mark.parametrize("name", INSTRUMENTS)
    @pytest.mark.parametrize("midi", [28, 60, 100])
    def test_sane_over_the_keyboard(self, name: str, midi: int) -> None:
        for seconds in (0.05, 0.6):
            note = play_note(name, midi, seconds, 0.5, 2, RATE)
            assert note.dtype == np.float32
            assert note.size >= int(seconds * RATE)
            assert np.isfinite(note).all()
            assert np.abs(note).max() == pytest.approx(1.0, abs=1e-3)
            assert abs(note[-1]) < 0.05

    # An 808 is a sine wave and has no colour.
    @pytest.mark.parametrize("name", sorted(set(INSTRUMENTS) - {"808"}))
    def test_brightness_is_heard(self, name: str) -> None:
        dark, bright = (play_note(name, 52, 0.8, value, 1, RATE) for value in (0.0, 1.0))
        assert centroid(bright) > centroid(dark)

    @pytest.mark.parametrize("kit", KITS)
    @pytest.mark.parametrize("drum", DRUMS)
    def test_drums(self, drum: str, kit: str) -> None:
        stroke = play_drum(drum, kit, 1.0, 0.5, np.random.default_rng(0), RATE)
        assert np.isfinite(stroke).all()
        assert np.abs(stroke).max() == pytest.approx(1.0, abs=1e-3)
        # It dies away.
        early, late = np.array_split(np.square(stroke), 2)
        assert early.sum() > 5 * late.sum()

    def test_a_kick_is_low_and_a_hat_is_high(self) -> None:
        rng = np.random.default_rng(0)
        kick, snare, hat = (
            centroid(play_drum(drum, "acoustic", 1.0, 0.5, rng, RATE))
            for drum in ("kick", "snare", "hat")
        )
        assert kick < 300 < snare < 4000 < hat


class TestEffects:
    def test_filters(self) -> None:
        low, high = tone(200.0), tone(5000.0)
        mix = low + high
        np.testing.assert_allclose(np.std(effects.low_pass(mix, 1000, RATE)), 0.707, atol=0.05)
        assert np.std(effects.low_pass(high, 1000, RATE)) < 0.05
        assert np.std(effects.high_pass(low, 1000, RATE)) < 0.05

    def test_equalise_does_what_the_curve_says(self) -> None:
        def curve(hertz: Float64Array) -> Float64Array:
            return np.where(hertz < 1000.0, -6.0, 12.0)

        for hertz, decibels in ((200.0, -6.0), (5000.0, 12.0)):
            sound = tone(hertz)
            shaped = effects.equalise(sound, curve, RATE)
            middle = slice(RATE // 4, 3 * RATE // 4)
            expected = 10 ** (decibels / 20) * sound[middle]  # in phase, too
            np.testing.assert_allclose(shaped[middle], expected, atol=0.02)
            assert shaped.dtype == np.float32

    def test_overdrive_adds_harmonics_and_keeps_the_loudness(self) -> None:
        clean = 0.2 * tone(220.0)
        driven = effects.overdrive(clean, 0.9)
        assert np.std(driven) == pytest.approx(np.std(clean), rel=0.05)
        spectrum = np.abs(np.fft.rfft(driven))
        assert spectrum[660] > 0.1 * spectrum[220]
        assert np.abs(np.fft.rfft(clean))[660] < 1e-3 * spectrum[220]
        np.testing.assert_array_equal(effects.overdrive(clean, 0.0), clean)

    def test_duck_lowers_after_the_kick(self) -> None:
        ducked = effects.duck(np.ones((2, RATE), np.float32), np.array([0.5]), 0.8, RATE)
        assert ducked[0, RATE // 2 - 1] == 1.0
        assert ducked[0, RATE // 2] == pytest.approx(0.2)
        assert ducked[0, -1] == 1.0

    def test_echo_repeats_on_the_other_side(self) -> None:
        click = np.zeros((2, RATE), np.float32)
        click[0, 0] = 1.0
        out = effects.echo(click, 0.25, 0.5, RATE)
        quarter = int(0.25 * RATE)
        assert out[1, quarter] == 0.5
        assert out[0, 2 * quarter] == 0.25

    def test_room_dies_away(self) -> None:
        click = np.zeros((2, 2 * RATE), np.float32)
        click[:, 0] = 1.0
        wet = effects.reverb(click, 0.5, 0.5, np.random.default_rng(0), RATE)
        early, late = wet[0, : RATE // 10], wet[0, RATE // 2 :]
        assert np.std(early) > 100 * np.std(late)
        assert abs(np.corrcoef(wet)[0, 1]) < 0.5

    def test_master_bounds_and_fades(self) -> None:
        wild = np.random.default_rng(0).standard_cauchy((2, RATE)).astype(np.float32) + 3.0
        out = effects.master(wild, 1.0, RATE)
        assert np.abs(out).max() <= 0.70
        assert out[0, 0] == out[0, -1] == 0.0
        assert np.abs(out.mean(axis=1)).max() < 0.01


class TestSoundIsHeard:
    """Each property of Sound changes the audio as its name says, all else equal."""

    def measured(self, measure: str, genres: tuple[str, ...], **values: float) -> float:
        results = []
        for seed, genre in enumerate(genres):
            song = plan(genre, seed + 20, 1)
            audio = render_song(replace(song, sound=replace(song.sound, **values)))
            if measure == "centroid":
                results.append(centroid(audio))
            elif measure == "flatness":
                _, power = signal.welch(audio.mean(axis=0), RATE, nperseg=2048)
                band = power[10:400]
                results.append(float(np.exp(np.log(band).mean()) / band.mean()))
            else:
                _, power = signal.welch(audio.mean(axis=0), RATE, nperseg=4096)
                results.append(float(power[5:20].sum() / power[:400].sum()))
        return float(np.mean(results))

    @pytest.mark.slow
    def test_brightness_raises_the_centroid(self) -> None:
        genres = ("rock", "jazz")
        values = [self.measured("centroid", genres, brightness=b) for b in (0.1, 0.5, 0.9)]
        assert values[0] < 0.8 * values[1]
        assert values[1] < 0.8 * values[2]

    @pytest.mark.slow
    def test_drive_fills_the_spectrum(self) -> None:
        genres = ("rock", "folk/country", "pop")
        clean, driven = (self.measured("flatness", genres, drive=d) for d in (0.0, 0.9))
        assert driven > 1.3 * clean

    @pytest.mark.slow
    def test_electronic_songs_reach_lower(self) -> None:
        genres = ("rock", "folk/country", "pop")
        strings, machines = (self.measured("low", genres, electronic=e) for e in (0.0, 1.0))
        assert machines > 1.2 * strings

    @pytest.mark.slow
    def test_genres_sound_different(self) -> None:
        """One feature vector a song tells genres of unseen artists apart, though not always."""
        features, labels = [], []
        for index, genre in enumerate(GENRES):
            for artist in range(4):
                audio = render_song(plan(genre, 100 * index + artist, 0)).mean(axis=0)
                _, _, power = signal.spectrogram(audio, RATE, nperseg=1024, noverlap=512)
                edges = np.unique(np.geomspace(1, power.shape[0] - 1, 24).astype(int))
                bands = np.log(np.add.reduceat(power, edges, axis=0) + 1e-12)
                bands -= bands.mean()
                features.append(np.r_[bands.mean(axis=1), bands.std(axis=1)])
                labels.append(index)
        X, y = np.array(features), np.array(labels)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        distance = np.square(X[:, None] - X[None]).sum(axis=2)
        np.fill_diagonal(distance, np.inf)  # every song here is of another artist
        nearest = y[np.argsort(distance, axis=1)[:, 0]]
        accuracy = float((nearest == y).mean())
        assert 0.25 < accuracy < 0.95  # chance is 0.11
