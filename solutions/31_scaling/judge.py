"""The judge of exercise 31; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
Schedules come out as plain lists and are carried out here, by the simulators of the course.
"""

import math
from collections import Counter

import numpy as np
import torch

from course_lib.schedules import Send, carry_out, most_alive, pipeline, play

# 1. The line


def line(answers, sizes, seconds, as_arrays):
    given = (np.array(sizes), np.array(seconds)) if as_arrays else (sizes, seconds)
    return list(answers.fit(*given))


def on_a_line(rng):
    cases = []
    for as_arrays, count in ((False, 4), (False, 2), (True, 2), (True, 6)):
        alpha, bandwidth = rng.uniform(1e-4, 1e-2), rng.uniform(1e8, 1e10)
        sizes = [float(1000 * 8**power) for power in range(count)]
        rng.shuffle(sizes)
        cases.append((sizes, [alpha + size / bandwidth for size in sizes], as_arrays))
    return cases


def noisy(rng):
    cases = []
    for _ in range(4):
        alpha, bandwidth = rng.uniform(2, 5), rng.uniform(4, 9)
        sizes = [rng.uniform(1, 100) for _ in range(rng.randint(10, 30))]
        cases.append((sizes, [alpha + size / bandwidth + rng.uniform(-2, 2) for size in sizes], False))
    return cases


def refused(answers, sizes, seconds):
    try:
        answers.fit(sizes, seconds)
    except ValueError:
        return True
    return False


def one_size(rng):
    size, count = rng.randint(1, 10**6), rng.randint(2, 6)
    return [([], []), ([size], [rng.uniform(0, 1)]), ([size] * count, [1.0] * count)]


# 2. The all-reduce


def sends(answers, ranks, seed):
    steps = answers.all_reduce(ranks)
    return [[[int(s.source), int(s.target), int(s.chunk), bool(s.add)] for s in step] for step in steps]


def few_and_many_ranks(rng):
    return [(ranks, rng.randrange(2**31)) for ranks in (2, 4, 8, 16)]


def more_ranks(rng):
    return [(ranks, rng.randrange(2**31)) for ranks in (4, 8, 16)]


def sums(got, expected, ranks, seed):
    """Whether the steps make the sum of random numbers, on every rank."""
    values = np.random.default_rng(seed).normal(size=(ranks, ranks))
    done = carry_out([[Send(*message) for message in step] for step in got], values)
    return np.allclose(done.values, values.sum(axis=0))


def few_bytes(got, expected, ranks, seed):
    by_rank = Counter(message[0] for step in got for message in step)
    return max(by_rank.values()) <= 2 * (ranks - 1) and sums(got, expected, ranks, seed)  # of `ranks` chunks


def few_steps(got, expected, ranks, seed):
    return len(got) <= 2 * math.log2(ranks) and sums(got, expected, ranks, seed)


# 3. Compression


def sent(answers, k, gradients):
    """For each gradient, in turn to one sender: (index, value) pairs in order of the index, and the gradient after the call."""
    sender, found = answers.TopK(k), []
    for gradient in map(torch.tensor, gradients):
        indices, values = sender.compress(gradient)
        found.append([in_order(indices, values), gradient])
    return found


def in_order(indices, values):
    return sorted((int(index), float(value)) for index, value in zip(indices, values, strict=True))


def normal(rng, count):
    return [rng.gauss(0, 1) for _ in range(count)]


def one_gradient(rng):
    """A few of many, most of them negative; all of a few."""
    cases = [(k, [[-abs(x) if place % 3 else x for place, x in enumerate(normal(rng, 20))]]) for k in (2, 4, 7)]
    return [*cases, (rng.randint(6, 9), [normal(rng, 5)])]


def same_pairs(got, expected, *case):
    return all(
        len(ours) == len(right) and all(map(same_pair, ours, right))
        for (ours, _), (right, _) in zip(got, expected, strict=True)
    )


def same_pair(ours, right):
    return ours[0] == right[0] and math.isclose(ours[1], right[1], rel_tol=1e-4)


def then_quiet(rng):
    """Gradients, and then as many steps of zeros as it takes to deliver all that may be left."""
    cases = []
    for k in (3, rng.randint(2, 5)):
        steps, quiet = rng.randint(3, 6), rng.randint(3, 5)
        n = k * quiet
        cases.append((k, [normal(rng, n) for _ in range(steps)] + [[0.0] * n] * quiet))
    return cases


def all_arrived(got, expected, k, gradients):
    arrived = np.zeros(len(gradients[0]))
    for pairs, _ in got:
        if len(pairs) != k or len({index for index, _ in pairs}) != k:
            return False
        for index, value in pairs:
            arrived[index] += value
    return np.abs(arrived - np.sum(gradients, axis=0)).max() < 1e-4


