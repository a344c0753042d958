"""Snippets: which part of a recording, in which form; and recordings that cannot be used."""

import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import AudioError
from embedding.audio import snippets as audio
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import MAX_WINDOWS, content_fingerprint, snippet_starts
from embedding.audio.source import RecordingFile
from tests.helpers.programs import missing_reason, needs
from tests.helpers.recordings import install_ffmpeg, m4a_header

RATE = 22050


def ramp(seconds: float, rate: int = RATE) -> np.ndarray:
    """Samples that tell their own time: from 0 at the start to 0.5 at the end."""
    return np.linspace(0, 0.5, round(seconds * rate), dtype=np.float32)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_every_format_gives_the_middle_five_seconds(recording, extension: str) -> None:
    path = recording(f"song.{extension}", samples=ramp(9))
    (y,) = audio.load_snippets(path, SnippetConfig(), RATE)
    assert y.shape == (5 * RATE,)
    assert y.dtype == np.float32
    # Seconds 2 to 7 of a ramp to 0.5 in 9 s; lossy formats keep so slow a rise only roughly.
    lossless = extension in ("wav", "flac")
    if lossless:
        np.testing.assert_allclose(y[[0, -1]], [1 / 9, 7 / 18], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_only_the_wanted_part_is_as_decoding_it_all(recording, extension: str) -> None:
    path = recording(f"song.{extension}", seconds=20, rate=44100)
    whole = soundfile.read(path, dtype="float32")[0]
    (y,) = audio.load_snippets(path, SnippetConfig(seconds=2), 44100)
    expected = whole[9 * 44100 : 11 * 44100]
    assert len(y) == len(expected)
    # A lossy decoder that starts in the middle settles within a few frames.
    np.testing.assert_allclose(y[8192:], expected[8192:], atol=2e-3)


def test_no_more_than_the_snippet_is_read(recording, monkeypatch) -> None:
    path = recording("long.flac", seconds=60)
    read = []
    original = soundfile.SoundFile.read

    def counting(self, frames=-1, *args, **kwargs):
        read.append(frames)
        return original(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    audio.load_snippets(path, SnippetConfig(count=3), RATE)
    assert read == [5 * RATE] * 3


def test_resampling_keeps_a_tone(recording) -> None:
    time = np.arange(6 * 48000) / 48000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time)
    path = recording("tone.wav", samples=tone, rate=48000, subtype="FLOAT")
    (y,) = audio.load_snippets(path, SnippetConfig(seconds=1, position="start"), RATE)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(y[500:-500], expected[500:-500], atol=1e-4)


def test_what_would_alias_is_gone() -> None:
    above = np.sin(2 * np.pi * 15000 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(audio.resample(above, 48000, RATE)[200:-200]).max() < 1e-4


class TestMono:
    def test_is_the_mean_of_the_channels(self) -> None:
        samples = np.array([[1, 0, 0.5], [0.2, 0.4, 0]], dtype=np.float32)
        np.testing.assert_allclose(audio.to_mono(samples), [0.5, 0.2], rtol=1e-6)

    def test_of_channels_that_cancel_is_one_of_them(self) -> None:
        y = ramp(1)
        np.testing.assert_array_equal(audio.to_mono(np.stack([y, -y], axis=1)), y)

    def test_an_offset_does_not_hide_that_they_cancel(self) -> None:
        y = ramp(1)
        opposite = np.stack([0.1 + y, 0.1 - y], axis=1)
        np.testing.assert_array_equal(audio.to_mono(opposite), 0.1 + y)

    @pytest.mark.parametrize("offset", [0.0, 0.3])
    def test_of_channels_that_nearly_cancel_is_the_one_with_a_channel_turned_over(
        self, offset: float
    ) -> None:
        rng = np.random.default_rng(0)
        middle, side = rng.normal(size=(2, RATE)).astype(np.float32) * [[0.1], [0.01]]
        left, right = middle + side, middle - side
        original = np.stack([left, right], axis=1).astype(np.float32)
        upside_down = np.stack([left + offset, offset - right], axis=1).astype(np.float32)
        np.testing.assert_allclose(
            audio.to_mono(upside_down), audio.to_mono(original), atol=1e-6 + offset / 1e6
        )

    def test_of_six_channels_of_which_half_are_upside_down(self) -> None:
        y = np.random.default_rng(0).normal(size=(RATE, 1)).astype(np.float32)
        noise = np.random.default_rng(1).normal(size=(RATE, 6)) / 100
        turned = (y * [1, -1, 1, -1, 1, -1] + noise).astype(np.float32)
        assert abs(np.corrcoef(audio.to_mono(turned), y[:, 0])[0, 1]) > 0.999

    def test_of_wide_stereo_is_the_mean_to_the_bit(self) -> None:
        rng = np.random.default_rng(0)
        apart = rng.normal(size=(RATE, 2)).astype(np.float32)
        wide = apart @ np.array([[1, -0.3], [-0.3, 1]], dtype=np.float32)
        for samples in (apart, wide, apart * np.float32(1e-4), np.tile(apart, (1, 4))):
            channels = samples.shape[1]
            mean = samples @ np.full(channels, 1 / channels, dtype=np.float32)
            np.testing.assert_array_equal(audio.to_mono(samples), mean)

    def test_one_silent_channel_leaves_the_other(self) -> None:
        y = ramp(1)
        np.testing.assert_array_equal(audio.to_mono(np.stack([y, 0 * y], axis=1)), y / 2)

    @pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
    def test_cancellation_is_found_at_any_level(self, scale: float) -> None:
        y = (np.random.default_rng(0).normal(size=1000) * scale).astype(np.float32)
        samples = np.stack([y, -0.9 * y], axis=1).astype(np.float32)
        np.testing.assert_allclose(audio.to_mono(samples), 0.95 * y, rtol=1e-5)

    def test_of_huge_samples_does_not_overflow(self) -> None:
        assert np.isfinite(audio.to_mono(np.full((2, 8), 3e38, dtype=np.float32))).all()


class TestStereo:
    def test_two_channels_stay_as_they_are(self) -> None:
        samples = np.array([[1, 0], [0.2, 0.4]], dtype=np.float32)
        np.testing.assert_array_equal(audio.to_stereo(samples), samples)

    def test_one_channel_is_both(self) -> None:
        samples = np.array([[1], [0.5]], dtype=np.float32)
        np.testing.assert_array_equal(audio.to_stereo(samples), [[1, 1], [0.5, 0.5]])

    def test_of_more_it_is_the_first_two_or_where_they_are_silent_the_mean(self) -> None:
        samples = np.array([[1, 0, 4, 4], [0.2, 0.4, 0, 0]], dtype=np.float32)
        np.testing.assert_array_equal(audio.to_stereo(samples), samples[:, :2])
        samples[:, :2] = 0
        np.testing.assert_array_equal(audio.to_stereo(samples), [[2, 2], [0, 0]])

    def test_a_snippet_of_a_stereo_recording(self, recording) -> None:
        left, right = ramp(6), -0.5 * ramp(6)
        path = recording(samples=np.stack([left, right], axis=1), subtype="FLOAT")
        file = RecordingFile(path, "song.wav")
        snippet = SnippetConfig(seconds=2, position="at", at=3.0)
        (found,) = audio.read_snippets(file, snippet, RATE, channels=2)
        assert found.start == 3.0
        assert found.samples.dtype == np.float32
        np.testing.assert_allclose(
            found.samples, np.stack([left, right])[:, 3 * RATE : 5 * RATE], atol=1e-6
        )

    def test_a_short_one_is_repeated(self, recording) -> None:
        samples = np.stack([ramp(1), -ramp(1)], axis=1)
        file = RecordingFile(recording(samples=samples, subtype="FLOAT"), "song.wav")
        (found,) = audio.read_snippets(file, SnippetConfig(seconds=2), RATE, channels=2)
        np.testing.assert_allclose(found.samples, np.tile(samples.T, 2), atol=1e-6)


class TestWholeRecordings:
    @pytest.mark.parametrize("extension", ["wav", "flac"])
    def test_windows_follow_one_another_and_the_last_ends_with_the_recording(
        self, recording, extension: str
    ) -> None:
        path = recording(f"song.{extension}", samples=ramp(9.5))
        windows = audio.load_snippets(path, SnippetConfig(position="whole", seconds=2), RATE)
        whole = soundfile.read(path, dtype="float32")[0]
        starts = [0, 2 * RATE, 4 * RATE, 6 * RATE, round(7.5 * RATE)]
        assert len(windows) == len(starts)
        for start, window in zip(starts, windows, strict=True):
            np.testing.assert_array_equal(window, whole[start : start + 2 * RATE])

    def test_windows_may_overlap(self, recording) -> None:
        path = recording(samples=ramp(5))
        snippet = SnippetConfig(position="whole", seconds=2, hop=1)
        windows = audio.load_snippets(path, snippet, RATE)
        assert len(windows) == 4
        np.testing.assert_array_equal(windows[0][RATE:], windows[1][:RATE])

    def test_every_sample_is_decoded_once(self, recording, monkeypatch) -> None:
        path = recording("song.flac", seconds=9)
        read = []
        original = soundfile.SoundFile.read

        def counting(self, frames=-1, *args, **kwargs):
            read.append(frames)
            return original(self, frames, *args, **kwargs)

        monkeypatch.setattr(soundfile.SoundFile, "read", counting)
        audio.load_snippets(path, SnippetConfig(position="whole", seconds=3, hop=1), RATE)
        assert sum(read) == 9 * RATE

    @pytest.mark.slow
    @pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
    @pytest.mark.parametrize("hop", [None, 0.7, 3.0])
    def test_of_a_cut_recording_what_there_is(self, recording, extension: str, hop) -> None:
        path = recording(f"cut.{extension}", seconds=20)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        snippet = SnippetConfig(position="whole", seconds=2, hop=hop)
        windows = audio.load_snippets(path, snippet, RATE)
        # Half of the bytes are 8 to 12 s; the first window takes 2 s of them, every other a hop.
        assert 6 / (hop or 2) <= len(windows) - 1 <= 10 / (hop or 2) + 1
        assert all(np.abs(window).max() > 0.3 for window in windows)


class TestPlaces:
    def test_at_a_time(self, recording) -> None:
        path = recording(samples=ramp(9), subtype="FLOAT")
        (y,) = audio.load_snippets(path, SnippetConfig(position="at", at=2.5), RATE)
        np.testing.assert_array_equal(y, ramp(9)[round(2.5 * RATE) :][: 5 * RATE])

    def test_a_time_after_the_end_is_an_error(self, recording) -> None:
        with pytest.raises(AudioError, match=r"has 6 s of sound; .* start at 72\.5 s"):
            audio.load_snippets(recording(), SnippetConfig(position="at", at=72.5), RATE)

    def test_silence_at_the_wanted_time_is_an_error(self, recording) -> None:
        path = recording(samples=np.concatenate([ramp(6), np.zeros(6 * RATE)]))
        with pytest.raises(AudioError, match=r"song\.wav: is silent from 6\.5 s on"):
            audio.load_snippets(path, SnippetConfig(position="at", at=6.5), RATE)

    def test_a_random_place_depends_on_recording_and_seed_alone(self, recording, tmp_path) -> None:
        def place(path: Path, seed: int) -> float:
            snippet = SnippetConfig(seconds=1, position="random", seed=seed)
            return float(audio.load_snippets(path, snippet, RATE)[0][0])

        path = recording("a.wav", samples=ramp(60), subtype="FLOAT")
        # Written anew it could differ: libsndfile notes the second in which it writes floats.
        copy = Path(shutil.copy(path, tmp_path / "b.wav"))
        other = recording("c.wav", samples=np.append(ramp(60)[:-1], 0.4), subtype="FLOAT")
        assert place(path, 3) == place(copy, 3) == place(path, 3)
        assert len({place(path, 3), place(path, 4), place(other, 3)}) == 3


class TestShortAndSilent:
    def test_a_short_recording_is_repeated(self, recording) -> None:
        path = recording("short.wav", samples=ramp(0.2), subtype="FLOAT")
        (y,) = audio.load_snippets(path, SnippetConfig(count=3), RATE)
        np.testing.assert_allclose(y, np.resize(ramp(0.2), 5 * RATE), atol=1e-6)

    def test_or_silence_follows_it(self, recording) -> None:
        path = recording("short.wav", samples=0.1 + ramp(0.2), subtype="FLOAT")
        (y,) = audio.load_snippets(path, SnippetConfig(short="pad"), RATE)
        np.testing.assert_allclose(y[: len(ramp(0.2))], 0.1 + ramp(0.2), atol=1e-6)
        assert len(y) == 5 * RATE
        assert not y[len(ramp(0.2)) :].any()

    def test_a_silent_snippet_gives_way_to_those_that_sound(self, recording) -> None:
        y = ramp(20) + 0.1
        y[: 10 * RATE] = 0
        snippets = audio.load_snippets(
            recording("half.wav", samples=y), SnippetConfig(seconds=2, count=4), RATE
        )
        assert len(snippets) == 2

    def test_a_silent_middle_gives_way_to_the_loudest_part(self, recording) -> None:
        y = np.zeros(30 * RATE)
        y[2 * RATE : 4 * RATE] = 0.1
        y[26 * RATE : 27 * RATE] = 0.5
        (snippet,) = audio.load_snippets(
            recording("gap.wav", samples=y, subtype="FLOAT"), SnippetConfig(), RATE
        )
        np.testing.assert_array_equal(snippet, y[25 * RATE :].astype(np.float32))

    @pytest.mark.parametrize(
        "faint",
        ["hiss", "hum", "dither", "hiss beside zero", "clicks in hiss", "far too quiet music"],
    )
    def test_where_the_middle_says_nothing_another_part_is_heard(
        self, recording, faint: str, caplog
    ) -> None:
        rng = np.random.default_rng(0)
        beat = np.tile(np.linspace(0.5, 0, RATE // 2), 20)
        y = np.tile(beat * rng.normal(size=len(beat)) / 4, 3)  # 30 s
        t = np.arange(10 * RATE) / RATE
        y[10 * RATE : 20 * RATE] = {
            "hiss": 3e-3 * rng.normal(size=10 * RATE),
            "hum": 3e-3 * np.sin(2 * np.pi * 50 * t),
            "dither": rng.integers(-1, 2, 10 * RATE) / 32768,
            # A constant is not loud.
            "hiss beside zero": 0.3 + 1e-3 * rng.normal(size=10 * RATE),
            # Twice a second.
            "clicks in hiss": 5e-4 * rng.normal(size=10 * RATE)
            + (np.arange(10 * RATE) % 11025 == 0) / 3,
            "far too quiet music": 1e-3 * y[10 * RATE : 20 * RATE],
        }[faint]
        path = recording("gap.wav", samples=y)
        (snippet,) = audio.load_snippets(path, SnippetConfig(), RATE)
        assert snippet.std() > 0.03
        assert "gap.wav: there is no more than silence or faint noise at 12.5 s; heard from" in (
            caplog.text
        )
        # Of several snippets the one in the gap is left out; where a place is asked for, it counts.
        assert len(audio.load_snippets(path, SnippetConfig(count=3), RATE)) == 2
        if faint != "dither":
            for place in ({"position": "at", "at": 12.5}, {"position": "whole"}):
                found = audio.load_snippets(path, SnippetConfig(**place), RATE)
                assert min(one.std() for one in found) < 0.004

    def test_quiet_music_is_heard_where_it_was_asked_for(self, recording, caplog) -> None:
        # Softer in the middle, by 30 dB, but neither steady nor faint beside the rest.
        beat = np.tile(np.linspace(0.2, 0, RATE // 2), 60)
        y = beat * np.random.default_rng(0).normal(size=len(beat))
        y[10 * RATE : 20 * RATE] *= 10 ** (-30 / 20)
        path = recording("piano.wav", samples=y, subtype="FLOAT")
        (snippet,) = audio.load_snippets(path, SnippetConfig(), RATE)
        start = round(12.5 * RATE)
        np.testing.assert_array_equal(snippet, y[start : start + 5 * RATE].astype(np.float32))
        # A recording that is quiet from end to end is quiet music, however steady it is.
        drone = recording("drone.wav", samples=1e-3 * np.sin(np.arange(30 * RATE)), subtype="FLOAT")
        assert audio.load_snippets(drone, SnippetConfig(), RATE)[0].std() > 1e-4
        assert caplog.text == ""

    @pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24"])
    def test_dither_alone_is_silence(self, recording, subtype: str) -> None:
        step = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23}[subtype]
        samples = np.random.default_rng(0).integers(-1, 2, 8 * RATE) * step
        with pytest.raises(AudioError, match="is silent"):
            audio.load_snippets(recording(samples=samples, subtype=subtype), SnippetConfig(), RATE)

    @pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
    def test_silence_is_an_error(self, recording, extension: str) -> None:
        path = recording(f"silence.{extension}", samples=np.zeros(8 * RATE))
        with pytest.raises(AudioError, match=rf"silence\.{extension}: is silent"):
            audio.load_snippets(path, SnippetConfig(), RATE)

    def test_a_constant_is_silence(self, recording) -> None:
        path = recording("offset.wav", samples=np.full(RATE, 0.25))
        with pytest.raises(AudioError, match="is silent"):
            audio.load_snippets(path, SnippetConfig(), RATE)

    @pytest.mark.parametrize("offset", [1.0, 30.0, -1000.0])
    def test_a_click_on_a_large_offset_is_heard(self, recording, offset: float) -> None:
        samples = np.full(6 * RATE, offset, np.float32)
        samples[3 * RATE] += 16
        path = recording("click.wav", samples=samples, subtype="FLOAT")
        (y,) = audio.load_snippets(path, SnippetConfig(), RATE)
        assert y.argmax() == round(2.5 * RATE)  # the snippet starts at half a second

    def test_very_quiet_is_not_silent(self, recording) -> None:
        path = recording("quiet.wav", samples=1e-5 * ramp(6), subtype="FLOAT")
        assert len(audio.load_snippets(path, SnippetConfig(), RATE)) == 1


class TestBadInput:
    def error(self, path: Path, pattern: str) -> None:
        with pytest.raises(AudioError, match=pattern) as caught:
            audio.load_snippets(path, SnippetConfig(), RATE)
        message = str(caught.value)
        assert path.name in message
        assert "\n" not in message

    def test_a_missing_file(self, tmp_path: Path) -> None:
        self.error(tmp_path / "nowhere.mp3", "no such file")

    def test_a_folder(self, tmp_path: Path) -> None:
        self.error(tmp_path, "folder")

    def test_an_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.mp3"
        path.touch()
        self.error(path, "empty")

    @pytest.mark.parametrize("extension", ["mp3", "wav", "flac", "ogg"])
    def test_text_and_noise_under_the_name_of_a_recording(
        self, tmp_path: Path, extension: str, monkeypatch
    ) -> None:
        monkeypatch.setenv("PATH", "")
        path = tmp_path / f"text.{extension}"
        path.write_text("la la la\n" * 500)
        self.error(path, "cannot be decoded: it is a text file$")
        path.write_bytes(np.random.default_rng(0).bytes(50_000))
        self.error(path, "damaged, or not audio|has 0 s")

    @pytest.mark.slow
    @pytest.mark.parametrize("extension", ["mp3", "wav", "flac", "ogg"])
    def test_a_recording_cut_in_the_middle_is_used_as_far_as_it_goes(
        self, recording, extension: str
    ) -> None:
        path = recording(f"cut.{extension}", seconds=40)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for snippet in (SnippetConfig(), SnippetConfig(position="end"), SnippetConfig(count=3)):
            for y in audio.load_snippets(path, snippet, RATE):
                assert len(y) == 5 * RATE
                assert np.abs(y).max() > 0.3

    def test_no_more_than_a_moment_is_lost_where_a_recording_is_cut(self, recording) -> None:
        # At one size a sample, so that half of the bytes are half of the time.
        noise = np.random.default_rng(0).uniform(-1, 1, 4 * RATE)
        path = recording("cut.flac", samples=noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        snippet = SnippetConfig(position="whole", seconds=0.1)
        assert 17 <= len(audio.load_snippets(path, snippet, RATE)) <= 20

    @pytest.mark.slow
    @pytest.mark.parametrize("ffmpeg", [True, False], ids=["with ffmpeg", "without ffmpeg"])
    @pytest.mark.parametrize(
        ("extension", "reason"),
        [
            ("mp3", "cannot be decoded: it is damaged, or not audio at all"),
            ("ogg", "cannot be decoded: it is damaged, or not audio at all"),
            ("wav", "has 0.0029 s of sound; at least"),
            ("flac", "has 0 s of sound; at least"),
        ],
    )
    def test_a_recording_cut_after_its_header_is_an_error(
        self, recording, monkeypatch, extension: str, reason: str, ffmpeg: bool
    ) -> None:
        if not ffmpeg:
            monkeypatch.setenv("PATH", "")
        elif shutil.which("ffmpeg") is None:
            pytest.skip(missing_reason("ffmpeg"))
        path = recording(f"stump.{extension}", seconds=20, rate=44100)
        path.write_bytes(path.read_bytes()[:300])
        self.error(path, rf"stump\.{extension}: {reason}")

    @pytest.mark.slow
    def test_an_mp3_without_its_header_of_lengths(self, recording) -> None:
        path = recording("headless.mp3", seconds=30)
        path.write_bytes(path.read_bytes()[path.stat().st_size // 3 :])
        (y,) = audio.load_snippets(path, SnippetConfig(position="end"), RATE)
        assert len(y) == 5 * RATE
        assert np.abs(y[: 4 * RATE]).max() > 0.3

    def test_40_milliseconds_are_too_short_and_60_are_not(self, recording) -> None:
        self.error(recording("short.wav", seconds=0.04), "0.04 s of sound")
        path = recording("enough.wav", seconds=0.06)
        assert len(audio.load_snippets(path, SnippetConfig(), RATE)[0]) == 5 * RATE

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_no_numbers(self, recording, bad: float) -> None:
        y = ramp(6)
        y[3 * RATE] = bad
        self.error(recording("bad.wav", samples=y, subtype="FLOAT"), "NaN or infinite")

    def test_a_rip_of_a_dts_disc(self, recording) -> None:
        words = np.random.default_rng(0).integers(-32768, 32768, 12 * 44100)
        words[::1024], words[1::1024] = 0x7FFE, -0x7FFF
        for name in ("rip.wav", "rip.flac"):
            path = recording(name, samples=(words / 32768).reshape(-1, 2), rate=44100)
            self.error(path, "holds a DTS bit stream in place of sound")

    def test_a_sample_rate_of_1_hz(self, recording) -> None:
        self.error(recording("slow.wav", samples=ramp(1), rate=1), "1 samples a second")

    @pytest.mark.parametrize("rate", [4000, 192_000])
    def test_odd_rates_are_read(self, recording, rate: int) -> None:
        (y,) = audio.load_snippets(recording(seconds=6, rate=rate), SnippetConfig(), RATE)
        assert len(y) == 5 * RATE

    def test_eight_channels_are_read(self, recording) -> None:
        path = recording(samples=ramp(6), channels=8, subtype="FLOAT")
        (y,) = audio.load_snippets(path, SnippetConfig(position="start"), RATE)
        np.testing.assert_allclose(y, ramp(6)[: 5 * RATE], atol=1e-6)

    @pytest.mark.parametrize(
        "name", ["two words 'quoted' \"twice\".wav", "песня 日本語 ñ.wav", "-i.wav"]
    )
    def test_odd_names_are_read(self, recording, name: str) -> None:
        assert len(audio.load_snippets(recording(name), SnippetConfig(), RATE)) == 1

    @pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
    def test_a_name_that_is_no_text(self, recording, tmp_path: Path) -> None:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.wav"))
        try:
            recording().rename(path)
        except OSError:
            pytest.skip("this file system only takes names that are text")
        assert len(audio.load_snippets(path, SnippetConfig(), RATE)) == 1
        path.write_text("text")
        with pytest.raises(AudioError) as caught:
            audio.load_snippets(path, SnippetConfig(), RATE)
        assert str(caught.value).encode("utf-8")

    def test_an_impossible_name(self) -> None:
        with pytest.raises(AudioError, match="cannot be read"):
            audio.load_snippets("null\0byte.wav", SnippetConfig(), RATE)


class TestFfmpeg:
    """With a stand-in for the program, since it need not be installed."""

    def install(self, folder: Path, monkeypatch, script: str) -> None:
        install_ffmpeg(folder, monkeypatch, script)

    def test_without_it_the_message_says_so(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setenv("PATH", "")
        path = tmp_path / "song.m4a"
        path.write_bytes(b"\0\0\0 ftypM4A " + bytes(1000))
        with pytest.raises(AudioError, match=r"song\.m4a: .*ffmpeg.*not installed"):
            audio.load_snippets(path, SnippetConfig(), RATE)

    def test_what_it_makes_of_the_file_is_read(self, recording, tmp_path, monkeypatch) -> None:
        # From half a second before the snippet on.
        samples = ramp(9)[RATE * 3 // 2 : RATE * 15 // 2]
        converted = recording("converted.au", samples=samples, subtype="FLOAT")
        # The source is the opened file, under an address that no name can look like.
        script = f'case "$*" in *"-i file:/dev/fd/"*) ;; *) exit 1;; esac; cat "{converted}"'
        self.install(tmp_path, monkeypatch, script)
        path = tmp_path / "odd name.m4a"
        path.write_bytes(m4a_header(RATE, 9))
        (y,) = audio.load_snippets(path, SnippetConfig(), RATE)
        np.testing.assert_array_equal(y, ramp(9)[2 * RATE : 7 * RATE])

    def test_its_reason_is_passed_on(self, tmp_path: Path, monkeypatch) -> None:
        self.install(tmp_path, monkeypatch, "echo moov atom not found >&2; exit 1")
        path = tmp_path / "broken.m4a"
        path.write_bytes(m4a_header(RATE, 9))
        with pytest.raises(AudioError, match=r"broken\.m4a: .*moov atom not found"):
            audio.load_snippets(path, SnippetConfig(), RATE)

    def test_its_reason_does_not_repeat_the_path(self, tmp_path: Path, monkeypatch) -> None:
        script = 'while [ "$1" != -i ]; do shift; done; echo "$2: End of file" >&2; exit 1'
        self.install(tmp_path, monkeypatch, script)
        path = tmp_path / "broken.m4a"
        path.write_bytes(m4a_header(RATE, 9))
        with pytest.raises(AudioError) as caught:
            audio.load_snippets(path, SnippetConfig(), RATE)
        reason = "cannot be decoded, not by ffmpeg either: End of file"
        assert str(caught.value) == f"{path}: {reason}"

    def test_a_damaged_file_of_a_format_of_libsndfile(self, tmp_path: Path, monkeypatch) -> None:
        self.install(tmp_path, monkeypatch, "echo nonsense >&2; exit 1")
        path = tmp_path / "broken.mp3"
        path.write_bytes(b"la la la\0" * 100)
        with pytest.raises(AudioError, match=r"broken\.mp3: cannot be decoded: it is damaged"):
            audio.load_snippets(path, SnippetConfig(), RATE)

    @needs("ffmpeg")
    def test_the_program_itself_on_something_that_is_not_audio(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.m4a"
        path.write_bytes(b"x\0" * 500)
        with pytest.raises(AudioError, match=r"broken\.m4a: .*ffmpeg either: [^/]+$"):
            audio.load_snippets(path, SnippetConfig(), RATE)


def test_real_recordings_of_every_format_are_read(real_recordings) -> None:
    for path in real_recordings[::7]:
        (y,) = audio.load_snippets(path, SnippetConfig(), RATE)
        assert y.shape == (5 * RATE,)
        assert 0.001 < np.abs(y).max() < 2


FRAME_RATE = 100
"""Of the recordings whose snippet positions are worked out by hand."""


def starts(frames: int, **settings) -> list[int]:
    return snippet_starts(frames, FRAME_RATE, SnippetConfig(**settings), b"song")


class TestOnePosition:
    @pytest.mark.parametrize(("position", "start"), [("start", 0), ("middle", 50), ("end", 100)])
    def test_at_a_place(self, position: str, start: int) -> None:
        assert starts(300, seconds=2, position=position) == [start]

    def test_at_a_time(self) -> None:
        assert starts(1000, seconds=2, position="at", at=1.5) == [150]

    def test_a_time_near_the_end_gives_the_last_snippet(self) -> None:
        assert starts(1000, seconds=2, position="at", at=9.5) == [800]

    def test_a_time_after_the_end_is_an_error(self) -> None:
        with pytest.raises(AudioError, match=r"has 10 s of sound; .* at 10 s"):
            starts(1000, seconds=2, position="at", at=10)


class TestSeveralPositions:
    def test_in_the_middle_of_equal_parts(self) -> None:
        # 1,000 frames in 4 parts: middles 125, 375, 625, 875; snippets of 100 around them.
        assert starts(1000, seconds=1, count=4) == [75, 325, 575, 825]

    def test_at_the_start_and_at_the_end_of_equal_parts(self) -> None:
        assert starts(1000, seconds=1, count=4, position="start") == [0, 250, 500, 750]
        assert starts(1000, seconds=1, count=4, position="end") == [150, 400, 650, 900]

    def test_at_random_one_in_each_part(self) -> None:
        found = starts(1000, seconds=1, count=4, position="random")
        for part, start in enumerate(found):
            assert 250 * part <= start <= 250 * part + 150

    def test_they_stay_inside(self) -> None:
        # Middles 50 and 150 of 200 frames, of snippets of 150: starts -25 and 75.
        assert starts(200, seconds=1.5, count=2) == [0, 50]

    def test_a_recording_shorter_than_a_snippet_has_one(self) -> None:
        assert starts(99, seconds=1, count=5) == [0]


class TestRandomPositions:
    def test_is_spread_over_the_whole_recording(self) -> None:
        found = [starts(1100, seconds=1, position="random", seed=n)[0] for n in range(400)]
        assert min(found) < 30
        assert max(found) > 970
        # The mean of 400 numbers that are uniform from 0 to 1,000, within four standard errors.
        assert abs(np.mean(found) - 500) < 4 * 1000 / np.sqrt(12 * 400)

    def test_differs_from_recording_to_recording(self) -> None:
        snippet = SnippetConfig(seconds=1, position="random")
        found = {snippet_starts(10**6, FRAME_RATE, snippet, bytes([n]))[0] for n in range(50)}
        assert len(found) == 50


class TestWholeRecording:
    def test_windows_without_gaps(self) -> None:
        assert starts(800, seconds=2, position="whole") == [0, 200, 400, 600]

    def test_the_last_window_ends_with_the_recording(self) -> None:
        assert starts(801, seconds=2, position="whole") == [0, 200, 400, 600, 601]

    def test_overlapping_windows(self) -> None:
        assert starts(500, seconds=2, hop=1, position="whole") == [0, 100, 200, 300]

    def test_windows_with_gaps(self) -> None:
        assert starts(1000, seconds=2, hop=4, position="whole") == [0, 400, 800]

    def test_a_short_recording_is_one_window(self) -> None:
        assert starts(150, seconds=2, position="whole") == [0]

    def test_too_many_windows_are_an_error(self) -> None:
        with pytest.raises(AudioError, match="windows; at most"):
            starts(FRAME_RATE * MAX_WINDOWS + 200, seconds=1, position="whole")


@given(
    frames=st.integers(1, 10**6),
    seconds=st.floats(0.05, 5000),
    count=st.integers(1, 50),
    position=st.sampled_from(["start", "middle", "end", "random"]),
    seed=st.integers(0, 5),
)
def test_always_inside(frames: int, seconds: float, count: int, position: str, seed: int) -> None:
    seed = seed if position == "random" else 0
    found = starts(frames, seconds=seconds, count=count, position=position, seed=seed)
    length = round(seconds * FRAME_RATE)
    assert found == sorted(set(found))
    assert 1 <= len(found) <= count
    assert found[0] >= 0
    assert found[-1] + min(length, frames) <= frames


@given(frames=st.integers(1, 10**5), seconds=st.floats(0.05, 2000), hop=st.floats(0.05, 1))
def test_windows_leave_nothing_out(frames: int, seconds: float, hop: float) -> None:
    hop = max(hop * seconds, 0.05)
    found = starts(frames, seconds=seconds, hop=hop, position="whole")
    length = round(seconds * FRAME_RATE)
    assert found[0] == 0
    assert found[-1] + length >= frames
    assert np.all(np.diff(found) <= length)
    assert np.all(np.diff(found) > 0)


class TestFingerprint:
    def test_is_of_the_content_and_not_of_the_name(self, tmp_path: Path) -> None:
        content = bytes(range(256)) * 2000
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "c").write_bytes(content[:-1] + b"x")
        (tmp_path / "d").write_bytes(content + b"\0")
        digests = [content_fingerprint(tmp_path / name) for name in "abcd"]
        assert digests[0] == digests[1]
        assert len(set(digests)) == 3

    def test_of_a_few_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"1")
        assert len(content_fingerprint(tmp_path / "a")) == 32


def test_no_samples_of_several_channels_are_no_samples() -> None:
    assert audio.to_mono(np.zeros((0, 2), np.float32)).shape == (0,)
    assert audio.is_silent(np.zeros(0, np.float32))


def test_of_a_whole_recording_no_more_than_a_window_is_held(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    minutes, rate = 60, 2000
    path = tmp_path / "mix.wav"
    with soundfile.SoundFile(path, "w", rate, 1) as stream:
        for _ in range(minutes):
            stream.write(rng.uniform(-0.5, 0.5, 60 * rate))
    file = RecordingFile(path, path.name)
    whole = SnippetConfig(position="whole", seconds=5, hop=2.5)
    tracemalloc.start()
    try:
        levels = audio.map_snippets(lambda found: float(found.samples.std()), file, whole, rate)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(levels) == minutes * 24 - 1
    assert peak < 3_000_000  # the samples are 57 MB, by overlapping windows
    assert [found.samples.std() for found in audio.read_snippets(file, whole, rate)] == levels


def test_an_error_of_what_is_made_of_a_snippet_names_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 2000)

    def refuse(found: audio.Snippet) -> None:
        raise AudioError("is refused")

    for position in ("middle", "whole"):
        snippet = SnippetConfig(position=position, seconds=1)
        with pytest.raises(AudioError, match=r"^noise\.wav: is refused$"):
            audio.map_snippets(refuse, RecordingFile(path, path.name), snippet, 2000)
