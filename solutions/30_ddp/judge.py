"""The judge of exercise 30; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

import hashlib
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

# 1. Shares. Any order is right, so it is the properties that are judged.


def shares(answers, samples, ranks, epochs):
    """For each epoch, what each rank gets: lists of lists of int."""
    return [[[int(n) for n in answers.share(samples, ranks, r, e)] for r in range(ranks)] for e in epochs]


def even(rng):
    return [(ranks * rng.randint(4, 30), ranks, [0, rng.randint(1, 50)]) for ranks in (2, 3, rng.randint(4, 6))]


def each_once(got, expected, samples, ranks, epochs):
    return all(sorted(n for own in shares for n in own) == list(range(samples)) for shares in got)


def uneven(rng):
    cases = []
    for ranks in (3, 4, 5):
        left = rng.randint(1, ranks - 1)
        cases.append((ranks * rng.randint(3, 6) + left, ranks, list(range(20))))
    return cases


def equally_many(got, expected, samples, ranks, epochs):
    """Nobody waits, nobody sees a sample twice, and it is not always the same ones that sit out."""
    left_out = set()
    for shares in got:
        drawn = [n for own in shares for n in own]
        left_out |= set(range(samples)) - set(drawn)
        if len(set(drawn)) < len(drawn) or any(len(own) != samples // ranks for own in shares):
            return False
    return len(left_out) > samples % ranks


def orders(answers, samples, ranks, seed, states):
    """For two states of the global generator: before, five epochs of each rank, after. And an epoch with another seed."""
    found = []
    for state in states:
        torch.manual_seed(state)
        before = generator_state()
        found.append([before, shares(answers, samples, ranks, range(5)), generator_state()])
    return [found, [int(n) for n in answers.share(samples, ranks, 0, 3, seed=seed)]]


def generator_state():
    return hashlib.sha256(bytes(torch.get_rng_state().tolist())).hexdigest()


def many(rng):
    cases = [(rng.randint(20, 40), rng.randint(2, 3)) for _ in range(2)]
    return [(each * ranks, ranks, rng.randint(10, 99), rng.sample(range(2**31), 2)) for each, ranks in cases]


def agreed(got, expected, samples, ranks, *case):
    ((before, epochs, after), (before_again, again, after_again)), other_seed = got
    first = [shares[0] for shares in epochs]
    undisturbed = before == after and before_again == after_again and epochs == again
    another_order = len({tuple(own) for own in first}) == 5 and other_seed != first[3]
    mixed = len({frozenset(own) for own in first}) > 1 and sorted(first[3]) != list(range(samples // ranks))
    same_for_all = all(len({n for own in shares for n in own}) == sum(map(len, shares)) for shares in epochs)
    return undisturbed and another_order and mixed and same_for_all


# 2. Buckets


def buckets(answers, sizes, cap):
    return [[int(position) for position in bucket] for bucket in answers.buckets(sizes, cap)]


def gradients(rng):
    cases = []
    for cap in (20, rng.randint(30, 60), rng.randint(100, 200)):
        sizes = [rng.randint(1, cap // 2) for _ in range(rng.randint(12, 20))]
        sizes[rng.randrange(1, len(sizes))] = 2 * cap
        cases.append((sizes, cap))
    return [*cases, ([rng.randint(1, 9)] * 3, 100), ([rng.randint(5, 9)], 7), ([4] * rng.randint(5, 9), 8)]


def backwards(got, expected, sizes, cap):
    return [position for bucket in got for position in bucket] == list(range(len(sizes)))[::-1]


def below_the_cap(got, expected, sizes, cap):
    return all(bucket and (len(bucket) == 1 or sum(sizes[n] for n in bucket) <= cap) for bucket in got)


def full(got, expected, sizes, cap):
    return len(got) > 0 and all(sum(sizes[n] for n in bucket) + sizes[after[0]] > cap for bucket, after in pairwise(got))


# 3. One message


class TwoWays(nn.Module):
    """Samples with a positive first feature go through one layer, the others through another."""

    def __init__(self):
        super().__init__()
        self.positive, self.negative = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.positive(x) if x[0, 0] > 0 else self.negative(x)


def message_shapes(answers, seed, sizes):
    return [list(vector.shape) for vector in averaged(answers, seed, sizes)[0]]


def gradients_after(answers, *case):
    """The gradients of every rank, a list for each of its parameters."""
    return [[p.grad for p in rank.parameters()] for rank in averaged(answers, *case)[1]]


def averaged(answers, seed, sizes, signs=None):
    """(vectors, models): what each rank packed, and its model after it unpacked their sum."""
    torch.manual_seed(seed)
    ranks, vectors = [], []
    for number, size in enumerate(sizes):
        x, y = torch.randn(size, 4), torch.randint(3, (size,))
        if signs:
            x[:, 0] = signs[number] * x[:, 0].abs()
        ranks.append(model_of(seed, signs))
        F.cross_entropy(ranks[-1](x), y).backward()
        vectors.append(answers.pack(ranks[-1], size))
    total = torch.stack(vectors).sum(0)  # the all-reduce
    for rank in ranks:
        answers.unpack(rank, total.clone())
    return vectors, ranks


def model_of(seed, signs):
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1)
        return TwoWays() if signs else nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def equal_shares(rng):
    return [(rng.randrange(2**31), [rng.randint(3, 9)] * ranks) for ranks in (2, 3, 4)]


def unequal_shares(rng):
    return [(rng.randrange(2**31), rng.sample(range(2, 12), ranks)) for ranks in (2, 3, 4)]


def unused_layers(rng):
    return [(rng.randrange(2**31), rng.sample(range(2, 9), 3), rng.sample([1, -1, sign], 3)) for sign in (1, -1)]


def same_gradients(got, expected, *case):
    return all(
        near(ours, right, 1e-6)
        for rank, rights in zip(got, expected, strict=True)
        for ours, right in zip(rank, rights, strict=True)
    )


def near(ours, right, apart):
    ours, right = torch.tensor(ours), torch.tensor(right)
    return ours.shape == right.shape and torch.allclose(ours, right, rtol=0, atol=apart)


# 4. Batch norm


def normalised(answers, seed, sizes, features, centres):
    """How many numbers each rank sends, and the normalised samples of all."""
    draw = torch.Generator().manual_seed(seed)
    xs = [2 * torch.randn(size, features, generator=draw) + c for size, c in zip(sizes, centres, strict=True)]
    return all_normalised(answers, xs)


def all_normalised(answers, xs):
    messages = [answers.partial(x) for x in xs]
    total = torch.stack(messages).sum(0)
    return [[message.numel() for message in messages], torch.cat([answers.normalise(x, total) for x in xs])]


def normalised_or_constant(answers, sizes, centres, seed):
    """Without a seed each feature has one value, the same in all samples: one of `centres`."""
    if seed is None:
        return all_normalised(answers, [torch.tensor(centres).repeat(size, 1) for size in sizes])
    return normalised(answers, seed, sizes, 3, centres)


def equal_batches(rng):
    """Constant features: as many and as odd that a variance in float32 comes out below zero for one of them."""
    cases = []
    for ranks in (2, 3):
        centres = rng.sample([-5.0, -2.0, 1.0, 4.0], ranks)
        cases.append(([rng.randint(5, 9)] * ranks, centres, rng.randrange(2**31)))
    return [*cases, ([5, 5], [rng.uniform(900, 2000) for _ in range(40)], None)]


def as_the_whole_or_zero(got, expected, sizes, centres, seed):
    found = torch.tensor(got[1])
    if seed is None:
        return found.shape == (sum(sizes), len(centres)) and bool((found.abs() < 1).all())
    return as_the_whole(got, expected)


def as_the_whole(got, expected, *case):
    return near(got[1], expected[1], 1e-3)


def unequal_batches(rng):
    cases = []
    for ranks in (2, 3, 4):
        sizes = [1, *rng.sample(range(3, 25), ranks - 1)]
        cases.append((rng.randrange(2**31), sizes, rng.randint(2, 5), [rng.uniform(-5, 5) for _ in sizes]))
    return cases


def small_and_large_batches(rng):
    cases = []
    for first in (2, 300):
        sizes, features = [first, rng.randint(5, 20)], rng.randint(4, 8)
        cases.append((rng.randrange(2**31), sizes, features, [rng.uniform(1, 5), rng.uniform(-5, -1)]))
    return cases


def short_and_right(got, expected, seed, sizes, features, centres):
    return max(got[0]) <= 2 * features + 1 and as_the_whole(got, expected)


# 5. The reader. Its weights are the learner's, so it is compared with itself.


def answer_shapes(answers, samples, length, hidden, classes):
    return list(answers.Reader(hidden=hidden, classes=classes)(torch.randn(samples, length)).shape)


def lengths(rng):
    cases = [(rng.randint(2, 8), rng.choice([3, 5, 7, 12, 20, 25]), 16, 2) for _ in range(2)]
    return [*cases, (1, 10, 16, 2), (rng.randint(2, 5), rng.randint(4, 8), rng.randint(4, 8), rng.randint(3, 5))]


def halves(answers, seed, samples, one):
    """Answers to the whole batch and to its halves, and how far each number of it moves the answer of sample `one`."""
    torch.manual_seed(seed)
    model, x = answers.Reader(), torch.randn(samples, 10, requires_grad=True)
    whole, parts = model(x), torch.cat([model(half) for half in x.chunk(2)])
    (model(x)[one] ** 2).sum().backward()
    return [isinstance(model.lstm, nn.LSTM), whole, parts, x.grad]


def even_batches(rng):
    cases = []
    for _ in range(2):
        samples = 2 * rng.randint(3, 6)
        cases.append((rng.randrange(2**31), samples, rng.randrange(1, samples - 1)))
    return cases


def alike_and_apart(got, expected, seed, samples, one):
    is_lstm, whole, parts, moves = got
    alike = torch.allclose(torch.tensor(whole), torch.tensor(parts), atol=1e-5)
    others = [number for sample, row in enumerate(moves) if sample != one for number in row]
    return is_lstm and alike and len(whole) == len(parts) == samples and not any(others)


def along_time(answers, seed, samples, length):
    """What the LSTM takes at a time, how far each number moves an answer, and the answers forwards and backwards."""
    torch.manual_seed(seed)
    model, x = answers.Reader(), torch.randn(samples, length, requires_grad=True)
    forwards = model(x)
    (forwards**2).sum().backward()
    return [model.lstm.input_size, x.grad, forwards, model(x.flip(1))]


def series(rng):
    return [(rng.randrange(2**31), rng.randint(3, 6), length) for length in (10, rng.randint(6, 14))]


def every_number_in_its_turn(got, expected, seed, samples, length):
    width, moves, forwards, backwards = got
    reached = len(moves) == samples and all(len(row) == length and all(row) for row in moves)
    return width == 1 and reached and not torch.allclose(torch.tensor(forwards), torch.tensor(backwards), atol=1e-6)


JUDGED = {
    "test_share": {
        "each sample once, over all ranks": (shares, even, each_once),
        "equally many for each rank, and none twice, where it does not divide evenly": (shares, uneven, equally_many),
        "another order in each epoch, the same on all ranks, and no use of the global generator": (orders, many, agreed),
    },
    "test_buckets": {
        "each gradient once, from the last to the first": (buckets, gradients, backwards),
        "no bucket above the cap, but for a gradient that is": (buckets, gradients, below_the_cap),
        "no message more than needed": (buckets, gradients, full),
    },
    "test_pack": {
        "one vector, of one number more than there are parameters": (message_shapes, equal_shares),
        "equal shares: the gradient of the whole batch": (gradients_after, equal_shares, same_gradients),
        "unequal shares, too": (gradients_after, unequal_shares, same_gradients),
        "a layer that only some ranks used": (gradients_after, unused_layers, same_gradients),
    },
    "test_partial": {
        "equal shares with different means": (normalised_or_constant, equal_batches, as_the_whole_or_zero),
        "unequal shares": (normalised, unequal_batches, as_the_whole),
        "a short message, whatever the batch, that gives the right answer": (
            normalised,
            small_and_large_batches,
            short_and_right,
        ),
    },
    "test_reader": {
        "one answer a sample, for series of any length": (answer_shapes, lengths),
        "the whole batch equals its halves": (halves, even_batches, alike_and_apart),
        "the numbers of a series are its time steps": (along_time, series, every_number_in_its_turn),
    },
}
