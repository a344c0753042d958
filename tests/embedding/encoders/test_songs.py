"""From windows to songs: means to the bit, sequence heads, saving, fine-tuning, odd recordings."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.errors import ArtifactError, InvalidArgumentError
from embedding import EncoderConfig, SongEncoder
from embedding.composition import DifferentiableEncoder
from embedding.encoders import SoundStatistics
from embedding.encoders.songs import embed_recordings, embed_song, mean_by_recording
from embedding.network.augmentation import covering_windows
from embedding.network.sequence import training as sequence_training

CONFIG = EncoderConfig(architecture="IC(2,5,8)PF(12)O", epochs=6, batch_size=16, threads=1)
NAMES = np.array(["blues", "jazz", "rock"])
KINDS = ("attention", "recurrent")


def parts(n: int, seed: int = 0, most: int = 4) -> tuple:
    """Songs of a few images; a bright row tells the kind of each: images, recording, kinds."""
    rng = np.random.default_rng(seed)
    recording = np.repeat(np.arange(n), rng.integers(2, most + 1, n))
    kinds = rng.integers(0, 3, len(recording))
    images = rng.normal(scale=0.5, size=(len(recording), 1, 24, 16)).astype(np.float32)
    for image, kind in zip(images, kinds, strict=True):
        image[:, 4 + 7 * kind] += 2
    return images, recording, kinds


def first_kind(recording: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """What the first image of each song is, image by image: the order of images tells it."""
    return NAMES[kinds[np.unique(recording, return_index=True)[1]]][recording]


@pytest.fixture(autouse=True, scope="module")
def few_steps() -> Iterator[None]:
    """Heads are trained in few steps; what they learn matters to one test only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_training, "LEAST_STEPS", 20)
        patch.setattr(sequence_training, "EPOCHS", 2)
        yield


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> SongEncoder:
    images, recording, kinds = parts(60)
    config = CONFIG.replace(sequence=request.param)
    return SongEncoder(config).fit(images, first_kind(recording, kinds), recording=recording)


@pytest.fixture(scope="module")
def averaging() -> SongEncoder:
    images, recording, kinds = parts(60)
    return SongEncoder(CONFIG).fit(images, first_kind(recording, kinds), recording=recording)


def test_the_mean_is_that_of_each_image_and_then_of_each_recording(averaging: SongEncoder) -> None:
    images, recording, _ = parts(9, seed=1)
    vectors, scores = averaging.embed_recordings(images, recording, 9)
    np.testing.assert_array_equal(vectors, mean_by_recording(averaging.embed(images), recording, 9))
    np.testing.assert_array_equal(
        scores["genre"], mean_by_recording(averaging.predict_proba(images), recording, 9)
    )
    again = embed_recordings(averaging, images, recording, 9)
    np.testing.assert_array_equal(again[0], vectors)


def test_the_first_stage_is_the_training_without_a_head(
    fitted: SongEncoder, averaging: SongEncoder
) -> None:
    own, plain = fitted.torch_module(), averaging.torch_module()
    for name, weights in plain.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], weights, rtol=0, atol=0)
    assert fitted.history_[-1]["loss"] == averaging.history_[-1]["loss"]


@pytest.mark.slow
def test_a_recurrent_head_learns_what_only_order_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_training, "LEAST_STEPS", 300)
    images, recording, kinds = parts(150)
    config = CONFIG.replace(sequence="recurrent", epochs=12)
    encoder = SongEncoder(config).fit(images, first_kind(recording, kinds), recording=recording)
    images, recording, kinds = parts(90, seed=1)
    truth = first_kind(recording, kinds)[np.unique(recording, return_index=True)[1]]
    scores = encoder.embed_recordings(images, recording)[1]["genre"]
    assert (encoder.classes_[scores.argmax(axis=1)] == truth).mean() > 0.8
    averaged = mean_by_recording(encoder.predict_proba(images), recording, 90)
    assert (encoder.classes_[averaged.argmax(axis=1)] == truth).mean() < 0.7


