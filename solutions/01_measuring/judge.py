"""The judge of exercise 01; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

import numpy as np


def drawn(rng, count, low=0.1, high=10.0):
    return [rng.uniform(low, high) for _ in range(count)]


# 1. The paired ratio


def ratio_of_arrays(answers, baseline, variant):
    """The ratio, and what the call left of its arguments."""
    times = np.array(baseline), np.array(variant)
    return [answers.paired_ratio(*times), *times]


def pairs(rng):
    return [(drawn(rng, count), drawn(rng, count)) for count in (rng.choice([3, 5, 7]), rng.choice([4, 6, 8]), 9)]


def refused(answers, baseline, variant):
    try:
        answers.paired_ratio(baseline, variant)
    except ValueError:
        return True
    return False


def unpaired(rng):
    count, spoilt = rng.randint(2, 6), drawn(rng, 5)
    spoilt[rng.randrange(5)] = -rng.uniform(0.1, 1)
    return [
        (drawn(rng, count + 1), drawn(rng, count)),
        (drawn(rng, count), drawn(rng, count + rng.randint(1, 3))),
        ([], []),
        (drawn(rng, 2), [rng.uniform(1, 2), 0.0]),
        ([0.0, rng.uniform(1, 2)], drawn(rng, 2)),
        (spoilt, drawn(rng, 5)),
        (drawn(rng, 5), spoilt),
    ]


# 2. The bootstrap. Any use of rng is right, so results are compared as ranks: with 2,000 resamples of 201 values, two right
# answers differ by 0.6 ranks (one standard deviation) or less, and by more than 3 once in a million times.


def interval(answers, values, level, seed):
    level = {} if level is None else {"level": level}
    return answers.bootstrap_interval(values, np.random.default_rng(seed), **level)


def evenly_spaced(rng):
    """201 values one step apart, shuffled; once with the level that is the default, once with a low one."""
    cases = []
    for level in (None, 0.4):
        start, step = rng.uniform(1, 20), rng.uniform(0.5, 2)
        values = [start + step * rank for rank in range(201)]
        cases.append((rng.sample(values, 201), level, rng.randrange(2**32)))
    return cases


def within_three_ranks(got, expected, values, level, seed):
    step = (max(values) - min(values)) / 200
    return len(got) == 2 and all(abs(g - e) <= 3.01 * step for g, e in zip(got, expected, strict=True))


def same_seed_then_one_generator(answers, values, seed):
    """Two intervals from the same seed, then five from one generator."""
    first, second = [answers.bootstrap_interval(values, np.random.default_rng(seed), resamples=200) for _ in range(2)]
    rng = np.random.default_rng(seed)
    return [first, second, [answers.bootstrap_interval(values, rng, resamples=50) for _ in range(5)]]


def thirty(rng):
    return [(drawn(rng, 30), rng.randrange(2**32)) for _ in range(2)]


def repeated_and_varied(got, expected, values, seed):
    first, second, others = got
    return first == second and len({tuple(interval) for interval in others}) > 1


def draws(answers, values, resamples, seed):
    """How often a generator is asked, and for how many numbers. No attribute holds it, so that no answer can set it back."""
    asked = []

    def counted(numbers):
        asked.append(np.size(numbers))
        return numbers

    class Counted(np.random.Generator):
        def integers(self, *args, **kwargs):
            return counted(super().integers(*args, **kwargs))

        def choice(self, *args, **kwargs):
            return counted(super().choice(*args, **kwargs))

        def random(self, *args, **kwargs):
            return counted(super().random(*args, **kwargs))

    answers.bootstrap_interval(values, Counted(np.random.PCG64(seed)), resamples=resamples)
    return [len(asked), sum(asked)]


def short(rng):
    return [(drawn(rng, 3), rng.randint(300, 600), rng.randrange(2**32)) for _ in range(2)]


def a_few(got, expected, values, resamples, seed):
    """A few draws that are enough: one may not be the seed of a generator of one's own."""
    return 1 <= got[0] <= 5 and got[1] >= resamples * len(values)


# 3. The stopwatch. All times are whole numbers, so that sums and differences are exact however they are taken.


class Device:
    """Takes orders of 1 s and works them off in turn, on a clock of its own; the first order compiles."""

    def __init__(self, work, compiling, backlog):
        self.work, self.compiling = work, compiling
        self.now, self.busy_until = 0.0, backlog
        self.launches = self.waits = 0

    def clock(self):
        return self.now

    def launch(self):
        self.now += 1.0 + (self.compiling if self.launches == 0 else 0.0)
        self.busy_until = max(self.now, self.busy_until) + self.work[self.launches % len(self.work)]
        self.launches += 1

    def synchronize(self):
        self.waits += 1
        self.now = max(self.now, self.busy_until)


def timed(answers, work, compiling, backlog, warmup, repeats):
    device = Device(work, compiling, backlog)
    return list(answers.time_device(device.launch, device.synchronize, device.clock, warmup=warmup, repeats=repeats))


def devices(rng):
    """Work that differs from call to call; a device that is busy at the start; one whose first order compiles."""
    work = [float(seconds) for seconds in rng.sample(range(5, 60), 3)]
    return [
        (work, 0.0, float(rng.randint(50, 90)), 0, rng.randint(3, 6)),
        (work, float(rng.randint(200, 900)), 0.0, rng.randint(1, 4), rng.randint(3, 6)),
        (work[:1], float(rng.randint(200, 900)), 0.0, rng.randint(2, 4), rng.randint(3, 6)),
    ]


