"""Composing: goals, the score and its sound, both ways from a label to a sound, writing it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from datasets.errors import InvalidArgumentError, NotFittedError
from embedding import EncoderConfig, HyperImageConfig, SnippetConfig, SongEncoder
from embedding.composition.composer import (
    Composition,
    CompositionConfig,
    check_sound_file,
    compose,
    normalise_sound,
    roundtrip_images,
    write_sound,
)
from embedding.composition.goals import DifferentiableEncoder, labels, likeness
from embedding.composition.image_inversion import dream, invert_mel_band, mel_rows
from embedding.composition.initial_loop import STEPS, make_initial_loop
from embedding.composition.instruments import make_instruments
from embedding.composition.loop import NoteGrid, cut_snippet, minimise
from embedding.composition.plot import draw_composition
from embedding.hyperimage.config import Band
from embedding.hyperimage.image import hyperimage
from embedding.network.calibration import Calibration

pytestmark = pytest.mark.slow

RATE = 8000
PICTURE = HyperImageConfig(
    sample_rate=RATE, height=32, width=24, n_fft=512, hop_length=256, n_mels=32, tempogram_frames=32
)
CONFIG = EncoderConfig(
    architecture="IC(2,5,8)PF(16)O",
    epochs=12,
    batch_size=8,
    threads=1,
    accelerator="cpu",
    snippet=SnippetConfig(seconds=1.0),
    hyperimage=PICTURE,
)
QUICK = CompositionConfig(seconds=1.5, steps=100, openings=6)


def sound_like(label: str, rng: np.random.Generator) -> np.ndarray:
    """A second of something low, something high, or noise that beats."""
    time = np.arange(RATE) / RATE
    noise = rng.normal(size=RATE)
    if label == "noise":
        return noise * (np.modf(4 * time)[0] < 0.5)
    lowest = {"low": 80, "high": 900}[label]
    tones = [np.sin(2 * np.pi * lowest * f * time) for f in rng.uniform(1, 2, 3)]
    return sum(tones) * np.exp(-3 * np.modf(2 * time)[0]) + 0.05 * noise


@pytest.fixture(scope="module")
def encoder() -> SongEncoder:
    rng = np.random.default_rng(0)
    names = ["low", "high", "noise"] * 30
    images = np.stack([hyperimage(sound_like(name, rng), PICTURE) for name in names])
    return SongEncoder(CONFIG).fit(images, names)


def test_a_label_is_reached_by_picture_and_by_sound(encoder: SongEncoder) -> None:
    for label in ("low", "high", "noise"):
        goal = labels(encoder, {label: 1})
        composition = compose(encoder, goal, QUICK)
        assert composition.sound.shape == (12000,)
        assert composition.sound.dtype == np.float32
        assert np.abs(composition.sound).max() == pytest.approx(0.9, abs=1e-6)
        assert composition.image.shape == (1, 32, 24)
        assert goal.match(encoder, composition.image[None]) > 0.9, label
        assert goal.match(encoder, roundtrip_images(encoder, composition)) > 0.9, label


def test_the_patents_way_reaches_the_label_by_picture(encoder: SongEncoder) -> None:
    goal = labels(encoder, {"high": 1})
    composition = dream(encoder, goal, QUICK.replace(steps=100))
    assert goal.match(encoder, composition.image[None]) > 0.9
    assert 0 <= composition.image.min() <= composition.image.max() <= 1
    assert composition.sound.shape == (12000,)
    assert np.isfinite(composition.sound).all()
    assert roundtrip_images(encoder, composition).shape == (1, 1, 32, 24)


def test_a_mix_of_labels(encoder: SongEncoder) -> None:
    goal = labels(encoder, {"low": 3, "noise": 3})
    np.testing.assert_allclose(goal.shares, [0, 0.5, 0.5])
    composition = compose(encoder, goal, QUICK.replace(steps=80))
    assert goal.match(encoder, composition.image[None]) > 0.7


def test_the_sound_of_a_song(encoder: SongEncoder) -> None:
    rng = np.random.default_rng(5)
    songs = np.stack([hyperimage(sound_like(name, rng), PICTURE) for name in ("low", "noise")])
    embeddings = encoder.embed(songs)
    goal = likeness(encoder, embeddings[0], embeddings.mean(axis=0))
    assert goal.match(encoder, songs[:1]) == pytest.approx(1, abs=1e-5)
    assert goal.match(encoder, songs[1:]) == 0  # the cosine is -1
    assert goal.match(encoder, compose(encoder, goal, QUICK).image[None]) > 0.8


def test_same_seed_same_composition_another_seed_another(encoder: SongEncoder) -> None:
    goal = labels(encoder, {"low": 1})
    config = CompositionConfig(seconds=1.0, steps=3, openings=2)
    first, again = compose(encoder, goal, config), compose(encoder, goal, config)
    assert np.array_equal(first.sound, again.sound)
    assert not np.array_equal(first.sound, compose(encoder, goal, config.replace(seed=1)).sound)
    pictures = [dream(encoder, goal, config.replace(seed=seed)).image for seed in (0, 0, 1)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_composing_leaves_the_encoder_as_it_was(encoder: SongEncoder) -> None:
    before = encoder.digest()
    compose(encoder, labels(encoder, {"low": 1}), CompositionConfig(steps=2, openings=1))
    assert encoder.digest() == before
    assert all(parameter.grad is None for parameter in encoder.torch_module().parameters())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "at least one label"),
        ({"polka": 1.0}, "knows no 'polka'; it tells high, low, noise"),
        ({"low": 0.0}, "weight of 'low' must be above 0"),
        ({"low": -1.0}, "weight of 'low' must be above 0"),
        ({"low": float("nan")}, "weight of 'low' must be above 0"),
    ],
)
def test_labels_that_cannot_be_wanted(
    encoder: SongEncoder, weights: dict[str, float], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        labels(encoder, weights)


def test_embeddings_that_cannot_be_wanted(encoder: SongEncoder) -> None:
    with pytest.raises(InvalidArgumentError, match="16 finite numbers"):
        likeness(encoder, np.ones(3), np.zeros(16))
    with pytest.raises(InvalidArgumentError, match="16 finite numbers"):
        likeness(encoder, np.full(16, np.nan), np.zeros(16))
    with pytest.raises(InvalidArgumentError, match="nothing to go towards"):
        likeness(encoder, np.ones(16), np.ones(16))


def test_an_encoder_must_be_trained(encoder: SongEncoder) -> None:
    with pytest.raises(NotFittedError):
        compose(SongEncoder(CONFIG), labels(encoder, {"low": 1}))


def test_the_loss_of_labels_is_zero_when_they_are_reached(encoder: SongEncoder) -> None:
    images = np.random.default_rng(0).random((1, 1, 32, 24)).astype(np.float32)
    shares = dict(zip(encoder.classes_, encoder.predict_proba(images)[0].tolist(), strict=True))
    goal = labels(encoder, shares)
    loss = goal.loss(DifferentiableEncoder(encoder), torch.from_numpy(images))
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert goal.match(encoder, images) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("width", [24, 40])
def test_a_listener_hears_what_the_encoder_hears(width: int) -> None:
    """With one window of the network's width, and with several."""
    rng = np.random.default_rng(0)
    images = rng.random((12, 1, 32, 40)).astype(np.float32)
    wide = SongEncoder(CONFIG.replace(window=24, epochs=1)).fit(images, ["a", "b"] * 6)
    batch = images[:3, ..., :width]
    listener = DifferentiableEncoder(wide)
    with torch.no_grad():
        logs = listener.log_probabilities(torch.from_numpy(batch))
        embeddings = listener.embeddings(torch.from_numpy(batch))
    np.testing.assert_allclose(logs.exp(), wide.predict_proba(batch), atol=1e-6)
    np.testing.assert_allclose(embeddings, wide.embed(batch), atol=1e-5)
    random = torch.Generator().manual_seed(0)
    parts = {
        listener.random_window(torch.from_numpy(batch), random).numpy().tobytes()
        for _ in range(200)
    }
    assert parts == {batch[..., start : start + 24].tobytes() for start in range(width - 23)}


