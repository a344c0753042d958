"""FineTunedEncoder: heads on frozen and thawed encoders, their files, and bad input."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from datasets.errors import ArtifactError, DataWarning, InvalidArgumentError, NotFittedError
from embedding import (
    EncoderConfig,
    FineTunedEncoder,
    HeadConfig,
    SnippetConfig,
    SongEncoder,
    SoundStatistics,
)
from embedding.audio.front_end import WaveformFrontEnd
from embedding.encoders import LearnedPlays, load_encoder
from tests.helpers.encoders import saved_again_without_pytorch

QUICK = HeadConfig(dimension=8, epochs=4, thawed_epochs=2, threads=1, accelerator="cpu")


class Given:
    """An encoder whose vectors are its inputs."""

    front_end = WaveformFrontEnd(sample_rate=8000, window=1)
    heads_: dict = {}  # noqa: RUF012

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed_and_predict(self, inputs):
        return inputs, {}

    def digest(self) -> str:
        return "given"

    def save(self, folder) -> None:
        raise NotImplementedError


def songs(n: int, seed: int = 0, dimension: int = 6, noise: float = 0.5) -> tuple:
    """Vectors of three genres that two directions tell, with the artists' own noise."""
    rng = np.random.default_rng(seed)
    genre = np.arange(n) % 3
    artist = np.arange(n) // 6 * 3 + genre
    centres = 3 * np.eye(3, dimension)
    own = rng.normal(size=(artist.max() + 1, dimension))
    vectors = centres[genre] + noise * own[artist] + 0.5 * rng.normal(size=(n, dimension))
    return (
        vectors.astype(np.float32),
        np.array(["blues", "jazz", "rock"])[genre],
        np.array([f"artist {seed}-{number}" for number in artist]),
    )


