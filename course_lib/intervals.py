"""Intervals of what was measured several times: bootstrap for times and ratios, Student's t for means over seeds."""

import math
from collections.abc import Callable, Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float], statistic: Callable = np.median, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of a statistic, after B. Efron, "Bootstrap methods" (1979).

    `values`: one-dimensional, finite; one value gives an interval of no width. `statistic` takes an array and `axis`,
    as np.median does. The same seed gives the same interval. Raises ValueError for bad input.
    """
    data = _numbers(values, least=1)
    _check_level(level)
    check_whole("resamples", resamples, 1)
    draws = np.random.default_rng(seed).integers(0, len(data), size=(resamples, len(data)))
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = np.quantile(statistic(data[draws], axis=1), tails)
    return float(low), float(high)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """(mean, half_width) of the Student t interval of the mean: for accuracies over seeds. Needs two values or more.

    Raises ValueError for fewer values, values that are not finite, or a level outside (0, 1).
    """
    data = _numbers(values, least=2)
    _check_level(level)
    half = _student_t(level, len(data) - 1) * data.std(ddof=1) / math.sqrt(len(data))
    return float(data.mean()), float(half)


def share_interval(outcomes: Sequence[bool], z: float = 1.959964) -> tuple[float, float, float]:
    """(share, low, high): how many of the outcomes are True, with the 95 % interval of E. B. Wilson (1927).

    Unlike a bootstrap it knows that none of eight is not none at all. `z`: the normal quantile of another level. Raises
    ValueError for no outcomes, or for others than 0 and 1.
    """
    data = _numbers(outcomes, least=1)
    if not np.isin(data, (0, 1)).all():
        raise ValueError(f"outcomes: {outcomes!r} is not allowed; it is a list of True and False")
    n, share = len(data), float(data.mean())
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return share, max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def check_whole(name: str, value: int, least: int) -> None:
    """Raise ValueError unless `value` is a whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: {value!r} is not allowed; it is a whole number of {least} or more")


def _student_t(level: float, degrees: int) -> float:
    """The t that |T| stays below with probability `level`, by bisection."""
    low, high = 0.0, 1.0
    while _student_within(high, degrees) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, degrees) < level else (low, middle)
    return high


def _student_within(t: float, degrees: int) -> float:
    """The probability that |T| < t: the closed form for a whole number of degrees of freedom (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total


def _numbers(values: Sequence[float], least: int) -> np.ndarray:
    try:
        data = np.asarray(values, dtype=float)
    except (TypeError, ValueError):  # texts, or lists of different lengths
        data = np.empty(0)
    if data.ndim != 1 or len(data) < least or not np.isfinite(data).all():
        raise ValueError(f"values: {values!r} is not allowed; it is a list of {least} or more finite numbers")
    return data


def _check_level(level: float) -> None:
    if not isinstance(level, float) or not 0 < level < 1:
        raise ValueError(f"level: {level!r} is not allowed; it lies between 0 and 1, for instance 0.95")
