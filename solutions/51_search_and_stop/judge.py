"""The judge of exercise 51; grading/judge.py says how it is used.

Everything is counted by what the probes make: who was trained for how long, which epochs were asked for, which trials were
run. The counts are in no attribute of what an answer is given, so that none can be set back.
"""

import optuna
import torch
from optuna.trial import TrialState


def whole(numbers):
    """Counts as ints, also where they came as floats or tensors."""
    return [int(number) if number == int(number) else float(number) for number in numbers]


# 1. Successive halving


def halved(answers, curves, rungs, options):
    """The winner, and the epochs paid for the settings, in order of size."""
    curves = {f"s{i}": curve for i, curve in enumerate(curves)}
    paid = dict.fromkeys(curves, 0)

    def train_further(setting, epochs):
        paid[setting] += epochs
        if epochs <= 0 or paid[setting] > len(curves[setting]):
            raise AssertionError
        return curves[setting][paid[setting] - 1]

    winner = answers.halving(train_further, list(curves), tuple(rungs), **options)
    return [winner, whole(sorted(paid.values()))]


def winner(answers, *case):
    return halved(answers, *case)[0]


def epochs_paid(answers, *case):
    return sum(halved(answers, *case)[1])


def epochs_of_each(answers, *case):
    return halved(answers, *case)[1]


def parallel(rng, count, length):
    """Curves that rise, one above the other, in a random order."""
    curves = [[level / count + epoch / 100 for epoch in range(length)] for level in range(count)]
    return rng.sample(curves, count)


def contests(rng):
    """The best is ahead at every rung; all reach the last rung, where another is ahead; a tie at the only rung."""
    crossing = [rng.sample(range(100), 3) for _ in range(6)]
    tied = [[rng.choice([0.25, 0.5])] for _ in range(5)] + [[0.5], [0.5]]
    return [
        (parallel(rng, 27, 9), [1, 3, 9], {}),
        (parallel(rng, 16, 5), [1, 2, 5], {"keep": 2}),
        (crossing, [1, 3], {"keep": 1}),
        (tied, [1], {}),
    ]


def equal_parts(rng):
    """As many settings as can be divided at each rung without a rest."""
    cases = []
    for keep in (2, 3):
        rungs = sorted(rng.sample(range(1, 12), 3))
        count = keep**2 * rng.randint(1, 3)
        cases.append((parallel(rng, count, rungs[-1]), rungs, {"keep": keep}))
    return [(parallel(rng, 27, 9), [1, 3, 9], {}), *cases]


def with_a_rest(rng):
    """One with nothing left over at each cut, one with something, and settings enough for each."""
    odd, rungs = 2 * rng.randint(4, 8) + 1, sorted(rng.sample(range(1, 9), 3))
    return [(parallel(rng, 9, 4), [2, 4], {}), (parallel(rng, odd, rungs[-1]), rungs, {"keep": 2})]


def too_few(rng):
    """The last one alive stays before the last rung is reached."""
    rungs = sorted(rng.sample(range(1, 9), 3))
    return [(parallel(rng, rng.randint(3, 5), 9), [1, 3, 9], {}), (parallel(rng, 3, rungs[-1]), rungs, {"keep": 2})]


# 2. Patience


def stopped(answers, scores, patience):
    return whole(answers.patient((score for score in scores), patience=patience))


def epochs_trained(answers, scores, patience):
    asked = []

    def training():
        for score in scores:
            asked.append(score)
            yield score

    answers.patient(training(), patience=patience)
    return len(asked)


def rise_and_fall(rng, low=0.0):
    """Scores that rise, fall for some epochs without two equal ones, and rise above all before."""
    rise, fall = rng.randint(1, 4), rng.randint(4, 7)
    up = sorted(low + rng.random() / 2 for _ in range(rise))
    down = sorted((up[-1] - 0.01 - rng.random() / 2 for _ in range(fall)), reverse=True)
    return [*up, *down, low + 0.9, low + 0.95, low + 0.99], fall


def bumpy(rng):
    """A best epoch, and then others that are lower than it but not all lower than the one before; also below zero."""
    cases = []
    for low in (0.0, 0.0, -5.0):
        scores, _ = rise_and_fall(rng, low)
        best = scores.index(max(scores[:-3]))
        scores[best + 1], scores[best + 2] = scores[best + 2], scores[best + 1]
        cases.append((scores, rng.randint(2, 3)))
    return cases


def falls(rng):
    drawn = [rise_and_fall(rng) for _ in range(3)]
    return [(scores, patience) for (scores, fall), patience in zip(drawn, (1, 2, 3), strict=True)]


def ties_and_ends(rng):
    """The best score again and again; and a run that ends before patience does."""
    cases = []
    for patience in (2, 3):
        low, best = sorted([rng.random() / 2, rng.random() / 2])
        cases.append(([low - 0.1, best, *[best] * patience, 0.9], patience))
    scores, _ = rise_and_fall(rng)
    return [*cases, (scores[:-4], len(scores))]


# 3. The mean of checkpoints