def pictures(n: int, seed: int = 0) -> tuple:
    """Noise with a bright stripe whose place tells the class."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, 1, 24, 24)).astype(np.float32)
    for number, image in enumerate(images):
        image[:, 8 * (number % 3) : 8 * (number % 3) + 4] += 2
    return images, np.array(["blues", "jazz", "rock"])[np.arange(n) % 3]


@pytest.fixture(scope="module")
def network() -> SongEncoder:
    config = EncoderConfig(
        architecture="IC(2,5,4)BPC(1,3,4)BPF(8)O", epochs=1, threads=1, accelerator="cpu"
    )
    return SongEncoder(config).fit(*pictures(24))


class TestFrozen:
    def test_what_labels_tell_apart_is_told_of_artists_never_seen(self) -> None:
        vectors, labels, artists = songs(90)
        config = HeadConfig(dimension=16, epochs=20, learning_rate=0.01, batch_size=32, threads=1)
        tuned = FineTunedEncoder(Given(6), config).fit(vectors, labels, groups=artists)
        more, wanted, _ = songs(60, seed=1)
        found = tuned.classes_[tuned.predict_proba(more).argmax(axis=1)]
        assert (found == wanted).mean() > 0.9

    def test_taste_that_sound_tells_is_told_of_songs_never_seen(self) -> None:
        vectors = songs(90)[0]
        directions = np.random.default_rng(1).normal(size=(6, 4))
        taste = vectors @ directions
        taste[::7] = np.nan
        config = HeadConfig(dimension=16, epochs=30, learning_rate=0.01, batch_size=32, threads=1)
        tuned = FineTunedEncoder(Given(6), config).fit(vectors, taste=taste)
        more = songs(60, seed=1)[0]
        found, wanted = tuned.predict_taste(more), more @ directions
        cosine = (found * wanted).sum(axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosine.mean() > 0.8
        assert tuned.heads_ == {}
        assert tuned.embed_and_predict(more)[1] == {}
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)

    def test_the_embedding_is_the_vector_itself_and_the_learned_layer_of_the_same_length(
        self,
    ) -> None:
        vectors, labels, _ = songs(60)
        vectors[:, 5] = 0.1  # the same in all songs
        tuned = FineTunedEncoder(Given(6), QUICK).fit(vectors, labels)
        embedding = tuned.embed(vectors)
        assert embedding.shape == (60, 6 + 8)
        assert tuned.dimension == 14
        own = vectors[:, :5].astype(np.float64)
        standardised = (own - own.mean(axis=0)) / own.std(axis=0)
        np.testing.assert_allclose(embedding[:, :5], standardised, atol=1e-5)
        assert (embedding[:, 5] == 0).all()
        lengths = np.square(embedding[:, :6]).sum(axis=1), np.square(embedding[:, 6:]).sum(axis=1)
        assert lengths[0].mean() == pytest.approx(5, rel=1e-4)  # five standardised dimensions
        assert lengths[1].mean() == pytest.approx(5, rel=1e-4)
        alone = FineTunedEncoder(Given(6), QUICK.replace(skip=False)).fit(vectors, labels)
        ratio = embedding[:, 6:].sum() / alone.embed(vectors).sum()
        np.testing.assert_allclose(embedding[:, 6:], ratio * alone.embed(vectors), rtol=1e-4)

    def test_the_encoder_below_does_not_change(self, network: SongEncoder) -> None:
        before = network.digest()
        images, labels = pictures(24)
        tuned = FineTunedEncoder(network, QUICK).fit(images, labels)
        assert network.digest() == before
        own = network.embed(images)
        scale = np.where(own.std(axis=0) > 1e-6, own.std(axis=0), np.inf)
        np.testing.assert_allclose(
            tuned.embed(images)[:, :8], (own - own.mean(axis=0)) / scale, atol=1e-4
        )

    def test_any_encoder_will_do(self) -> None:
        images, labels = pictures(24)
        statistics = SoundStatistics().fit(images)
        tuned = FineTunedEncoder(statistics, QUICK).fit(images, labels)
        twice = FineTunedEncoder(tuned, QUICK).fit(images, labels)
        assert tuned.embed(images).shape == (24, statistics.dimension + 8)
        assert twice.embed(images).shape == (24, statistics.dimension + 16)
        assert twice.front_end == statistics.front_end

    def test_the_same_seed_gives_the_same_and_another_another(self) -> None:
        vectors, labels, _ = songs(30)
        one, same, other = (
            FineTunedEncoder(Given(6), QUICK.replace(seed=seed)).fit(vectors, labels)
            for seed in (1, 1, 2)
        )
        assert one.digest() == same.digest() != other.digest()
        assert (one.embed(vectors) == same.embed(vectors)).all()
        assert one.fit(vectors, labels).digest() == same.digest()  # from the start again

    def test_several_tags_and_unknown_values(self) -> None:
        vectors, labels, _ = songs(30)
        mood = np.array(["", "calm", "wild", None, np.nan] * 6, dtype=object)
        table = pd.DataFrame({"genre": labels, "mood": mood})
        tuned = FineTunedEncoder(Given(6), QUICK).fit(vectors, table)
        assert {tag: values.tolist() for tag, values in tuned.heads_.items()} == {
            "genre": ["blues", "jazz", "rock"],
            "mood": ["calm", "wild"],
        }
        for values in tuned.embed_and_predict(vectors)[1].values():
            np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
        only = FineTunedEncoder(Given(6), QUICK.replace(tags=("mood",))).fit(vectors, table)
        assert list(only.heads_) == ["mood"]
        assert (only.predict_proba(vectors) == only.predict_proba(vectors, "mood")).all()

    def test_songs_of_which_nothing_is_known_have_no_part(self) -> None:
        vectors, labels, artists = songs(30)
        taste = np.random.default_rng(0).normal(size=(30, 3))
        some = labels.astype(object)
        some[::3], taste[::2] = "", np.nan
        neither = np.arange(30) % 6 == 0
        taste[1] = 0  # no direction: unknown, as is NaN
        all_of_them = FineTunedEncoder(Given(6), QUICK).fit(vectors, some, taste, artists)
        rest = ~neither
        taste[1] = np.nan
        without = FineTunedEncoder(Given(6), QUICK).fit(
            vectors[rest], some[rest], taste[rest], artists[rest]
        )
        assert all_of_them.digest() == without.digest()

    def test_only_the_direction_of_taste_counts(self) -> None:
        vectors = songs(30)[0]
        taste = np.random.default_rng(0).normal(size=(30, 3))
        tuned = FineTunedEncoder(Given(6), QUICK).fit(vectors, taste=taste)
        larger = FineTunedEncoder(Given(6), QUICK).fit(vectors, taste=taste * 2.0**400)
        assert tuned.digest() == larger.digest()

    def test_several_values_a_song(self) -> None:
        vectors = songs(30)[0]
        labels = ["calm; loud", "calm", "loud"] * 10
        config = QUICK.replace(loss="binary_cross_entropy", tags=("mood",))
        tuned = FineTunedEncoder(Given(6), config).fit(vectors, labels)
        assert tuned.heads_["mood"].tolist() == ["calm", "loud"]
        assert ((tuned.predict_proba(vectors) > 0) & (tuned.predict_proba(vectors) < 1)).all()

    def test_the_epoch_with_the_lowest_validation_loss_is_kept(self) -> None:
        vectors, labels, artists = songs(60)
        rng = np.random.default_rng(0)
        labels = np.where(rng.random(60) < 0.5, labels, rng.permutation(labels))
        config = HeadConfig(
            dimension=16, epochs=40, learning_rate=0.03, validation_fraction=0.3, patience=5,
            dropout=0, input_dropout=0, threads=1,
        )  # fmt: skip
        tuned = FineTunedEncoder(Given(6), config).fit(vectors, labels, groups=artists)
        losses = [record["validation_loss"] for record in tuned.history_]
        best = int(np.argmin(losses))
        assert len(losses) == min(40, best + 6) < 40
        # The schedule ends where the longer training was best: the weights are of that epoch.
        from embedding.network.targets import validation_split

        codes = np.unique(labels, return_inverse=True)[1]
        held = validation_split(codes, artists, 0.3, 0)
        assert tuned.calibration_  # learned on them; the loss is that without
        tuned.calibration_ = {}
        right = tuned.predict_proba(vectors[held])[np.arange(len(held)), codes[held]]
        assert -np.log(right).mean() == pytest.approx(min(losses), rel=1e-4)


class TestThawed:
    CONFIG = QUICK.replace(backbone="thawed")

    def test_a_copy_is_trained_and_the_encoder_given_stays(self, network: SongEncoder) -> None:
        images, labels = pictures(24)
        before = network.digest()
        tuned = FineTunedEncoder(network, self.CONFIG).fit(images, labels)
        assert network.digest() == before
        assert network.torch_module().heads[0].weight.requires_grad
        frozen = FineTunedEncoder(network, QUICK).fit(images, labels)
        own = tuned.embed(images)[:, :8], frozen.embed(images)[:, :8]
        assert np.abs(own[0] - own[1]).max() > 1e-4
        assert [record["epoch"] for record in tuned.history_] == list(range(1, 7))
        assert tuned.digest() != frozen.digest()

    def test_statistics_of_batch_normalisation_stay(self, network: SongEncoder) -> None:
        images, labels = pictures(24)
        tuned = FineTunedEncoder(network, self.CONFIG).fit(images, labels)
        before = dict(network.torch_module().named_buffers())
        after = dict(tuned._encoder_below().torch_module().named_buffers())  # type: ignore[attr-defined]
        assert any("running_mean" in name for name in before)
        for name, buffer in before.items():
            assert torch.equal(buffer, after[name])

    @pytest.mark.parametrize(("layers", "wanted"), [(1, {"trunk.9"}), (2, {"trunk.9", "trunk.5"})])
    def test_the_last_layers_alone(self, network: SongEncoder, layers: int, wanted: set) -> None:
        images, labels = pictures(24)
        config = self.CONFIG.replace(thawed_layers=layers)
        tuned = FineTunedEncoder(network, config).fit(images, labels)
        before = dict(network.torch_module().named_parameters())
        after = dict(tuned._encoder_below().torch_module().named_parameters())  # type: ignore[attr-defined]
        changed = {
            name.rpartition(".")[0]
            for name, parameter in before.items()
            if not torch.equal(parameter, after[name])
        }
        assert changed == wanted

    def test_deeper_layers_take_smaller_steps(self, network: SongEncoder) -> None:
        images, labels = pictures(24)
        config = self.CONFIG.replace(layer_decay=1e-3, thawed_epochs=1, batch_size=64)
        tuned = FineTunedEncoder(network, config).fit(images, labels)
        below = tuned._encoder_below().torch_module()  # type: ignore[attr-defined]
        before = dict(network.torch_module().named_parameters())
        steps = {
            name: (parameter - before[name]).abs().max().item()
            for name, parameter in below.named_parameters()
            if name.endswith("weight")
        }
        # The first step of Adam is the learning rate, whatever the gradient.
        assert steps["trunk.9.weight"] == pytest.approx(1e-4, rel=0.05)
        assert steps["trunk.5.weight"] == pytest.approx(1e-7, rel=0.5)
        assert steps["heads.0.weight"] == 0  # the encoder's own output is not used

    def test_windows_of_wider_images(self) -> None:
        images, labels = pictures(24)
        wide = np.concatenate([images, images], axis=3)
        config = EncoderConfig(
            architecture="IC(2,5,4)PF(8)O", epochs=1, threads=1, window=24, accelerator="cpu"
        )
        encoder = SongEncoder(config).fit(wide, labels)
        tuned = FineTunedEncoder(encoder, self.CONFIG).fit(wide, labels)
        assert tuned.embed(wide).shape == (24, 16)

    def test_same_seed_same_result(self, network: SongEncoder) -> None:
        images, labels = pictures(24)
        one, same = (FineTunedEncoder(network, self.CONFIG).fit(images, labels) for _ in range(2))
        assert one.digest() == same.digest()

    @pytest.mark.parametrize("kind", [Given(6), SoundStatistics()])
    def test_what_is_no_network_cannot_be_thawed(self, kind) -> None:
        with pytest.raises(InvalidArgumentError, match=f"{type(kind).__name__} cannot be thawed"):
            FineTunedEncoder(kind, self.CONFIG)


class TestCalibrated:
    @pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
    def test_probabilities_of_recordings_mean_what_they_say(self, loss: str) -> None:
        vectors, labels, artists = songs(240, noise=2.0)
        config = HeadConfig(
            dimension=16, epochs=10, learning_rate=0.01, label_smoothing=0.0, loss=loss, threads=1
        )
        song = np.arange(240) // 2
        artists = artists[song * 2]
        labels = labels[song * 2]
        plain = FineTunedEncoder(Given(6), config).fit(vectors, labels, groups=artists)
        tuned = FineTunedEncoder(Given(6), config).fit(
            vectors, labels, groups=artists, recording=song, calibrated=True
        )
        told = tuned.calibration_["genre"]
        assert told.recordings is not None
        assert 20 <= told.recordings == told.images // 2
        assert plain.calibration_ == {}
        assert (tuned.embed(vectors) == plain.embed(vectors)).all()
        p, before = tuned.predict_proba(vectors), plain.predict_proba(vectors)
        logits = np.log(before) if loss == "cross_entropy" else np.log(before / (1 - before))
        expected = np.exp(logits / told.temperature)
        if loss == "cross_entropy":
            expected /= expected.sum(axis=1, keepdims=True)
        else:
            expected /= 1 + expected
        assert p == pytest.approx(expected, abs=1e-4)

    def test_it_is_saved_and_said(self, network: SongEncoder, tmp_path: Path) -> None:
        images, labels = pictures(72)
        config = QUICK.replace(backbone="thawed", epochs=1, thawed_epochs=1)
        tuned = FineTunedEncoder(network, config).fit(images, labels, calibrated=True)
        assert tuned.summary()["calibration"]["genre"]["recordings"] >= 20
        tuned.save(tmp_path)
        again = load_encoder(tmp_path)
        assert again.calibration_ == tuned.calibration_
        assert again.digest() == tuned.digest()
        assert (again.predict_proba(images) == tuned.predict_proba(images)).all()

    def test_validation_teaches_it_and_too_few_artists_do_not(self) -> None:
        vectors, labels, artists = songs(120)
        config = QUICK.replace(validation_fraction=0.4, epochs=2)
        tuned = FineTunedEncoder(Given(6), config).fit(vectors, labels, groups=artists)
        assert tuned.calibration_["genre"].images > 20
        few = FineTunedEncoder(Given(6), QUICK.replace(epochs=1))
        assert (
            few.fit(vectors, labels, groups=np.arange(120) % 4, calibrated=True).calibration_ == {}
        )
        taste = few.untrained().fit(vectors, taste=vectors, calibrated=True)
        assert taste.calibration_ == {}


class TestFiles:
    @pytest.mark.parametrize("backbone", ["frozen", "thawed"])
    def test_a_saved_one_is_the_same_to_the_bit(
        self, network: SongEncoder, tmp_path: Path, backbone
    ) -> None:
        images, labels = pictures(24)
        taste = np.random.default_rng(0).normal(size=(24, 3))
        config = QUICK.replace(backbone=backbone)
        played = LearnedPlays(["a", "b"])
        tuned = FineTunedEncoder(network, config).fit(images, labels, taste, learned_plays=played)
        tuned.save(tmp_path / "first")
        saved_again_without_pytorch(tmp_path / "first", tmp_path / "encoder")
        again = load_encoder(tmp_path / "encoder")
        assert isinstance(again, FineTunedEncoder)
        assert again.digest() == tuned.digest()
        assert again.summary() == tuned.summary()
        assert again.learned_plays_ == played
        assert again.front_end == network.front_end
        assert (again.embed(images) == tuned.embed(images)).all()
        assert (again.predict_taste(images) == tuned.predict_taste(images)).all()
        for tag, values in tuned.embed_and_predict(images)[1].items():
            assert (again.embed_and_predict(images)[1][tag] == values).all()
        json.dumps(tuned.summary())

    def test_another_takes_its_place(self, network: SongEncoder, tmp_path: Path) -> None:
        images, labels = pictures(24)
        for encoder in (network, SoundStatistics().fit(images)):
            tuned = FineTunedEncoder(encoder, QUICK).fit(images, labels)
            tuned.save(tmp_path)
            assert load_encoder(tmp_path).digest() == tuned.digest()
        assert len(list(tmp_path.iterdir())) == 3  # manifest, weights, the encoder below

    def test_damage_is_found(self, network: SongEncoder, tmp_path: Path) -> None:
        images, labels = pictures(24)
        FineTunedEncoder(network, QUICK).fit(images, labels).save(tmp_path)
        (below,) = tmp_path.glob("backbone-*")
        other = SoundStatistics().fit(images)
        other.save(below)
        with pytest.raises(ArtifactError, match="not the encoder that the heads were trained on"):
            load_encoder(tmp_path)
        for path in below.iterdir():
            path.unlink()
        below.rmdir()
        with pytest.raises(ArtifactError, match="backbone-"):
            load_encoder(tmp_path)

    def test_another_kind_is_refused(self, network: SongEncoder, tmp_path: Path) -> None:
        network.save(tmp_path)
        with pytest.raises(ArtifactError, match="no fine-tuned encoder"):
            FineTunedEncoder.load(tmp_path)

    def test_nothing_is_saved_before_the_fit(self, network: SongEncoder, tmp_path: Path) -> None:
        tuned = FineTunedEncoder(network)
        for use in (lambda: tuned.save(tmp_path / "x"), tuned.digest, tuned.summary):
            with pytest.raises(NotFittedError):
                use()
        with pytest.raises(NotFittedError):
            tuned.embed(pictures(2)[0])
        assert not (tmp_path / "x").exists()


class TestOddInput:
    def fit(self, *arguments, **settings) -> FineTunedEncoder:
        return FineTunedEncoder(Given(6), QUICK.replace(**settings)).fit(*arguments)

    def test_a_value_of_one_artist_alone_is_learned_and_named(self) -> None:
        vectors, labels, artists = songs(60)
        labels = labels.astype(object)
        labels[artists == artists[0]] = "polka"
        with pytest.warns(DataWarning, match="genre 'polka': in one group"):
            tuned = self.fit(vectors, labels, None, artists)
        assert "polka" in tuned.classes_
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.fit(vectors, labels)  # without artists nothing is known of it
        held = FineTunedEncoder(Given(6), QUICK.replace(validation_fraction=0.3))
        with pytest.warns(DataWarning):
            held.fit(vectors, labels, groups=artists)
        assert "validation_loss" in held.history_[0]

    def test_one_class_or_none_is_an_error(self) -> None:
        vectors = songs(12)[0]
        for labels in (["jazz"] * 12, [""] * 12, {"genre": ["jazz"] * 6 + [None] * 6}):
            with pytest.raises(InvalidArgumentError, match="no tag has two values"):
                self.fit(vectors, labels)
        with pytest.raises(InvalidArgumentError, match="give labels or taste"):
            self.fit(vectors)

    def test_a_tag_of_one_class_is_left_out_beside_another(self) -> None:
        vectors, labels, _ = songs(12)
        with pytest.warns(DataWarning, match="'mood'"):
            tuned = self.fit(vectors, {"genre": labels, "mood": ["calm"] * 12})
        assert list(tuned.heads_) == ["genre"]

    def test_one_class_and_taste(self) -> None:
        vectors = songs(12)[0]
        with pytest.warns(DataWarning, match="'genre' not two values"):
            tuned = self.fit(vectors, ["jazz"] * 12, vectors)
        assert tuned.heads_ == {}
        assert tuned.taste_dimension_ == 6
        with pytest.raises(InvalidArgumentError, match="to tell no tags"):
            tuned.predict_proba(vectors)

    def test_taste_of_nobody(self) -> None:
        vectors, labels, _ = songs(12)
        with pytest.warns(DataWarning, match="no vector is known"):
            tuned = self.fit(vectors, labels, np.full((12, 4), np.nan))
        assert tuned.taste_dimension_ == 0
        with pytest.raises(InvalidArgumentError, match="without taste"):
            tuned.predict_taste(vectors)
        with (
            pytest.raises(InvalidArgumentError, match="no vector of taste is known"),
            pytest.warns(DataWarning),
        ):
            self.fit(vectors, None, np.full((12, 4), np.nan))

    def test_ten_played_songs(self) -> None:
        vectors, labels, _ = songs(60)
        taste = np.full((60, 16), np.nan, dtype=np.float32)
        taste[:10] = np.random.default_rng(0).normal(size=(10, 16))
        tuned = self.fit(vectors, labels, taste)
        assert np.isfinite(tuned.embed(vectors)).all()
        assert tuned.predict_taste(vectors).shape == (60, 16)

    def test_one_song(self) -> None:
        vectors = songs(1)[0]
        tuned = self.fit(vectors, None, vectors)
        assert np.isfinite(tuned.embed(vectors)).all()

    def test_no_songs_to_embed(self) -> None:
        vectors, labels, _ = songs(12)
        tuned = self.fit(vectors, labels)
        embeddings, probabilities = tuned.embed_and_predict(vectors[:0])
        assert embeddings.shape == (0, 14)
        assert probabilities["genre"].shape == (0, 3)

    def test_numbers_that_differ(self) -> None:
        vectors, labels, _ = songs(12)
        taste = np.ones((12, 2))
        for arguments, message in (
            ((vectors, labels[:11]), "labels of 'genre': expected 12"),
            ((vectors, {"mood": labels[:3]}), "labels of 'mood': expected 12"),
            ((vectors, labels, taste[:11]), "taste: expected 12"),
            ((vectors, labels, taste[:, 0]), "taste: expected 12"),
            ((vectors, labels, taste[:, :0]), "taste: expected 12"),
            ((vectors, labels, taste, ["x"]), "groups: expected 12"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                self.fit(*arguments)

    def test_values_that_are_no_numbers_name_the_row(self) -> None:
        vectors, labels, _ = songs(12)
        for bad in (np.nan, np.inf):
            wrong = vectors.copy()
            wrong[7, 2] = bad
            with pytest.raises(InvalidArgumentError, match="inputs, row 7"):
                self.fit(wrong, labels)
            with pytest.raises(InvalidArgumentError, match="inputs, row 7"):
                self.fit(vectors, labels).embed(wrong)
            taste = np.ones((12, 2))
            taste[3, 1] = bad
            with pytest.raises(InvalidArgumentError, match="taste, row 3"):
                self.fit(vectors, labels, taste)

    def test_an_encoder_below_that_returns_nonsense(self) -> None:
        vectors, labels, _ = songs(12)

        class Broken(Given):
            def embed_and_predict(self, inputs):
                return np.where(np.arange(len(inputs))[:, None] == 4, np.nan, inputs), {}

        with pytest.raises(InvalidArgumentError, match="vectors of the encoder below, row 4"):
            FineTunedEncoder(Broken(6), QUICK).fit(vectors, labels)
        with pytest.raises(InvalidArgumentError, match=r"must return \[12, 7\]"):
            FineTunedEncoder(Given(7), QUICK).fit(vectors, labels)

    def test_what_is_no_input_or_no_encoder(self) -> None:
        labels = songs(12)[1]
        for inputs in ([[1.0]], np.ones(12), np.array([["a"]] * 12), np.empty((0, 6))):
            with pytest.raises(InvalidArgumentError, match="inputs"):
                self.fit(inputs, labels)
        for encoder in ("musicnn", None, SongEncoder):
            with pytest.raises(InvalidArgumentError, match="backbone must be an encoder"):
                FineTunedEncoder(encoder)  # type: ignore[arg-type]
        with pytest.raises(NotFittedError):
            FineTunedEncoder(SongEncoder(), QUICK).fit(*pictures(6))

    def test_an_encoder_that_reads_a_recording_as_a_sequence(self) -> None:
        config = EncoderConfig(sequence="attention", snippet=SnippetConfig(count=3))
        with pytest.raises(InvalidArgumentError, match="reads the snippets of a recording as a"):
            FineTunedEncoder(SongEncoder(config), QUICK)
        # Where an image is a whole song, its vector is that of the song.
        one = config.replace(snippet=SnippetConfig())
        assert not FineTunedEncoder(SongEncoder(one), QUICK).is_fitted

    def test_labels_that_do_not_fit_the_tags(self) -> None:
        vectors, labels, _ = songs(12)
        with pytest.raises(InvalidArgumentError, match="2 tags"):
            self.fit(vectors, labels, tags=("genre", "mood"))
        with pytest.raises(InvalidArgumentError, match="'mood' are missing"):
            self.fit(vectors, {"genre": labels}, tags=("mood",))
        with pytest.raises(InvalidArgumentError, match="mapping"):
            self.fit(vectors, np.array([labels, labels]))
        with pytest.raises(InvalidArgumentError, match="different names"):
            QUICK.replace(tags=("genre", "genre"))

    def test_a_learning_rate_that_explodes_is_reported(self) -> None:
        vectors, labels, _ = songs(30)
        with pytest.raises(InvalidArgumentError, match="diverged"):
            self.fit(vectors, labels, learning_rate=1e30, epochs=20)
