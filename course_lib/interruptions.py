"""Machines that are taken away: how long a job takes on one, how often to save, and which discount pays for it.

All functions share their words: `work` is what the job takes undisturbed, `interval` the work between two checkpoints,
`save` what one checkpoint takes, `restart` what it takes from a kill until work goes on, `mean_between` the mean time between
two interruptions, which come as a Poisson process. All are in one unit, for instance seconds.
"""

import math

import numpy as np

from course_lib.intervals import check_whole


def young_interval(save: float, mean_between: float) -> float:
    """The interval that loses the least time to first order, sqrt(2 save mean_between): J. W. Young (1974).

    It holds where `save` is much shorter than `mean_between`. Raises ValueError for values that are not above 0.
    """
    return math.sqrt(2 * _positive("save", save) * _positive("mean_between", mean_between))


def expected_time(work: float, interval: float, save: float, restart: float, mean_between: float) -> float:
    """The mean time until `work` is done, with a checkpoint after each interval and at the end: J. T. Daly (2006).

    A stretch of work with its checkpoint, s long, takes mean_between exp(restart / mean_between) (exp(s / mean_between) - 1)
    in the mean, as an interruption may come in a checkpoint and in a restart, too. The first start is not in it. Infinite
    where no float holds it. Raises ValueError for times that are negative, not finite, or 0 where it has to be above, and for
    an interval below a millionth of the work.
    """
    stretches, mean = _stretches(work, interval, save), _positive("mean_between", mean_between)
    _not_negative("restart", restart)
    try:
        return mean * math.exp(restart / mean) * sum(math.expm1(stretch / mean) for stretch in stretches)
    except OverflowError:
        return math.inf


def simulate(
    work: float, interval: float, save: float, restart: float, mean_between: float, runs: int = 1000, seed: int = 0
) -> np.ndarray:
    """The times (runs,) of the same job, played with interruptions drawn from a generator of this seed. Simulated.

    Raises ValueError as `expected_time` does, and for jobs that would need more than a million interruptions a run.
    """
    check_whole("runs", runs, 1)
    expected = expected_time(work, interval, save, restart, mean_between)
    if expected > 1e6 * mean_between:
        raise ValueError(f"mean_between: {mean_between!r} is not allowed; such a job takes {expected:.3g} in the mean")
    rng = np.random.default_rng(seed)
    stretches = _stretches(work, interval, save)
    return np.array([_one_run(stretches, restart, lambda: rng.exponential(mean_between)) for _ in range(runs)])


def break_even(overhead: float) -> float:
    """The largest price, as a share of the price of a machine that stays, at which `overhead` times the time still pays.

    Raises ValueError for an overhead below 1.
    """
    if _positive("overhead", overhead) < 1:
        raise ValueError(f"overhead: {overhead!r} is not allowed; it is a factor of 1 or more")
    return 1 / overhead


def _stretches(work: float, interval: float, save: float) -> list[float]:
    """How long each stretch of work takes, with its checkpoint; the last may be shorter."""
    _positive("work", work), _positive("interval", interval), _not_negative("save", save)
    whole = math.ceil(work / interval - 1e-9) - 1  # a last stretch that is rounding alone is none
    if whole >= 1_000_000:
        raise ValueError(f"interval: {interval!r} is not allowed; it is a millionth of the work or more")
    return [interval + save] * whole + [work - whole * interval + save]


def _one_run(stretches: list[float], restart: float, draw) -> float:
    clock, end = 0.0, draw()  # end: when this machine is taken away
    for stretch in stretches:
        needed = stretch
        while clock + needed > end:
            clock, needed = end, restart + stretch  # back to the last checkpoint, on another machine
            end = clock + draw()
        clock += needed
    return clock


def _positive(field: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{field}: {value!r} is not allowed; it is a finite number above 0")
    return float(value)


def _not_negative(field: str, value: float) -> float:
    return 0.0 if isinstance(value, int | float) and value == 0 and not isinstance(value, bool) else _positive(field, value)