def two_senders(answers, first, second):
    """The first sender's gradient after each of two calls; what the other sends of a second one; what the first had kept."""
    one, other, gradient, found = answers.TopK(1), answers.TopK(1), torch.tensor(first), []
    for _ in range(2):
        one.compress(gradient)
        found.append(gradient.tolist())
    return [*found, in_order(*other.compress(torch.tensor(second))), in_order(*one.compress(torch.zeros(len(first))))]


def two_gradients(rng):
    """The first has three large entries: its third is sent, twice the second, and then the third is the largest left.

    The other sender's gradient is far smaller than what the first one keeps.
    """
    cases = []
    for n in (3, rng.randint(4, 8)):
        first = [rng.uniform(1.0, 1.4), rng.uniform(2.4, 2.8), rng.uniform(3.6, 4.2)] + [
            rng.uniform(0, 0.1) for _ in range(n - 3)
        ]
        rng.shuffle(first)
        second = [0.0] * n
        second[rng.randrange(n)] = rng.uniform(0.1, 0.5)
        cases.append((first, second))
    return cases


# 4. The pipeline


def orders(answers, stages, micro):
    return [[(str(kind), int(m)) for kind, m in order] for order in answers.one_forward_one_backward(stages, micro)]


def pipelines(rng):
    """One stage; fewer micro-batches than stages; more, and many more."""
    few, many = rng.randint(3, 6), rng.randint(2, 4)
    return [(1, rng.randint(2, 6)), (few, few - 1), (many, many + rng.randint(1, 6)), (rng.randint(3, 6), rng.randint(9, 15))]


def played(got, stages, micro):
    """(the timeline, the orders); raises when they are none, or do not run to their end."""
    found = [[(kind, m) for kind, m in order] for order in got]
    if len(found) != stages or sorted(found[0]) != sorted((kind, m) for kind in "BF" for m in range(micro)):
        raise ValueError("orders: one a stage, each micro-batch once forward and once backward")
    return play(pipeline(found)), found


def runs(got, expected, stages, micro):
    return played(got, stages, micro)[0].total > 0


def in_time(got, expected, stages, micro):
    return played(got, stages, micro)[0].total <= 3 * (micro + stages - 1)


def holds_little(got, expected, stages, micro):
    return all(most_alive(order) <= min(micro, stages - stage) for stage, order in enumerate(played(got, stages, micro)[1]))


# 5. Bytes


def held(answers, parameters, activations, ranks, stages):
    return [answers.bytes_a_rank(parameters, activations, ranks, stage) for stage in stages]


def nothing_divided(rng):
    sizes = [(1000 * rng.randint(500, 5000), 1000 * rng.randint(500, 9000)) for _ in range(2)]
    return [(*sizes[0], 1, [0, 1, 2, 3]), (*sizes[1], rng.randint(2, 64), [0])]


def divided(rng):
    """The parameters can be divided evenly."""
    cases = []
    for ranks in (2, 8, rng.randint(3, 64)):
        cases.append((1000 * ranks * rng.randint(100, 900), 1000 * rng.randint(500, 9000), ranks, [0, 1, 2, 3]))
    return cases


def first_fit(answers, *case):
    return answers.smallest_stage(*case)


def memories(rng):
    """Memory for each of the stages and for none, to the byte in the last stage; activations that fill it alone."""
    ranks, cases = 2 ** rng.randint(1, 6), []
    parameters, activations = 1000 * ranks * rng.randint(10, 900), 1000 * rng.randint(0, 900)
    for shares in (16, 15.5, 2 + 14 / ranks, 16 / ranks):
        cases.append((parameters, activations, ranks, round(shares * parameters) + activations))
    return [*cases, (*cases[-1][:3], cases[-1][3] - 1000), (1, rng.uniform(1e9, 2e9), 1024, rng.uniform(0.5e9, 0.9e9))]


JUDGED = {
    "test_fit": {
        "points on a line give back the line": (line, on_a_line),
        "of noisy points, all count": (line, noisy),
        "one size is refused": (refused, one_size),
    },
    "test_all_reduce": {
        "every rank ends with the sum": (sends, few_and_many_ranks, sums),
        "no rank sends more than 2(N-1)/N of the vector": (sends, more_ranks, few_bytes),
        "no more than 2 log2(N) steps": (sends, more_ranks, few_steps),
    },
    "test_top_k": {
        "the k largest in magnitude, with their signs": (sent, one_gradient, same_pairs),
        "what was not sent is sent later: nothing is lost": (sent, then_quiet, all_arrived),
        "the gradient is left as it is, and senders do not share what they keep": (two_senders, two_gradients),
    },
    "test_one_forward_one_backward": {
        "it runs to its end": (orders, pipelines, runs),
        "in no more than 3 (M + S - 1) units of time": (orders, pipelines, in_time),
        "stage s never holds more than min(M, S - s) activations": (orders, pipelines, holds_little),
    },
    "test_bytes_a_rank": {
        "alone, or with nothing divided, a rank holds 16 bytes a parameter, and its activations": (held, nothing_divided),
        "each stage divides one part more": (held, divided),
        "the first stage that fits": (first_fit, memories),
    },
}