def test_an_image_is_a_song_of_its_own(fitted: SongEncoder) -> None:
    images, _, _ = parts(9, seed=1)
    vectors, scores = fitted.embed_and_predict(images)
    alone = fitted.embed_recordings(images, np.arange(len(images)))
    np.testing.assert_array_equal(alone[0], vectors)
    np.testing.assert_array_equal(fitted.predict_proba(images), scores["genre"])
    np.testing.assert_array_equal(fitted.embed(images), vectors)
    network = fitted.torch_module()
    with torch.inference_mode():
        x = torch.from_numpy(images)
        np.testing.assert_allclose(network.embed(x).numpy(), vectors, atol=1e-5)
        found = network(x).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, scores["genre"], atol=1e-5)
    if fitted.config.sequence == "attention":
        with torch.inference_mode():
            np.testing.assert_allclose(network.windows(x).numpy(), vectors, atol=1e-5)


def test_other_songs_beside_it_and_their_order_change_nothing(fitted: SongEncoder) -> None:
    images, recording, _ = parts(30, seed=1)
    vectors = fitted.embed_recordings(images, recording)[0]
    for number in (0, 7, 29):
        own = embed_song(fitted, images[recording == number])[0]
        np.testing.assert_allclose(own, vectors[number], atol=1e-5)
    # Songs in another order, interleaved: the order within each stays.
    mixed = np.concatenate([np.flatnonzero(recording % 2), np.flatnonzero(recording % 2 == 0)])
    again = fitted.embed_recordings(images[mixed], recording[mixed], 30)[0]
    np.testing.assert_allclose(again, vectors, atol=1e-5)


def test_recordings_without_images_are_nan(fitted: SongEncoder, averaging: SongEncoder) -> None:
    images, _, _ = parts(3)
    recording = np.full(len(images), 2)
    statistics = SoundStatistics().fit(images)
    for encoder in (fitted, averaging, statistics):
        vectors, scores = embed_recordings(encoder, images, recording, 4)
        assert np.isnan(vectors).all(axis=1).tolist() == [True, True, False, True]
        assert all(np.isnan(s).all(axis=1).sum() == 3 for s in scores.values())
        nothing, _ = embed_recordings(encoder, images[:0], recording[:0], 2)
        assert nothing.shape == (2, encoder.dimension)
        assert np.isnan(nothing).all()
        assert embed_recordings(encoder, images[:0], recording[:0], 0)[0].shape[0] == 0


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        (np.zeros(3, int), "recording: expected 5 whole numbers"),
        (np.zeros(5), "recording: expected 5 whole numbers"),
        (np.array([0, 1, 2, 3, -1]), "there is -1"),
        (np.array([0, 1, 2, 3, 4]), "numbers from 0 to 3 are expected; there is 4"),
        (np.array(["a"] * 5), "recording: expected 5 whole numbers"),
        (np.zeros((5, 1), int), "recording: expected 5 whole numbers"),
    ],
)
def test_numbers_of_recordings_that_do_not_fit(
    averaging: SongEncoder, recording: np.ndarray, said: str
) -> None:
    images = parts(5)[0][:5]
    with pytest.raises(InvalidArgumentError, match=said):
        averaging.embed_recordings(images, recording, 4)
    with pytest.raises(InvalidArgumentError, match=said):
        embed_recordings(SoundStatistics().fit(images), images, recording, 4)


def test_a_song_of_thousands_of_windows_is_that_of_its_parts(fitted: SongEncoder) -> None:
    """However it is cut: one wide image, or many images."""
    rng = np.random.default_rng(0)
    config = fitted.config.replace(window=16)
    wide = SongEncoder(config)
    wide._network, wide.image_shape_ = fitted.torch_module(), fitted.image_shape_
    wide.heads_ = fitted.heads_
    image = rng.normal(size=(1, 1, 24, 16 * 300)).astype(np.float32)
    width, starts = covering_windows(image, 16)
    assert len(starts) > 500
    cut = np.concatenate([image[..., s : s + width] for s in starts])
    vector, scores = wide.embed_and_predict(image)
    again, cut_scores = embed_song(wide, cut)
    np.testing.assert_allclose(again, vector[0], atol=1e-4)
    np.testing.assert_allclose(cut_scores["genre"], scores["genre"][0], atol=1e-4)


