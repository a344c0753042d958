"""SongEncoder on small made-up pictures: a class is a bright row, so it can be learned quickly."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import ArtifactError, AudioError, InvalidArgumentError, NotFittedError
from embedding import (
    AugmentationConfig,
    EncoderConfig,
    HyperImageConfig,
    SnippetConfig,
    SongEncoder,
)
from embedding.encoders import LearnedPlays
from embedding.encoders.songs import mean_by_recording
from embedding.network import checkpoints, storage, training
from embedding.network.targets import clean_labels, validation_split
from tests.helpers.encoders import saved_again_without_pytorch

CONFIG = EncoderConfig(
    architecture="IC(2,5,8)LPC(1,3,8)LPF(24)F(12)O",
    epochs=8,
    batch_size=16,
    validation_fraction=0.2,
    threads=1,
)


def pictures(n: int, seed: int = 0, shape: tuple[int, int, int] = (1, 24, 32)) -> tuple:
    """Noise with a bright stripe whose place tells the class: images, labels, groups."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, *shape)).astype(np.float32)
    classes = rng.integers(0, 3, n)
    for image, label in zip(images, classes, strict=True):
        image[:, 4 + 7 * label] += 2
    labels = np.array(["blues", "jazz", "rock"])[classes]
    return images, labels, np.array([f"artist {k}" for k in rng.integers(0, n // 4 + 1, n)])


@pytest.fixture(scope="module")
def fitted() -> SongEncoder:
    images, labels, groups = pictures(150)
    return SongEncoder(CONFIG).fit(images, labels, groups)


@pytest.mark.slow
def test_it_learns_what_can_be_learned(fitted: SongEncoder) -> None:
    images, labels, _ = pictures(90, seed=1)
    assert fitted.classes_.tolist() == ["blues", "jazz", "rock"]
    found = fitted.classes_[fitted.predict_proba(images).argmax(axis=1)]
    assert (found == labels).mean() > 0.9


@pytest.mark.slow
def test_embeddings_and_probabilities_have_their_shapes(fitted: SongEncoder) -> None:
    images = pictures(300, seed=2)[0]  # more than one batch
    embeddings, probabilities = fitted.embed(images), fitted.predict_proba(images)
    assert embeddings.shape == (300, 12)
    assert embeddings.dtype == np.float32
    assert fitted.dimension == 12
    assert probabilities.shape == (300, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embeddings[290:], fitted.embed(images[290:]), atol=1e-5)
    assert fitted.embed(images[:0]).shape == (0, 12)


@pytest.mark.slow
def test_the_default_embedding_has_192_dimensions() -> None:
    images, labels, _ = pictures(12, shape=(1, 48, 40))
    encoder = SongEncoder(EncoderConfig(epochs=1, threads=1)).fit(images, labels)
    assert encoder.embed(images).shape == (12, 192)


@pytest.mark.slow
def test_history_tells_each_epoch(fitted: SongEncoder) -> None:
    assert [record["epoch"] for record in fitted.history_] == list(range(1, 9))
    for record in fitted.history_:
        assert set(record) == {
            "epoch",
            "loss",
            "accuracy",
            "validation_loss",
            "validation_accuracy",
            "seconds",
        }
    assert fitted.history_[-1]["loss"] < fitted.history_[0]["loss"]


def test_the_epoch_with_the_best_validation_accuracy_is_kept() -> None:
    images, labels, groups = pictures(60)
    config = CONFIG.replace(epochs=12, learning_rate=0.05, patience=3)
    encoder = SongEncoder(config).fit(images, labels, groups)
    accuracies = [record["validation_accuracy"] for record in encoder.history_]
    held_out = validation_split(
        np.unique(labels, return_inverse=True)[1], groups, config.validation_fraction, config.seed
    )
    found = encoder.classes_[encoder.predict_proba(images[held_out]).argmax(axis=1)]
    assert (found == labels[held_out]).mean() == max(accuracies)
    # Three epochs without a better one end the training.
    assert len(accuracies) <= accuracies.index(max(accuracies)) + 12


@pytest.mark.slow
def test_the_same_seed_gives_the_same_encoder_and_another_another() -> None:
    images, labels, groups = pictures(60)
    config = CONFIG.replace(epochs=2)
    first, again, other = (
        SongEncoder(config.replace(seed=seed)).fit(images, labels, groups) for seed in (1, 1, 2)
    )
    assert first.digest() == again.digest()
    np.testing.assert_array_equal(first.embed(images), again.embed(images))
    assert (first.embed(images) != other.embed(images)).any()


def test_a_second_fit_starts_anew() -> None:
    images, labels, groups = pictures(60)
    config = CONFIG.replace(epochs=2)
    once = SongEncoder(config).fit(images, labels, groups)
    twice = SongEncoder(config).fit(images, labels, groups).fit(images, labels, groups)
    assert once.digest() == twice.digest()


class TestOddCases:
    def fit(self, images, labels, groups=None, **settings) -> SongEncoder:
        return SongEncoder(CONFIG.replace(epochs=2, **settings)).fit(images, labels, groups)

    def test_rows_without_a_label_are_not_used(self) -> None:
        images, labels, groups = pictures(60)
        some = labels.astype(object)
        some[::3], some[1::9], some[2::9] = "", None, np.nan
        known = clean_labels(some, 60) != ""
        left_out = self.fit(images[known], labels[known], groups[known])
        assert self.fit(images, some, groups).digest() == left_out.digest()

    def test_labels_may_be_a_series(self) -> None:
        images, labels, groups = pictures(30)
        series = pd.Series(labels, index=range(100, 130))
        encoder = self.fit(images, series, pd.Series(groups, index=range(30, 60)))
        assert encoder.digest() == self.fit(images, labels, groups).digest()

    def test_a_class_of_one_image(self) -> None:
        images, labels, groups = pictures(40)
        labels = labels.astype(object)
        labels[7] = "polka"
        assert "polka" in self.fit(images, labels, groups).classes_

    def test_fewer_images_than_a_batch_and_fewer_than_can_be_held_out(self) -> None:
        images = pictures(2)[0]
        encoder = self.fit(images, ["a", "b"])
        assert encoder.predict_proba(images).shape == (2, 2)
        assert "validation_loss" not in encoder.history_[0]

    def test_one_class_or_none_is_an_error(self) -> None:
        images = pictures(10)[0]
        with pytest.raises(InvalidArgumentError, match=r"two values of 'genre'.*only 'jazz'"):
            self.fit(images, ["jazz"] * 9 + [""])
        with pytest.raises(InvalidArgumentError, match="there is none"):
            self.fit(images, [""] * 10)

    def test_a_constant_row_of_pixels_does_no_harm(self) -> None:
        images, labels, _ = pictures(40)
        images[:, :, 3] = 0.25
        encoder = self.fit(images, labels)
        other = images.copy()
        other[:, :, 3] = 0.3
        assert np.abs(encoder.embed(images) - encoder.embed(other)).max() < 10

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_no_numbers_name_the_row(self, fitted, bad: float) -> None:
        images, labels, _ = pictures(40)
        images[33, 0, 5, 5] = bad
        for use in (lambda: self.fit(images, labels), lambda: fitted.embed(images)):
            with pytest.raises(InvalidArgumentError, match="row 33"):
                use()

    def test_numbers_that_do_not_match_are_errors(self, fitted: SongEncoder) -> None:
        images, labels, _ = pictures(40)
        with pytest.raises(InvalidArgumentError, match="labels: expected 40"):
            self.fit(images, labels[:-1])
        with pytest.raises(InvalidArgumentError, match="groups: expected 40"):
            self.fit(images, labels, [1, 2])
        with pytest.raises(InvalidArgumentError, match="channels, height, width"):
            self.fit(images[:, 0], labels)
        with pytest.raises(InvalidArgumentError, match="trained on"):
            fitted.embed(images[:, :, :, :-1])
        with pytest.raises(InvalidArgumentError, match="too small"):
            self.fit(images[:, :, :2], labels)

    def test_a_learning_rate_that_explodes_is_reported(self) -> None:
        images, labels, _ = pictures(60)
        with pytest.raises(InvalidArgumentError, match="diverged"):
            self.fit(1e3 * images, labels, learning_rate=1e30)

    def test_before_fit_nothing_works(self, tmp_path: Path) -> None:
        encoder = SongEncoder(CONFIG)
        for use in (
            lambda: encoder.embed(pictures(2)[0]),
            lambda: encoder.predict_proba(pictures(2)[0]),
            lambda: encoder.embed_files([]),
            lambda: encoder.save(tmp_path),
            encoder.digest,
        ):
            with pytest.raises(NotFittedError):
                use()

    def test_a_wrong_architecture_is_found_before_training(self) -> None:
        with pytest.raises(InvalidArgumentError, match="character 2"):
            SongEncoder(CONFIG.replace(architecture="IX"))


MODERN = CONFIG.replace(
    architecture="IC(1,3,8)BP(2,2)C(1,3,8)BGD(20)F(12)O",
    optimiser="adamw",
    learning_rate=3e-3,
    warmup=0.2,
    weight_decay=0.01,
    label_smoothing=0.1,
    averaging=0.9,
    standardise="training",
    augmentation=AugmentationConfig(equaliser=0.2, time_mask=0.2, row_mask=0.1, masks=2, mixup=0.3),
    window=16,
)


class TestCheckpoint:
    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [CONFIG, MODERN], ids=["patent", "modern"])
    def test_resumed_training_gives_the_same_losses(
        self, tmp_path: Path, monkeypatch, kind: EncoderConfig
    ) -> None:
        images, labels, groups = pictures(60)
        config = kind.replace(epochs=7)
        undisturbed = SongEncoder(config).fit(images, labels, groups)

        class PowerCut(Exception):  # noqa: N818
            pass

        one_epoch = training._TrainingRun.epoch

        def failing(run, epoch):
            if epoch == 6:
                raise PowerCut
            one_epoch(run, epoch)

        monkeypatch.setattr(training._TrainingRun, "epoch", failing)
        with pytest.raises(PowerCut):
            SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        epochs = []
        monkeypatch.setattr(
            training._TrainingRun,
            "epoch",
            lambda run, epoch: epochs.append(epoch) or one_epoch(run, epoch),
        )
        resumed = SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        assert epochs == [5, 6]  # a checkpoint after five epochs
        assert resumed.digest() == undisturbed.digest()
        for ours, theirs in zip(resumed.history_, undisturbed.history_, strict=True):
            assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}

    @pytest.mark.slow
    def test_a_killed_process_is_resumed(self, tmp_path: Path) -> None:
        config = CONFIG.replace(epochs=15, patience=15)
        images, labels = pictures(20)[0], ["a", "b"] * 10
        np.save(tmp_path / "images.npy", images)
        code = (
            "import sys, time\n"
            "from pathlib import Path\n"
            "import numpy as np\n"
            "from embedding import EncoderConfig, SongEncoder\n"
            "from embedding.network import training\n"
            "one_epoch = training._TrainingRun.epoch\n"
            "def epoch(run, number):\n"
            "    if number == 12:\n"
            "        time.sleep(3600)  # until it is killed\n"
            "    one_epoch(run, number)\n"
            "training._TrainingRun.epoch = epoch\n"
            "config = EncoderConfig.model_validate_json(sys.argv[1])\n"
            "images = np.load(sys.argv[2])\n"
            "SongEncoder(config).fit(images, ['a', 'b'] * 10, checkpoint=Path(sys.argv[3]))\n"
        )
        arguments = [config.model_dump_json(), str(tmp_path / "images.npy"), str(tmp_path)]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=Path(__file__).parents[3]
        )
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("training-*.safetensors")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        process.wait()
        (path,) = tmp_path.glob("training-*.safetensors")
        state = checkpoints.read_checkpoint(tmp_path, path.stem.removeprefix("training-"))
        assert state is not None
        assert 5 <= len(state.history) < 12
        resumed = SongEncoder(config).fit(images, labels, checkpoint=tmp_path)
        undisturbed = SongEncoder(config).fit(images, labels)
        assert [record["loss"] for record in resumed.history_] == [
            record["loss"] for record in undisturbed.history_
        ]
        assert resumed.digest() == undisturbed.digest()

    def test_a_finished_training_is_there_at_once(self, tmp_path: Path, monkeypatch) -> None:
        images, labels, groups = pictures(60)
        config = CONFIG.replace(epochs=7)
        first = SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        monkeypatch.setattr(training._TrainingRun, "epoch", None)
        again = SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        assert again.digest() == first.digest()
        assert again.history_ == first.history_

    def test_a_folder_keeps_the_latest_trainings(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(checkpoints, "KEPT", 3)
        for number in range(5):
            checkpoints.write_checkpoint(
                tmp_path, f"training {number}", checkpoints.TrainingState()
            )
            os.utime(checkpoints._path(tmp_path, f"training {number}"), (number, number))
        kept = [
            checkpoints.read_checkpoint(tmp_path, f"training {n}") is not None for n in range(5)
        ]
        assert kept == [False, False, True, True, True]

    @pytest.mark.slow
    def test_other_data_or_settings_do_not_resume(self, tmp_path: Path) -> None:
        images, labels, groups = pictures(60)
        config = CONFIG.replace(epochs=5)
        SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        for change in (
            lambda: (config.replace(seed=1), images, labels),
            lambda: (config, images + 0.5, labels),
            lambda: (config, images, labels[::-1]),
        ):
            settings, other_images, other_labels = change()
            resumed = SongEncoder(settings).fit(
                other_images, other_labels, groups, checkpoint=tmp_path
            )
            alone = SongEncoder(settings).fit(other_images, other_labels, groups)
            assert resumed.digest() == alone.digest()

    def test_a_damaged_checkpoint_is_not_used(self, tmp_path: Path) -> None:
        images, labels, groups = pictures(60)
        config = CONFIG.replace(epochs=5)
        first = SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        (path,) = tmp_path.glob("training-*.safetensors")
        path.write_bytes(path.read_bytes()[:500])
        again = SongEncoder(config).fit(images, labels, groups, checkpoint=tmp_path)
        assert again.digest() == first.digest()


class TestSaved:
    def test_the_loaded_encoder_is_the_same_to_the_bit(self, fitted, tmp_path: Path) -> None:
        fitted.save(tmp_path / "encoder")
        loaded = SongEncoder.load(tmp_path / "encoder")
        images = pictures(20, seed=3)[0]
        np.testing.assert_array_equal(loaded.embed(images), fitted.embed(images))
        np.testing.assert_array_equal(loaded.predict_proba(images), fitted.predict_proba(images))
        assert loaded.digest() == fitted.digest()
        assert loaded.classes_.tolist() == fitted.classes_.tolist()
        assert loaded.history_ == fitted.history_
        assert loaded.config == fitted.config

    def test_it_holds_json_and_safetensors_alone(self, fitted, tmp_path: Path) -> None:
        fitted.save(tmp_path)
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}

    def test_saving_again_replaces(self, fitted: SongEncoder, tmp_path: Path) -> None:
        images, labels, groups = pictures(60)
        other = SongEncoder(CONFIG.replace(epochs=1)).fit(images, labels, groups)
        other.save(tmp_path)
        fitted.save(tmp_path)
        assert SongEncoder.load(tmp_path).digest() == fitted.digest()
        assert len(list(tmp_path.iterdir())) == 2
        fitted.save(tmp_path)
        assert SongEncoder.load(tmp_path).digest() == fitted.digest()

    def test_an_interrupted_save_leaves_the_old_encoder(
        self, fitted, tmp_path: Path, monkeypatch
    ) -> None:
        images, labels, groups = pictures(60)
        other = SongEncoder(CONFIG.replace(epochs=1)).fit(images, labels, groups)
        other.save(tmp_path)

        def power_cut(*_args):
            raise KeyboardInterrupt

        monkeypatch.setattr(storage, "write_text", power_cut)
        with pytest.raises(KeyboardInterrupt):
            fitted.save(tmp_path)
        assert SongEncoder.load(tmp_path).digest() == other.digest()

    @pytest.mark.parametrize("name", ["encoder.json", "weights"])
    def test_a_changed_byte_is_noticed(self, fitted, tmp_path: Path, name: str) -> None:
        fitted.save(tmp_path)
        (path,) = tmp_path.glob(f"{name}*")
        content = path.read_bytes()
        for place in range(5, len(content), len(content) // 7):
            changed = bytearray(content)
            changed[place] ^= 4
            path.write_bytes(changed)
            with pytest.raises(ArtifactError):
                SongEncoder.load(tmp_path)

    @pytest.mark.parametrize("name", ["encoder.json", "weights"])
    def test_a_missing_file_is_named(self, fitted, tmp_path: Path, name: str) -> None:
        fitted.save(tmp_path)
        (path,) = tmp_path.glob(f"{name}*")
        path.unlink()
        with pytest.raises(ArtifactError, match=path.name):
            SongEncoder.load(tmp_path)

    def test_a_newer_format_says_so(self, fitted: SongEncoder, tmp_path: Path) -> None:
        fitted.save(tmp_path)
        path = tmp_path / "encoder.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "format_version": 99}))
        with pytest.raises(ArtifactError, match=r"format 99 is newer.*update"):
            SongEncoder.load(tmp_path)

    @pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"kind": "something"}'])
    def test_something_else_is_not_an_encoder(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "encoder.json").write_text(content)
        with pytest.raises(ArtifactError, match="encoder"):
            SongEncoder.load(tmp_path)

    def test_a_folder_that_cannot_be_written_is_an_error(self, fitted, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ArtifactError, match="cannot be written"):
            fitted.save(tmp_path / "file" / "folder")


