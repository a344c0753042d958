import sys

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.hyperimage.bands import rasterize_waveform
from embedding.hyperimage.colours import apply_colour_map
from embedding.hyperimage.config import STACKED, WAVEFORM, Band, HyperImageConfig
from embedding.hyperimage.image import hyperimage
from embedding.transforms.table import TRANSFORMS

RATE = 22050


def song(seconds: float = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    y = np.sin(2 * np.pi * 330 * time) * (np.modf(2 * time)[0] < 0.3)
    return (0.3 * y + 0.02 * rng.normal(size=len(time))).astype(np.float32)


def test_the_default_picture() -> None:
    image = hyperimage(song(), HyperImageConfig())
    assert image.shape == (1, 128, 128)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1
    for start, stop in ((0, 12), (12, 31), (31, 95), (95, 115), (115, 122), (122, 128)):
        assert image[0, start:stop].std() > 0.005


@pytest.mark.parametrize("config", [HyperImageConfig(), HyperImageConfig(preset="waveform")])
def test_an_offset_makes_no_difference(config: HyperImageConfig) -> None:
    y = np.stack([song(), song(seed=1)])
    y -= y.mean(axis=1, keepdims=True)
    image = hyperimage(y, config)
    for offset in (0.1, -3.0, [[0.5], [0.0]], [[0.2], [-0.2]]):
        moved = (y + offset).astype(np.float32)
        np.testing.assert_allclose(hyperimage(moved, config), image, atol=0.02)


def test_the_small_offset_of_honest_music_stays() -> None:
    y = song()
    level = y.std()
    y += 0.1 * level
    image = hyperimage(y, HyperImageConfig())
    assert np.abs(image - hyperimage(y - y.mean(), HyperImageConfig())).max() > 0


@pytest.mark.slow
def test_bands_are_librosas_transforms_on_their_scales() -> None:
    """With as many rows and columns as the transforms have, resizing changes nothing."""
    y = song()
    y /= np.abs(y).max()
    frames = 1 + len(y) // 512

    def picture(transform: str, rows: int) -> np.ndarray:
        layout = (Band(transform=transform, rows=rows),)
        return hyperimage(y, HyperImageConfig(height=rows, width=frames, layout=layout))[0]

    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=RATE), ref=np.max)
    np.testing.assert_allclose(picture("mel", 128), mel / 80 + 1, atol=1e-4)
    chroma = librosa.feature.chroma_stft(y=y, sr=RATE, tuning=0)
    np.testing.assert_allclose(picture("chroma", 12), chroma, atol=1e-4)
    tonnetz = librosa.feature.tonnetz(chroma=chroma)
    np.testing.assert_allclose(
        np.repeat(tonnetz, 2, axis=0) / 2 + 0.5, picture("tonnetz", 12), atol=0.3
    )
    tempogram = librosa.feature.tempogram(y=y, sr=RATE, win_length=192)
    np.testing.assert_allclose(picture("tempogram", 96), tempogram[:96], atol=1e-4)
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=20)
    np.testing.assert_allclose(picture("mfcc", 20)[0], 1 + mfcc[0] / (80 * np.sqrt(128)), atol=1e-4)


@pytest.mark.parametrize("gain", [1e-5, 0.1, 0.7, 3.0, 1e6])
def test_loudness_makes_no_difference(gain: float) -> None:
    y = song()
    config = HyperImageConfig()
    quiet = hyperimage(np.float32(gain) * y, config)
    assert np.abs(quiet - hyperimage(y, config)).max() < 1e-3


@pytest.mark.parametrize(
    ("height", "width", "seconds", "rate"),
    [(128, 128, 5, 22050), (96, 65, 3, 16000), (40, 300, 30, 44100), (200, 16, 0.25, 4000)],
)
def test_any_size_and_rate(height: int, width: int, seconds: float, rate: int) -> None:
    config = HyperImageConfig(height=height, width=width, sample_rate=rate)
    y = np.random.default_rng(0).normal(size=round(seconds * rate)).astype(np.float32)
    image = hyperimage(y, config)
    assert image.shape == (1, height, width)
    assert np.isfinite(image).all()


def test_bands_come_in_the_order_of_the_layout() -> None:
    layout = (Band(transform="tonnetz", rows=6), Band(transform="chroma", rows=12))
    config = HyperImageConfig(height=18, layout=layout)
    turned = HyperImageConfig(height=18, layout=layout[::-1])
    # Not to the bit: where BLAS finds its arrays in memory decides the order of its sums.
    np.testing.assert_allclose(
        hyperimage(song(), config)[0, 6:], hyperimage(song(), turned)[0, :12], atol=1e-6
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_an_error(bad: float) -> None:
    y = song()
    y[100] = bad
    with pytest.raises(AudioError, match="NaN or infinite"):
        hyperimage(y, HyperImageConfig())


def test_silence_is_an_error() -> None:
    with pytest.raises(AudioError, match="silent"):
        hyperimage(np.zeros(RATE), HyperImageConfig())


@pytest.mark.parametrize("shape", [(), (0,), (2, 2, RATE), (RATE, 2), (0, RATE)])
def test_what_is_no_row_of_samples_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="one row"):
        hyperimage(np.ones(shape), HyperImageConfig())


