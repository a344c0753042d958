"""Statistics of sound, in place of a network where there are no labels."""

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import ArtifactError, InvalidArgumentError, NotFittedError
from embedding import EncoderConfig, SongEncoder, SoundStatistics
from embedding.encoders.loading import load_encoder
from embedding.network.storage import save_encoder


@pytest.fixture
def images() -> np.ndarray:
    """Ten pictures, of which the odd ones are loud in their lower half."""
    rng = np.random.default_rng(5)
    pictures = rng.normal(size=(10, 1, 8, 12)).astype(np.float32)
    pictures[1::2, :, :4] += 3
    return pictures


def test_statistics_are_standardised_over_the_library(images: np.ndarray) -> None:
    vectors = SoundStatistics().fit(images).embed(images)
    assert vectors.dtype == np.float32
    assert vectors.shape == (10, 2 * 8 + 3 * 8)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(vectors.std(axis=0), 1, atol=1e-4)
    alike = vectors @ vectors.T
    assert (alike[0, 2::2] > alike[0, 1::2].max()).all()


def test_what_is_the_same_in_all_recordings_is_no_number_to_divide_by(images: np.ndarray) -> None:
    images[:, :, 7] = 0.25
    encoder = SoundStatistics().fit(images)
    assert np.isfinite(encoder.embed(images)).all()
    one = SoundStatistics().fit(images[:1])
    np.testing.assert_allclose(one.embed(images[:1]), 0, atol=1e-5)
    assert 0 < np.abs(one.embed(images[1:2])).max() < 20


def test_saved_and_loaded_it_is_the_same(images: np.ndarray, tmp_path: Path) -> None:
    encoder = SoundStatistics(EncoderConfig(seed=3)).fit(images)
    encoder.save(tmp_path / "encoder")
    for again in (
        SoundStatistics.load(tmp_path / "encoder"),
        load_encoder(tmp_path / "encoder"),
    ):
        np.testing.assert_array_equal(again.embed(images), encoder.embed(images))
        assert (again.digest(), again.config) == (encoder.digest(), encoder.config)
    assert SoundStatistics().fit(images[:9]).digest() != encoder.digest()
    with pytest.raises(ArtifactError, match="holds no network, but 'statistics' of sound"):
        SongEncoder.load(tmp_path / "encoder")


def test_a_damaged_one_does_not_load(images: np.ndarray, tmp_path: Path) -> None:
    encoder = SoundStatistics().fit(images)
    for name, weights in (
        ("few", {"mean": np.zeros(3, np.float32), "deviation": np.ones(3, np.float32)}),
        ("none", {"mean": np.zeros(40, np.float32)}),
        ("zero", {"mean": np.zeros(40, np.float32), "deviation": np.zeros(40, np.float32)}),
    ):
        save_encoder(tmp_path / name, encoder._document(), weights)
        with pytest.raises(ArtifactError, match="does not describe an encoder"):
            load_encoder(tmp_path / name)


def test_bad_images(images: np.ndarray, tmp_path: Path) -> None:
    encoder = SoundStatistics()
    for unfitted in (lambda: encoder.embed(images), lambda: encoder.save(tmp_path / "x")):
        with pytest.raises(NotFittedError, match="not fitted"):
            unfitted()
    with pytest.raises(InvalidArgumentError, match="no images"):
        encoder.fit(images[:0])
    encoder.fit(images)
    assert encoder.embed(images[:0]).shape == (0, 40)
    with pytest.raises(InvalidArgumentError, match=r"images are \(1, 8, 11\)"):
        encoder.embed(images[..., :11])
    images[4, 0, 0, 0] = np.nan
    with pytest.raises(InvalidArgumentError, match="row 4: contains NaN"):
        encoder.embed(images)