class TestFiles:
    @pytest.fixture
    def encoder(self) -> SongEncoder:
        config = CONFIG.replace(
            epochs=1,
            snippet=SnippetConfig(seconds=1, count=2),
            hyperimage=HyperImageConfig(width=64),
        )
        images = np.random.default_rng(0).random((20, 1, 128, 64), dtype=np.float32)
        return SongEncoder(config).fit(images, ["a", "b"] * 10)

    def test_a_recording_is_the_mean_of_its_snippets(self, encoder, recording) -> None:
        from embedding.hyperimage.extraction import extract

        songs = [recording("one.wav", seed=1), recording("two.wav", seed=2, pitch=700)]
        images = extract(songs, encoder.config.snippet, encoder.config.hyperimage).images
        each = encoder.embed(images)
        expected = [each[:2].mean(axis=0), each[2:].mean(axis=0)]
        np.testing.assert_allclose(encoder.embed_files(songs), expected, atol=1e-4)

    def test_a_bad_recording_is_raised_or_skipped(self, encoder, recording, tmp_path) -> None:
        songs = [recording("one.wav"), tmp_path / "missing.wav"]
        with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
            encoder.embed_files(songs)
        with pytest.warns(UserWarning, match=r"missing\.wav: no such file"):
            vectors = encoder.embed_files(songs, on_error="skip")
        assert vectors.shape == (2, 12)
        assert np.isfinite(vectors[0]).all()
        assert np.isnan(vectors[1]).all()
        with pytest.raises(InvalidArgumentError, match="on_error"):
            encoder.embed_files(songs, on_error="ignore")

    def test_no_recordings(self, encoder: SongEncoder) -> None:
        assert encoder.embed_files([]).shape == (0, 12)


