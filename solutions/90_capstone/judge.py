"""The judge of exercise 90; grading/judge.py says how it is used.

The labels of the pictures that a model is asked about never go into its kernel: `drawn` keeps them here, by the pictures.
Steps and FLOPs are counted by objects of the probe. Whoever hides work from both (in NumPy, in another process) is found
by the floor of FLOPs, or by reading the answer. Whoever has the fonts drawn instead of learning from what is shown gets a flag.
"""

import base64
import multiprocessing
import os
from contextlib import contextmanager

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from course_lib import data

# Wider than in the notebook, so that no answer that passes there on its pictures fails here on others by luck. From seed to
# seed, the accuracy of one answer has a standard deviation of about 2 points, of 5 on 100 pictures; what one packing loses,
# of about 1. LEARNED is what the notebook asks more than 0.5 of, and READS what it asks more than 0.3 of.
FLOOR, LEARNED, READS, LOST, STEPS, FLOPS, BYTES = 0.63, 0.35, 0.2, 0.04, 157, 4.2e9, 14_280
LABELS = {}  # {pictures as text: their labels}


def as_text(pictures):
    """Standardised pictures as base64 of their bytes: paper is the smallest number, ink the largest."""
    low, high = pictures.min(), pictures.max()
    return base64.b64encode(((pictures - low) / (high - low) * 255).round().byte().numpy().tobytes()).decode()


def drawn(rng, n_train=800, n_test=500):
    """(pictures to train on, their labels, pictures in other fonts), transposed and with the classes numbered anew."""
    glyphs = data.glyphs(n_train=n_train, n_test=n_test, classes=10, seed=rng.randrange(2**31))
    numbers = torch.tensor(rng.sample(range(10), 10))
    (shown, labels), (asked, right) = [(pictures.mT, numbers[labels]) for pictures, labels in (glyphs.train, glyphs.test)]
    LABELS[as_text(asked)] = right.tolist()
    return as_text(shown), labels.tolist(), as_text(asked)


def share(read, asked, turn=0):
    """The share of the pictures that were read; `read` are labels, one each."""
    right = LABELS[asked]
    return sum(got == (label + turn) % 10 for got, label in zip(read, right, strict=True)) / len(right)


def pictures(*texts):
    """The pictures as float32 (n, 1, 16, 16), standardised by the first of them."""
    raw = [torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8).view(-1, 1, 16, 16) / 255 for text in texts]
    return [(part - raw[0].mean()) / raw[0].std() for part in raw]


class Work(TorchDispatchMode):
    """Counts FLOPs by PyTorch's own formulas; FlopCounterMode gives the same, at three times the overhead."""

    flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        formula = flop_registry.get(func._overloadpacket)
        if formula:
            self.flops += formula(*args, **kwargs or {}, out_val=out)
        return out


@contextmanager
def steps():
    """Counts, in the list that it yields, the backward passes and the optimizers' steps.

    All backward passes go through one function, also those of somebody who took torch.autograd.backward along before.
    """
    counts, before = [0, 0], torch.autograd._engine_run_backward

    def counting(*args, **kwargs):
        counts[0] += 1
        return before(*args, **kwargs)

    def stepped(*_):
        counts[1] += 1

    hook = register_optimizer_step_post_hook(stepped)
    torch.autograd._engine_run_backward = counting
    try:
        yield counts
    finally:
        hook.remove()
        torch.autograd._engine_run_backward = before


def labels_of(model, asked):
    with torch.no_grad():
        return model(asked).argmax(1)


# 1. Training


def training(answers, shown, labels, asked, seed):
    """What the model reads, the steps, the FLOPs, and the FLOPs of reading what it was trained on once."""
    shown, asked = pictures(shown, asked)
    with steps() as counts, Work() as work:
        model = answers.train(shown, torch.tensor(labels), seed)
    with Work() as once:
        labels_of(model, shown)
    return [labels_of(model, asked), max(counts), work.flops, once.flops]


def many_asked(rng):
    return [(*drawn(rng), rng.randrange(2**31))]


def few_asked(rng):
    return [(*drawn(rng, n_test=100), rng.randrange(2**31))]