def test_saved_and_loaded_it_is_the_same_to_the_bit(fitted: SongEncoder, tmp_path: Path) -> None:
    fitted.save(tmp_path / "encoder")
    again = SongEncoder.load(tmp_path / "encoder")
    images, recording, _ = parts(9, seed=1)
    for one, other in zip(
        again.embed_recordings(images, recording),
        fitted.embed_recordings(images, recording),
        strict=True,
    ):
        np.testing.assert_equal(one, other)
    assert again.digest() == fitted.digest()
    assert again.summary()["sequence"] == fitted.config.sequence


def test_a_manifest_without_the_setting_is_one_of_means(
    averaging: SongEncoder, fitted: SongEncoder, tmp_path: Path
) -> None:
    from embedding.network.storage import _digest_of

    def edited(encoder: SongEncoder, name: str, **settings: str) -> Path:
        folder = tmp_path / name
        encoder.save(folder)
        manifest = json.loads((folder / "encoder.json").read_text())
        del manifest["config"]["sequence"]
        manifest["config"] |= settings
        manifest["sha256"] = _digest_of(manifest)
        (folder / "encoder.json").write_text(json.dumps(manifest))
        return folder

    old = SongEncoder.load(edited(averaging, "old"))
    assert old.config.sequence == "mean"
    images = parts(9, seed=1)[0]
    np.testing.assert_array_equal(old.embed(images), averaging.embed(images))
    # Weights of a head that the manifest does not name, and a head that has no weights.
    odd = SongEncoder.load(edited(fitted, "odd"))
    none = SongEncoder.load(edited(averaging, "none", sequence="attention"))
    for encoder, folder in ((odd, "odd"), (none, "none")):
        with pytest.raises(ArtifactError, match=f"{folder}: .* do not fit"):
            encoder.embed(images)


