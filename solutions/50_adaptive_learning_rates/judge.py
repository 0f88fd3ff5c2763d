"""The judge of exercise 50; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

import torch
from torch import nn

# 1. AdamW, in float64


def stepped(answers, seed, steps, scale, options):
    """The weights after some steps on random gradients, and whether all gradients were left as they were."""
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((4, 3), (5,), (2, 2, 2))]
    memory, untouched = {}, True
    for _ in range(steps):
        gradients = [scale * torch.randn(w.shape, generator=draw, dtype=torch.float64) for w in weights]
        given = [g.clone() for g in gradients]
        answers.adamw(weights, given, memory, 0.05, **options)
        untouched = untouched and all(map(torch.equal, given, gradients))
    return [untouched, *weights]


def to_the_last_digits(got, expected, *case):
    (untouched, *ours), (_, *right) = got, expected
    return untouched and all(near(a, b, 1e-9) for a, b in zip(ours, right, strict=True))


def near(ours, right, apart):
    ours, right = torch.tensor(ours, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    return ours.shape == right.shape and torch.allclose(ours, right, rtol=0, atol=apart)


def first_steps(rng):
    return [(rng.randrange(2**31), 1, 1.0, {}) for _ in range(3)]


def many_steps(rng):
    return [(rng.randrange(2**31), rng.randint(50, 100), 1.0, {})]


def decays(rng):
    """With gradients and without."""
    return [(rng.randrange(2**31), rng.randint(10, 20), scale, {"decay": rng.uniform(0.2, 0.6)}) for scale in (1.0, 0.0)]


def other_settings(rng):
    betas = [rng.uniform(0.4, 0.85), rng.uniform(0.88, 0.98)]
    every = ({"betas": betas}, {"eps": rng.uniform(0.05, 0.3)}, {"betas": betas, "eps": rng.uniform(0.05, 0.3), "decay": 0.0})
    return [(rng.randrange(2**31), rng.randint(10, 30), 1.0, options) for options in every]


# 2. A layer's length


def rescaled(answers, seed, lengths, scales, options):
    """The new changes of three layers whose weights have these norms, and what the call left of the changes it was given."""
    draw = torch.Generator().manual_seed(seed)
    changes, weights = [[torch.randn(shape, generator=draw) for shape in ((6, 4), (6,), (3, 2, 2))] for _ in range(2)]
    changes = [scale * change for scale, change in zip(scales, changes, strict=True)]
    weights = [length * weight / weight.norm() for length, weight in zip(lengths, weights, strict=True)]
    new = answers.rescaled(changes, weights, **options)
    return [new, changes]


def short_layers(rng):
    """Weights shorter than 10; changes of very different lengths."""
    cases = []
    for loudest in (1.0, 1000.0):
        lengths, scales = [rng.uniform(1, 8) for _ in range(3)], [rng.uniform(0.5, 2) for _ in range(3)]
        cases.append((rng.randrange(2**31), lengths, [loudest * scales[0], *scales[1:]], {}))
    return cases


def long_layers(rng):
    """The first layer is longer than 10, or all are longer than what is said."""
    others = [rng.uniform(2, 6) for _ in range(2)]
    cases = [([rng.uniform(50, 900), *others], {}), ([rng.uniform(2, 900), *others], {"longest": rng.uniform(0.3, 1.5)})]
    return [(rng.randrange(2**31), lengths, [rng.uniform(0.5, 2) for _ in range(3)], options) for lengths, options in cases]


def zeros(rng):
    """The weights of one layer and the change of another are zero."""
    cases = []
    for _ in range(2):
        lengths, scales = [rng.uniform(1, 8) for _ in range(3)], [rng.uniform(0.5, 2) for _ in range(3)]
        still, unmoved = rng.sample(range(3), 2)
        lengths[still] = scales[unmoved] = 0.0
        cases.append((rng.randrange(2**31), lengths, scales, {}))
    return cases


def same_changes(got, expected, *case):
    return got[1] == expected[1] and same_new_changes(got, expected)


def same_new_changes(got, expected, *case):
    return all(near(ours, right, 1e-3 * longest(right)) for ours, right in zip(got[0], expected[0], strict=True))


def longest(change):
    return torch.tensor(change).norm().item()


def zeros_kept(got, expected, seed, lengths, scales, options):
    """Of the layers with a zero, the change is what it was."""
    changes = expected[1]
    return len(got[0]) == 3 and all(
        near(ours, change, 0.0)
        for ours, change, length, scale in zip(got[0], changes, lengths, scales, strict=True)
        if not length or not scale
    )


# 3. The schedule


def rates(answers, steps, *schedule):
    return [answers.rate_at(step, *schedule) for step in steps]


def warm_ups(rng):
    """The steps before the peak, and that of the peak."""
    cases = [(warmup, rng.randint(30, 200), rng.uniform(0.1, 2)) for warmup in (1, 7, rng.randint(2, 20))]
    return [(list(range(warmup + 1)), total, peak, warmup) for warmup, total, peak in cases]


def cosines(rng):
    cases = [(rng.randint(30, 60), rng.uniform(0.1, 1), warmup) for warmup in (0, rng.randint(3, 12))]
    without = (rng.randint(30, 60), rng.uniform(0.1, 1))  # no warm-up named
    return [(list(range(case[0])), *case) for case in [*cases, without]]


def floors(rng):
    """All steps, and some that come after the end."""
    cases = [(rng.randint(30, 60), rng.uniform(0.2, 1), rng.randint(0, 12), rng.uniform(0.01, 0.1)) for _ in range(3)]
    return [([*range(case[0] + 1), case[0] + rng.randint(5, 2 * case[0])], *case) for case in cases]


# 4. Steps to target. NaN and infinity travel as text, because JSON knows neither.


def numbers(losses):
    return [float(loss) for loss in losses]


def steps_to(answers, losses, every, target):
    return answers.steps_to_target(numbers(losses), every, target)


def falling(rng, looks, target, arrives):
    """Losses that fall, at or below the target from look number `arrives` on; never where that is `looks` or more."""
    above = sorted((target + rng.uniform(0.1, 3) for _ in range(min(arrives, looks))), reverse=True)
    return above + sorted((target - rng.uniform(0.1, 0.5) for _ in range(looks - len(above))), reverse=True)


def arrivals(rng):
    """On the way between two looks; exactly at a look, after one that equals the look before; at the start."""
    every, target, looks = rng.randint(2, 50), rng.uniform(1, 2), rng.randint(3, 6)
    level = target + rng.uniform(0.5, 1)
    cases = [(falling(rng, looks, target, arrives), every, target) for arrives in (1, 1, looks - 1, 0)]
    return [*cases, ([level, level, target, target - 0.5], every, target)]


def first_or_never(rng):
    """Above the target again after the arrival, and then NaN; never there, with and without numbers at the end."""
    every, target = rng.randint(2, 50), rng.uniform(1, 2)
    arrived, never = falling(rng, 3, target, 2), falling(rng, 4, target, 4)
    again = [*arrived, target + rng.uniform(0.5, 2), target - rng.uniform(0.1, 0.9)]
    runs = (again, [*arrived, "nan", "nan"], never, [*never, "nan", "nan"], [*never, "inf", "nan"])
    return [(losses, every, target) for losses in runs]


def best(answers, trials, every, target):
    return answers.best_rate({rate: [numbers(losses) for losses in runs] for rate, runs in trials}, every, target)


def run_of(rng, looks, target, arrives, end):
    """Losses that come down at look number `arrives`, and end at `end`."""
    losses = falling(rng, looks, target, arrives)
    return [*losses[:-1], end]


def fewest_steps(rng):
    """The rate that arrives first ends higher than the others; one rate diverges, in all runs or in one of two.

    Averages differ by more than a look, so that nothing hangs on how the arrival within a look is counted.
    """
    every, target, looks = rng.randint(2, 50), rng.uniform(1, 2), 9
    cases = []
    for diverging in ("all", "one"):
        late = [run_of(rng, looks, target, 7, target - 0.9) for _ in range(2)]
        middle = [run_of(rng, looks, target, 5, target - 0.8) for _ in range(2)]
        early = [run_of(rng, looks, target, 2, target - 0.1) for _ in range(2)]
        gone = [*falling(rng, 2, target, 2), *["nan"] * (looks - 2)]
        if diverging == "one":
            trials = [("late", late), ("best", [run_of(rng, looks, target, 1, target - 0.3), gone]), ("late too", late)]
        else:
            trials = [("late", middle), ("best", early), ("gone", [gone, gone])]
        names = dict(zip(("late", "best", "late too", "gone"), rng.sample([0.01, 0.03, 0.1, 0.3, 1.0], 4), strict=True))
        cases.append(([(names[name], runs) for name, runs in trials], every, target))
    return cases


def nobody_arrives(rng):
    """All runs take all their steps. The best rate is not the first; one rate is lower in one run, and NaN in another."""
    every, target, looks = rng.randint(2, 50), rng.uniform(0.2, 0.5), rng.randint(3, 6)

    def runs(end, other):
        return [[*falling(rng, looks - 1, 2.0, looks), last] for last in (end, other)]

    cases = []
    for first in ("nan", 0.6):
        low = rng.uniform(0.8, 1.0)
        trials = [runs(first, "nan"), runs(low, low + 0.1), runs(low + 0.1, low + 0.6)]
        cases.append((list(zip(rng.sample([0.01, 0.03, 0.1, 0.3, 1.0], 3), trials, strict=True)), every, target))
    return cases


# 5. The loop


def trained(answers, seed, epochs, count, peak, warmup):
    """The rates that the loop reports, and the weights that it leaves."""
    torch.manual_seed(seed)
    batches = [(torch.randn(8, 5), torch.randint(3, (8,))) for _ in range(count)]
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    used = answers.fit(model, batches, epochs, peak, warmup)
    return [[float(rate) for rate in used], *model.parameters()]


def longer_than_an_epoch(rng):
    return [(rng.randrange(2**31), 3, count, rng.uniform(0.05, 0.3), count + rng.randint(1, count)) for count in (3, 4)]


def ended_in_the_first_epoch(rng):
    """And without any."""
    return [(rng.randrange(2**31), 3, 4, rng.uniform(0.05, 0.3), warmup) for warmup in (rng.randint(2, 3), 0)]


def without(rng):
    return [(rng.randrange(2**31), rng.randint(2, 3), rng.randint(3, 5), rng.uniform(0.03, 0.08), 0) for _ in range(2)]


def short_and_long(rng):
    return [
        (rng.randrange(2**31), epochs, 4, rng.uniform(0.08, 0.15), warmup)
        for epochs, warmup in ((1, 2), (3, rng.randint(5, 7)))
    ]


def warm(got, expected, seed, epochs, count, peak, warmup):
    return len(got[0]) == epochs * count and near(got[0][:warmup], expected[0][:warmup], 1e-6)


def at_the_peak(got, expected, seed, epochs, count, peak, warmup):
    return len(got[0]) == epochs * count and near(got[0][warmup:], expected[0][warmup:], 1e-6)


def same_weights(got, expected, *case):
    return all(near(ours, right, 1e-5) for ours, right in zip(got[1:], expected[1:], strict=True))


JUDGED = {
    "test_adamw": {
        "the first step": (stepped, first_steps, to_the_last_digits),
        "a hundred steps, three tensors": (stepped, many_steps, to_the_last_digits),
        "the decay shrinks the weights and nothing else": (stepped, decays, to_the_last_digits),
        "other betas, another eps": (stepped, other_settings, to_the_last_digits),
    },
    "test_rescaled": {
        "each layer changes by its own length": (rescaled, short_layers, same_changes),
        "never longer than `longest`": (rescaled, long_layers, same_new_changes),
        "zero weights, zero changes": (rescaled, zeros, zeros_kept),
    },
    "test_rate": {
        "the warm-up": (rates, warm_ups),
        "the cosine, as PyTorch has it": (rates, cosines),
        "the floor, and what comes after the end": (rates, floors),
    },
    "test_steps": {
        "on straight lines between the looks": (steps_to, arrivals),
        "the first time, or never": (steps_to, first_or_never),
        "the rate with the fewest steps": (best, fewest_steps),
        "when nobody arrives": (best, nobody_arrives),
    },
    "test_fit": {
        "a warm-up that counts updates": (trained, longer_than_an_epoch, warm),
        "the peak, from then on": (trained, ended_in_the_first_epoch, at_the_peak),
        "without a warm-up, the weights of the loop by hand": (trained, without, same_weights),
        "with a warm-up, too": (trained, short_and_long, same_weights),
    },
}
