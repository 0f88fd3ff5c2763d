"""The judge of exercise 12; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

from contextlib import ExitStack, contextmanager
from itertools import pairwise
from unittest import mock

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn

from course_lib import measure


def perceptron(widths, seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*(stage for layer in layers[:-1] for stage in (layer, nn.ReLU())), layers[-1])


# 1. The calculator


def weights_and_gradients(answers, widths, batch, optimizer):
    said = answers.training_bytes(widths, batch, optimizer)
    return [said["weights"], said["gradients"]]


def state(answers, widths, batch, optimizer):
    return answers.training_bytes(widths, batch, optimizer)["optimizer"]


def saved(answers, widths, batch, optimizer):
    return answers.training_bytes(widths, batch, optimizer)["saved"]


def networks(rng, depths):
    rules = ["sgd", "momentum", "adamw"]
    return [
        ([rng.randint(2, 300) for _ in range(depth)], rng.randint(1, 64), rule)
        for depth, rule in zip(depths, rules, strict=True)
    ]


def any_depth(rng):
    return networks(rng, [2, 4, rng.randint(5, 7)])


def one_layer(rng):
    return networks(rng, [2, 2, 2])


def one_hidden_layer(rng):
    return networks(rng, [3, 3, 3])


# 2. Recompute


def block_of(seed, dropout):
    stages = perceptron((6, 12, 6), seed)
    return nn.Sequential(stages, nn.Dropout(0.5)) if dropout else stages


def ordinary(block, x):
    return block(x)


@contextmanager
def without_checkpoint():
    """torch.utils.checkpoint is switched off, also for those who took its functions along before: by what they call."""

    def switched_off(*args, **kwargs):
        raise AssertionError("torch.utils.checkpoint is switched off")

    module = torch.utils.checkpoint
    parts = [
        (module, "checkpoint"),
        (module, "_checkpoint_without_reentrant_generator"),
        (module.CheckpointFunction, "forward"),
    ]
    with ExitStack() as patched:
        for where, name in parts:
            patched.enter_context(mock.patch.object(where, name, switched_off))
        yield


def chained(how, seed, dropout):
    """Output and gradients of three calls of a block in a chain, and the next random number."""
    block = block_of(seed, dropout)
    x = torch.randn(8, 6, requires_grad=True)
    with without_checkpoint():
        y = how(block, how(block, how(block, x)))
        y.square().sum().backward()
    return [y.detach(), x.grad, *(weight.grad for weight in block.parameters()), torch.rand(1)]


def recomputed(answers, seed, dropout):
    return chained(answers.recompute, seed, dropout)


def held(answers, seed, dropout, samples):
    """Whether a gradient can flow back, the bytes that autograd keeps, and how often the block ran in all."""
    block, x, runs = block_of(seed, dropout), torch.randn(samples, 6, requires_grad=True), []
    kept = measure.saved_bytes(lambda: answers.recompute(block, x))
    block.register_forward_pre_hook(lambda *_: runs.append(1))
    y = answers.recompute(block, x)
    y.sum().backward()
    return [y.requires_grad, kept, len(runs)]


def work(answers, seed):
    """FLOPs of an ordinary run, of one forward pass more, and of the run that recomputes."""
    usual = measure.count_flops(lambda: chained(ordinary, seed, False))
    forward = 3 * measure.count_flops(lambda: block_of(seed, False)(torch.randn(8, 6)))
    return [usual, forward, measure.count_flops(lambda: chained(answers.recompute, seed, False))]


def without_dropout(rng):
    return [(rng.randrange(2**31), False) for _ in range(2)]


def with_dropout(rng):
    return [(rng.randrange(2**31), True) for _ in range(2)]


def both_kinds(rng):
    return [(rng.randrange(2**31), dropout, rng.randint(4, 40)) for dropout in (False, True)]


def seeds(rng):
    return [(rng.randrange(2**31),) for _ in range(2)]


def nothing_but_x(got, expected, seed, dropout, samples):
    """Who runs the block only once keeps what is in it, wherever that is."""
    return got[0] is True and 0 <= got[1] <= 4 * 6 * samples and got[2] > 1


def one_pass_more(got, expected, seed):
    return got == expected and got[2] == got[0] + got[1]


# 3. As little as necessary


def peaks(answers, layers, inside, kept):
    return [answers.peak_bytes(layers, inside, kept, count) for count in range(layers + 1)]


def fewest(answers, layers, inside, kept, budget):
    return answers.fewest_blocks(layers, inside, kept, budget)


def models(rng):
    return [*((rng.randint(3, 12), rng.randint(20, 99), rng.randint(1, 9)) for _ in range(3)), (1, rng.randint(20, 99), 3)]


def budgets(rng):
    """Everything fits; exactly some blocks have to go, and less than one block more; never the last two."""
    cases = []
    for spare in (0, 1, 5, 9):
        layers, inside, kept = rng.randint(5, 12), rng.randint(40, 99), rng.randint(2, 9)
        count = rng.randint(1, layers - 2)
        cases.append((layers, inside, kept, count * kept + (layers - count) * inside + spare))
    return [*cases, (layers, inside, kept, layers * inside), (layers, inside, kept, layers * inside - 1)]


def tight_budgets(rng):
    """What all blocks but one recomputed take, to the byte; a byte less; a single block."""
    layers, inside, kept = rng.randint(5, 12), rng.randint(40, 99), rng.randint(2, 9)
    least = (layers - 1) * kept + inside
    return [(layers, inside, kept, least), (layers, inside, kept, least - 1), (1, inside, kept, inside - 1)]


# 4. In parts


def task(seed, samples):
    model = perceptron((12, 20, 20, 5), seed)
    return model, F.cross_entropy, torch.randn(samples, 12), torch.randint(5, (samples,))


def gradient(model):
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def gradient_and_loss(answers, seed, samples, most):
    model, *rest = task(seed, samples)
    value = answers.backward_in_parts(model, *rest, most)
    return [gradient(model), torch.is_tensor(value) and not value.requires_grad, value]


def held_in_parts(answers, seed, samples, most):
    """The bytes kept, and those that one part keeps with all inputs and targets, of which a part may be a view."""
    model, loss, inputs, targets = task(seed, samples)
    one = measure.saved_bytes(lambda: loss(model(inputs[:most].clone()), targets[:most].clone()))
    kept = measure.saved_bytes(lambda: answers.backward_in_parts(model, loss, inputs, targets, most))
    return [kept, one + inputs.nbytes + targets.nbytes]


def sizes_and_sum(answers, seed, samples, most):
    """How many parts, the largest, and the gradient after a second call over that after the first: the largest error."""
    (model, loss, inputs, targets), sizes = task(seed, samples), []
    model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    answers.backward_in_parts(model, loss, inputs, targets, most)
    parts, once = [len(sizes), max(sizes)], gradient(model)
    answers.backward_in_parts(model, loss, inputs, targets, most)
    return [*parts, (gradient(model) - 2 * once).abs().max()]


def equal_parts(rng):
    mosts = [rng.randint(3, 9) for _ in range(2)]
    return [(rng.randrange(2**31), most * rng.randint(2, 4), most) for most in mosts]


def unequal_parts(rng):
    mosts = [rng.randint(4, 9) for _ in range(3)]
    few = mosts[2] - rng.randint(1, 2)  # fewer samples than one part may have
    return [
        (rng.randrange(2**31), mosts[0] + 1, mosts[0]),
        (rng.randrange(2**31), mosts[1] * 2 + rng.randint(1, mosts[1] - 1), mosts[1]),
        (rng.randrange(2**31), few, mosts[2]),
    ]


def many_equal_parts(rng):
    most = rng.randint(6, 9)
    return [(rng.randrange(2**31), 4 * most, most)]


def within_one_part(got, expected, *case):
    return 0 <= got[0] <= got[1] <= expected[1]


def as_few_as_possible(got, expected, seed, samples, most):
    return got[0] == -(-samples // most) and got[1] <= most and got[2] <= 1e-5


# 5. When is sparse smaller?


def csr(answers, rows, nonzeros, value, index):
    return answers.csr_bytes(rows, nonzeros, value=value, index=index)


def most_nonzeros(answers, rows, columns, value, index):
    most = answers.break_even(rows, columns, value=value, index=index)
    return [isinstance(most, int), most]


def never_or_nothing(answers, rows, columns):
    return answers.break_even(rows, columns)


def filled(rng):
    kinds = [(4, 8), (2, 4), (8, 8), (4, 4)]
    return [(rng.randint(1, 5000), rng.randint(0, 10**6), *kind) for kind in kinds]


def matrices(rng):
    huge = (10**9 + rng.randrange(10**6), 10**9 + rng.randrange(10**6), 2, 8)
    kinds = [(4, 8), (4, 4), (2, 8), (8, 4)]
    return [*((rng.randint(100, 3000), rng.randint(100, 3000), *kind) for kind in kinds), huge]


def thin_matrices(rng):
    """One column or one row: the starts take more than the numbers, or (four numbers in a row) exactly as much."""
    return [(rng.randint(2, 500), 1), (1, 4), (1, 3), (rng.randint(2, 500), 1)]


JUDGED = {
    "test_training_bytes": {
        "the weights and their gradients": (weights_and_gradients, any_depth),
        "the state of the optimizer": (state, one_layer),
        "what is saved, one hidden layer": (saved, one_hidden_layer),
        "what is saved, any depth and batch": (saved, any_depth),
    },
    "test_recompute": {
        "the same output, the same gradients": (recomputed, without_dropout),
        "nothing is kept but x": (held, both_kinds, nothing_but_x),
        "one forward pass more, and no other work": (work, seeds, one_pass_more),
        "dropout: the gradient belongs to what was run": (recomputed, with_dropout),
    },
    "test_fewest_blocks": {
        "the peak": (peaks, models),
        "the fewest blocks": (fewest, budgets),
        "or none, and never the last block": (fewest, tight_budgets),
    },
    "test_backward_in_parts": {
        "the gradient and the loss of the whole batch": (gradient_and_loss, equal_parts),
        "a smaller last part": (gradient_and_loss, unequal_parts),
        "the memory of one part": (held_in_parts, many_equal_parts, within_one_part),
        "as few parts as possible; gradients add up": (sizes_and_sum, unequal_parts, as_few_as_possible),
    },
    "test_csr": {
        "the bytes of CSR": (csr, filled),
        "the break-even": (most_nonzeros, matrices),
        "or never": (never_or_nothing, thin_matrices),
    },
}