def test_mean_by_recording() -> None:
    vectors = np.array([[1, 2], [3, 6], [5, 5]], dtype=np.float32)
    means = mean_by_recording(vectors, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means[[0, 2]], [[2, 4], [5, 5]])
    assert np.isnan(means[1]).all()


def test_importing_the_package_costs_next_to_nothing() -> None:
    # Processor time, which other programs on the machine do not lengthen.
    code = (
        "import sys, time; start = time.process_time(); import embedding\n"
        "took = time.process_time() - start\n"
        "assert dir(embedding) == embedding.__all__ != []\n"
        "heavy = {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'{took} s, {heavy}' if took > 0.1 or heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        "embedding import AugmentationConfig, EncoderConfig, HyperImageConfig, SnippetConfig",
        "embedding import SongEncoder",
        "embedding.audio import MicrophoneConfig, load_snippets",
        "embedding.hyperimage import Band, extract, prune",
        "embedding.network import parse",
    ],
)
def test_names_are_imported_without_what_they_need_later(names: str) -> None:
    code = (
        f"import sys; from {names}\n"
        "heavy = {'torch', 'librosa', 'matplotlib', 'sklearn', 'numba'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_encoder_is_opened_and_saved_without_pytorch(
    fitted: SongEncoder, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "encoder")
    assert saved_again_without_pytorch(tmp_path / "encoder", tmp_path / "again") == fitted.digest()
    again = SongEncoder.load(tmp_path / "again")
    images = pictures(3)[0]
    np.testing.assert_array_equal(again.embed(images), fitted.embed(images))


