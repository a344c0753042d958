"""Temperatures, and the expected calibration error against numbers worked out by hand."""

import numpy as np
import pytest

from embedding import EncoderConfig, SongEncoder
from embedding.network.calibration import (
    Calibration,
    calibrate,
    expected_calibration_error,
    sharpened,
)


def test_the_error_worked_out_by_hand():
    """Six predictions in three of fifteen bins."""
    confidence = np.array([0.95, 0.95, 0.95, 0.70, 0.70, 0.55])
    correct = np.array([1, 1, 0, 1, 0, 0])
    p = np.stack([confidence, 1 - confidence], axis=1)
    right = np.stack([correct, 1 - correct], axis=1)
    # (3 · |2/3 - .95| + 2 · |1/2 - .70| + |0 - .55|) / 6
    assert expected_calibration_error(p, right) == pytest.approx((0.85 + 0.4 + 0.55) / 6)
    # As pairs of image and class: .05, .30 and .45 count beside them, and miss as much.
    several = expected_calibration_error(p, right, several=True)
    assert several == pytest.approx(2 * (0.85 + 0.4 + 0.55) / 12)


def test_a_confidence_of_one_is_in_the_last_bin_and_nothing_has_no_error():
    assert expected_calibration_error(np.eye(3), np.eye(3)) == 0
    assert np.isnan(expected_calibration_error(np.zeros((0, 3)), np.zeros((0, 3))))


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_network_that_is_three_times_too_sure_gets_a_temperature_of_three(loss):
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, size=(2000, 1, 10))
    if loss == "cross_entropy":
        chances = np.exp(honest[:, 0]) / np.exp(honest[:, 0]).sum(axis=1, keepdims=True)
        picked = (rng.random((2000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        wanted = np.eye(10)[np.minimum(picked, 9)]
    else:
        wanted = (rng.random((2000, 10)) < 1 / (1 + np.exp(-honest[:, 0]))).astype(float)
    logits, artists = (3 * honest).astype(np.float32), np.arange(2000) // 20
    found = calibrate(logits, wanted, loss, groups=artists)
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.error < 0.03 < found.error_before


def test_too_few_recordings_or_artists_teach_nothing():
    logits, wanted = np.zeros((30, 1, 2), np.float32), np.eye(2)[np.arange(30) % 2]
    five, four = np.arange(30) % 5, np.arange(30) % 4
    assert calibrate(logits, wanted, "cross_entropy", groups=five) is not None
    assert calibrate(logits, wanted, "cross_entropy", groups=four) is None
    assert calibrate(logits[:19], wanted[:19], "cross_entropy", groups=np.arange(19)) is None
    assert calibrate(logits, 0 * wanted, "cross_entropy", groups=np.arange(30)) is None
    several = np.arange(30) // 2  # thirty images of fifteen recordings
    told = calibrate(logits, wanted, "cross_entropy", groups=several, recording=several)
    assert told is None
    # An artist of whose songs the tag is not known does not count.
    some = wanted * (np.arange(30) % 5 > 0)[:, None]
    assert calibrate(logits, some, "cross_entropy", groups=five) is None


def snippets(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of five snippets of n songs, often sure of different genres; genres and songs."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, 4, n)
    heard = np.where(rng.random((n, 5)) < 0.5, genre[:, None], rng.integers(0, 4, (n, 5)))
    logits = 6 * np.eye(4)[heard.ravel()] + rng.normal(size=(5 * n, 4))
    return logits[:, None].astype(np.float32), np.eye(4)[genre].repeat(5, 0), np.arange(n).repeat(5)


def test_what_is_calibrated_is_the_mean_over_a_recording():
    """Sure and contradictory snippets make honest means, and a temperature unsure ones."""
    logits, wanted, song = snippets(400, 0)
    order = np.random.default_rng(1).permutation(len(song))  # in any order
    told = calibrate(
        logits[order], wanted[order], "cross_entropy", groups=song[order], recording=song[order]
    )
    single = calibrate(logits, wanted, "cross_entropy", groups=song)
    assert (told.images, told.recordings) == (2000, 400)
    assert (single.images, single.recordings) == (2000, 2000)
    assert single.temperature > 2 * told.temperature
    new, right, number = snippets(1000, 2)

    def shown(temperature: float) -> float:
        p = np.exp(new[:, 0] / temperature)
        p = (p / p.sum(axis=1, keepdims=True)).reshape(1000, 5, 4).mean(axis=1)
        return expected_calibration_error(p, right[::5])

    assert told.error <= told.error_before
    assert shown(told.temperature) < 0.5 * shown(single.temperature)
    assert number[-1] == 999


def test_a_few_recordings_that_are_all_right_are_not_certain():
    wanted = np.eye(3)[np.arange(20) % 3]
    told = calibrate((2 * wanted)[:, None], wanted, "cross_entropy", groups=np.arange(20))
    assert 0.2 < told.temperature < 0.9


def test_a_temperature_of_probabilities_is_that_of_their_logits():
    logits = np.array([[2.0, -1.0, 0.5]])
    p, soft = (np.exp(x) / np.exp(x).sum() for x in (logits, logits / 2))
    assert sharpened(p, 2.0) == pytest.approx(soft)


def test_a_calibration_of_an_earlier_version_is_read_and_written_as_it_is():
    """Digests of saved encoders are of what they say."""
    old = {"temperature": 1.5, "error_before": 0.2, "error": 0.1, "images": 40}
    assert Calibration.from_json(old).recordings is None
    assert Calibration.from_json(old).to_json() == old


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"error": float("nan")}])
def test_a_calibration_that_cannot_be_is_refused(change):
    values = Calibration(2.0, 0.2, 0.1, 50).to_json()
    assert Calibration.from_json(values).temperature == 2
    with pytest.raises(ValueError, match=r"calibration|temperature"):
        Calibration.from_json({**values, **change})


def noisy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of two kinds that cannot always be told apart."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    images = rng.normal(0, 1, size=(n, 1, 16, 16)).astype(np.float32)
    images[:, :, :8] += 0.1 * (kind[:, None, None, None] + rng.normal(0, 1, (n, 1, 1, 1)))
    return images, np.where(kind, "jazz", "rock")


TINY = EncoderConfig(
    architecture="IC(2,5,8)PF(16)O", epochs=6, batch_size=8, threads=1, learning_rate=0.05
)


def test_a_network_is_calibrated_on_what_it_held_out_and_stays_so_on_disk(tmp_path):
    images, labels = noisy(120, 0)
    plain = SongEncoder(TINY).fit(images, labels)
    assert plain.calibration_ == {}
    assert plain.summary()["calibration"] == {}
    encoder = SongEncoder(TINY.replace(validation_fraction=0.4)).fit(images, labels)
    told = encoder.calibration_["genre"]
    assert 40 < told.images < 60
    new, _ = noisy(50, 1)
    p = encoder.predict_proba(new)
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)
    encoder.save(tmp_path / "encoder")
    again = SongEncoder.load(tmp_path / "encoder")
    assert again.calibration_ == encoder.calibration_
    assert again.digest() == encoder.digest()
    assert (again.predict_proba(new) == p).all()


def test_calibrating_changes_probabilities_but_no_ranking_and_no_embedding():
    encoder = SongEncoder(TINY).fit(*noisy(60, 0))
    images, labels = noisy(200, 1)
    vectors, before = encoder.embed(images), encoder.predict_proba(images)
    told = encoder.calibrate(images, labels).calibration_["genre"]
    after = encoder.predict_proba(images)
    assert told.temperature > 1  # it was too sure of itself
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert after.max(axis=1).mean() < before.max(axis=1).mean()
    assert (encoder.embed(images) == vectors).all()
    right = labels[:, None] == encoder.classes_
    assert expected_calibration_error(after, right) == pytest.approx(told.error, abs=1e-4)
    assert told.error < told.error_before
    assert encoder.calibrate(images[:10], labels[:10]).calibration_ == {}


def test_embeddings_and_tags_in_one_pass_are_calibrated_alike():
    encoder = SongEncoder(TINY).fit(*noisy(60, 0)).calibrate(*noisy(200, 1))
    images, _ = noisy(9, 2)
    assert (encoder.embed_and_predict(images)[1]["genre"] == encoder.predict_proba(images)).all()
