"""The intervals: bounds and symmetries of the bootstrap, Student's t against its table."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import intervals, measure

numbers = st.floats(-1e100, 1e100, allow_subnormal=False)
samples = st.lists(numbers, min_size=1, max_size=20)


@given(samples)
def test_the_bootstrap_interval_of_the_median_lies_within_the_values(values):
    low, high = intervals.bootstrap_interval(values, resamples=200)
    assert min(values) <= low <= high <= max(values)


@given(samples, st.integers(-20, 20))
def test_values_in_another_unit_give_the_interval_in_that_unit(values, power):
    """Scaling by a power of two is exact in floating point, so the interval must follow exactly."""
    low, high = intervals.bootstrap_interval(values, resamples=200)
    scaled = intervals.bootstrap_interval([value * 2.0**power for value in values], resamples=200)
    assert scaled == (low * 2.0**power, high * 2.0**power)


@given(samples, st.integers(0, 1000))
def test_the_bootstrap_is_the_same_for_the_same_seed(values, seed):
    draw = [intervals.bootstrap_interval(values, resamples=200, seed=seed) for _ in range(2)]
    assert draw[0] == draw[1]


def test_another_seed_draws_other_resamples():
    values = np.random.default_rng(0).normal(size=15)
    means = {intervals.bootstrap_interval(values, np.mean, resamples=200, seed=seed) for seed in range(4)}
    assert len(means) == 4


@given(st.lists(numbers, min_size=2, max_size=20))
def test_a_higher_level_gives_a_wider_interval(values):
    (low50, high50), (low99, high99) = (intervals.bootstrap_interval(values, level=level) for level in (0.5, 0.99))
    assert low99 <= low50 <= high50 <= high99


def test_a_single_value_has_an_interval_without_width():
    assert intervals.bootstrap_interval([3.5]) == (3.5, 3.5)


def test_the_bootstrap_takes_another_statistic():
    low, high = intervals.bootstrap_interval([0.0] * 50 + [1.0] * 50, statistic=np.mean)
    assert low == pytest.approx(0.40, abs=0.03)  # 0.5 - 1.96 * sqrt(0.25 / 100)
    assert high == pytest.approx(0.60, abs=0.03)


# The 97.5 % points of Student's t as every textbook prints them, by degrees of freedom.
@pytest.mark.parametrize(
    ("degrees", "point"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (1000, 1.9623)],
)
def test_the_t_interval_uses_the_point_of_the_table(degrees, point):
    values = [0.0] * degrees + [1.0]
    mean, half = intervals.mean_interval(values)
    assert mean == pytest.approx(1 / (degrees + 1))
    assert half == pytest.approx(point * np.std(values, ddof=1) / math.sqrt(degrees + 1), rel=2e-5)


def test_the_t_interval_at_other_levels():
    assert intervals.mean_interval([0, 1, 2], level=0.9)[1] == pytest.approx(2.9200 / math.sqrt(3), rel=2e-5)
    assert intervals.mean_interval([0, 1, 2], level=0.99)[1] == pytest.approx(9.9248 / math.sqrt(3), rel=2e-5)


def test_the_t_interval_covers_the_true_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(loc=7.0, size=(2000, 4))
    covered = sum(abs(mean - 7.0) <= half for mean, half in map(intervals.mean_interval, samples))
    assert 0.935 <= covered / 2000 <= 0.965  # 0.95, give or take three standard errors


def test_equal_values_have_a_mean_without_spread():
    assert intervals.mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.0)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [[1.0], [2.0]], 3.0])
@pytest.mark.parametrize("interval", [intervals.bootstrap_interval, intervals.mean_interval])
def test_values_that_carry_no_interval_are_refused(interval, values):
    with pytest.raises(ValueError, match=r"values: .* list of \d or more finite numbers"):
        interval(values)


def test_one_seed_carries_no_interval_of_the_mean():
    with pytest.raises(ValueError, match=r"values: \[0.9\] is not allowed; it is a list of 2 or more"):
        intervals.mean_interval([0.9])


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, math.nan])
@pytest.mark.parametrize("interval", [intervals.bootstrap_interval, intervals.mean_interval])
def test_a_level_outside_0_to_1_is_refused(interval, level):
    with pytest.raises(ValueError, match=f"level: {level} is not allowed; .*0.95"):
        interval([1.0, 2.0], level=level)


@pytest.mark.parametrize("resamples", [0, -1, 2.5, True])
def test_a_bad_number_of_resamples_is_refused(resamples):
    with pytest.raises(ValueError, match=f"resamples: {resamples} is not allowed; it is a whole number of 1 or more"):
        intervals.bootstrap_interval([1.0, 2.0], resamples=resamples)


def test_the_ruler_offers_both():
    assert measure.bootstrap_interval is intervals.bootstrap_interval
    assert measure.mean_interval is intervals.mean_interval


@pytest.mark.parametrize(
    "hits, n, low, high", [(0, 8, 0, 0.3244), (8, 8, 0.6756, 1), (5, 10, 0.2366, 0.7634), (1, 1, 0.2065, 1)]
)
def test_the_interval_of_a_share_is_wilsons(hits, n, low, high):
    outcomes = [True] * hits + [False] * (n - hits)
    assert intervals.share_interval(outcomes) == pytest.approx((hits / n, low, high), abs=1e-4)
    share, below, above = intervals.share_interval([not outcome for outcome in outcomes])
    assert (1 - share, 1 - above, 1 - below) == pytest.approx((hits / n, low, high), abs=1e-4)


@pytest.mark.parametrize("outcomes", [[], [0.5], [2], ["yes"], None])
def test_a_share_is_of_true_and_false(outcomes):
    with pytest.raises(ValueError, match="is not allowed"):
        intervals.share_interval(outcomes)