def test_an_unknown_name_is_an_attribute_error() -> None:
    import embedding

    with pytest.raises(AttributeError, match="SongDecoder"):
        embedding.SongDecoder  # noqa: B018


def tasteful_songs(n: int, seed: int = 0) -> tuple:
    images, labels, _ = pictures(n, seed)
    early = np.random.default_rng([seed, 1]).random(n) < 0.5
    images[early, :, :, 3:6] += 2
    images[~early, :, :, 26:29] += 2
    taste = np.where(early[:, None], [1.0, 0.5, 0], [-0.5, 1.0, 0]).astype(np.float32)
    taste[::5] = np.nan
    return images, labels, early, taste


@pytest.fixture(scope="module")
def tasteful() -> SongEncoder:
    images, labels, _, taste = tasteful_songs(150)
    learned = LearnedPlays([f"s{n}" for n in range(150) if n % 5])
    config = CONFIG.replace(validation_fraction=0.0)
    return SongEncoder(config).fit(images, labels, taste=taste, learned_plays=learned)


class TestTaste:
    """The labels say nothing of where the bright column is; the collaborative vectors do."""

    @pytest.mark.slow
    def test_it_is_predicted_beside_the_tags(self, tasteful: SongEncoder) -> None:
        images, labels, early, _ = tasteful_songs(90, seed=1)
        found = tasteful.predict_taste(images)
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(90), abs=1e-5)
        assert ((found @ [1, 0.5, 0] > found @ [-0.5, 1, 0]) == early).mean() > 0.9
        tags = tasteful.classes_[tasteful.predict_proba(images).argmax(axis=1)]
        assert (tags == labels).mean() > 0.8
        assert list(tasteful.heads_) == ["genre"]
        assert "taste in 3 dimensions" in repr(tasteful)

    @pytest.mark.slow
    def test_a_saved_one_knows_what_it_learned(self, tasteful: SongEncoder, tmp_path: Path) -> None:
        images, *_ = tasteful_songs(20, seed=1)
        tasteful.save(tmp_path)
        again = SongEncoder.load(tmp_path)
        np.testing.assert_array_equal(again.predict_taste(images), tasteful.predict_taste(images))
        assert again.digest() == tasteful.digest()
        assert again.learned_plays_.contains(["s0", "s1"]).tolist() == [False, True]
        assert again.summary()["songs_with_taste"] == 120

    @pytest.mark.slow
    def test_training_further_keeps_it(self, tasteful: SongEncoder, tmp_path: Path) -> None:
        images, labels, early, _ = tasteful_songs(60, seed=2)
        tasteful.save(tmp_path)
        tuned = SongEncoder.load(tmp_path).fine_tune(images, labels, epochs=2)
        found = tuned.predict_taste(images)
        assert ((found @ [1, 0.5, 0] > found @ [-0.5, 1, 0]) == early).mean() > 0.9
        assert tuned.learned_plays_ == tasteful.learned_plays_

    def test_of_weight_nought_it_is_not_learned(self) -> None:
        images, labels, _, taste = tasteful_songs(30)
        config = CONFIG.replace(epochs=1, taste_weight=0.0)
        encoder = SongEncoder(config).fit(images, labels, taste=taste)
        plain = SongEncoder(config).fit(images, labels)
        np.testing.assert_array_equal(encoder.embed(images), plain.embed(images))
        with pytest.raises(InvalidArgumentError, match="trained without taste"):
            encoder.predict_taste(images)