def reads(got, expected, shown, labels, asked, seed):
    return share(got[0], asked) >= FLOOR


def few_steps(got, expected, shown, labels, asked, seed):
    return share(got[0], asked) > LEARNED and 1 <= got[1] <= STEPS


def few_flops(got, expected, shown, labels, asked, seed):
    return share(got[0], asked) > LEARNED and got[3] < got[2] <= FLOPS


def twice(answers, shown, labels, asked, seed, before):
    """The largest difference between two models of one seed, and the modes of the first."""
    shown, models = pictures(shown)[0], []
    for other in before:
        torch.manual_seed(other)
        models.append(answers.train(shown, torch.tensor(labels), seed))
    with torch.no_grad():
        first, second = (model(shown) for model in models)
    return [(first - second).abs().max(), any(part.training for part in models[0].modules())]


def few_shown(rng):
    return [(*drawn(rng, n_train=100, n_test=10), rng.randrange(2**31), rng.sample(range(1000), 2))]


def same_and_ready(got, expected, *case):
    return got[0] <= 2e-3 and got[1] is False


# 2. Bytes


class Apart:
    """A process that was split off before a model was trained: all that predict knows of it there are the bytes."""

    def __init__(self, predict, asked):
        self._read = lambda packed: [int(label) for label in predict(packed, asked)]
        self._process = None
        if hasattr(os, "fork"):  # Windows has none; predict runs beside pack there
            context = multiprocessing.get_context("fork")
            self._here, there = context.Pipe()
            self._process = context.Process(target=self._serve, args=(there,), daemon=True)
            self._process.start()
            there.close()

    def _serve(self, there):
        while True:
            packed = there.recv_bytes()
            try:
                there.send(self._read(packed))
            except Exception:
                there.send(None)

    def read(self, packed):
        """The labels that predict gives, None where it raises."""
        if not isinstance(packed, bytes):
            raise TypeError
        if self._process is None:
            return self._read(packed)
        self._here.send_bytes(packed)
        return self._here.recv()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._process:
            self._process.kill()
            self._process.join()


def packing(answers, shown, labels, asked, seed):
    """What the model reads, and what predict reads from its bytes."""
    shown, asked = pictures(shown, asked)
    with Apart(answers.predict, asked) as apart:
        model = answers.train(shown, torch.tensor(labels), seed)
        read = apart.read(answers.pack(model))
    return [labels_of(model, asked), read]


def kept(got, expected, shown, labels, asked, seed):
    unpacked, packed = (share(read, asked) for read in got)
    return unpacked > LEARNED and packed >= unpacked - LOST


def size(answers, shown, labels, asked, seed):
    """The bytes themselves, so that they are counted outside, and what predict reads from them."""
    shown, asked = pictures(shown, asked)
    with Apart(answers.predict, asked) as apart:
        packed = answers.pack(answers.train(shown, torch.tensor(labels), seed))
        return [packed.hex(), apart.read(packed)]


def small(got, expected, shown, labels, asked, seed):
    return len(bytes.fromhex(got[0])) <= BYTES and share(got[1], asked) > READS


def two_models(answers, shown, labels, asked, seed, turn, order):
    """What predict reads from the bytes of two models with other numbers for the classes, in a drawn order."""
    shown, asked = pictures(shown, asked)
    with Apart(answers.predict, asked) as apart:
        packs = [answers.pack(answers.train(shown, (torch.tensor(labels) + add) % 10, seed)) for add in (0, turn)]
        return [apart.read(packs[which]) for which in order]


def two_numberings(rng):
    return [(*drawn(rng, n_train=400, n_test=200), rng.randrange(2**31), rng.randint(1, 9), rng.sample(range(2), 2))]


def each_its_own(got, expected, shown, labels, asked, seed, turn, order):
    return all(share(read, asked, turn * which) > READS for read, which in zip(got, order, strict=True))


# 3. The plan


def planned(answers, rows, most_lost):
    return answers.plan(rows, most_lost)


