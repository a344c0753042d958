"""Networks with several heads, other losses, wide images, several devices, and more to learn."""

import numpy as np
import pytest

from datasets.errors import ArtifactError, InvalidArgumentError, NotFittedError
from embedding import AugmentationConfig, EncoderConfig, SongEncoder
from embedding.network.devices import inference_device
from embedding.network.targets import validation_split

CONFIG = EncoderConfig(architecture="IC(2,5,8)PF(24)F(12)O", epochs=10, batch_size=16, threads=1)
GENRES = np.array(["blues", "jazz", "rock"])
MOODS = np.array(["calm", "wild"])


def pictures(n: int, seed: int = 0, width: int = 32, genres: int = 3) -> tuple:
    """Noise in which a bright stripe tells the genre, and a bright left edge the mood."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, 1, 24, width)).astype(np.float32)
    genre, mood = rng.integers(0, genres, n), rng.integers(0, 2, n)
    for image, row, bright in zip(images, genre, mood, strict=True):
        image[:, 3 + 5 * row] += 2
        image[:, 22:] += 2 * bright
    return images, genre, mood


def accuracy(encoder: SongEncoder, images, wanted, tag: str | None = None) -> float:
    probability = encoder.predict_proba(images, tag)
    classes = encoder.heads_[tag or encoder.config.tags[0]]
    return float((classes[probability.argmax(axis=1)] == wanted).mean())


@pytest.fixture(scope="module")
def encoder() -> SongEncoder:
    images, genre, mood = pictures(200)
    moods = MOODS[mood].astype(object)
    moods[::4] = ""  # unknown of some
    labels = {"genre": GENRES[genre], "mood": moods}
    return SongEncoder(CONFIG.replace(tags=("genre", "mood"))).fit(images, labels)


class TestSeveralTags:
    @pytest.mark.slow
    def test_one_trunk_tells_both(self, encoder: SongEncoder) -> None:
        images, genre, mood = pictures(100, seed=1)
        assert accuracy(encoder, images, GENRES[genre]) > 0.9
        assert accuracy(encoder, images, MOODS[mood], "mood") > 0.9
        assert encoder.classes_.tolist() == GENRES.tolist()
        assert encoder.embed(images).shape == (100, 12)

    @pytest.mark.slow
    @pytest.mark.parametrize("width", [32, 77])
    def test_all_at_once_is_the_same_in_one_pass(self, width: int) -> None:
        images, genre, mood = pictures(60)
        config = CONFIG.replace(tags=("genre", "mood"), epochs=2, window=32)
        encoder = SongEncoder(config).fit(images, {"genre": GENRES[genre], "mood": MOODS[mood]})
        many = pictures(300, seed=1, width=width)[0]  # more than one batch; wide: windows
        wanted = encoder.embed(many), *(encoder.predict_proba(many, tag) for tag in encoder.heads_)
        passes = []
        encoder._network.trunk.register_forward_hook(lambda *_: passes.append(1))
        encoder.embed(many)
        once = len(passes)
        embeddings, scores = encoder.embed_and_predict(many)
        assert len(passes) == 2 * once > 2
        assert list(scores) == ["genre", "mood"]
        for found, right in zip((embeddings, *scores.values()), wanted, strict=True):
            np.testing.assert_array_equal(found, right)
        nothing, none = encoder.embed_and_predict(many[:0])
        assert (nothing.shape, none["genre"].shape) == ((0, 12), (0, 3))
        with pytest.raises(NotFittedError):
            SongEncoder(config).embed_and_predict(many)

    @pytest.mark.slow
    def test_it_is_the_same_after_saving(self, encoder: SongEncoder, tmp_path) -> None:
        images = pictures(10, seed=2)[0]
        encoder.save(tmp_path)
        loaded = SongEncoder.load(tmp_path)
        for tag in ("genre", "mood"):
            np.testing.assert_array_equal(
                loaded.predict_proba(images, tag), encoder.predict_proba(images, tag)
            )

    def test_an_unknown_tag(self, encoder: SongEncoder) -> None:
        with pytest.raises(InvalidArgumentError, match="tell genre, mood, not 'year'"):
            encoder.predict_proba(pictures(2)[0], "year")


@pytest.mark.parametrize("tags", [(), ("genre", "genre"), ("",)])
def test_tags_that_are_none(tags) -> None:
    with pytest.raises(InvalidArgumentError, match="tags"):
        EncoderConfig(tags=tags)


@pytest.mark.slow
def test_half_squared_error_learns_too() -> None:
    images, genre, _ = pictures(150)
    config = CONFIG.replace(loss="half_squared", learning_rate=0.03, epochs=15)
    encoder = SongEncoder(config).fit(images, GENRES[genre])
    assert encoder.history_[-1]["loss"] < 0.15 < encoder.history_[0]["loss"] <= 1
    others, wanted, _ = pictures(100, seed=1)
    assert accuracy(encoder, others, GENRES[wanted]) > 0.9


@pytest.mark.slow
def test_several_values_at_once() -> None:
    images, genre, mood = pictures(200)
    labels = [f"{GENRES[g]};{MOODS[m]}" for g, m in zip(genre, mood, strict=True)]
    encoder = SongEncoder(CONFIG.replace(loss="binary_cross_entropy")).fit(images, labels)
    assert encoder.classes_.tolist() == ["blues", "calm", "jazz", "rock", "wild"]
    others, genre, mood = pictures(100, seed=1)
    probability = encoder.predict_proba(others)
    assert (probability[:, [0, 2, 3]].argmax(axis=1) == genre).mean() > 0.9
    assert ((probability[:, 4] > 0.5) == (mood == 1)).mean() > 0.9
    np.testing.assert_allclose(probability.sum(axis=1), 2, atol=0.6)


def test_standardising_by_training_leaves_out_what_validates(tmp_path) -> None:
    images, genre, _ = pictures(60)
    config = CONFIG.replace(standardise="training", validation_fraction=0.3, epochs=1)
    encoder = SongEncoder(config).fit(images, GENRES[genre])
    held_out = validation_split(genre, np.arange(60), 0.3, 0)
    rest = np.setdiff1d(np.arange(60), held_out)
    learned = encoder.torch_module().standardise
    assert learned.mean.item() == pytest.approx(images[rest].mean(), abs=1e-4)
    assert learned.deviation.item() == pytest.approx(images[rest].std(), abs=1e-4)
    encoder.save(tmp_path)
    np.testing.assert_array_equal(SongEncoder.load(tmp_path).embed(images), encoder.embed(images))


def test_each_row_is_standardised_by_what_trained(tmp_path) -> None:
    images, genre, _ = pictures(60)
    config = CONFIG.replace(standardise="rows", validation_fraction=0.3, epochs=1)
    encoder = SongEncoder(config).fit(images, GENRES[genre])
    rest = np.setdiff1d(np.arange(60), validation_split(genre, np.arange(60), 0.3, 0))
    learned = encoder.torch_module().standardise
    wanted = images[rest].mean(axis=(0, 3), dtype=np.float64)
    np.testing.assert_allclose(learned.mean[..., 0], wanted, atol=1e-4)
    np.testing.assert_allclose(learned.deviation[0, :, 0], images[rest].std((0, 1, 3)), atol=1e-4)
    encoder.save(tmp_path)
    np.testing.assert_array_equal(SongEncoder.load(tmp_path).embed(images), encoder.embed(images))


class TestWideImages:
    @pytest.mark.slow
    def test_training_sees_windows_and_embedding_is_their_mean(self) -> None:
        images, genre, _ = pictures(120, width=80)
        config = CONFIG.replace(window=32, epochs=15)
        encoder = SongEncoder(config).fit(images, GENRES[genre])
        assert encoder.image_shape_ == (1, 24, 32)
        wide, wanted, _ = pictures(60, seed=1, width=80)
        assert accuracy(encoder, wide, GENRES[wanted]) > 0.9
        # (80 - 32) / 16 = 3, so four windows from 0 to 48.
        parts = [
            encoder.embed(np.ascontiguousarray(wide[..., s : s + 32])) for s in (0, 16, 32, 48)
        ]
        np.testing.assert_allclose(encoder.embed(wide), np.mean(parts, axis=0), atol=1e-5)
        with pytest.raises(InvalidArgumentError, match=r"images are \(1, 24, 20\)"):
            encoder.embed(wide[..., :20])

    def test_images_narrower_than_the_window_are_seen_whole(self) -> None:
        images, genre, _ = pictures(30)
        encoder = SongEncoder(CONFIG.replace(window=64, epochs=1)).fit(images, GENRES[genre])
        assert encoder.image_shape_ == (1, 24, 32)


class TestRecipes:
    def test_the_modern_one_learns_pictures_of_its_size(self) -> None:
        settings = EncoderConfig.recipe("modern")
        shape = (1, settings.hyperimage.height, settings.hyperimage.width)
        assert settings.window is not None
        assert settings.hyperimage.width > settings.window
        rng = np.random.default_rng(0)
        images = rng.uniform(size=(6, *shape)).astype(np.float32)
        images[::2, :, :20] += 1
        config = EncoderConfig.recipe("modern", epochs=1, threads=1, batch_size=4)
        encoder = SongEncoder(config).fit(images, ["low", "high"] * 3)
        assert encoder.embed(images).shape == (6, 192)
        assert np.isfinite(encoder.embed(images)).all()

    def test_settings_of_a_recipe_can_be_replaced(self) -> None:
        assert EncoderConfig.recipe("patent") == EncoderConfig()
        changed = EncoderConfig.recipe("modern", epochs=3, seed=5)
        assert (changed.epochs, changed.seed) == (3, 5)
        assert changed.architecture == EncoderConfig.recipe("modern").architecture

    def test_an_unknown_recipe(self) -> None:
        with pytest.raises(InvalidArgumentError, match="patent, modern, not 'baroque'"):
            EncoderConfig.recipe("baroque")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> object:
    images, genre, _ = pictures(200)
    folder = tmp_path_factory.mktemp("encoder")
    SongEncoder(CONFIG).fit(images, GENRES[genre]).save(folder)
    return folder


class TestFineTuning:
    @pytest.mark.slow
    def test_a_new_class_is_learned_and_the_old_ones_are_kept(self, trained) -> None:
        encoder = SongEncoder.load(trained)
        images, genre, _ = pictures(200, seed=3, genres=4)
        names = np.append(GENRES, "ska")[genre]
        # As in practice: many songs of the new genre, and a few of the old ones.
        some = np.flatnonzero((genre == 3) | (np.arange(200) % 10 == 0))
        encoder.fine_tune(images[some], names[some], epochs=20, learning_rate=5e-3)
        assert encoder.classes_.tolist() == ["blues", "jazz", "rock", "ska"]
        test, genre, _ = pictures(150, seed=4, genres=4)
        wanted = np.append(GENRES, "ska")[genre]
        new = genre == 3
        assert accuracy(encoder, test[new], wanted[new]) > 0.85
        assert accuracy(encoder, test[~new], wanted[~new]) > 0.85
        epochs = [record["epoch"] for record in encoder.history_]
        assert epochs == list(range(1, 31))

    @pytest.mark.slow
    def test_keeping_forgets_less(self, trained) -> None:
        images, _, _ = pictures(40, seed=5)
        test, genre, _ = pictures(200, seed=6)
        left = {}
        for keep in (0.0, 3.0):
            encoder = SongEncoder.load(trained)
            # Nothing of the old classes is among the new images.
            encoder.fine_tune(images, ["ska", "dub"] * 20, epochs=20, learning_rate=0.01, keep=keep)
            old = encoder.predict_proba(test)[:, :3]
            left[keep] = (old.argmax(axis=1) == genre).mean()
        assert left[3.0] > 0.9
        assert left[3.0] > left[0.0] + 0.05

    @pytest.mark.slow
    def test_several_values_at_once_are_kept_too(self) -> None:
        images, genre, mood = pictures(200)
        labels = [f"{GENRES[g]};{MOODS[m]}" for g, m in zip(genre, mood, strict=True)]
        encoder = SongEncoder(CONFIG.replace(loss="binary_cross_entropy")).fit(images, labels)
        more = pictures(40, seed=5)[0]
        encoder.fine_tune(more, ["ska", "dub"] * 20, epochs=15, learning_rate=0.01, keep=3)
        test, genre, mood = pictures(100, seed=6)
        probability = encoder.predict_proba(test)
        assert encoder.classes_.tolist() == ["blues", "calm", "jazz", "rock", "wild", "dub", "ska"]
        assert (probability[:, [0, 2, 3]].argmax(axis=1) == genre).mean() > 0.85
        assert ((probability[:, 4] > 0.5) == (mood == 1)).mean() > 0.85

    @pytest.mark.slow
    def test_one_more_recording(self, trained) -> None:
        before = SongEncoder.load(trained)
        images, genre, _ = pictures(60, seed=7)
        encoder = SongEncoder.load(trained).fine_tune(images[:1], [GENRES[genre[0]]], epochs=3)
        assert encoder.classes_.tolist() == before.classes_.tolist()
        assert (
            accuracy(encoder, images, GENRES[genre])
            >= accuracy(before, images, GENRES[genre]) - 0.05
        )
        assert encoder.digest() != before.digest()

    def test_what_cannot_be_fine_tuned(self, trained) -> None:
        with pytest.raises(NotFittedError):
            SongEncoder(CONFIG).fine_tune(pictures(4)[0], list("abab"))
        with pytest.raises(InvalidArgumentError, match="trained on"):
            SongEncoder.load(trained).fine_tune(pictures(4, width=40)[0], list("abab"))


class TestDevices:
    @pytest.mark.slow
    def test_two_processes_give_what_one_gives(self) -> None:
        images, genre, _ = pictures(64)
        config = CONFIG.replace(epochs=2, accelerator="cpu")
        one = SongEncoder(config).fit(images, GENRES[genre])
        two = SongEncoder(config.replace(devices=2)).fit(images, GENRES[genre])
        for first, second in zip(one.history_, two.history_, strict=True):
            assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
        np.testing.assert_allclose(one.embed(images), two.embed(images), atol=1e-3)

    def test_mixed_precision_learns(self) -> None:
        images, genre, _ = pictures(120)
        encoder = SongEncoder(CONFIG.replace(precision="bf16-mixed")).fit(images, GENRES[genre])
        assert accuracy(encoder, *[pictures(60, seed=1)[0], GENRES[pictures(60, seed=1)[1]]]) > 0.85

    def test_a_device_that_is_not_there(self) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        config = CONFIG.replace(accelerator="cuda")
        assert inference_device(config).type == "cpu"
        with pytest.raises(InvalidArgumentError, match="accelerator 'cuda' with 1 devices"):
            SongEncoder(config).fit(pictures(8)[0], list("abababab"))


def test_an_encoder_of_an_earlier_format_is_refused(tmp_path) -> None:
    import json

    from embedding.network import storage

    images, genre, _ = pictures(20)
    SongEncoder(CONFIG.replace(epochs=1)).fit(images, GENRES[genre]).save(tmp_path)
    path = tmp_path / storage.ENCODER_MANIFEST
    manifest = json.loads(path.read_text())
    manifest["format_version"] = 1
    manifest["sha256"] = storage._digest_of(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="train it again"):
        SongEncoder.load(tmp_path)


def test_augmented_training_is_the_same_twice() -> None:
    images, genre, _ = pictures(40)
    config = CONFIG.replace(
        epochs=2, augmentation=AugmentationConfig(mixup=0.4, time_mask=0.3, row_mask=0.2)
    )
    first, again = (SongEncoder(config).fit(images, GENRES[genre]) for _ in range(2))
    assert first.digest() == again.digest()
