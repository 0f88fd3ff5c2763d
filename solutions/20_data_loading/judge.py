"""The judge of exercise 20; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

import hashlib
import random
from types import SimpleNamespace

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

# 1. Waiting


def wait_share(answers, moments):
    return answers.wait_share([tuple(step) for step in moments])


def equal_steps(rng):
    """Steps of one length, each beginning when the one before it ends. All numbers are exact as floats."""
    cases = []
    for count in (2, 3, 6):
        start, waits, computes = rng.randint(0, 50) / 4, rng.randint(1, 40) / 4, rng.randint(1, 40) / 4
        begins = [start + step * (waits + computes) for step in range(count)]
        cases.append(([(begin, begin + waits, begin + waits + computes) for begin in begins],))
    return cases


def unequal_steps(rng):
    cases = []
    for pause in (0.0, 5.0, 50.0):
        moments, now = [], rng.uniform(0, 10)
        for scale in (1, 2, 6, 15):
            arrived = now + scale * rng.uniform(0.1, 1)
            moments.append((now, arrived, arrived + rng.uniform(0.5, 4)))
            now = moments[-1][2] + pause
        cases.append((moments,))
    return cases


def most(answers, share):
    return answers.most(share)


def shares(rng):
    return [(rng.uniform(0.05, 0.45),), (rng.uniform(0.55, 0.95),), (0.0,), (1.0,)]


# 2. Blocks


class Blocks:
    """What the exercise calls Blocks, with numbers that nobody can work out from an index."""

    def __init__(self, n, size, seed):
        self.size = size
        self._samples = torch.randint(10**6, (n, 2), generator=torch.Generator().manual_seed(seed))

    def read(self, block):
        return self._samples[block * self.size : (block + 1) * self.size].clone()


def fetched(answers, n, size, seed, indices):
    batch = answers.BlockSet(Blocks(n, size, seed)).__getitems__(indices)
    return [isinstance(batch, torch.Tensor), batch]


def batches_in_any_order(rng):
    cases = []
    for size in (1, 4, 7):
        n = size * rng.randint(3, 6) + rng.randint(0, size - 1)
        indices = [rng.randrange(n) for _ in range(rng.randint(5, 12))]
        cases.append((n, size, rng.randrange(2**31), [n - 1, *indices, indices[0], 0]))
    return cases


def reads(answers, n, size, seed, batches):
    """The blocks read for each of several batches, in order. The count is in no attribute: no answer can set it back."""
    read, counts = [], []

    class Counted(Blocks):
        def read(self, block):
            read.append(int(block))
            return super().read(block)

    samples = answers.BlockSet(Counted(n, size, seed))
    for indices in batches:
        read.clear()
        samples.__getitems__(indices)
        counts.append(sorted(read))
    return counts


def batches_of_few_blocks(rng):
    """Several samples of each block, in turn from all of them, and the first batch once more."""
    cases = []
    for size in (4, 8, 9):
        batches = []
        for _ in range(2):
            blocks = rng.sample(range(8), rng.randint(2, 4))
            batches.append([block * size + rng.randrange(size) for _ in range(3) for block in blocks])
        cases.append((8 * size, size, rng.randrange(2**31), [*batches, batches[0]]))
    return cases


# 3. Draws. Any numbers are right, so it is their properties that are judged.


def asked_twice(answers, *of):
    """The draws of one sample, asked for again after another one."""
    seed, epoch, index, n = of
    first = np.asarray(answers.draws(*of))
    answers.draws(seed, epoch, index + 1, n)
    return [first, answers.draws(*of)]


def samples(rng):
    return [(rng.randint(0, 999), rng.randint(0, 99), rng.randint(0, 9999), rng.randint(3, 9)) for _ in range(4)]


def repeated(got, expected, seed, epoch, index, n):
    first, again = got
    return first == again and len(set(first)) == len(first) == n and min(first) >= 0 and max(first) <= 1


def pairs(answers, triples):
    """Two numbers each: of single ones in float32, 500 may hold two that are equal by chance."""
    return [answers.draws(*triple, 2) for triple in triples]


def neighbours(rng):
    """A block of samples of a few epochs; samples where sums and products of seeds meet; a long row of neighbours."""
    seed, epoch, index = rng.randint(0, 99), rng.randint(0, 99), rng.randint(0, 999)
    grid = [(seed + s, epoch + e, index + i) for s in range(3) for e in range(4) for i in range(30)]
    cases = [(grid,), ([(seed, epoch, index + i) for i in range(500)],)]
    for k in (100, 1000, 10_000):
        places = (0, 1, k - 1, k, k + 1, 2 * k)
        cases.append(([(s, e, i) for s in (0, 1) for e in (0, 1, 100, 1000) for i in places],))
    return cases


def all_different(got, expected, triples):
    first = [pair[0] for pair in got]
    spread = len(first) < 500 or (0.4 < np.mean(first) < 0.6 and abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.25)
    return len({tuple(pair) for pair in got}) == len(triples) == len(first) and spread


def global_states():
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return hashlib.sha256(repr(states).encode()).hexdigest()


def beside_global_generators(answers, of, seeds):
    """For two states of the global generators: the state before, the draws, the state after."""
    found = []
    for seed in seeds:
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        found.append([global_states(), answers.draws(*of), global_states()])
    return found


def two_seeds(rng):
    return [(case, rng.sample(range(2**31), 2)) for case in samples(rng)[:2]]


def untouched(got, expected, *case):
    (before, first, after), (before_again, again, after_again) = got
    return first == again and before == after and before_again == after_again


# 4. Shards


def shared_out(answers, n, workers, ranks):
    """What each reader gets: a list of lists. 0 workers: the process itself reads."""
    shards = [f"shard-{number:02}.tar" for number in range(n)]
    infos = [SimpleNamespace(id=number, num_workers=workers) for number in range(workers)] or [None]
    return [[str(s) for s in answers.my_shards(list(shards), info, r, ranks)] for r in range(ranks) for info in infos]


def one_process(rng):
    workers = [0, 2, 3, rng.randint(4, 6)]
    return [(each * rng.randint(1, 4) + 1, each, 1) for each in workers] + [(2, rng.randint(3, 6), 1)]


def several_processes(rng):
    cases = [(rng.randint(1, 3), rng.randint(2, 4)) for _ in range(3)] + [(0, rng.randint(2, 4))]
    return [(max(1, workers) * ranks * rng.randint(0, 3) + 1, workers, ranks) for workers, ranks in cases]


def three_readers_or_more(rng):
    """One shard more than an even share for each: who rounds up gives too much to some and too little to the last."""
    cases = [(rng.randint(3, 6), 1), (3, rng.randint(2, 3)), (2, rng.randint(2, 4)), (0, rng.randint(3, 5))]
    return [(max(1, workers) * ranks * rng.randint(1, 3) + 1, workers, ranks) for workers, ranks in cases]


def each_once(got, expected, n, workers, ranks):
    return sorted(shard for part in got for shard in part) == [f"shard-{number:02}.tar" for number in range(n)]


def fair(got, expected, n, workers, ranks):
    sizes = [len(part) for part in got]
    return sum(sizes) == n and max(sizes) - min(sizes) <= 1


# 5. Squares


def pictures(seed, batch, height, width, side):
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (batch, 3, height, width), generator=draw, dtype=torch.uint8)
    tops = torch.randint(height - side + 1, (batch,), generator=draw)
    lefts = torch.randint(width - side + 1, (batch,), generator=draw)
    return pixels, tops, lefts, torch.randint(2, (batch,), generator=draw).bool(), side


def squares(answers, *sizes):
    return answers.crop_flip(*pictures(*sizes))


def sizes(rng):
    cases = [(rng.randint(6, 9), side + rng.randint(3, 6), side + rng.randint(3, 9), side) for side in (3, 6)]
    return [(rng.randrange(2**31), *case) for case in (*cases, (1, 5, 5, 5), (4, 14, 5, 2), (4, 5, 14, 5))]


def type_and_input(answers, *sizes):
    """The type of what comes back, and what the call left of the pictures."""
    pixels, *rest = pictures(*sizes)
    return [str(answers.crop_flip(pixels, *rest).dtype), pixels]


def operations(answers, seed, batches, height, width, side):
    """For each number of pictures: the operations, the squares."""
    found, operations = [], []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            operations.append(1)
            return op(*args, **(kwargs or {}))

    for batch in batches:
        given = pictures(seed, batch, height, width, side)
        operations.clear()
        with Count():
            cut = answers.crop_flip(*given)
        found.append([len(operations), cut])
    return found


def few_and_many(rng):
    side = rng.randint(2, 4)
    few, many = rng.randint(2, 6), rng.randint(40, 80)
    return [(rng.randrange(2**31), [few, many], side + rng.randint(2, 6), side + rng.randint(2, 6), side)]


def no_more_for_many(got, expected, *case):
    (few, few_squares), (many, many_squares) = got
    return few_squares == expected[0][1] and many_squares == expected[1][1] and 0 < many <= few


JUDGED = {
    "test_wait_share": {
        "two equal steps": (wait_share, equal_steps),
        "steps of different length, and a pause between them": (wait_share, unequal_steps),
        "what a faster model could bring at most": (most, shares),
    },
    "test_getitems": {
        "the right samples, in the order asked for": (fetched, batches_in_any_order),
        "every block once a batch, and no block that is not needed": (reads, batches_of_few_blocks),
    },
    "test_draws": {
        "reproducible, and from 0 to 1": (asked_twice, samples, repeated),
        "others for every seed, epoch and sample": (pairs, neighbours, all_different),
        "no global generator is touched, none is used": (beside_global_generators, two_seeds, untouched),
    },
    "test_shards": {
        "one process: every shard exactly once": (shared_out, one_process, each_once),
        "several processes: still exactly once": (shared_out, several_processes, each_once),
        "fair: shares differ by one shard at most": (shared_out, three_readers_or_more, fair),
    },
    "test_crop_flip": {
        "the same pixels as the loop": (squares, sizes),
        "uint8 stays uint8, and the input stays as it was": (type_and_input, sizes),
        "as many operations for 64 pictures as for 4": (operations, few_and_many, no_more_for_many),
    },
}