@pytest.mark.slow
def test_fine_tuning_trains_the_head_further_and_adds_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence_training, "LEAST_STEPS", 200)
    images, recording, kinds = parts(60)
    config = CONFIG.replace(sequence="recurrent")
    encoder = SongEncoder(config).fit(images, first_kind(recording, kinds), recording=recording)
    before = {name: t.clone() for name, t in encoder.torch_module().sequence.state_dict().items()}
    new = parts(12, seed=3)[0]
    new[:, :, 2] += 3
    encoder.fine_tune(
        new, ["ska"] * len(new), recording=np.arange(len(new)) // 3, epochs=6, learning_rate=0.01
    )
    assert encoder.classes_.tolist() == ["blues", "jazz", "rock", "ska"]
    after = encoder.torch_module().sequence.state_dict()
    torch.testing.assert_close(after["mean"], before["mean"], rtol=0, atol=0)
    assert (after["unit.weight_hh_l0"] != before["unit.weight_hh_l0"]).any()
    scores = encoder.embed_recordings(new, np.arange(len(new)) // 3)[1]["genre"]
    assert scores.shape[1] == 4
    assert scores[:, 3].mean() > 0.4
    # What it knew before is not forgotten.
    old = encoder.embed_recordings(images, recording)[1]["genre"]
    truth = first_kind(recording, kinds)[np.unique(recording, return_index=True)[1]]
    assert (encoder.classes_[old.argmax(axis=1)] == truth).mean() > 0.5
    encoder.save(tmp_path / "encoder")
    assert SongEncoder.load(tmp_path / "encoder").digest() == encoder.digest()


@pytest.mark.parametrize("kind", KINDS)
def test_songs_of_one_window_have_one_warning_and_no_effect(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _, kinds = parts(20)
    plain = SongEncoder(CONFIG.replace(epochs=1)).fit(images, NAMES[kinds])
    monkeypatch.setattr(sequence_training, "train_head", None)  # is not called
    with pytest.warns(UserWarning, match=f"sequence '{kind}' has no effect") as caught:
        encoder = SongEncoder(CONFIG.replace(epochs=1, sequence=kind)).fit(images, NAMES[kinds])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_allclose(encoder.embed(images), plain.embed(images), atol=1e-6)
    np.testing.assert_allclose(
        encoder.predict_proba(images), plain.predict_proba(images), atol=1e-6
    )


def test_wide_images_alone_are_sequences() -> None:
    images, _, kinds = parts(20)
    wide = np.concatenate([images, images], axis=3)
    config = CONFIG.replace(epochs=1, window=16, sequence="attention")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = SongEncoder(config).fit(wide, NAMES[kinds])
    assert encoder.embed(wide).shape == (len(wide), 12)
    assert encoder.embed(images).shape == (len(images), 12)


def test_tags_that_are_blank_or_several_and_a_validation_split() -> None:
    images, recording, kinds = parts(40)
    several = np.array([";".join(NAMES[np.unique(kinds[recording == r])]) for r in recording])
    blank = np.where(recording % 3 == 0, "", several)
    config = CONFIG.replace(
        epochs=2, sequence="attention", loss="binary_cross_entropy", tags=("genre", "mood"),
        validation_fraction=0.2,
    )  # fmt: skip
    labels = {"genre": blank, "mood": several}
    encoder = SongEncoder(config).fit(images, labels, recording=recording)
    scores = encoder.embed_recordings(images, recording)[1]
    assert scores["genre"].shape == scores["mood"].shape == (40, 3)
    assert (scores["mood"].sum(axis=1) != 1).any()


def test_gradients_of_a_song_go_through_all_of_its_windows(fitted: SongEncoder) -> None:
    wide = SongEncoder(fitted.config.replace(window=16))
    wide._network, wide.image_shape_ = fitted.torch_module(), fitted.image_shape_
    wide.heads_ = fitted.heads_
    images = parts(3, seed=5)[0][:2].repeat(3, axis=3)
    x = torch.from_numpy(images).requires_grad_()
    module = DifferentiableEncoder(wide)
    vectors, logs = module.embeddings(x), module.log_probabilities(x)
    np.testing.assert_allclose(vectors.detach().numpy(), wide.embed(images), atol=1e-5)
    np.testing.assert_allclose(logs.exp().detach().numpy(), wide.predict_proba(images), atol=1e-5)
    logs[:, 0].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax(dim=(1, 2)) > 0).all()


def test_the_same_seed_gives_the_same_head() -> None:
    images, recording, kinds = parts(20)
    first, again, other = (
        SongEncoder(CONFIG.replace(epochs=1, sequence="recurrent", seed=seed)).fit(
            images, first_kind(recording, kinds), recording=recording
        )
        for seed in (1, 1, 2)
    )
    assert first.digest() == again.digest() != other.digest()


HOUR = """
import resource, sys
import numpy as np
from embedding import EncoderConfig, SongEncoder
kind, minutes = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
images = rng.uniform(size=(8, 1, 128, 128)).astype(np.float32)
config = EncoderConfig(
    architecture="IC(5,5,64)LPF(24)O", epochs=1, window=64, sequence=kind, threads=1)
encoder = SongEncoder(config).fit(images, ["a", "b"] * 4)
long = rng.uniform(size=(1, 1, 128, 774 * minutes)).astype(np.float32)
encoder.embed(long[..., :774])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
encoder.embed(long)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_an_hour_takes_little_more_memory_than_a_minute() -> None:
    """1,450 windows, whose activations would be 250 MB in one layer alone."""
    done = subprocess.run(
        [sys.executable, "-c", HOUR, "recurrent", "60"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000  # kB