def warmed_up(answers, work, compiling, warmup, repeats):
    """Calls of fn, and whether the compilation is in one of the times."""
    device = Device([work], compiling, 0.0)
    times = list(answers.time_device(device.launch, device.synchronize, device.clock, warmup=warmup, repeats=repeats))
    return [device.launches, bool(times) and max(times) < compiling]


def warm_ups(rng):
    cases = [(rng.randint(1, 3), rng.randint(2, 6)) for _ in range(3)]
    return [(float(rng.randint(5, 20)), float(rng.randint(400, 900)), *case) for case in cases]


def waits(answers, warmup, repeats):
    device = Device([10.0], 500.0, 0.0)
    times = answers.time_device(device.launch, device.synchronize, device.clock, warmup=warmup, repeats=repeats)
    return [len(times), device.waits]


def long_runs(rng):
    return [(rng.randint(5, 12), rng.randint(10, 25)) for _ in range(3)]


def one_wait_each(got, expected, warmup, repeats):
    return got[0] == repeats and repeats <= got[1] <= repeats + 1


# 4. The batch. A table is a list of pairs here, because JSON knows no whole numbers as keys.


def best(answers, table, limit):
    return answers.best_batch(dict(table), limit)


def best_size(answers, table, limit):
    answer = best(answers, table, limit)
    return None if answer is None else answer[0]


def table_of(rng, rates):
    """(size, seconds) with these rates in samples a second; larger batches take longer."""
    size, table = rng.randint(1, 3), []
    for rate in rates:
        table.append((size, size / rate))
        size *= rng.randint(6, 9)
    return table


def faster_in_the_middle(rng):
    """The third of four sizes serves the most; the limit is above its time, at times above the fourth's as well."""
    cases = []
    for lenient in (0.5, 2.0, 100.0):
        a, b, c, d = sorted(rng.uniform(100, 150) * factor for factor in (1, 2, 3, 4.6))
        table = table_of(rng, [a, b, d, c])
        cases.append((table, table[2][1] + lenient * (table[3][1] - table[2][1])))
    return cases


def limits(rng):
    """Larger batches serve more; the limit is one of the times, between two of them, or below them all."""
    cases = []
    for place in (1, 2, 2):
        table = table_of(rng, sorted(rng.uniform(100, 150) * factor for factor in (1, 2, 3, 4.6)))
        cases.append((table, table[place][1]))
        cases.append((table, table[place][1] * 1.1))
    return [*cases, (table, table[0][1] * 0.9)]


# 5. The roofline


def bill(answers, m, k, n, itemsize):
    return answers.matmul_cost(m, k, n, itemsize=itemsize)


def products(rng):
    return [(*(rng.randint(2, 3000) for _ in range(3)), rng.choice([1, 2, 4, 8])) for _ in range(4)]


def seconds(answers, *roof):
    return answers.roofline(*roof)[0]


def bound(answers, *roof):
    return answers.roofline(*roof)[1]


def roofs(rng):
    """Arithmetic and traffic whose times differ by half at least, in both directions."""
    cases = []
    for compute, memory in ((1, 1.5), (1.5, 1), (1, 4), (4, 1)):
        scale, peak, bandwidth = rng.uniform(0.1, 9), rng.uniform(10, 99), rng.uniform(10, 99)
        cases.append((scale * compute * peak, scale * memory * bandwidth, peak, bandwidth))
    return cases


def roofs_and_a_tie(rng):
    """As above, those where the larger number is the other one among them, and an exact tie in whole numbers."""
    scale, peak, bandwidth = rng.randint(2, 9), rng.randint(2, 9), rng.randint(10, 90)
    fewer = (10 * scale * peak, scale * 100 * bandwidth, peak, 100 * bandwidth)  # more bytes, bound by compute
    more = (100 * scale * peak, 10 * scale * bandwidth, 100 * peak, bandwidth)  # more FLOPs or not, bound by memory
    return [*roofs(rng), fewer, more, (scale * peak, scale * bandwidth, peak, bandwidth)]


JUDGED = {
    "test_paired_ratio": {
        "the ratio of every pair, then the median": (ratio_of_arrays, pairs),
        "times that cannot be paired are refused": (refused, unpaired),
    },
    "test_bootstrap_interval": {
        "drawn with replacement; the middle 95 % of the medians": (interval, evenly_spaced, within_three_ranks),
        "all randomness comes from rng": (same_seed_then_one_generator, thirty, repeated_and_varied),
        "all resamples in one draw": (draws, short, a_few),
    },
    "test_time_device": {
        "each time is that of one whole call": (timed, devices),
        "the warm-up is done and left out": (warmed_up, warm_ups),
        "no more waits than needed": (waits, long_runs, one_wait_each),
    },
    "test_best_batch": {
        "throughput counts the whole batch": (best, faster_in_the_middle),
        "the limit is kept": (best_size, limits),
    },
    "test_roofline": {
        "the bill of a matrix product": (bill, products),
        "the slower of the two sets the time": (seconds, roofs),
        "and it is named": (bound, roofs_and_a_tie),
    },
}