class TestCalibratedTraining:
    """Temperatures are learned on artists left out, whom the network then learns from as well."""

    CONFIG = CONFIG.replace(validation_fraction=0.0)

    def test_artists_are_left_out_and_then_learned(self, tmp_path: Path) -> None:
        images, labels, groups = pictures(240)
        encoder = SongEncoder(self.CONFIG).fit(images, labels, groups, calibrated=True)
        found = encoder.calibration_["genre"]
        assert 20 <= found.recordings == found.images <= 30  # a tenth of 240
        assert len(encoder.history_) == 9
        assert [record["epoch"] for record in encoder.history_] == list(range(1, 10))
        encoder.save(tmp_path)
        again = SongEncoder.load(tmp_path)
        assert again.calibration_ == encoder.calibration_
        np.testing.assert_array_equal(again.predict_proba(images), encoder.predict_proba(images))

    def test_too_few_artists_change_nothing(self) -> None:
        images, labels, groups = pictures(40)
        config = self.CONFIG.replace(epochs=1)
        encoder = SongEncoder(config).fit(images, labels, groups, calibrated=True)
        plain = SongEncoder(config).fit(images, labels, groups)
        assert encoder.calibration_ == {}
        assert encoder.digest() == plain.digest()

    @pytest.mark.parametrize("sequence", ["mean", "attention"])
    def test_few_recordings_calibrate_another_network(self, sequence: str) -> None:
        images, labels, groups = pictures(90)
        images, labels, groups = images.repeat(2, 0), labels.repeat(2), groups.repeat(2)
        recording = np.arange(90).repeat(2)
        config = self.CONFIG.replace(epochs=1, sequence=sequence)

        def fitted(*, calibrated: bool) -> SongEncoder:
            encoder = SongEncoder(config)
            return encoder.fit(images, labels, groups, recording=recording, calibrated=calibrated)

        encoder, plain = fitted(calibrated=True), fitted(calibrated=False)
        told = encoder.calibration_["genre"]
        assert 20 <= told.recordings <= 35
        vectors, scores = encoder.embed_recordings(images, recording)
        wanted, unsharpened = plain.embed_recordings(images, recording)
        np.testing.assert_array_equal(vectors, wanted)
        assert not np.array_equal(scores["genre"], unsharpened["genre"])
        assert len(encoder.history_) == 1

    def test_training_further_keeps_the_temperatures(self) -> None:
        images, labels, groups = pictures(240)
        config = self.CONFIG.replace(epochs=1)
        encoder = SongEncoder(config).fit(images, labels, groups, calibrated=True)
        told = encoder.calibration_
        assert encoder.fine_tune(images[:20], labels[:20], epochs=1).calibration_ == told

    def test_with_taste_and_checkpoints(self, tmp_path: Path) -> None:
        images, labels, _, taste = tasteful_songs(240)
        config = self.CONFIG.replace(epochs=2)

        def fitted() -> SongEncoder:
            encoder = SongEncoder(config)
            return encoder.fit(images, labels, taste=taste, calibrated=True, checkpoint=tmp_path)

        encoder = fitted()
        assert encoder.calibration_
        assert encoder.predict_taste(images).shape == (240, 3)
        assert fitted().digest() == encoder.digest()  # from both checkpoints