def states(seed, count, dtype=torch.float32):
    """State dicts of a small net with a batch norm, with a counter that goes up and down."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (3, 4), "0.bias": (3,), "1.running_mean": (3,), "2.weight": (2, 3)}
    made = []
    for _ in range(count):
        state = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
        state["1.num_batches_tracked"] = torch.randint(0, 1000, (), generator=generator)
        made.append(state)
    return made


def overwritten(seed, count, dtype=torch.float32):
    """The same states one after the other in the same memory, as a training leaves them."""
    now = states(seed, 1, dtype)[0]
    for state in states(seed, count, dtype):
        for name, tensor in now.items():
            tensor.copy_(state[name])
        yield now


def means(answers, seed, count):
    found = answers.mean_of(iter(states(seed, count)))
    return {name: found[name] for name in ("0.weight", "0.bias", "2.weight")}


def left_behind(answers, seed, count):
    """The checkpoints after their mean was made and then overwritten; and the mean of one."""
    given = states(seed, count)
    answers.mean_of(iter(given))["0.weight"].zero_()
    alone = answers.mean_of(iter(states(seed, 1)))
    return [[state[name] for state in given for name in ("0.weight", "0.bias")], alone["0.weight"]]


def means_of_overwritten(answers, seed, count):
    found = answers.mean_of(overwritten(seed, count))
    return [found["0.weight"], found["2.weight"]]


def counter_and_types(answers, seed, count):
    """The counter and all types, of checkpoints in single and in double precision."""
    found = [answers.mean_of(overwritten(seed, count, dtype)) for dtype in (torch.float32, torch.float64)]
    return [[mean["1.num_batches_tracked"], {name: str(value.dtype) for name, value in mean.items()}] for mean in found]


def seeds(rng):
    return [(rng.randrange(2**31), rng.randint(2, 6)) for _ in range(3)]


# 4. After the kill


def killed(seed, finished, failed, lost):
    """A study as a kill leaves it, with the values of its finished, failed and lost trials; x above 0.9 is pruned."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed), pruner=optuna.pruners.NopPruner())
    for x in (*finished, *failed, *lost):
        study.enqueue_trial({"x": x})
    for x in (*finished, *failed, *lost):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        if x in finished and x <= 0.9:
            study.tell(trial, x)
        elif x not in lost:
            study.tell(trial, state=TrialState.PRUNED if x in finished else TrialState.FAIL)
    return study


def count(study, *states):
    return len(study.get_trials(states=states))


def resumed(answers, seed, finished, failed, lost, total, calls):
    """For each call: the values tried in it; and how many trials are finished, failed, and neither."""
    study, tried, found = killed(seed, finished, failed, lost), [], []

    def objective(trial):
        tried.append(trial.suggest_float("x", 0.0, 1.0))
        return tried[-1]

    for _ in range(calls):
        before = len(tried)
        answers.resume(study, objective, total)
        states = [
            count(study, TrialState.COMPLETE, TrialState.PRUNED),
            count(study, TrialState.FAIL),
            count(study, TrialState.RUNNING, TrialState.WAITING),
        ]
        found.append([tried[before:], states])
    return found


def values(rng, count, pruned=0):
    """Values for trials that differ; the last `pruned` of them are above 0.9."""
    return [rng.uniform(0.0, 0.89) for _ in range(count - pruned)] + [rng.uniform(0.91, 1.0) for _ in range(pruned)]


def empty(rng):
    return [(rng.randrange(2**31), [], [], [], rng.randint(2, 8), 1) for _ in range(2)]


def some_finished(rng):
    """Some finished; and some finished, pruned and failed."""
    done = values(rng, rng.randint(2, 4)), values(rng, rng.randint(3, 5), pruned=2)
    return [
        (rng.randrange(2**31), done[0], [], [], len(done[0]) + rng.randint(1, 4), 1),
        (rng.randrange(2**31), done[1], values(rng, 2), [], len(done[1]) + rng.randint(1, 4), 1),
    ]


def one_lost(rng):
    return [
        (rng.randrange(2**31), values(rng, done), [], values(rng, 1), done + more, 1)
        for done, more in ((rng.randint(1, 4), 1), (rng.randint(1, 4), rng.randint(2, 4)))
    ]


def lost_and_called_twice(rng):
    return [(*case[:-1], 2) for case in one_lost(rng)]


def as_many(got, expected, seed, finished, failed, lost, total, calls):
    """As many trials as are missing, and they are finished."""
    return [len(tried) for tried, _ in got] == [len(tried) for tried, _ in expected] and got[0][1][0] == expected[0][1][0]


def as_many_and_new(got, expected, seed, finished, failed, lost, total, calls):
    return len(got[0][0]) == total - len(finished) and not set(failed) & set(got[0][0])


def lost_first(got, expected, seed, finished, failed, lost, total, calls):
    tried, states = got[0]
    return len(tried) == total - len(finished) and abs(tried[0] - lost[0]) < 1e-9 and states == expected[0][1]


def then_nothing(got, expected, seed, finished, failed, lost, total, calls):
    return [len(tried) for tried, _ in got] == [total - len(finished), 0]


JUDGED = {
    "test_halving": {
        "the best setting wins": (winner, contests),
        "63 epochs for 27 settings, not 81": (epochs_paid, equal_parts),
        "each setting gets what its rung is worth": (epochs_of_each, with_a_rest),
        "the last one alive is never cut": (halved, too_few),
    },
    "test_patient": {
        "it stops in time and keeps the best epoch": (stopped, bumpy),
        "not one epoch too many": (epochs_trained, falls),
        "a tie is no new best, and a run may end by itself": (stopped, ties_and_ends),
    },
    "test_mean_of": {
        "it is the mean that torch has": (means, seeds),
        "the checkpoints stay as they were": (left_behind, seeds),
        "weights that the next epoch overwrites": (means_of_overwritten, seeds),
        "a counter is taken from the last": (counter_and_types, seeds),
    },
    "test_resume": {
        "an empty study is run to the end": (resumed, empty, as_many),
        "what is finished is not run again": (resumed, some_finished, as_many_and_new),
        "what was lost is tried again, first": (resumed, one_lost, lost_first),
        "called again it does nothing": (resumed, lost_and_called_twice, then_nothing),
    },
}