@pytest.mark.slow
@settings(max_examples=15)
@given(
    seconds=st.floats(0.05, 30),
    rate=st.integers(4000, 192_000),
    channels=st.integers(1, 8),
    level=st.floats(-90, 90),
    seed=st.integers(0, 3),
)
def test_any_recording_gives_finite_images(
    tmp_path, seconds: float, rate: int, channels: int, level: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = int(np.ceil(seconds * rate))
    samples = rng.normal(size=(frames, channels)) * 10 ** (level / 20)
    if seed % 2:  # mostly digital silence with a click
        samples[: frames // 2] = 0
        samples[frames // 2 + 1 :] = 0
    path = tmp_path / "any.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    for y in load_snippets(path, SnippetConfig(count=2), RATE):
        image = hyperimage(y, HyperImageConfig())
        assert image.shape == (1, 128, 128)
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.slow
@settings(max_examples=25)
@given(
    seconds=st.floats(0.05, 5),
    rate=st.integers(4000, 192_000),
    channels=st.integers(1, 8),
    level=st.floats(-90, 90),
    gain=st.floats(-60, 60),
    seed=st.integers(0, 3),
    fit=st.sampled_from(["stretch", "pad"]),
)
def test_any_channels_at_any_rate_and_gain(
    seconds: float, rate: int, channels: int, level: float, gain: float, seed: int, fit: str
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(channels, int(np.ceil(seconds * rate)))) * 10 ** (level / 20)
    config = HyperImageConfig(preset="waveform", sample_rate=rate, height=24, width=20, fit=fit)
    image = hyperimage(y, config)
    assert image.shape == (1, 24, 20)
    assert np.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1
    louder = hyperimage(y * 10 ** (gain / 20), config)
    assert np.abs(louder - image).max() < 1e-3


@pytest.mark.slow
def test_none_of_it_needs_librosa_or_torch() -> None:
    import subprocess

    code = (
        "import sys, embedding.hyperimage.extraction\n"
        "heavy = {'torch', 'librosa', 'numba', 'sklearn', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def stereo(seconds: float = 5) -> np.ndarray:
    """A high tone at the left, a low one at half the level at the right: [2, samples]."""
    time = np.arange(round(seconds * RATE)) / RATE
    left, right = np.sin(2 * np.pi * 990 * time), 0.5 * np.sin(2 * np.pi * 220 * time)
    return (0.3 * np.stack([left, right])).astype(np.float32)


class TestWaveform:
    def test_the_preset(self) -> None:
        config = HyperImageConfig(preset="waveform")
        assert [band.transform for band in config.layout] == [
            "waveform_left", "waveform_right", "linear", "melodic_range"
        ]  # fmt: skip
        assert config.sound_channels == 2
        assert HyperImageConfig().sound_channels == 1
        image = hyperimage(stereo(), config)
        assert image.shape == (1, 128, 128)
        # The left reaches the edges of its band, the right half as far from the middle.
        assert image[0, :16].mean() > 0.98
        right = image[0, 16:32]
        assert right[4:12].mean() > 0.98
        assert right[:3].max() == right[13:].max() == 0

    def test_one_channel_is_drawn_on_both_sides(self) -> None:
        image = hyperimage(song(), HyperImageConfig(preset="waveform"))
        np.testing.assert_array_equal(image[0, :16], image[0, 16:32])

    def test_everything_else_is_of_the_mean(self) -> None:
        y = np.stack([song(seed=1), 0.2 * song(seed=2)])
        of_both = hyperimage(y, HyperImageConfig())
        of_mean = hyperimage(y.mean(axis=0), HyperImageConfig())
        np.testing.assert_allclose(of_both, of_mean, atol=1e-3)

    def test_by_hand(self) -> None:
        # Four columns of two samples, four rows of half a unit: a line that climbs from the lower
        # edge to the upper, each column beginning where the one before ended.
        y = np.array([-1, -0.75, -0.5, 0, 0, 0.5, 0.5, 1], dtype=np.float32)
        wanted = [
            [0.5, 0, 0, 0],  # -1 .. -.75: half of the lowest row
            [0.5, 1, 0, 0],  # -.75 .. 0
            [0, 0, 1, 0],  # 0 .. .5
            [0, 0, 0, 1],  # .5 .. 1
        ]
        np.testing.assert_allclose(rasterize_waveform(y, 4, 4), np.transpose(wanted))

    def test_a_still_line_is_half_a_row_thick_and_columns_may_be_many(self) -> None:
        still = rasterize_waveform(np.zeros(3, dtype=np.float32), 6, 20)
        np.testing.assert_allclose(still[2:4], 0.25)
        assert not still[[0, 1, 4, 5]].any()

    @settings(max_examples=30)
    @given(st.integers(1, 50), st.integers(1, 40), st.integers(1, 60), st.integers(0, 9))
    def test_the_line_is_never_broken(
        self, samples: int, rows: int, columns: int, seed: int
    ) -> None:
        y = np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)
        picture = rasterize_waveform(y, rows, columns)
        assert picture.shape == (rows, columns)
        assert 0 <= picture.min() <= picture.max() <= 1
        touched = picture > 0
        assert touched.any(axis=0).all()
        near = touched | np.roll(touched, 1, axis=0) | np.roll(touched, -1, axis=0)
        assert (near[:, 1:] & touched[:, :-1]).any(axis=0).all()


class TestNormalisation:
    def band(self, transform: str, normalise: str = "scale", rows: int = 24) -> np.ndarray:
        layout = (Band(transform=transform, rows=rows, normalise=normalise),)
        config = HyperImageConfig(height=rows, width=216, layout=layout)
        return hyperimage(song(), config)[0]

    def test_decibels(self) -> None:
        y = song() / np.abs(song()).max()
        power = librosa.power_to_db(np.abs(librosa.stft(y)) ** 2, ref=np.max)
        np.testing.assert_allclose(self.band("linear", "db", 1025), 1 + power / 80, atol=1e-4)
        np.testing.assert_array_equal(self.band("mel", "db"), self.band("mel"))

    def test_as_it_is(self) -> None:
        y = song() / np.abs(song()).max()
        centroid = librosa.feature.spectral_centroid(y=y, sr=RATE)
        np.testing.assert_allclose(
            self.band("centroid", "none"), np.repeat(centroid, 24, axis=0), rtol=1e-4
        )
        mfcc = librosa.feature.mfcc(y=y, sr=RATE)
        np.testing.assert_allclose(self.band("mfcc", "none", 20), mfcc, atol=0.01)

    def test_over_the_peak_and_between_lowest_and_highest(self) -> None:
        raw = self.band("mfcc", "none", 20)
        peak = self.band("mfcc", "peak", 20)
        np.testing.assert_allclose(peak, raw / np.abs(raw).max(), atol=1e-6)
        assert peak.min() < 0
        spread = (raw - raw.min()) / (raw.max() - raw.min())
        np.testing.assert_allclose(self.band("mfcc", "unit", 20), spread, atol=1e-5)

    def test_a_frame_without_pitch_is_zero(self) -> None:
        y = np.random.default_rng(0).normal(size=RATE)
        for normalise in ("scale", "peak", "unit", "none"):
            layout = (Band(transform="cepstral_pitch", rows=8, normalise=normalise),)
            assert not hyperimage(y, HyperImageConfig(height=8, layout=layout)).any()

    @pytest.mark.parametrize(
        ("transform", "normalise"),
        [("chroma", "db"), ("waveform_left", "unit"), ("waveform_right", "none")],
    )
    def test_what_makes_no_sense_is_an_error(self, transform: str, normalise: str) -> None:
        with pytest.raises(InvalidArgumentError, match="normalise"):
            Band(transform=transform, rows=3, normalise=normalise)


@pytest.mark.slow
@pytest.mark.parametrize("transform", list(TRANSFORMS))
@pytest.mark.parametrize("rate", [22050, 4000])
def test_any_transform_can_be_stacked(transform: str, rate: int) -> None:
    layout = (Band(transform=transform, rows=5), Band(transform="mel", rows=6))
    config = HyperImageConfig(height=22, width=40, sample_rate=rate, layout=layout)
    time = np.arange(2 * rate) / rate
    pitch = np.where(time < 1, 110, 220)
    y = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 8)) * (time < 1.9)
    image = hyperimage(y, config)
    assert image.shape == (1, 22, 40)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert image[0, :10].std() > 0.005
    louder = hyperimage(100 * y, config)
    assert np.abs(louder - image).max() < 1e-3


class TestFit:
    def test_true_time_has_a_column_a_frame(self) -> None:
        layout = (Band(transform="chroma", rows=12), Band(transform="waveform_left", rows=4))
        config = HyperImageConfig(height=16, width=300, fit="pad", layout=layout)
        y = song(2)
        frames = 1 + len(y) // 512
        image = hyperimage(y, config)[0]
        chroma = librosa.feature.chroma_stft(y=y / np.abs(y).max(), sr=RATE, tuning=0)
        np.testing.assert_allclose(image[:12, :frames], chroma, atol=1e-4)
        assert image[12:, :frames].any(axis=0).all()
        assert not image[:, frames:].any()

    def test_a_longer_snippet_looks_the_same_as_far_as_it_goes(self) -> None:
        layout = (Band(transform="chroma", rows=12),)
        config = HyperImageConfig(height=12, width=80, fit="pad", layout=layout)
        long, short = hyperimage(song(5), config), hyperimage(song(5)[: 3 * RATE], config)
        np.testing.assert_allclose(long, short, atol=1e-3)

    def test_a_short_recording_repeats_or_is_followed_by_silence(self, recording) -> None:
        path = recording("short.wav", seconds=1)
        layout = (Band(transform="waveform_left", rows=8),)
        config = HyperImageConfig(height=8, width=100, layout=layout)
        (repeated,) = load_snippets(path, SnippetConfig(seconds=4), RATE)
        (padded,) = load_snippets(path, SnippetConfig(seconds=4, short="pad"), RATE)
        np.testing.assert_array_equal(repeated[:RATE], padded[:RATE])
        np.testing.assert_array_equal(repeated[RATE : 2 * RATE], repeated[:RATE])
        assert not padded[RATE:].any()
        image = hyperimage(padded, config)[0]
        assert image[[0, 7], :25].any()
        assert not image[[0, 1, 6, 7], 26:].any()


class TestColours:
    def test_each_value_has_its_colour(self) -> None:
        import matplotlib

        config = HyperImageConfig(colour_map="magma")
        plain = hyperimage(song(), HyperImageConfig())[0]
        image = hyperimage(song(), config)
        assert image.shape == (3, 128, 128)
        assert config.channels == 3
        wanted = matplotlib.colormaps["magma"](plain)[..., :3].transpose(2, 0, 1)
        # 256 colours: half a step to either side.
        assert np.abs(image - wanted).max() < 0.03

    def test_black_and_white(self) -> None:
        values = np.array([[0, 0.5, 1, 7, -3]], dtype=np.float32)
        grey = apply_colour_map(values, "gray")
        np.testing.assert_allclose(grey[:, 0], [[0, 128 / 255, 1, 1, 0]] * 3, atol=1e-6)

    def test_an_unknown_map_is_an_error(self) -> None:
        with pytest.raises(InvalidArgumentError, match="no colour map 'rainbows'"):
            HyperImageConfig(colour_map="rainbows")


class TestConfig:
    def test_a_preset_brings_its_layout(self) -> None:
        config = HyperImageConfig()
        assert config.layout == STACKED
        assert config.replace(preset="waveform").layout == WAVEFORM
        assert config.replace(preset="waveform").replace(preset="stacked") == config
        own = (Band(transform="mel", rows=3),)
        assert HyperImageConfig(preset="waveform", layout=own).layout == own
        assert config.replace(layout=own).replace(width=64).layout == own

    def test_json_and_back(self) -> None:
        for config in (
            HyperImageConfig(preset="waveform", fit="pad", colour_map="viridis"),
            HyperImageConfig(layout=(Band(transform="log", rows=2, normalise="peak"),)),
        ):
            again = HyperImageConfig.from_json(config.model_dump(mode="json"))
            assert again == config
            assert again.digest() == config.digest()

    def test_every_setting_makes_another_picture(self) -> None:
        config = HyperImageConfig(preset="waveform", height=64, width=64)
        changes = {
            "preset": "stacked", "sample_rate": 16000, "height": 32, "width": 32, "fit": "pad",
            "colour_map": "magma", "n_fft": 1024, "hop_length": 256, "n_mels": 64,
            "tempogram_frames": 64, "layout": (Band(transform="mel", rows=1),),
        }  # fmt: skip
        assert changes.keys() == HyperImageConfig.model_fields.keys()
        for name, value in changes.items():
            base = config.replace(preset="stacked") if name != "preset" else config
            before, after = (
                hyperimage(song(), base),
                hyperimage(song(), base.replace(**{name: value})),
            )
            assert before.shape != after.shape or np.abs(before - after).max() > 0.01, name

    def test_a_cyclic_tempogram_needs_a_window_for_its_tempi(self) -> None:
        layout = (Band(transform="cyclic_tempogram", rows=8),)
        with pytest.raises(InvalidArgumentError, match="tempogram_frames must be 24"):
            HyperImageConfig(layout=layout, tempogram_frames=16)
        config = HyperImageConfig(layout=layout, tempogram_frames=24)
        assert hyperimage(song(), config).any()
