"""Bootstrap resamples, intervals, paired differences and p-values, against scipy and by hand."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from evaluation.comparison import bootstrap as module
from evaluation.comparison.bootstrap import (
    Bootstrap,
    Difference,
    Interval,
    holm,
    mean_interval,
    paired_difference,
    paired_p_values,
    t_interval,
)


def by_hand(values, n_bootstrap, seed):
    n = len(values)
    chosen = np.random.default_rng(seed).integers(0, n, size=(n_bootstrap, n))
    return np.stack([np.nanmean(values[rows], axis=0) for rows in chosen])


@pytest.mark.parametrize("n", [1, 2, 37, 101])
def test_means_of_rows_drawn_with_replacement(n):
    values = np.random.default_rng(1).random((n, 3))
    np.testing.assert_allclose(Bootstrap(150, 7).means(values), by_hand(values, 150, 7), atol=1e-13)


@pytest.mark.parametrize(
    ("cells", "at_once", "kept"), [(1, 1, 0), (90, 37, 10**6), (10**6, 10**6, 10**6)]
)
def test_draws_do_not_depend_on_blocks_nor_on_what_was_drawn_before(
    monkeypatch, cells, at_once, kept
):
    values = np.random.default_rng(2).random((31, 4))
    values[:9, 1] = values[3:20, 2] = values[:9, 3] = np.nan
    rows = np.array([0, 4, 9, 30])
    own = np.full(31, np.nan)
    own[rows] = [0.0, 0.5, 0.0, 1.0]
    monkeypatch.setattr(module, "_CELLS", cells)
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", at_once)
    monkeypatch.setattr(module, "_CACHE_BYTES", kept)
    resamples = Bootstrap(120, 5)
    for _ in range(2):
        np.testing.assert_allclose(resamples.means(values), by_hand(values, 120, 5), atol=1e-13)
        (part,) = resamples.part_means([(rows, own[rows][:, None])], 31)
        np.testing.assert_allclose(part[:, 0], resamples.means(own[:, None])[:, 0], atol=1e-13)
        other = np.arange(12.0)[:, None]
        np.testing.assert_allclose(resamples.means(other), by_hand(other, 120, 5), atol=1e-13)


def test_counts_kept_stay_within_bounds(monkeypatch):
    monkeypatch.setattr(module, "_CACHE_BYTES", 100 * 50)
    resamples = Bootstrap(100, 0)
    for n in (20, 30, 10, 60):
        resamples.means(np.ones((n, 1)))
    assert list(resamples._cache) == [30, 10]


def test_too_few_draws_and_no_rows_are_refused():
    with pytest.raises(InvalidArgumentError, match="at least 100, not 99"):
        Bootstrap(99, 0)
    with pytest.raises(InvalidArgumentError, match="at least one user"):
        Bootstrap(100, 0).means(np.empty((0, 2)))


def test_interval_agrees_with_scipy_s_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(1.0, size=400)
    ours = mean_interval(values, n_bootstrap=4000)
    theirs = scipy.stats.bootstrap(
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
        draws = Bootstrap(400, seed).means(sample[:, None])
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
    means = Bootstrap(200, 0).means(np.hstack([values, values, 1 - values]))
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


def test_p_values_by_hand_and_by_scipy():
    # Differences 1, 2, 3: mean 2, deviation 1, t = 2 √3 = 3.464 with 2 degrees of freedom.
    # There the two-sided p is 1 - t / √(t² + 2) = 1 - 3.4641 / √14 = 0.0742.
    assert paired_p_values(np.array([[1.0], [2.0], [3.0]])) == pytest.approx([0.0742], abs=1e-4)
    rng = np.random.default_rng(0)
    first, second = rng.random((50, 4)), rng.random((50, 4)) + np.array([0.0, 0.01, 0.1, 0.3])
    first[:7, 2] = np.nan
    expected = scipy.stats.ttest_rel(first, second, nan_policy="omit").pvalue
    assert paired_p_values(first - second) == pytest.approx(np.asarray(expected))


def test_p_values_where_there_is_nothing_to_test():
    nan = np.nan
    columns = np.array([[0.0, 0.1, nan, 0.3, 1e-17], [0.0, 0.1, nan, nan, 2e-17]])
    assert paired_p_values(columns) == pytest.approx([1.0, 0.0, nan, nan, 1.0], nan_ok=True)


def test_p_values_of_no_difference_are_below_five_percent_in_five_percent_of_cases():
    found = paired_p_values(np.random.default_rng(3).exponential(size=(80, 4000)) - 1.0)
    assert 0.03 < np.mean(found < 0.05) < 0.08


def test_holm_by_hand():
    # Ordered .01 .02 .03 .04: times 4, 3, 2, 1 gives .04 .06 .06 .04, and none falls: .04 .06 .06.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6, 0.9]) == pytest.approx([1.0, 1.0, 1.0])
    assert holm([0.02]) == pytest.approx([0.02])
    # What was not tested does not count: .01 and .04 are two tests, not three.
    assert holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni_s_and_keeps_the_order(p):
    p_values = np.array(p)
    corrected = holm(p_values)
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(p_values * len(p), 1) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()


def test_a_difference_is_shown_only_if_interval_and_p_value_agree():
    apart, around = Interval(0.1, 0.01, 0.2), Interval(0.1, -0.1, 0.3)
    assert Difference.tested(apart, 0.01, 0.04, 0.95).shown
    assert not Difference.tested(apart, 0.01, 0.06, 0.95).shown
    assert not Difference.tested(around, 0.01, 0.04, 0.95).shown
    assert not Difference.tested(apart, np.nan, np.nan, 0.95).shown


def test_rows_that_do_not_take_part_are_left_out_of_draws():
    values = np.random.default_rng(0).random((40, 2))
    values[::2, 1] = np.nan
    found = Bootstrap(500, 0).means(values)
    alone = Bootstrap(500, 0).means(np.where(np.isnan(values), 0, values))
    np.testing.assert_allclose(found[:, 0], alone[:, 0])
    assert found[:, 1].mean() == pytest.approx(np.nanmean(values[:, 1]), abs=0.02)
    assert mean_interval(values[:, 1]).mean == pytest.approx(np.nanmean(values[:, 1]))
    paired = paired_difference(values[:, 0], values[:, 1])
    assert paired.mean == pytest.approx(np.nanmean(values[:, 0] - values[:, 1]))
    assert paired.low < paired.mean < paired.high
    one = Bootstrap(200, 0).means(np.array([[1.0], [np.nan]]))[:, 0]
    # A draw of two rows misses the only one that counts in a quarter of cases.
    assert np.isnan(one).mean() == pytest.approx(0.25, abs=0.1)
    assert set(one[np.isfinite(one)]) == {1.0}


def test_means_of_parts_are_those_of_rows_that_take_part():
    values = np.random.default_rng(0).random((40, 3))
    rows = np.arange(5, 25, 2)
    alone = np.full_like(values, np.nan)
    alone[rows] = values[rows]
    everything, part = Bootstrap(200, 4).part_means(
        [(np.arange(40), values), (rows, values[rows])], 40
    )
    np.testing.assert_allclose(everything, Bootstrap(200, 4).means(values))
    np.testing.assert_allclose(part, Bootstrap(200, 4).means(alone))


def test_t_interval_by_hand():
    # .2 .3 .4: deviation .1, and 4.303 deviations of the mean at 2 degrees of freedom.
    found = t_interval(np.array([0.2, 0.3, 0.4]), 0.95)
    assert found == pytest.approx((0.3, 0.3 - 0.2484, 0.3 + 0.2484), abs=1e-4)
    assert t_interval(np.array([0.5]), 0.95) == pytest.approx((0.5, np.nan, np.nan), nan_ok=True)
