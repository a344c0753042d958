import numpy as np
import pytest
from scipy.stats import bootstrap

from datasets.errors import InvalidArgumentError
from evaluation.resampling import mean_interval, paired_difference, resampled_means


def test_interval_agrees_with_scipy_s_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(1.0, size=400)
    ours = mean_interval(values, n_bootstrap=4000)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", random_state=1
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_ninety_five_percent_intervals_hold_the_truth_about_as_often():
    rng = np.random.default_rng(1)
    samples = rng.normal(2.0, 1.0, size=(300, 60))
    held = [
        (found := mean_interval(sample, n_bootstrap=300, seed=n)).low <= 2.0 <= found.high
        for n, sample in enumerate(samples)
    ]
    assert 0.9 < np.mean(held) < 0.98


def test_few_values_have_a_wider_interval_than_percentiles_alone_give():
    rng = np.random.default_rng(2)
    samples = rng.normal(0.5, 0.1, size=(400, 8))
    held, naive = [], []
    for seed, sample in enumerate(samples):
        found = mean_interval(sample, n_bootstrap=400, seed=seed)
        held.append(found.low <= 0.5 <= found.high)
        draws = resampled_means(sample[:, None], n_bootstrap=400, seed=seed)
        low, high = np.quantile(draws, [0.025, 0.975])
        naive.append(low <= 0.5 <= high)
    assert 0.92 < np.mean(held) < 0.98
    assert np.mean(naive) < 0.91


def test_wider_with_more_confidence():
    values = np.random.default_rng(0).random(50)
    narrow, wide = (mean_interval(values, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_same_seed_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).random(50)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_a_constant_has_an_interval_of_no_width():
    assert mean_interval(np.full(7, 0.1)) == pytest.approx((0.1, 0.1, 0.1))


def test_a_difference_is_paired():
    # Users differ widely, and the second model is a little better on every one of them.
    rng = np.random.default_rng(0)
    first = rng.random(100) * 10
    second = first + 0.01
    apart = mean_interval(first)
    assert apart.high - apart.low > 0.5
    paired = paired_difference(second, first)
    assert paired.low == pytest.approx(0.01)
    assert paired.high == pytest.approx(0.01)
    assert paired.shown
    assert not paired_difference(rng.permutation(first), first).shown


def test_columns_share_their_draws():
    values = np.random.default_rng(0).random((30, 1))
    means = resampled_means(np.hstack([values, values, 1 - values]), n_bootstrap=200, seed=0)
    np.testing.assert_array_equal(means[:, 0], means[:, 1])
    np.testing.assert_allclose(means[:, 0], 1 - means[:, 2])


def test_errors():
    with pytest.raises(InvalidArgumentError, match="at least one user"):
        mean_interval(np.empty(0))
    with pytest.raises(InvalidArgumentError, match="n_bootstrap"):
        mean_interval(np.ones(3), n_bootstrap=10)
    with pytest.raises(InvalidArgumentError, match="confidence"):
        mean_interval(np.ones(3), confidence=95)
    with pytest.raises(InvalidArgumentError, match="same users"):
        paired_difference(np.ones(3), np.ones(4))