def row(rng, techniques, cost, lost, price=1.0, swing=False):
    """A row of three seeds with this cost, the median of the seconds times the price, and the accuracy lost on average."""
    factors = (1, rng.uniform(1.1, 4), rng.uniform(0.7, 0.95)) if swing else (1, 1, 1)
    spread = rng.uniform(0.01, 0.03)
    return {
        "techniques": techniques,
        "seconds": rng.sample([cost / price * factor for factor in factors], 3),
        "accuracy": rng.sample([0.9 - lost + part for part in (spread, 0, -spread)], 3),
        "price": price,
    }


def shuffled(rng, *rows):
    return rng.sample([row(rng, *one) for one in rows], len(rows))


def by_cost(rng):
    """The cheapest is on a machine that is slower and cheaper than the other's, and its seconds swing."""
    cases = []
    for _ in range(4):
        cheap, dear = rng.sample(["loader", "bf16", "compile", "gpu"], 2)
        rows = ([], 100, 0, 1.0), ([cheap], rng.uniform(30, 50), 0, 0.5, True), ([dear], rng.uniform(60, 80), 0, 8.0, True)
        cases.append((shuffled(rng, *rows), 0.005))
    return cases


def by_accuracy(rng):
    cases = []
    for lost in (0.003, 0.008):
        rows = shuffled(rng, ([], 100, 0), (["bf16"], 60, -0.002), (["bf16", "prune"], rng.uniform(20, 40), 0.0055))
        cases.append((rows, lost))
    return [*cases, (shuffled(rng, ([], 100, 0), (["prune"], 5, 0.2)), 0.005)]


def by_gain(rng):
    rows = [(["a", "b", "c"], 50, 0), (["a", "b"], rng.uniform(50.2, 50.8), 0), (["a"], rng.uniform(55, 70), 0), ([], 100, 0)]
    near = [([], 100, 0), (["a"], 50.9, 0), (["b"], rng.uniform(50.2, 50.6), 0), (["c", "d"], 50, 0)]
    return [(shuffled(rng, *some), 0.005) for some in (rows, near, [(["a"], rng.uniform(98.5, 99.5), 0), ([], 100, 0)])]


def refused(answers, rows, most_lost):
    try:
        answers.plan(rows, most_lost)
    except ValueError:
        return True
    return False


def without_baseline(rng):
    return [(shuffled(rng, (["a"], rng.uniform(50, 90), 0), (["b"], 70, 0)), 0.005)]


def same_techniques(got, expected, *case):
    return isinstance(got, list) and sorted(got) == sorted(expected)


JUDGED = {
    "test_train": {
        "reads seven of ten digits in fonts that it never saw": (training, many_asked, reads),
        "within 150 steps": (training, few_asked, few_steps),
        "within 4 GFLOPs": (training, few_asked, few_flops),
        "the same seed gives the same model, in eval mode": (twice, few_shown, same_and_ready),
    },
    "test_pack": {
        "the packed model loses at most 1 point": (packing, many_asked, kept),
        "at most 14,000 bytes": (size, few_asked, small),
        "the answers come from the bytes": (two_models, two_numberings, each_its_own),
    },
    "test_plan": {
        "the cheapest, by median time and price": (planned, by_cost, same_techniques),
        "never for more accuracy than allowed": (planned, by_accuracy, same_techniques),
        "what gains less than 2 % is dropped": (planned, by_gain, same_techniques),
        "rows without a baseline are refused": (refused, without_baseline),
    },
}

NOT_FOR_ANSWERS = {"task", "data", "course_lib.data", "course_lib.data.glyphs", "matplotlib.font_manager", "PIL.ImageFont"}

# What the leaderboard shows: {name: (test cell, check, the number in one result)}.


def packed_accuracy(got, shown, labels, asked, seed):
    return share(got[1], asked)


def bytes_packed(got, *case):
    return len(bytes.fromhex(got[0]))


def steps_taken(got, *case):
    return got[1]


def flops_taken(got, *case):
    return got[2]


MEASURED = {
    "accuracy": ("test_pack", "the packed model loses at most 1 point", packed_accuracy),
    "bytes": ("test_pack", "at most 14,000 bytes", bytes_packed),
    "flops": ("test_train", "within 4 GFLOPs", flops_taken),
    "steps": ("test_train", "within 150 steps", steps_taken),
}
