import numpy as np

from embedding.hyperimage.statistics import image_statistics
from evaluation.genre.baseline import StatisticsSVM, mfcc_statistics


def test_statistics_by_hand():
    # Row 0 rises from 0 to 2, row 1 stays 1; their cosine transform is (sum, difference) / √2.
    image = np.array([[[[0.0, 2.0], [1.0, 1.0]]]])
    root = 2**0.5
    expected = [1, 1, 1, 0]  # mean and deviation of the rows
    expected += [2 / root, 0, 1 / root, 1 / root, 0, 0]  # of the cepstrum; its one change
    np.testing.assert_allclose(image_statistics(image)[0], expected, atol=1e-6)
    assert np.isfinite(image_statistics(image[..., :1])).all()


def test_mfcc_statistics_tell_tones_apart_and_are_finite():
    time = np.arange(8000) / 8000
    low, high = (np.sin(2 * np.pi * f * time).astype(np.float32) for f in (200, 2000))
    assert mfcc_statistics(low, 8000).shape == (60,)
    assert np.abs(mfcc_statistics(low, 8000) - mfcc_statistics(high, 8000)).max() > 10
    assert np.isfinite(mfcc_statistics(np.zeros(8000, np.float32), 8000)).all()


def test_the_svm_learns_and_ranks():
    rng = np.random.default_rng(0)
    for names in (["a", "b"], ["a", "b", "c"]):
        labels = np.array(names)[np.arange(60) % len(names)]
        features = rng.normal(0, 0.3, (60, 4)) + (np.arange(60) % len(names))[:, None]
        model = StatisticsSVM().fit(features, labels)
        probability = model.predict_proba(features)
        assert probability.shape == (60, len(names))
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        assert (np.array(model.classes_)[probability.argmax(axis=1)] == labels).mean() > 0.9