@pytest.mark.parametrize("sequence", ["mean", "attention"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_listener_knows_the_temperature(sequence: str, loss: str) -> None:
    images = np.random.default_rng(0).random((40, 1, 32, 40)).astype(np.float32)
    config = CONFIG.replace(window=24, epochs=1, sequence=sequence, loss=loss)
    encoder = SongEncoder(config).fit(images, ["a", "b"] * 20)
    encoder.calibration_ = {"genre": Calibration(5.0, 0.2, 0.1, 40, 40)}
    with torch.no_grad():
        logs = DifferentiableEncoder(encoder).log_probabilities(torch.from_numpy(images[:3]))
    np.testing.assert_allclose(logs.exp(), encoder.predict_proba(images[:3]), atol=1e-6)


def test_several_values_at_once() -> None:
    images = np.random.default_rng(0).random((12, 1, 32, 24)).astype(np.float32)
    config = CONFIG.replace(loss="binary_cross_entropy", epochs=1)
    several = SongEncoder(config).fit(images, ["a;b", "b"] * 6)
    with torch.no_grad():
        logs = DifferentiableEncoder(several).log_probabilities(torch.from_numpy(images))
    np.testing.assert_allclose(logs.exp(), several.predict_proba(images), atol=1e-6)


def test_one_note_sounds_as_it_is_and_rings_on_over_the_end_of_the_loop() -> None:
    members = make_instruments(RATE)
    score = NoteGrid(members, make_initial_loop(members, RATE, np.random.default_rng(0)))
    number = score.names.index("pluck")
    sound = members.sounds[np.flatnonzero(np.array(members.names) == "pluck")]
    sound = sound[members.pitches[np.array(members.names) == "pluck"] == score.pitches[number]][0]
    with torch.no_grad():
        score.levels.fill_(-torch.inf)
        score.levels[STEPS - 1, number] = np.log(0.5)
    loop = score.render().detach().numpy()
    assert len(loop) == STEPS * score.hop
    last = score.samples - score.hop
    np.testing.assert_allclose(loop[last:], 0.5 * sound[: score.hop], atol=1e-6)
    rest = sound[score.hop :]
    np.testing.assert_allclose(loop[: len(rest)], 0.5 * rest, atol=1e-6)


def test_the_inaudible_is_left_out() -> None:
    members = make_instruments(RATE)
    score = NoteGrid(members, make_initial_loop(members, RATE, np.random.default_rng(0)))
    with torch.no_grad():
        score.levels.fill_(-7)
        score.levels[3, 2] = 0.0
    score.drop_inaudible_notes()
    assert np.argwhere(score.notes()).tolist() == [[3, 2]]


def test_all_sounds_are_there_and_alike_in_size() -> None:
    for rate in (4000, 22050):
        members = make_instruments(rate)
        assert np.isfinite(members.sounds).all()
        energy = np.square(members.sounds.astype(np.float64)).sum(axis=1)
        np.testing.assert_allclose(energy, 0.25**2 * 0.2 * rate, rtol=1e-4)
        assert {"bass", "pluck", "strings", "lead", "kick", "brush"} <= set(members.names)


def test_openings_are_in_one_key() -> None:
    members = make_instruments(22050)
    for seed in range(20):
        start = make_initial_loop(members, 22050, np.random.default_rng(seed))
        pitches = members.pitches[start.chosen]
        assert len({pitch % 12 for pitch in pitches[pitches > 0].tolist()}) == 7
        assert 75 <= 60 * 22050 / start.hop / 4 <= 150.1
        assert (start.levels > -5).sum() > 30


def test_a_snippet_of_a_loop() -> None:
    loop = torch.arange(4.0)
    assert cut_snippet(loop, 1, 100, 6).tolist() == [1, 2, 3, 0, 1, 2]
    # Five samples in all, repeated as a recording that is too short.
    assert cut_snippet(loop, 0, 5, 8).tolist() == [0, 1, 2, 3, 0, 0, 1, 2]
    assert cut_snippet(loop, 1, 3, 5, repeat=False).tolist() == [1, 2, 3, 0, 0]


def test_descent_finds_the_lowest_point() -> None:
    x = torch.tensor([5.0], requires_grad=True)
    done: list[int] = []
    minimise([x], lambda _: (x - 2).square().sum(), steps=200, step_size=0.2, after=done.append)
    assert x.item() == pytest.approx(2, abs=0.01)
    assert done == list(range(200))


def test_ends_do_not_click_and_the_peak_is_nine_tenths() -> None:
    sound = normalise_sound(np.full(1000, -3.0, dtype=np.float32), 1000)
    assert sound[0] == sound[-1] == 0
    np.testing.assert_allclose(sound[5:-5], -0.9)


def test_the_sound_of_a_picture_has_its_pitch() -> None:
    """A picture of a tone of 1 kHz becomes a tone of 1 kHz."""
    time = np.arange(RATE) / RATE
    image = hyperimage(np.sin(2 * np.pi * 1000 * time), PICTURE.replace(height=96, n_mels=64))
    sound = invert_mel_band(image, PICTURE.replace(height=96, n_mels=64), 1.0, seed=0)
    assert sound.shape == (RATE,)
    strongest = np.abs(np.fft.rfft(sound)).argmax()
    assert 900 < strongest < 1100


def test_without_a_mel_band_there_is_no_sound() -> None:
    config = PICTURE.replace(layout=(Band(transform="chroma", rows=12),))
    with pytest.raises(InvalidArgumentError, match="have none"):
        mel_rows(config)
    assert mel_rows(HyperImageConfig()) == slice(31, 95)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_written_and_read(tmp_path: Path, kind: str) -> None:
    sound = normalise_sound(np.sin(np.arange(200_000) / 9).astype(np.float32), RATE)
    write_sound(tmp_path / f"song.{kind}", sound, RATE)
    samples, rate = soundfile.read(tmp_path / f"song.{kind}")
    assert (len(samples), rate) == (200_000, RATE)
    np.testing.assert_allclose(samples, sound, atol=0.05 if kind == "ogg" else 1e-4)


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"song\.txt: a composition is written as"):
        write_sound(tmp_path / "song.txt", np.zeros(9, np.float32), RATE)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InvalidArgumentError, match="is a folder"):
        check_sound_file(tmp_path / "folder.wav")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgumentError, match="cannot be written"):
        write_sound(tmp_path / "file" / "song.wav", np.zeros(9, np.float32), RATE)


def test_the_picture_of_a_composition(tmp_path: Path) -> None:
    members = make_instruments(RATE)
    score = NoteGrid(members, make_initial_loop(members, RATE, np.random.default_rng(0)))
    score.drop_inaudible_notes()  # as in every composition; else thousands of bars are drawn
    image = np.zeros((1, 32, 24), dtype=np.float32)
    sound = np.zeros(RATE, dtype=np.float32)
    draw_composition(
        Composition(sound, RATE, image, score), PICTURE, 1.0, "low", tmp_path / "with.png"
    )
    draw_composition(Composition(sound, RATE, image), PICTURE, 1.0, "low", tmp_path / "without.png")
    for name in ("with", "without"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidArgumentError, match="a picture is written as"):
        draw_composition(Composition(sound, RATE, image), PICTURE, 1.0, "", tmp_path / "x.doc")
